//! Whether a scenario's SQL means anything: its views and its query are planned before anything runs.

use std::ops::Range;

use skirl_engine::Error;
use skirl_engine::error::SKIRL_UNSUPPORTED;
use skirl_engine::sql::Catalog;

use super::Scenario;
use super::mistake::Mistakes;
use crate::job::View;
use crate::shape::Shape;

/// Where the SQL of a scenario stands in its file.
pub(super) struct SqlSpans {
    pub views: Vec<ViewSpans>,
    pub query: Range<usize>,
}

/// Where a view's parts stand.
pub(super) struct ViewSpans {
    pub sql: Range<usize>,
    pub watermark: Option<Range<usize>>,
}

/// The shape of what the scenario's query emits. Spark's refusals of its SQL are noted as mistakes, unless a refusal is
/// what the scenario waits for.
pub(super) fn analyse(scenario: &Scenario, spans: &SqlSpans, mistakes: &Mistakes) -> Option<Shape> {
    let refused = |error: Error, span: &Range<usize>| {
        // What Skirl does not run yet is no mistake of the file.
        if scenario.expect.error.is_none() && error.condition() != Some(SKIRL_UNSUPPORTED) {
            let help = "correct the SQL, or wait for the refusal in [expect.error]";
            mistakes.note_with_help(span.clone(), error.to_string(), help);
        }
    };
    let mut catalog = Catalog::new(scenario.conf.clone());
    let named = name_inputs(&mut catalog, scenario);
    named.map_err(|error| refused(error, &spans.query)).ok()?;
    for (view, spans) in scenario.views.iter().zip(&spans.views) {
        create(&mut catalog, view)
            .map_err(|error| refused(error, guilty(&mut catalog, view, spans)))
            .ok()?;
    }
    let plan = catalog
        .plan(&scenario.query.sql)
        .map_err(|error| refused(error, &spans.query))
        .ok()?;
    let streams: Vec<String> = scenario.streams.iter().map(|stream| stream.name.clone()).collect();
    Some(Shape::of(&plan, &streams))
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
    spans.watermark.as_ref().filter(|_| sql_is_right).unwrap_or(&spans.sql)
}
