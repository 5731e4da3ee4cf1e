//! What the scenario says must happen for it to mean anything.

use arrow::array::Array;
use arrow::datatypes::DataType;

use super::{Check, Evidence, Finding, Verdict};
use crate::oracle::{Admission, LedgerRow};
use crate::run::{Failure, OutputBatch, Run};
use crate::scenario::{ExpectedError, Quantity};
use crate::trace::Trace;

/// Batches that are shown where a number is not what it should be.
const BATCHES_SHOWN: usize = 12;

/// Counts what the scenario's `[expect]` names, in what the oracle derived.
pub(super) struct Guards;

impl Check for Guards {
    fn name(&self) -> &'static str {
        "guards"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let (Some(reason), None) = (evidence.incomparable(), &evidence.expect.error) {
            return Verdict::NotJudged(reason);
        }
        let mut findings = Vec::new();
        match (&evidence.expect.error, &evidence.run.error) {
            (Some(wanted), actual) => findings.extend(wrong_error(wanted, actual.as_ref())),
            (None, Some(failure)) if !evidence.expect.guards.is_empty() => {
                findings.push(Finding::of_run(format!(
                    "the scenario expects no error, but the query ended: {}",
                    failure.message
                )));
            }
            _ => {}
        }
        findings.extend(restarts_that_never_are(evidence));
        let missed = evidence.expect.guards.iter().filter_map(|guard| {
            let number = count(guard.quantity, evidence);
            let name = guard.quantity.name();
            let claim = || format!("{name} is {number}, and the scenario wants {name} {}", guard.comparison);
            (!guard.comparison.holds(number)).then(|| Finding::of_run(claim()))
        });
        let mut missed: Vec<Finding> = missed.collect();
        if let Some(last) = missed.last_mut() {
            last.story = course(&evidence.expectation.run);
        }
        findings.append(&mut missed);
        Verdict::of(findings)
    }
}

/// What came and went batch by batch, which is where the numbers come from.
fn course(run: &Run) -> Vec<String> {
    let sum = |numbers: &[u64]| numbers.iter().sum::<u64>();
    let line = |batch: &OutputBatch| {
        format!(
            "batch {}  {} in, {} dropped, {} out, {} in state",
            batch.batch_id,
            sum(&batch.input_rows),
            sum(&batch.dropped),
            batch.rows.num_rows(),
            sum(&batch.state_rows)
        )
    };
    let mut lines: Vec<String> = run.batches.iter().take(BATCHES_SHOWN).map(line).collect();
    let beyond = run.batches.len().saturating_sub(BATCHES_SHOWN);
    if beyond > 0 {
        lines.push(format!(
            "and {beyond} more; `--results FILE` has them all, with their rows"
        ));
    }
    lines
}

/// Restarts before micro-batches there are not, or before the first: nothing would be proved by them.
fn restarts_that_never_are(evidence: &Evidence) -> Vec<Finding> {
    let restarts = evidence.expect.restarts.iter();
    let never = restarts.filter(|position| !(1..evidence.fed).contains(position));
    let finding = |position: &usize| {
        Finding::of_run(format!(
            "the query is to be started again before micro-batch {position}; there are {}, and before 0 it is started anyway",
            evidence.fed
        ))
    };
    never.map(finding).collect()
}

fn wrong_error(wanted: &ExpectedError, actual: Option<&Failure>) -> Option<Finding> {
    let name = wanted
        .condition
        .as_deref()
        .or(wanted.message_contains.as_deref())
        .unwrap_or("an error");
    let Some(actual) = actual else {
        return Some(Finding::of_run(format!(
            "the scenario expects {name}, but the query ran"
        )));
    };
    if let Some(condition) = &wanted.condition
        && actual.condition.as_ref() != Some(condition)
    {
        let found = actual.condition.as_deref().unwrap_or("an error without a name");
        let claim = format!(
            "the scenario expects {condition}, but the query ended in {found}: {}",
            actual.message
        );
        return Some(Finding::of_run(claim));
    }
    let part = wanted.message_contains.as_deref().unwrap_or_default();
    (!actual.message.contains(part)).then(|| {
        Finding::of_run(format!(
            "the scenario expects a message with `{part}`, but it is: {}",
            actual.message
        ))
    })
}

/// A quantity of the run as the oracle derives it, so that a guard does not depend on the system.
pub fn count(quantity: Quantity, evidence: &Evidence) -> u64 {
    let run = &evidence.expectation.run;
    let ledger = &evidence.expectation.ledger;
    let rows_where = |holds: fn(&LedgerRow) -> bool| ledger.rows.iter().filter(|row| holds(row)).count() as u64;
    let batches_where =
        |holds: fn(&OutputBatch) -> bool| run.batches.iter().filter(|batch| holds(batch)).count() as u64;
    match quantity {
        Quantity::InputRows => run.batches.iter().flat_map(|batch| &batch.input_rows).sum(),
        Quantity::LateRows => {
            rows_where(|row| matches!(row.admission, Admission::LateAccepted | Admission::Dropped(_)))
        }
        Quantity::LateAcceptedRows => rows_where(|row| row.admission == Admission::LateAccepted),
        Quantity::DroppedRows => rows_where(|row| matches!(row.admission, Admission::Dropped(_))),
        Quantity::NullTimeRows => null_times(evidence),
        Quantity::OutputRows => run.batches.iter().map(|batch| batch.rows.num_rows() as u64).sum(),
        Quantity::Batches => run.batches.len() as u64,
        Quantity::NoDataBatches => no_data_batches(run, evidence.trace),
        Quantity::EmptyBatches => batches_where(|batch| batch.input_rows.iter().all(|rows| *rows == 0)),
        Quantity::EmittingBatches => batches_where(|batch| batch.rows.num_rows() > 0),
        Quantity::StateRows => run.batches.last().map_or(0, state_rows),
        Quantity::MaxStateRows => run.batches.iter().map(state_rows).max().unwrap_or(0),
    }
}

/// Rows of the trace with a NULL in a column of times.
fn null_times(evidence: &Evidence) -> u64 {
    let batches = evidence
        .trace
        .micro_batches
        .iter()
        .flat_map(|micro_batch| micro_batch.rows.iter().flatten());
    let times = batches
        .flat_map(|rows| rows.columns())
        .filter(|column| matches!(column.data_type(), DataType::Timestamp(..)));
    times.map(|column| column.null_count() as u64).sum()
}

fn state_rows(batch: &OutputBatch) -> u64 {
    batch.state_rows.iter().sum()
}

/// Every micro-batch of the trace is a batch; what was executed beyond them had no data.
fn no_data_batches(run: &Run, trace: &Trace) -> u64 {
    run.batches.len().saturating_sub(trace.micro_batches.len()) as u64
}
