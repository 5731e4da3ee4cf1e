//! Where a stream's rows come from.
//!
//! To add a source, write `source/<name>.rs` and implement [`Source`].

mod memory;

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub use memory::MemorySource;

use crate::Result;

/// How far a source has been read: an opaque JSON value that goes to the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offset(pub serde_json::Value);

/// How much a micro-batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLimit {
    /// As the source is configured (`maxFilesPerTrigger` and the like).
    Configured,
    /// Everything there is.
    Unlimited,
}

/// A source of micro-batches.
pub trait Source: Send {
    /// The columns of its rows.
    fn schema(&self) -> SchemaRef;

    /// The end offset of the next micro-batch after `start`; `None`, or `start`, when nothing is new.
    ///
    /// # Errors
    /// The source cannot be asked.
    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>>;

    /// The rows after `start` up to `end`; the same offsets give the same rows.
    ///
    /// # Errors
    /// The rows cannot be read.
    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>>;

    /// Everything up to `end` has been committed by the query.
    ///
    /// # Errors
    /// The source cannot note it.
    fn commit(&mut self, _end: &Offset) -> Result<()> {
        Ok(())
    }

    /// From here on, only what is available now.
    ///
    /// # Errors
    /// The source cannot be asked.
    fn prepare_available_now(&mut self) -> Result<()>;

    /// Reads back the log the source keeps of its own, if it keeps one in `log_dir`.
    ///
    /// # Errors
    /// The log cannot be read.
    fn restore(&mut self, _log_dir: Option<&Path>) -> Result<()> {
        Ok(())
    }

    /// The source in a few words, for messages.
    fn describe(&self) -> String;
}
