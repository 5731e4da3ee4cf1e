//! CAST among all of Spark's types.
//!
//! Casts that cannot fail and mean the same in arrow are arrow's; the rest are here, with ANSI's errors, with NULLs
//! (`try_cast`, and malformed text without ANSI) or with Java's wrapping numbers (overflow without ANSI).

mod from_text;
mod number;
mod time;
mod to_text;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, PrimitiveArray, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Cast, Expr, lit};

use super::{Kernel, SparkFn, unary_opt};
use crate::sql::types::*;
use crate::{Error, Result};
use from_text::from_text;
pub use number::{change_scale, decimal_text, unscaled};
use number::{decimal_to_float, decimal_to_int, float_to_int, narrow, to_decimal};
use time::{number_to_timestamp, timestamp_to_date, timestamp_to_number};
use to_text::to_text;

/// What happens to a value the target type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An error.
    Ansi,
    /// What Java does: numbers wrap, malformed text is NULL.
    Java,
    /// `try_cast`: NULL.
    Try,
}

/// `expr` as a value of type `to`; constants are cast at once.
pub fn cast_expr(expr: Expr, from: &DataType, to: &DataType, mode: Mode) -> Expr {
    if from == to {
        return expr;
    }
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr
        && let Some(time) = special_time(text, to)
    {
        return lit(time);
    }
    if let Expr::Literal(value, _) = &expr {
        if value.is_null() {
            return ScalarValue::try_from(to).map(lit).unwrap_or(expr);
        }
        if let Some(constant) = cast_constant(value, to, mode) {
            return lit(constant);
        }
    }
    if is_plain(from, to) {
        return Expr::Cast(Cast::new(Box::new(expr), to.clone()));
    }
    function(from, to, mode).call(vec![expr])
}

/// The one written time that is a word and always the same.
fn special_time(text: &str, to: &DataType) -> Option<ScalarValue> {
    if !text.trim().eq_ignore_ascii_case("epoch") {
        return None;
    }
    match to {
        DataType::Date32 => Some(ScalarValue::Date32(Some(0))),
        DataType::Timestamp(_, zone) => Some(ScalarValue::TimestampMicrosecond(Some(0), zone.clone())),
        _ => None,
    }
}

/// The cast as a function, for casts arrow has not.
fn function(from: &DataType, to: &DataType, mode: Mode) -> SparkFn {
    let name = match mode {
        Mode::Ansi => "cast",
        Mode::Java => "legacy_cast",
        Mode::Try => "try_cast",
    };
    let kernel: Kernel = match mode {
        Mode::Ansi => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Ansi)),
        Mode::Java => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Java)),
        Mode::Try => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Try)),
    };
    SparkFn::new(name, to.clone(), kernel).fallible(mode == Mode::Ansi && can_fail(from, to))
}

/// A constant cast when the query is planned; None if that is an error, which belongs to the batch that meets it.
fn cast_constant(value: &ScalarValue, to: &DataType, mode: Mode) -> Option<ScalarValue> {
    let array = convert(&value.to_array().ok()?, to, mode).ok()?;
    ScalarValue::try_from_array(&array, 0).ok()
}

/// Whether arrow's cast means the same and cannot fail.
fn is_plain(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (Int8 | Int16 | Int32 | Int64, Float32 | Float64) | (Float32, Float64) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Timestamp(..)) => true,
        (l, r) if !is_floating(l) => holds(r, l),
        _ => false,
    }
}

/// Whether decimal type `wide` holds every value of `narrow`.
fn holds(wide: &DataType, narrow: &DataType) -> bool {
    match (wide, decimal_of(narrow)) {
        (DataType::Decimal128(p, s), Some((np, ns))) => *s >= ns && (*p as i32 - *s as i32) >= (np as i32 - ns as i32),
        _ => false,
    }
}

fn can_fail(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (_, Utf8) | (Boolean, _) => false,
        (Utf8, Binary) | (Timestamp(..), Date32 | Int64 | Float32 | Float64 | Boolean) => false,
        (Float64, Float32) => false,
        (l, Boolean | Float32 | Float64) if is_numeric(l) => false,
        (l, Timestamp(..)) if is_integral(l) => *l == Int64,
        _ => true,
    }
}

/// Whether Spark casts `from` to `to` at all; Err is the condition it refuses with.
pub fn check(from: &DataType, to: &DataType, ansi: bool) -> std::result::Result<(), &'static str> {
    use DataType::*;
    const FUNCTION: &str = "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION";
    const SETTING: &str = "DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION";
    const NEVER: &str = "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION";
    match (from, to) {
        (l, r) if l == r => Ok(()),
        (Null, _) | (_, Utf8) => Ok(()),
        (Utf8, r) if !r.is_nested() => Ok(()),
        (l, r) if is_numeric(l) && is_numeric(r) => Ok(()),
        (Boolean, r) | (r, Boolean) if is_numeric(r) => Ok(()),
        (l, Timestamp(_, Some(_))) if is_numeric(l) => Ok(()),
        (Timestamp(_, Some(_)), r) if is_numeric(r) => Ok(()),
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => Ok(()),
        (Boolean, Timestamp(_, Some(_))) | (Timestamp(_, Some(_)), Boolean) => {
            if ansi {
                Err(SETTING)
            } else {
                Ok(())
            }
        }
        (Date32, r) if is_numeric(r) => Err(FUNCTION),
        (l, Date32) if is_numeric(l) => Err(FUNCTION),
        (l, Binary) if is_integral(l) => {
            if ansi {
                Err(SETTING)
            } else {
                Ok(())
            }
        }
        (List(l), List(r)) => check(l.data_type(), r.data_type(), ansi),
        (Struct(l), Struct(r)) if l.len() == r.len() => l
            .iter()
            .zip(r)
            .try_for_each(|(l, r)| check(l.data_type(), r.data_type(), ansi)),
        (Map(l, _), Map(r, _)) => {
            let ((lk, lv), (rk, rv)) = (key_and_value(l.data_type()), key_and_value(r.data_type()));
            check(&lk, &rk, ansi).and(check(&lv, &rv, ansi))
        }
        (Duration(_), Duration(_)) => Ok(()),
        _ => Err(NEVER),
    }
}

/// Casts a whole array.
pub fn convert(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType::*;
    let from = array.data_type().clone();
    if from == *to {
        return Ok(Arc::clone(array));
    }
    if is_plain(&from, to) {
        return Ok(cast(array, to)?);
    }
    match (&from, to) {
        (Null, _) => Ok(new_null_array(to, array.len())),
        (_, Utf8) => to_text(array),
        (Utf8, _) => from_text(array.as_string(), to, mode),
        (Boolean, Timestamp(..)) => {
            let micros = cast(array, &Int64)?;
            Ok(cast(&micros, to)?)
        }
        (Boolean, _) => {
            let number = cast(array, &Int32)?;
            convert(&number, to, mode)
        }
        (l, Boolean) if is_integral(l) || is_floating(l) => Ok(cast(array, to)?),
        (Decimal128(..), Boolean) => {
            let values = array.as_primitive::<Decimal128Type>();
            Ok(Arc::new(
                values.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>(),
            ))
        }
        (l, r) if is_integral(l) && is_integral(r) => narrow(array, to, mode),
        (l, r) if is_floating(l) && is_integral(r) => float_to_int(array, to, mode),
        (Float64, Float32) => Ok(cast(array, to)?),
        (_, Decimal128(..)) if is_numeric(&from) => to_decimal(array, to, mode),
        (Decimal128(_, scale), r) if is_integral(r) => decimal_to_int(array, *scale, to, mode),
        (Decimal128(_, scale), _) if is_floating(to) => decimal_to_float(array, *scale, to),
        (l, Timestamp(..)) if is_numeric(l) => number_to_timestamp(array, to, mode),
        (Timestamp(..), Date32) => Ok(timestamp_to_date(array)),
        (Timestamp(..), _) => timestamp_to_number(array, to, mode),
        (Struct(_), Struct(fields)) => {
            let values = array.as_struct();
            let columns = values.columns().iter().zip(fields);
            let columns = columns
                .map(|(c, f)| convert(c, f.data_type(), mode))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                values.nulls().cloned(),
            )?))
        }
        (List(_), List(element)) => {
            let list: &ListArray = array.as_list();
            let values = convert(list.values(), element.data_type(), mode)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        _ => Ok(cast(array, to)?),
    }
}

fn malformed(value: &str, from: &DataType, to: &DataType) -> Error {
    let (from, to) = (message_type_name(from), message_type_name(to));
    let value = if from == "STRING" {
        format!("'{value}'")
    } else {
        value.to_string()
    };
    Error::spark(
        "CAST_INVALID_INPUT",
        format!(
            "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" because it is malformed. Correct the \
             value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return \
             NULL instead."
        ),
    )
}

fn overflow(value: impl std::fmt::Display, from: &DataType, to: &DataType) -> Error {
    let (from, to) = (message_type_name(from), message_type_name(to));
    Error::spark(
        "CAST_OVERFLOW",
        format!(
            "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" due to an overflow. Use `try_cast` to \
             tolerate overflow and return NULL instead."
        ),
    )
}

/// Applies `one` to each value; what it gives None for is an error in ANSI mode, else NULL.
fn each<S, T>(
    values: &PrimitiveArray<S>,
    mode: Mode,
    one: impl Fn(S::Native) -> Option<T::Native>,
    failed: impl Fn(S::Native) -> Error,
) -> Result<PrimitiveArray<T>>
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    if mode == Mode::Ansi {
        let exact = arrow::compute::try_unary(values, |v| {
            one(v).ok_or_else(|| arrow::error::ArrowError::ExternalError(Box::new(failed(v))))
        });
        return Ok(exact?);
    }
    Ok(unary_opt(values, one))
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    #[test]
    fn text_becomes_a_number_or_an_error_that_names_it() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(" 12 "), None]));
        let numbers = convert(&texts, &DataType::Int32, Mode::Ansi).unwrap();
        assert_eq!(
            numbers.as_primitive::<Int32Type>(),
            &PrimitiveArray::from(vec![Some(12), None])
        );

        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1.5"]));
        let error = convert(&texts, &DataType::Int32, Mode::Ansi).unwrap_err();
        assert_eq!(error.condition(), Some("CAST_INVALID_INPUT"));
        assert!(
            error
                .to_string()
                .starts_with("The value '1.5' of the type \"STRING\" cannot be cast to \"INT\"")
        );
        let legacy = convert(&texts, &DataType::Int32, Mode::Java).unwrap();
        assert_eq!(legacy.as_primitive::<Int32Type>().value(0), 1);
        assert!(convert(&texts, &DataType::Int32, Mode::Try).unwrap().is_null(0));
    }
}
