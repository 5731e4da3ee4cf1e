//! `trace.toml`: what a directory of micro-batches is.
//!
//! ```text
//! out/trace.toml
//! out/scotsmen/000000.jsonl     one file, one micro-batch; an empty file is an empty micro-batch
//! out/scotsmen/000001.jsonl
//! ```
//! The file is written last: where it is, the trace is complete.

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::encode::Format;
use crate::error::{Error, Result};
use crate::spec::StreamSpec;
use crate::stream::ColumnType;

/// The name of the file.
pub const TRACE_FILE: &str = "trace.toml";

/// What `trace.toml` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceFile {
    /// Version of this layout: 1.
    pub version: u32,
    /// The seed the rows were made from, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How the rows were recorded, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<TraceKafka>,
    /// The streams, in the order of their offsets.
    #[serde(default)]
    pub streams: Vec<TraceStream>,
}

/// How a trace was recorded from Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceKafka {
    /// The brokers that were asked.
    pub bootstrap: String,
    /// The order of the records, in words.
    pub order: String,
    /// Where micro-batches end: a span of time, or a number of records.
    pub batch: String,
}

/// One stream of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceStream {
    /// Its name, which is also its directory.
    pub name: String,
    /// The format of its files.
    pub format: Format,
    /// Its micro-batches, empty ones included.
    pub micro_batches: u64,
    /// Its columns with Spark's types.
    pub columns: Vec<TraceColumn>,
    /// The specification it was made from, with all defaults written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<toml::Table>,
    /// The topic it was recorded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka: Option<TraceTopic>,
}

/// The topic a stream was recorded from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceTopic {
    /// Its name.
    pub topic: String,
    /// Its id, which tells it from another of that name.
    pub id: String,
    /// The directory with its records as Kafka had them, a file for each micro-batch.
    pub records: String,
    /// Its partitions.
    pub partitions: Vec<TracePartition>,
}

/// A partition of a recorded topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePartition {
    /// Its number.
    pub partition: i32,
    /// The first offset asked for.
    pub from: i64,
    /// The offset after the last record.
    pub to: i64,
    /// How many records lie between them.
    pub records: u64,
}

/// A column and its type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceColumn {
    /// Its name.
    pub name: String,
    /// Its type by Spark's name, such as `bigint` or `decimal(10,2)`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl TraceFile {
    /// As TOML text.
    ///
    /// # Errors
    /// When a value has no place in TOML, such as an integer above 2^63.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::Trace(error.to_string()))
    }

    /// Reads TOML text.
    ///
    /// # Errors
    /// When it is no TOML, or lacks a field.
    pub fn from_toml(text: &str) -> Result<TraceFile> {
        toml::from_str(text).map_err(|error| Error::Trace(error.to_string()))
    }
}

impl TraceStream {
    /// The stream's description.
    ///
    /// # Errors
    /// When a column's type has no Spark name here.
    pub fn new(
        name: &str,
        format: Format,
        micro_batches: u64,
        schema: &Schema,
        spec: Option<&StreamSpec>,
    ) -> Result<TraceStream> {
        let columns: Result<Vec<TraceColumn>> = schema
            .fields()
            .iter()
            .map(|field| {
                Ok(TraceColumn {
                    name: field.name().clone(),
                    kind: type_name(field.data_type())?,
                })
            })
            .collect();
        let as_table = |spec: &StreamSpec| toml::Table::try_from(spec).map_err(|error| Error::Trace(error.to_string()));
        let spec = spec.map(as_table).transpose()?;
        Ok(TraceStream {
            name: name.to_owned(),
            format,
            micro_batches,
            columns: columns?,
            spec,
            kafka: None,
        })
    }

    /// The Arrow schema of the rows.
    ///
    /// # Errors
    /// When a type is unknown.
    pub fn schema(&self) -> Result<SchemaRef> {
        let fields: Result<Vec<Field>> = self
            .columns
            .iter()
            .map(|column| {
                let kind = ColumnType::parse(&column.kind).map_err(Error::Trace)?;
                Ok(Field::new(&column.name, kind.arrow(), true))
            })
            .collect();
        Ok(Arc::new(Schema::new(fields?)))
    }

    /// The file of micro-batch `number`, relative to the trace.
    pub fn file(&self, number: u64) -> String {
        format!("{}/{}", self.name, file_name(number, self.format))
    }
}

/// The file name of a micro-batch; names sort as numbers.
pub fn file_name(number: u64, format: Format) -> String {
    format!("{number:06}.{}", format.extension())
}

fn type_name(kind: &DataType) -> Result<String> {
    Ok(match kind {
        DataType::Utf8 => ColumnType::String,
        DataType::Int32 => ColumnType::Int,
        DataType::Int64 => ColumnType::Bigint,
        DataType::Float64 => ColumnType::Double,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Date32 => ColumnType::Date,
        DataType::Decimal128(precision, scale) => ColumnType::Decimal(*precision, *scale),
        other => {
            return Err(Error::Trace(format!(
                "columns of type {other} have no place in a trace"
            )));
        }
    }
    .to_string())
}
