//! Where the rows of a micro-batch come from.
//!
//! A source says how far it has got as an [`Offset`], and gives the same rows for the same offsets. It knows nothing of
//! queries, and it blocks: a micro-batch is a sequence.
//!
//! To add a source, write `source/<name>.rs` and implement [`Source`].

pub mod files;
mod glob;
pub mod kafka;
pub mod memory;
pub mod socket;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::clock::Clock;
use crate::format::columns::Columns;

pub use files::{FileOrder, FileSource};
pub use kafka::KafkaSource;
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

/// Where rows belong among those of their source in a micro-batch: a part, and a number in it. Rows that come in any order
/// are worked on as they come, and what is made of them is put in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The part, such as a partition.
    pub part: usize,
    /// Counts the batches of a part.
    pub number: usize,
}

/// Takes rows on their way to the operators; breaks when no more are wanted.
pub type Give<'a> = dyn FnMut(Place, RecordBatch) -> ControlFlow<()> + 'a;

/// A source of micro-batches.
pub trait Source: Send {
    /// The columns of its rows, all nullable.
    fn schema(&self) -> SchemaRef;

    /// Hands over the clock the query lives by, before anything is read.
    fn use_clock(&mut self, clock: Arc<dyn Clock>) {
        drop(clock);
    }

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

    /// Whether the rows after `start` up to and with `end` are so many that operators had better begin before all are read.
    fn has_many(&self, start: Option<&Offset>, end: &Offset) -> bool {
        let _ = (start, end);
        false
    }

    /// As [`Source::read`], but gives the rows while it reads: in any order, and cut the same way each time.
    ///
    /// # Errors
    /// As [`Source::read`]; rows may have been given before.
    fn pour(&mut self, start: Option<&Offset>, end: &Offset, give: &mut Give) -> Result<()> {
        for (number, rows) in self.read(start, end)?.into_iter().enumerate() {
            if give(Place { part: 0, number }, rows).is_break() {
                break;
            }
        }
        Ok(())
    }

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

    /// What the user should know and did not stop the query, since the last time this was asked: rows that were gone.
    fn warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}
