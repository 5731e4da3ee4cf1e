//! Writing all of a batch or none of it, and remembering which batch was written last.
//!
//! The number of the batch is committed inside the transaction as the offset of a group named for the writer, so that it
//! is there exactly if the rows are. A second writer of the same transactional id shuts the first one out.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::TransactionStep;
use crate::properties::Properties;
use crate::writer::{Reports, Row, TopicHandle, Writer};

/// How long a step of a transaction may take.
const STEP_WAIT: Duration = Duration::from_secs(60);
/// How long reports are waited for at a time.
const SLICE: Duration = Duration::from_millis(5);

/// Writes rows in transactions.
pub struct Transactions {
    writer: Writer,
    id: String,
    open: bool,
}

/// Where the number of the last batch is kept: a partition whose offset a group commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The group.
    pub group: String,
    /// The topic; it must be there.
    pub topic: String,
    /// The partition.
    pub partition: i32,
}

impl Transactions {
    /// Connects under a transactional id, shuts out any earlier writer of it and gives up what that one left open.
    ///
    /// # Errors
    /// No answer, refused credentials or certificates, properties that are not taken, no right to the id.
    pub fn connect(properties: &Properties, transactional_id: &str) -> Result<Self> {
        let mut properties = properties.clone();
        properties.set("transactional.id", transactional_id)?;
        properties.set("enable.idempotence", "true")?;
        let transactions = Transactions {
            writer: Writer::connect(&properties, Reports::Failures)?,
            id: transactional_id.to_string(),
            open: false,
        };
        transactions.step("take up transactions", &TransactionStep::TakeUp)?;
        Ok(transactions)
    }

    /// A topic to write to.
    ///
    /// # Errors
    /// A name Kafka does not take.
    pub fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        self.writer.topic(name)
    }

    /// Begins a transaction; one that is open is given up first.
    ///
    /// # Errors
    /// Another writer has taken over.
    pub fn begin(&mut self) -> Result<()> {
        if self.open {
            self.abort()?;
        }
        self.step("begin a transaction", &TransactionStep::Begin)?;
        self.open = true;
        Ok(())
    }

    /// Queues rows of the transaction, waiting for room.
    ///
    /// # Errors
    /// A row that cannot be written, another writer that has taken over.
    pub fn write(&mut self, topic: &TopicHandle, rows: &[Row]) -> Result<()> {
        let mut left = rows;
        while !left.is_empty() {
            let queued = self.writer.queue(topic, left).map_err(|error| self.named(error))?;
            left = &left[queued..];
            self.poll(if left.is_empty() { Duration::ZERO } else { SLICE })?;
        }
        Ok(())
    }

    /// Commits the transaction, and with it `number` at `mark`.
    ///
    /// # Errors
    /// A row that could not be written, another writer that has taken over, no answer: nothing is committed then, or it is
    /// not known; [`crate::Admin::committed`] tells after a new start.
    pub fn commit(&mut self, mark: &Mark, number: i64) -> Result<()> {
        // Waiting for the last acknowledgement first is quicker than librdkafka's own flush inside the commit.
        let deadline = Deadline::after(STEP_WAIT);
        while self.writer.in_flight() > 0 && !deadline.has_passed() {
            self.poll(SLICE)?;
        }
        self.send_mark(mark, number)?;
        let committed = self.step("commit a transaction", &TransactionStep::Commit);
        committed.map_err(|error| self.explained(error))?;
        self.open = false;
        Ok(())
    }

    /// What an error that says nothing is about: just while another writer takes over, brokers (4.3) answer the first one so.
    /// Giving up what is open anyway tells whether that is why.
    fn explained(&mut self, error: Error) -> Error {
        if error.code() != Some(RDKafkaErrorCode::Unknown) {
            return error;
        }
        match self.abort() {
            Err(fenced @ Error::Fenced { .. }) => fenced,
            _ => error,
        }
    }

    /// Gives the transaction up.
    ///
    /// # Errors
    /// Another writer has taken over, no answer.
    pub fn abort(&mut self) -> Result<()> {
        self.open = false;
        self.step("give up a transaction", &TransactionStep::Abort)
    }

    fn send_mark(&self, mark: &Mark, number: i64) -> Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&mark.topic, mark.partition, rdkafka::Offset::Offset(number))
            .map_err(|error| Error::Property(format!("batch number {number} cannot be kept: {error}")))?;
        let step = TransactionStep::Offsets {
            list: &list,
            group: &mark.group,
        };
        self.step("keep the batch's number in the transaction", &step)
    }

    fn poll(&mut self, wait: Duration) -> Result<()> {
        let mut failed = None;
        let polled = self
            .writer
            .poll(wait, |delivery| failed = failed.take().or(delivery.error));
        polled?;
        failed.map_or(Ok(()), |error| Err(self.named(error)))
    }

    /// One step, repeated while librdkafka says that repeating may help.
    fn step(&self, doing: &str, step: &TransactionStep) -> Result<()> {
        let handle = &self.writer.handle;
        let deadline = Deadline::after(STEP_WAIT);
        loop {
            let Err(failure) = handle.step(step, deadline.slice_ms(STEP_WAIT))? else {
                return Ok(());
            };
            handle.serve(Duration::ZERO, |_| ());
            handle.refused()?;
            if !failure.may_repeat || deadline.has_passed() {
                return Err(match is_fenced(failure.code) || handle.fatal().is_some_and(is_fenced) {
                    true => self.fenced(),
                    false => Error::new(doing, failure.code.into(), failure.reason),
                });
            }
        }
    }

    /// Rows of a writer that was shut out are dropped from its queue; why, the client says apart.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::Fenced { .. } => self.fenced(),
            _ if self.writer.handle.fatal().is_some_and(is_fenced) => self.fenced(),
            other => other,
        }
    }

    fn fenced(&self) -> Error {
        Error::Fenced {
            transactional_id: self.id.clone(),
        }
    }
}

fn is_fenced(code: RDKafkaRespErr) -> bool {
    use RDKafkaRespErr::*;
    matches!(
        code,
        RD_KAFKA_RESP_ERR__FENCED | RD_KAFKA_RESP_ERR_PRODUCER_FENCED | RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH
    )
}
