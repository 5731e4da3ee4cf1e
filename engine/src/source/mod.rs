//! Where the rows of a micro-batch come from.
//!
//! A source says how far it has got as an [`Offset`], and gives the same rows for the same offsets. It knows nothing of
//! queries, and it blocks: a micro-batch is a sequence.
//!
//! To add a source, write `source/<name>.rs` and implement [`Source`].

pub mod files;
mod glob;
pub mod memory;
pub mod socket;

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::format::columns::Columns;

pub use files::{FileOrder, FileSource};
pub use memory::{MemorySource, MemoryStream};
pub use socket::SocketSource;

/// How far a source has got; what it means is the source's own matter. Goes into the checkpoint as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub serde_json::Value);

/// How much a micro-batch may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadLimit {
    /// What the source's own options say (`maxFilesPerTrigger`).
    Configured,
    /// Everything there is, whatever the options say: trigger Once.
    Unlimited,
}

/// A source of micro-batches.
pub trait Source: Send {
    /// The columns of its rows, all nullable.
    fn schema(&self) -> SchemaRef;

    /// Takes up the source's own log under `log_dir` (`sources/i` of a checkpoint), if the query has a checkpoint.
    /// Called once, before anything is read.
    ///
    /// # Errors
    /// A log that cannot be read.
    fn restore(&mut self, log_dir: Option<&Path>) -> Result<()> {
        let _ = log_dir;
        Ok(())
    }

    /// Says which columns the query reads, one entry for each time it reads the stream; before anything is read. Other
    /// columns may come as NULL.
    ///
    /// # Errors
    /// What one reading cannot give to every entry.
    fn select(&mut self, scans: &[Columns]) -> Result<()> {
        let _ = scans;
        Ok(())
    }

    /// Where the next micro-batch after `start` ends; `start` itself, or none, when nothing is new.
    ///
    /// # Errors
    /// The source cannot be asked: a directory that is gone, a broken connection.
    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>>;

    /// The rows after `start` up to and with `end`: the same offsets give the same rows.
    ///
    /// # Errors
    /// Rows that are gone or cannot be read, with the name of their file.
    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>>;

    /// Everything up to and with `end` is committed: it will not be asked for again.
    ///
    /// # Errors
    /// None that the sources here have.
    fn commit(&mut self, end: &Offset) -> Result<()> {
        let _ = end;
        Ok(())
    }

    /// From now on only what is there already counts: trigger AvailableNow.
    ///
    /// # Errors
    /// As [`Source::latest_offset`].
    fn prepare_available_now(&mut self) -> Result<()>;

    /// What the source is, in a few words: `FileStreamSource[/data/weather]`.
    fn describe(&self) -> String;

    /// Remarks on options that change nothing.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
}
