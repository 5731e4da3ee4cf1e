//! The oracle (a colleague writes it; this is the least that lets the harness compile).

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;

use crate::job::Job;
use crate::run::{Failure, Run};
use crate::trace::Trace;

/// What must come out.
#[derive(Debug, Clone, Default)]
pub struct Expectation {
    /// Batches and how the query ends.
    pub run: Run,
    /// What became of each input row.
    pub ledger: Vec<Fate>,
}

/// What became of an input row.
#[derive(Debug, Clone)]
pub struct Fate {
    /// The position of its stream in the job.
    pub stream: usize,
    /// Its micro-batch.
    pub micro_batch: usize,
    /// Its place in the micro-batch.
    pub row: usize,
    /// The executed batch that read it.
    pub batch_id: u64,
    /// Microseconds; `None` for NULL.
    pub event_time: Option<i64>,
    /// Whether it counted.
    pub admission: Admission,
}

/// Whether a row counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Not late.
    OnTime,
    /// Late, and counted.
    LateAccepted,
    /// Dropped.
    Dropped {
        /// By which operator.
        operator: String,
        /// Against which watermark in ms.
        watermark: i64,
    },
    /// The system cannot be stepped.
    Undecided,
}

fn later() -> Failure {
    Failure { condition: Some("SKIRL_UNSUPPORTED".into()), message: "no oracle yet".into() }
}

/// Derives.
pub fn expect(_job: &Job, _trace: &Trace) -> Expectation {
    Expectation { run: Run { batches: vec![], error: Some(later()) }, ledger: vec![] }
}

/// Plans.
pub fn plan(_job: &Job) -> Result<LogicalPlan, Failure> {
    Err(later())
}

/// Asks a table.
pub fn ask(_job: &Job, _name: &str, _table: Option<RecordBatch>, _sql: &str, _now_ms: i64) -> Result<(RecordBatch, LogicalPlan), Failure> {
    Err(later())
}
