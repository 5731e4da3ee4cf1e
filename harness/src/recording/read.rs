//! Reading a recording: the records of a stream, micro-batch by micro-batch, in their order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Field, TimestampMicrosecondType};
use arrow::record_batch::RecordBatchReader;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use skirl_generator::Format;
use skirl_generator::target::kafka::Timed;
use skirl_generator::trace::file_name;

use super::columns::kafka_schema;
use super::{Error, Result};

/// Records read at once.
const RECORDS: usize = 2_048;

/// Some consecutive records of a stream.
pub(crate) struct Records {
    /// The micro-batch they belong to.
    pub micro_batch: u64,
    /// In the columns of [`kafka_schema`].
    pub batch: RecordBatch,
    /// When each was written, in microseconds since 1970: its timestamp, or that of an earlier one if it is older.
    times: Vec<i64>,
}

impl Timed for Records {
    fn times(&self) -> &[i64] {
        &self.times
    }
}

/// Reads the micro-batches of a stream, one after another.
pub(crate) struct RecordReader {
    files: std::iter::Enumerate<std::vec::IntoIter<PathBuf>>,
    open: Option<(ParquetRecordBatchReader, u64, PathBuf)>,
    latest_us: i64,
}

impl RecordReader {
    /// The records in `directory`.
    pub fn new(directory: &Path, micro_batches: u64) -> Self {
        let files: Vec<PathBuf> = files_of(directory, micro_batches).collect();
        RecordReader {
            files: files.into_iter().enumerate(),
            open: None,
            latest_us: i64::MIN,
        }
    }

    fn records(&mut self, batch: RecordBatch, micro_batch: u64, path: &Path) -> Result<Records> {
        let batch = in_kafka_columns(&batch, path)?;
        let times = batch
            .column(5)
            .as_primitive::<TimestampMicrosecondType>()
            .values()
            .iter();
        let times = times.map(|time| {
            self.latest_us = self.latest_us.max(*time);
            self.latest_us
        });
        Ok(Records {
            micro_batch,
            times: times.collect(),
            batch,
        })
    }
}

impl Iterator for RecordReader {
    type Item = Result<Records>;

    fn next(&mut self) -> Option<Result<Records>> {
        loop {
            let Some((mut reader, number, path)) = self.open.take() else {
                let (number, path) = self.files.next()?;
                match open(&path) {
                    Ok(reader) => self.open = Some((reader, number as u64, path)),
                    Err(error) => return Some(Err(error)),
                }
                continue;
            };
            if let Some(batch) = reader.next() {
                let batch = batch.map_err(|error| wrong(&path, &error));
                let records = batch.and_then(|batch| self.records(batch, number, &path));
                self.open = Some((reader, number, path));
                return Some(records);
            }
        }
    }
}

/// Finds out whether all files of the micro-batches in `directory` are there and hold records.
pub(super) fn check_files(directory: &Path, micro_batches: u64) -> Result<()> {
    for path in files_of(directory, micro_batches) {
        let reader = open(&path)?;
        in_kafka_columns(&RecordBatch::new_empty(reader.schema()), &path)?;
    }
    Ok(())
}

fn files_of(directory: &Path, micro_batches: u64) -> impl Iterator<Item = PathBuf> {
    (0..micro_batches).map(move |number| directory.join(file_name(number, Format::Parquet)))
}

fn open(path: &Path) -> Result<ParquetRecordBatchReader> {
    let file = File::open(path).map_err(Error::io(path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| wrong(path, &error))?;
    let reader = reader.with_batch_size(RECORDS).build();
    reader.map_err(|error| wrong(path, &error))
}

/// A batch as records, whoever wrote the file: found by name, and in the types they have.
fn in_kafka_columns(batch: &RecordBatch, path: &Path) -> Result<RecordBatch> {
    let schema = kafka_schema();
    let column = |field: &Arc<Field>| {
        let column = batch.column_by_name(field.name()).ok_or_else(|| {
            wrong(
                path,
                &format!("it has no column `{}`, so it holds no records", field.name()),
            )
        })?;
        Ok(cast(column, field.data_type())?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    // Partition, offset, timestamp and its type are known of every record.
    if let Some(index) = (3..7).find(|index| columns[*index].null_count() > 0) {
        let name = schema.field(index).name();
        return Err(wrong(
            path,
            &format!("its column `{name}` has NULLs, so it holds no records"),
        ));
    }
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Records {
        path: path.to_path_buf(),
        reason: error.to_string(),
    }
}
