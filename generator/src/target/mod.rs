//! Where micro-batches go.
//!
//! To add a target that takes whole micro-batches, write `target/<name>.rs` and give it a variant in [`Target`] and a line
//! in [`open`]. [`kafka`] takes rows one by one, several streams at a time, and so stands beside them.

mod files;
pub mod kafka;
mod stdout;

use crate::error::Result;
use crate::generate::{GenerateRequest, Target};
use crate::trace::TraceFile;

/// Takes the bytes of micro-batches.
pub(crate) trait Sink {
    /// Gets ready for a stream.
    fn begin(&mut self, stream: &str) -> Result<()>;

    /// Takes a micro-batch.
    fn write(&mut self, stream: &str, number: u64, bytes: &[u8]) -> Result<()>;

    /// All streams are complete.
    fn finish(&mut self, trace: &TraceFile) -> Result<()>;
}

pub(crate) fn open(request: &GenerateRequest) -> Result<Box<dyn Sink>> {
    Ok(match &request.target {
        Target::Directory(directory) => {
            Box::new(files::Files::open(directory, request.format, request.shard.is_some())?)
        }
        Target::Stdout => Box::new(stdout::Stdout::new(request.format)),
    })
}
