//! Rows that do not fit their schema: the column that takes their text, and how a message shows them.

use arrow::datatypes::{DataType, Fields};

use super::column::{Column, Values};
use super::number::{double_to_string, float_to_string, write_decimal};
use crate::{Error, Result};

/// The index of the corrupt column, if the schema has it.
///
/// # Errors
/// `INVALID_CORRUPT_RECORD_TYPE` if it is no nullable string.
pub(crate) fn corrupt_column(fields: &Fields, name: &str) -> Result<Option<usize>> {
    let Some(index) = fields.iter().position(|field| field.name() == name) else {
        return Ok(None);
    };
    if fields[index].data_type() != &DataType::Utf8 {
        return Err(Error::spark(
            "INVALID_CORRUPT_RECORD_TYPE",
            format!(
                "the column `{name}` for corrupt records must have the nullable STRING type, but got {}",
                fields[index].data_type()
            ),
        ));
    }
    Ok(Some(index))
}

pub(crate) fn malformed(record: &str) -> Error {
    Error::spark(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        format!("malformed records are detected in record parsing: {record}; mode PERMISSIVE would make them NULL"),
    )
}

/// A row as Spark prints it in messages: `[null,x,5]`.
pub(crate) fn describe_row(columns: &[Column], row: usize) -> String {
    let values: Vec<String> = columns.iter().map(|column| describe(column, row)).collect();
    format!("[{}]", values.join(","))
}

fn describe(column: &Column, row: usize) -> String {
    if row >= column.len() || !column.is_valid(row) {
        return "null".to_owned();
    }
    match &column.values {
        Values::Boolean(values) => values[row].to_string(),
        Values::Int8(values) => values[row].to_string(),
        Values::Int16(values) => values[row].to_string(),
        Values::Int32(values) | Values::Date(values) => values[row].to_string(),
        Values::Int64(values) | Values::Timestamp(values, _) => values[row].to_string(),
        Values::Float32(values) => float_to_string(values[row]),
        Values::Float64(values) => double_to_string(values[row]),
        Values::Decimal(values, _, scale) => {
            let mut text = String::new();
            write_decimal(values[row], *scale, &mut text);
            text
        }
        Values::Bytes(bytes, _) => {
            let range = bytes.offsets[row] as usize..bytes.offsets[row + 1] as usize;
            String::from_utf8_lossy(&bytes.data[range]).into_owned()
        }
        Values::Struct(_, columns) => describe_row(columns, row),
        Values::List(..) | Values::Map(..) => "...".to_owned(),
        Values::Null => "null".to_owned(),
    }
}
