//! Operators and predicates: `+`, `=`, AND, BETWEEN, IN, LIKE, CASE.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, Operator, lit};

use super::{Exprs, mismatch};
use crate::sql::function::arithmetic::{self, Op};
use crate::sql::function::{datetime, duration, pattern};
use crate::sql::parse::ast::*;
use crate::sql::scope::Typed;
use crate::sql::timestamp_type;
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

    // ---- arithmetic

    fn arithmetic(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
        if let Some(time) = self.time_arithmetic(op, &l, &r)? {
            return Ok(time);
        }
        let name = format!("({} {} {})", l.name, op.symbol(), r.name);
        let (l, r) = self.numbers(op, l, r, &name)?;
        let op = match op {
            BinaryOp::Plus => Op::Add,
            BinaryOp::Minus => Op::Subtract,
            BinaryOp::Multiply => Op::Multiply,
            BinaryOp::Divide => Op::Divide,
            BinaryOp::IntDivide => Op::IntDivide,
            _ => Op::Modulo,
        };
        self.apply(op, l, r, name)
    }

    /// Applies an operator to two numbers, decimals by their own rules.
    pub(super) fn apply(&self, op: Op, l: Typed, r: Typed, name: String) -> Result<Typed> {
        let decimal = (is_decimal(&l.data_type) || is_decimal(&r.data_type))
            && !is_floating(&l.data_type)
            && !is_floating(&r.data_type);
        if decimal {
            let (l, r) = (self.as_decimal(l), self.as_decimal(r));
            let returns = decimal_result(op, &l.data_type, &r.data_type);
            let call = arithmetic::function(op, returns.clone(), self.ansi()).call(vec![l.expr, r.expr]);
            return Ok(Typed::new(call, returns, name));
        }
        let common = match op {
            Op::Divide => DataType::Float64,
            Op::IntDivide => DataType::Int64,
            _ => common_type(&l.data_type, &r.data_type, true, Meeting::Strict).unwrap_or(DataType::Float64),
        };
        let args = vec![self.cast(&l, &common), self.cast(&r, &common)];
        Ok(Typed::new(
            arithmetic::function(op, common.clone(), self.ansi()).call(args),
            common,
            name,
        ))
    }

    /// A whole number that meets a decimal: literals by their own digits, the rest by their type's.
    fn as_decimal(&self, value: Typed) -> Typed {
        if is_decimal(&value.data_type) {
            return value;
        }
        // A cast literal is a literal by now, but not by its name.
        let written = value.name.parse::<i64>().is_ok();
        let literal = match &value.expr {
            _ if !written => None,
            Expr::Literal(ScalarValue::Int8(Some(v)), _) => Some(*v as i64),
            Expr::Literal(ScalarValue::Int16(Some(v)), _) => Some(*v as i64),
            Expr::Literal(ScalarValue::Int32(Some(v)), _) => Some(*v as i64),
            Expr::Literal(ScalarValue::Int64(Some(v)), _) => Some(*v),
            _ => None,
        };
        let precision = match literal {
            Some(v) => v.unsigned_abs().to_string().len() as u8,
            None => decimal_of(&value.data_type).map_or(38, |(precision, _)| precision),
        };
        let to = DataType::Decimal128(precision, 0);
        Typed::new(self.cast(&value, &to), to, &value.name)
    }

    /// Both operands as numbers: strings become what the other side asks for.
    fn numbers(&self, op: BinaryOp, l: Typed, r: Typed, name: &str) -> Result<(Typed, Typed)> {
        let text_as = |other: &DataType| match other {
            t if self.ansi() && is_integral(t) => DataType::Int64,
            _ => DataType::Float64,
        };
        let convert = |value: Typed, other: &DataType| -> Result<Typed> {
            match &value.data_type {
                t if is_numeric(t) => Ok(value),
                // With ANSI, text is a number only where it meets one.
                DataType::Utf8 if self.ansi() && !is_numeric(other) => Err(value_error(op, name, &value)),
                DataType::Utf8 if is_numeric(other) || *other == DataType::Utf8 || *other == DataType::Null => {
                    let to = text_as(other);
                    Ok(Typed::new(self.cast(&value, &to), to, &value.name))
                }
                DataType::Null => {
                    let to = if is_numeric(other) {
                        other.clone()
                    } else {
                        DataType::Float64
                    };
                    Ok(Typed::new(self.cast(&value, &to), to, &value.name))
                }
                _ => Err(value_error(op, name, &value)),
            }
        };
        let (lt, rt) = (l.data_type.clone(), r.data_type.clone());
        let incompatible = |t: &DataType| !is_numeric(t) && !matches!(t, DataType::Utf8 | DataType::Null);
        if lt != rt && (incompatible(&lt) || incompatible(&rt)) && lt != DataType::Utf8 && rt != DataType::Utf8 {
            return Err(different(name, &l, &r));
        }
        if lt == DataType::Utf8 && incompatible(&rt) {
            return Err(value_error(op, name, &r));
        }
        Ok((convert(l, &rt)?, convert(r, &lt)?))
    }

    /// Arithmetic with timestamps, dates and intervals; None if neither side is one.
    fn time_arithmetic(&self, op: BinaryOp, l: &Typed, r: &Typed) -> Result<Option<Typed>> {
        use BinaryOp::{Divide, Minus, Multiply, Plus};
        let (lt, rt) = (&l.data_type, &r.data_type);
        let is_time = |t: &DataType| is_timestamp(t) || *t == DataType::Date32;
        Ok(match (op, lt, rt) {
            (Plus | Minus, t, i) if is_time(t) && is_interval(i) => Some(self.shift(op, l, r)),
            (Plus, i, t) if is_time(t) && is_interval(i) => Some(self.shift(op, r, l)),
            // Text that is a time stays text.
            (Plus | Minus, DataType::Utf8, i) if is_interval(i) => {
                let time = Typed::new(self.cast(l, &timestamp_type()), timestamp_type(), &l.name);
                let moved = self.shift(op, &time, r);
                Some(Typed::new(
                    self.cast(&moved, &DataType::Utf8),
                    DataType::Utf8,
                    moved.name,
                ))
            }
            (Plus, t, DataType::Null) if is_time(t) => Some(nothing(&timestamp_type(), &format!("{} + NULL", l.name))),
            (Plus, DataType::Null, t) if is_time(t) => Some(nothing(&timestamp_type(), &format!("{} + NULL", r.name))),
            (Minus, a, b) if is_time(a) && *b == DataType::Null || is_time(b) && *a == DataType::Null => {
                Some(nothing(&duration_type(), &format!("({} - {})", l.name, r.name)))
            }
            (Plus | Minus, a, b)
                if is_interval(a) && *b == DataType::Null || is_interval(b) && *a == DataType::Null =>
            {
                let interval = if is_interval(a) { a } else { b };
                Some(nothing(interval, &format!("({} {} {})", l.name, op.symbol(), r.name)))
            }
            (Minus, DataType::Date32, DataType::Date32 | DataType::Utf8)
            | (Minus, DataType::Utf8, DataType::Date32) => {
                let (from, until) = (self.cast(l, &DataType::Date32), self.cast(r, &DataType::Date32));
                let days = datetime::days_between(duration_type()).call(vec![from, until]);
                Some(Typed::new(days, duration_type(), format!("({} - {})", l.name, r.name)))
            }
            (Minus, a, b)
                if is_time(a) && is_time(b)
                    || is_timestamp(a) && *b == DataType::Utf8
                    || is_timestamp(b) && *a == DataType::Utf8 =>
            {
                let (a, b) = (self.cast(l, &timestamp_type()), self.cast(r, &timestamp_type()));
                let name = format!("({} - {})", l.name, r.name);
                Some(Typed::new(binary_expr(a, Operator::Minus, b), duration_type(), name))
            }
            (Plus | Minus, DataType::Date32, DataType::Int8 | DataType::Int16 | DataType::Int32) => {
                let function = if op == Plus { "date_add" } else { "date_sub" };
                Some(self.add_days(function, l, r)?)
            }
            (Plus, DataType::Int32, DataType::Date32) => Some(self.add_days("date_add", r, l)?),
            (Plus | Minus, a, b) if is_interval(a) && a == b => {
                let operator = if op == Plus { Operator::Plus } else { Operator::Minus };
                let name = format!("({} {} {})", l.name, op.symbol(), r.name);
                Some(Typed::new(
                    binary_expr(l.expr.clone(), operator, r.expr.clone()),
                    lt.clone(),
                    name,
                ))
            }
            (Minus, t, n) | (Minus, n, t) if is_timestamp(t) && is_numeric(n) => {
                let name = format!("({} - {})", l.name, r.name);
                let (place, number) = if is_numeric(lt) { ("first", l) } else { ("second", r) };
                return Err(unexpected(&name, place, &message_type_name(&timestamp_type()), number));
            }
            (Multiply, i, n) if is_interval(i) && is_numeric(n) => Some(self.scale(l, r, op)),
            (Multiply, n, i) if is_interval(i) && is_numeric(n) => Some(self.scale(r, l, op)),
            (Divide, i, n) if is_interval(i) && is_numeric(n) => Some(self.scale(l, r, op)),
            _ => None,
        })
    }

    /// `time ± interval`, kept as a plain operator, so that range conditions stay readable.
    fn shift(&self, op: BinaryOp, time: &Typed, by: &Typed) -> Typed {
        let name = format!("{} {} {}", time.name, op.symbol(), by.name);
        let is_date = time.data_type == DataType::Date32;
        let to = if is_date || time.data_type == DataType::Utf8 {
            timestamp_type()
        } else {
            time.data_type.clone()
        };
        let operator = if op == BinaryOp::Plus {
            Operator::Plus
        } else {
            Operator::Minus
        };
        let moved = binary_expr(self.cast(time, &to), operator, by.expr.clone());
        let months = by.data_type == DataType::Interval(IntervalUnit::YearMonth);
        // An interval of days alone leaves a date a date; one of 24 hours does not.
        let days = is_of_days(&by.name);
        if is_date && (months || days) {
            let count = format!("extractansiintervaldays({})", by.name);
            let name = match op {
                _ if months => name,
                BinaryOp::Plus => format!("date_add({}, {count})", time.name),
                _ => format!("date_add({}, (- {count}))", time.name),
            };
            let moved = Typed::new(moved, to, name.clone());
            return Typed::new(self.cast(&moved, &DataType::Date32), DataType::Date32, name);
        }
        Typed::new(moved, to, name)
    }

    /// An interval times or by a number.
    fn scale(&self, interval: &Typed, by: &Typed, op: BinaryOp) -> Typed {
        let name = format!("({} {} {})", interval.name, op.symbol(), by.name);
        let function = if op == BinaryOp::Multiply {
            "multiply_interval"
        } else {
            "divide_interval"
        };
        let number = if is_integral(&by.data_type) {
            DataType::Int64
        } else {
            DataType::Float64
        };
        let by = self.cast(by, &number);
        let returns = interval.data_type.clone();
        let call = duration::scale(function, returns.clone()).call(vec![interval.expr.clone(), by]);
        Typed::new(call, returns, name)
    }

    fn integral(&self, value: Typed, name: &str) -> Result<Typed> {
        if is_integral(&value.data_type) {
            return Ok(value);
        }
        Err(unexpected(name, "first", "INTEGRAL", &value))
    }

    fn bits(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
        let name = format!("({} {} {})", l.name, op.symbol(), r.name);
        let (l, r) = (self.integral(l, &name)?, self.integral(r, &name)?);
        let common = common_type(&l.data_type, &r.data_type, true, Meeting::Strict).unwrap_or(DataType::Int64);
        let args = vec![self.cast(&l, &common), self.cast(&r, &common)];
        Ok(Typed::new(
            arithmetic::bits(op.symbol(), common.clone()).call(args),
            common,
            name,
        ))
    }

    // ---- predicates

    pub(super) fn is_null(&self, operand: &Ast, negated: bool) -> Result<Typed> {
        let value = self.plan(operand)?;
        let (expr, words) = match negated {
            false => (Expr::IsNull(Box::new(value.expr)), "IS NULL"),
            true => (Expr::IsNotNull(Box::new(value.expr)), "IS NOT NULL"),
        };
        Ok(Typed::new(expr, DataType::Boolean, format!("({} {words})", value.name)))
    }

    pub(super) fn between(&self, value: &Ast, low: &Ast, high: &Ast) -> Result<Typed> {
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

    pub(super) fn in_list(&self, value: &Ast, list: &[Ast]) -> Result<Typed> {
        let value = self.plan(value)?;
        let list = self.plan_all(list)?;
        let names: Vec<_> = list.iter().map(|v| v.name.as_str()).collect();
        let name = format!("({} IN ({}))", value.name, names.join(", "));
        let all: Vec<Typed> = [value.clone()].into_iter().chain(list.iter().cloned()).collect();
        let Some(common) = self.common_of(&all, Meeting::Value) else {
            let types: Vec<_> = all
                .iter()
                .map(|v| format!("\"{}\"", message_type_name(&v.data_type)))
                .collect();
            let reason = format!(
                "Input to `in` should all be the same type, but it's [{}]",
                types.join(", ")
            );
            return Err(mismatch("DATA_DIFF_TYPES", &name, reason));
        };
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

    pub(super) fn like(&self, kind: LikeKind, expr: &Ast, with: &Ast, escape: Option<char>) -> Result<Typed> {
        let (text, with) = (self.plan(expr)?, self.plan(with)?);
        let name = match (kind, escape) {
            (LikeKind::Like, Some(c)) => format!("{} LIKE {} ESCAPE '{c}'", text.name, with.name),
            (LikeKind::Like, None) => format!("{} LIKE {}", text.name, with.name),
            (LikeKind::ILike, _) => format!("ilike({}, {})", text.name, with.name),
            (LikeKind::RLike, _) => format!("RLIKE({}, {})", text.name, with.name),
        };
        let args = vec![self.cast(&text, &DataType::Utf8), self.cast(&with, &DataType::Utf8)];
        Ok(Typed::new(
            pattern::like(kind, escape.unwrap_or('\\')).call(args),
            DataType::Boolean,
            name,
        ))
    }

    pub(super) fn case(&self, operand: Option<&Ast>, whens: &[(Ast, Ast)], otherwise: Option<&Ast>) -> Result<Typed> {
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
    pub(super) fn case_of(
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
    pub(super) fn common_all(&self, values: &[Typed], name: &str, function: &str) -> Result<DataType> {
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

/// Whether what is called `name` is a literal interval of days, or such a one negated.
fn is_of_days(name: &str) -> bool {
    match name.strip_prefix("(- ").and_then(|inner| inner.strip_suffix(')')) {
        Some(negated) => is_of_days(negated),
        None => name.starts_with("INTERVAL '") && name.ends_with("' DAY"),
    }
}

/// The type of `left op right` for decimals.
fn decimal_result(op: Op, left: &DataType, right: &DataType) -> DataType {
    let ((p1, s1), (p2, s2)) = (
        decimal_of(left).unwrap_or((38, 0)),
        decimal_of(right).unwrap_or((38, 0)),
    );
    let (p1, s1, p2, s2) = (p1 as i32, s1 as i32, p2 as i32, s2 as i32);
    let scale = s1.max(s2);
    match op {
        Op::Add | Op::Subtract => adjusted_decimal((p1 - s1).max(p2 - s2) + scale + 1, scale),
        Op::Multiply => adjusted_decimal(p1 + p2 + 1, s1 + s2),
        Op::Divide => {
            let scale = 6.max(s1 + p2 + 1);
            adjusted_decimal(p1 - s1 + s2 + scale, scale)
        }
        Op::Modulo | Op::PositiveModulo => adjusted_decimal((p1 - s1).min(p2 - s2) + scale, scale),
        Op::IntDivide => DataType::Int64,
    }
}

/// A NULL of a type.
fn nothing(data_type: &DataType, name: &str) -> Typed {
    let null = ScalarValue::try_from(data_type).unwrap_or(ScalarValue::Null);
    Typed::new(lit(null), data_type.clone(), name)
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
