//! Predicates (IS NULL, BETWEEN, IN, LIKE) and CASE.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Case, Expr, Operator, lit};

use super::{binary_expr, one_zero, unexpected};
use crate::Result;
use crate::sql::expr::{Exprs, mismatch};
use crate::sql::function::pattern;
use crate::sql::parse::ast::*;
use crate::sql::scope::Typed;
use crate::sql::types::*;

impl Exprs<'_> {
    pub(in crate::sql::expr) fn is_null(&self, operand: &Ast, negated: bool) -> Result<Typed> {
        let value = self.plan(operand)?;
        let (expr, words) = match negated {
            false => (Expr::IsNull(Box::new(value.expr)), "IS NULL"),
            true => (Expr::IsNotNull(Box::new(value.expr)), "IS NOT NULL"),
        };
        Ok(Typed::new(expr, DataType::Boolean, format!("({} {words})", value.name)))
    }

    pub(in crate::sql::expr) fn between(&self, value: &Ast, low: &Ast, high: &Ast) -> Result<Typed> {
        let value = self.plan(value)?;
        let (low, high) = (self.plan(low)?, self.plan(high)?);
        let name = format!("between({}, {}, {})", value.name, low.name, high.name);
        let above = self.comparison(BinaryOp::GtEq, value.clone(), low)?;
        let below = self.comparison(BinaryOp::LtEq, value, high)?;
        Ok(Typed::new(
            binary_expr(above.expr, Operator::And, below.expr),
            DataType::Boolean,
            name,
        ))
    }

    pub(in crate::sql::expr) fn in_list(&self, value: &Ast, list: &[Ast]) -> Result<Typed> {
        let value = self.plan(value)?;
        let list = self.arguments(list)?;
        let names: Vec<_> = list.iter().map(|v| v.name.as_str()).collect();
        let name = format!("({} IN ({}))", value.name, names.join(", "));
        let all: Vec<Typed> = [value.clone()].into_iter().chain(list.iter().cloned()).collect();
        let common = self.common_all(&all, &name, "in")?;
        let value = one_zero(self.cast(&value, &common), &common);
        let list: Vec<Expr> = list.iter().map(|v| one_zero(self.cast(v, &common), &common)).collect();
        if common.is_nested() {
            let equal = list
                .into_iter()
                .map(|item| binary_expr(value.clone(), Operator::Eq, item));
            let any = equal
                .reduce(|l, r| binary_expr(l, Operator::Or, r))
                .unwrap_or(lit(false));
            return Ok(Typed::new(any, DataType::Boolean, name));
        }
        Ok(Typed::new(value.in_list(list, false), DataType::Boolean, name))
    }

    pub(in crate::sql::expr) fn like(
        &self,
        kind: LikeKind,
        expr: &Ast,
        with: &Ast,
        escape: Option<char>,
    ) -> Result<Typed> {
        let (text, with) = (self.plan(expr)?, self.plan(with)?);
        let name = match (kind, escape) {
            (LikeKind::Like, Some(c)) => format!("{} LIKE {} ESCAPE '{c}'", text.name, with.name),
            (LikeKind::Like, None) => format!("{} LIKE {}", text.name, with.name),
            (LikeKind::ILike, _) => format!("ilike({}, {})", text.name, with.name),
            (LikeKind::RLike, _) => format!("RLIKE({}, {})", text.name, with.name),
        };
        let args = vec![self.cast(&text, &DataType::Utf8), self.cast(&with, &DataType::Utf8)];
        let (escape, has_escapes) = (escape.unwrap_or('\\'), kind != LikeKind::RLike);
        let call = match &with.expr {
            Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)
                if has_escapes
                    && pattern::check_escapes(pattern, escape).is_err()
                    && text.data_type != DataType::Null =>
            {
                pattern::wrong_like(escape).call(args[1..].to_vec())
            }
            Expr::Literal(..) => pattern::like(kind, escape).call(args),
            _ => pattern::like(kind, escape).fallible(has_escapes).call(args),
        };
        Ok(Typed::new(call, DataType::Boolean, name))
    }

    pub(in crate::sql::expr) fn case(
        &self,
        operand: Option<&Ast>,
        whens: &[(Ast, Ast)],
        otherwise: Option<&Ast>,
    ) -> Result<Typed> {
        let mut conditions = vec![];
        let mut values = vec![];
        for (when, then) in whens {
            conditions.push(match operand {
                Some(operand) => self.comparison(BinaryOp::Eq, self.plan(operand)?, self.plan(when)?)?,
                None => self.plan(when)?,
            });
            values.push(self.plan(then)?);
        }
        let otherwise = otherwise.map(|ast| self.plan(ast)).transpose()?;
        let branches = conditions
            .iter()
            .zip(&values)
            .map(|(c, v)| format!("WHEN {} THEN {}", c.name, v.name));
        let mut name = format!("CASE {}", branches.collect::<Vec<_>>().join(" "));
        if let Some(otherwise) = &otherwise {
            name.push_str(&format!(" ELSE {}", otherwise.name));
        }
        name.push_str(" END");
        for condition in &conditions {
            // A bare NULL is no condition either, though `if(NULL, ...)` takes it.
            if condition.data_type != DataType::Boolean {
                return Err(unexpected(&name, "first", "BOOLEAN", condition));
            }
        }
        self.case_of(conditions, values, otherwise, name, "casewhen")
    }

    /// A CASE over planned parts; all values get one type.
    pub(in crate::sql::expr) fn case_of(
        &self,
        conditions: Vec<Typed>,
        values: Vec<Typed>,
        otherwise: Option<Typed>,
        name: String,
        function: &str,
    ) -> Result<Typed> {
        let all: Vec<Typed> = values.iter().chain(&otherwise).cloned().collect();
        let common = self.common_all(&all, &name, function)?;
        let branches = conditions.iter().zip(&values).map(|(condition, value)| {
            (
                Box::new(self.cast(condition, &DataType::Boolean)),
                Box::new(self.cast(value, &common)),
            )
        });
        let case = Case {
            expr: None,
            when_then_expr: branches.collect(),
            else_expr: otherwise.map(|value| Box::new(self.cast(&value, &common))),
        };
        Ok(Typed::new(Expr::Case(case), common, name))
    }

    /// The type of all values, or Spark's DATA_DIFF_TYPES.
    pub(in crate::sql::expr) fn common_all(&self, values: &[Typed], name: &str, function: &str) -> Result<DataType> {
        let meeting = if matches!(function, "greatest" | "least") {
            Meeting::Strict
        } else {
            Meeting::Value
        };
        self.common_of(values, meeting).ok_or_else(|| {
            let types: Vec<_> = values
                .iter()
                .map(|v| format!("\"{}\"", message_type_name(&v.data_type)))
                .collect();
            let reason = format!(
                "Input to `{function}` should all be the same type, but it's [{}]",
                types.join(", ")
            );
            mismatch("DATA_DIFF_TYPES", name, reason)
        })
    }
}
