//! Requests to a cluster: how each is put to librdkafka, and its answer read. A folder by what is asked for.

mod offset;
mod topic;

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use super::{Event, Queue, checked, name_of, slice, text};
use crate::admin::{Admin, REQUEST_WAIT, SLICE};
use crate::deadline::Deadline;
use crate::error::{Error, Result};

pub(crate) use offset::key_of;

/// How long brokers are asked which of them takes requests for the controller.
const CONTROLLER_WAIT_MS: i32 = 5_000;

impl Admin {
    /// The names of all topics the client may see, internal ones included.
    ///
    /// # Errors
    /// No answer.
    pub fn topic_names(&self) -> Result<BTreeSet<String>> {
        self.with_metadata(|metadata| {
            // SAFETY: librdkafka fills both fields, and the metadata outlives the closure.
            let topics = unsafe { slice(metadata.topics, metadata.topic_cnt as usize) };
            // SAFETY: as above.
            topics.iter().map(|topic| unsafe { text(topic.topic) }).collect()
        })
    }

    /// The ids of the brokers that are up.
    ///
    /// # Errors
    /// No answer.
    pub fn brokers(&self) -> Result<BTreeSet<i32>> {
        self.with_metadata(|metadata| {
            // SAFETY: librdkafka fills both fields, and the metadata outlives the closure.
            let brokers = unsafe { slice(metadata.brokers, metadata.broker_cnt as usize) };
            brokers.iter().map(|broker| broker.id).collect()
        })
    }

    fn with_metadata<T>(&self, read: impl FnOnce(&rd::rd_kafka_metadata) -> T) -> Result<T> {
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            let mut metadata = std::ptr::null();
            // SAFETY: the client is alive; what it gives is destroyed below.
            let code = unsafe {
                let wait_ms = deadline.slice_ms(Duration::from_secs(1));
                rd::rd_kafka_metadata(self.handle.ptr(), 1, std::ptr::null_mut(), &mut metadata, wait_ms)
            };
            self.handle.serve(Duration::ZERO, |_| ());
            self.handle.refused()?;
            // SAFETY: not null after a success, and owned here.
            if let Some(found) = unsafe { metadata.as_ref() } {
                let value = read(found);
                // SAFETY: owned, and read to the end.
                unsafe { rd::rd_kafka_metadata_destroy(metadata) };
                return Ok(value);
            }
            if deadline.has_passed() {
                checked("list topics", code)?;
            }
        }
    }

    /// Learns anew which broker takes requests for the controller: librdkafka would go on asking the one it knew, and if
    /// that is down, wait for it in vain until it refreshes its metadata in some minutes.
    fn find_controller(&self) {
        let mut metadata = std::ptr::null();
        // SAFETY: the client is alive; what it gives is destroyed here. A failure shows in the request that follows.
        unsafe {
            rd::rd_kafka_metadata(
                self.handle.ptr(),
                0,
                std::ptr::null_mut(),
                &mut metadata,
                CONTROLLER_WAIT_MS,
            );
            if !metadata.is_null() {
                rd::rd_kafka_metadata_destroy(metadata);
            }
        }
    }

    /// Sends a request and waits for its answer.
    fn ask(
        &self,
        doing: &str,
        api: rd::rd_kafka_admin_op_t,
        send: impl FnOnce(*mut rd::rd_kafka_t, *mut rd::rd_kafka_AdminOptions_t, *mut rd::rd_kafka_queue_t),
    ) -> Result<Event> {
        use rd::rd_kafka_admin_op_t::*;
        let goes_to_a_leader = matches!(
            api,
            RD_KAFKA_ADMIN_OP_LISTOFFSETS
                | RD_KAFKA_ADMIN_OP_DELETERECORDS
                | RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS
        );
        if !goes_to_a_leader {
            self.find_controller();
        }
        let queue = Queue::new(&self.handle);
        // SAFETY: the client is alive; the options are copied by the request and destroyed here.
        unsafe {
            let options = rd::rd_kafka_AdminOptions_new(self.handle.ptr(), api);
            let wait_ms = i32::try_from(REQUEST_WAIT.as_millis()).unwrap_or(i32::MAX);
            rd::rd_kafka_AdminOptions_set_request_timeout(options, wait_ms, std::ptr::null_mut(), 0);
            send(self.handle.ptr(), options, queue.ptr());
            rd::rd_kafka_AdminOptions_destroy(options);
        }
        // librdkafka answers by its own timeout; the margin is for the answer to get here.
        let deadline = Deadline::after(REQUEST_WAIT + Duration::from_secs(2));
        loop {
            if let Some(event) = queue.poll(deadline.slice_ms(SLICE)) {
                let code = event.error();
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return Err(Error::new(doing, code.into(), event.reason()));
                }
                return Ok(event);
            }
            self.handle.serve(Duration::ZERO, |_| ());
            self.handle.refused()?;
            if deadline.has_passed() {
                let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT;
                return Err(Error::new(doing, code.into(), name_of(code)));
            }
        }
    }
}
