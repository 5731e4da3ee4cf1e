//! Messages as librdkafka hands them out: rows that were read, and rows that are reported.

use std::ffi::CStr;

use rdkafka::bindings as rd;
use rdkafka::types::RDKafkaRespErr;

use super::slice;

/// A message that librdkafka keeps alive for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a>(&'a rd::rd_kafka_message_t);

impl<'a> Message<'a> {
    /// Looks at a message.
    ///
    /// # Safety
    /// librdkafka made it: it reads more than the fields that are seen.
    pub(super) unsafe fn of(message: &'a rd::rd_kafka_message_t) -> Self {
        Message(message)
    }

    #[inline]
    pub(crate) fn error(self) -> RDKafkaRespErr {
        self.0.err
    }

    /// What the row was queued with.
    #[inline]
    pub(crate) fn tag(self) -> usize {
        self.0._private as usize
    }

    pub(crate) fn topic(self) -> &'a str {
        // SAFETY: the message keeps its topic alive; names are ASCII.
        unsafe {
            let name = rd::rd_kafka_topic_name(self.0.rkt);
            match name.is_null() {
                true => "",
                false => CStr::from_ptr(name).to_str().unwrap_or_default(),
            }
        }
    }

    #[inline]
    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    #[inline]
    pub(crate) fn offset(self) -> i64 {
        self.0.offset
    }

    /// Bytes of key and value.
    pub(crate) fn bytes(self) -> usize {
        self.0.len + self.0.key_len
    }

    #[inline]
    pub(crate) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the message owns so many bytes.
        (!self.0.key.is_null()).then(|| unsafe { slice(self.0.key.cast::<u8>(), self.0.key_len) })
    }

    #[inline]
    pub(crate) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: the message owns so many bytes.
        (!self.0.payload.is_null()).then(|| unsafe { slice(self.0.payload.cast::<u8>(), self.0.len) })
    }

    /// Milliseconds since 1970-01-01T00:00:00 UTC, -1 for none, and of what kind they are.
    #[inline]
    pub(crate) fn timestamp_ms(self) -> (i64, rd::rd_kafka_timestamp_type_t) {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let time = unsafe { rd::rd_kafka_message_timestamp(self.0, &mut kind) };
        (time, kind)
    }

    /// The value of the last header of this name.
    #[inline]
    pub(crate) fn header(self, name: &CStr) -> Option<&'a [u8]> {
        let headers = self.native_headers()?;
        let (mut value, mut size) = (std::ptr::null(), 0);
        // SAFETY: the message keeps its headers, and they their values.
        unsafe {
            let code = rd::rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut size);
            let there = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !value.is_null();
            there.then(|| slice(value.cast::<u8>(), size))
        }
    }

    /// Names and values of all headers, in order.
    pub(crate) fn headers(self) -> impl Iterator<Item = (&'a CStr, Option<&'a [u8]>)> {
        let headers = self.native_headers();
        (0..).map_while(move |index| {
            let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
            // SAFETY: the headers belong to the message, which outlives what is given out.
            unsafe {
                let code = rd::rd_kafka_header_get_all(headers?, index, &mut name, &mut value, &mut size);
                if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                    return None;
                }
                let value = (!value.is_null()).then(|| slice(value.cast::<u8>(), size));
                Some((CStr::from_ptr(name), value))
            }
        })
    }

    fn native_headers(self) -> Option<*mut rd::rd_kafka_headers_t> {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is alive and keeps its headers.
        let code = unsafe { rd::rd_kafka_message_headers(self.0, &mut headers) };
        (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(headers)
    }
}

/// A message that is ours to release.
pub(crate) struct OwnedMessage(*mut rd::rd_kafka_message_t);

// SAFETY: a message is owned memory; librdkafka lets any thread read and release it.
unsafe impl Send for OwnedMessage {}

impl OwnedMessage {
    /// Takes a message over.
    ///
    /// # Safety
    /// `message` is librdkafka's, not null, and nobody else releases it.
    pub(super) unsafe fn own(message: *mut rd::rd_kafka_message_t) -> Self {
        OwnedMessage(message)
    }

    #[inline]
    pub(crate) fn get(&self) -> Message<'_> {
        // SAFETY: owned and alive.
        unsafe { Message::of(&*self.0) }
    }
}

impl Drop for OwnedMessage {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { rd::rd_kafka_message_destroy(self.0) };
    }
}
