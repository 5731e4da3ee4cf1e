//! Recording: topics as they are, until a time, a number of records, given offsets or an interruption.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use skirl_engine::error::in_full;
use skirl_generator::target::kafka::Clock;
use skirl_generator::trace::TracePartition;
use skirl_kafka::{Admin, Fetched, Follower, Isolation, Topic, TopicId, wire};

use super::record::Record;
use super::request::{Place, RecordRequest, found_topics, places, refuse_misfits, stream_name};
use super::spill::Spill;
use super::store::{Kept, Store};
use super::values::{Values, infer, unreadable};
use super::{Error, Result};

/// How long one wait for records may be.
const SLICE_US: i64 = 100_000;
/// How often new partitions are looked for.
const LOOK_EVERY_US: i64 = 5_000_000;
/// Values of a topic that its columns are inferred from.
const SAMPLE_VALUES: usize = 10_000;
const SAMPLE_BYTES: usize = 16 * 1024 * 1024;

/// Why a recording ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Its time was over.
    Time,
    /// It had as many records as wanted.
    Records,
    /// It had reached the offsets.
    Offsets,
    /// Somebody wanted it to.
    Interrupted,
    /// It could not go on; what was recorded before is kept.
    Trouble(String),
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The streams.
    pub streams: Vec<RecordedStream>,
    /// Why it ended.
    pub ended: Ended,
    /// Micro-batches of the trace.
    pub micro_batches: u64,
    /// What was heard of the brokers last, if they gave trouble.
    pub trouble: Option<String>,
}

/// What was recorded of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedStream {
    /// The stream's name.
    pub name: String,
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: usize,
    /// Its records.
    pub records: u64,
    /// The columns of its rows, and whether they were inferred; `None`: the trace has its records only.
    pub schema: Option<(SchemaRef, bool)>,
    /// Why there are no rows, where rows were wanted.
    pub remark: Option<String>,
}

impl RecordedStream {
    fn of(kept: &Kept) -> Self {
        RecordedStream {
            name: kept.name.clone(),
            topic: kept.topic.clone(),
            partitions: kept.partitions.len(),
            records: kept.partitions.iter().map(|partition| partition.records).sum(),
            schema: kept
                .values
                .as_ref()
                .map(|values| (values.schema().clone(), kept.inferred)),
            remark: kept.remark.clone(),
        }
    }
}

/// Records topics into a trace. `interrupted` is asked now and then; `progress` hears of records and bytes.
///
/// # Errors
/// A directory that is in use, topics that are not there, offsets that are not in the log, values that cannot be decoded as
/// was asked, a broker that does not answer. Trouble on the way ends the recording; what there is becomes a trace.
pub fn record(
    request: &RecordRequest,
    clock: &dyn Clock,
    interrupted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Recorded> {
    refuse_misfits(request)?;
    let admin = Admin::connect(&request.properties)?;
    let level = request.properties.get("isolation.level");
    let isolation = level
        .map_or(Ok(Isolation::default()), Isolation::parse)
        .map_err(Error::Request)?;
    let topics = found_topics(&admin, &request.topics)?;
    let (places, ends) = places(request, &admin, isolation, &topics)?;

    make_directory(&request.directory)?;
    let mut capture = Capture::new(request, &topics, &places, ends)?;
    let mut follower = Follower::connect(&request.properties, isolation, &places)?;
    let ended = capture.run(&mut follower, &admin, clock, interrupted, progress)?;
    let trouble = follower.last_trouble();
    drop(follower);

    let (spill, kept) = capture.into_kept(&topics)?;
    let micro_batches = store(request, spill, &kept)?;
    Ok(Recorded {
        streams: kept.iter().map(RecordedStream::of).collect(),
        ended,
        micro_batches,
        trouble,
    })
}

fn make_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::io(directory))
}

fn store(request: &RecordRequest, spill: Spill, kept: &[Kept]) -> Result<u64> {
    let in_directory = || Error::io(&request.directory);
    let mut merged = spill.merged().map_err(in_directory())?;
    let mut store = Store::new(&request.directory, request.cut, kept)?;
    while let Some(placed) = merged.next().map_err(in_directory())? {
        store.push(&placed)?;
    }
    store.finish(request.properties.bootstrap())
}

/// A recording under way.
struct Capture<'a> {
    request: &'a RecordRequest,
    spill: Spill,
    topics: Vec<TopicState>,
    parts: Vec<Part>,
    records: u64,
    bytes: u64,
}

/// What is known of a topic's values.
struct TopicState {
    id: TopicId,
    /// The parts of its partitions, by number.
    parts: Vec<Option<usize>>,
    sample: Vec<Vec<u8>>,
    sample_bytes: usize,
    /// The schema that the first value in the Confluent wire format names.
    wire: Option<u32>,
}

/// A partition.
struct Part {
    topic: usize,
    partition: i32,
    lane: usize,
    from: i64,
    /// The offset after the last one that is known to be passed.
    next: i64,
    end: Option<i64>,
}

impl Part {
    fn is_through(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }
}

impl<'a> Capture<'a> {
    fn new(request: &'a RecordRequest, topics: &[Topic], places: &[Place], ends: Vec<Option<i64>>) -> Result<Self> {
        let state = |topic: &Topic| TopicState {
            id: topic.id.clone(),
            parts: Vec::new(),
            sample: Vec::new(),
            sample_bytes: 0,
            wire: None,
        };
        let mut capture = Capture {
            request,
            spill: Spill::new(&request.directory).map_err(Error::io(&request.directory))?,
            topics: topics.iter().map(state).collect(),
            parts: Vec::new(),
            records: 0,
            bytes: 0,
        };
        for ((topic, partition, from), end) in places.iter().zip(ends) {
            let topic = capture.topic(topic).expect("places are of topics that are recorded");
            capture.add(topic, *partition, *from, end);
        }
        Ok(capture)
    }

    fn topic(&self, name: &str) -> Option<usize> {
        self.request.topics.iter().position(|topic| topic == name)
    }

    fn add(&mut self, topic: usize, partition: i32, from: i64, end: Option<i64>) {
        let index = usize::try_from(partition).unwrap_or(0);
        let parts = &mut self.topics[topic].parts;
        parts.resize(parts.len().max(index + 1), None);
        parts[index] = Some(self.parts.len());
        self.parts.push(Part {
            topic,
            partition,
            lane: self.spill.lane(topic, partition),
            from,
            next: from,
            end,
        });
    }

    fn part(&self, topic: &str, partition: i32) -> Option<usize> {
        let parts = &self.topics[self.topic(topic)?].parts;
        *parts.get(usize::try_from(partition).ok()?)?
    }

    /// Takes records until the end.
    fn run(
        &mut self,
        follower: &mut Follower,
        admin: &Admin,
        clock: &dyn Clock,
        interrupted: &dyn Fn() -> bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Ended> {
        let started = clock.now_us();
        let over = self.request.until.lasts_us.map(|lasts| started.saturating_add(lasts));
        let mut look = started + LOOK_EVERY_US;
        loop {
            let now = clock.now_us();
            if let Some(ended) = self.ended(over.is_some_and(|over| now >= over), interrupted()) {
                return Ok(ended);
            }
            if now >= look && self.request.until.offsets.is_none() {
                look = now + LOOK_EVERY_US;
                if let Err(error) = self.follow_new_partitions(follower, admin) {
                    return self.trouble(error);
                }
            }
            let wait_us = over.map_or(SLICE_US, |over| (over - now).clamp(0, SLICE_US));
            match self.take_some(follower, wait_us) {
                Err(error @ (Error::Kafka(_) | Error::Request(_))) => return self.trouble(error),
                taken => taken?,
            }
            progress(self.records, self.bytes);
        }
    }

    fn ended(&self, is_over: bool, interrupted: bool) -> Option<Ended> {
        let enough = self
            .request
            .until
            .records
            .is_some_and(|records| self.records >= records);
        if enough {
            Some(Ended::Records)
        } else if self.request.until.offsets.is_some() && self.parts.iter().all(Part::is_through) {
            Some(Ended::Offsets)
        } else if is_over {
            Some(Ended::Time)
        } else {
            interrupted.then_some(Ended::Interrupted)
        }
    }

    /// What was recorded before the trouble is worth keeping; where nothing was, the trouble is all there is to tell.
    fn trouble(&self, error: Error) -> Result<Ended> {
        if self.records == 0 {
            Err(error)
        } else {
            Ok(Ended::Trouble(in_full(&error)))
        }
    }

    fn take_some(&mut self, follower: &mut Follower, wait_us: i64) -> Result<()> {
        let wait = Duration::from_micros(wait_us.unsigned_abs());
        let (mut wrong, mut ends) = (None, Vec::new());
        follower.poll(
            wait,
            |row| {
                if wrong.is_none() {
                    wrong = self.take(row).err();
                }
            },
            |topic, partition, offset| ends.push((topic.to_string(), partition, offset)),
        )?;
        for (topic, partition, offset) in ends {
            if let Some(part) = self.part(&topic, partition) {
                let part = &mut self.parts[part];
                part.next = part.next.max(offset);
            }
        }
        wrong.map_or(Ok(()), Err)
    }

    fn take(&mut self, row: &Fetched) -> Result<()> {
        let Some(index) = self.part(row.topic(), row.partition()) else {
            return Ok(());
        };
        let part = &mut self.parts[index];
        let beyond = part.end.is_some_and(|end| row.offset() >= end);
        if beyond {
            part.next = part.next.max(row.offset());
        }
        if beyond
            || self
                .request
                .until
                .records
                .is_some_and(|records| self.records >= records)
        {
            return Ok(());
        }
        if row.has_odd_header() {
            return Err(Error::Request(format!(
                "`{}`, partition {}, offset {}: the name of a header is no UTF-8, which Kafka's protocol does not allow; \
                 Skirl cannot keep it",
                row.topic(),
                row.partition(),
                row.offset()
            )));
        }
        let (topic, lane) = (part.topic, part.lane);
        let record = Record::of(row);
        if let Some(value) = record.value {
            self.look_at(topic, value)?;
        }
        self.spill
            .push(lane, &record)
            .map_err(Error::io(&self.request.directory))?;
        self.parts[index].next = record.offset + 1;
        self.records += 1;
        self.bytes += (record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)) as u64;
        Ok(())
    }

    /// Learns what the values of a topic are.
    fn look_at(&mut self, topic: usize, value: &[u8]) -> Result<()> {
        let (name, state) = (&self.request.topics[topic], &mut self.topics[topic]);
        if let Some(id) = wire::schema_id(value) {
            if self.request.schemas.contains_key(name) {
                let wanted = "row with the columns of `--schema`; leave it out to record the bytes";
                return Err(Error::Request(wire::refusal(name, id, wanted)));
            }
            state.wire.get_or_insert(id);
        }
        if state.sample.len() < SAMPLE_VALUES && state.sample_bytes < SAMPLE_BYTES {
            state.sample_bytes += value.len();
            state.sample.push(value.to_vec());
        }
        Ok(())
    }

    fn follow_new_partitions(&mut self, follower: &mut Follower, admin: &Admin) -> Result<()> {
        let topics = found_topics(admin, &self.request.topics)?;
        let mut places = Vec::new();
        for (index, topic) in topics.iter().enumerate() {
            let name = &self.request.topics[index];
            if topic.id != self.topics[index].id {
                return Err(Error::Request(format!(
                    "topic `{name}` was deleted and made anew while it was recorded"
                )));
            }
            let known: BTreeSet<i32> = self
                .parts
                .iter()
                .filter(|part| part.topic == index)
                .map(|part| part.partition)
                .collect();
            for partition in topic
                .partitions
                .iter()
                .filter(|partition| !known.contains(&partition.id))
            {
                self.add(index, partition.id, 0, None);
                places.push((name.as_str(), partition.id, 0));
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        Ok(follower.add(&places)?)
    }

    /// The records, and the topics as they are kept.
    fn into_kept(self, topics: &[Topic]) -> Result<(Spill, Vec<Kept>)> {
        let kept = |(index, topic): (usize, &String)| {
            let (given, state) = (self.request.schemas.get(topic), &self.topics[index]);
            let bytes_only = self.request.bytes_only || state.wire.is_some();
            let inferred = || if bytes_only { None } else { infer(&state.sample) };
            let schema = given.cloned().or_else(inferred);
            let name = stream_name(topic);
            let remark = if schema.is_none() {
                self.why_no_rows(topic, state)
            } else {
                None
            };
            let values = schema.map(|schema| Values::of(&schema)).transpose();
            Ok(Kept {
                values: values.map_err(unreadable(&name))?,
                inferred: given.is_none(),
                remark,
                topic: topic.clone(),
                id: topics[index].id.to_string(),
                partitions: self.partitions_of(index),
                name,
            })
        };
        let kept: Result<Vec<Kept>> = self.request.topics.iter().enumerate().map(kept).collect();
        let kept = kept?;
        Ok((self.spill, kept))
    }

    fn why_no_rows(&self, topic: &str, state: &TopicState) -> Option<String> {
        if self.request.bytes_only {
            return None;
        }
        Some(match state.wire {
            Some(id) => wire::refusal(topic, id, "row, only records"),
            None if state.sample.is_empty() => {
                format!("`{topic}` gave no value to infer columns from: the trace has its records only")
            }
            None => format!("the values of `{topic}` are no JSON objects: the trace has its records only"),
        })
    }

    fn partitions_of(&self, topic: usize) -> Vec<TracePartition> {
        let parts = self.parts.iter().filter(|part| part.topic == topic);
        let mut partitions: Vec<TracePartition> = parts
            .map(|part| TracePartition {
                partition: part.partition,
                from: part.from,
                to: part.end.map_or(part.next, |end| part.next.min(end)),
                records: self.spill.lanes()[part.lane].records,
            })
            .collect();
        partitions.sort_by_key(|partition| partition.partition);
        partitions
    }
}
