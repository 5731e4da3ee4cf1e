//! Kafka: every row a message, its value a line of JSON or CSV, partitioned by a column of the row.
//!
//! A thread for each stream makes rows ([`rows`]); this one merges them in order of arrival ([`merge`]), waits until they
//! are due ([`schedule`]) and queues them ([`dispatch`]), while librdkafka's threads send. The producer is idempotent, so rows of a key
//! keep their order whatever happens, and a row counts as sent once every replica that is in sync has it.

mod dispatch;
mod merge;
mod rows;
mod schedule;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

use skirl_kafka::{Existing, NewTopic, Outbox, Outcome, Properties, Row, TopicHandle, Topics, partition_of};

pub use dispatch::{Dispatch, Ending};
pub use merge::{Lanes, Pieces, Timed};
pub use rows::{Maker, Piece};
pub use schedule::{Clock, Due, SendPace};

use crate::card::DisorderCard;
use crate::encode::Format;
use crate::error::{Error, Result};
use crate::generate::{Stream, refuse_mistakes};
use crate::lateness;
use crate::progress::Progress;
use crate::spec::StreamSpec;

/// Partitions of a topic that is made, unless a number is asked for.
pub const PARTITIONS_DEFAULT: i32 = 4;

/// Pieces that may wait to be queued.
const PIECES_AHEAD: usize = 4;

/// Which streams to send, and where to.
#[derive(Debug, Clone, PartialEq)]
pub struct SendRequest {
    /// The streams by name.
    pub specs: Vec<(String, StreamSpec)>,
    /// The topic of each stream.
    pub topics: Vec<String>,
    /// The seed of all chance.
    pub seed: u64,
    /// JSON or CSV.
    pub format: Format,
    /// Where the brokers are, and how to write to them.
    pub properties: Properties,
    /// How many partitions topics must have; `None`: [`PARTITIONS_DEFAULT`] if they are made, else whatever they have.
    pub partitions: Option<i32>,
    /// Settings of the topics that are made, by Kafka's names.
    pub settings: BTreeMap<String, String>,
    /// What becomes of topics that are there.
    pub existing: Existing,
    /// Which column holds the keys.
    pub key: KeyColumn,
    /// How fast rows are sent.
    pub pace: SendPace,
    /// Which time Kafka keeps with a row.
    pub timestamps: Timestamps,
}

/// Which column holds the keys, by which rows find their partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyColumn {
    /// `district`, else the first column of texts, else none.
    Usual,
    /// This one.
    Named(String),
    /// None: rows have no key and go to any partition.
    None,
}

/// Which time Kafka keeps with a row; its event time is in its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// When it is sent.
    Now,
    /// When it arrives in the stream's own time.
    Original,
}

/// What became of the rows that were sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The streams, in the order of their specifications.
    pub streams: Vec<SentStream>,
    /// What became of their rows.
    pub outcome: Outcome,
    /// From the first row to the last acknowledgement, in microseconds.
    pub lasted_us: i64,
    /// How far rows were behind the pace, at most, in microseconds.
    pub behind_us: i64,
    /// How it ended.
    pub ending: Ending,
}

impl Sent {
    /// Whether every row was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_complete() && self.ending == Ending::Complete
    }
}

/// What was sent of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct SentStream {
    /// Its name.
    pub name: String,
    /// The topic it went to.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Rows that were queued for it.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// How far out of order they are.
    pub card: DisorderCard,
}

/// Makes streams and sends them, until all rows are acknowledged or given up. `interrupted` is asked now and then.
///
/// # Errors
/// A specification that is wrong, things that do not go together, topics that are there or keep no such timestamps, a
/// broker that does not answer. Rows that could not be written are no error but in [`Sent`].
pub fn send(
    request: &SendRequest,
    clock: &dyn Clock,
    interrupted: &dyn Fn() -> bool,
    progress: &mut dyn Progress,
) -> Result<Sent> {
    refuse_mistakes(&request.specs)?;
    refuse_misfits(request)?;
    let makers = makers(request)?;
    let mut topics = Topics::connect(&request.properties)?;
    let partitions = open_topics(request, &mut topics, clock)?;
    let mut outbox = Outbox::connect(&request.properties)?;
    let mut sender = Sender::new(request, &partitions, &mut outbox)?;
    let mut dispatch = Dispatch::new(outbox, &request.pace, request.seed, clock);
    let (cards, outcome) = thread::scope(|scope| {
        let (mut threads, mut pieces) = (vec![], vec![]);
        for (maker, (_, spec)) in makers.into_iter().zip(&request.specs) {
            let (give, take) = sync_channel(PIECES_AHEAD);
            threads.push(scope.spawn(move || maker.run(spec.rows, &give)));
            let taken: Pieces<Piece, Error> = Box::new(take.into_iter());
            pieces.push(taken);
        }
        // The lanes end with this call, so that makers whose rows nobody takes any more end too.
        let outcome = dispatch.send_all(Lanes::new(pieces), interrupted, |outbox, piece, stream, rows| {
            let queued = sender.queue(outbox, piece, stream, rows, interrupted)?;
            progress.rows(&sender.title, sender.done(), sender.rows);
            Ok(queued)
        });
        let cards: Vec<DisorderCard> = threads
            .into_iter()
            .map(|thread| thread.join().expect("a maker gives its errors to the sender"))
            .collect();
        (cards, outcome)
    });
    progress.finished(&sender.title);
    let ending = outcome?;
    let streams = request.specs.iter().zip(&request.topics).zip(cards).zip(partitions);
    let streams = streams
        .zip(&sender.counts)
        .map(|((((spec, topic), card), partitions), count)| SentStream {
            name: spec.0.clone(),
            topic: topic.clone(),
            partitions,
            rows: count.rows,
            bytes: count.bytes,
            card,
        });
    Ok(Sent {
        streams: streams.collect(),
        outcome: dispatch.outlet().outcome(),
        lasted_us: dispatch.lasted_us(),
        behind_us: dispatch.behind_us(),
        ending,
    })
}

fn refuse_misfits(request: &SendRequest) -> Result<()> {
    let refuse = |message: String| Err(Error::Unsupported(message));
    if request.specs.is_empty() {
        return refuse("there is no stream to send".into());
    }
    if request.format == Format::Parquet {
        return refuse("Parquet is a format of files, not of single rows; send `json` or `csv`".into());
    }
    let corrupt = request
        .specs
        .iter()
        .find(|(_, spec)| lateness::corrupts(&spec.lateness));
    if let (Some((name, _)), Format::Csv) = (corrupt, request.format) {
        return refuse(format!(
            "the layer `corrupt` of stream `{name}` spoils JSON lines; send `json`"
        ));
    }
    for (index, topic) in request.topics.iter().enumerate() {
        if request.topics[..index].contains(topic) {
            return refuse(format!(
                "two streams would go to the topic `{topic}`; give each its own, for example `kafka://host:port/{{stream}}`"
            ));
        }
    }
    Ok(())
}

fn makers(request: &SendRequest) -> Result<Vec<Maker>> {
    let maker = |(name, _): &(String, StreamSpec)| {
        let stream = Stream::new(name, &request.specs, request.seed)?;
        Maker::new(name, stream, request.format, &request.key)
    };
    request.specs.iter().map(maker).collect()
}

/// Opens the topics and gives the numbers of their partitions.
fn open_topics(request: &SendRequest, topics: &mut Topics, clock: &dyn Clock) -> Result<Vec<usize>> {
    let opened = request.topics.iter().enumerate().map(|(index, name)| {
        let new = NewTopic {
            name: name.clone(),
            partitions: PARTITIONS_DEFAULT,
            replication: None,
            settings: request.settings.clone(),
        };
        let topic = topics.open(&new, request.partitions, request.existing)?;
        if request.timestamps == Timestamps::Original
            && let Some((earliest, latest)) = arrivals_between(request, index)?
        {
            topics.check_timestamps(
                name,
                earliest.div_euclid(1_000),
                latest.div_euclid(1_000),
                clock.now_us() / 1_000,
            )?;
        }
        Ok(topic.partitions.len())
    });
    let opened: Result<Vec<usize>> = opened.collect();
    if opened.is_err() {
        // Nothing was sent: what was made for it is of no use to anybody. Should this fail too, the first error counts.
        let _ = topics.delete_made();
    }
    opened
}

/// When the first and the last row of a stream arrive; found without making rows.
fn arrivals_between(request: &SendRequest, index: usize) -> Result<Option<(i64, i64)>> {
    let mut stream = Stream::new(&request.specs[index].0, &request.specs, request.seed)?;
    let mut between: Option<(i64, i64)> = None;
    while let Some(arrived) = stream.next_arrivals()? {
        if let Some((first, last)) = arrived.between() {
            between = Some((between.map_or(first, |(earliest, _)| earliest), last));
        }
    }
    Ok(between)
}

/// Queues rows of the streams for their topics.
struct Sender {
    topics: Vec<TopicHandle>,
    /// How many partitions each topic has; `None` where a `partitioner` of one's own places rows.
    partitions: Vec<Option<i32>>,
    timestamps: Timestamps,
    /// What is shown beside the progress, and of how many rows.
    title: String,
    rows: u64,
    counts: Vec<Count>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    rows: u64,
    bytes: u64,
}

impl Sender {
    fn new(request: &SendRequest, partitions: &[usize], outbox: &mut Outbox) -> Result<Self> {
        let own = request.properties.get("partitioner").is_some();
        let known = |partitions: &usize| i32::try_from(*partitions).ok().filter(|_| !own);
        let topics = request.topics.iter().map(|topic| outbox.topic(topic));
        let topics = topics.collect::<skirl_kafka::Result<_>>()?;
        let names: Vec<&str> = request.specs.iter().map(|(name, _)| name.as_str()).collect();
        Ok(Sender {
            topics,
            partitions: partitions.iter().map(known).collect(),
            timestamps: request.timestamps,
            title: names.join(", "),
            rows: request.specs.iter().map(|(_, spec)| spec.rows).sum(),
            counts: vec![Count::default(); request.specs.len()],
        })
    }

    /// Rows queued so far; copies may make them more than there are.
    fn done(&self) -> u64 {
        let rows = self.counts.iter().map(|count| count.rows).sum::<u64>();
        rows.min(self.rows)
    }

    fn queue(
        &mut self,
        outbox: &mut Outbox,
        piece: &Piece,
        stream: usize,
        range: Range<usize>,
        interrupted: &dyn Fn() -> bool,
    ) -> skirl_kafka::Result<usize> {
        let placed = match self.partitions[stream] {
            Some(partitions) => by_partition(piece, range, partitions),
            None => range.map(|row| (row, None)).collect(),
        };
        let row = |(row, partition): (usize, Option<i32>)| Row {
            partition,
            timestamp_ms: (self.timestamps == Timestamps::Original).then(|| piece.times()[row].div_euclid(1_000)),
            ..piece.row(row, stream)
        };
        let rows: Vec<Row> = placed.into_iter().map(row).collect();
        let done = outbox.send(&self.topics[stream], &rows, interrupted)?;
        self.counts[stream].rows += done as u64;
        let bytes = rows[..done].iter().map(|row| row.value.map_or(0, <[u8]>::len) as u64);
        self.counts[stream].bytes += bytes.sum::<u64>();
        Ok(done)
    }
}

/// Rows with their partitions, those of a partition together and in order. librdkafka walks over the rows of a partition
/// several times: next to each other in memory they cost half.
fn by_partition(piece: &Piece, range: Range<usize>, partitions: i32) -> Vec<(usize, Option<i32>)> {
    let partition = |row| piece.key(row).map(|key| partition_of(key, partitions));
    let placed: Vec<Option<i32>> = range.clone().map(partition).collect();
    let group = |partition: &Option<i32>| partition.map_or(0, |partition| partition as usize + 1);
    let mut next = vec![0; partitions as usize + 2];
    placed.iter().for_each(|partition| next[group(partition) + 1] += 1);
    for at in 1..next.len() {
        next[at] += next[at - 1];
    }
    let mut grouped = vec![(0, None); placed.len()];
    for (row, partition) in range.zip(placed) {
        let place = &mut next[group(&partition)];
        grouped[*place] = (row, partition);
        *place += 1;
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Kind;

    #[test]
    fn rows_of_a_partition_are_together_and_in_order() {
        let specs = [("a".to_string(), StreamSpec::new(Kind::Scotsmen, 1_000))];
        let stream = Stream::new("a", &specs, 7).unwrap();
        let (give, take) = sync_channel(1);
        Maker::new("a", stream, Format::Json, &KeyColumn::Usual)
            .unwrap()
            .run(1_000, &give);
        let piece = take.recv().unwrap().unwrap();
        let grouped = by_partition(&piece, 100..900, 3);
        assert!(
            grouped.is_sorted_by_key(|(row, partition)| (*partition, *row)),
            "{grouped:?}"
        );
        let mut rows: Vec<usize> = grouped.iter().map(|(row, _)| *row).collect();
        rows.sort_unstable();
        assert!(rows.into_iter().eq(100..900));
        for (row, partition) in grouped {
            assert_eq!(partition, piece.key(row).map(|key| partition_of(key, 3)));
        }
    }
}
