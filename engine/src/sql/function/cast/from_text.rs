//! From text, as Spark reads values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, PrimitiveArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, DurationMicrosecondType, Float32Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::number::{Native, unscaled, with_integral};
use super::{Mode, malformed};
use crate::Result;
use crate::format::number::parse_double;
use crate::format::time::{parse_date, parse_timestamp};
use crate::sql::function::arithmetic::{fits, out_of_range};

/// Reads text as a value of type `to`.
pub(super) fn from_text(texts: &StringArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let failed = |text: &str| -> Result<()> {
        if mode == Mode::Ansi {
            Err(malformed(text, &DataType::Utf8, to))
        } else {
            Ok(())
        }
    };
    /// Collects what `one` reads.
    macro_rules! read {
        ($array:ty, $one:expr) => {{
            let one = $one;
            let values = texts.iter().map(|text| match text {
                None => Ok(None),
                Some(text) => match one(text) {
                    None => failed(text).map(|()| None),
                    value => Ok(value),
                },
            });
            values.collect::<Result<$array>>()?
        }};
    }
    Ok(match to {
        DataType::Boolean => Arc::new(read!(BooleanArray, read_bool)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => with_integral!(to, Target, {
            let one = |text: &str| read_int(text, mode).and_then(|v| Native::<Target>::try_from(v).ok());
            Arc::new(read!(PrimitiveArray<Target>, one)) as ArrayRef
        }),
        DataType::Float64 => Arc::new(read!(Float64Array, read_double)),
        DataType::Float32 => Arc::new(read!(PrimitiveArray<Float32Type>, |text: &str| read_double(text)
            .map(|v| v as f32))),
        DataType::Decimal128(precision, scale) => {
            let values = texts.iter().map(|text| {
                let Some(text) = text else { return Ok(None) };
                match unscaled(text.trim_matches(is_blank), *scale) {
                    None => failed(text).map(|()| None),
                    Some(v) if fits(v, *precision) => Ok(Some(v)),
                    Some(_) if mode == Mode::Ansi => Err(out_of_range(*precision, *scale)),
                    Some(_) => Ok(None),
                }
            });
            let values = values.collect::<Result<Decimal128Array>>()?;
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Date32 => Arc::new(read!(Date32Array, |text: &str| parse_date(text.as_bytes()))),
        DataType::Timestamp(..) => Arc::new(
            read!(TimestampMicrosecondArray, |text: &str| parse_timestamp(
                text.as_bytes(),
                0
            ))
            .with_data_type(to.clone()),
        ),
        DataType::Binary => Arc::new(
            texts
                .iter()
                .map(|text| text.map(str::as_bytes))
                .collect::<BinaryArray>(),
        ),
        DataType::Duration(_) => {
            let one = |text: &str| crate::sql::interval::parse_interval_us(text).ok();
            Arc::new(read!(PrimitiveArray<DurationMicrosecondType>, one))
        }
        other => return Ok(cast(texts, other)?),
    })
}

fn read_bool(text: &str) -> Option<bool> {
    match text.trim_matches(is_blank).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Digits with a sign; without ANSI a fraction is cut.
fn read_int(text: &str, mode: Mode) -> Option<i64> {
    let text = text.trim_matches(is_blank);
    if mode == Mode::Java
        && let Some((whole, fraction)) = text.split_once('.')
    {
        let digits = fraction.bytes().all(|b| b.is_ascii_digit());
        let empty = matches!(whole, "" | "+" | "-");
        return if digits && empty && !fraction.is_empty() {
            Some(0)
        } else {
            whole.parse().ok().filter(|_| digits)
        };
    }
    text.parse().ok()
}

/// What Java's parser reads, and the infinities and NaN in any case.
fn read_double(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(is_blank);
    match trimmed.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if trimmed.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        "nan" => Some(f64::NAN),
        _ => parse_double(text.as_bytes()),
    }
}

/// What Spark trims: blanks and control characters.
fn is_blank(c: char) -> bool {
    c <= ' ' || c == '\u{7f}'
}
