//! Advice on a query: what runs as Spark runs it, and still is not what its author may think.
//!
//! To add a piece of advice, write a function from [`Subject`] to sentences and add it to [`advise`].

use crate::job::{Job, OutputMode};
use crate::oracle::{Admission, Advice, Expectation};
use crate::rows::shown_watermark;
use crate::scenario::{Stream, is_known};

/// What advice is about.
pub struct Subject<'a> {
    /// What was run.
    pub job: &'a Job,
    /// What the oracle derived.
    pub expectation: &'a Expectation,
    /// The scenario's streams; empty for a case.
    pub streams: &'a [Stream],
}

/// Every piece of advice, a sentence each.
pub fn advise(subject: &Subject) -> Vec<String> {
    let mut advice: Vec<String> = subject
        .expectation
        .advice
        .iter()
        .map(|advice| of_oracle(advice, subject))
        .collect();
    if subject.expectation.run.error.is_none() {
        advice.extend(silent_append(subject));
        advice.extend(held_watermark(subject));
    }
    advice.extend(misplaced_options(subject));
    advice.extend(idle_settings(subject));
    advice
}

/// What the oracle says of the query, with what it came to in this run.
fn of_oracle(advice: &Advice, subject: &Subject) -> String {
    let counted = subject
        .expectation
        .ledger
        .count(|admission| admission == Admission::LateAccepted);
    match advice {
        Advice::CompleteDropsNothing if counted > 0 => format!("{advice} ({counted} late rows counted here)"),
        advice => advice.to_string(),
    }
}

/// Append mode that emitted nothing, because no window ever closed.
fn silent_append(subject: &Subject) -> Option<String> {
    let run = &subject.expectation.run;
    let read: u64 = run.batches.iter().flat_map(|batch| &batch.input_rows).sum();
    let silent = run.batches.iter().all(|batch| batch.rows.num_rows() == 0);
    let aggregates = subject
        .expectation
        .operators
        .iter()
        .any(|operator| operator.contains("aggregation"));
    let waits = subject.job.output_mode == OutputMode::Append && aggregates;
    (silent && waits && read > 0).then(|| {
        let watermark = shown_watermark(run.batches.last().and_then(|batch| batch.watermark));
        format!("nothing was emitted: append mode waits until the watermark passes the end of a window, and it only reached {watermark}")
    })
}

/// A watermark that stands still because one of several inputs is silent.
fn held_watermark(subject: &Subject) -> Option<String> {
    let run = &subject.expectation.run;
    let last = run.batches.last()?;
    let width = last.input_rows.len();
    let rows_of = |stream: usize| {
        run.batches
            .iter()
            .filter_map(|batch| batch.input_rows.get(stream))
            .sum::<u64>()
    };
    let silent = (0..width).filter(|stream| rows_of(*stream) == 0).count();
    (width > 1 && silent > 0 && silent < width && last.watermark == Some(0)).then(|| {
        "the watermark never moved: with several inputs it follows the slowest, and one of them sent no row".to_string()
    })
}

/// Options that belong to a source and are given to a sink, or the other way round: Spark ignores them silently.
fn misplaced_options(subject: &Subject) -> Vec<String> {
    let of_sink = subject.job.sink.options.keys().filter(|option| is_of_sources(option));
    let format = subject.job.sink.format.name();
    let mut advice: Vec<String> = of_sink
        .map(|option| format!("`{option}` is an option of a source; given to the {format} sink it changes nothing"))
        .collect();
    for stream in subject.streams {
        let misplaced = stream.options.keys().filter(|option| is_of_sinks(option));
        advice.extend(misplaced.map(|option| {
            format!(
                "`{option}` is an option of a sink; given to the stream `{}` it changes nothing",
                stream.name
            )
        }));
    }
    advice
}

/// Settings of a scenario on which nothing depends.
fn idle_settings(subject: &Subject) -> Vec<String> {
    let names = subject.job.conf.keys().filter(|name| !is_known(name));
    let idle = names.map(|name| format!("setting `{name}` changes nothing here"));
    // A case has the settings Spark was asked with.
    idle.filter(|_| !subject.streams.is_empty()).collect()
}

/// Whether only sources know an option.
pub(crate) fn is_of_sources(option: &str) -> bool {
    SOURCE_OPTIONS.iter().any(|name| name.eq_ignore_ascii_case(option))
}

/// Whether only sinks know an option.
pub(crate) fn is_of_sinks(option: &str) -> bool {
    SINK_OPTIONS.iter().any(|name| name.eq_ignore_ascii_case(option))
}

/// Options only sources know, by Spark's names.
const SOURCE_OPTIONS: &[&str] = &[
    "maxFilesPerTrigger",
    "maxBytesPerTrigger",
    "latestFirst",
    "maxFileAge",
    "fileNameOnly",
    "cleanSource",
    "startingOffsets",
    "endingOffsets",
    "maxOffsetsPerTrigger",
    "failOnDataLoss",
    "inferSchema",
    "mode",
    "columnNameOfCorruptRecord",
    "rowsPerSecond",
];

/// Options only sinks know, by Spark's names.
const SINK_OPTIONS: &[&str] = &[
    "checkpointLocation",
    "truncate",
    "numRows",
    "retention",
    "partitionOverwriteMode",
];
