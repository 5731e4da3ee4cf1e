//! Writing: rows are queued, many at a time, and each is reported once the broker has it or cannot have it.
//!
//! A full queue is no error: what did not fit is for the caller to offer again after [`Writer::poll`]. So nothing is ever
//! lost silently, and a caller that keeps to a schedule can see that it could not.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaRespErr;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::{Handle, Message, NativeTopic, Role, Room, name_of};
use crate::properties::{Properties, is_secret};

/// How long one wait may block before refusals are looked for.
const SLICE: Duration = Duration::from_millis(50);

/// Rows that may be queued, unless `queue.buffering.max.messages` says otherwise.
const QUEUED_ROWS: usize = 500_000;
/// KiB of rows that may be queued, unless `queue.buffering.max.kbytes` says otherwise.
const QUEUED_KBYTES: usize = 512 * 1024;
/// librdkafka's default of `message.max.bytes`.
const ROW_BYTES: usize = 1_000_000;
/// What librdkafka adds to a row, and to each header, when it compares it with `message.max.bytes`
/// (RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD; two lengths).
const ROW_OVERHEAD: usize = 36;
const HEADER_OVERHEAD: usize = 20;

/// Queues rows for topics, and reports what became of them.
pub struct Writer {
    // Dropped in this order: topics must not outlive their client.
    queueing: Queueing,
    reports: Reports,
    pub(crate) handle: Handle,
}

/// What queueing needs beside the client.
struct Queueing {
    topics: Vec<Arc<NativeTopic>>,
    room: Room,
    queued: u64,
    queued_bytes: u64,
    /// The most one row may take on its way, as `message.max.bytes` says.
    max_row_bytes: usize,
    max_queued_rows: usize,
    max_queued_bytes: usize,
}

/// The side of a [`Writer`] that queues; made by [`Writer::split`].
pub struct Sending<'a> {
    queueing: &'a mut Queueing,
    handle: &'a Handle,
}

/// The side of a [`Writer`] that hears what became of rows; made by [`Writer::split`].
pub struct Reporting<'a> {
    handle: &'a Handle,
}

/// Which rows are reported by [`Writer::poll`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reports {
    /// Only rows that could not be written: all others are, once nothing is in flight. Costs least.
    #[default]
    Failures,
    /// Every row, with the offset it got.
    All,
}

/// A row to be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row<'a> {
    /// The partition; `None`: by the key, as `partitioner` says.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970-01-01T00:00:00 UTC; `None`: when it is queued.
    pub timestamp_ms: Option<i64>,
    /// Names and values, in order.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// Comes back with the report.
    pub tag: usize,
}

impl Row<'_> {
    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// Bytes on its way, at most.
    fn wire_bytes(&self) -> usize {
        let header =
            |(name, value): &(&str, Option<&[u8]>)| HEADER_OVERHEAD + name.len() + value.map_or(0, <[u8]>::len);
        ROW_OVERHEAD + self.bytes() + self.headers.iter().map(header).sum::<usize>()
    }
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The row's tag.
    pub tag: usize,
    /// The partition it went to; -1 if it got none.
    pub partition: i32,
    /// The offset it got; -1 if it was not written, or the topic asks for no acknowledgement.
    pub offset: i64,
    /// Why it was not written.
    pub error: Option<Error>,
}

/// A topic rows are written to; made by [`Writer::topic`].
#[derive(Clone)]
pub struct TopicHandle {
    native: Arc<NativeTopic>,
}

impl TopicHandle {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.native.name
    }
}

impl Writer {
    /// Connects. Keys go to the partitions Java's producers send them to, unless `partitioner` says otherwise.
    ///
    /// # Errors
    /// No answer, refused credentials or certificates, properties that are not taken.
    pub fn connect(properties: &Properties, reports: Reports) -> Result<Self> {
        let mut properties = properties.clone();
        properties.set_default("partitioner", "murmur2_random")?;
        properties.set_default("topic.metadata.refresh.interval.ms", "60000")?;
        // So long a topic may be unknown to a broker before it is taken for deleted; by default, half a minute.
        properties.set_default("topic.metadata.propagation.max.ms", "5000")?;
        if reports == Reports::Failures {
            properties.set("delivery.report.only.error", "true")?;
        }
        let number = |name: &str, default: usize| -> usize {
            properties
                .get(name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(default)
        };
        let max_queued_rows = number("queue.buffering.max.messages", QUEUED_ROWS);
        let max_queued_bytes = number("queue.buffering.max.kbytes", QUEUED_KBYTES).saturating_mul(1024);
        let max_row_bytes = number("message.max.bytes", ROW_BYTES);
        // Room is counted here; librdkafka's own bounds lie beyond it, with space for a batch's last row.
        properties.set("queue.buffering.max.messages", (max_queued_rows + 1).to_string())?;
        properties.set("queue.buffering.max.kbytes", "2147483647")?;
        let queueing = Queueing {
            topics: Vec::new(),
            room: Room::default(),
            queued: 0,
            queued_bytes: 0,
            max_row_bytes,
            max_queued_rows,
            max_queued_bytes,
        };
        Ok(Writer {
            queueing,
            reports,
            handle: Handle::connect(&properties, Role::Producer)?,
        })
    }

    /// Both sides of the writer, so that one thread can queue while another one hears of each row when it is reported.
    pub fn split(&mut self) -> (Sending<'_>, Reporting<'_>) {
        let handle = &self.handle;
        let queueing = &mut self.queueing;
        (Sending { queueing, handle }, Reporting { handle })
    }

    /// The properties in effect, those librdkafka sets by itself included; secrets are left out.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = self.handle.settings();
        settings.retain(|name, _| !is_secret(name));
        settings.insert(
            "queue.buffering.max.messages".into(),
            self.queueing.max_queued_rows.to_string(),
        );
        let kbytes = self.queueing.max_queued_bytes / 1024;
        settings.insert("queue.buffering.max.kbytes".into(), kbytes.to_string());
        settings
    }

    /// A topic to write to. Whether it is there shows when a row is sent.
    ///
    /// # Errors
    /// A name Kafka does not take.
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        let topics = &mut self.queueing.topics;
        if let Some(native) = topics.iter().find(|topic| topic.name == name) {
            let native = Arc::clone(native);
            return Ok(TopicHandle { native });
        }
        topics.push(Arc::new(NativeTopic::of(&self.handle, name)?));
        let native = Arc::clone(topics.last().expect("one was just added"));
        Ok(TopicHandle { native })
    }

    /// Queues rows in order; says how many fit. Rows are copied.
    ///
    /// # Errors
    /// A row that can never be sent: one that is too large, before any is queued; a partition or topic that is not there.
    pub fn queue(&mut self, topic: &TopicHandle, rows: &[Row]) -> Result<usize> {
        self.queueing.queue(&self.handle, topic, rows)
    }

    /// Serves reports for up to `wait`; says how many rows they were of.
    ///
    /// # Errors
    /// A broker that refuses the credentials or the certificate. Failures of rows are in their reports.
    pub fn poll(&mut self, wait: Duration, mut each: impl FnMut(Delivery)) -> Result<usize> {
        let mut reported = 0;
        self.handle.serve(wait, |event| {
            for message in event.messages() {
                reported += 1;
                each(delivery(&self.handle, message));
            }
        });
        self.handle.refused()?;
        Ok(reported)
    }

    /// Rows that are queued or sent and not yet reported.
    pub fn in_flight(&self) -> usize {
        self.handle.in_flight()
    }

    /// Whether a row is too large ever to be sent.
    pub fn is_too_large(&self, row: &Row) -> bool {
        row.wire_bytes() > self.queueing.max_row_bytes
    }

    /// Rows queued so far.
    pub fn queued(&self) -> u64 {
        self.queueing.queued
    }

    /// Which rows are reported.
    pub fn reports(&self) -> Reports {
        self.reports
    }

    /// Tells librdkafka not to wait for batches to fill any more; returns at once.
    pub fn push(&mut self) {
        self.handle.push();
    }

    /// Waits until nothing is in flight.
    ///
    /// # Errors
    /// As [`Writer::poll`]; rows still in flight when `patience` is over, with their number.
    pub fn finish(&mut self, patience: Duration, mut each: impl FnMut(Delivery)) -> Result<()> {
        let deadline = Deadline::after(patience);
        self.push();
        loop {
            self.poll(SLICE.min(deadline.left()), &mut each)?;
            let left = self.in_flight();
            if left == 0 {
                return Ok(());
            }
            if deadline.has_passed() {
                let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT;
                let said = self.handle.last_trouble();
                let reason = format!(
                    "{left} rows are not acknowledged after {} s{}",
                    patience.as_secs(),
                    said.map_or_else(String::new, |said| format!(" ({said})"))
                );
                return Err(Error::new("write all rows", code.into(), reason));
            }
        }
    }
}

impl Queueing {
    fn queue(&mut self, handle: &Handle, topic: &TopicHandle, rows: &[Row]) -> Result<usize> {
        let rows = &rows[..self.room_for(handle.in_flight(), rows)];
        let (mut bytes, mut large) = (0, None);
        for row in rows {
            bytes += row.bytes() as u64;
            large = large.or((row.wire_bytes() > self.max_row_bytes).then_some(row));
        }
        if let Some(row) = large {
            return Err(wrong(
                handle,
                topic,
                row,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            ));
        }
        let plain = rows
            .iter()
            .all(|row| row.headers.is_empty() && row.timestamp_ms.is_none());
        let queued = if plain {
            let queued = self.room.queue(&topic.native, rows);
            queued.map_err(|(failed, code)| wrong(handle, topic, &rows[failed], code))
        } else {
            queue_each(handle, topic, rows)
        }?;
        self.queued += queued as u64;
        self.queued_bytes += bytes;
        Ok(queued)
    }

    /// How many rows of `rows` there is room for. Only this writer adds to the queue, so the room cannot shrink meanwhile,
    /// and what is queued is always a prefix: librdkafka by itself would go on after a row that did not fit.
    fn room_for(&self, in_flight: usize, rows: &[Row]) -> usize {
        let mean_bytes = usize::try_from(self.queued_bytes / self.queued.max(1)).unwrap_or(usize::MAX);
        let mut bytes = in_flight.saturating_mul(mean_bytes);
        let fits = |row: &&Row| {
            let fits = bytes < self.max_queued_bytes;
            bytes = bytes.saturating_add(row.bytes());
            fits
        };
        let rows = &rows[..rows.len().min(self.max_queued_rows.saturating_sub(in_flight))];
        rows.iter().take_while(fits).count()
    }
}

impl Sending<'_> {
    /// As [`Writer::queue`].
    ///
    /// # Errors
    /// As [`Writer::queue`].
    pub fn queue(&mut self, topic: &TopicHandle, rows: &[Row]) -> Result<usize> {
        self.queueing.queue(self.handle, topic, rows)
    }

    /// As [`Writer::is_too_large`].
    pub fn is_too_large(&self, row: &Row) -> bool {
        row.wire_bytes() > self.queueing.max_row_bytes
    }

    /// Tells librdkafka not to wait for batches to fill any more; returns at once.
    pub fn push(&self) {
        self.handle.push();
    }
}

impl Reporting<'_> {
    /// As [`Writer::poll`], but rows that were reported together are given together, and each can still be looked at.
    ///
    /// # Errors
    /// As [`Writer::poll`].
    pub fn poll(&self, wait: Duration, mut together: impl FnMut(&mut dyn Iterator<Item = Report<'_>>)) -> Result<()> {
        let handle = self.handle;
        handle.serve(wait, |event| {
            together(&mut event.messages().map(|message| Report { message, handle }))
        });
        handle.refused()
    }

    /// As [`Writer::in_flight`].
    pub fn in_flight(&self) -> usize {
        self.handle.in_flight()
    }

    /// Gives up what is in flight: each row is reported as not written, though the broker may yet have it.
    pub fn give_up(&self) {
        self.handle.give_up();
    }

    /// What librdkafka said last about its connections.
    pub fn last_trouble(&self) -> Option<String> {
        self.handle.last_trouble()
    }
}

/// A row that is reported.
pub struct Report<'a> {
    message: Message<'a>,
    handle: &'a Handle,
}

impl Report<'_> {
    /// The row's tag.
    #[inline]
    pub fn tag(&self) -> usize {
        self.message.tag()
    }

    /// Whether the broker has it.
    #[inline]
    pub fn is_written(&self) -> bool {
        self.message.error() == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// The value of the row's last header of this name.
    #[inline]
    pub fn header(&self, name: &CStr) -> Option<&[u8]> {
        self.message.header(name)
    }

    /// What became of it.
    pub fn delivery(&self) -> Delivery {
        delivery(self.handle, self.message)
    }
}

fn queue_each(handle: &Handle, topic: &TopicHandle, rows: &[Row]) -> Result<usize> {
    for row in rows {
        match handle.queue(&topic.native, row)? {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            code => return Err(wrong(handle, topic, row, code)),
        }
    }
    Ok(rows.len())
}

fn wrong(handle: &Handle, topic: &TopicHandle, row: &Row, code: RDKafkaRespErr) -> Error {
    let refused = handle.refused();
    refused
        .err()
        .unwrap_or_else(|| explain(handle, topic.name(), row.bytes(), code))
}

fn delivery(handle: &Handle, message: Message) -> Delivery {
    let code = message.error();
    let failed = code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    Delivery {
        tag: message.tag(),
        partition: message.partition(),
        offset: message.offset(),
        error: failed.then(|| explain(handle, message.topic(), message.bytes(), code)),
    }
}

fn explain(handle: &Handle, topic: &str, bytes: usize, code: RDKafkaRespErr) -> Error {
    use RDKafkaRespErr::*;
    match code {
        RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE => Error::TooLarge {
            topic: topic.to_string(),
            bytes,
        },
        RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC | RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART => Error::NoSuchTopic {
            topic: topic.to_string(),
            bootstrap: handle.bootstrap().to_string(),
            near: None,
        },
        RD_KAFKA_RESP_ERR__FENCED | RD_KAFKA_RESP_ERR_PRODUCER_FENCED => Error::Fenced {
            transactional_id: String::new(),
        },
        code => {
            let said = handle
                .last_trouble()
                .filter(|_| code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT);
            let reason = said.map_or_else(|| name_of(code), |said| format!("{} ({said})", name_of(code)));
            Error::new(format!("write to `{topic}`"), code.into(), reason)
        }
    }
}
