//! Files of rows, whatever their format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::csv::{CsvOptions, read_csv};
use super::in_order;
use super::infer::{infer_csv, infer_json};
use super::json::{JsonOptions, read_json_lines};
use super::options::Options;
use super::parquet::{parquet_schema, read_parquet};
use super::text::{read_text, text_schema};
use crate::{Error, Result};

/// How the rows of a file are written down.
#[derive(Debug, Clone)]
pub enum FileFormat {
    /// Values between separators.
    Csv(Box<CsvOptions>),
    /// One object a line.
    Json(Box<JsonOptions>),
    /// Columns, compressed.
    Parquet,
    /// Lines; the separator is a line feed, a carriage return or both unless one is given.
    Text(Option<String>),
}

impl FileFormat {
    /// A format by Spark's name, with its options; `today`, in days since 1970-01-01, is the day a bare time means.
    ///
    /// # Errors
    /// A name that is no format, a bad option.
    pub fn new(name: &str, options: &BTreeMap<String, String>, today: i32) -> Result<FileFormat> {
        Self::from_options(name, &mut Options::new(options), today)
    }

    pub(crate) fn from_options(name: &str, options: &mut Options, today: i32) -> Result<FileFormat> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "csv" => FileFormat::Csv(Box::new(CsvOptions::from_options(options, today)?)),
            "json" => FileFormat::Json(Box::new(JsonOptions::from_options(options, today)?)),
            "parquet" => FileFormat::Parquet,
            "text" => FileFormat::Text(options.text("lineSep")),
            other => {
                return Err(Error::spark(
                    "DATA_SOURCE_NOT_FOUND",
                    format!("there is no file format `{other}`; use csv, json, parquet or text"),
                ));
            }
        })
    }

    /// Spark's name of the format.
    pub fn name(&self) -> &'static str {
        match self {
            FileFormat::Csv(_) => "csv",
            FileFormat::Json(_) => "json",
            FileFormat::Parquet => "parquet",
            FileFormat::Text(_) => "text",
        }
    }

    /// The schema files suggest.
    ///
    /// # Errors
    /// `UNABLE_TO_INFER_SCHEMA` if they hold nothing to go by; a file that cannot be read.
    pub fn infer_schema(&self, paths: &[PathBuf]) -> Result<SchemaRef> {
        let bytes = || {
            paths
                .iter()
                .map(|path| Ok(Cow::Owned(read_bytes(path)?)))
                .collect::<Result<Vec<_>>>()
        };
        match self {
            FileFormat::Csv(options) => infer_csv(&bytes()?, options),
            FileFormat::Json(options) => infer_json(&bytes()?, options),
            FileFormat::Text(_) => Ok(text_schema()),
            FileFormat::Parquet => match paths {
                [] => Err(Error::spark(
                    "UNABLE_TO_INFER_SCHEMA",
                    "unable to infer schema for Parquet: there are no files",
                )),
                [first, ..] => parquet_schema(first),
            },
        }
    }

    /// Reads files, in parallel but in order.
    ///
    /// # Errors
    /// A file that cannot be read or does not fit, by its name.
    pub fn read(&self, paths: &[PathBuf], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
        if matches!(self, FileFormat::Parquet) {
            return read_parquet(paths, schema, threads);
        }
        in_order(paths, threads, |path| {
            let bytes = read_bytes(path)?;
            self.decode(&bytes, schema).map_err(|error| in_file(path, error))
        })
        .into_iter()
        .collect()
    }

    fn decode(&self, bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
        match self {
            FileFormat::Csv(options) => read_csv(bytes, schema, options),
            FileFormat::Json(options) => read_json_lines(bytes, schema, options),
            FileFormat::Text(separator) => read_text(bytes, separator.as_deref())?
                .with_schema(Arc::clone(schema))
                .map_err(Error::from),
            FileFormat::Parquet => Err(Error::Invalid("Parquet is read from files, not from memory".to_owned())),
        }
    }
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Error::spark(
                "FAILED_READ_FILE.FILE_NOT_EXIST",
                format!(
                    "{} is gone before it was read; option `ignoreMissingFiles` would go on without it",
                    path.display()
                ),
            );
        }
        Error::Io {
            path: path.to_owned(),
            source,
        }
    })
}

/// Says which file an error is about.
fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Spark { condition, message } => Error::Spark {
            condition,
            message: format!("{}: {message}", path.display()),
        },
        Error::Invalid(message) => Error::Invalid(format!("{}: {message}", path.display())),
        other => other,
    }
}
