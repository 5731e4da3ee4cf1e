//! librdkafka's handle and queues, as the rest of this crate uses them: the one place that owns C objects, and the only
//! one with `unsafe`.
//!
//! rdkafka's own consumer and producer cost a clone and a call for every row and hide the queues of single partitions,
//! so this crate takes rdkafka's configuration, client and codes, and serves the queues itself.

mod consumer;
mod message;
mod producer;
mod property;
mod request;
mod transaction;

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::properties::Properties;

pub(crate) use consumer::Batch;
pub(crate) use message::{Message, OwnedMessage};
pub(crate) use producer::{NativeTopic, Room};
use property::dump;
pub(crate) use property::{has_tls, is_property, property_names};
pub(crate) use request::key_of;
pub(crate) use transaction::TransactionStep;

/// How long one call may block before events are looked at again.
const SLICE: Duration = Duration::from_millis(200);
/// How long a broker is waited for when a client opens, unless `socket.connection.setup.timeout.ms` says otherwise.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A connected client of librdkafka.
pub(crate) struct Handle {
    // Dropped in this order: a queue must not outlive its client.
    main: Queue,
    client: Client<DefaultClientContext>,
    bootstrap: String,
    /// What the client said last about its connections.
    trouble: Mutex<Option<Trouble>>,
}

/// What a client said about its connections.
#[derive(Debug, Clone)]
struct Trouble {
    code: RDKafkaRespErr,
    reason: String,
}

/// What kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Consumer,
    /// Also for admin requests, since it is the lighter one.
    Producer,
}

impl Handle {
    /// Makes a client and waits until a broker has answered it.
    ///
    /// # Errors
    /// Properties that are not taken, no answer, credentials or certificates that are refused: the latter at once.
    pub(crate) fn connect(properties: &Properties, role: Role) -> Result<Self> {
        let config = properties.to_config()?;
        let native = config
            .create_native_config()
            .map_err(|_| Error::Property("the properties are not taken".into()))?;
        let events = rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR | rd::RD_KAFKA_EVENT_OFFSET_COMMIT;
        // SAFETY: the configuration is alive and not yet given to a client.
        unsafe { rd::rd_kafka_conf_set_events(native.ptr(), events) };
        let kind = match role {
            Role::Consumer => RDKafkaType::RD_KAFKA_CONSUMER,
            Role::Producer => RDKafkaType::RD_KAFKA_PRODUCER,
        };
        let client = Client::new(&config, native, kind, DefaultClientContext).map_err(|error| unusable(&error))?;
        // SAFETY: the client is alive; the queue is owned and destroyed before it.
        let main = unsafe { Queue::own(rd::rd_kafka_queue_get_main(client.native_ptr())) };
        let handle = Handle {
            main,
            client,
            bootstrap: properties.bootstrap().to_string(),
            trouble: Mutex::new(None),
        };
        let wait = properties
            .get("socket.connection.setup.timeout.ms")
            .and_then(|ms| ms.parse().ok());
        handle.wait_for_a_broker(wait.map_or(CONNECT_WAIT, Duration::from_millis))?;
        Ok(handle)
    }

    fn ptr(&self) -> *mut rd::rd_kafka_t {
        self.client.native_ptr()
    }

    pub(crate) fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The properties in effect, secrets among them.
    pub(crate) fn settings(&self) -> BTreeMap<String, String> {
        // SAFETY: the client is alive and keeps its configuration; the topic's copy is released here.
        let (of_client, of_topics) = unsafe {
            let of_client = dump(|count| rd::rd_kafka_conf_dump(rd::rd_kafka_conf(self.ptr()).cast_mut(), count));
            let topic = rd::rd_kafka_default_topic_conf_dup(self.ptr());
            let of_topics = dump(|count| rd::rd_kafka_topic_conf_dump(topic, count));
            rd::rd_kafka_topic_conf_destroy(topic);
            (of_client, of_topics)
        };
        let own = of_topics.into_iter().filter(|(_, value)| value != "inherit");
        of_client.into_iter().chain(own).collect()
    }

    fn wait_for_a_broker(&self, wait: Duration) -> Result<()> {
        let deadline = Deadline::after(wait);
        loop {
            let mut metadata = std::ptr::null();
            // SAFETY: the client is alive; metadata is destroyed below.
            let code = unsafe {
                rd::rd_kafka_metadata(
                    self.ptr(),
                    0,
                    std::ptr::null_mut(),
                    &mut metadata,
                    deadline.slice_ms(SLICE),
                )
            };
            if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                // SAFETY: librdkafka gave it and nobody else has it.
                unsafe { rd::rd_kafka_metadata_destroy(metadata) };
                return Ok(());
            }
            self.serve(Duration::ZERO, |_| ());
            self.refused()?;
            if deadline.has_passed() {
                return Err(Error::Unreachable {
                    bootstrap: self.bootstrap.clone(),
                    seconds: wait.as_secs(),
                    reason: self.last_trouble(),
                });
            }
        }
    }

    /// Serves the client's events for up to `wait`; delivery reports go to `delivered`, an event at a time.
    pub(crate) fn serve(&self, wait: Duration, mut delivered: impl FnMut(&Event)) {
        let mut wait_ms = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        while let Some(event) = self.main.poll(wait_ms) {
            wait_ms = 0;
            match event.kind() {
                rd::RD_KAFKA_EVENT_DR => delivered(&event),
                rd::RD_KAFKA_EVENT_ERROR => self.note(event.error(), event.reason()),
                _ => {} // log lines, which may hold what nobody asked to see
            }
        }
    }

    fn note(&self, code: RDKafkaRespErr, reason: String) {
        // With TLS 1.3 a broker refuses a client's certificate after the handshake: librdkafka calls that the transport's.
        let code = match reason.contains("SSL alert") {
            true => RDKafkaRespErr::RD_KAFKA_RESP_ERR__SSL,
            false => code,
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let says_more = |known: &Trouble| {
            // Once the door is known to be shut, what follows from that is no news; nor is it that no broker is left.
            is_refusal(known.code) || code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN
        };
        if !trouble.as_ref().is_some_and(says_more) {
            *trouble = Some(Trouble { code, reason });
        }
    }

    /// What librdkafka said last about its connections.
    pub(crate) fn last_trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map(|trouble| trouble.reason.clone())
    }

    /// The code of the error after which the client can do nothing more, if there was one.
    pub(crate) fn fatal(&self) -> Option<RDKafkaRespErr> {
        let mut said = [0; 256];
        // SAFETY: the client is alive, the buffer as large as is said.
        let code = unsafe { rd::rd_kafka_fatal_error(self.ptr(), said.as_mut_ptr(), said.len()) };
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then_some(code)
    }

    /// An error once a broker has refused the credentials or one side the other's certificate.
    pub(crate) fn refused(&self) -> Result<()> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble.as_ref().filter(|trouble| is_refusal(trouble.code)) {
            None => Ok(()),
            Some(trouble) => Err(Error::Refused {
                bootstrap: self.bootstrap.clone(),
                reason: trouble.reason.clone(),
                check: properties_behind(trouble.code),
            }),
        }
    }
}

/// The client could not be made: a property that cannot go with another, a certificate that cannot be read.
fn unusable(error: &rdkafka::error::KafkaError) -> Error {
    let reason = match error {
        rdkafka::error::KafkaError::ClientCreation(reason) => reason.clone(),
        other => other.to_string(),
    };
    Error::Property(format!("these properties make no client: {reason}"))
}

fn is_refusal(code: RDKafkaRespErr) -> bool {
    use RDKafkaRespErr::*;
    matches!(
        code,
        RD_KAFKA_RESP_ERR__AUTHENTICATION | RD_KAFKA_RESP_ERR__SSL | RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED
    )
}

fn properties_behind(code: RDKafkaRespErr) -> Vec<&'static str> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__SSL => {
            vec!["`ssl.ca.location`", "`ssl.certificate.location`", "`ssl.key.location`"]
        }
        _ => vec!["`sasl.username`", "`sasl.password`", "`sasl.mechanism`"],
    }
}

/// A queue of librdkafka's.
pub(crate) struct Queue(*mut rd::rd_kafka_queue_t);

// SAFETY: librdkafka's queues are made to be shared between threads.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Takes a queue over.
    ///
    /// # Safety
    /// `queue` is a reference nobody else destroys, and its client outlives it.
    unsafe fn own(queue: *mut rd::rd_kafka_queue_t) -> Self {
        Queue(queue)
    }

    /// A queue of its own for the answers to one request.
    pub(crate) fn new(handle: &Handle) -> Self {
        // SAFETY: the client is alive.
        Queue(unsafe { rd::rd_kafka_queue_new(handle.ptr()) })
    }

    fn ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.0
    }

    /// The next event, waiting up to `wait_ms`.
    pub(crate) fn poll(&self, wait_ms: i32) -> Option<Event> {
        // SAFETY: the queue is alive.
        let event = unsafe { rd::rd_kafka_queue_poll(self.0, wait_ms) };
        (!event.is_null()).then_some(Event(event))
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: owned, and its client still alive.
        unsafe { rd::rd_kafka_queue_destroy(self.0) };
    }
}

/// An event of a queue.
pub(crate) struct Event(*mut rd::rd_kafka_event_t);

impl Event {
    fn ptr(&self) -> *mut rd::rd_kafka_event_t {
        self.0
    }

    pub(crate) fn kind(&self) -> i32 {
        // SAFETY: the event is alive.
        unsafe { rd::rd_kafka_event_type(self.0) }
    }

    pub(crate) fn error(&self) -> RDKafkaRespErr {
        // SAFETY: the event is alive.
        unsafe { rd::rd_kafka_event_error(self.0) }
    }

    /// What librdkafka says of the error.
    pub(crate) fn reason(&self) -> String {
        // SAFETY: the event is alive and owns the string.
        unsafe { text(rd::rd_kafka_event_error_string(self.0)) }
    }

    /// The messages of a delivery report.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        std::iter::from_fn(|| {
            // SAFETY: the event is alive and owns its messages.
            unsafe { Some(Message::of(rd::rd_kafka_event_message_next(self.0).as_ref()?)) }
        })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned.
        unsafe { rd::rd_kafka_event_destroy(self.0) };
    }
}

/// The text behind a C string; empty for none.
///
/// # Safety
/// `text` is null or ends in NUL, and lives for the call.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A C string.
///
/// # Errors
/// A text with a NUL in it.
pub(crate) fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::Property(format!("{text:?} has a NUL character, which Kafka does not take")))
}

/// The outcome of a call that gives an error object or null; the object is released.
///
/// # Safety
/// `error` is null or owned by the caller.
unsafe fn outcome(doing: &str, error: *mut rd::rd_kafka_error_t) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe {
        let code = rd::rd_kafka_error_code(error);
        let reason = text(rd::rd_kafka_error_string(error));
        rd::rd_kafka_error_destroy(error);
        Err(Error::new(doing, code.into(), reason))
    }
}

/// The outcome of a call that gives a code.
pub(crate) fn checked(doing: &str, code: RDKafkaRespErr) -> Result<()> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(Error::new(doing, code.into(), name_of(code)))
}

/// What librdkafka calls a code.
pub(crate) fn name_of(code: RDKafkaRespErr) -> String {
    // SAFETY: a static string.
    let said = unsafe { text(rd::rd_kafka_err2str(code)) };
    if said.is_empty() {
        RDKafkaErrorCode::from(code).to_string()
    } else {
        said
    }
}

/// The version of librdkafka.
pub fn librdkafka_version() -> String {
    // SAFETY: a static string.
    unsafe { text(rd::rd_kafka_version_str()) }
}

/// A C array as a slice; empty for null.
///
/// # Safety
/// `array` is null or holds `count` values that live as long as the slice is used.
unsafe fn slice<'a, T>(array: *const T, count: usize) -> &'a [T] {
    if array.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(array, count) }
}
