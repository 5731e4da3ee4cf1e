//! Queries on the memory table a query fills: what a notebook asks while the stream runs.

use toml::Spanned;
use toml::de::DeValue;

use super::duration::parse_time_ms;
use super::section::Section;
use crate::job::{Sink, SinkFormat};
use crate::replay::Question;

/// A batch query on the memory table.
#[derive(Debug, Clone)]
pub struct FollowUp {
    /// What is asked, and when.
    pub question: Question,
    /// The answer, as JSON values; `None`: what the oracle's table gives.
    pub rows: Option<Vec<serde_json::Value>>,
}

/// Reads `[[follow_up]]`.
pub(super) fn read_all(root: &mut Section, sink: &Sink) -> Vec<FollowUp> {
    let sections = root.sections("follow_up");
    if let Some(section) = sections.first()
        && sink.format != SinkFormat::Memory
    {
        let message = "a follow-up asks a memory table, and this query fills none";
        section
            .mistakes
            .note_with_help(section.span.clone(), message, "add `name = \"totals\"` to [query]");
    }
    sections.into_iter().filter_map(read).collect()
}

fn read(mut section: Section) -> Option<FollowUp> {
    let sql = section.required_text("sql", "\"SELECT count(*) FROM totals\"");
    let after_batch = section
        .integer("after_batch")
        .and_then(|number| match u64::try_from(*number.get_ref()) {
            Ok(batch_id) => Some(batch_id),
            Err(_) => {
                section.mistakes.note(number.span(), "batch ids start at 0");
                None
            }
        });
    let now_ms = section
        .parsed("now", parse_time_ms, "time", "2024-12-03T10:00:00Z")
        .map(Spanned::into_inner);
    let rows = section
        .list("rows")
        .map(|rows| rows.into_iter().map(|row| json_of(row.into_inner())).collect());
    section.finish();
    Some(FollowUp {
        question: Question {
            sql: sql?.into_inner(),
            after_batch,
            now_ms,
        },
        rows,
    })
}

/// A TOML value as the JSON a result is written in; an empty list is NULL.
fn json_of(value: DeValue) -> serde_json::Value {
    match value {
        DeValue::String(text) => text.into_owned().into(),
        DeValue::Integer(number) => number
            .to_string()
            .parse::<i64>()
            .map_or(serde_json::Value::Null, Into::into),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(serde_json::Value::Null, Into::into),
        DeValue::Boolean(truth) => truth.into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(items) if items.is_empty() => serde_json::Value::Null,
        DeValue::Array(items) => items.into_iter().map(Spanned::into_inner).map(json_of).collect(),
        DeValue::Table(_) => serde_json::Value::Null,
    }
}
