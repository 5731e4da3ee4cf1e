//! Records in order, cut into micro-batches and written as a trace.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::AsArray;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use skirl_engine::sql::spark_type_name;
use skirl_generator::Format;
use skirl_generator::arrival::MICRO_BATCHES_MAX;
use skirl_generator::spec::Cut;
use skirl_generator::trace::{
    TRACE_FILE, TraceColumn, TraceFile, TraceKafka, TracePartition, TraceStream, TraceTopic, file_name,
};

use super::columns::{Gathered, kafka_schema};
use super::record::Record;
use super::spill::Placed;
use super::values::{Values, unreadable};
use super::{Error, ORDER, Result};

/// So much is gathered before it is encoded, and encoded before it is written.
const GATHERED_RECORDS: usize = 4_096;
const GATHERED_BYTES: usize = 4 * 1024 * 1024;
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// A topic as a trace keeps it.
#[derive(Debug)]
pub(super) struct Kept {
    /// The stream's name.
    pub name: String,
    pub topic: String,
    pub id: String,
    /// Reads its values as rows; `None`: the trace has its records only.
    pub values: Option<Values>,
    /// Whether its columns were inferred, and why there are none where some were wanted.
    pub inferred: bool,
    pub remark: Option<String>,
    pub partitions: Vec<TracePartition>,
}

impl Kept {
    /// The directory of its records.
    fn records(&self) -> String {
        match self.values {
            // No stream has a dot in its name.
            Some(_) => format!("{}.kafka", self.name),
            None => self.name.clone(),
        }
    }

    fn described(&self, micro_batches: u64) -> TraceStream {
        let kafka = kafka_schema();
        let schema: &SchemaRef = self.values.as_ref().map_or(&kafka, Values::schema);
        let columns = schema.fields().iter().map(|field| TraceColumn {
            name: field.name().clone(),
            kind: spark_type_name(field.data_type()),
        });
        TraceStream {
            name: self.name.clone(),
            format: if self.values.is_some() {
                Format::Json
            } else {
                Format::Parquet
            },
            micro_batches,
            columns: columns.collect(),
            spec: None,
            kafka: Some(TraceTopic {
                topic: self.topic.clone(),
                id: self.id.clone(),
                records: self.records(),
                partitions: self.partitions.clone(),
            }),
        }
    }
}

/// Writes a trace.
pub(super) struct Store<'a> {
    directory: &'a Path,
    cut: Cut,
    streams: Vec<StreamStore<'a>>,
    /// Micro-batches that are complete.
    micro_batches: u64,
    /// What tells the micro-batch that is being written from the next: its span of time, or its records.
    open: Option<i64>,
    records: u64,
}

/// The files of a stream's micro-batch.
struct StreamStore<'a> {
    kept: &'a Kept,
    records_dir: PathBuf,
    rows_dir: PathBuf,
    gathered: Gathered,
    records: Option<(ArrowWriter<File>, PathBuf)>,
    rows: Option<(File, PathBuf)>,
}

impl<'a> Store<'a> {
    /// A trace in `directory`, which has been made.
    pub fn new(directory: &'a Path, cut: Cut, kept: &'a [Kept]) -> Result<Self> {
        let streams = kept.iter().map(|kept| StreamStore::new(directory, kept));
        Ok(Store {
            directory,
            cut,
            streams: streams.collect::<Result<_>>()?,
            micro_batches: 0,
            open: None,
            records: 0,
        })
    }

    /// Adds the next record in order.
    pub fn push(&mut self, placed: &Placed) -> Result<()> {
        let place = match self.cut {
            // Spans of the epoch, so that another recording of the same rows is cut alike.
            Cut::Every(span) => placed.time_ms.saturating_mul(1_000).div_euclid(span.0),
            Cut::Rows(rows) => (self.records / rows) as i64,
        };
        self.records += 1;
        // Where there are more than names have digits for, the last micro-batch takes the rest.
        let is_last = self.micro_batches + 1 == MICRO_BATCHES_MAX;
        if self.open.is_some_and(|open| open != place) && !is_last {
            self.end_micro_batch()?;
        }
        if self.open.is_none() {
            self.begin_micro_batch()?;
        }
        self.open = Some(place);
        self.streams[placed.topic].push(&placed.record)
    }

    fn begin_micro_batch(&mut self) -> Result<()> {
        let number = self.micro_batches;
        self.streams.iter_mut().try_for_each(|stream| stream.begin(number))
    }

    fn end_micro_batch(&mut self) -> Result<()> {
        let number = self.micro_batches;
        self.streams.iter_mut().try_for_each(|stream| stream.end(number))?;
        self.micro_batches += 1;
        self.open = None;
        Ok(())
    }

    /// Completes the trace, and gives the number of its micro-batches: at least one, so that it can be read.
    pub fn finish(mut self, bootstrap: &str) -> Result<u64> {
        if self.micro_batches == 0 && self.open.is_none() {
            self.begin_micro_batch()?;
            self.open = Some(0);
        }
        if self.open.is_some() {
            self.end_micro_batch()?;
        }
        let batch = match self.cut {
            Cut::Every(span) => span.to_string(),
            Cut::Rows(rows) => format!("{rows} records"),
        };
        let kafka = TraceKafka {
            bootstrap: bootstrap.to_string(),
            order: ORDER.to_string(),
            batch,
        };
        let trace = TraceFile {
            version: 1,
            seed: None,
            kafka: Some(kafka),
            streams: self
                .streams
                .iter()
                .map(|stream| stream.kept.described(self.micro_batches))
                .collect(),
        };
        let hidden = self.directory.join(format!("_{TRACE_FILE}.tmp"));
        fs::write(&hidden, trace.to_toml()?).map_err(Error::io(&hidden))?;
        rename(&hidden, &self.directory.join(TRACE_FILE))?;
        Ok(self.micro_batches)
    }
}

impl<'a> StreamStore<'a> {
    fn new(directory: &Path, kept: &'a Kept) -> Result<Self> {
        let (records_dir, rows_dir) = (directory.join(kept.records()), directory.join(&kept.name));
        for dir in [&records_dir, &rows_dir] {
            fs::create_dir_all(dir).map_err(Error::io(dir))?;
        }
        Ok(StreamStore {
            kept,
            records_dir,
            rows_dir,
            gathered: Gathered::of(&kept.topic),
            records: None,
            rows: None,
        })
    }

    fn begin(&mut self, number: u64) -> Result<()> {
        let path = hidden(&self.records_dir, &file_name(number, Format::Parquet));
        let file = File::create(&path).map_err(Error::io(&path))?;
        let writer = ArrowWriter::try_new(file, kafka_schema(), Some(properties())).map_err(wrong(&path))?;
        self.records = Some((writer, path));
        if self.kept.values.is_some() {
            let path = hidden(&self.rows_dir, &file_name(number, Format::Json));
            self.rows = Some((File::create(&path).map_err(Error::io(&path))?, path));
        }
        Ok(())
    }

    fn push(&mut self, record: &Record) -> Result<()> {
        self.gathered.push(record);
        if self.gathered.records() >= GATHERED_RECORDS || self.gathered.bytes() >= GATHERED_BYTES {
            self.write()?;
        }
        Ok(())
    }

    /// Writes what was gathered.
    fn write(&mut self) -> Result<()> {
        let batch = self.gathered.finish();
        if let (Some((file, path)), Some(values)) = (&mut self.rows, &self.kept.values) {
            let mut lines = Vec::with_capacity(batch.num_rows() * 96);
            values
                .append_lines(batch.column(1).as_binary(), &mut lines)
                .map_err(unreadable(&self.kept.name))?;
            file.write_all(&lines).map_err(Error::io(path))?;
        }
        if let Some((writer, path)) = &mut self.records {
            writer.write(&batch).map_err(wrong(path))?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES {
                writer.flush().map_err(wrong(path))?;
            }
        }
        Ok(())
    }

    fn end(&mut self, number: u64) -> Result<()> {
        self.write()?;
        if let Some((writer, path)) = self.records.take() {
            writer.close().map_err(wrong(&path))?;
            rename(&path, &self.records_dir.join(file_name(number, Format::Parquet)))?;
        }
        if let Some((file, path)) = self.rows.take() {
            drop(file);
            rename(&path, &self.rows_dir.join(file_name(number, Format::Json)))?;
        }
        Ok(())
    }
}

/// A name that readers of a trace pass over, until the file is complete.
fn hidden(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("_{name}.tmp"))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io(to))
}

fn wrong(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_path_buf();
    move |error| Error::Records {
        path,
        reason: error.to_string(),
    }
}

/// As Spark writes, but without a dictionary where hardly a value comes twice.
fn properties() -> WriterProperties {
    let mut properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    for column in ["value", "offset"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    properties.build()
}
