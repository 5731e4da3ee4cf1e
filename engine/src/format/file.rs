//! Files of rows, whatever their format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use super::columns::Columns;
use super::compression::Compression;
use super::csv::{CsvOptions, read_csv_columns};
use super::in_order;
use super::infer::{infer_csv, infer_json};
use super::json::{JsonOptions, read_json_columns};
use super::options::{Options, ParseMode};
use super::parquet::{parquet_schema, read_parquet_columns};
use super::text::{TextOptions, read_text, read_whole_text, text_schema};
use crate::sql::message_type_name;
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
    /// Lines, or a file as a whole.
    Text(TextOptions),
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
            "text" => FileFormat::Text(TextOptions::from_options(options)?),
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

    /// Reads the `needed` columns of files, in parallel but in order.
    ///
    /// # Errors
    /// A file that cannot be read or does not fit, by its name.
    pub fn read(&self, paths: &[PathBuf], schema: &SchemaRef, needed: &Columns) -> Result<Vec<RecordBatch>> {
        self.refuse_corrupt_alone(schema, needed)?;
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
        if matches!(self, FileFormat::Parquet) {
            return read_parquet_columns(paths, schema, needed, threads);
        }
        in_order(paths, threads, |path| {
            let bytes = read_bytes(path)?;
            self.decode(&bytes, schema, needed)
                .map_err(|error| in_file(path, error))
        })
        .into_iter()
        .collect()
    }

    fn decode(&self, bytes: &[u8], schema: &SchemaRef, needed: &Columns) -> Result<RecordBatch> {
        match self {
            FileFormat::Csv(options) => read_csv_columns(bytes, schema, needed, options),
            FileFormat::Json(options) => read_json_columns(bytes, schema, needed, options),
            FileFormat::Text(options) => read_text_as(bytes, schema, options),
            FileFormat::Parquet => Err(Error::Invalid("Parquet is read from files, not from memory".to_owned())),
        }
    }

    /// Refuses columns that files of this format do not hold.
    ///
    /// # Errors
    /// `UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE`, `SKIRL_UNSUPPORTED` for intervals.
    pub(crate) fn check_written(&self, schema: &SchemaRef) -> Result<()> {
        if let (FileFormat::Text(_), fields) = (self, schema.fields())
            && fields.len() != 1
        {
            return Err(Error::nameless(format!(
                "text data source supports only a single column, and you have {} columns",
                fields.len()
            )));
        }
        schema.fields().iter().try_for_each(|field| {
            let data_type = field.data_type();
            if matches!(data_type, DataType::Interval(_) | DataType::Duration(_)) {
                let message = format!(
                    "column `{}` is an interval, which Skirl does not write yet",
                    field.name()
                );
                return Err(Error::unsupported(message));
            }
            let holds = match self {
                FileFormat::Csv(_) => !data_type.is_nested() && *data_type != DataType::Null,
                FileFormat::Text(_) => *data_type == DataType::Utf8,
                FileFormat::Json(_) | FileFormat::Parquet => true,
            };
            match holds {
                true => Ok(()),
                false => Err(Error::spark(
                    "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
                    format!(
                        "the {} data source doesn't support the column `{}` of type {}; select what it can hold",
                        self.name(),
                        field.name(),
                        message_type_name(data_type)
                    ),
                )),
            }
        })
    }

    /// What becomes of malformed rows, and the column that takes their text if the schema has it.
    fn malformed(&self, schema: &SchemaRef) -> Option<(ParseMode, Option<usize>)> {
        let (mode, column) = match self {
            FileFormat::Csv(options) => (options.mode, &options.corrupt_column),
            FileFormat::Json(options) => (options.mode, &options.corrupt_column),
            FileFormat::Parquet | FileFormat::Text(_) => return None,
        };
        Some((mode, schema.fields().iter().position(|field| field.name() == column)))
    }

    /// Spark does not say what is malformed when nothing else is read.
    fn refuse_corrupt_alone(&self, schema: &SchemaRef, needed: &Columns) -> Result<()> {
        let corrupt = self.malformed(schema).and_then(|(_, corrupt)| corrupt);
        if corrupt.is_none_or(|corrupt| needed.of(schema) != [corrupt]) {
            return Ok(());
        }
        Err(Error::spark(
            "UNSUPPORTED_FEATURE.QUERY_ONLY_CORRUPT_RECORD_COLUMN",
            "the query reads no column but that of malformed rows; select another one beside it",
        ))
    }

    /// Refuses to read a stream twice at once where the columns of each time decide which rows are malformed.
    ///
    /// # Errors
    /// `SKIRL_UNSUPPORTED`.
    pub(crate) fn check_scans(&self, schema: &SchemaRef, scans: &[Columns]) -> Result<()> {
        let Some((mode, corrupt)) = self.malformed(schema) else {
            return Ok(());
        };
        let same = scans.windows(2).all(|pair| pair[0].of(schema) == pair[1].of(schema));
        let tells = corrupt.is_some_and(|corrupt| scans.iter().any(|scan| scan.contains(corrupt)));
        if same || (mode == ParseMode::Permissive && !tells) {
            return Ok(());
        }
        Err(Error::unsupported(
            "the query reads a stream of files twice with different columns, and Spark finds other rows malformed each time; \
             give the stream two names, or read it in mode PERMISSIVE without its corrupt column",
        ))
    }
}

/// The bytes of a file, unpacked if its name says that they are packed.
fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let compression = Compression::of(path)?;
    let bytes = std::fs::read(path).map_err(|error| unreadable(path, error))?;
    if let (Compression::Plain, Some(packed)) = (compression, Compression::unnamed(&bytes)) {
        return Err(Error::Invalid(format!(
            "{} seems to be compressed with {packed}, but its name does not say so and Spark would read it as text; unpack it, \
             or let its name end in .gz, .bz2 or .zst if it is that",
            path.display()
        )));
    }
    compression.unpack(bytes).map_err(|error| {
        Error::spark(
            "FAILED_READ_FILE.NO_HINT",
            format!("{} cannot be unpacked as its name says: {error}", path.display()),
        )
    })
}

/// Refuses a file that is not there any more.
///
/// # Errors
/// `FAILED_READ_FILE.FILE_NOT_EXIST`.
pub(crate) fn check_there(path: &Path) -> Result<()> {
    std::fs::metadata(path)
        .map(drop)
        .map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::spark(
            "FAILED_READ_FILE.FILE_NOT_EXIST",
            format!(
                "{} is gone before it was read; option `ignoreMissingFiles` would go on without it",
                path.display()
            ),
        ),
        _ => Error::io(path)(error),
    }
}

/// Text in a column of whatever name.
fn read_text_as(bytes: &[u8], schema: &SchemaRef, options: &TextOptions) -> Result<RecordBatch> {
    let rows = match options.whole_text {
        true => read_whole_text(bytes)?,
        false => read_text(bytes, options.line_separator.as_deref())?,
    };
    match schema.fields().as_ref() {
        [only] if *only.data_type() == DataType::Utf8 => Ok(rows.with_schema(Arc::clone(schema))?),
        fields => Err(Error::nameless(format!(
            "text has a single column of type STRING, and the schema has {} columns",
            fields.len()
        ))),
    }
}

/// Says which file an error is about.
fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Spark { condition, message } => Error::Spark {
            condition,
            message: format!("{}: {message}", path.display()),
        },
        Error::Invalid(message) => Error::Invalid(format!("{}: {message}", path.display())),
        Error::Unsupported(message) => Error::Unsupported(format!("{}: {message}", path.display())),
        other => other,
    }
}
