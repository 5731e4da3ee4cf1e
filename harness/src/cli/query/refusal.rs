//! What the arguments can do about a refusal of Spark's: its own words tell of SQL and of DataFrames, not of options.

use skirl_engine::Error;
use skirl_engine::error::in_full;

use super::{Request, SourceRequest};
use crate::job::OutputMode;
use crate::scenario::suggestion;

/// The refusal, with what to write where that is known.
pub(super) fn explained(error: &Error, request: &Request) -> anyhow::Error {
    let refusal = in_full(error);
    let help = match error.condition() {
        Some("TABLE_OR_VIEW_NOT_FOUND") => other_name(&refusal, request),
        Some("UNRESOLVED_COLUMN.WITH_SUGGESTION") => values_of_topic(request),
        Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION") => watermark_or_mode(request),
        _ => None,
    };
    match help {
        Some(help) => anyhow::anyhow!("{refusal}\nhelp: {help}"),
        None => anyhow::anyhow!("{refusal}"),
    }
}

fn other_name(refusal: &str, request: &Request) -> Option<String> {
    let wanted = refusal.split('`').nth(1)?;
    let streams = request.streams.iter().map(|stream| stream.name.as_str());
    let tables = request.tables.iter().map(|table| table.name.as_str());
    let views = request.views.iter().map(|view| view.name.as_str());
    let known: Vec<&str> = streams.chain(tables).chain(views).collect();
    Some(suggestion(wanted, &known))
}

fn values_of_topic(request: &Request) -> Option<String> {
    let is_raw = |source: &SourceRequest| matches!(source, SourceRequest::Topic(_));
    let mut streams = request.streams.iter();
    let raw = streams.find(|stream| is_raw(&stream.source) && stream.schema.is_none())?;
    Some(format!(
        "`{0}` has Kafka's columns; `--schema {0}='name TYPE, ...'` reads its values as JSON objects",
        raw.name
    ))
}

fn watermark_or_mode(request: &Request) -> Option<String> {
    let streams = request.streams.iter().any(|stream| stream.watermark.is_some());
    let views = request.views.iter().any(|view| view.watermark.is_some());
    let stream = request.streams.first()?;
    match request.output_mode {
        OutputMode::Append if streams || views => Some(
            "group by the column of the watermark, or by a window of it that stays whole, or write `--output-mode update`"
                .to_string(),
        ),
        OutputMode::Append => Some(format!(
            "give a watermark, as in `--watermark {}='timestamp,30 seconds'`, and group by its column or a window of it, \
             or write `--output-mode update`",
            stream.name
        )),
        OutputMode::Update | OutputMode::Complete => None,
    }
}
