//! Streams as topics of Kafka: rows are produced to topics made for the run, and the engine reads them with its source over
//! Kafka.
//!
//! Kafka knows no micro-batches, so the query cuts its own: as many rows as a limit allows, shared among partitions. Where
//! each batch ended is read from the offset log; which rows those were is known from what the brokers acknowledged.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, SchemaRef};
use skirl_engine::format::json::{JsonOptions, to_json};
use skirl_engine::source::Source;
use skirl_engine::source::kafka::{KafkaSource, Offsets, initial_offsets};
use skirl_engine::storage::DirStorage;
use skirl_engine::{Error, LoggedBatch, Result, Session, read_offset_log};
use skirl_kafka::{Admin, NewTopic, Properties, Reports, Row, Writer};
use tempfile::TempDir;

use super::inlet::Inlet;
use crate::cli::out::remark;
use crate::cut::Cut;
use crate::job::Job;
use crate::scenario::format_schema;
use crate::trace::{MicroBatch, Trace};

/// How long rows may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long reports are waited for at a time.
const SLICE: Duration = Duration::from_millis(5);
/// Partitions of a topic, unless told otherwise: enough for rows to come in another order than they were made.
const PARTITIONS: i32 = 3;

/// Where topics are made, and how they are read.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// The client's properties.
    pub properties: Properties,
    /// Partitions of each topic.
    pub partitions: i32,
    /// Options of the source, by Spark's names.
    pub options: BTreeMap<String, String>,
    /// Raised when the run is to end before its time: after the batch in flight, and topics are taken away.
    pub interrupt: Arc<AtomicBool>,
}

impl TopicSettings {
    /// Topics of a few partitions, read with a source's defaults from their beginning.
    pub fn new(properties: Properties) -> Self {
        TopicSettings {
            properties,
            partitions: PARTITIONS,
            options: BTreeMap::new(),
            interrupt: Arc::default(),
        }
    }
}

/// The topics of a job.
pub struct Topics {
    settings: TopicSettings,
    admin: Admin,
    writer: Writer,
    /// One for each stream of the job.
    streams: Vec<Stream>,
    /// Rows a micro-batch takes of each stream.
    limits: Vec<usize>,
    checkpoint: TempDir,
    /// The streams the query reads, in the order of their offsets; none before it is started.
    read: Vec<String>,
    course: Course,
    starts: usize,
}

/// What the offset log has said so far.
#[derive(Clone, Default)]
struct Course {
    /// The number of the next batch.
    next_batch: u64,
    /// Where the last batch ended in each stream the query reads, by name.
    ends: BTreeMap<String, Offsets>,
    cut: Cut,
}

/// A stream and its topic.
struct Stream {
    name: String,
    schema: SchemaRef,
    topic: String,
    rows: usize,
    /// The numbers of rows by where they are.
    places: BTreeMap<(i32, i64), usize>,
}

impl Topics {
    /// Connects to a cluster, for rows like those of `trace`: about as many micro-batches are to come of them.
    ///
    /// # Errors
    /// No answer, refused credentials, no directory for the checkpoint.
    pub fn connect(settings: &TopicSettings, trace: &Trace) -> Result<Topics> {
        let checkpoint = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        Ok(Topics {
            admin: Admin::connect(&settings.properties)?,
            writer: Writer::connect(&settings.properties, Reports::All)?,
            settings: settings.clone(),
            streams: Vec::new(),
            limits: limits(trace),
            checkpoint,
            read: Vec::new(),
            course: Course::default(),
            starts: 0,
        })
    }

    /// Whether the run may go on.
    fn go_on(&self) -> Result<()> {
        match self.settings.interrupt.load(Ordering::Relaxed) {
            true => Err(Error::Invalid("interrupted".to_string())),
            false => Ok(()),
        }
    }

    /// Makes a topic of a name nobody else has.
    fn make(&self, stream: &str) -> Result<String> {
        let run = RandomState::new().build_hasher().finish();
        let name = format!("skirl-run-{run:016x}-{stream}");
        self.admin.create(&NewTopic {
            name: name.clone(),
            partitions: self.settings.partitions,
            replication: None,
            settings: BTreeMap::new(),
        })?;
        Ok(name)
    }

    fn options(&self, index: usize) -> BTreeMap<String, String> {
        let mut options = self.settings.options.clone();
        options.insert("subscribe".to_string(), self.streams[index].topic.clone());
        options
            .entry("startingOffsets".to_string())
            .or_insert_with(|| "earliest".to_string());
        options
            .entry("maxOffsetsPerTrigger".to_string())
            .or_insert_with(|| self.limits.get(index).unwrap_or(&1).to_string());
        options
    }

    fn send(&mut self, index: usize, rows: &RecordBatch) -> Result<()> {
        let stream = &mut self.streams[index];
        let values = values_of(rows)?;
        let keys = key_column(rows);
        let partitions = self.settings.partitions as u64;
        let first = stream.rows;
        let row = |number: usize| -> Row<'_> {
            let key = keys
                .as_ref()
                .filter(|keys| keys.is_valid(number))
                .map(|keys| keys.as_string::<i32>().value(number));
            let spread = key.map_or((first + number) as u64, |key| hash_of(key.as_bytes()));
            Row {
                partition: Some((spread % partitions) as i32),
                key: key.map(str::as_bytes),
                value: values.get(number),
                tag: first + number,
                ..Row::default()
            }
        };
        let rows: Vec<Row> = (0..rows.num_rows()).map(row).collect();
        stream.rows += rows.len();
        let mut failed = None;
        let places = &mut stream.places;
        let mut heard = |report: skirl_kafka::Delivery| match report.error {
            Some(error) => failed = failed.take().or(Some(error)),
            None => drop(places.insert((report.partition, report.offset), report.tag)),
        };
        let topic = self.writer.topic(&stream.topic)?;
        let mut left = &rows[..];
        while !left.is_empty() {
            left = &left[self.writer.queue(&topic, left)?..];
            self.writer
                .poll(if left.is_empty() { Duration::ZERO } else { SLICE }, &mut heard)?;
        }
        self.writer.finish(PATIENCE, &mut heard)?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The rows of a stream between two places of its topic, partition after partition, as a source gives them.
    fn rows_between(&self, stream: &Stream, start: &Offsets, end: &Offsets) -> Vec<usize> {
        let spans = end
            .iter()
            .map(|(partition, end)| (partition.partition, start.get(partition).unwrap_or(0), end));
        let rows = spans.flat_map(|(partition, start, end)| stream.places.range((partition, start)..(partition, end)));
        rows.map(|(_, number)| *number).collect()
    }

    fn initial(&self, index: usize) -> Result<Offsets> {
        let dir = self.checkpoint.path().join("sources").join(index.to_string());
        Ok(initial_offsets(&dir)?.unwrap_or_default())
    }
}

impl Inlet for Topics {
    type Checkpoint = DirStorage;

    fn open(&mut self, session: &mut Session, job: &Job) -> Result<()> {
        if self.streams.is_empty() {
            for (name, schema) in &job.streams {
                self.go_on()?;
                let topic = self.make(name)?;
                self.streams.push(Stream {
                    name: name.clone(),
                    schema: schema.clone(),
                    topic,
                    rows: 0,
                    places: BTreeMap::new(),
                });
            }
        }
        if self.starts > 0 {
            let cut = &mut self.course.cut;
            cut.restarts.push(cut.micro_batches.len());
        }
        self.starts += 1;
        for (index, stream) in self.streams.iter().enumerate() {
            let (properties, options) = (self.settings.properties.clone(), self.options(index));
            let make = move || KafkaSource::new(&properties, &options);
            session.read_stream(&stream.name, make()?.schema(), move || Ok(Box::new(make()?)))?;
            session.create_view(&stream.name, &columns_of(&stream.name, &stream.schema), None)?;
        }
        Ok(())
    }

    fn feed(&mut self, batch: &MicroBatch) -> Result<()> {
        for (index, rows) in batch.rows.iter().enumerate() {
            if let Some(rows) = rows {
                self.go_on()?;
                self.send(index, rows)?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self, job: &Job, _: bool) -> Result<Option<DirStorage>> {
        // The offset log is how the cut is known.
        job.sink
            .checkpoint
            .then(|| DirStorage::new(self.checkpoint.path()))
            .transpose()
    }

    fn started(&mut self, streams: &[String]) {
        self.read = streams.to_vec();
    }

    fn executed(&mut self, batch_id: u64) -> Result<()> {
        let mut course = std::mem::take(&mut self.course);
        let followed = self.follow(&mut course, batch_id);
        self.course = course;
        followed.and_then(|()| self.go_on())
    }

    /// The micro-batches of the offset log, also one that failed.
    fn cut(&self) -> Option<Cut> {
        let mut course = self.course.clone();
        self.follow(&mut course, u64::MAX).ok()?;
        let is_read = |stream: &Stream| {
            self.read.is_empty() || self.read.iter().any(|name| name.eq_ignore_ascii_case(&stream.name))
        };
        course.cut.reads = self.streams.iter().map(is_read).collect();
        Some(course.cut)
    }
}

impl Topics {
    /// Adds the batches of the offset log up to `last`.
    fn follow(&self, course: &mut Course, last: u64) -> Result<()> {
        for batch in read_offset_log(self.checkpoint.path())? {
            if (course.next_batch..=last).contains(&batch.batch_id) {
                self.follow_batch(course, &batch)?;
                course.next_batch = batch.batch_id + 1;
            }
        }
        Ok(())
    }

    fn follow_batch(&self, course: &mut Course, batch: &LoggedBatch) -> Result<()> {
        let mut rows: Vec<Option<Vec<usize>>> = vec![None; self.streams.len()];
        for (index, (name, end)) in self.read.iter().zip(&batch.ends).enumerate() {
            let end = end
                .as_ref()
                .and_then(|end| Offsets::from_json(&end.0))
                .unwrap_or_default();
            let start = course.ends.get(name).cloned();
            if start.as_ref() == Some(&end) {
                continue;
            }
            let start = start.map_or_else(|| self.initial(index), Ok)?;
            let stream = self
                .streams
                .iter()
                .position(|stream| stream.name.eq_ignore_ascii_case(name));
            let stream = stream.expect("a query reads streams of its job");
            rows[stream] = Some(self.rows_between(&self.streams[stream], &start, &end));
            course.ends.insert(name.clone(), end);
        }
        if rows.iter().any(Option::is_some) {
            course.cut.micro_batches.push(rows);
        }
        Ok(())
    }
}

impl Drop for Topics {
    /// Takes away the topics it made.
    fn drop(&mut self) {
        for stream in &self.streams {
            if let Err(error) = self.admin.delete(&stream.topic) {
                remark(format_args!("topic `{}` is left: {error}\n", stream.topic));
            }
        }
    }
}

/// Rows a micro-batch takes of each stream, so that there are as many micro-batches as the trace has.
fn limits(trace: &Trace) -> Vec<usize> {
    let batches = trace.micro_batches.len().max(1);
    let streams = trace.micro_batches.first().map_or(0, |batch| batch.rows.len());
    let rows = |stream: usize| -> usize {
        let rows = trace
            .micro_batches
            .iter()
            .filter_map(|batch| batch.rows[stream].as_ref());
        rows.map(RecordBatch::num_rows).sum()
    };
    (0..streams)
        .map(|stream| rows(stream).div_ceil(batches).max(1))
        .collect()
}

/// Whether the values of a stream's topic are its one column as it is, and not JSON objects.
fn is_plain(schema: &SchemaRef) -> bool {
    let is_value = |field: &arrow::datatypes::Field| {
        field.name() == "value" && matches!(field.data_type(), DataType::Binary | DataType::Utf8)
    };
    schema.fields().len() == 1 && is_value(schema.field(0))
}

/// The columns of a stream, from Kafka's.
fn columns_of(name: &str, schema: &SchemaRef) -> String {
    if is_plain(schema) {
        let value = match schema.field(0).data_type() {
            DataType::Utf8 => "CAST(value AS STRING) AS value",
            _ => "value",
        };
        return format!("SELECT {value} FROM `{name}`");
    }
    let ddl = format_schema(schema).replace('\\', "\\\\").replace('\'', "\\'");
    format!("SELECT value.* FROM (SELECT from_json(CAST(value AS STRING), '{ddl}') AS value FROM `{name}`)")
}

/// Values for a topic.
struct Values(ArrayRef);

impl Values {
    fn get(&self, row: usize) -> Option<&[u8]> {
        if self.0.is_null(row) {
            return None;
        }
        Some(match self.0.as_string_opt::<i32>() {
            Some(texts) => texts.value(row).as_bytes(),
            None => self.0.as_binary::<i32>().value(row),
        })
    }
}

fn values_of(rows: &RecordBatch) -> Result<Values> {
    if is_plain(&rows.schema()) {
        return Ok(Values(rows.column(0).clone()));
    }
    // Times to the microsecond: without a format JSON has milliseconds.
    let formats = [
        ("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"),
        ("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"),
    ];
    let options = formats.map(|(name, format)| (name.to_string(), format.to_string()));
    let options = JsonOptions::new(&options.into(), 0)?;
    let objects: ArrayRef = Arc::new(StructArray::from(rows.clone()));
    Ok(Values(Arc::new(to_json(&objects, &options)?)))
}

/// The first column of text: rows of the same keep together.
fn key_column(rows: &RecordBatch) -> Option<ArrayRef> {
    let is_text = |column: &&ArrayRef| column.data_type() == &DataType::Utf8;
    rows.columns().iter().find(is_text).cloned()
}

/// FNV-1a: the same partition in every run.
fn hash_of(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
