//! Checks: what must be true of a run.
//!
//! To add a check, write `check/<name>.rs` with an implementation of [`Check`] and add it to [`all`].

mod follow_up;
mod groups;
mod guard;
mod ledger;
mod output;
mod refusal;
mod sink;
mod state;
mod watermark;

use arrow::array::RecordBatch;
use skirl_engine::error::SKIRL_UNSUPPORTED;

use crate::job::Job;
use crate::oracle::Expectation;
use crate::run::Run;
use crate::scenario::Expect;
use crate::shape::Shape;
use crate::system::{self, Promises};
use crate::trace::Trace;

pub use follow_up::Answer;
pub use guard::count;

/// Something that must be true of a run.
pub trait Check {
    /// Its name in reports.
    fn name(&self) -> &'static str;

    /// Whether it is true of this run.
    fn judge(&self, evidence: &Evidence) -> Verdict;
}

/// Every check, in the order of reports.
pub fn all() -> Vec<Box<dyn Check>> {
    vec![
        Box::new(refusal::Refusal),
        Box::new(output::Output),
        Box::new(ledger::Ledger),
        Box::new(groups::Groups),
        Box::new(watermark::Watermark),
        Box::new(state::State),
        Box::new(sink::Sink),
        Box::new(follow_up::FollowUps),
        Box::new(guard::Guards),
    ]
}

/// What a check may look at.
pub struct Evidence<'a> {
    /// What was run.
    pub job: &'a Job,
    /// Over which rows.
    pub trace: &'a Trace,
    /// What the system did.
    pub run: &'a Run,
    /// What it promised.
    pub promises: Promises,
    /// What the oracle derived.
    pub expectation: &'a Expectation,
    /// How the query's output is made up, if the query can be planned.
    pub shape: Option<&'a Shape>,
    /// Micro-batches the system was fed; its own cut is in `trace`.
    pub fed: usize,
    /// What the scenario waits for; empty for a case that only the oracle judges.
    pub expect: &'a Expect,
    /// Answers to the follow-up queries.
    pub answers: &'a [Answer],
    /// What the sink holds in the end.
    pub stored: &'a system::Result<Option<RecordBatch>>,
}

impl Evidence<'_> {
    /// Why rows, watermarks and state cannot be compared batch by batch, if they cannot.
    pub fn incomparable(&self) -> Option<String> {
        if is_unsupported(&self.expectation.run) {
            return Some("the oracle cannot judge this query".to_string());
        }
        if is_unsupported(self.run) {
            return Some("the system does not run this query".to_string());
        }
        (!self.promises.steps_exactly).then(|| "the system cannot be stepped".to_string())
    }
}

/// Whether a run ended in something Skirl does not run yet.
pub fn is_unsupported(run: &Run) -> bool {
    run.error
        .as_ref()
        .is_some_and(|failure| failure.condition.as_deref() == Some(SKIRL_UNSUPPORTED))
}

/// What a check says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is true.
    Passed,
    /// It is not, and where.
    Failed(Vec<Finding>),
    /// It cannot be judged here, and why.
    NotJudged(String),
}

impl Verdict {
    /// Passed if there are no findings.
    pub fn of(findings: Vec<Finding>) -> Verdict {
        if findings.is_empty() {
            Verdict::Passed
        } else {
            Verdict::Failed(findings)
        }
    }
}

/// One thing that is not as it must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The batch it is about, if it is about one.
    pub batch_id: Option<u64>,
    /// What is wrong, in a sentence without its batch.
    pub claim: String,
    /// How it came about, a line each.
    pub story: Vec<String>,
}

impl Finding {
    /// A finding about batch `batch_id`.
    pub fn in_batch(batch_id: u64, claim: impl Into<String>) -> Finding {
        Finding {
            batch_id: Some(batch_id),
            claim: claim.into(),
            story: Vec::new(),
        }
    }

    /// What is wrong, under the name of the check that found it: `output, batch 3: 1 row wrong`.
    pub fn headline(&self, check: &str) -> String {
        match self.batch_id {
            Some(batch_id) => format!("{check}, batch {batch_id}: {}", self.claim),
            None => format!("{check}: {}", self.claim),
        }
    }

    /// A finding about the whole run.
    pub fn of_run(claim: impl Into<String>) -> Finding {
        Finding {
            batch_id: None,
            claim: claim.into(),
            story: Vec::new(),
        }
    }
}
