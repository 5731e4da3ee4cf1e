//! What a system under test, or the oracle, says a query emitted.

use arrow::array::RecordBatch;
use skirl_engine::error::in_full;

/// Everything a query emitted, and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Executed batches in order.
    pub batches: Vec<OutputBatch>,
    /// How the query was refused or failed; the batches before it stay.
    pub error: Option<Failure>,
}

/// One executed batch.
#[derive(Debug, Clone)]
pub struct OutputBatch {
    /// Batch ids start at 0 and are consecutive; batches without data have ids too.
    pub batch_id: u64,
    /// The watermark in force, milliseconds since 1970-01-01T00:00:00 UTC; `None` if the query has none.
    pub watermark: Option<i64>,
    /// Rows read per stream, before filters; in the order of the job's streams that the query reads.
    pub input_rows: Vec<u64>,
    /// What was emitted, one batch with the query's schema.
    pub rows: RecordBatch,
    /// Rows in state after the batch, per stateful operator, topmost first (pre-order: parent, left, right).
    pub state_rows: Vec<u64>,
    /// Input rows dropped as late, per stateful operator, topmost first.
    pub dropped: Vec<u64>,
}

/// How a query was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Spark's outer condition, `SKIRL_UNSUPPORTED`, or `None` for an error without a lasting name.
    pub condition: Option<String>,
    /// The whole sentence.
    pub message: String,
}

impl From<&skirl_engine::Error> for Failure {
    fn from(error: &skirl_engine::Error) -> Self {
        Failure {
            condition: error.condition().map(str::to_string),
            message: in_full(error),
        }
    }
}
