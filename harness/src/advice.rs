//! Advice on a query: what runs as Spark runs it, and still is not what its author may think.
//!
//! To add a piece of advice, write a function from [`Subject`] to sentences and add it to [`advise`].

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Join, LogicalPlan};
use skirl_engine::sql::{StreamTable, WatermarkNode};

use crate::job::{Job, OutputMode, SinkFormat};
use crate::oracle::{Admission, Expectation};
use crate::rows::shown_watermark;
use crate::scenario::Stream;
use crate::shape::origins;

/// What advice is about.
pub struct Subject<'a> {
    /// What was run.
    pub job: &'a Job,
    /// The query's unoptimised plan, if it can be planned.
    pub plan: Option<&'a LogicalPlan>,
    /// What the oracle derived.
    pub expectation: &'a Expectation,
    /// The scenario's streams; empty for a case.
    pub streams: &'a [Stream],
}

/// Every piece of advice, a sentence each.
pub fn advise(subject: &Subject) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(plan) = subject.plan.filter(|_| subject.expectation.run.error.is_none()) {
        advice.extend(idle_watermarks(subject, plan));
        advice.extend(lasting_state(subject, plan));
        advice.extend(silent_append(subject, plan));
    }
    advice.extend(held_watermark(subject));
    advice.extend(misplaced_options(subject));
    advice
}

/// A watermark that drops nothing.
fn idle_watermarks(subject: &Subject, plan: &LogicalPlan) -> Vec<String> {
    let watermarks: Vec<&WatermarkNode> = nodes(plan).into_iter().filter_map(watermark_of).collect();
    let accepted = subject.expectation.ledger.iter().filter(|fate| matches!(fate.admission, Admission::LateAccepted)).count();
    let words = |watermark: &WatermarkNode, why: &str| {
        format!("the watermark of {} on `{}` drops nothing: {why}", duration(watermark.delay_ms), watermark.column.name)
    };
    if subject.job.output_mode == OutputMode::Complete {
        let why = format!(
            "complete mode counts every row however late ({accepted} late rows here); append and update do drop"
        );
        return watermarks.into_iter().map(|watermark| words(watermark, &why)).collect();
    }
    if !nodes(plan).into_iter().any(is_stateful) {
        let why = "the query keeps no state, and only state is closed by a watermark";
        return watermarks.into_iter().map(|watermark| words(watermark, why)).collect();
    }
    Vec::new()
}

/// State that never goes.
fn lasting_state(subject: &Subject, plan: &LogicalPlan) -> Vec<String> {
    let streams: Vec<String> = subject.job.streams.iter().map(|(name, _)| name.clone()).collect();
    let complete = subject.job.output_mode == OutputMode::Complete;
    let of_node = |node: &LogicalPlan| match node {
        LogicalPlan::Aggregate(aggregate) if reads_stream(node) => lasting_groups(aggregate, complete, &streams),
        LogicalPlan::Join(join) if reads_stream(&join.left) && reads_stream(&join.right) => lasting_rows(join, &streams),
        _ => None,
    };
    nodes(plan).into_iter().filter_map(of_node).collect()
}

fn lasting_groups(aggregate: &Aggregate, complete: bool, streams: &[String]) -> Option<String> {
    let keys: Vec<String> = aggregate.group_expr.iter().map(|key| key.schema_name().to_string()).collect();
    if keys.is_empty() {
        return None;
    }
    let keys = keys.join(", ");
    if complete {
        return Some(format!("state never goes: complete mode keeps a row for every group of ({keys}) forever"));
    }
    let output = origins(&LogicalPlan::Aggregate(aggregate.clone()), streams);
    let closes = output.iter().take(aggregate.group_expr.len()).any(|origin| origin.event_time);
    (!closes).then(|| {
        format!("state never goes: no key of the aggregation by ({keys}) is an event time with a watermark, so Spark keeps every group forever")
    })
}

fn lasting_rows(join: &Join, streams: &[String]) -> Option<String> {
    let columns = origins(&LogicalPlan::Join(join.clone()), streams);
    let schema = &join.schema;
    let is_time = |column: &datafusion::common::Column| schema.index_of_column(column).is_ok_and(|n| columns[n].event_time);
    let in_keys = join.on.iter().any(|(a, b)| a.column_refs().into_iter().chain(b.column_refs()).any(is_time));
    let in_range = join.filter.as_ref().is_some_and(|filter| filter.column_refs().into_iter().any(is_time));
    (!in_keys && !in_range).then(|| {
        "state never goes: the join compares no event time that has a watermark, so Spark keeps every row of both sides forever"
            .to_string()
    })
}

/// Append mode that emitted nothing, because no window ever closed.
fn silent_append(subject: &Subject, plan: &LogicalPlan) -> Option<String> {
    let run = &subject.expectation.run;
    let read: u64 = run.batches.iter().flat_map(|batch| &batch.input_rows).sum();
    let silent = run.batches.iter().all(|batch| batch.rows.num_rows() == 0);
    let waits = subject.job.output_mode == OutputMode::Append && nodes(plan).into_iter().any(is_aggregate);
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
    let rows_of = |stream: usize| run.batches.iter().filter_map(|batch| batch.input_rows.get(stream)).sum::<u64>();
    let silent = (0..width).filter(|stream| rows_of(*stream) == 0).count();
    (width > 1 && silent > 0 && silent < width && last.watermark == Some(0)).then(|| {
        "the watermark never moved: with several inputs it follows the slowest, and one of them sent no row".to_string()
    })
}

/// Options that belong to a source and are given to a sink, or the other way round: Spark ignores them silently.
fn misplaced_options(subject: &Subject) -> Vec<String> {
    let belongs = |option: &str, known: &[&str]| known.iter().any(|name| name.eq_ignore_ascii_case(option));
    let of_sink = subject.job.sink.options.keys().filter(|option| belongs(option, SOURCE_OPTIONS));
    let format = SinkFormat::ALL.iter().find(|(_, format)| *format == subject.job.sink.format).map_or("", |(name, _)| name);
    let mut advice: Vec<String> = of_sink
        .map(|option| format!("`{option}` is an option of a source; given to the {format} sink it changes nothing"))
        .collect();
    for stream in subject.streams {
        let misplaced = stream.options.keys().filter(|option| belongs(option, SINK_OPTIONS));
        advice.extend(misplaced.map(|option| {
            format!("`{option}` is an option of a sink; given to the stream `{}` it changes nothing", stream.name)
        }));
    }
    advice
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
const SINK_OPTIONS: &[&str] = &["checkpointLocation", "truncate", "numRows", "retention", "partitionOverwriteMode"];

/// Every node of a plan, topmost first.
fn nodes(plan: &LogicalPlan) -> Vec<&LogicalPlan> {
    let mut nodes = vec![plan];
    for input in plan.inputs() {
        nodes.extend(self::nodes(input));
    }
    nodes
}

fn watermark_of(plan: &LogicalPlan) -> Option<&WatermarkNode> {
    match plan {
        LogicalPlan::Extension(extension) => extension.node.as_ref().as_any().downcast_ref(),
        _ => None,
    }
}

fn is_aggregate(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Aggregate(_))
}

fn is_stateful(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => reads_stream(plan),
        LogicalPlan::Join(join) => reads_stream(&join.left) && reads_stream(&join.right),
        _ => false,
    }
}

fn reads_stream(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visit = |node: &LogicalPlan| {
        found |= StreamTable::of(node).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    plan.apply(visit).expect("looking at nodes cannot fail");
    found
}

/// `30 seconds` of milliseconds.
fn duration(ms: i64) -> String {
    let units = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond")];
    let (size, unit) = units.into_iter().find(|(size, _)| ms % size == 0 && ms >= *size).unwrap_or((1, "millisecond"));
    let number = ms / size;
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
