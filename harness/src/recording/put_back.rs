//! Putting a recording back: its records to topics, byte for byte, in their order and with their gaps in time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use skirl_generator::target::kafka::{Clock, Dispatch, Ending, Lanes, Pieces, SendPace, Timestamps};
use skirl_generator::trace::{TRACE_FILE, TraceFile, TraceStream, TraceTopic};
use skirl_kafka::{Existing, NewTopic, Outbox, Outcome, Properties, Row, TopicHandle, Topics};

use super::columns::record;
use super::read::{RecordReader, Records, check_files};
use super::record::Record;
use super::{Error, Result};

/// Pieces of a stream that may wait to be sent.
const PIECES_AHEAD: usize = 4;

/// Which recording to put back, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct PutBackRequest {
    /// The directory with its `trace.toml`.
    pub trace: PathBuf,
    /// Where the brokers are, and how to write to them.
    pub properties: Properties,
    /// The topic for each stream by its name; others go to a topic of the name they were recorded from.
    pub topics: BTreeMap<String, String>,
    /// Partitions of topics that are made; `None`: as many as the recorded one had.
    pub partitions: Option<i32>,
    /// Settings of topics that are made, by Kafka's names.
    pub settings: BTreeMap<String, String>,
    /// What becomes of topics that are there.
    pub existing: Existing,
    /// Where records go if the topic has another number of partitions.
    pub repartition: Repartition,
    /// How fast.
    pub pace: SendPace,
    /// Which time Kafka keeps with a record.
    pub timestamps: Timestamps,
}

/// Where records go if a topic has not as many partitions as the recorded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repartition {
    /// Nowhere: it is refused.
    #[default]
    Refuse,
    /// Where their keys lead; those without a key anywhere.
    Key,
    /// To their partition's number, modulo how many there are.
    Modulo,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq)]
pub struct PutBack {
    /// The streams.
    pub streams: Vec<PutBackStream>,
    /// What became of their records.
    pub outcome: Outcome,
    /// From the first record to the last acknowledgement, in microseconds.
    pub lasted_us: i64,
    /// How far records were behind the pace, at most, in microseconds.
    pub behind_us: i64,
    /// How it ended.
    pub ending: Ending,
}

impl PutBack {
    /// Whether every record was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_complete() && self.ending == Ending::Complete
    }
}

/// What was put back of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBackStream {
    /// Its name.
    pub name: String,
    /// The topic it went to.
    pub topic: String,
    /// Partitions it was recorded from.
    pub recorded_partitions: usize,
    /// Partitions of the topic.
    pub partitions: usize,
    /// Records that were queued.
    pub records: u64,
}

/// Puts a recording back. `interrupted` is asked now and then; `progress` hears of records so far, of how many.
///
/// # Errors
/// No recording, topics that are there or differ in partitions or keep no such timestamps, a broker that does not answer.
/// Records that could not be written are no error but in [`PutBack`].
pub fn put_back(
    request: &PutBackRequest,
    clock: &dyn Clock,
    interrupted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PutBack> {
    let recordings = recordings(request)?;
    for recording in &recordings {
        check_files(&recording.directory, recording.micro_batches)?;
    }
    let mut topics = Topics::connect(&request.properties)?;
    let mut sent = 0;
    let done = put_to(
        request,
        &recordings,
        &mut topics,
        clock,
        interrupted,
        &mut |records, all| {
            sent = records;
            progress(records, all);
        },
    );
    if done.is_err() && sent == 0 {
        // What was made for nothing is of no use to anybody. Should this fail too, the first error counts.
        let _ = topics.delete_made();
    }
    done
}

fn put_to(
    request: &PutBackRequest,
    recordings: &[Recording],
    topics: &mut Topics,
    clock: &dyn Clock,
    interrupted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<PutBack> {
    let opened: Vec<usize> = recordings
        .iter()
        .map(|recording| open(request, topics, recording, clock))
        .collect::<Result<_>>()?;
    let mut outbox = Outbox::connect(&request.properties)?;
    let mut sender = Sender::new(request, recordings, &opened, &mut outbox)?;
    let mut dispatch = Dispatch::new(outbox, &request.pace, 0, clock);
    let ending = thread::scope(|scope| {
        let mut pieces = Vec::new();
        for recording in recordings {
            let (give, take) = sync_channel(PIECES_AHEAD);
            scope.spawn(move || {
                let mut pieces = recording.pieces();
                // Ends early once nobody takes them.
                while pieces.next().is_some_and(|piece| give.send(piece).is_ok()) {}
            });
            let taken: Pieces<Records, Error> = Box::new(take.into_iter());
            pieces.push(taken);
        }
        dispatch.send_all(Lanes::new(pieces), interrupted, |outbox, piece, stream, range| {
            let records: Vec<Record> = range.map(|row| record(&piece.batch, row)).collect();
            let queued = sender.queue(outbox, stream, &records, interrupted)?;
            progress(sender.counts.iter().sum(), sender.all);
            Ok(queued)
        })
    })?;
    let streams = recordings.iter().zip(&opened).zip(&sender.counts);
    let streams = streams.map(|((recording, partitions), records)| PutBackStream {
        name: recording.stream.clone(),
        topic: recording.to.clone(),
        recorded_partitions: recording.partitions,
        partitions: *partitions,
        records: *records,
    });
    Ok(PutBack {
        streams: streams.collect(),
        outcome: dispatch.outlet().outcome(),
        lasted_us: dispatch.lasted_us(),
        behind_us: dispatch.behind_us(),
        ending,
    })
}

/// A stream's records, and where they go.
struct Recording {
    stream: String,
    directory: PathBuf,
    micro_batches: u64,
    partitions: usize,
    records: u64,
    to: String,
}

fn recordings(request: &PutBackRequest) -> Result<Vec<Recording>> {
    let path = request.trace.join(TRACE_FILE);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    let trace = TraceFile::from_toml(&text)?;
    if let Some(stream) = request
        .topics
        .keys()
        .find(|name| !trace.streams.iter().any(|stream| stream.name == **name))
    {
        let names: Vec<&str> = trace.streams.iter().map(|stream| stream.name.as_str()).collect();
        return Err(Error::Request(format!(
            "the trace has no stream `{stream}`; it has {}",
            names.join(", ")
        )));
    }
    let recording = |stream: &TraceStream| {
        let topic = stream.kafka.as_ref().ok_or_else(|| {
            Error::Request(format!(
                "stream `{}` of {} was not recorded from Kafka, so it has no records to put back; generated streams are \
                 sent by `skirl generate --to kafka://...`",
                stream.name,
                request.trace.display()
            ))
        })?;
        Ok(Recording::of(stream, topic, request))
    };
    let recordings: Vec<Recording> = trace.streams.iter().map(recording).collect::<Result<_>>()?;
    for (index, recording) in recordings.iter().enumerate() {
        if recordings[..index].iter().any(|other| other.to == recording.to) {
            return Err(Error::Request(format!(
                "two streams would go to the topic `{}`; give each its own, for example `kafka://host:port/again-{{stream}}`",
                recording.to
            )));
        }
    }
    Ok(recordings)
}

impl Recording {
    fn of(stream: &TraceStream, topic: &TraceTopic, request: &PutBackRequest) -> Self {
        Recording {
            stream: stream.name.clone(),
            directory: request.trace.join(&topic.records),
            micro_batches: stream.micro_batches,
            partitions: topic.partitions.len(),
            records: topic.partitions.iter().map(|partition| partition.records).sum(),
            to: request.topics.get(&stream.name).unwrap_or(&topic.topic).clone(),
        }
    }

    fn pieces(&self) -> RecordReader {
        RecordReader::new(&self.directory, self.micro_batches)
    }

    /// The first and the last time of its records, in milliseconds since 1970.
    fn between(&self) -> Result<Option<(i64, i64)>> {
        let mut between: Option<(i64, i64)> = None;
        for piece in self.pieces() {
            let batch = piece?.batch;
            for time in batch.column(5).as_primitive::<TimestampMicrosecondType>().values() {
                let ms = time.div_euclid(1_000);
                if ms >= 0 {
                    between = Some(between.map_or((ms, ms), |(first, last)| (first.min(ms), last.max(ms))));
                }
            }
        }
        Ok(between)
    }
}

/// Opens the topic of a recording, and gives the number of its partitions.
fn open(request: &PutBackRequest, topics: &mut Topics, recording: &Recording, clock: &dyn Clock) -> Result<usize> {
    let new = NewTopic {
        name: recording.to.clone(),
        partitions: i32::try_from(recording.partitions).unwrap_or(i32::MAX),
        replication: None,
        settings: request.settings.clone(),
    };
    let opened = topics
        .open(&new, request.partitions, request.existing)?
        .partitions
        .len();
    if opened != recording.partitions && request.repartition == Repartition::Refuse {
        return Err(Error::Request(format!(
            "topic `{}` has {opened} partitions and the recorded one had {}; say where records go: `--repartition key` \
             (where their keys lead) or `--repartition modulo` (partition modulo {opened})",
            recording.to, recording.partitions
        )));
    }
    if request.timestamps == Timestamps::Original
        && let Some((first, last)) = recording.between()?
    {
        topics.check_timestamps(&recording.to, first, last, clock.now_us() / 1_000)?;
    }
    Ok(opened)
}

/// Queues records of the streams for their topics.
struct Sender<'a> {
    request: &'a PutBackRequest,
    topics: Vec<(TopicHandle, Placing)>,
    counts: Vec<u64>,
    all: u64,
}

/// How records find their partitions.
#[derive(Debug, Clone, Copy)]
enum Placing {
    Same,
    Key,
    Modulo(i32),
}

impl<'a> Sender<'a> {
    fn new(
        request: &'a PutBackRequest,
        recordings: &[Recording],
        opened: &[usize],
        outbox: &mut Outbox,
    ) -> Result<Self> {
        let mut topics = Vec::new();
        for (recording, partitions) in recordings.iter().zip(opened) {
            let placing = match request.repartition {
                _ if *partitions == recording.partitions => Placing::Same,
                Repartition::Key => Placing::Key,
                _ => Placing::Modulo(i32::try_from(*partitions).unwrap_or(i32::MAX)),
            };
            topics.push((outbox.topic(&recording.to)?, placing));
        }
        Ok(Sender {
            request,
            topics,
            counts: vec![0; recordings.len()],
            all: recordings.iter().map(|recording| recording.records).sum(),
        })
    }

    fn queue(
        &mut self,
        outbox: &mut Outbox,
        stream: usize,
        records: &[Record],
        interrupted: &dyn Fn() -> bool,
    ) -> skirl_kafka::Result<usize> {
        let (topic, placing) = &self.topics[stream];
        let row = |record: &'_ Record<'_>| -> (Option<i32>, Option<i64>) {
            let partition = match placing {
                Placing::Same => Some(record.partition),
                Placing::Key => None,
                Placing::Modulo(partitions) => Some(record.partition % partitions),
            };
            let original = self.request.timestamps == Timestamps::Original && record.timestamp_ms >= 0;
            (partition, original.then_some(record.timestamp_ms))
        };
        let rows: Vec<Row> = records
            .iter()
            .map(|record| {
                let (partition, timestamp_ms) = row(record);
                Row {
                    partition,
                    key: record.key,
                    value: record.value,
                    timestamp_ms,
                    headers: &record.headers,
                    tag: stream,
                }
            })
            .collect();
        let queued = outbox.send(topic, &rows, interrupted)?;
        self.counts[stream] += queued as u64;
        Ok(queued)
    }
}
