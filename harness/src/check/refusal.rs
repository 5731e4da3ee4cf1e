//! The query is refused or fails exactly when it must, by Spark's condition.

use super::{Check, Evidence, Finding, Verdict};
use crate::run::Failure;

/// Compares how the run ended with how the oracle says it ends.
pub(super) struct Refusal;

impl Check for Refusal {
    fn name(&self) -> &'static str {
        "refusal"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let Some(reason) = evidence.incomparable() {
            return Verdict::NotJudged(reason);
        }
        let finding = match (&evidence.expectation.run.error, &evidence.run.error) {
            (None, None) => None,
            (Some(expected), None) => Some(format!("the query ran, but {}", ended(expected))),
            (None, Some(actual)) => Some(format!("the query must run, but {}", ended(actual))),
            (Some(expected), Some(actual)) if same_condition(expected, actual) => None,
            (Some(expected), Some(actual)) => Some(format!(
                "{}, but {}",
                ended_with("the query ended", actual),
                ended(expected)
            )),
        };
        Verdict::of(finding.map(Finding::of_run).into_iter().collect())
    }
}

fn ended(failure: &Failure) -> String {
    ended_with("it ends", failure)
}

fn ended_with(words: &str, failure: &Failure) -> String {
    let condition = failure.condition.as_deref().unwrap_or("an error without a name");
    format!("{words} in {condition}: {}", failure.message)
}

/// Conditions agree where both have a lasting name.
fn same_condition(a: &Failure, b: &Failure) -> bool {
    match (lasting(a), lasting(b)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

/// Spark's numbered legacy names change between versions.
fn lasting(failure: &Failure) -> Option<&str> {
    failure
        .condition
        .as_deref()
        .filter(|condition| !condition.starts_with("_LEGACY_ERROR_TEMP_"))
}
