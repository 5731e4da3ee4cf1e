//! What each batch emits is what the oracle derives, row for row; in the query's order where it sorts.

use skirl_engine::sql::spark_type_name;

use super::{Check, Evidence, Finding, Verdict};
use crate::oracle::Freedom;
use crate::rows::{difference, row_values, same_value};
use crate::run::OutputBatch;
use crate::shape::Shape;
use crate::story;

/// Compares rows batch by batch.
pub(super) struct Output;

/// A report shows so many differing batches in full.
const BATCHES_TOLD: usize = 3;

impl Check for Output {
    fn name(&self) -> &'static str {
        "output"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        if let Some(reason) = evidence.incomparable() {
            return Verdict::NotJudged(reason);
        }
        let mut findings = Vec::new();
        let (actual, expected) = (&evidence.run.batches, &evidence.expectation.run.batches);
        for (actual, expected) in actual.iter().zip(expected) {
            if actual.batch_id != expected.batch_id {
                let claim = format!("this batch must have id {}", expected.batch_id);
                findings.push(Finding::in_batch(actual.batch_id, claim));
                break;
            }
            findings.extend(judge_batch(actual, expected, evidence, findings.len() < BATCHES_TOLD));
        }
        if actual.len() != expected.len() {
            findings.push(Finding::of_run(format!(
                "{} batches were executed, and it must be {}",
                actual.len(),
                expected.len()
            )));
        }
        Verdict::of(findings)
    }
}

fn judge_batch(actual: &OutputBatch, expected: &OutputBatch, evidence: &Evidence, told: bool) -> Option<Finding> {
    if actual.rows.schema().fields() != expected.rows.schema().fields()
        && let Some(claim) = column_difference(actual, expected)
    {
        return Some(Finding::in_batch(actual.batch_id, claim));
    }
    let difference = difference(&expected.rows, &actual.rows);
    if difference.is_none() || is_free(actual, expected, evidence) {
        let shape = evidence.shape.filter(|shape| shape.sorts())?;
        return order_finding(actual, expected, shape);
    }
    let claim = match (difference.missing.len(), difference.surplus.len()) {
        (missing, 0) => format!("{missing} of {} missing", rows(expected.rows.num_rows())),
        (0, surplus) => format!("{} too many beside {} right", rows(surplus), expected.rows.num_rows()),
        (missing, surplus) => format!("{} wrong, where {missing} must be", rows(surplus)),
    };
    let mut finding = Finding::in_batch(actual.batch_id, claim);
    if told {
        finding.story = story::tell(&difference, actual.batch_id, evidence);
    }
    Some(finding)
}

/// `1 row`, `2 rows`.
fn rows(count: usize) -> String {
    format!("{count} row{}", if count == 1 { "" } else { "s" })
}

/// Whether the semantics leave open which rows these are: any rows of a limit, or any of those an order does not tell
/// apart.
fn is_free(actual: &OutputBatch, expected: &OutputBatch, evidence: &Evidence) -> bool {
    let same_count = actual.rows.num_rows() == expected.rows.num_rows();
    let freedoms = &evidence.expectation.freedoms;
    let by_order = || {
        evidence
            .shape
            .is_some_and(|shape| shape.sorts() && order_finding(actual, expected, shape).is_none())
    };
    let limited = freedoms.contains(&Freedom::AnyRowsOfLimit);
    same_count && (limited || freedoms.contains(&Freedom::TiesOfOrder) && by_order())
}

/// Names or types of the columns, if they differ. Whether a column may be NULL is not compared.
fn column_difference(actual: &OutputBatch, expected: &OutputBatch) -> Option<String> {
    let columns = |batch: &OutputBatch| -> Vec<String> {
        let schema = batch.rows.schema();
        let shown = |field: &std::sync::Arc<arrow::datatypes::Field>| {
            format!("{} {}", field.name(), spark_type_name(field.data_type()))
        };
        schema.fields().iter().map(shown).collect()
    };
    let (actual, expected) = (columns(actual), columns(expected));
    (actual != expected).then(|| {
        format!(
            "the columns are ({}) and must be ({})",
            actual.join(", "),
            expected.join(", ")
        )
    })
}

/// Rows that the sort does not tell apart may stand in any order.
fn order_finding(actual: &OutputBatch, expected: &OutputBatch, shape: &Shape) -> Option<Finding> {
    let (actual_rows, expected_rows) = (row_values(&actual.rows), row_values(&expected.rows));
    let position = actual_rows.iter().zip(&expected_rows).position(|(actual, expected)| {
        shape
            .sorted_by
            .iter()
            .any(|column| !same_value(&actual[*column], &expected[*column]))
    })?;
    let claim = format!("the rows are right, but row {position} stands where another must, as the query sorts");
    Some(Finding::in_batch(actual.batch_id, claim))
}
