//! Parquet files, read by the names of the columns.
//!
//! Files are cut into pieces of some hundred thousand rows, which threads read side by side; the rows come back in
//! their order.

mod fit;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::Type as Stored;

use super::columns::Columns;
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
/// A file that cannot be read, by its name; a column of whose type Spark reads nothing from the file's, with Spark's
/// condition.
pub fn read_parquet(paths: &[PathBuf], schema: &SchemaRef, threads: usize) -> Result<Vec<RecordBatch>> {
    read_parquet_columns(paths, schema, &Columns::All, threads)
}

/// As [`read_parquet`], but only the `needed` columns.
pub(super) fn read_parquet_columns(
    paths: &[PathBuf],
    schema: &SchemaRef,
    needed: &Columns,
    threads: usize,
) -> Result<Vec<RecordBatch>> {
    let mut pieces = Vec::new();
    for path in paths {
        if let Some(file) = ParquetFile::open(path, schema, needed)? {
            pieces.extend(file.pieces(threads));
        }
    }
    let batches = in_order(&pieces, threads, |piece| piece.read(schema));
    Ok(batches.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

/// The schema of a file in the types queries use.
///
/// # Errors
/// A file that cannot be read; a column of a type Spark has none for.
pub fn parquet_schema(path: &Path) -> Result<SchemaRef> {
    let Some(metadata) = load(path)? else {
        return Err(Error::spark(
            "UNABLE_TO_INFER_SCHEMA",
            format!("unable to infer schema for Parquet: {} is empty", path.display()),
        ));
    };
    let stored = metadata.parquet_schema().root_schema().get_fields();
    let fields = metadata.schema().fields().iter().zip(stored).map(|(field, stored)| {
        let data_type = spark_type(stored, field.data_type()).ok_or_else(|| {
            let condition = match field.data_type() {
                DataType::Time64(_) => "UNSUPPORTED_TIME_TYPE",
                _ => "PARQUET_TYPE_ILLEGAL",
            };
            Error::spark(
                condition,
                format!(
                    "{}: column `{}` is {}, for which Spark has no type; say another in the schema",
                    path.display(),
                    field.name(),
                    fit::found_name(field.data_type())
                ),
            )
        })?;
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
    /// A file whose columns fit; `None` for one without a byte, which Spark passes over.
    fn open(path: &Path, schema: &SchemaRef, needed: &Columns) -> Result<Option<ParquetFile>> {
        let Some(metadata) = load(path)? else { return Ok(None) };
        let columns = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| match needed.contains(index) {
                true => find_column(path, &metadata, field),
                false => Ok(None),
            });
        let columns = Arc::new(columns.collect::<Result<Vec<_>>>()?);
        Ok(Some(ParquetFile {
            path: path.to_owned(),
            metadata,
            columns,
        }))
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
        let file = File::open(&self.path).map_err(Error::io(&self.path))?;
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
        let stored = self.metadata.parquet_schema().root_schema().get_fields();
        let columns = schema
            .fields()
            .iter()
            .zip(self.columns.iter())
            .map(|(field, at)| -> Result<ArrayRef> {
                let Some(at) = at else {
                    return Ok(new_null_array(field.data_type(), batch.num_rows()));
                };
                let place = read.binary_search(at).expect("every found column is read");
                fit::convert(&stored[*at], batch.column(place), field.data_type())
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

/// What a file says about itself; `None` for one without a byte.
fn load(path: &Path) -> Result<Option<ArrowReaderMetadata>> {
    let file = File::open(path).map_err(Error::io(path))?;
    if file.metadata().map_err(Error::io(path))?.len() == 0 {
        return Ok(None);
    }
    // Types come from Parquet itself, not from what an Arrow writer noted beside it, as for Spark.
    let options = ArrowReaderOptions::new()
        .with_skip_arrow_metadata(true)
        .with_offset_index_policy(PageIndexPolicy::Optional);
    let failed = |error| unreadable(path, &error);
    let metadata = ArrowReaderMetadata::load(&file, options.clone()).map_err(failed)?;
    let stored = metadata.parquet_schema().root_schema().get_fields();
    let fields: Vec<Field> = stored
        .iter()
        .zip(metadata.schema().fields())
        .map(|(stored, field)| fit::as_read(stored, field))
        .collect();
    let as_read = Arc::new(Schema::new(fields));
    if as_read.fields() == metadata.schema().fields() {
        return Ok(Some(metadata));
    }
    let options = options.with_schema(as_read);
    let metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(failed)?;
    Ok(Some(metadata))
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::spark(
        "FAILED_READ_FILE.NO_HINT",
        format!("cannot read {} as Parquet: {error}", path.display()),
    )
}

/// The place of a column in the file, whose type fits.
fn find_column(path: &Path, metadata: &ArrowReaderMetadata, field: &Field) -> Result<Option<usize>> {
    let in_file = metadata.schema().fields();
    let failed = |misfit, found| fit::error(misfit, &path.display().to_string(), field, found);
    let place = fit::place_of(in_file.iter().map(|found| found.name()), field.name());
    let Some(at) = place.map_err(|misfit| failed(misfit, None))? else {
        return Ok(None);
    };
    let (stored, found) = (
        &metadata.parquet_schema().root_schema().get_fields()[at],
        in_file[at].data_type(),
    );
    fit::check(stored, found, field.data_type()).map_err(|misfit| failed(misfit, Some(found)))?;
    Ok(Some(at))
}

/// The type queries use for a type of a file.
fn spark_type(stored: &Stored, found: &DataType) -> Option<DataType> {
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
        DataType::UInt16 | DataType::Null => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::FixedSizeBinary(_) => DataType::Binary,
        _ if fit::is_int96(stored) => timestamp_type(),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => return None,
        DataType::Timestamp(_, Some(_)) => timestamp_type(),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Struct(fields) => {
            let fields =
                stored.get_fields().iter().zip(fields).map(|(stored, field)| {
                    Some(Field::new(field.name(), spark_type(stored, field.data_type())?, true))
                });
            DataType::Struct(fields.collect::<Option<Vec<_>>>()?.into())
        }
        DataType::List(element) => {
            let element = spark_type(fit::element_of(stored), element.data_type())?;
            DataType::List(Arc::new(Field::new("element", element, true)))
        }
        DataType::Map(entries, sorted) => {
            let (stored, pair) = (fit::entries_of(stored), fit::entry_fields(entries));
            let key = Field::new("key", spark_type(&stored[0], pair[0].data_type())?, false);
            let value = Field::new("value", spark_type(&stored[1], pair[1].data_type())?, true);
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
        let error = read_parquet(std::slice::from_ref(&path), &schema, 1).unwrap_err();
        assert_eq!(
            error.condition(),
            Some("FAILED_READ_FILE.PARQUET_COLUMN_DATA_TYPE_MISMATCH")
        );
        let message = error.to_string().replace(&path.display().to_string(), "FILE");
        insta::assert_snapshot!(message, @"FILE: column `n` is BIGINT in the file, but the schema says STRING; change the schema or cast in the query");
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
