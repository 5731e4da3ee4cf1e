//! Where a query's rows go.
//!
//! To add a sink, write `sink/<name>.rs` and implement [`Sink`].

pub mod show;

use arrow::array::RecordBatch;

use crate::{OutputMode, Result};

/// Takes what a query emits.
pub trait Sink: Send {
    /// Takes the rows of a batch; a batch it already has is the same batch again.
    ///
    /// # Errors
    /// The rows cannot be written; the query ends and repeats the batch when it is started again.
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, mode: OutputMode) -> Result<()>;
}
