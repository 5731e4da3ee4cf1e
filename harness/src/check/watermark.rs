//! The watermark of each batch is the derived one, and never goes back.

use super::{Check, Evidence, Finding, Verdict};
use crate::rows::shown_watermark;

/// Compares watermarks batch by batch.
pub(super) struct Watermark;

impl Check for Watermark {
    fn name(&self) -> &'static str {
        "watermark"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let Some(reason) = evidence.incomparable() {
            return Verdict::NotJudged(reason);
        }
        let mut findings = Vec::new();
        let mut highest = None;
        for (actual, expected) in evidence.run.batches.iter().zip(&evidence.expectation.run.batches) {
            if actual.watermark != expected.watermark {
                let (actual_text, expected_text) =
                    (shown_watermark(actual.watermark), shown_watermark(expected.watermark));
                let claim = format!("the watermark is {actual_text} and must be {expected_text}");
                findings.push(Finding::in_batch(actual.batch_id, claim));
            }
            if actual.watermark < highest {
                let claim = format!(
                    "the watermark went back from {} to {}",
                    shown_watermark(highest),
                    shown_watermark(actual.watermark)
                );
                findings.push(Finding::in_batch(actual.batch_id, claim));
            }
            highest = highest.max(actual.watermark);
        }
        Verdict::of(findings)
    }
}
