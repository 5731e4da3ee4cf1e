//! Where the rows of a batch go.
//!
//! A sink is given every executed batch with its id, in order; after a crash the same batch comes again with the same
//! rows. What that means is the sink's matter: files and memory ignore a batch they have, the console prints it again.
//!
//! To add a sink, write `sink/<name>.rs` and implement [`Sink`].

pub mod console;
pub mod files;
pub mod foreach_batch;
pub mod memory;
pub mod show;

use arrow::array::RecordBatch;

use crate::{OutputMode, Result};

pub use console::ConsoleSink;
pub use files::FileSink;
pub use foreach_batch::ForeachBatchSink;
pub use memory::{MemorySink, MemoryTable};

/// Takes the rows of batches.
pub trait Sink: Send {
    /// Refuses an output mode the sink cannot take; asked before the query starts.
    ///
    /// # Errors
    /// `STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE` for files in another mode than append.
    fn check_mode(&self, mode: OutputMode) -> Result<()> {
        let _ = mode;
        Ok(())
    }

    /// Takes a batch. When this returns, its rows will not be asked for again.
    ///
    /// # Errors
    /// The rows cannot be written.
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, mode: OutputMode) -> Result<()>;

    /// Whether a query needs a checkpoint directory for this sink.
    fn needs_checkpoint(&self) -> bool {
        false
    }

    /// Whether a query can go on from a checkpoint with this sink: what the sink held before is still there, or comes
    /// again.
    fn resumes(&self, mode: OutputMode) -> bool {
        let _ = mode;
        true
    }

    /// Whether a query needs a name for this sink.
    fn needs_name(&self) -> bool {
        false
    }

    /// What the sink is, in a few words: `FileSink[/data/out]`.
    fn describe(&self) -> String;

    /// Remarks on options that change nothing.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
}
