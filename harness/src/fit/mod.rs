//! Fitting: from a trace to a scenario whose generated streams look like it.
//!
//! [`observe`] reads a stream's rows in order of arrival, and [`moments`] finds when each happened and arrived, and which are
//! copies. From these come the pace ([`pace`]), the lateness by partition ([`lateness`], by one of the [`law`]s) and the
//! values of every column ([`column`]). What a trace cannot tell is left out: rows that were lost, and what rows of one
//! stream have to do with those of another.

mod column;
mod error;
mod lateness;
mod law;
mod minimum;
mod moments;
mod observe;
mod pace;
mod scenario;

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use skirl_generator::{DisorderCard, StreamSpec, generate};

pub use error::{Error, Result};
pub use scenario::scenario_text;

use moments::Moments;
use observe::{Observed, Source};

/// Rows of a stream that are looked at, at most; and those whose values are.
const ROWS_MAX: u64 = 5_000_000;
const SAMPLE_ROWS: usize = 500_000;

/// What to fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FitRequest {
    /// The directory of the trace.
    pub trace: PathBuf,
    /// The columns of streams, instead of those the trace says.
    pub schemas: BTreeMap<String, SchemaRef>,
    /// The column with the event time of streams; else the TIMESTAMP column that follows the order of arrival best.
    pub event_times: BTreeMap<String, String>,
}

/// A stream as it was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// Its name.
    pub name: String,
    /// The look-alike.
    pub spec: StreamSpec,
    /// How far out of order the trace is.
    pub measured: DisorderCard,
    /// What was found, and what could not be carried over, as sentences.
    pub remarks: Vec<String>,
}

/// Fits every stream of a trace.
///
/// # Errors
/// No trace, values that cannot be decoded, a column that is not there.
pub fn fit(request: &FitRequest) -> Result<Vec<Fitted>> {
    let sources = Source::all(request)?;
    sources.iter().map(|source| fit_stream(source, request)).collect()
}

fn fit_stream(source: &Source, request: &FitRequest) -> Result<Fitted> {
    let wanted = request.event_times.get(&source.name).map(String::as_str);
    let observed = Observed::read(source, wanted)?;
    let moments = Moments::find(&observed);
    let mut remarks = observed.remarks();
    let mut spec = StreamSpec::new(skirl_generator::Kind::Custom, moments.rows());
    spec.columns = column::fit(&observed, &moments, &mut remarks);
    if let Some(start) = moments.start() {
        spec.start = start;
        spec.pace = pace::fit(&moments);
    }
    spec.lateness = lateness::fit(&observed, &moments, &mut remarks);
    (spec.batch, spec.batch_rows) = source.cut(&observed, &moments);
    Ok(Fitted {
        name: source.name.clone(),
        spec,
        measured: moments.card(&observed),
        remarks,
    })
}

/// The disorder card of the look-alike of each stream, by generating it.
///
/// # Errors
/// A specification that cannot be generated, which a fitted one always can.
pub fn look_alikes(fitted: &[Fitted], seed: u64) -> Result<Vec<DisorderCard>> {
    let specs: Vec<(String, StreamSpec)> = fitted
        .iter()
        .map(|stream| (stream.name.clone(), stream.spec.clone()))
        .collect();
    let made = generate(&specs, seed)?;
    Ok(made.streams.into_iter().map(|stream| stream.card).collect())
}

/// To four digits: more is not known of what was measured.
fn rounded(number: f64) -> f64 {
    if number == 0.0 || !number.is_finite() {
        return 0.0;
    }
    let factor = 10f64.powi(3 - number.abs().log10().floor() as i32);
    (number * factor).round() / factor
}

#[cfg(test)]
mod tests;
