//! In append mode, a group of an aggregation is emitted once, and only after its window closed.

use std::collections::BTreeMap;

use super::{Check, Evidence, Finding, Verdict};
use crate::job::OutputMode;
use crate::rows::{compact, row_values, shown_time_us, shown_watermark};
use crate::shape::Shape;

/// Looks for groups emitted twice or too early. Needs no oracle.
pub(super) struct Groups;

impl Check for Groups {
    fn name(&self) -> &'static str {
        "groups"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if evidence.job.output_mode != OutputMode::Append {
            return Verdict::NotJudged("only append mode emits a group once".to_string());
        }
        let Some(shape) = evidence.shape.filter(|shape| shape.has_all_keys) else {
            return Verdict::NotJudged("the output is no aggregation that shows all its keys".to_string());
        };
        let mut findings = Vec::new();
        let mut emitted: BTreeMap<String, u64> = BTreeMap::new();
        for batch in &evidence.run.batches {
            for row in row_values(&batch.rows) {
                let group = shape.key_of(&row);
                let words = shape.describe_key(&row);
                if let Some(before) = emitted.insert(compact(&group), batch.batch_id) {
                    let claim = format!("{words} is emitted again; it already came out in batch {before}");
                    findings.push(Finding::in_batch(batch.batch_id, claim));
                }
                findings.extend(too_early(shape, &row, batch.watermark).map(|closes_us| {
                    let claim = format!(
                        "{words} is emitted before its window closed: it ends at {}, the watermark is {}",
                        shown_time_us(closes_us),
                        shown_watermark(batch.watermark)
                    );
                    Finding::in_batch(batch.batch_id, claim)
                }));
            }
        }
        Verdict::of(findings)
    }
}

/// The end of the row's window in microseconds, if the watermark has not reached it.
fn too_early(shape: &Shape, row: &[serde_json::Value], watermark_ms: Option<i64>) -> Option<i64> {
    let (_, end_us) = shape.window_of(row)?;
    let end_us = end_us?;
    (end_us > watermark_ms.unwrap_or(0) * 1_000).then_some(end_us)
}
