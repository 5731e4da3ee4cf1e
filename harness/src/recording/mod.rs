//! Kafka topics on disk: recorded as they are, read as a scenario's streams, put back byte for byte.
//!
//! A recording is a trace like any other, and keeps beside the rows what Kafka knows of them:
//! ```text
//! trace/trace.toml                      topics, partitions and offsets, and the order of the records
//!       scotsmen/000000.jsonl           the rows: what `from_json` makes of each value, a line a record
//!       scotsmen.kafka/000000.parquet   the records, in the columns of Spark's Kafka source
//! ```
//! A file is a micro-batch, and line n of one is record n of the other. Scenarios read the rows (`files = "scotsmen"`), and
//! Spark reads either: the Parquet files stand in for the topic, `from_json` and all. A topic whose values are no JSON has
//! only records, and its stream is those: `scotsmen/000000.parquet`.
//!
//! [`request`] says what to record; [`capture`] reads topics into a [`spill`], which keeps the partitions apart; its merge gives the records in one order,
//! which [`store`] cuts into micro-batches. [`put_back()`] reads a recording and writes it to topics.

pub mod capture;
mod columns;
mod error;
pub mod put_back;
pub(crate) mod read;
mod record;
mod request;
mod spill;
mod store;
pub(crate) mod values;

pub use capture::{Ended, Recorded, RecordedStream, record};
pub use columns::kafka_schema;
pub use error::{Error, Result};
pub use put_back::{PutBack, PutBackRequest, Repartition, put_back};
pub use record::Record;
pub use request::{Offsets, RecordRequest, Start, Until};

/// The order of the records, as `trace.toml` says it.
const ORDER: &str = "within a partition as Kafka has them, by offset; across partitions by timestamp (that of a record that \
                     is older than one before it in its partition counts as that one's), then by stream, partition and offset";
