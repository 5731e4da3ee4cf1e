//! Systems under test: a few verbs drive every stream processor.
//!
//! To add a system, write `system/<name>.rs` with an implementation of [`System`].

mod embedded;

use arrow::array::RecordBatch;

use crate::cut::Cut;
use crate::job::Job;
use crate::run::{Failure, OutputBatch};
use crate::trace::MicroBatch;

pub use embedded::{Embedded, Engine, Inlet, Memory, OverTopics, TopicSettings, Topics};

/// What a verb of a [`System`] ends in: the query was refused or failed.
pub type Result<T> = std::result::Result<T, Failure>;

/// A stream processor the harness can drive; blocking on purpose, a replay is a sequence.
pub trait System {
    /// Starts the query, or resumes it from its checkpoint.
    fn start(&mut self, job: &Job) -> Result<()>;

    /// Makes one micro-batch of input visible.
    fn feed(&mut self, batch: &MicroBatch) -> Result<()>;

    /// Processes the input fed so far as the job's trigger has it, batches without data included, to its end or to the
    /// end of batch `until`. What was emitted since the last drain; a failure keeps the batches before it.
    fn drain(&mut self, until: Option<u64>) -> Drained;

    /// Finishes the batch in flight, then ends; [`System::start`] goes on from there.
    fn stop(&mut self) -> Result<()>;

    /// Ends as a crash would.
    fn kill(&mut self) -> Result<()>;

    /// What checks may count on.
    fn promises(&self) -> Promises;

    /// Asks the query's memory table, as it is now, with a batch query in Spark's SQL; `current_timestamp()` is `now_ms`,
    /// in milliseconds since 1970-01-01T00:00:00 UTC.
    fn ask(&mut self, sql: &str, now_ms: i64) -> Result<RecordBatch>;

    /// Reads back what the sink holds: a memory table's rows or those of a file sink's files, in the query's columns.
    /// `None` where the sink keeps nothing.
    fn stored(&mut self) -> Result<Option<RecordBatch>>;

    /// How the rows were cut into micro-batches, where the system does that itself; `None`: as they were fed.
    fn cut(&self) -> Option<Cut> {
        None
    }
}

/// What a drain brought.
#[derive(Debug, Clone, Default)]
pub struct Drained {
    /// Executed batches in order.
    pub batches: Vec<OutputBatch>,
    /// Why the query ended, if it did.
    pub failure: Option<Failure>,
}

/// What checks may count on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// It executes exactly the micro-batches it is fed: batch ids, watermarks and rows per batch can be compared.
    pub steps_exactly: bool,
    /// It emits nothing twice, also after a crash.
    pub exactly_once: bool,
}
