//! Whether a scenario's SQL means anything: its views and its query are planned before anything runs.

use std::ops::Range;

use datafusion::logical_expr::LogicalPlan;
use skirl_engine::Error;
use skirl_engine::error::SKIRL_UNSUPPORTED;
use skirl_engine::sql::{Catalog, columns_read, parse_delay_ms};

use super::Scenario;
use super::mistake::{Mistakes, suggestion};
use crate::job::View;
use crate::shape::Shape;

/// Where the SQL of a scenario stands in its file.
pub(super) struct SqlSpans {
    pub views: Vec<ViewSpans>,
    pub query: Range<usize>,
}

/// Where a view's parts stand.
pub(super) struct ViewSpans {
    pub name: Range<usize>,
    pub sql: Range<usize>,
    pub watermark: Option<WatermarkSpans>,
}

/// Where the parts of a view's watermark stand.
pub(super) struct WatermarkSpans {
    pub column: Range<usize>,
    pub delay: Range<usize>,
}

/// The shape of what the scenario's query emits. Spark's refusals of its SQL are noted as mistakes, unless a refusal is
/// what the scenario waits for.
pub(super) fn analyse(scenario: &Scenario, spans: &SqlSpans, mistakes: &Mistakes) -> Option<Shape> {
    let refused = |error: Error, sql: &str, span: &Range<usize>| {
        // What Skirl does not run yet is no mistake of the file.
        if scenario.expect.error.is_none() && error.condition() != Some(SKIRL_UNSUPPORTED) {
            let message = error.to_string();
            let help = match error.condition() {
                Some("TABLE_OR_VIEW_NOT_FOUND") => other_name(scenario, &message),
                _ => None,
            };
            let help = help.unwrap_or_else(|| "correct the SQL, or wait for the refusal in [expect.error]".to_string());
            let place = syntax_error(span, &scenario.text, sql, &error);
            let place = place.unwrap_or_else(|| narrowed(span, &scenario.text, &message));
            mistakes.note_with_help(place, message, help);
        }
    };
    let sql = scenario.query.sql.as_str();
    let mut catalog = Catalog::new(scenario.conf.clone());
    let named = name_inputs(&mut catalog, scenario);
    named.map_err(|error| refused(error, sql, &spans.query)).ok()?;
    for (view, spans) in scenario.views.iter().zip(&spans.views) {
        create(&mut catalog, view)
            .map_err(|error| refused(error, &view.sql, guilty(&mut catalog, view, spans)))
            .ok()?;
    }
    let plan = catalog
        .plan(sql)
        .map_err(|error| refused(error, sql, &spans.query))
        .ok()?;
    note_pruned_malformed(scenario, &plan, &spans.query, mistakes);
    let streams: Vec<String> = scenario.streams.iter().map(|stream| stream.name.clone()).collect();
    Some(Shape::of(&plan, &streams))
}

/// Notes streams of files whose rows depend on the query: Spark finds a row malformed by the columns that are read, and a
/// scenario's files are read before its query is known.
fn note_pruned_malformed(scenario: &Scenario, plan: &LogicalPlan, span: &Range<usize>, mistakes: &Mistakes) {
    let reads = columns_read(plan);
    for stream in &scenario.streams {
        let option = |wanted: &str| {
            let mut options = stream.options.iter();
            let found = options.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.to_ascii_uppercase())
        };
        let strict = option("mode").filter(|mode| mode == "DROPMALFORMED" || mode == "FAILFAST");
        let scans = reads.iter().find(|(name, _)| name.eq_ignore_ascii_case(&stream.name));
        let width = stream.schema.fields().len();
        let prunes = scans.is_some_and(|(_, scans)| scans.iter().any(|scan| scan.of(&stream.schema).len() < width));
        if let (Some(mode), true) = (strict, prunes) {
            let message = format!(
                "stream `{}` is read in mode {mode}, and Spark looks for malformed rows only in the columns the query reads",
                stream.name
            );
            let help = "read every column of the stream, or leave `mode` out and filter the rows in a view";
            mistakes.note_with_help(span.clone(), message, help);
        }
    }
}

/// Where Spark found no SQL any more, if the text of `span` has `sql` as it is; a syntax error says its line and position.
fn syntax_error(span: &Range<usize>, text: &str, sql: &str, error: &Error) -> Option<Range<usize>> {
    if error.condition() != Some("PARSE_SYNTAX_ERROR") {
        return None;
    }
    let message = error.to_string();
    let (near, place) = message.rsplit_once(" (line ")?;
    let (line, position) = place.strip_suffix(')')?.split_once(", pos ")?;
    let lines = sql.split_inclusive('\n').take(line.parse::<usize>().ok()? - 1);
    let at = lines.map(str::len).sum::<usize>() + position.parse::<usize>().ok()?;
    // What is written with escapes stands elsewhere in the file; the whole of it is shown.
    let start = span.start + text.get(span.clone())?.find(sql)? + at;
    let word = near.split_once('\'').map_or(1, |(_, word)| word.len() - 1);
    Some(start..start + word)
}

/// The place of the first name a message quotes, if it stands in the text of `span` once; else the whole span.
fn narrowed(span: &Range<usize>, text: &str, message: &str) -> Range<usize> {
    let name = message.split('`').nth(1).filter(|name| !name.is_empty());
    let (Some(name), Some(sql)) = (name, text.get(span.clone())) else {
        return span.clone();
    };
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut places = sql.match_indices(name).map(|(at, _)| at).filter(|at| {
        let (before, behind) = (&sql[..*at], &sql[at + name.len()..]);
        !before.ends_with(is_part) && !behind.starts_with(is_part)
    });
    match (places.next(), places.next()) {
        (Some(only), None) => span.start + only..span.start + only + name.len(),
        _ => span.clone(),
    }
}

/// What a name that is neither stream nor table nor view may mean.
fn other_name(scenario: &Scenario, message: &str) -> Option<String> {
    let wanted = message.split('`').nth(1)?;
    let streams = scenario.streams.iter().map(|stream| stream.name.as_str());
    let tables = scenario.tables.iter().map(|(name, _)| name.as_str());
    let views = scenario.views.iter().map(|view| view.name.as_str());
    Some(suggestion(
        wanted,
        &streams.chain(tables).chain(views).collect::<Vec<_>>(),
    ))
}

fn name_inputs(catalog: &mut Catalog, scenario: &Scenario) -> skirl_engine::Result<()> {
    for stream in &scenario.streams {
        catalog.add_stream(&stream.name, stream.schema.clone())?;
    }
    scenario
        .tables
        .iter()
        .try_for_each(|(name, rows)| catalog.add_table(name, rows.clone()))
}

fn create(catalog: &mut Catalog, view: &View) -> skirl_engine::Result<()> {
    catalog.create_view(&view.name, &view.sql, view.watermark.as_ref())
}

/// What Spark refuses of a view: its SQL, or the watermark on it.
fn guilty<'a>(catalog: &mut Catalog, view: &View, spans: &'a ViewSpans) -> &'a Range<usize> {
    let sql_is_right = catalog.create_view(&view.name, &view.sql, None).is_ok();
    match (&view.watermark, &spans.watermark) {
        (Some(watermark), Some(spans)) if sql_is_right => match parse_delay_ms(&watermark.delay) {
            Ok(_) => &spans.column,
            Err(_) => &spans.delay,
        },
        _ => &spans.sql,
    }
}
