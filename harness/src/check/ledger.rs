//! Every input row is accounted for: read once, and dropped exactly where the ledger says.

use super::{Check, Evidence, Finding, Verdict};

/// Compares rows read and rows dropped with the oracle's ledger.
pub(super) struct Ledger;

impl Check for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let Some(reason) = evidence.incomparable() {
            return Verdict::NotJudged(reason);
        }
        let mut findings = Vec::new();
        for (actual, expected) in evidence.run.batches.iter().zip(&evidence.expectation.run.batches) {
            if actual.input_rows != expected.input_rows {
                let claim = format!(
                    "rows read are {:?} and must be {:?} (per stream)",
                    actual.input_rows, expected.input_rows
                );
                findings.push(Finding::in_batch(actual.batch_id, claim));
            }
            if actual.dropped != expected.dropped {
                let claim = format!(
                    "rows dropped as late are {:?} and must be {:?} (per operator, topmost first)",
                    actual.dropped, expected.dropped
                );
                let mut finding = Finding::in_batch(actual.batch_id, claim);
                finding.story = crate::story::dropped_in(actual.batch_id, evidence);
                findings.push(finding);
            }
        }
        Verdict::of(findings)
    }
}
