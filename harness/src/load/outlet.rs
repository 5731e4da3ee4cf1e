//! Where rows go: a Kafka producer's queue, or nowhere, to learn what the load test itself costs.

use skirl_kafka::{Row, Sending, TopicHandle};

use super::clock::Moment;
use super::error::Result;
use super::stamp::{BYTES, HEADER};

/// A row that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The stream it is of, which names its topic.
    pub stream: usize,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// The value of its header.
    pub stamp: [u8; BYTES],
}

impl Outgoing<'_> {
    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        self.value.len() + self.key.map_or(0, <[u8]>::len)
    }
}

/// Takes rows, and never waits.
pub trait Outlet: Send {
    /// Takes rows in order, sent at `sent`; says how many it had room for.
    ///
    /// # Errors
    /// What makes it useless to go on.
    fn queue(&mut self, rows: &[Outgoing], sent: Moment) -> Result<usize>;

    /// There are no more rows for now: those that were taken need not wait for others.
    fn push(&mut self) {}

    /// Rows that were taken and can never be sent, since they are too large.
    fn too_large(&self) -> u64 {
        0
    }
}

/// Takes everything and does nothing with it.
pub struct Nowhere;

impl Outlet for Nowhere {
    fn queue(&mut self, rows: &[Outgoing], sent: Moment) -> Result<usize> {
        std::hint::black_box((rows, sent));
        Ok(rows.len())
    }
}

/// A Kafka producer, with a topic for each stream.
pub struct KafkaOutlet<'a> {
    sending: Sending<'a>,
    topics: Vec<TopicHandle>,
    too_large: u64,
}

impl<'a> KafkaOutlet<'a> {
    /// The queueing side of a writer, and the topics of the streams.
    pub fn new(sending: Sending<'a>, topics: Vec<TopicHandle>) -> Self {
        KafkaOutlet {
            sending,
            topics,
            too_large: 0,
        }
    }

    /// Queues rows of one stream.
    fn queue_run(&mut self, rows: &[Outgoing], sent: Moment) -> Result<usize> {
        let name = HEADER.to_str().expect("the header's name is ASCII");
        let headers: Vec<OneHeader> = rows.iter().map(|row| [(name, Some(&row.stamp[..]))]).collect();
        let rows_with_headers = rows.iter().zip(&headers);
        let native: Vec<Row> = rows_with_headers
            .map(|(row, headers)| native(row, headers, sent))
            .collect();
        let fitting = native
            .iter()
            .position(|row| self.sending.is_too_large(row))
            .unwrap_or(native.len());
        if fitting == 0 {
            self.too_large += 1;
            return Ok(1);
        }
        Ok(self.sending.queue(&self.topics[rows[0].stream], &native[..fitting])?)
    }
}

/// The headers of a row: there is one.
type OneHeader<'a> = [(&'a str, Option<&'a [u8]>); 1];

fn native<'a>(row: &Outgoing<'a>, headers: &'a OneHeader<'a>, sent: Moment) -> Row<'a> {
    Row {
        key: row.key,
        value: Some(row.value),
        headers,
        tag: tag_of(sent),
        ..Row::default()
    }
}

/// A moment as a report's tag, and back.
pub(super) fn tag_of(sent: Moment) -> usize {
    const { assert!(usize::BITS == 64, "a tag holds a moment") };
    sent.0.cast_unsigned() as usize
}

/// The moment of a tag.
pub(super) fn moment_of(tag: usize) -> Moment {
    Moment((tag as u64).cast_signed())
}

impl Outlet for KafkaOutlet<'_> {
    fn queue(&mut self, rows: &[Outgoing], sent: Moment) -> Result<usize> {
        let mut queued = 0;
        while let Some(first) = rows.get(queued) {
            let run = rows[queued..]
                .iter()
                .take_while(|row| row.stream == first.stream)
                .count();
            match self.queue_run(&rows[queued..queued + run], sent)? {
                0 => break,
                taken => queued += taken,
            }
        }
        Ok(queued)
    }

    fn push(&mut self) {
        self.sending.push();
    }

    fn too_large(&self) -> u64 {
        self.too_large
    }
}
