//! The rows of every stream, micro-batch by micro-batch.

use arrow::array::RecordBatch;

/// An ordered list of micro-batches; boundaries belong to the trace, not to the system under test.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// Micro-batches in the order they are made visible.
    pub micro_batches: Vec<MicroBatch>,
}

/// The rows of one micro-batch, one entry per stream in the order of [`crate::job::Job::streams`].
#[derive(Debug, Clone, Default)]
pub struct MicroBatch {
    /// `None`: the stream has no file here (its list has ended). An empty batch is an empty file: a new offset without
    /// rows, which still makes a micro-batch.
    pub rows: Vec<Option<RecordBatch>>,
}
