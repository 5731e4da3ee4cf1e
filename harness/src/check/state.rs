//! State holds what it must after each batch, no more and no less.

use super::{Check, Evidence, Finding, Verdict};

/// Compares rows in state per operator, batch by batch.
pub(super) struct State;

impl Check for State {
    fn name(&self) -> &'static str {
        "state"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let Some(reason) = evidence.incomparable() {
            return Verdict::NotJudged(reason);
        }
        let pairs = evidence.run.batches.iter().zip(&evidence.expectation.run.batches);
        let findings = pairs
            .filter(|(actual, expected)| actual.state_rows != expected.state_rows)
            .map(|(actual, expected)| {
                let claim = format!(
                    "rows in state are {:?} and must be {:?} (per operator, topmost first)",
                    actual.state_rows, expected.state_rows
                );
                Finding::in_batch(actual.batch_id, claim)
            });
        Verdict::of(findings.collect())
    }
}
