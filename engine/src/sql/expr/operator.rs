//! Operators: NOT, AND, comparisons; arithmetic and predicates have files of their own.

mod calculate;
mod predicate;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, lit};

use super::{Exprs, mismatch};
use crate::sql::function::arithmetic;
use crate::sql::parse::ast::*;
use crate::sql::scope::Typed;
use crate::sql::types::*;
use crate::{Error, Result};

impl Exprs<'_> {
    pub(super) fn unary(&self, op: UnaryOp, operand: &Ast) -> Result<Typed> {
        let value = self.plan(operand)?;
        match op {
            UnaryOp::Not => {
                let name = format!("(NOT {})", value.name);
                let value = self.boolean(&value, &name)?;
                Ok(Typed::new(Expr::Not(Box::new(value)), DataType::Boolean, name))
            }
            UnaryOp::Plus => {
                let name = format!("(+ {})", value.name);
                let number = self.number_or_interval(&value, &name)?;
                Ok(Typed::new(number.expr, number.data_type, name))
            }
            UnaryOp::Minus => {
                let name = format!("(- {})", value.name);
                let number = self.number_or_interval(&value, &name)?;
                let negated = arithmetic::negate(number.data_type.clone(), self.ansi()).call(vec![number.expr]);
                Ok(Typed::new(negated, number.data_type, name))
            }
            UnaryOp::BitNot => {
                let name = format!("~{}", value.name);
                if !is_integral(&value.data_type) {
                    return Err(unexpected(&name, "first", "INTEGRAL", &value));
                }
                let flipped = arithmetic::bit_not(value.data_type.clone()).call(vec![value.expr]);
                Ok(Typed::new(flipped, value.data_type, name))
            }
        }
    }

    /// A boolean operand; strings are cast.
    fn boolean(&self, value: &Typed, name: &str) -> Result<Expr> {
        match value.data_type {
            DataType::Boolean | DataType::Null | DataType::Utf8 => Ok(self.cast(value, &DataType::Boolean)),
            _ => Err(unexpected(name, "first", "BOOLEAN", value)),
        }
    }

    fn number_or_interval(&self, value: &Typed, name: &str) -> Result<Typed> {
        match &value.data_type {
            t if is_numeric(t) || is_interval(t) => Ok(value.clone()),
            DataType::Null | DataType::Utf8 => {
                let expr = self.cast(value, &DataType::Float64);
                Ok(Typed::new(expr, DataType::Float64, &value.name))
            }
            _ => Err(mismatch(
                "UNEXPECTED_INPUT_TYPE",
                name,
                format!(
                    "The first parameter requires the (\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO \
                     MONTH\" or \"INTERVAL\") type, however \"{}\" has the type \"{}\"",
                    value.name,
                    message_type_name(&value.data_type)
                ),
            )),
        }
    }

    pub(super) fn binary(&self, op: BinaryOp, left: &Ast, right: &Ast) -> Result<Typed> {
        let (l, r) = (self.plan(left)?, self.plan(right)?);
        self.binary_typed(op, l, r)
    }

    pub(super) fn binary_typed(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
        use BinaryOp::*;
        match op {
            And | Or => self.logic(op, l, r),
            Eq | NullSafeEq | Lt | LtEq | Gt | GtEq => self.comparison(op, l, r),
            NotEq => {
                let equal = self.comparison(Eq, l, r)?;
                let name = format!("(NOT {})", equal.name);
                Ok(Typed::new(negated(equal.expr), DataType::Boolean, name))
            }
            Plus | Minus | Multiply | Divide | IntDivide | Modulo => self.arithmetic(op, l, r),
            Concat => self.concat(vec![l, r]),
            BitAnd | BitOr | BitXor => self.bits(op, l, r),
            ShiftLeft | ShiftRight => {
                let name = format!("({} {} {})", l.name, op.symbol(), r.name);
                let l = self.integral(l, &name)?;
                let by = self.cast(&r, &DataType::Int32);
                let returns = l.data_type.clone();
                Ok(Typed::new(
                    arithmetic::bits(op.symbol(), returns.clone()).call(vec![l.expr, by]),
                    returns,
                    name,
                ))
            }
        }
    }

    fn logic(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
        let name = format!("({} {} {})", l.name, op.symbol(), r.name);
        let logical = |t: &DataType| matches!(t, DataType::Boolean | DataType::Null | DataType::Utf8);
        if !logical(&l.data_type) || !logical(&r.data_type) {
            return Err(different(&name, &l, &r));
        }
        let operator = if op == BinaryOp::And {
            Operator::And
        } else {
            Operator::Or
        };
        let (l, r) = (self.cast(&l, &DataType::Boolean), self.cast(&r, &DataType::Boolean));
        Ok(Typed::new(binary_expr(l, operator, r), DataType::Boolean, name))
    }

    pub fn comparison(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
        let name = format!("({} {} {})", l.name, op.symbol(), r.name);
        let common = self.common(&l.data_type, &r.data_type, Meeting::Comparison);
        let Some(common) = common else {
            return Err(different(&name, &l, &r));
        };
        if matches!(common, DataType::Map(..)) {
            return Err(mismatch("INVALID_ORDERING_TYPE", &name, "maps cannot be compared"));
        }
        let operator = match op {
            BinaryOp::Eq => Operator::Eq,
            BinaryOp::NullSafeEq => Operator::IsNotDistinctFrom,
            BinaryOp::Lt => Operator::Lt,
            BinaryOp::LtEq => Operator::LtEq,
            BinaryOp::Gt => Operator::Gt,
            _ => Operator::GtEq,
        };
        let common = if common == DataType::Null {
            DataType::Boolean
        } else {
            common
        };
        let (l, r) = (
            one_zero(self.cast(&l, &common), &common),
            one_zero(self.cast(&r, &common), &common),
        );
        Ok(Typed::new(binary_expr(l, operator, r), DataType::Boolean, name))
    }
}

/// NOT, without piling it up on another NOT.
pub(super) fn negated(expr: Expr) -> Expr {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => binary_expr(*left, Operator::NotEq, *right),
        other => Expr::Not(Box::new(other)),
    }
}

pub(in crate::sql) fn binary_expr(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// -0.0 equals 0.0 in Spark, in arrow it does not: adding zero makes them one.
pub(in crate::sql) fn one_zero(expr: Expr, data_type: &DataType) -> Expr {
    let zero = match data_type {
        DataType::Float64 => ScalarValue::Float64(Some(0.0)),
        DataType::Float32 => ScalarValue::Float32(Some(0.0)),
        _ => return expr,
    };
    match &expr {
        Expr::Literal(ScalarValue::Float64(Some(v)), _) if *v != 0.0 => expr,
        Expr::Literal(ScalarValue::Float32(Some(v)), _) if *v != 0.0 => expr,
        Expr::Literal(ScalarValue::Float64(Some(_)) | ScalarValue::Float32(Some(_)), _) => lit(zero),
        _ => binary_expr(expr, Operator::Plus, lit(zero)),
    }
}

fn different(name: &str, l: &Typed, r: &Typed) -> Error {
    let (l, r) = (message_type_name(&l.data_type), message_type_name(&r.data_type));
    let reason =
        format!("the left and right operands of the binary operator have incompatible types (\"{l}\" and \"{r}\")");
    mismatch("BINARY_OP_DIFF_TYPES", name, reason)
}

fn value_error(op: BinaryOp, name: &str, value: &Typed) -> Error {
    let wanted = match op {
        BinaryOp::Plus | BinaryOp::Minus => {
            "(\"NUMERIC\" or \"INTERVAL DAY TO SECOND\" or \"INTERVAL YEAR TO MONTH\" or \"INTERVAL\")"
        }
        _ => "\"NUMERIC\"",
    };
    let found = message_type_name(&value.data_type);
    let reason = format!("the binary operator requires the input type {wanted}, not \"{found}\"");
    mismatch("BINARY_OP_WRONG_TYPE", name, reason)
}

/// Spark's UNEXPECTED_INPUT_TYPE.
pub(super) fn unexpected(name: &str, which: &str, wanted: &str, value: &Typed) -> Error {
    let found = message_type_name(&value.data_type);
    let reason = format!(
        "The {which} parameter requires the \"{wanted}\" type, however \"{}\" has the type \"{found}\"",
        value.name
    );
    mismatch("UNEXPECTED_INPUT_TYPE", name, reason)
}
