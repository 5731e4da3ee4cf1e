//! Rows as bytes: JSON lines, CSV and Parquet as Spark reads them.

mod csv;
mod json;
mod parquet;
mod time;

use std::fmt;

use arrow::array::{
    Array, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, SchemaRef};
use serde::{Deserialize, Serialize};

pub use csv::CsvEncoder;
pub use json::JsonEncoder;
pub use parquet::ParquetEncoder;
pub use time::TimeText;

use crate::error::{Error, Result};

/// A file format of micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[serde(rename = "jsonl")]
    Json,
    /// With a header line.
    Csv,
    /// Snappy-compressed.
    Parquet,
}

impl Format {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Format::Json => "jsonl",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }

    /// The format of this name.
    ///
    /// # Errors
    /// A sentence that lists the formats.
    pub fn parse(name: &str) -> std::result::Result<Format, String> {
        match name.to_lowercase().as_str() {
            "json" | "jsonl" => Ok(Format::Json),
            "csv" => Ok(Format::Csv),
            "parquet" => Ok(Format::Parquet),
            "avro" | "protobuf" | "confluent" => Err(format!(
                "`{name}`: values in the Confluent wire format (Avro or Protobuf with a schema registry) are recorded and \
                 replayed as they are, but not generated; write `json` or `csv`"
            )),
            _ => Err(format!(
                "unknown format `{name}`; the formats are `json`, `csv`, `parquet`"
            )),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// Turns micro-batches into the bytes of one file each.
#[derive(Debug)]
pub enum Encoder {
    /// JSON lines.
    Json(JsonEncoder),
    /// CSV.
    Csv(CsvEncoder),
    /// Parquet.
    Parquet(Box<ParquetEncoder>),
}

impl Encoder {
    /// An encoder for rows of this schema.
    pub fn new(format: Format, schema: &SchemaRef) -> Encoder {
        match format {
            Format::Json => Encoder::Json(JsonEncoder::new(schema)),
            Format::Csv => Encoder::Csv(CsvEncoder::new(schema)),
            Format::Parquet => Encoder::Parquet(Box::new(ParquetEncoder::new(schema))),
        }
    }

    /// Appends the file of these rows to `out`.
    ///
    /// # Errors
    /// For a column type the format does not know, and for line breaks in CSV.
    pub fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Encoder::Json(json) => json.encode(rows, out),
            Encoder::Csv(csv) => csv.encode(rows, out),
            Encoder::Parquet(parquet) => parquet.encode(rows, out),
        }
    }
}

/// A column with its type known, so that a row loop decides nothing twice.
enum Cells<'a> {
    Text(&'a StringArray),
    Int(&'a Int32Array),
    Bigint(&'a Int64Array),
    Double(&'a Float64Array),
    Boolean(&'a BooleanArray),
    Timestamp(&'a TimestampMicrosecondArray),
    Date(&'a Date32Array),
    Decimal(&'a Decimal128Array, usize),
}

/// The columns of a batch, each with its nulls if it has any.
fn columns(rows: &RecordBatch) -> Result<Vec<(Cells<'_>, Option<&arrow::buffer::NullBuffer>)>> {
    rows.columns()
        .iter()
        .map(|column| {
            let cells = match column.data_type() {
                DataType::Utf8 => Cells::Text(column.as_string()),
                DataType::Int32 => Cells::Int(column.as_primitive()),
                DataType::Int64 => Cells::Bigint(column.as_primitive()),
                DataType::Float64 => Cells::Double(column.as_primitive()),
                DataType::Boolean => Cells::Boolean(column.as_boolean()),
                DataType::Timestamp(..) => Cells::Timestamp(column.as_primitive()),
                DataType::Date32 => Cells::Date(column.as_primitive()),
                DataType::Decimal128(_, scale) => Cells::Decimal(column.as_primitive(), *scale as usize),
                other => {
                    return Err(Error::Unsupported(format!(
                        "a column of type {other} cannot be written as text"
                    )));
                }
            };
            Ok((cells, column.nulls().filter(|nulls| nulls.null_count() > 0)))
        })
        .collect()
}

/// A decimal of `scale` places from its units.
fn write_decimal(units: i128, scale: usize, out: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let text = digits.format(units.unsigned_abs());
    if units < 0 {
        out.push(b'-');
    }
    if scale == 0 {
        return out.extend_from_slice(text.as_bytes());
    }
    let (whole, part) = text.split_at(text.len().saturating_sub(scale));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole.as_bytes() });
    out.push(b'.');
    out.extend(std::iter::repeat_n(b'0', scale - part.len()));
    out.extend_from_slice(part.as_bytes());
}

/// A double as Spark's readers take it.
fn write_double(value: f64, quote: &[u8], out: &mut Vec<u8>) {
    if value.is_finite() {
        return out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
    out.extend_from_slice(quote);
    out.extend_from_slice(match value {
        value if value.is_nan() => b"NaN",
        value if value > 0.0 => b"Infinity",
        _ => b"-Infinity",
    });
    out.extend_from_slice(quote);
}
