//! The steps of a transaction, as librdkafka takes them.

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use super::{Handle, c_string, text};
use crate::error::Result;

/// Why a step was not taken.
pub(crate) struct Failure {
    pub(crate) code: RDKafkaRespErr,
    pub(crate) reason: String,
    /// Whether the same step may be tried again.
    pub(crate) may_repeat: bool,
}

/// A step of a transaction.
pub(crate) enum TransactionStep<'a> {
    /// Takes the transactional id over.
    TakeUp,
    Begin,
    Commit,
    Abort,
    /// Keeps offsets of a group in the transaction.
    Offsets {
        list: &'a TopicPartitionList,
        group: &'a str,
    },
}

impl Handle {
    /// Takes a step, waiting up to `wait_ms` where it needs the brokers.
    ///
    /// # Errors
    /// A group whose name has a NUL.
    pub(crate) fn step(&self, step: &TransactionStep, wait_ms: i32) -> Result<Result<(), Failure>> {
        // SAFETY: the client is alive.
        let error = unsafe {
            match step {
                TransactionStep::TakeUp => rd::rd_kafka_init_transactions(self.ptr(), wait_ms),
                TransactionStep::Begin => rd::rd_kafka_begin_transaction(self.ptr()),
                TransactionStep::Commit => rd::rd_kafka_commit_transaction(self.ptr(), wait_ms),
                TransactionStep::Abort => rd::rd_kafka_abort_transaction(self.ptr(), wait_ms),
                TransactionStep::Offsets { list, group } => {
                    let group = c_string(group)?;
                    // List and group are alive as well; the group's object is released after the call.
                    let member = rd::rd_kafka_consumer_group_metadata_new(group.as_ptr());
                    let error = rd::rd_kafka_send_offsets_to_transaction(self.ptr(), list.ptr(), member, wait_ms);
                    rd::rd_kafka_consumer_group_metadata_destroy(member);
                    error
                }
            }
        };
        if error.is_null() {
            return Ok(Ok(()));
        }
        // SAFETY: not null, and owned here.
        unsafe {
            let failure = Failure {
                code: rd::rd_kafka_error_code(error),
                reason: text(rd::rd_kafka_error_string(error)),
                may_repeat: rd::rd_kafka_error_is_retriable(error) != 0,
            };
            rd::rd_kafka_error_destroy(error);
            Ok(Err(failure))
        }
    }
}
