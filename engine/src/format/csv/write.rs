//! Columns as CSV text.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};

use super::{CsvOptions, TimeFormat};
use crate::format::number::{write_decimal_java, write_double, write_float};
use crate::format::time::{write_date, write_timestamp_iso, write_timestamp_ntz_iso};
use crate::{Error, Result};

/// Appends rows as Spark's CSV files have them, with a header line if the options say so.
///
/// # Errors
/// `UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE` for structs, arrays and maps.
pub fn write_csv(rows: &RecordBatch, options: &CsvOptions, out: &mut Vec<u8>) -> Result<()> {
    let line_end = options.line_separator.as_deref().unwrap_or("\n");
    let mut text = String::new();
    if options.header {
        for (index, field) in rows.schema_ref().fields().iter().enumerate() {
            write_separated(index, Some(field.name()), options, &mut text);
        }
        text.push_str(line_end);
    }
    let printers = rows
        .columns()
        .iter()
        .map(|column| Printer::new(column.as_ref()))
        .collect::<Result<Vec<_>>>()?;
    let mut value = String::new();
    for row in 0..rows.num_rows() {
        for (index, printer) in printers.iter().enumerate() {
            value.clear();
            let there = printer.print(row, options, &mut value);
            write_separated(index, there.then_some(&value), options, &mut text);
        }
        text.push_str(line_end);
        out.extend_from_slice(text.as_bytes());
        text.clear();
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn write_separated(index: usize, value: Option<&String>, options: &CsvOptions, out: &mut String) {
    if index > 0 {
        out.push_str(&options.separator);
    }
    match value {
        None if options.quote_all => write_quoted(&options.null_value, options, out),
        None => out.push_str(&options.null_value),
        Some(value) => write_value(trimmed(value, options), index == 0, options, out),
    }
}

/// Blanks around a value are cut unless the options keep them.
fn trimmed<'a>(value: &'a str, options: &CsvOptions) -> &'a str {
    let is_blank = |c: char| c <= ' ';
    let value = match options.ignore_leading_white_space {
        Some(false) => value,
        _ => value.trim_start_matches(is_blank),
    };
    match options.ignore_trailing_white_space {
        Some(false) => value,
        _ => value.trim_end_matches(is_blank),
    }
}

fn write_value(value: &str, first: bool, options: &CsvOptions, out: &mut String) {
    if value.is_empty() {
        return out.push_str(options.empty_value.as_deref().unwrap_or("\"\""));
    }
    let comment = options.comment.unwrap_or('#');
    let needs_quotes = value.contains(&options.separator)
        || value.contains(['\n', '\r'])
        || (options.escape_quotes && options.quote.is_some_and(|quote| value.contains(quote)))
        || (first && value.starts_with(comment));
    if options.quote_all || needs_quotes {
        write_quoted(value, options, out);
    } else {
        out.push_str(value);
    }
}

fn write_quoted(value: &str, options: &CsvOptions, out: &mut String) {
    let Some(quote) = options.quote else {
        return out.push_str(value);
    };
    out.push(quote);
    for letter in value.chars() {
        if Some(letter) == options.quote {
            out.extend(options.escape);
        } else if Some(letter) == options.escape {
            out.extend(options.escape_escape);
        }
        out.push(letter);
    }
    out.push(quote);
}

/// A column and its type.
struct Printer<'a> {
    array: &'a dyn Array,
}

impl<'a> Printer<'a> {
    fn new(array: &'a dyn Array) -> Result<Printer<'a>> {
        if array.data_type().is_nested() {
            return Err(Error::spark(
                "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
                format!(
                    "the CSV data source doesn't support a column of type {}",
                    array.data_type()
                ),
            ));
        }
        Ok(Printer { array })
    }

    /// Appends the value of a row; `false` if it is NULL.
    fn print(&self, row: usize, options: &CsvOptions, out: &mut String) -> bool {
        let array = self.array;
        if array.is_null(row) {
            return false;
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
            DataType::Decimal128(_, scale) => {
                write_decimal_java(array.as_primitive::<Decimal128Type>().value(row), *scale, out);
            }
            DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
            DataType::Binary => crate::format::write_hex(array.as_binary::<i32>().value(row), out),
            DataType::Date32 => {
                let days = array.as_primitive::<Date32Type>().value(row);
                match &options.date_format {
                    Some(TimeFormat::Pattern(pattern)) => pattern.write_date(days, out),
                    _ => write_date(days, out),
                }
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                match (zone, &options.timestamp_format, &options.timestamp_ntz_format) {
                    (Some(_), Some(TimeFormat::Pattern(pattern)), _)
                    | (None, _, Some(TimeFormat::Pattern(pattern))) => {
                        pattern.write_timestamp(micros, out);
                    }
                    (Some(_), ..) => write_timestamp_iso(micros, out),
                    (None, ..) => write_timestamp_ntz_iso(micros, out),
                }
            }
            _ => return false,
        }
        true
    }
}
