//! Rows that must all go out: queued whatever it takes, and counted until each is acknowledged or given up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::Result;
use crate::properties::Properties;
use crate::writer::{Delivery, Reports, Row, TopicHandle, Writer};

/// How long one waits where the queue is full, and for acknowledgements, before one looks again.
const SLICE: Duration = Duration::from_millis(5);
/// librdkafka's default of `message.timeout.ms`, after which it gives a row up, and what is waited beyond it.
const MESSAGE_TIMEOUT_MS: u64 = 300_000;
const BEYOND: Duration = Duration::from_secs(5);
/// Rows and KiB that may be queued, unless `queue.buffering.max.messages` and `queue.buffering.max.kbytes` say otherwise:
/// enough to keep brokers busy, and so few that they stay in a core's caches, which halves what a short row costs.
const QUEUED_ROWS: &str = "100000";
const QUEUED_KBYTES: &str = "16384";
/// How long rows in flight are waited for once one wants to stop.
const PATIENCE_WHEN_STOPPED: Duration = Duration::from_secs(5);

/// A writer that keeps the count. Its producer is idempotent unless `enable.idempotence` says otherwise, so rows of a
/// partition keep their order and are there once, whatever happens on the way.
pub struct Outbox {
    writer: Writer,
    patience: Duration,
    failed: Failed,
}

/// Rows that could not be written, with the reasons.
#[derive(Default)]
struct Failed {
    reasons: BTreeMap<String, u64>,
    /// Of the rows that were queued.
    queued_rows: u64,
}

/// What became of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Rows the broker has, as `acks` asks for.
    pub acknowledged: u64,
    /// Rows that could not be written, with the reasons.
    pub failed: BTreeMap<String, u64>,
    /// Rows of which nothing was heard: they may be there or not.
    pub unknown: u64,
}

impl Outcome {
    /// Whether every row was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unknown == 0
    }
}

impl Outbox {
    /// Connects.
    ///
    /// # Errors
    /// As [`Writer::connect`].
    pub fn connect(properties: &Properties) -> Result<Self> {
        let mut properties = properties.clone();
        properties.set_default("enable.idempotence", "true")?;
        properties.set_default("queue.buffering.max.messages", QUEUED_ROWS)?;
        properties.set_default("queue.buffering.max.kbytes", QUEUED_KBYTES)?;
        let timeout = properties
            .get("message.timeout.ms")
            .or(properties.get("delivery.timeout.ms"));
        let timeout_ms = timeout.and_then(|ms| ms.parse().ok()).unwrap_or(MESSAGE_TIMEOUT_MS);
        Ok(Outbox {
            writer: Writer::connect(&properties, Reports::Failures)?,
            patience: Duration::from_millis(timeout_ms) + BEYOND,
            failed: Failed::default(),
        })
    }

    /// A topic to send to.
    ///
    /// # Errors
    /// As [`Writer::topic`].
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        self.writer.topic(name)
    }

    /// Queues rows in order, waiting where the queue is full, and says how many were dealt with: all, or fewer once `stop`
    /// says so. A row that is too large ever to be sent is counted as failed.
    ///
    /// # Errors
    /// As [`Writer::queue`] and [`Writer::poll`].
    pub fn send(&mut self, topic: &TopicHandle, rows: &[Row], stop: &dyn Fn() -> bool) -> Result<usize> {
        let mut done = 0;
        while done < rows.len() {
            let left = &rows[done..];
            let fitting = left.iter().position(|row| self.writer.is_too_large(row));
            if fitting == Some(0) {
                let reason = format!("larger than `message.max.bytes` allows in `{}`", topic.name());
                *self.failed.reasons.entry(reason).or_default() += 1;
                done += 1;
                continue;
            }
            let wanted = fitting.unwrap_or(left.len());
            let queued = self.writer.queue(topic, &left[..wanted])?;
            done += queued;
            if queued < wanted {
                self.poll(SLICE)?;
                if stop() {
                    break;
                }
            }
        }
        Ok(done)
    }

    /// Hears for up to `wait` what became of rows.
    ///
    /// # Errors
    /// As [`Writer::poll`].
    pub fn poll(&mut self, wait: Duration) -> Result<()> {
        let failed = &mut self.failed;
        self.writer.poll(wait, |delivery| failed.note(&delivery))?;
        Ok(())
    }

    /// Waits until every row is acknowledged or given up, which librdkafka does after `message.timeout.ms`; not much longer
    /// once `stop` says so.
    ///
    /// # Errors
    /// As [`Writer::poll`].
    pub fn settle(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        self.writer.push();
        let given_up = Deadline::after(self.patience);
        let mut stopped = None;
        while self.writer.in_flight() > 0 && !given_up.has_passed() {
            self.poll(SLICE)?;
            if stopped.is_none() && stop() {
                stopped = Some(Deadline::after(PATIENCE_WHEN_STOPPED));
            }
            if stopped.is_some_and(Deadline::has_passed) {
                break;
            }
        }
        Ok(())
    }

    /// What has become of the rows so far.
    pub fn outcome(&self) -> Outcome {
        let unknown = self.writer.in_flight() as u64;
        Outcome {
            acknowledged: self.writer.queued() - self.failed.queued_rows - unknown,
            failed: self.failed.reasons.clone(),
            unknown,
        }
    }
}

impl Failed {
    fn note(&mut self, delivery: &Delivery) {
        if let Some(error) = &delivery.error {
            self.queued_rows += 1;
            *self.reasons.entry(error.to_string()).or_default() += 1;
        }
    }
}
