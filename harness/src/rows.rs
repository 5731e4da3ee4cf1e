//! Rows as values: how they are written, and whether two sets of them are the same.
//!
//! Values are JSON in the form of the vectors: timestamps with six decimals and a Z, structs as lists, decimals as
//! text, binary as base64.

mod json;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use serde_json::Value;

pub(crate) use json::base64_decoded;
pub use json::{iso, rows_json, sorted, value_json};

/// One row, a value per column.
pub type Row = Vec<Value>;

/// The rows of a batch as values, in its order.
pub fn row_values(rows: &RecordBatch) -> Vec<Row> {
    (0..rows.num_rows())
        .map(|row| rows.columns().iter().map(|column| value_json(column, row)).collect())
        .collect()
}

/// Doubles this close, relative to the larger, are the same: sums may be added in another order.
const DOUBLE_TOLERANCE: f64 = 1e-12;

/// The rows of two batches that are not in both.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference {
    /// Expected and not there.
    pub missing: Vec<Row>,
    /// There and not expected.
    pub surplus: Vec<Row>,
}

impl Difference {
    /// Whether both held the same rows, however ordered.
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty()
    }
}

/// What differs between two batches, taken as multisets.
pub fn difference(expected: &RecordBatch, actual: &RecordBatch) -> Difference {
    if expected == actual {
        return Difference::default();
    }
    let (mut missing, mut surplus) = without_common(row_values(expected), row_values(actual));
    // What is left differs in text; doubles may still be the same number.
    missing.retain(|row| match surplus.iter().position(|other| same_row(row, other)) {
        Some(position) => {
            surplus.remove(position);
            false
        }
        None => true,
    });
    Difference { missing, surplus }
}

/// Both without the rows that are exactly in both.
fn without_common(expected: Vec<Row>, actual: Vec<Row>) -> (Vec<Row>, Vec<Row>) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in &actual {
        *counts.entry(compact(row)).or_default() += 1;
    }
    let mut common: BTreeMap<String, usize> = BTreeMap::new();
    let missing = expected
        .into_iter()
        .filter(|row| {
            let text = compact(row);
            match counts.get_mut(&text).filter(|count| **count > 0) {
                Some(count) => {
                    *count -= 1;
                    *common.entry(text).or_default() += 1;
                    false
                }
                None => true,
            }
        })
        .collect();
    let surplus = actual
        .into_iter()
        .filter(|row| match common.get_mut(&compact(row)).filter(|count| **count > 0) {
            Some(count) => {
                *count -= 1;
                false
            }
            None => true,
        })
        .collect();
    (missing, surplus)
}

/// The compact JSON text of a row.
pub fn compact(row: &Row) -> String {
    serde_json::to_string(row).expect("JSON values can be written")
}

/// Whether two rows are the same, doubles within the tolerance.
pub fn same_row(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
}

/// Whether two values are the same, doubles within the tolerance.
pub fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
            a == b || (a - b).abs() <= DOUBLE_TOLERANCE * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => same_row(a, b),
        _ => a == b,
    }
}

/// A value as a person reads it in a report: text bare, a window as `[start, end)`, times without their zeros.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_string(),
        Value::String(text) => shown_text(text),
        Value::Array(items) => match items.as_slice() {
            [Value::String(start), Value::String(end)] if is_timestamp(start) && is_timestamp(end) => {
                format!("[{}, {})", shown_text(start), shown_text(end))
            }
            items => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        },
        other => other.to_string(),
    }
}

/// A timestamp without what is zero in it; other text as it stands.
fn shown_text(text: &str) -> String {
    if !is_timestamp(text) {
        return text.to_string();
    }
    let time = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // Only fractions lose their zeros.
    let time = if time.len() < SECONDS_LENGTH {
        &text[..SECONDS_LENGTH]
    } else {
        time
    };
    time.replacen('T', " ", 1)
}

/// Letters of `2024-12-03T10:02:59`.
const SECONDS_LENGTH: usize = 19;

/// Whether `text` has the form of a timestamp in a result.
pub fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() == "2024-12-03T10:02:59.000000Z".len()
        && bytes[4] == b'-'
        && bytes[10] == b'T'
        && bytes[13] == b':'
        && bytes[26] == b'Z'
}

/// A time in microseconds since 1970-01-01T00:00:00 UTC, with as many decimals as it needs, at least three.
pub fn shown_time_us(us: i64) -> String {
    let Some(time) = chrono::DateTime::from_timestamp_micros(us) else {
        return format!("{us} us");
    };
    let format = if us % 1_000 == 0 {
        "%Y-%m-%d %H:%M:%S%.3f"
    } else {
        "%Y-%m-%d %H:%M:%S%.6f"
    };
    time.format(format).to_string()
}

/// A watermark in milliseconds since 1970-01-01T00:00:00 UTC, as a report shows it.
pub fn shown_watermark(watermark_ms: Option<i64>) -> String {
    watermark_ms.map_or("none".to_string(), |ms| shown_time_us(ms * 1_000))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn doubles_are_the_same_within_a_relative_trifle() {
        for (a, b, same) in [
            (json!(0.1), json!(0.1 + 1e-17), true),
            (json!(1e20), json!(1e20 + 1e6), true),
            (json!(1.0), json!(1.0 + 1e-11), false),
            (json!(1.0), json!(1.000001), false),
            (json!(1), json!(1.0), true),
            (json!("NaN"), json!("NaN"), true),
            (json!(null), json!(0.0), false),
            (json!([1.0, "a"]), json!([1.0, "a"]), true),
        ] {
            assert_eq!(same_value(&a, &b), same, "{a} and {b}");
        }
    }

    #[test]
    fn a_value_is_shown_as_people_write_it() {
        for (value, text) in [
            (json!("2024-12-03T10:00:00.000000Z"), "2024-12-03 10:00:00"),
            (json!("2024-12-03T10:02:59.999000Z"), "2024-12-03 10:02:59.999"),
            (
                json!(["2024-12-03T10:00:00.000000Z", "2024-12-03T10:03:00.000000Z"]),
                "[2024-12-03 10:00:00, 2024-12-03 10:03:00)",
            ),
            (json!(null), "NULL"),
            (json!("Porto"), "Porto"),
        ] {
            assert_eq!(shown(&value), text);
        }
    }
}
