//! The rows of a stream in order of arrival, with what Kafka knows of them where they were recorded.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int32Type, SchemaRef, TimestampMicrosecondType};
use skirl_engine::error::in_full;
use skirl_engine::sql::{spark_type_name, timestamp_type};
use skirl_generator::spec::Micros;
use skirl_generator::target::kafka::Timed;
use skirl_generator::trace::{TRACE_FILE, TraceFile, TraceStream};
use skirl_generator::{Format, StreamSpec};
use skirl_kafka::wire;

use super::moments::Moments;
use super::{Error, FitRequest, ROWS_MAX, Result, SAMPLE_ROWS};
use crate::recording::read::RecordReader;
use crate::recording::values::Values;
use crate::scenario::{append_json_lines, parse_schema, read_file};

/// Where the rows of a stream are.
pub(super) struct Source {
    pub name: String,
    schema: SchemaRef,
    place: Place,
    micro_batches: u64,
    /// The span of micro-batches of a recording.
    span: Option<Micros>,
    /// What it was generated from, if it was.
    spec: Option<StreamSpec>,
}

enum Place {
    /// Values in records.
    Records {
        directory: PathBuf,
        topic: String,
        values: Box<Values>,
    },
    /// Rows in files.
    Files(Vec<PathBuf>),
}

/// Rows that were read at once.
struct Chunk {
    micro_batch: u64,
    rows: RecordBatch,
    /// Kafka's timestamps in microseconds since 1970, never going back, and the partitions.
    written: Option<(Vec<i64>, Vec<i32>)>,
}

impl Source {
    /// The streams of a trace.
    pub fn all(request: &FitRequest) -> Result<Vec<Source>> {
        let no_trace = |reason: String| Error::NoTrace {
            path: request.trace.clone(),
            reason,
        };
        let text = std::fs::read_to_string(request.trace.join(TRACE_FILE))
            .map_err(|error| no_trace(format!("it has no readable {TRACE_FILE} ({error})")))?;
        let trace = TraceFile::from_toml(&text).map_err(|error| no_trace(error.to_string()))?;
        if trace.streams.is_empty() {
            return Err(no_trace("it has no streams".into()));
        }
        let named = request.schemas.keys().chain(request.event_times.keys());
        for name in named {
            if !trace.streams.iter().any(|stream| stream.name == *name) {
                let names: Vec<&str> = trace.streams.iter().map(|stream| stream.name.as_str()).collect();
                let names = names.join(", ");
                return Err(Error::Request(format!(
                    "the trace has no stream `{name}`; it has {names}"
                )));
            }
        }
        let batch = trace.kafka.as_ref().map(|kafka| kafka.batch.as_str());
        let span = batch.and_then(|batch| Micros::parse(batch).ok());
        trace
            .streams
            .iter()
            .map(|stream| Source::of(stream, span, request))
            .collect()
    }

    fn of(stream: &TraceStream, span: Option<Micros>, request: &FitRequest) -> Result<Source> {
        let schema = match request.schemas.get(&stream.name) {
            Some(schema) => schema.clone(),
            None => schema_of(stream, request)?,
        };
        let wrong = |reason: String| Error::Rows {
            stream: stream.name.clone(),
            reason,
        };
        let place = match &stream.kafka {
            Some(topic) => Place::Records {
                directory: request.trace.join(&topic.records),
                topic: topic.topic.clone(),
                values: Box::new(Values::of(&schema).map_err(|error| wrong(in_full(&error)))?),
            },
            None => Place::Files(
                (0..stream.micro_batches)
                    .map(|n| request.trace.join(stream.file(n)))
                    .collect(),
            ),
        };
        let spec = stream.spec.as_ref().and_then(|spec| toml::to_string(spec).ok());
        Ok(Source {
            name: stream.name.clone(),
            schema,
            place,
            micro_batches: stream.micro_batches,
            span,
            spec: spec.and_then(|text| StreamSpec::from_toml(&text).ok()),
        })
    }

    /// Gives the rows to `each` in order of arrival, until it has enough.
    fn read(&self, mut each: impl FnMut(Chunk) -> bool) -> Result<()> {
        let wrong = |reason: String| Error::Rows {
            stream: self.name.clone(),
            reason,
        };
        match &self.place {
            Place::Files(paths) => {
                let header = [("header".to_string(), "true".to_string())].into_iter().collect();
                for (number, path) in paths.iter().enumerate() {
                    let rows = read_file(path, &self.schema, &header).map_err(wrong)?;
                    let micro_batch = number as u64;
                    if !each(Chunk {
                        micro_batch,
                        rows,
                        written: None,
                    }) {
                        return Ok(());
                    }
                }
            }
            Place::Records {
                directory,
                topic,
                values,
            } => {
                for records in RecordReader::new(directory, self.micro_batches) {
                    let records = records?;
                    let bytes = records.batch.column(1).as_binary::<i32>();
                    if let Some(id) = bytes.iter().flatten().find_map(wire::schema_id) {
                        return Err(Error::Request(wire::refusal(topic, id, "row to fit")));
                    }
                    let partitions = records.batch.column(3).as_primitive::<Int32Type>().values().to_vec();
                    let chunk = Chunk {
                        micro_batch: records.micro_batch,
                        rows: values.rows(bytes).map_err(|error| wrong(in_full(&error)))?,
                        written: Some((records.times().to_vec(), partitions)),
                    };
                    if !each(chunk) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the look-alike's micro-batches end: as it was made or recorded, if that says anything of event time.
    pub fn cut(&self, observed: &Observed, moments: &Moments) -> (Option<Micros>, Option<u64>) {
        if let Some(spec) = &self.spec {
            return (spec.batch, spec.batch_rows);
        }
        match self.span {
            Some(span) if moments.live => (Some(span), None),
            _ => (
                None,
                Some((observed.seen.len() as u64).div_ceil(self.micro_batches.max(1)).max(1)),
            ),
        }
    }
}

/// The columns the trace says.
fn schema_of(stream: &TraceStream, request: &FitRequest) -> Result<SchemaRef> {
    if let (Some(topic), Format::Parquet) = (&stream.kafka, stream.format) {
        // Only its records were kept: their first value tells why.
        let mut reader = RecordReader::new(&request.trace.join(&topic.records), stream.micro_batches);
        let first = reader.find_map(|records| match records {
            Err(error) => Some(Err(error)),
            Ok(records) => records
                .batch
                .column(1)
                .as_binary::<i32>()
                .iter()
                .flatten()
                .next()
                .map(|v| Ok(v.to_vec())),
        });
        if let Some(id) = first.transpose()?.and_then(|value| wire::schema_id(&value)) {
            return Err(Error::Request(wire::refusal(&topic.topic, id, "row to fit")));
        }
        return Err(Error::Request(format!(
            "the trace keeps the values of `{}` as bytes; say how to read them: `--schema {}='name TYPE, ...'`",
            stream.name, stream.name
        )));
    }
    let columns = stream
        .columns
        .iter()
        .map(|column| format!("`{}` {}", column.name, column.kind));
    parse_schema(&columns.collect::<Vec<_>>().join(", ")).map_err(|wrong| Error::Rows {
        stream: stream.name.clone(),
        reason: wrong.to_string(),
    })
}

/// What was seen of a stream.
pub(super) struct Observed {
    pub schema: SchemaRef,
    /// The column with the event time.
    pub time_column: Option<usize>,
    /// Every row that arrived, in order, up to a bound.
    pub seen: Vec<Seen>,
    /// The values of the first of them.
    pub sample: RecordBatch,
    /// Whether there were more rows than were looked at.
    pub is_part: bool,
}

/// A row as it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub micro_batch: u64,
    /// When it happened, as it says.
    pub event_us: Option<i64>,
    /// Kafka's timestamp, never going back, and the partition; 0 where it was not recorded.
    pub written_us: Option<i64>,
    pub partition: i32,
    /// A digest of all its columns but the event time.
    pub content: u64,
    /// Whether any column has a value.
    pub readable: bool,
}

impl Observed {
    /// Looks at a stream; its event time is in the column `wanted`, or where it seems to be.
    pub fn read(source: &Source, wanted: Option<&str>) -> Result<Observed> {
        let sample = sample(source)?;
        let time_column = match wanted {
            Some(name) => Some(named_time(source, name)?),
            None => likely_time(&sample),
        };
        let (mut seen, mut failed, mut is_part) = (Vec::new(), None, false);
        source.read(|chunk| {
            is_part = seen.len() as u64 + chunk.rows.num_rows() as u64 > ROWS_MAX;
            if !is_part {
                failed = see(&chunk, time_column, &mut seen).err();
            }
            failed.is_none() && !is_part
        })?;
        match failed {
            Some(error) => Err(Error::Rows {
                stream: source.name.clone(),
                reason: in_full(&error),
            }),
            None => Ok(Observed {
                schema: source.schema.clone(),
                time_column,
                seen,
                sample,
                is_part,
            }),
        }
    }

    /// What was looked at, and what not.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = vec![];
        if self.is_part {
            remarks.push(format!("only the first {} rows were looked at", self.seen.len()));
        }
        match self.time_column {
            Some(column) => remarks.push(format!("event time is `{}`", self.schema.field(column).name())),
            None => remarks.push("no column holds an event time, so nothing is late".into()),
        }
        remarks
    }
}

fn sample(source: &Source) -> Result<RecordBatch> {
    let (mut batches, mut rows) = (Vec::new(), 0);
    source.read(|chunk| {
        rows += chunk.rows.num_rows();
        batches.push(chunk.rows);
        rows < SAMPLE_ROWS
    })?;
    let sample = concat_batches(&source.schema, &batches).map_err(|error| Error::Rows {
        stream: source.name.clone(),
        reason: error.to_string(),
    })?;
    Ok(sample.slice(0, sample.num_rows().min(SAMPLE_ROWS)))
}

fn named_time(source: &Source, name: &str) -> Result<usize> {
    let found = source.schema.index_of(name);
    match found.map(|index| (index, source.schema.field(index).data_type())) {
        Ok((index, data_type)) if *data_type == timestamp_type() => Ok(index),
        Ok((_, other)) => Err(Error::Request(format!(
            "column `{name}` of stream `{}` has type {}, but an event time is a TIMESTAMP",
            source.name,
            spark_type_name(other).to_uppercase()
        ))),
        Err(_) => {
            let names: Vec<&str> = source
                .schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            Err(Error::Request(format!(
                "stream `{}` has no column `{name}`; it has {}",
                source.name,
                names.join(", ")
            )))
        }
    }
}

/// The TIMESTAMP column that goes back least often from row to row, among those that move at all.
fn likely_time(sample: &RecordBatch) -> Option<usize> {
    let times = sample
        .schema_ref()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| *field.data_type() == timestamp_type());
    let times: Vec<usize> = times.map(|(index, _)| index).collect();
    let going_back = |index: &usize| {
        let values: Vec<i64> = sample
            .column(*index)
            .as_primitive::<TimestampMicrosecondType>()
            .iter()
            .flatten()
            .collect();
        let moves = values.windows(2).filter(|pair| pair[1] != pair[0]).count();
        let backs = values.windows(2).filter(|pair| pair[1] < pair[0]).count();
        if moves == 0 { usize::MAX } else { backs }
    };
    times.into_iter().min_by_key(going_back)
}

/// Adds the rows of a chunk.
fn see(chunk: &Chunk, time_column: Option<usize>, seen: &mut Vec<Seen>) -> skirl_engine::Result<()> {
    let times = time_column.map(|index| chunk.rows.column(index).as_primitive::<TimestampMicrosecondType>());
    let others: Vec<usize> = (0..chunk.rows.num_columns())
        .filter(|index| Some(*index) != time_column)
        .collect();
    let contents = contents(&chunk.rows.project(&others)?)?;
    for (row, content) in contents.into_iter().enumerate() {
        let event_us = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        let written = chunk
            .written
            .as_ref()
            .map(|(times, partitions)| (times[row], partitions[row]));
        seen.push(Seen {
            micro_batch: chunk.micro_batch,
            event_us,
            written_us: written.map(|(time, _)| time),
            partition: written.map_or(0, |(_, partition)| partition),
            content,
            readable: chunk.rows.columns().iter().any(|column| column.is_valid(row)),
        });
    }
    Ok(())
}

/// A digest of each row.
fn contents(rows: &RecordBatch) -> skirl_engine::Result<Vec<u64>> {
    if rows.num_columns() == 0 {
        return Ok(vec![0; rows.num_rows()]);
    }
    let mut lines = Vec::new();
    append_json_lines(rows, &mut lines)?;
    let digest = |line: &[u8]| {
        let mut hasher = DefaultHasher::new();
        hasher.write(line);
        hasher.finish()
    };
    Ok(lines.split_inclusive(|byte| *byte == b'\n').map(digest).collect())
}

/// Whether a column's type is one the generator makes, or nearly: the type it makes instead.
pub(super) fn made_type(found: &DataType) -> Option<skirl_generator::stream::ColumnType> {
    use skirl_generator::stream::ColumnType;
    Some(match found {
        DataType::Utf8 => ColumnType::String,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => ColumnType::Int,
        DataType::Int64 => ColumnType::Bigint,
        DataType::Float32 | DataType::Float64 => ColumnType::Double,
        DataType::Boolean => ColumnType::Boolean,
        DataType::Timestamp(_, Some(_)) => ColumnType::Timestamp,
        DataType::Date32 => ColumnType::Date,
        DataType::Decimal128(precision, scale) if *precision <= 18 && *scale >= 0 => {
            ColumnType::Decimal(*precision, *scale)
        }
        _ => return None,
    })
}
