//! What a query reports of a batch.

pub use crate::operator::OperatorProgress;

/// One executed batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchProgress {
    /// Consecutive from 0; batches without data have ids too.
    pub batch_id: u64,
    /// The watermark in force in milliseconds since 1970-01-01T00:00:00 UTC; `None` if the query has none.
    pub watermark_ms: Option<i64>,
    /// Rows read per stream, before filters, in the order of [`crate::StreamingQuery::streams`].
    pub input_rows: Vec<u64>,
    /// Rows emitted.
    pub output_rows: u64,
    /// Stateful operators, topmost first.
    pub operators: Vec<OperatorProgress>,
    /// What sources warn of: rows that were gone before they could be read.
    pub warnings: Vec<String>,
}
