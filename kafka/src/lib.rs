//! Apache Kafka as Skirl uses it, over librdkafka.
//!
//! The engine's source and sink, the generator's target and the harness's load test all need the same few things, and
//! need them to be right in one place: [`Properties`] that never show a secret, an [`Admin`] that knows topics by their
//! id and offsets by time, a [`Reader`] that reads by offset and never resets behind anybody's back, a [`Writer`] that
//! queues whole batches and reports every row. Nothing here knows of queries, streams or scenarios.
//!
//! What librdkafka offers only as C is called in `native`, the only module with `unsafe`.

pub mod address;
pub mod admin;
mod deadline;
pub mod error;
#[allow(unsafe_code, reason = "librdkafka is C")]
mod native;
pub mod outbox;
pub mod partitioner;
pub mod properties;
pub mod reader;
pub mod topics;
pub mod transaction;
pub mod wire;
pub mod writer;

pub use address::Address;
pub use admin::{Admin, NewTopic, Partition, Position, Topic, TopicId};
pub use error::{Error, Result};
pub use native::librdkafka_version;
pub use outbox::{Outbox, Outcome};
pub use partitioner::partition_of;
pub use properties::Properties;
pub use reader::{Fetched, Follower, Isolation, Reader, Span, TimestampType};
pub use topics::{Existing, Topics};
pub use transaction::{Mark, Transactions};
pub use writer::{Delivery, Report, Reporting, Reports, Row, Sending, TopicHandle, Writer};
