//! Values as a user writes them, and columns of them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use serde::Serialize;

use super::ColumnType;
use crate::spec::{Micros, Node, Read, Time, parse_date};

/// A value as it is written; what it means depends on the column's type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Literal {
    /// A text, time, date or decimal.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
}

impl Read for Literal {
    fn read(node: &Node) -> std::result::Result<Literal, String> {
        match node {
            Node::Text(text) | Node::Datetime(text) => Ok(Literal::Text(text.clone())),
            Node::Integer(number) => Ok(Literal::Integer(*number)),
            Node::Float(number) => Ok(Literal::Float(*number)),
            Node::Boolean(truth) => Ok(Literal::Boolean(*truth)),
            other => Err(format!("found {other}, wanted one value")),
        }
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Text(text) => write!(f, "\"{text}\""),
            Literal::Integer(number) => write!(f, "{number}"),
            Literal::Float(number) => write!(f, "{number}"),
            Literal::Boolean(truth) => write!(f, "{truth}"),
        }
    }
}

impl Literal {
    /// The value in the units a column of this type counts in: itself, microseconds, days, or the last decimal place.
    pub(super) fn units(&self, kind: ColumnType) -> std::result::Result<i64, String> {
        match (kind, self) {
            (ColumnType::Int, Literal::Integer(number)) if i32::try_from(*number).is_ok() => Ok(*number),
            (ColumnType::Bigint | ColumnType::String, Literal::Integer(number)) => Ok(*number),
            (ColumnType::Timestamp, Literal::Text(text)) => Time::parse(text).map(|time| time.0),
            (ColumnType::Date, Literal::Text(text)) => parse_date(text).map(i64::from),
            (ColumnType::Decimal(precision, scale), Literal::Text(text)) => decimal_units(text, precision, scale),
            (ColumnType::Decimal(precision, scale), Literal::Integer(_) | Literal::Float(_)) => {
                decimal_units(&self.to_string(), precision, scale)
            }
            _ => Err(self.misfit(kind)),
        }
    }

    pub(super) fn number(&self, kind: ColumnType) -> std::result::Result<f64, String> {
        match self {
            Literal::Integer(number) => Ok(*number as f64),
            Literal::Float(number) => Ok(*number),
            _ => Err(self.misfit(kind)),
        }
    }

    fn misfit(&self, kind: ColumnType) -> String {
        let example = match kind {
            ColumnType::String => "\"text\"",
            ColumnType::Int | ColumnType::Bigint => "42",
            ColumnType::Double => "4.2",
            ColumnType::Boolean => "true",
            ColumnType::Timestamp => "\"2024-01-01T10:00:00Z\"",
            ColumnType::Date => "\"2024-01-31\"",
            ColumnType::Decimal(..) => "\"4.20\"",
        };
        format!("found {self}, wanted a value of type {kind} such as {example}")
    }
}

impl Literal {
    /// A number to compare values of one type by.
    pub(super) fn position(&self, kind: ColumnType) -> std::result::Result<f64, String> {
        if kind == ColumnType::Double {
            self.number(kind)
        } else {
            self.units(kind).map(|units| units as f64)
        }
    }
}

/// A sequence's step in units of the column.
pub(super) fn step_units(step: &Literal, kind: ColumnType) -> std::result::Result<i64, String> {
    match (kind, step) {
        (ColumnType::Double, Literal::Float(_) | Literal::Integer(_)) => Ok(0),
        (ColumnType::Timestamp, Literal::Text(text)) => Micros::parse(text).map(|micros| micros.0),
        (ColumnType::Timestamp, other) => Err(format!("found {other}, wanted a duration such as \"1s\"")),
        (ColumnType::Date, Literal::Integer(days)) => Ok(*days),
        _ => step.units(kind),
    }
}

/// `"1.5"` in units of the last of `scale` places.
fn decimal_units(text: &str, precision: u8, scale: i8) -> std::result::Result<i64, String> {
    let wrong = || format!("found `{text}`, wanted a decimal({precision},{scale})");
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let places = scale as usize;
    if part.len() > places || whole.is_empty() || !whole.chars().chain(part.chars()).all(|c| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let units: i64 = format!("{whole}{part:0<places$}").parse().map_err(|_| wrong())?;
    if units >= 10i64.pow(u32::from(precision)) {
        Err(wrong())
    } else {
        Ok(if negative { -units } else { units })
    }
}

/// These values as an Arrow array of the column's type.
pub(super) fn literals(values: &[Literal], kind: ColumnType) -> std::result::Result<ArrayRef, String> {
    let text = |value: &Literal| match value {
        Literal::Text(text) => Ok(text.clone()),
        other => Err(other.misfit(kind)),
    };
    let truth = |value: &Literal| match value {
        Literal::Boolean(truth) => Ok(*truth),
        other => Err(other.misfit(kind)),
    };
    Ok(match kind {
        ColumnType::String => Arc::new(StringArray::from(
            values.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?,
        )),
        ColumnType::Boolean => Arc::new(BooleanArray::from(
            values.iter().map(truth).collect::<std::result::Result<Vec<_>, _>>()?,
        )),
        ColumnType::Double => {
            let numbers: std::result::Result<Vec<f64>, _> = values.iter().map(|value| value.number(kind)).collect();
            Arc::new(Float64Array::from(numbers?))
        }
        _ => {
            let units: std::result::Result<Vec<i64>, _> = values.iter().map(|value| value.units(kind)).collect();
            of_units(units?, kind)
        }
    })
}

/// An array of a type that counts in units.
pub(super) fn of_units(units: Vec<i64>, kind: ColumnType) -> ArrayRef {
    match kind {
        ColumnType::Int => {
            let clamped = units
                .into_iter()
                .map(|n| n.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
            Arc::new(Int32Array::from(clamped.collect::<Vec<_>>()))
        }
        ColumnType::Timestamp => Arc::new(TimestampMicrosecondArray::from(units).with_timezone("+00:00")),
        ColumnType::Date => {
            let clamped = units.into_iter().map(|n| n.clamp(-719_162, 2_932_896) as i32);
            Arc::new(Date32Array::from(clamped.collect::<Vec<_>>()))
        }
        ColumnType::Decimal(precision, scale) => {
            let most = 10i64.pow(u32::from(precision)) - 1;
            let clamped = units.into_iter().map(|n| i128::from(n.clamp(-most, most)));
            let decimals = Decimal128Array::from(clamped.collect::<Vec<_>>());
            Arc::new(
                decimals
                    .with_precision_and_scale(precision, scale)
                    .expect("a checked precision and scale"),
            )
        }
        _ => Arc::new(Int64Array::from(units)),
    }
}
