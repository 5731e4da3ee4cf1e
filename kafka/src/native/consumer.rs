//! What a consumer asks of librdkafka: partitions, their queues, and rows many at a time.

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;

use super::message::OwnedMessage;
use super::{Handle, Queue, c_string, outcome};
use crate::error::{Error, Result};

/// How long a broker is asked where a log begins and ends.
const WATERMARK_WAIT_MS: i32 = 5_000;

impl Queue {
    /// The queue of one partition, apart from the client's or led to another.
    pub(crate) fn of_partition(handle: &Handle, topic: &str, id: i32, to: Option<&Queue>) -> Result<Queue> {
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

    /// Fills `room` with rows, waiting up to `wait_ms` for all of it; says how many came.
    fn consume(&self, wait_ms: i32, room: &mut [*mut rd::rd_kafka_message_t]) -> usize {
        // SAFETY: the queue is alive, the room is as large as is said.
        let taken = unsafe { rd::rd_kafka_consume_batch_queue(self.ptr(), wait_ms, room.as_mut_ptr(), room.len()) };
        usize::try_from(taken).unwrap_or(0)
    }
}

impl Handle {
    /// Begins to fetch partitions, each from its offset.
    pub(crate) fn assign(&self, list: &TopicPartitionList) -> Result<()> {
        // SAFETY: client and list are alive; the error is released by `outcome`.
        unsafe {
            outcome(
                "take up partitions",
                rd::rd_kafka_incremental_assign(self.ptr(), list.ptr()),
            )
        }
    }

    /// Fetches partitions no longer.
    pub(crate) fn unassign(&self, list: &TopicPartitionList) -> Result<()> {
        // SAFETY: client and list are alive; the error is released by `outcome`.
        unsafe {
            outcome(
                "lay down partitions",
                rd::rd_kafka_incremental_unassign(self.ptr(), list.ptr()),
            )
        }
    }

    /// Goes to other offsets; those that fail say so in the list.
    pub(crate) fn seek(&self, list: &TopicPartitionList) -> Result<()> {
        // SAFETY: client and list are alive; the error is released by `outcome`.
        unsafe {
            outcome(
                "go to another offset",
                rd::rd_kafka_seek_partitions(self.ptr(), list.ptr(), WATERMARK_WAIT_MS),
            )
        }
    }

    /// Where a partition's log begins and ends; -1 for what is not known.
    pub(crate) fn ends_of_log(&self, topic: &str, partition: i32) -> (i64, i64) {
        let (mut earliest, mut latest) = (-1, -1);
        if let Ok(name) = c_string(topic) {
            let (low, high) = (&mut earliest, &mut latest);
            // SAFETY: client, name and both numbers live for the call.
            unsafe {
                rd::rd_kafka_query_watermark_offsets(
                    self.ptr(),
                    name.as_ptr(),
                    partition,
                    low,
                    high,
                    WATERMARK_WAIT_MS,
                );
            }
        }
        (earliest, latest)
    }
}

/// Takes rows from a queue, many at a time.
#[derive(Default)]
pub(crate) struct Batch(Vec<*mut rd::rd_kafka_message_t>);

// SAFETY: between calls it holds no row, only room for some.
unsafe impl Send for Batch {}

impl Batch {
    /// Up to `wanted` rows, errors among them, after waiting for the first up to `wait_ms`. Rows not taken are released.
    pub(crate) fn take(
        &mut self,
        queue: &Queue,
        wait_ms: i32,
        wanted: usize,
    ) -> impl Iterator<Item = OwnedMessage> + use<'_> {
        self.0.resize(wanted, std::ptr::null_mut());
        // librdkafka waits until it has as many as are asked for, or until the time is over: a row that is there would
        // wait for others. So one is waited for, and what came with it is taken without waiting.
        let (first, rest) = self.0.split_at_mut(1.min(wanted));
        let mut taken = queue.consume(wait_ms, first);
        if taken > 0 {
            taken += queue.consume(0, rest);
        }
        self.0.truncate(taken);
        // SAFETY: librdkafka gave so many messages away.
        let own = |message| unsafe { OwnedMessage::own(message) };
        // A chain of owners: whatever is not asked for is dropped, and so released.
        self.0.drain(..).map(own).collect::<Vec<_>>().into_iter()
    }
}
