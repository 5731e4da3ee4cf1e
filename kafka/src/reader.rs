//! Reading by offset: exactly the rows of a range, or everything from an offset on.
//!
//! A reader belongs to no group and commits nothing: where it stands is its caller's business. It never resets: an
//! offset that is not in the log is an error, whatever `auto.offset.reset` says. Rows of aborted transactions and the
//! markers of transactions leave gaps in the offsets, so a range is read once a row at or after its end has been seen,
//! or the end of the partition.

use std::collections::VecDeque;
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::{Batch, Handle, OwnedMessage, Queue, Role, name_of};
use crate::properties::Properties;

/// Rows taken from a queue by one call.
const BATCH_ROWS: usize = 4096;
/// How long one wait may block before refusals are looked for.
const SLICE: Duration = Duration::from_millis(50);
/// Whether rows of transactions that are not committed are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All rows, also those of aborted transactions: the default of Kafka's own consumer, and so Spark's.
    #[default]
    ReadUncommitted,
    /// Only rows that are committed.
    ReadCommitted,
}

impl Isolation {
    /// Kafka's word for it, as `isolation.level` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        }
    }

    /// The isolation of this name.
    ///
    /// # Errors
    /// A sentence with both names.
    pub fn parse(name: &str) -> Result<Self, String> {
        [Isolation::ReadUncommitted, Isolation::ReadCommitted]
            .into_iter()
            .find(|isolation| isolation.name() == name)
            .ok_or_else(|| format!("`{name}` is no isolation level; write `read_uncommitted` or `read_committed`"))
    }

    pub(crate) fn native(self) -> rd::rd_kafka_IsolationLevel_t {
        match self {
            Isolation::ReadUncommitted => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Isolation::ReadCommitted => rd::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        }
    }
}

/// Rows of a partition from one offset up to, and without, another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub start: i64,
    /// The offset after the last.
    pub end: i64,
}

/// Reads ranges of partitions, one after another; what is fetched ahead is kept for the next range.
pub struct Reader {
    // Dropped in this order: queues and rows must not outlive their client.
    parts: Vec<Part>,
    handle: Handle,
}

/// A partition that is being read.
struct Part {
    topic: String,
    id: i32,
    /// Rows that were fetched beyond the end of a range.
    ahead: VecDeque<Fetched>,
    queue: Queue,
    /// The offset after the last row that was given out.
    next: i64,
    /// The highest offset the end of the partition was seen at.
    end_seen: i64,
}

impl Reader {
    /// Connects. Nothing is fetched before the first range.
    ///
    /// # Errors
    /// No answer, refused credentials or certificates, properties that are not taken.
    pub fn connect(properties: &Properties, isolation: Isolation) -> Result<Self> {
        Ok(Reader {
            parts: Vec::new(),
            handle: connect(properties, isolation)?,
        })
    }

    /// Reads `spans`, and gives each row with the number of its span; rows of a partition come in order.
    ///
    /// # Errors
    /// An offset that is not in the log, a topic that is gone, a partition that gives nothing for `patience`, a broker
    /// that refuses. Rows may have been given out before.
    pub fn read(&mut self, spans: &[Span], patience: Duration, mut each: impl FnMut(usize, &Fetched)) -> Result<()> {
        self.read_while(spans, patience, |index, row| {
            each(index, row);
            ControlFlow::Continue(())
        })
    }

    /// As [`Reader::read`], until `each` breaks; the rows that were not given are kept for the next range.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn read_while(
        &mut self,
        spans: &[Span],
        patience: Duration,
        mut each: impl FnMut(usize, &Fetched) -> ControlFlow<()>,
    ) -> Result<()> {
        let places = self.take_up(spans)?;
        let mut batch = Batch::default();
        let mut deadline = Deadline::after(patience);
        loop {
            let mut waits_for = None;
            let mut any = false;
            for (index, (span, place)) in spans.iter().zip(&places).enumerate() {
                let part = &mut self.parts[*place];
                if part.is_through(span.end) {
                    continue;
                }
                // The first partition without rows is waited for; meanwhile the others' rows arrive as well.
                let wait_ms = if any || waits_for.is_some() {
                    0
                } else {
                    deadline.slice_ms(SLICE)
                };
                let given = part.give(span.end, wait_ms, &mut batch, &mut |row| each(index, row));
                match given {
                    Err(code) => return Err(self.give_up(code, *place)),
                    Ok(Given { ends: true, .. }) => return Ok(()),
                    Ok(given) => any |= given.rows > 0,
                }
                if !self.parts[*place].is_through(span.end) {
                    waits_for.get_or_insert(index);
                }
            }
            let Some(slowest) = waits_for else { return Ok(()) };
            if any {
                deadline = Deadline::after(patience);
                continue;
            }
            self.handle.serve(Duration::ZERO, |_| ());
            self.handle.refused()?;
            if deadline.has_passed() {
                return Err(Error::Silent {
                    topic: spans[slowest].topic.clone(),
                    partition: spans[slowest].partition,
                    offset: self.parts[places[slowest]].next,
                    seconds: patience.as_secs(),
                    reason: self.handle.last_trouble(),
                });
            }
        }
    }

    /// The part of each span, assigned and standing at its start.
    fn take_up(&mut self, spans: &[Span]) -> Result<Vec<usize>> {
        let mut fresh = TopicPartitionList::new();
        let mut moved = TopicPartitionList::new();
        let mut places = Vec::with_capacity(spans.len());
        for span in spans {
            let known = self
                .parts
                .iter()
                .position(|part| part.topic == span.topic && part.id == span.partition);
            let list = match known {
                Some(place) if self.parts[place].next == span.start => {
                    places.push(place);
                    continue;
                }
                Some(place) => {
                    self.parts[place].stand_at(span.start);
                    places.push(place);
                    &mut moved
                }
                None => {
                    self.parts.push(Part::new(&self.handle, span)?);
                    places.push(self.parts.len() - 1);
                    &mut fresh
                }
            };
            add(list, &span.topic, span.partition, span.start)?;
        }
        if fresh.count() > 0 {
            self.handle.assign(&fresh)?;
        }
        if moved.count() > 0 {
            seek(&self.handle, &moved)?;
        }
        Ok(places)
    }

    /// Says what a partition's error means. librdkafka reads nothing more of it and cannot be told to, so it is laid down
    /// and taken up anew when it is read again.
    fn give_up(&mut self, code: RDKafkaRespErr, place: usize) -> Error {
        let part = self.parts.swap_remove(place);
        let error = explain(&self.handle, code, &part.topic, part.id, part.next);
        let mut list = TopicPartitionList::new();
        list.add_partition(&part.topic, part.id);
        let _ = self.handle.unassign(&list); // the first error is the one to be heard of
        error
    }
}

impl Part {
    fn new(handle: &Handle, span: &Span) -> Result<Self> {
        Ok(Part {
            topic: span.topic.clone(),
            id: span.partition,
            ahead: VecDeque::new(),
            queue: Queue::of_partition(handle, &span.topic, span.partition, None)?,
            next: span.start,
            end_seen: -1,
        })
    }

    fn stand_at(&mut self, offset: i64) {
        self.ahead.clear();
        self.next = offset;
        self.end_seen = -1;
    }

    /// Whether no row before `end` is to come: the last one was given, or gaps reach up to it.
    fn is_through(&mut self, end: i64) -> bool {
        let beyond = self.ahead.front().is_some_and(|row| row.offset() >= end);
        if self.next < end && (beyond || self.end_seen >= end) {
            self.next = end;
        }
        self.next >= end
    }

    /// Gives out what is there before `end`, until `each` breaks.
    fn give(
        &mut self,
        end: i64,
        wait_ms: i32,
        batch: &mut Batch,
        each: &mut impl FnMut(&Fetched) -> ControlFlow<()>,
    ) -> Result<Given, RDKafkaRespErr> {
        let mut given = Given::default();
        while !given.ends && self.ahead.front().is_some_and(|row| row.offset() < end) {
            let row = self.ahead.pop_front().expect("a front was seen");
            self.next = row.offset() + 1;
            given.rows += 1;
            given.ends = each(&row).is_break();
        }
        if given.ends || !self.ahead.is_empty() || self.next >= end {
            return Ok(given);
        }
        let wait_ms = if given.rows > 0 { 0 } else { wait_ms };
        let wanted = usize::try_from(end - self.next).unwrap_or(usize::MAX);
        for row in batch.take(&self.queue, wait_ms, wanted.min(BATCH_ROWS)).map(Fetched) {
            match row.error() {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR if row.offset() < end && !given.ends => {
                    self.next = row.offset() + 1;
                    given.rows += 1;
                    given.ends = each(&row).is_break();
                }
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => self.ahead.push_back(row),
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => self.end_seen = self.end_seen.max(row.offset()),
                code => return Err(code),
            }
        }
        Ok(given)
    }
}

/// What a partition gave out.
#[derive(Default)]
struct Given {
    rows: usize,
    /// Whether no more is wanted.
    ends: bool,
}

/// Reads everything from given offsets on, of all partitions as it comes.
pub struct Follower {
    // Dropped in this order: queues and rows must not outlive their client.
    parts: Vec<Queue>,
    all: Queue,
    batch: Batch,
    handle: Handle,
}

impl Follower {
    /// Connects, and begins to fetch from each topic and partition at its offset.
    ///
    /// # Errors
    /// As [`Reader::connect`]; a partition that cannot be assigned.
    pub fn connect(properties: &Properties, isolation: Isolation, places: &[(&str, i32, i64)]) -> Result<Self> {
        let handle = connect(properties, isolation)?;
        let mut follower = Follower {
            parts: Vec::new(),
            all: Queue::new(&handle),
            batch: Batch::default(),
            handle,
        };
        follower.add(places)?;
        Ok(follower)
    }

    /// Follows more partitions.
    ///
    /// # Errors
    /// A partition that cannot be assigned.
    pub fn add(&mut self, places: &[(&str, i32, i64)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, id, offset) in places {
            self.parts
                .push(Queue::of_partition(&self.handle, topic, *id, Some(&self.all))?);
            add(&mut list, topic, *id, *offset)?;
        }
        match list.count() {
            0 => Ok(()),
            _ => self.handle.assign(&list),
        }
    }

    /// Gives the rows that have come, after waiting for the first of them up to `wait`, and counts them. `ended` is told
    /// of each partition (topic, number, offset) whose end was reached.
    ///
    /// # Errors
    /// As [`Reader::read`], but silence is none.
    pub fn poll(
        &mut self,
        wait: Duration,
        mut each: impl FnMut(&Fetched),
        mut ended: impl FnMut(&str, i32, i64),
    ) -> Result<usize> {
        self.handle.serve(Duration::ZERO, |_| ());
        self.handle.refused()?;
        let wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        let mut given = 0;
        for row in self.batch.take(&self.all, wait_ms, BATCH_ROWS).map(Fetched) {
            match row.error() {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    each(&row);
                    given += 1;
                }
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => ended(row.topic(), row.partition(), row.offset()),
                code => return Err(explain(&self.handle, code, row.topic(), row.partition(), row.offset())),
            }
        }
        Ok(given)
    }

    /// What librdkafka said last about its connections.
    pub fn last_trouble(&self) -> Option<String> {
        self.handle.last_trouble()
    }
}

/// A row as the broker has it.
pub struct Fetched(OwnedMessage);

impl Fetched {
    fn error(&self) -> RDKafkaRespErr {
        self.0.get().error()
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        self.0.get().topic()
    }

    /// Its partition.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.0.get().partition()
    }

    /// Its offset.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.0.get().offset()
    }

    /// Its key, if it has one.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.0.get().key()
    }

    /// Its value; `None` for a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        self.0.get().value()
    }

    /// Its timestamp in milliseconds since 1970-01-01T00:00:00 UTC (-1 for none), and what that says.
    #[inline]
    pub fn timestamp_ms(&self) -> (i64, TimestampType) {
        let (time, kind) = self.0.get().timestamp_ms();
        let kind = match kind {
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => TimestampType::CreateTime,
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => TimestampType::LogAppendTime,
            _ => TimestampType::None,
        };
        (time, kind)
    }

    /// The value of its last header of this name.
    #[inline]
    pub fn header(&self, name: &CStr) -> Option<&[u8]> {
        self.0.get().header(name)
    }

    /// Its headers in order, repeated names included: name and value. A name that is no UTF-8, which Kafka's protocol does
    /// not allow, is given as nothing; [`Fetched::has_odd_header`] tells.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let headers = self.0.get().headers();
        headers.map(|(name, value)| (name.to_str().unwrap_or_default(), value))
    }

    /// Whether the name of a header is no UTF-8.
    pub fn has_odd_header(&self) -> bool {
        self.0.get().headers().any(|(name, _)| name.to_str().is_err())
    }
}

/// What a row's timestamp says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    /// Nothing: the topic is older than timestamps.
    None,
    /// When the producer made the row, or what it claimed.
    CreateTime,
    /// When the broker appended it.
    LogAppendTime,
}

fn connect(properties: &Properties, isolation: Isolation) -> Result<Handle> {
    let mut properties = properties.clone();
    properties.set_default("group.id", "skirl")?; // never joined, but partitions are not given out without
    properties.set("isolation.level", isolation.name())?;
    properties.set("enable.auto.commit", "false")?;
    properties.set("enable.auto.offset.store", "false")?;
    properties.set("enable.partition.eof", "true")?;
    properties.set("auto.offset.reset", "error")?;
    Handle::connect(&properties, Role::Consumer)
}

fn add(list: &mut TopicPartitionList, topic: &str, id: i32, offset: i64) -> Result<()> {
    list.add_partition_offset(topic, id, rdkafka::Offset::Offset(offset))
        .map_err(|error| {
            Error::Property(format!(
                "`{topic}`, partition {id}, cannot be read from {offset}: {error}"
            ))
        })
}

fn seek(handle: &Handle, list: &TopicPartitionList) -> Result<()> {
    handle.seek(list)?;
    list.elements().iter().try_for_each(|part| {
        part.error().map_err(|error| {
            Error::Property(format!(
                "cannot go to offset {:?} of `{}`: {error}",
                part.offset(),
                part.topic()
            ))
        })
    })
}

/// What a partition's error means.
fn explain(handle: &Handle, code: RDKafkaRespErr, topic: &str, partition: i32, offset: i64) -> Error {
    use RDKafkaRespErr::*;
    match code {
        RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET | RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE => {
            let (earliest, latest) = handle.ends_of_log(topic, partition);
            Error::OffsetOutOfRange {
                topic: topic.to_string(),
                partition,
                offset,
                earliest,
                latest,
            }
        }
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        | RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
        | RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION
        | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => Error::NoSuchTopic {
            topic: topic.to_string(),
            bootstrap: handle.bootstrap().to_string(),
            near: None,
        },
        code => Error::new(
            format!("read `{topic}`, partition {partition}"),
            code.into(),
            name_of(code),
        ),
    }
}
