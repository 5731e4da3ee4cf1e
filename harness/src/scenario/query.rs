//! What is asked of the streams, and how it is driven: `[query]`, `[[views]]`, `feed`, `trigger`, `clock`, `[sink]`.

use std::ops::Range;
use std::time::Duration;

use skirl_engine::sql::WatermarkSpec;
use toml::Spanned;
use toml::de::DeValue;

use super::analysis::{ViewSpans, WatermarkSpans};
use super::duration::{parse_duration_ms, parse_time_ms};
use super::options::Given;
use super::section::Section;
use crate::job::{BatchClock, DropDuplicates, Feed, OutputMode, Sink, SinkFormat, Trigger, View};

/// The query of a scenario.
#[derive(Debug, Clone)]
pub struct Query {
    /// The name it runs under; a memory sink's table has it.
    pub name: Option<String>,
    /// Spark's SQL.
    pub sql: String,
    /// Append unless said otherwise.
    pub output_mode: OutputMode,
}

/// Reads `[query]`; with the place of its SQL.
pub(super) fn read(root: &mut Section) -> Option<(Query, Range<usize>)> {
    if !root.has("query") {
        root.missing("query", "{ sql = \"SELECT * FROM scotsmen\" }");
    }
    let mut section = root.section("query")?;
    let name = section.text("name").map(Spanned::into_inner);
    let sql = section.required_text("sql", "\"SELECT * FROM scotsmen\"");
    let modes = [OutputMode::Append, OutputMode::Update, OutputMode::Complete].map(|mode| (mode.name(), mode));
    let output_mode = section.choice("output_mode", &modes).unwrap_or(OutputMode::Append);
    section.finish();
    let sql = sql?;
    let span = sql.span();
    Some((
        Query {
            name,
            sql: sql.into_inner(),
            output_mode,
        },
        span,
    ))
}

/// Reads `[[views]]`; with the places of their SQL. A refusal may be what a scenario waits for, then a negative delay
/// is no mistake.
pub(super) fn read_views(root: &mut Section, refusal_expected: bool) -> (Vec<View>, Vec<ViewSpans>) {
    root.sections("views")
        .into_iter()
        .filter_map(|section| read_view(section, refusal_expected))
        .unzip()
}

fn read_view(mut section: Section, refusal_expected: bool) -> Option<(View, ViewSpans)> {
    let name = section.required_text("name", "\"conversions\"");
    let sql = section.required_text("sql", "\"SELECT * FROM scotsmen\"");
    let watermark = section.section("watermark");
    let watermark = watermark.and_then(|section| read_watermark(section, refusal_expected));
    let (watermark, watermark_spans) = watermark.unzip();
    let within_watermark = section.boolean("within_watermark");
    let drop_duplicates = section.list("drop_duplicates").map(|columns| DropDuplicates {
        columns: columns
            .into_iter()
            .filter_map(|column| text_of(&section, column))
            .collect(),
        within_watermark: within_watermark.unwrap_or(false),
    });
    section.finish();
    let (name, sql) = (name?, sql?);
    let spans = ViewSpans {
        name: name.span(),
        sql: sql.span(),
        watermark: watermark_spans,
    };
    Some((
        View {
            name: name.into_inner(),
            sql: sql.into_inner(),
            watermark,
            drop_duplicates,
        },
        spans,
    ))
}

fn read_watermark(mut section: Section, refusal_expected: bool) -> Option<(WatermarkSpec, WatermarkSpans)> {
    let column = section.required_text("column", "\"timestamp\"");
    let delay = section.required_text("delay", "\"30 seconds\"");
    if let Some(delay) = &delay
        && delay.get_ref().trim_start().starts_with('-')
        && !refusal_expected
    {
        let message = format!(
            "the delay of a watermark is `{}`; it must not be negative",
            delay.get_ref()
        );
        let help = "write `delay = \"30 seconds\"`, or wait for Spark's refusal in [expect.error]";
        section.mistakes.note_with_help(delay.span(), message, help);
    }
    section.finish();
    let (column, delay) = (column?, delay?);
    let spans = WatermarkSpans {
        column: column.span(),
        delay: delay.span(),
    };
    let watermark = WatermarkSpec {
        column: column.into_inner(),
        delay: delay.into_inner(),
    };
    Some((watermark, spans))
}

fn text_of(section: &Section, value: Spanned<DeValue>) -> Option<String> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(text) => Some(text.into_owned()),
        _ => {
            section.mistakes.note(span, "the name of a column is text in quotes");
            None
        }
    }
}

/// Reads `feed` and `restart_before`.
pub(super) fn read_feed(root: &mut Section) -> Feed {
    let feed = root.choice("feed", &[("backlog", false), ("drip", true)]);
    let restarts = root.take("restart_before");
    let Some(restarts) = restarts else {
        return if feed == Some(true) { Feed::Drip } else { Feed::Backlog };
    };
    let span = restarts.span();
    if feed == Some(true) {
        let help = "remove one of the two: a drip feed restarts before every micro-batch";
        root.mistakes.note_with_help(
            span.clone(),
            "`restart_before` and `feed = \"drip\"` contradict each other",
            help,
        );
    }
    match positions_of(restarts.into_inner()) {
        Some(positions) => Feed::RestartBefore(positions),
        None => {
            let message = "`restart_before` is no ascending list of micro-batches";
            root.mistakes.note_with_help(
                span,
                message,
                "write `restart_before = [3, 5]`; the first micro-batch is 0",
            );
            Feed::Backlog
        }
    }
}

fn positions_of(value: DeValue) -> Option<Vec<usize>> {
    let DeValue::Array(items) = value else { return None };
    let number = |item: Spanned<DeValue>| match item.into_inner() {
        DeValue::Integer(number) => number.to_string().parse().ok().filter(|n| *n > 0),
        _ => None,
    };
    let positions: Vec<usize> = items.into_iter().map(number).collect::<Option<_>>()?;
    positions.is_sorted_by(|a, b| a < b).then_some(positions)
}

/// Reads `trigger`.
pub(super) fn read_trigger(root: &mut Section) -> Trigger {
    let Some(text) = root.text("trigger") else {
        return Trigger::AvailableNow;
    };
    match text.get_ref().as_str() {
        "available-now" => Trigger::AvailableNow,
        "once" => Trigger::Once,
        interval => match parse_duration_ms(interval) {
            Some(ms) => Trigger::ProcessingTime(Duration::from_millis(ms.unsigned_abs())),
            None => {
                let message = format!("`{interval}` is no trigger");
                let help = "write \"available-now\", \"once\" or an interval: \"10 seconds\"";
                root.mistakes.note_with_help(text.span(), message, help);
                Trigger::AvailableNow
            }
        },
    }
}

/// Reads `clock`. A trigger with an interval is a clock that steps by it, from tick to tick.
pub(super) fn read_clock(root: &mut Section, trigger: Trigger) -> BatchClock {
    let interval_ms = match trigger {
        Trigger::ProcessingTime(interval) => i64::try_from(interval.as_millis()).ok(),
        Trigger::AvailableNow | Trigger::Once => None,
    };
    let mut clock = BatchClock::default();
    if let Some(ms) = interval_ms {
        clock.step_ms = ms;
        clock.start_ms -= between_ticks(clock.start_ms, ms);
    }
    let Some(mut section) = root.section("clock") else {
        return clock;
    };
    if let Some(start) = section.parsed("start", parse_time_ms, "time", "2024-12-03T10:00:00Z") {
        clock.start_ms = *start.get_ref();
        if interval_ms.is_some_and(|ms| between_ticks(clock.start_ms, ms) != 0) {
            let help = "start it at a multiple of the interval, where its batches run";
            section
                .mistakes
                .note_with_help(start.span(), "the clock starts between two ticks of the trigger", help);
        }
    }
    if let Some(step) = section.parsed("step", parse_duration_ms, "duration", "10 seconds") {
        clock.step_ms = *step.get_ref();
        if interval_ms.is_some_and(|ms| ms != clock.step_ms) {
            let help = "remove `step`: batches run at the ticks of the trigger";
            section
                .mistakes
                .note_with_help(step.span(), "the clock steps by another span than the trigger", help);
        }
    }
    section.finish();
    clock
}

/// How long after a tick of an interval a time is, in milliseconds.
fn between_ticks(time_ms: i64, interval_ms: i64) -> i64 {
    time_ms.rem_euclid(interval_ms.max(1))
}

/// Reads `[sink]`. A memory sink's table has the query's name. A refusal may be what a scenario waits for, then a
/// sink may lack what it needs.
pub(super) fn read_sink(root: &mut Section, query: Option<&Query>, feed: &Feed, refusal_expected: bool) -> Sink {
    let name = query.and_then(|query| query.name.clone());
    let Some(mut section) = root.section("sink") else {
        // Who names the query of a scenario wants to ask its table.
        let format = match name {
            Some(_) => SinkFormat::Memory,
            None => SinkFormat::ForeachBatch,
        };
        return Sink {
            format,
            name,
            ..Sink::default()
        };
    };
    if !section.has("format") {
        section.missing("format", "\"memory\"");
    }
    let format = section.choice("format", SinkFormat::ALL).unwrap_or_default();
    let checkpoint = section.boolean("checkpoint").unwrap_or(true);
    let given = Given::take(&mut section);
    given.note_unwritten(format);
    if *feed != Feed::Backlog && !checkpoint {
        let message = "a restart goes on from a checkpoint, and this query is given none";
        section
            .mistakes
            .note_with_help(section.span.clone(), message, "remove `checkpoint = false`");
    }
    if !refusal_expected {
        note_what_is_lacking(&section, format, name.is_some(), checkpoint);
    }
    section.finish();
    Sink {
        format,
        name,
        options: given.values(),
        checkpoint,
    }
}

fn note_what_is_lacking(section: &Section, format: SinkFormat, named: bool, checkpoint: bool) {
    if format == SinkFormat::Memory && !named {
        let message = "a memory sink needs a query name: its table has it";
        let help = "add `name = \"totals\"` to [query], or wait for Spark's refusal in [expect.error]";
        section.mistakes.note_with_help(section.span.clone(), message, help);
    }
    if format.is_files() && !checkpoint {
        let message = format!("a {} sink needs a checkpoint", format.name());
        let help = "remove `checkpoint = false`, or wait for Spark's refusal in [expect.error]";
        section.mistakes.note_with_help(section.span.clone(), message, help);
    }
}
