//! Properties of queries over random traces: whatever arrives, and however it is cut into micro-batches, a system
//! emits what the oracle derives.
//!
//! [`traces`] makes rows for streams of any schema, [`cases`] also makes the query, and [`check`] judges. They are
//! strategies of the proptest crate, so a failure shrinks to the smallest trace that shows it.
//!
//! ```
//! use proptest::prelude::*;
//! use skirl::job::{Job, OutputMode};
//! use skirl::property::{check, traces};
//!
//! // A query of your own. In a test module, `proptest!` takes the attribute `#[test]`.
//! fn sales() -> Job {
//!     let mut job = Job::new(&[("sales", "shop STRING, price INT, sold TIMESTAMP")],
//!         "SELECT window.start AS start, shop, sum(price) AS total
//!          FROM timed GROUP BY window(sold, '3 minutes'), shop").unwrap();
//!     job.add_view("timed", "SELECT * FROM sales", Some(("sold", "30 seconds")));
//!     job.output_mode = OutputMode::Append;
//!     job
//! }
//!
//! proptest! {
//!     #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]
//!     fn totals_are_right_however_late_a_sale_arrives(trace in traces(&sales().streams)) {
//!         check(&sales(), &trace)?;
//!     }
//! }
//! totals_are_right_however_late_a_sale_arrives();
//! ```

mod query;
mod rows;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::job::{Feed, Job};
use crate::judge::{Status, Trial, judge};
use crate::report::{Entry, Paint, Report, terminal};
use crate::system::{Embedded, System};
use crate::trace::Trace;

pub use query::jobs;
pub use rows::traces;

/// A query and the rows it runs over.
#[derive(Debug, Clone)]
pub struct Case {
    /// The query.
    pub job: Job,
    /// The rows.
    pub trace: Trace,
}

/// Queries of every supported shape, in every output mode Spark allows for it, over random traces and feeds.
pub fn cases() -> impl Strategy<Value = Case> {
    let with_trace = |job: Job| (traces(&job.streams), Just(job));
    let with_feed = |(trace, job): (Trace, Job)| (feeds(trace.micro_batches.len()), Just(trace), Just(job));
    let case = |(feed, trace, mut job): (Feed, Trace, Job)| {
        job.feed = feed;
        Case { job, trace }
    };
    jobs().prop_flat_map(with_trace).prop_flat_map(with_feed).prop_map(case)
}

/// Every way to make `length` micro-batches visible, restarts included.
pub fn feeds(length: usize) -> impl Strategy<Value = Feed> {
    let restarts = proptest::collection::btree_set(1..length.max(2), 0..3);
    prop_oneof![
        3 => Just(Feed::Backlog),
        2 => Just(Feed::Drip),
        1 => restarts.prop_map(|positions| Feed::RestartBefore(positions.into_iter().collect())),
    ]
}

/// Runs `job` over `trace` on the embedded engine and judges it by the oracle.
///
/// # Errors
/// The report, if a check fails or the query is not supported.
pub fn check(job: &Job, trace: &Trace) -> Result<(), TestCaseError> {
    check_on(&mut Embedded::default(), job, trace)
}

/// Runs `job` over `trace` on `system` and judges it by the oracle.
///
/// # Errors
/// The report, if a check fails or the query is not supported.
pub fn check_on(system: &mut dyn System, job: &Job, trace: &Trace) -> Result<(), TestCaseError> {
    let outcome = judge(&Trial::of_case("property", job.clone(), trace.clone()), system);
    if outcome.status == Status::Passed {
        return Ok(());
    }
    let report = Report {
        entries: vec![Entry::Ran {
            outcome: Box::new(outcome),
            again: None,
        }],
    };
    Err(TestCaseError::fail(format!(
        "{}\n{}",
        job.sql,
        terminal::render(&report, Paint::PLAIN)
    )))
}

#[cfg(test)]
mod tests {
    use proptest::strategy::ValueTree;

    use super::*;
    use crate::oracle;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever arrives, in whatever batches, a supported query emits what the oracle derives, in every mode Spark
        /// allows for it and across restarts.
        #[test]
        fn the_engine_emits_what_the_oracle_derives(case in cases()) {
            check(&case.job, &case.trace)?;
        }
    }

    /// A property that nothing tests would hold too: queries run, and rows come out, come late and are dropped.
    #[test]
    fn random_cases_run_and_drop_rows() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let (mut emitting, mut dropping, mut refused) = (0, 0, Vec::new());
        for _ in 0..200 {
            let case = cases().new_tree(&mut runner).expect("cases can be made").current();
            let expectation = oracle::expect(&case.job, &case.trace);
            emitting += usize::from(expectation.run.batches.iter().any(|batch| batch.rows.num_rows() > 0));
            dropping += usize::from(!expectation.ledger.drops.is_empty());
            refused.extend(expectation.run.error.map(|failure| (case.job.sql, failure.message)));
        }
        assert!(refused.is_empty(), "{refused:#?}");
        assert!(emitting > 100 && dropping > 40, "{emitting} emit, {dropping} drop rows");
    }
}
