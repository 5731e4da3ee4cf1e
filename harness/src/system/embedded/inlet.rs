//! Where the rows of a job's streams come from, and where the query keeps its checkpoint.

use std::sync::Arc;

use skirl_engine::source::MemoryStream;
use skirl_engine::storage::{MemoryStorage, Storage};
use skirl_engine::{Result, Session};

use crate::cut::Cut;
use crate::job::{Feed, Job};
use crate::trace::MicroBatch;

/// A place for rows that queries of the engine read, over all starts of a query.
pub trait Inlet {
    /// Where a checkpoint is kept.
    type Checkpoint: Storage + 'static;

    /// Names the streams of a job in a session.
    fn open(&mut self, session: &mut Session, job: &Job) -> Result<()>;

    /// Adds the rows of a micro-batch to the streams.
    fn feed(&mut self, batch: &MicroBatch) -> Result<()>;

    /// The checkpoint of the query, if it is to have one.
    fn checkpoint(&self, job: &Job, sink_needs_one: bool) -> Result<Option<Self::Checkpoint>>;

    /// Hears that a query was started that reads these streams, in the order of their offsets.
    fn started(&mut self, streams: &[String]) {
        let _ = streams;
    }

    /// Hears that a batch was executed.
    fn executed(&mut self, batch_id: u64) -> Result<()> {
        let _ = batch_id;
        Ok(())
    }

    /// How the rows were cut into micro-batches, if not as they were fed.
    fn cut(&self) -> Option<Cut> {
        None
    }
}

/// Rows and checkpoint in memory, so that a restart is a real one and costs no disk.
#[derive(Default)]
pub struct Memory {
    streams: Vec<MemoryStream>,
    checkpoint: MemoryStorage,
}

impl Inlet for Memory {
    type Checkpoint = MemoryStorage;

    fn open(&mut self, session: &mut Session, job: &Job) -> Result<()> {
        if self.streams.is_empty() {
            let stream = |(_, schema): &(String, _)| MemoryStream::new(Arc::clone(schema));
            self.streams = job.streams.iter().map(stream).collect();
        }
        for ((name, schema), stream) in job.streams.iter().zip(&self.streams) {
            let stream = stream.clone();
            session.read_stream(name, Arc::clone(schema), move || Ok(Box::new(stream.source(Some(1)))))?;
        }
        Ok(())
    }

    fn feed(&mut self, batch: &MicroBatch) -> Result<()> {
        for (stream, rows) in self.streams.iter().zip(&batch.rows) {
            if let Some(rows) = rows {
                stream.add(rows.clone())?;
            }
        }
        Ok(())
    }

    fn checkpoint(&self, job: &Job, sink_needs_one: bool) -> Result<Option<MemoryStorage>> {
        let is_needed = job.sink.checkpoint && (job.feed != Feed::Backlog || sink_needs_one);
        Ok(is_needed.then(|| self.checkpoint.clone()))
    }
}
