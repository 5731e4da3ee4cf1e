//! Values of rows as JSON, one way only, so that other programs can compare.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::DateTime;
use serde_json::Value;

/// Rows as the vectors write them, in the order of their compact JSON text.
///
/// Timestamps have six decimals and Z; structs and arrays are lists, maps sorted lists of pairs, decimals strings, binary
/// base64, a float the double of the same value; NaN and the infinities are strings.
pub fn rows_json(rows: &RecordBatch) -> Vec<Value> {
    let row = |at: usize| Value::Array(rows.columns().iter().map(|column| value_json(column, at)).collect());
    sorted((0..rows.num_rows()).map(row).collect())
}

/// JSON in the order of code points of its compact text.
pub fn sorted(values: Vec<Value>) -> Vec<Value> {
    let mut keyed: Vec<(String, Value)> = values.into_iter().map(|v| (v.to_string(), v)).collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, v)| v).collect()
}

/// One value as the vectors write it.
pub fn value_json(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float32 => double_json(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => double_json(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Binary => base64_encoded(column.as_binary::<i32>().value(row)).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            iso(column.as_primitive::<TimestampMicrosecondType>().value(row)).into()
        }
        DataType::Duration(TimeUnit::Microsecond) => interval(
            column
                .as_primitive::<arrow::datatypes::DurationMicrosecondType>()
                .value(row),
        )
        .into(),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row).into(),
        DataType::Struct(_) => column
            .as_struct()
            .columns()
            .iter()
            .map(|c| value_json(c, row))
            .collect::<Vec<_>>()
            .into(),
        DataType::List(_) => list_json(&column.as_list::<i32>().value(row)).into(),
        DataType::Map(..) => {
            let pairs: ArrayRef = Arc::new(column.as_map().value(row));
            sorted(list_json(&pairs)).into()
        }
        // Dates, and whatever else a query may return, as Arrow writes them.
        _ => match ArrayFormatter::try_new(column, &FormatOptions::default()) {
            Ok(formatter) => formatter.value(row).to_string().into(),
            Err(error) => error.to_string().into(),
        },
    }
}

/// A day-time interval as Python writes it, which wrote the vectors: `-1 day, 10:45:44.321099`.
fn interval(micros: i64) -> String {
    const DAY_US: i64 = 86_400_000_000;
    let (days, clock) = (micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US));
    let (seconds, fraction) = (clock / 1_000_000, clock % 1_000_000);
    let mut text = match days {
        0 => String::new(),
        -1 | 1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    text.push_str(&format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    ));
    if fraction != 0 {
        text.push_str(&format!(".{fraction:06}"));
    }
    text
}

fn list_json(values: &ArrayRef) -> Vec<Value> {
    (0..values.len()).map(|at| value_json(values, at)).collect()
}

fn double_json(value: f64) -> Value {
    match value {
        v if v.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        v => v.into(),
    }
}

/// Microseconds since 1970-01-01T00:00:00 UTC, six decimals and Z.
pub fn iso(micros: i64) -> String {
    match DateTime::from_timestamp_micros(micros) {
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        None => format!("{micros} us"),
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let sextet = (bits >> (18 - 6 * at)) & 63;
            text.push(if at <= chunk.len() {
                BASE64[sextet as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

pub(crate) fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    let (mut bits, mut count) = (0u32, 0);
    for letter in text.bytes().filter(|b| *b != b'=') {
        let sextet = BASE64.iter().position(|b| *b == letter)?;
        bits = bits << 6 | sextet as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_survives_a_round_trip() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (&[0, 255, 16], "AP8Q"),
        ] {
            assert_eq!(base64_encoded(bytes), text);
            assert_eq!(base64_decoded(text).as_deref(), Some(bytes));
        }
    }

    #[test]
    fn times_have_six_decimals() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(iso(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn intervals_are_written_as_python_writes_them() {
        for (micros, text) in [
            (0, "0:00:00"),
            (300_000_000, "0:05:00"),
            (86_400_000_000, "1 day, 0:00:00"),
            (-47_655_678_901, "-1 day, 10:45:44.321099"),
            (5_145_255_678_901, "59 days, 13:14:15.678901"),
        ] {
            assert_eq!(interval(micros), text);
        }
    }
}
