//! What is run: a query with the streams, tables and views it reads, and how it is driven.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use skirl_engine::sql::WatermarkSpec;

/// A query and everything that decides its answer, except the rows of its streams.
#[derive(Debug, Clone)]
pub struct Job {
    /// Streams by name, in the order of their offsets; rows are in the trace.
    pub streams: Vec<(String, SchemaRef)>,
    /// Static tables by name.
    pub tables: Vec<(String, RecordBatch)>,
    /// Views in the order they are made.
    pub views: Vec<View>,
    /// The query.
    pub sql: String,
    /// Append, update or complete.
    pub output_mode: OutputMode,
    /// Spark's settings that change results, by Spark's names.
    pub conf: BTreeMap<String, String>,
    /// How micro-batches become visible.
    pub feed: Feed,
    /// What `current_timestamp()` is in each executed batch.
    pub clock: BatchClock,
}

/// A view: `sql`, then a watermark, then deduplication.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What it selects.
    pub sql: String,
    /// `withWatermark`, if it has one.
    pub watermark: Option<WatermarkSpec>,
    /// `dropDuplicates` on these columns (all if empty), if it has one.
    pub drop_duplicates: Option<DropDuplicates>,
}

/// `dropDuplicates` or `dropDuplicatesWithinWatermark` of a view.
#[derive(Debug, Clone)]
pub struct DropDuplicates {
    /// The columns that make a duplicate; empty for all.
    pub columns: Vec<String>,
    /// `dropDuplicatesWithinWatermark`.
    pub within_watermark: bool,
}

/// Output modes by Spark's names.
pub use skirl_engine::OutputMode;

/// How micro-batches become visible to the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// All are there before the query starts; it runs AvailableNow.
    Backlog,
    /// One is put there, the query runs AvailableNow until it ends, and starts again from its checkpoint with the next.
    Drip,
    /// Backlog pieces, the query restarting from its checkpoint before each of these micro-batches (ascending).
    RestartBefore(Vec<usize>),
}

/// The time of executed batch `n`: `start_ms + n * step_ms`, so that a run can be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchClock {
    /// Time of batch 0 in milliseconds since 1970-01-01T00:00:00 UTC.
    pub start_ms: i64,
    /// Milliseconds from one executed batch to the next.
    pub step_ms: i64,
}

impl BatchClock {
    /// The time of batch `batch_id` in milliseconds.
    pub fn at(&self, batch_id: u64) -> i64 {
        self.start_ms + batch_id as i64 * self.step_ms
    }
}
