//! Results as JSON lines, one per executed batch, so that another program can compare.

use serde::Serialize;

use super::{Entry, Report};
use crate::judge::Outcome;
use crate::rows::{iso, rows_json};
use crate::run::Failure;

/// A batch that was executed.
#[derive(Serialize)]
struct BatchLine<'a> {
    scenario: &'a str,
    batch_id: u64,
    watermark: Option<String>,
    input_rows: &'a [u64],
    columns: Vec<String>,
    rows: Vec<serde_json::Value>,
    state_rows: &'a [u64],
    dropped: &'a [u64],
}

/// A query that was refused or failed.
#[derive(Serialize)]
struct ErrorLine<'a> {
    scenario: &'a str,
    error: ErrorOf<'a>,
}

#[derive(Serialize)]
struct ErrorOf<'a> {
    condition: Option<&'a str>,
    message: &'a str,
}

/// The lines of every trial of `report`.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        match entry {
            Entry::Ran { outcome, .. } => append(outcome, &mut text),
            Entry::NotRun { name, reason } => push_error(name, None, reason, &mut text),
        }
    }
    text
}

fn append(outcome: &Outcome, text: &mut String) {
    for batch in &outcome.run.batches {
        push(
            &BatchLine {
                scenario: &outcome.name,
                batch_id: batch.batch_id,
                watermark: batch.watermark.map(|ms| iso(ms * 1_000)),
                input_rows: &batch.input_rows,
                columns: batch
                    .rows
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| field.name().clone())
                    .collect(),
                rows: rows_json(&batch.rows),
                state_rows: &batch.state_rows,
                dropped: &batch.dropped,
            },
            text,
        );
    }
    if let Some(Failure { condition, message }) = &outcome.run.error {
        push_error(&outcome.name, condition.as_deref(), message, text);
    }
}

fn push_error(scenario: &str, condition: Option<&str>, message: &str, text: &mut String) {
    push(
        &ErrorLine {
            scenario,
            error: ErrorOf { condition, message },
        },
        text,
    );
}

fn push(line: &impl Serialize, text: &mut String) {
    text.push_str(&serde_json::to_string(line).expect("results are plain JSON"));
    text.push('\n');
}
