//! The sink holds in the end what the query emitted, every row once, restarts or not.

use std::borrow::Cow;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use skirl_engine::error::in_full;
use skirl_engine::format::csv::{CsvOptions, read_csv, write_csv};
use skirl_engine::format::json::{JsonOptions, read_json_lines, write_json_lines};

use super::{Check, Evidence, Finding, Verdict};
use crate::job::{Feed, Job, OutputMode, SinkFormat};
use crate::rows::{Row, difference, shown};
use crate::run::Run;

/// Compares a memory table, or the files of a file sink, with what the batches emitted.
pub(super) struct Sink;

/// A report shows so many rows.
const ROWS_TOLD: usize = 5;

impl Check for Sink {
    fn name(&self) -> &'static str {
        "sink"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        let stored = match evidence.stored {
            Ok(Some(stored)) => stored,
            Ok(None) => return Verdict::NotJudged("the sink keeps nothing".to_string()),
            Err(failure) => {
                let claim = format!("what it holds cannot be read: {}", failure.message);
                return Verdict::Failed(vec![Finding::of_run(claim)]);
            }
        };
        let Some(emitted) = emitted(evidence.job, evidence.run) else {
            return Verdict::NotJudged("it cannot be told from the batches what the sink holds".to_string());
        };
        match as_read_back(evidence.job, &emitted) {
            Ok(emitted) => Verdict::of(judge_rows(&emitted, stored).into_iter().collect()),
            Err(error) => Verdict::NotJudged(format!("the emitted rows cannot be read back: {}", in_full(&error))),
        }
    }
}

/// Everything that was emitted, of a table in complete mode the last result; `None` where there was no batch, and for
/// a table that a restart empties until the next batch.
fn emitted(job: &Job, run: &Run) -> Option<RecordBatch> {
    let batches: Vec<&RecordBatch> = run.batches.iter().map(|batch| &batch.rows).collect();
    let last = batches.last()?;
    match (job.output_mode, &job.feed) {
        (OutputMode::Complete, Feed::Backlog) => Some((*last).clone()),
        (OutputMode::Complete, _) => None,
        _ => Some(concat_batches(&last.schema(), batches.iter().copied()).expect("a query has one schema")),
    }
}

/// The rows as a reader of the sink's files gets them: JSON and CSV do not hold everything a row has, such as the
/// microseconds of a time.
fn as_read_back<'a>(job: &Job, rows: &'a RecordBatch) -> skirl_engine::Result<Cow<'a, RecordBatch>> {
    let (options, schema) = (&job.sink.options, &rows.schema());
    let mut bytes = Vec::new();
    Ok(match job.sink.format {
        SinkFormat::Json => {
            let options = JsonOptions::new(options, 0)?;
            write_json_lines(rows, &options, &mut bytes)?;
            Cow::Owned(read_json_lines(&bytes, schema, &options)?)
        }
        SinkFormat::Csv => {
            let options = CsvOptions::new(options, 0)?;
            write_csv(rows, &options, &mut bytes)?;
            Cow::Owned(read_csv(&bytes, schema, &options)?)
        }
        _ => Cow::Borrowed(rows),
    })
}

fn judge_rows(emitted: &RecordBatch, stored: &RecordBatch) -> Option<Finding> {
    let difference = difference(emitted, stored);
    if difference.is_none() {
        return None;
    }
    let (missing, surplus) = (difference.missing.len(), difference.surplus.len());
    let lacks = format!(
        "{missing} of {} rows that were emitted {} not there",
        emitted.num_rows(),
        is(missing)
    );
    let holds = format!(
        "{surplus} {} there that {} not emitted, or not so often",
        is(surplus),
        was(surplus)
    );
    let claim = match (missing, surplus) {
        (_, 0) => lacks,
        (0, _) => holds,
        _ => format!("{lacks}, and {holds}"),
    };
    let mut finding = Finding::of_run(claim);
    let told = |word: &'static str, rows: &[Row]| -> Vec<String> {
        let line = |row: &Row| format!("{word}  {}", row.iter().map(shown).collect::<Vec<_>>().join(", "));
        rows.iter().take(ROWS_TOLD).map(line).collect()
    };
    finding.story = told("missing", &difference.missing);
    finding.story.extend(told("surplus", &difference.surplus));
    Some(finding)
}

fn is(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

fn was(count: usize) -> &'static str {
    if count == 1 { "was" } else { "were" }
}
