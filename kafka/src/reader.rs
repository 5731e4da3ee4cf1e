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

use crate::admin::slice;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::{Handle, Queue, Role, c_string, last_header, name_of, outcome};
use crate::properties::Properties;

/// Rows taken from a queue by one call.
const BATCH_ROWS: usize = 4096;
/// How long one wait may block before refusals are looked for.
const SLICE: Duration = Duration::from_millis(50);
/// How long a broker is asked where a log begins and ends, for an error's sake.
const WATERMARK_WAIT_MS: i32 = 5_000;

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
        assign(&self.handle, &fresh)?;
        seek(&self.handle, &moved)?;
        Ok(places)
    }

    /// Says what a partition's error means. librdkafka reads nothing more of it and cannot be told to, so it is laid down
    /// and taken up anew when it is read again.
    fn give_up(&mut self, code: RDKafkaRespErr, place: usize) -> Error {
        let part = self.parts.swap_remove(place);
        let error = explain(&self.handle, code, &part.topic, part.id, part.next);
        let mut list = TopicPartitionList::new();
        list.add_partition(&part.topic, part.id);
        let _ = unassign(&self.handle, &list); // the first error is the one to be heard of
        error
    }
}

impl Part {
    fn new(handle: &Handle, span: &Span) -> Result<Self> {
        Ok(Part {
            topic: span.topic.clone(),
            id: span.partition,
            ahead: VecDeque::new(),
            queue: partition_queue(handle, &span.topic, span.partition, None)?,
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
        for row in batch.take(&self.queue, wait_ms, wanted) {
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
                .push(partition_queue(&self.handle, topic, *id, Some(&self.all))?);
            add(&mut list, topic, *id, *offset)?;
        }
        assign(&self.handle, &list)
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
        for row in self.batch.take(&self.all, wait_ms, BATCH_ROWS) {
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

/// Takes rows from a queue, many at a time.
#[derive(Default)]
struct Batch(Vec<*mut rd::rd_kafka_message_t>);

// SAFETY: between calls it holds no row, only room for some.
unsafe impl Send for Batch {}

impl Batch {
    /// Up to `wanted` rows, errors among them, after waiting for the first up to `wait_ms`. Rows not taken are released.
    fn take(&mut self, queue: &Queue, wait_ms: i32, wanted: usize) -> impl Iterator<Item = Fetched> + use<'_> {
        self.0.resize(wanted.min(BATCH_ROWS), std::ptr::null_mut());
        // librdkafka waits until it has as many as are asked for, or until the time is over: a row that is there would
        // wait for others. So one is waited for, and what came with it is taken without waiting.
        let (first, rest) = self.0.split_at_mut(1.min(wanted));
        let mut taken = consume(queue, wait_ms, first);
        if taken > 0 {
            taken += consume(queue, 0, rest);
        }
        self.0.truncate(taken);
        // A chain of owners: whatever is not asked for is dropped, and so released.
        self.0.drain(..).map(Fetched).collect::<Vec<_>>().into_iter()
    }
}

/// Fills `room` with rows from a queue, waiting up to `wait_ms` for all of it; says how many came.
fn consume(queue: &Queue, wait_ms: i32, room: &mut [*mut rd::rd_kafka_message_t]) -> usize {
    // SAFETY: the queue is alive, the room is as large as is said.
    let taken = unsafe { rd::rd_kafka_consume_batch_queue(queue.ptr(), wait_ms, room.as_mut_ptr(), room.len()) };
    usize::try_from(taken).unwrap_or(0)
}

/// A row as the broker has it.
pub struct Fetched(*mut rd::rd_kafka_message_t);

// SAFETY: a message is owned memory; librdkafka lets any thread read and release it.
unsafe impl Send for Fetched {}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { rd::rd_kafka_message_destroy(self.0) };
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

impl Fetched {
    fn message(&self) -> &rd::rd_kafka_message_t {
        // SAFETY: owned and alive.
        unsafe { &*self.0 }
    }

    fn error(&self) -> RDKafkaRespErr {
        self.message().err
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        // SAFETY: the message keeps its topic alive; names are ASCII.
        unsafe {
            let name = rd::rd_kafka_topic_name(self.message().rkt);
            if name.is_null() {
                ""
            } else {
                CStr::from_ptr(name).to_str().unwrap_or_default()
            }
        }
    }

    /// Its partition.
    #[inline]
    pub fn partition(&self) -> i32 {
        self.message().partition
    }

    /// Its offset.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.message().offset
    }

    /// Its key, if it has one.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: the message owns so many bytes.
        (!message.key.is_null()).then(|| unsafe { slice(message.key.cast::<u8>(), message.key_len) })
    }

    /// Its value; `None` for a tombstone.
    #[inline]
    pub fn value(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: the message owns so many bytes.
        (!message.payload.is_null()).then(|| unsafe { slice(message.payload.cast::<u8>(), message.len) })
    }

    /// Its timestamp in milliseconds since 1970-01-01T00:00:00 UTC (-1 for none), and what that says.
    #[inline]
    pub fn timestamp_ms(&self) -> (i64, TimestampType) {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.0, &mut kind) };
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
        // SAFETY: owned and alive.
        unsafe { last_header(self.0, name) }
    }

    /// Its headers in order, repeated names included: name and value. A name that is no UTF-8, which Kafka's protocol does
    /// not allow, is given as nothing; [`Fetched::has_odd_header`] tells.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.native_headers()
            .map(|(name, value)| (name.to_str().unwrap_or_default(), value))
    }

    /// Whether the name of a header is no UTF-8.
    pub fn has_odd_header(&self) -> bool {
        self.native_headers().any(|(name, _)| name.to_str().is_err())
    }

    fn native_headers(&self) -> impl Iterator<Item = (&CStr, Option<&[u8]>)> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers.
        let code = unsafe { rd::rd_kafka_message_headers(self.0, &mut headers) };
        let there = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        (0..).map_while(move |index| {
            if !there {
                return None;
            }
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the headers belong to the message, which outlives what is given out.
            unsafe {
                let code = rd::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                let value = (!value.is_null()).then(|| slice(value.cast::<u8>(), size));
                Some((CStr::from_ptr(name), value))
            }
        })
    }
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

/// The queue of one partition, apart from the client's or led to another.
fn partition_queue(handle: &Handle, topic: &str, id: i32, to: Option<&Queue>) -> Result<Queue> {
    let name = c_string(topic)?;
    // SAFETY: the client is alive. The queue is led elsewhere before the partition is assigned, which makes it stay so.
    unsafe {
        let queue = rd::rd_kafka_queue_get_partition(handle.ptr(), name.as_ptr(), id);
        if queue.is_null() {
            return Err(Error::Property(format!("`{topic}` has no partition {id}")));
        }
        rd::rd_kafka_queue_forward(queue, to.map_or(std::ptr::null_mut(), Queue::ptr));
        Ok(Queue::own(queue))
    }
}

fn add(list: &mut TopicPartitionList, topic: &str, id: i32, offset: i64) -> Result<()> {
    list.add_partition_offset(topic, id, rdkafka::Offset::Offset(offset))
        .map_err(|error| {
            Error::Property(format!(
                "`{topic}`, partition {id}, cannot be read from {offset}: {error}"
            ))
        })
}

fn assign(handle: &Handle, list: &TopicPartitionList) -> Result<()> {
    if list.count() == 0 {
        return Ok(());
    }
    // SAFETY: client and list are alive; the error is released by `outcome`.
    unsafe {
        outcome(
            "take up partitions",
            rd::rd_kafka_incremental_assign(handle.ptr(), list.ptr()),
        )
    }
}

fn unassign(handle: &Handle, list: &TopicPartitionList) -> Result<()> {
    // SAFETY: client and list are alive; the error is released by `outcome`.
    unsafe {
        outcome(
            "lay down partitions",
            rd::rd_kafka_incremental_unassign(handle.ptr(), list.ptr()),
        )
    }
}

fn seek(handle: &Handle, list: &TopicPartitionList) -> Result<()> {
    if list.count() == 0 {
        return Ok(());
    }
    // SAFETY: client and list are alive; the error is released by `outcome`.
    unsafe {
        outcome(
            "go to another offset",
            rd::rd_kafka_seek_partitions(handle.ptr(), list.ptr(), WATERMARK_WAIT_MS),
        )?;
    }
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
            let (mut earliest, mut latest) = (-1, -1);
            if let Ok(name) = c_string(topic) {
                // SAFETY: client, name and both numbers live for the call.
                let code = unsafe {
                    let wait_ms = WATERMARK_WAIT_MS;
                    let (low, high) = (&mut earliest, &mut latest);
                    rd::rd_kafka_query_watermark_offsets(handle.ptr(), name.as_ptr(), partition, low, high, wait_ms)
                };
                debug_assert!(code != RD_KAFKA_RESP_ERR__INVALID_ARG);
            }
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
