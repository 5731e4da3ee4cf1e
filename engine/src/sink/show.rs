//! A table as `Dataset.show` prints it.

use std::fmt::Write;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};

use crate::format::number::{write_decimal, write_double, write_float};
use crate::format::time::{write_date, write_timestamp};
use crate::format::write_hex;

/// Columns are at least this wide.
const WIDTH_MIN: usize = 3;

/// The table of the first `rows_max` rows.
///
/// Values longer than `truncate` characters are cut and end in `...`; 0 leaves them whole and aligns to the left.
pub fn show(rows: &RecordBatch, rows_max: usize, truncate: usize) -> String {
    let shown = rows.num_rows().min(rows_max);
    let cells: Vec<Vec<String>> = rows
        .columns()
        .iter()
        .zip(rows.schema_ref().fields())
        .map(|(column, field)| {
            let values = (0..shown).map(|row| cut(cell(column.as_ref(), row), truncate));
            std::iter::once(escaped(field.name())).chain(values).collect()
        })
        .collect();
    let widths: Vec<usize> = cells
        .iter()
        .map(|column| column.iter().map(|text| width(text)).max().unwrap_or(0).max(WIDTH_MIN))
        .collect();
    let mut out = String::new();
    let rule = widths
        .iter()
        .map(|width| "-".repeat(*width))
        .collect::<Vec<_>>()
        .join("+");
    let _ = writeln!(out, "+{rule}+");
    for line in 0..=shown {
        let texts = cells
            .iter()
            .zip(&widths)
            .map(|(column, width)| padded(&column[line], *width, truncate > 0));
        let _ = writeln!(out, "|{}|", texts.collect::<Vec<_>>().join("|"));
        if line == 0 {
            let _ = writeln!(out, "+{rule}+");
        }
    }
    let _ = writeln!(out, "+{rule}+");
    if rows.num_rows() > shown {
        let rows = if shown == 1 { "row" } else { "rows" };
        let _ = write!(out, "only showing top {shown} {rows}");
    }
    out
}

fn cell(array: &dyn Array, row: usize) -> String {
    let mut text = String::new();
    write_value(array, row, &mut text);
    escaped(&text)
}

/// Line ends and the like are shown as what one types for them.
fn escaped(text: &str) -> String {
    if !text.contains(|c: char| c < ' ') {
        return text.to_owned();
    }
    text.chars()
        .fold(String::with_capacity(text.len() + 4), |mut out, letter| {
            match letter {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\x0c' => out.push_str("\\f"),
                '\x08' => out.push_str("\\b"),
                '\x0b' => out.push_str("\\v"),
                '\x07' => out.push_str("\\a"),
                other => out.push(other),
            }
            out
        })
}

/// Java counts UTF-16 units.
fn cut(text: String, truncate: usize) -> String {
    if truncate == 0 || text.encode_utf16().count() <= truncate {
        return text;
    }
    let (kept, dots) = if truncate < 4 {
        (truncate, "")
    } else {
        (truncate - 3, "...")
    };
    let units: Vec<u16> = text.encode_utf16().take(kept).collect();
    // Half of a pair of surrogates prints as a question mark.
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or('?'))
        .collect::<String>()
        + dots
}

fn padded(text: &str, width_wanted: usize, right: bool) -> String {
    let blanks = " ".repeat(width_wanted.saturating_sub(width(text)));
    if right {
        blanks + text
    } else {
        text.to_owned() + &blanks
    }
}

/// The columns a text takes in a terminal, as Spark counts: two for an East Asian full-width character, else one a
/// UTF-16 unit.
fn width(text: &str) -> usize {
    text.encode_utf16()
        .map(|unit| if is_full_width(unit) { 2 } else { 1 })
        .sum()
}

fn is_full_width(unit: u16) -> bool {
    matches!(unit, 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6)
}

/// Appends a value as `show` prints it: `NULL`, `{1, x}`, `[1, NULL]`, `{k -> 1}`, `2024-12-03 10:00:00`, `1.0E10`.
pub fn write_value(array: &dyn Array, row: usize, out: &mut String) {
    if array.is_null(row) {
        return out.push_str("NULL");
    }
    let mut buffer = itoa::Buffer::new();
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => out.push_str(buffer.format(array.as_primitive::<Int8Type>().value(row))),
        DataType::Int16 => out.push_str(buffer.format(array.as_primitive::<Int16Type>().value(row))),
        DataType::Int32 => out.push_str(buffer.format(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => out.push_str(buffer.format(array.as_primitive::<Int64Type>().value(row))),
        DataType::Float32 => write_float(array.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => write_double(array.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(_, scale) => write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, out),
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::Binary => write_hex(array.as_binary::<i32>().value(row), out),
        DataType::Date32 => write_date(array.as_primitive::<Date32Type>().value(row), out),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            write_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row), out);
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns();
            write_list('{', columns.iter().map(|column| (column.as_ref(), row)), '}', out);
        }
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            write_list('[', (0..values.len()).map(|index| (values.as_ref(), index)), ']', out);
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            out.push('{');
            for entry in 0..entries.len() {
                if entry > 0 {
                    out.push_str(", ");
                }
                write_value(entries.column(0).as_ref(), entry, out);
                out.push_str(" -> ");
                write_value(entries.column(1).as_ref(), entry, out);
            }
            out.push('}');
        }
        DataType::Null => out.push_str("NULL"),
        other => {
            let _ = write!(out, "<{other}>");
        }
    }
}

fn write_list<'a>(open: char, values: impl Iterator<Item = (&'a dyn Array, usize)>, close: char, out: &mut String) {
    out.push(open);
    for (index, (array, row)) in values.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_value(array, row, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int32Array, StringArray};

    use super::*;

    #[test]
    fn long_values_are_cut_and_wide_characters_take_two_columns() {
        let rows = RecordBatch::try_from_iter([
            (
                "名前",
                Arc::new(StringArray::from(vec!["ダンプ", "a value of thirty characters!!"])) as ArrayRef,
            ),
            ("x", Arc::new(Float64Array::from(vec![Some(1e10), None]))),
        ])
        .unwrap();
        insta::assert_snapshot!(show(&rows, 20, 20), @r"
        +--------------------+------+
        |                名前|     x|
        +--------------------+------+
        |              ダンプ|1.0E10|
        |a value of thirty...|  NULL|
        +--------------------+------+
        ");
        insta::assert_snapshot!(show(&rows, 20, 0), @r"
        +------------------------------+------+
        |名前                          |x     |
        +------------------------------+------+
        |ダンプ                        |1.0E10|
        |a value of thirty characters!!|NULL  |
        +------------------------------+------+
        ");
        insta::assert_snapshot!(show(&rows, 1, 2), @r"
        +----+---+
        |名前|  x|
        +----+---+
        |ダン| 1.|
        +----+---+
        only showing top 1 row
        ");
    }

    #[test]
    fn control_characters_are_spelled_out() {
        let rows = RecordBatch::try_from_iter([
            ("s", Arc::new(StringArray::from(vec!["a\tb\nc"])) as ArrayRef),
            ("n", Arc::new(Int32Array::from(vec![1]))),
        ])
        .unwrap();
        insta::assert_snapshot!(show(&rows, 20, 20), @r"
        +-------+---+
        |      s|  n|
        +-------+---+
        |a\tb\nc|  1|
        +-------+---+
        ");
    }
}
