//! Partition directories: every row of `district=Porto/rows.json` has `Porto` in its column `district`.
//!
//! Which directories count, which column has which type and what conflicts are Spark 4.3's rules, asked of Spark itself
//! (`tests/fixtures/spark_files.jsonl`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::scalar::ScalarValue;

use crate::format::number::{parse_decimal, parse_double, parse_integer};
use crate::format::time::{parse_date, parse_date_lenient, parse_timestamp_lenient, parse_timestamp_ntz};
use crate::sql::{message_type_name, timestamp_type};
use crate::{Error, Result};

/// The value of a directory name that stands for NULL.
const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// What the directories above a file say of its rows, outermost first: names and values, still escaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Partition {
    values: Vec<(String, String)>,
    /// The directory the outermost lies in; without any, the file's own.
    base: PathBuf,
}

impl Partition {
    /// What the directories between `root` and the file at `path` say.
    ///
    /// # Errors
    /// A directory with an empty name or value.
    pub fn of(root: &Path, path: &Path) -> Result<Partition> {
        let mut partition = Partition {
            values: Vec::new(),
            base: root.to_path_buf(),
        };
        let Some(directory) = path.parent().filter(|directory| directory.starts_with(root)) else {
            return Ok(partition);
        };
        let mut current = directory;
        while current != root {
            match parse(current)? {
                Some(value) => partition.values.push(value),
                // A plain directory below the partition's is part of it, one above begins it.
                None if partition.values.is_empty() => {}
                None => break,
            }
            let Some(parent) = current.parent() else { break };
            current = parent;
        }
        partition.base = match partition.values.is_empty() {
            true => directory.to_path_buf(),
            false => current.to_path_buf(),
        };
        partition.values.reverse();
        Ok(partition)
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|(name, _)| name.as_str())
    }

    fn has(&self, column: &str) -> bool {
        self.names().any(|name| name.eq_ignore_ascii_case(column))
    }
}

/// A directory's name as a column and its value.
fn parse(directory: &Path) -> Result<Option<(String, String)>> {
    let segment = directory.file_name().unwrap_or_default().to_string_lossy();
    let Some((name, value)) = segment.split_once('=') else {
        return Ok(None);
    };
    let empty = |condition: &'static str, what: &str| {
        Error::spark(
            condition,
            format!(
                "{} is a partition directory with an empty {what}; name it `column=value`",
                directory.display()
            ),
        )
    };
    if name.is_empty() {
        return Err(empty("EMPTY_PARTITION_COLUMN_NAME", "column name"));
    }
    if value.is_empty() {
        return Err(empty("EMPTY_PARTITION_COLUMN_VALUE", "value"));
    }
    Ok(Some((unescaped(name), value.to_string())))
}

/// A name with `%20` and the like as the characters they stand for.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|_| bytes[at] == b'%') {
            Some(code) => {
                out.push(code);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Refuses directories whose files cannot be rows of one table.
///
/// # Errors
/// `CONFLICTING_PARTITION_COLUMN_NAMES`, `CONFLICTING_DIRECTORY_STRUCTURES`.
pub(super) fn check_together(partitions: &[Partition]) -> Result<()> {
    let names: BTreeSet<Vec<String>> = partitions
        .iter()
        .filter(|partition| !partition.is_empty())
        .map(|partition| partition.names().map(str::to_lowercase).collect())
        .collect();
    if names.len() > 1 {
        let lists: Vec<String> = names.iter().map(|names| names.join(", ")).collect();
        return Err(Error::spark(
            "CONFLICTING_PARTITION_COLUMN_NAMES",
            format!(
                "the partition directories have different columns: {}; files should only lie in the innermost \
                 directories, and those of one level have one column",
                lists.join("; ")
            ),
        ));
    }
    let bases: BTreeSet<&PathBuf> = partitions.iter().map(|partition| &partition.base).collect();
    if bases.len() > 1 && !names.is_empty() {
        let paths: Vec<String> = bases.iter().map(|base| base.display().to_string()).collect();
        return Err(Error::spark(
            "CONFLICTING_DIRECTORY_STRUCTURES",
            format!(
                "partition directories and others lie side by side: {}; read them as streams of their own, or set \
                 `recursiveFileLookup` to read all files without the directories' columns",
                paths.join(", ")
            ),
        ));
    }
    Ok(())
}

/// The columns of a stream: those the files have, then those the directories give. A column of both is the directories',
/// in the type `columns` says.
///
/// # Errors
/// A directory whose values are all NULL, so that no type can be told; `INVALID_PARTITION_VALUE`.
pub(super) fn with_partition_columns(
    columns: &SchemaRef,
    partitions: &[Partition],
    infer_types: bool,
    today: i32,
) -> Result<SchemaRef> {
    let Some(first) = partitions.iter().find(|partition| !partition.is_empty()) else {
        return Ok(Arc::clone(columns));
    };
    let in_files = columns
        .fields()
        .iter()
        .filter(|field| !first.has(field.name()))
        .cloned();
    let mut fields: Vec<FieldRef> = in_files.collect();
    for (at, name) in first.names().enumerate() {
        let given = columns
            .fields()
            .iter()
            .find(|field| field.name().eq_ignore_ascii_case(name));
        let values = partitions.iter().filter_map(|partition| partition.values.get(at));
        let values = values.map(|(_, value)| value.as_str());
        let field = match given {
            Some(field) => {
                for value in values {
                    value_of(name, value, field.data_type(), today)?;
                }
                Arc::clone(field)
            }
            None => {
                let data_type = type_of(values, infer_types);
                let data_type = data_type.ok_or_else(|| {
                    Error::unsupported(format!(
                        "every value of the partition directories `{name}=...` is NULL, so that its column has no type; \
                         give it one in the schema"
                    ))
                })?;
                Arc::new(Field::new(name, data_type, true))
            }
        };
        fields.push(field);
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// The type that holds every value; `None` if all are NULL.
fn type_of<'a>(values: impl Iterator<Item = &'a str>, infer: bool) -> Option<DataType> {
    let mut types = values.filter(|value| *value != NULL_VALUE).map(|value| match infer {
        true => type_of_one(value),
        false => DataType::Utf8,
    });
    let first = types.next()?;
    Some(types.fold(first, wider))
}

fn type_of_one(value: &str) -> DataType {
    let bytes = value.as_bytes();
    let number = parse_integer(bytes);
    if number.is_some_and(|number| i32::try_from(number).is_ok()) {
        DataType::Int32
    } else if number.is_some() {
        DataType::Int64
    } else if let Some(digits) = digits_of_whole(value) {
        DataType::Decimal128(digits, 0)
    } else if parse_double(bytes).is_some() {
        DataType::Float64
    } else if is_timestamp(&unescaped(value)) {
        timestamp_type()
    } else if value.len() == 10 && parse_date(bytes).is_some() {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// How many digits a number without places behind the point has: `1e3` has four.
fn digits_of_whole(value: &str) -> Option<u8> {
    let (mantissa, exponent) = value.split_once(['e', 'E']).unwrap_or((value, "0"));
    let places = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let is_whole = exponent.parse::<usize>().is_ok_and(|exponent| exponent >= places);
    let units = parse_decimal(value.as_bytes(), 38, 0).filter(|_| is_whole)?;
    u8::try_from(units.unsigned_abs().to_string().len()).ok()
}

/// `2024-12-03 10:00:00`, perhaps with a fraction: nothing shorter is taken for a time.
fn is_timestamp(text: &str) -> bool {
    text.len() >= 19 && text.as_bytes()[10] == b' ' && parse_timestamp_ntz(text.as_bytes()).is_some()
}

fn wider(left: DataType, right: DataType) -> DataType {
    use DataType::*;
    match (&left, &right) {
        _ if left == right => left,
        (Int32, Int64) | (Int64, Int32) => Int64,
        (Int32, Float64) | (Float64, Int32) => Float64,
        (Int32 | Int64, Decimal128(digits, _)) | (Decimal128(digits, _), Int32 | Int64) => {
            Decimal128(*digits.max(&20), 0)
        }
        (Decimal128(left, _), Decimal128(right, _)) => Decimal128(*left.max(right), 0),
        (Date32, Timestamp(..)) | (Timestamp(..), Date32) => timestamp_type(),
        _ => Utf8,
    }
}

/// The columns of `schema` that a file in a partition has itself.
pub(super) fn columns_in_file(schema: &SchemaRef, partition: &Partition) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    let in_file = fields.filter(|(_, field)| !partition.has(field.name()));
    in_file.map(|(index, _)| index).collect()
}

/// The rows of a file, `read` with the columns it has itself, in all columns of `schema`; `today`, in days since
/// 1970-01-01, is the day a bare time means.
///
/// # Errors
/// `INVALID_PARTITION_VALUE`, a directory that names a column the stream does not have.
pub(super) fn with_values(
    read: &RecordBatch,
    schema: &SchemaRef,
    partition: &Partition,
    today: i32,
) -> Result<RecordBatch> {
    let mut columns: Vec<Option<ArrayRef>> = vec![None; schema.fields().len()];
    for (index, column) in columns_in_file(schema, partition).into_iter().zip(read.columns()) {
        columns[index] = Some(Arc::clone(column));
    }
    for (name, value) in &partition.values {
        let place = schema
            .fields()
            .iter()
            .position(|field| field.name().eq_ignore_ascii_case(name));
        let place = place.ok_or_else(|| {
            Error::nameless(format!(
                "a directory `{name}={value}` gives a column `{name}`, which the stream does not have: there was no such \
                 directory when it started; start it anew"
            ))
        })?;
        let value = value_of(name, value, schema.field(place).data_type(), today)?;
        columns[place] = Some(value.to_array_of_size(read.num_rows())?);
    }
    let columns = columns
        .into_iter()
        .map(|column| column.expect("every column is the file's or the directories'"));
    let with_rows = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns.collect(),
        &with_rows,
    )?)
}

/// A value of a directory's name in its column.
fn value_of(name: &str, value: &str, data_type: &DataType, today: i32) -> Result<ScalarValue> {
    if value == NULL_VALUE {
        return Ok(ScalarValue::try_from(data_type)?);
    }
    let text = unescaped(value);
    let bytes = text.as_bytes();
    let whole = || parse_integer(bytes);
    let int = || whole().and_then(|number| i32::try_from(number).ok());
    let scalar = match data_type {
        DataType::Utf8 => Some(ScalarValue::Utf8(Some(text.clone()))),
        DataType::Binary => Some(ScalarValue::Binary(Some(bytes.to_vec()))),
        DataType::Boolean if text.eq_ignore_ascii_case("true") => Some(ScalarValue::Boolean(Some(true))),
        DataType::Boolean if text.eq_ignore_ascii_case("false") => Some(ScalarValue::Boolean(Some(false))),
        // Spark reads an INT and cuts off what does not fit.
        DataType::Int8 => int().map(|n| ScalarValue::from(n as i8)),
        DataType::Int16 => int().map(|n| ScalarValue::from(n as i16)),
        DataType::Int32 => int().map(ScalarValue::from),
        DataType::Int64 => whole().map(ScalarValue::from),
        DataType::Float32 => parse_double(bytes).map(|n| ScalarValue::from(n as f32)),
        DataType::Float64 => parse_double(bytes).map(ScalarValue::from),
        DataType::Decimal128(precision, scale) => parse_decimal(bytes, *precision, *scale)
            .map(|units| ScalarValue::Decimal128(Some(units), *precision, *scale)),
        DataType::Date32 => parse_date_lenient(bytes).map(|days| ScalarValue::Date32(Some(days))),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => parse_timestamp_lenient(bytes, today)
            .map(|us| ScalarValue::TimestampMicrosecond(Some(us), Some(Arc::clone(zone)))),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            parse_timestamp_ntz(bytes).map(|us| ScalarValue::TimestampMicrosecond(Some(us), None))
        }
        _ => None,
    };
    scalar.ok_or_else(|| {
        Error::spark(
            "INVALID_PARTITION_VALUE",
            format!(
                "the directory `{name}={value}` has no {} for the partition column `{name}`; change the column's type in \
                 the schema",
                message_type_name(data_type)
            ),
        )
    })
}
