//! Arithmetic: numbers, decimals, times and intervals.

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, Operator, lit};

use super::{binary_expr, different, unexpected, value_error};
use crate::Result;
use crate::sql::expr::Exprs;
use crate::sql::function::arithmetic::{self, Op};
use crate::sql::function::{datetime, duration};
use crate::sql::parse::ast::*;
use crate::sql::scope::Typed;
use crate::sql::timestamp_type;
use crate::sql::types::*;

impl Exprs<'_> {
    pub(super) fn arithmetic(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
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
    pub(in crate::sql::expr) fn apply(&self, op: Op, l: Typed, r: Typed, name: String) -> Result<Typed> {
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

    pub(super) fn integral(&self, value: Typed, name: &str) -> Result<Typed> {
        if is_integral(&value.data_type) {
            return Ok(value);
        }
        Err(unexpected(name, "first", "INTEGRAL", &value))
    }

    pub(super) fn bits(&self, op: BinaryOp, l: Typed, r: Typed) -> Result<Typed> {
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
