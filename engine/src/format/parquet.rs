//! Parquet files, read by the names of the columns.
//!
//! Files are cut into pieces of some hundred thousand rows, which threads read side by side; the rows come back in
//! their order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;

use super::in_order;
use crate::sql::timestamp_type;
use crate::{Error, Result};

/// Rows a thread reads at once.
const PIECE_ROWS: usize = 256 * 1024;
/// Rows of a batch.
const BATCH_ROWS: usize = 64 * 1024;

/// Reads files into the columns of `schema`, found by name whatever its case; one that a file does not have is NULL.
///
/// The batches of a file keep its order, and files keep theirs, whatever the number of `threads`.
///
/// # Errors
/// A file that cannot be read, by its name; a column whose type is not the schema's, with Spark's condition.
pub fn read_parquet(paths: &[PathBuf], schema: &SchemaRef, threads: usize) -> Result<Vec<RecordBatch>> {
    let mut pieces = Vec::new();
    for path in paths {
        let file = ParquetFile::open(path, schema)?;
        pieces.extend(file.pieces(threads));
    }
    let batches = in_order(&pieces, threads, |piece| piece.read(schema));
    Ok(batches.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The schema of a file in the types queries use.
///
/// # Errors
/// A file that cannot be read; a column of a type Spark has none for.
pub fn parquet_schema(path: &Path) -> Result<SchemaRef> {
    let metadata = load(path)?;
    let fields = metadata.schema().fields().iter().enumerate().map(|(index, field)| {
        let data_type = match is_int96(&metadata, index) {
            true => timestamp_type(),
            false => spark_type(field.data_type()).ok_or_else(|| {
                Error::Invalid(format!(
                    "{}: column `{}` has type {}, which no query can use",
                    path.display(),
                    field.name(),
                    field.data_type()
                ))
            })?,
        };
        Ok(Field::new(field.name(), data_type, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// Writes rows as one Parquet file into memory, compressed with Snappy as Spark does.
///
/// # Errors
/// A type Parquet has none for.
pub fn write_parquet(rows: &RecordBatch) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).map_err(into_error)?;
    writer.write(rows).map_err(into_error)?;
    writer.close().map_err(into_error)?;
    Ok(bytes)
}

fn into_error(error: parquet::errors::ParquetError) -> Error {
    Error::from(arrow::error::ArrowError::from(error))
}

/// A file whose columns were found.
struct ParquetFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// For each column of the schema, its place in the file.
    columns: Arc<Vec<Option<usize>>>,
}

/// A part of a row group.
struct Piece {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    columns: Arc<Vec<Option<usize>>>,
    row_group: usize,
    start: usize,
    rows: usize,
}

impl ParquetFile {
    fn open(path: &Path, schema: &SchemaRef) -> Result<ParquetFile> {
        let metadata = load(path)?;
        let columns = schema.fields().iter().map(|field| find_column(path, &metadata, field));
        let columns = Arc::new(columns.collect::<Result<Vec<_>>>()?);
        Ok(ParquetFile {
            path: path.to_owned(),
            metadata,
            columns,
        })
    }

    fn pieces(&self, threads: usize) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (row_group, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let rows = group.num_rows() as usize;
            let size = rows.div_ceil(threads.max(1)).max(PIECE_ROWS);
            for start in (0..rows).step_by(size) {
                pieces.push(Piece {
                    path: self.path.clone(),
                    metadata: self.metadata.clone(),
                    columns: Arc::clone(&self.columns),
                    row_group,
                    start,
                    rows: size.min(rows - start),
                });
            }
        }
        pieces
    }
}

impl Piece {
    fn read(&self, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let failed = |error: &dyn std::fmt::Display| unreadable(&self.path, error);
        let file = File::open(&self.path).map_err(|source| Error::Io {
            path: self.path.clone(),
            source,
        })?;
        let wanted = self.columns.iter().flatten().copied();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(vec![self.row_group])
            .with_offset(self.start)
            .with_limit(self.rows)
            .with_batch_size(BATCH_ROWS.min(self.rows))
            .build()
            .map_err(|error| failed(&error))?;
        reader
            .map(|batch| self.arrange(&batch.map_err(|error| failed(&error))?, schema))
            .collect()
    }

    /// The columns in the order and types of the schema.
    fn arrange(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let mut read: Vec<usize> = self.columns.iter().flatten().copied().collect();
        read.sort_unstable();
        let columns = schema
            .fields()
            .iter()
            .zip(self.columns.iter())
            .map(|(field, at)| -> Result<ArrayRef> {
                let Some(at) = at else {
                    return Ok(new_null_array(field.data_type(), batch.num_rows()));
                };
                let place = read.binary_search(at).expect("every found column is read");
                let column = batch.column(place);
                if column.data_type() == field.data_type() {
                    return Ok(Arc::clone(column));
                }
                Ok(cast(column, field.data_type())?)
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let with_rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(schema),
            columns,
            &with_rows,
        )?)
    }
}

fn load(path: &Path) -> Result<ArrowReaderMetadata> {
    let file = File::open(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })?;
    // Types come from Parquet itself, not from what an Arrow writer noted beside it, as for Spark.
    let options = ArrowReaderOptions::new()
        .with_skip_arrow_metadata(true)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    ArrowReaderMetadata::load(&file, options).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::spark(
        "FAILED_READ_FILE.NO_HINT",
        format!("cannot read {} as Parquet: {error}", path.display()),
    )
}

/// The place of a column in the file: exactly its name, else its name in another case.
fn find_column(path: &Path, metadata: &ArrowReaderMetadata, field: &Field) -> Result<Option<usize>> {
    let in_file = metadata.schema().fields();
    let exact = in_file.iter().position(|found| found.name() == field.name());
    let any_case = || {
        in_file
            .iter()
            .position(|found| found.name().eq_ignore_ascii_case(field.name()))
    };
    let Some(at) = exact.or_else(any_case) else {
        return Ok(None);
    };
    let found = in_file[at].data_type();
    if is_int96(metadata, at) && matches!(field.data_type(), DataType::Timestamp(_, Some(_))) {
        return Ok(Some(at));
    }
    if fits(found, field.data_type()) {
        return Ok(Some(at));
    }
    Err(Error::spark(
        "FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH",
        format!(
            "{}: column `{}` is {found} in the file, but the schema says {}; change the schema or cast in the query",
            path.display(),
            field.name(),
            field.data_type()
        ),
    ))
}

/// Whether a top-level column is Parquet's old 96-bit timestamp, which always means an instant.
fn is_int96(metadata: &ArrowReaderMetadata, index: usize) -> bool {
    let root = metadata.parquet_schema().root_schema().get_fields();
    root.get(index)
        .is_some_and(|field| field.is_primitive() && field.get_physical_type() == PhysicalType::INT96)
}

/// Whether Spark reads values of type `found` into a column of type `wanted`.
fn fits(found: &DataType, wanted: &DataType) -> bool {
    use DataType::{
        Binary, Boolean, Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, LargeBinary, LargeUtf8,
        Timestamp, UInt8, UInt16, UInt32, Utf8,
    };
    if found == wanted {
        return true;
    }
    match (found, wanted) {
        (Boolean, Boolean) => true,
        (Int8 | UInt8, Int16 | Int32 | Int64 | Float64) | (Int16 | UInt16, Int32 | Int64 | Float64) => true,
        (Int32, Int64 | Float64) | (UInt32, Int64) => true,
        (Float32, Float64) => true,
        (Date32, Timestamp(TimeUnit::Microsecond, None)) => true,
        (Utf8 | LargeUtf8 | Binary | LargeBinary, Utf8 | Binary) => true,
        (Timestamp(_, zone), Timestamp(TimeUnit::Microsecond, wanted)) => wanted.is_some() || zone.is_none(),
        (Decimal128(precision, scale), Decimal128(wanted_precision, wanted_scale)) => {
            let integral = i16::from(*precision) - i16::from(*scale);
            scale <= wanted_scale && integral <= i16::from(*wanted_precision) - i16::from(*wanted_scale)
        }
        _ if found.is_nested() && wanted.is_nested() => can_cast_types(found, wanted),
        _ => false,
    }
}

/// The type queries use for a type of a file.
fn spark_type(found: &DataType) -> Option<DataType> {
    Some(match found {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32 => found.clone(),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => timestamp_type(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Struct(fields) => {
            let fields = fields
                .iter()
                .map(|field| Some(Field::new(field.name(), spark_type(field.data_type())?, true)));
            DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into())
        }
        DataType::List(element) => {
            DataType::List(Arc::new(Field::new("element", spark_type(element.data_type())?, true)))
        }
        DataType::Map(entries, sorted) => {
            let DataType::Struct(pair) = entries.data_type() else {
                return None;
            };
            let key = Field::new("key", spark_type(pair[0].data_type())?, false);
            let value = Field::new("value", spark_type(pair[1].data_type())?, true);
            let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
            DataType::Map(Arc::new(entries), *sorted)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int32Type, Int64Type};

    use super::*;

    fn file(rows: &RecordBatch) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.parquet");
        std::fs::write(&path, write_parquet(rows).unwrap()).unwrap();
        (dir, path)
    }

    #[test]
    fn threads_do_not_change_the_order() {
        let numbers = Int32Array::from_iter_values(0..600_000);
        let rows = RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef)]).unwrap();
        let (_dir, path) = file(&rows);
        for threads in [1, 3] {
            let read = read_parquet(&[path.clone(), path.clone()], &rows.schema(), threads).unwrap();
            let read = concat_batches(&rows.schema(), &read).unwrap();
            let numbers = read.column(0).as_primitive::<Int32Type>();
            assert_eq!(numbers.len(), 1_200_000);
            assert!(
                numbers
                    .values()
                    .iter()
                    .enumerate()
                    .all(|(at, n)| *n as usize == at % 600_000)
            );
        }
    }

    #[test]
    fn columns_are_found_by_name_and_missing_ones_are_null() {
        let rows = RecordBatch::try_from_iter([
            ("b", Arc::new(Int32Array::from(vec![7])) as ArrayRef),
            ("A", Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            ("t", Arc::new(TimestampMicrosecondArray::from(vec![5])) as ArrayRef),
        ])
        .unwrap();
        let (_dir, path) = file(&rows);
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, true),
            Field::new("t", timestamp_type(), true),
            Field::new("none", DataType::Float64, true),
            Field::new("b", DataType::Int64, true),
        ]));
        let read = &read_parquet(&[path], &schema, 2).unwrap()[0];
        assert_eq!(read.column(0).as_string::<i32>().value(0), "x");
        assert_eq!(read.column(2).null_count(), 1);
        assert_eq!(read.column(3).as_primitive::<Int64Type>().value(0), 7);
    }

    #[test]
    fn a_wrong_type_names_file_column_and_types() {
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        let (_dir, path) = file(&rows);
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Utf8, true)]));
        let error = read_parquet(&[path.clone()], &schema, 1).unwrap_err();
        assert_eq!(
            error.condition(),
            Some("FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH")
        );
        let message = error.to_string().replace(&path.display().to_string(), "FILE");
        insta::assert_snapshot!(message, @"FILE: column `n` is Int64 in the file, but the schema says Utf8; change the schema or cast in the query");
    }

    #[test]
    fn what_is_no_parquet_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, "no").unwrap();
        let error = parquet_schema(&path).unwrap_err().to_string();
        assert!(error.contains("x.parquet as Parquet"), "{error}");
    }
}
