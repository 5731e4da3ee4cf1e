//! What a producer asks of librdkafka: topics, and rows to be queued for them.

use rdkafka::bindings as rd;
use rdkafka::bindings::rd_kafka_vu_s__bindgen_ty_1 as Part;
use rdkafka::types::RDKafkaRespErr;

use super::{Handle, c_string};
use crate::error::{Error, Result};
use crate::writer::Row;

/// librdkafka's word for: whichever partition the key leads to.
const UNASSIGNED: i32 = -1;

/// A topic rows are written to.
pub(crate) struct NativeTopic {
    pointer: *mut rd::rd_kafka_topic_t,
    pub(crate) name: String,
}

// SAFETY: librdkafka's topics are made to be shared between threads.
unsafe impl Send for NativeTopic {}
// SAFETY: as above.
unsafe impl Sync for NativeTopic {}

impl Drop for NativeTopic {
    fn drop(&mut self) {
        // SAFETY: a reference of its own.
        unsafe { rd::rd_kafka_topic_destroy(self.pointer) };
    }
}

impl NativeTopic {
    /// A topic of a client, which must outlive it.
    pub(crate) fn of(handle: &Handle, name: &str) -> Result<Self> {
        let c_name = c_string(name)?;
        // SAFETY: client and name are alive.
        let pointer = unsafe { rd::rd_kafka_topic_new(handle.ptr(), c_name.as_ptr(), std::ptr::null_mut()) };
        if pointer.is_null() {
            return Err(Error::Property(format!("`{name}` is no topic one can write to")));
        }
        let name = name.to_string();
        Ok(NativeTopic { pointer, name })
    }
}

impl Handle {
    /// Tells librdkafka not to wait for batches to fill any more; returns at once.
    pub(crate) fn push(&self) {
        // SAFETY: the client is alive; without time to wait the call returns at once.
        unsafe { rd::rd_kafka_flush(self.ptr(), 0) };
    }

    /// Rows that are queued or sent and not yet reported.
    pub(crate) fn in_flight(&self) -> usize {
        // SAFETY: the client is alive.
        usize::try_from(unsafe { rd::rd_kafka_outq_len(self.ptr()) }).unwrap_or(0)
    }

    /// Gives up what is in flight: each row is reported as not written.
    pub(crate) fn give_up(&self) {
        let what = rd::RD_KAFKA_PURGE_F_QUEUE | rd::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client is alive.
        unsafe { rd::rd_kafka_purge(self.ptr(), what) };
    }

    /// Queues one row, with its headers and its timestamp; says why not, if not.
    ///
    /// # Errors
    /// A header whose name has a NUL.
    pub(crate) fn queue(&self, topic: &NativeTopic, row: &Row) -> Result<RDKafkaRespErr> {
        use rd::rd_kafka_vtype_t::*;
        let headers = native_headers(row)?;
        let part = |vtype, u| rd::rd_kafka_vu_t { vtype, u };
        let rkt = topic.pointer;
        let flags = rd::RD_KAFKA_MSG_F_COPY;
        let partition = row.partition.unwrap_or(UNASSIGNED);
        // Timestamp 0 is "now" and null headers are none, so that every row has the same parts.
        let ms = row.timestamp_ms.unwrap_or(0);
        let parts = [
            part(RD_KAFKA_VTYPE_RKT, Part { rkt }),
            part(RD_KAFKA_VTYPE_PARTITION, Part { i32_: partition }),
            part(RD_KAFKA_VTYPE_MSGFLAGS, Part { i: flags }),
            part(RD_KAFKA_VTYPE_VALUE, memory(row.value)),
            part(RD_KAFKA_VTYPE_KEY, memory(row.key)),
            part(RD_KAFKA_VTYPE_OPAQUE, Part { ptr: row.tag as *mut _ }),
            part(RD_KAFKA_VTYPE_TIMESTAMP, Part { i64_: ms }),
            part(RD_KAFKA_VTYPE_HEADERS, Part { headers }),
        ];
        // SAFETY: each union holds the field its tag says; what they point to outlives the call, which copies key and
        // value. The headers are librdkafka's from a success on, and released here otherwise.
        unsafe {
            let error = rd::rd_kafka_produceva(self.ptr(), parts.as_ptr().cast_mut(), parts.len());
            if error.is_null() {
                return Ok(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
            }
            if !headers.is_null() {
                rd::rd_kafka_headers_destroy(headers);
            }
            let code = rd::rd_kafka_error_code(error);
            rd::rd_kafka_error_destroy(error);
            Ok(code)
        }
    }
}

/// Room for the rows of one call, kept for the next.
#[derive(Default)]
pub(crate) struct Room(Vec<rd::rd_kafka_message_t>);

// SAFETY: the room holds pointers only while a call runs.
unsafe impl Send for Room {}

impl Room {
    /// Queues rows with one call: they have neither headers nor timestamps.
    ///
    /// # Errors
    /// The number of the first row that could not be queued, and why.
    pub(crate) fn queue(&mut self, topic: &NativeTopic, rows: &[Row]) -> Result<usize, (usize, RDKafkaRespErr)> {
        self.0.clear();
        self.0.extend(rows.iter().map(native_message));
        let flags = rd::RD_KAFKA_MSG_F_COPY | rd::RD_KAFKA_MSG_F_PARTITION;
        let count = i32::try_from(self.0.len()).expect("a batch of fewer than 2^31 rows");
        // SAFETY: the topic is alive; the room points to rows that outlive the call, which copies them.
        let queued =
            unsafe { rd::rd_kafka_produce_batch(topic.pointer, UNASSIGNED, flags, self.0.as_mut_ptr(), count) };
        let queued = usize::try_from(queued).unwrap_or(0);
        let is_failed = |row: &rd::rd_kafka_message_t| row.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        match self.0.iter().position(is_failed).filter(|_| queued < rows.len()) {
            None => Ok(queued),
            Some(failed) => Err((failed, self.0[failed].err)),
        }
    }
}

fn native_message(row: &Row) -> rd::rd_kafka_message_t {
    let (payload, len) = row
        .value
        .map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
    let (key, key_len) = row.key.map_or((std::ptr::null(), 0), |key| (key.as_ptr(), key.len()));
    rd::rd_kafka_message_t {
        err: RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: std::ptr::null_mut(),
        partition: row.partition.unwrap_or(UNASSIGNED),
        payload: payload.cast_mut().cast(),
        len,
        key: key.cast_mut().cast(),
        key_len,
        offset: 0,
        _private: row.tag as *mut _,
    }
}

fn memory(bytes: Option<&[u8]>) -> Part {
    let (ptr, size) = bytes.map_or((std::ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
    Part {
        mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: ptr.cast_mut().cast(),
            size,
        },
    }
}

/// Headers of a row, null for none; owned by the caller.
fn native_headers(row: &Row) -> Result<*mut rd::rd_kafka_headers_t> {
    if row.headers.is_empty() {
        return Ok(std::ptr::null_mut());
    }
    if let Some((name, _)) = row.headers.iter().find(|(name, _)| name.contains('\0')) {
        c_string(name)?;
    }
    // SAFETY: names and values live for the calls, which copy them.
    unsafe {
        let headers = rd::rd_kafka_headers_new(row.headers.len());
        for (name, value) in row.headers {
            let (bytes, size) = value.map_or((std::ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            let name_size = name.len() as isize;
            rd::rd_kafka_header_add(headers, name.as_ptr().cast(), name_size, bytes.cast(), size as isize);
        }
        Ok(headers)
    }
}
