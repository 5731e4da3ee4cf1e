//! A column at work: from a row's number to its value.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray, StringBuilder, UInt32Array};
use arrow::compute::{nullif, take};

use super::literal::{Literal, literals, of_units, step_units};
use super::template::Part;
use super::{ColumnModel, ColumnSpec, ColumnType};
use crate::distribution::{Alias, Poisson, Zipf, normal_quantile};
use crate::error::{Error, Result};
use crate::seed::{Seed, unit};
use crate::spec::{Kind, StreamSpec, listed};
use crate::stream::{StreamKind, build_within, timestamps};

/// A column with the source of its values.
#[derive(Debug)]
pub(super) struct Column {
    pub kind: ColumnType,
    pub source: Source,
    pub template: Option<Vec<Part>>,
    pub nulls: f64,
    pub seed: Seed,
}

/// Where a column's values come from, with its tables made.
#[derive(Debug)]
pub(super) enum Source {
    Choice {
        values: ArrayRef,
        alias: Alias,
    },
    UniformUnits {
        min: i64,
        span: u64,
    },
    UniformReal {
        min: f64,
        length: f64,
    },
    Normal {
        mean: f64,
        deviation: f64,
    },
    Poisson(Poisson),
    Zipf(Zipf),
    SequenceUnits {
        start: i64,
        step: i64,
    },
    SequenceReal {
        start: f64,
        step: f64,
    },
    Row,
    EventTime,
    Key {
        stream: Arc<dyn StreamKind>,
        column: usize,
        rows: u64,
    },
}

/// Numbers on their way to a column.
enum Numbers {
    /// In units of the column.
    Units(Vec<i64>),
    /// Whole numbers as such.
    Whole(Vec<i64>),
    Real(Vec<f64>),
}

/// A mistake in this column, or one in the stream it draws from.
pub(super) enum SourceError {
    Here(String),
    There(Error),
}

impl From<String> for SourceError {
    fn from(message: String) -> SourceError {
        SourceError::Here(message)
    }
}

impl Source {
    pub(super) fn new(
        column: &ColumnSpec,
        specs: &[(String, StreamSpec)],
        seed: &Seed,
        path: &mut Vec<String>,
    ) -> std::result::Result<Source, SourceError> {
        let kind = column.kind;
        Ok(match &column.model {
            ColumnModel::Constant { value } => Source::choice(std::slice::from_ref(value), &[], kind)?,
            ColumnModel::Choice { values, weights } => Source::choice(values, weights, kind)?,
            ColumnModel::Uniform { min, max } if kind == ColumnType::Double => {
                let (min, max) = (min.number(kind)?, max.number(kind)?);
                Source::UniformReal { min, length: max - min }
            }
            ColumnModel::Uniform { min, max } => {
                let (min, max) = (min.units(kind)?, max.units(kind)?);
                Source::UniformUnits {
                    min,
                    span: max.wrapping_sub(min) as u64,
                }
            }
            ColumnModel::Normal { mean, deviation } => Source::Normal {
                mean: *mean,
                deviation: *deviation,
            },
            ColumnModel::Poisson { mean } => Source::Poisson(Poisson::new(*mean)),
            ColumnModel::Zipf { n, exponent } => Source::Zipf(Zipf::new(*n, *exponent)),
            ColumnModel::Sequence { start, step } if kind == ColumnType::Double => Source::SequenceReal {
                start: start.number(kind)?,
                step: step.number(kind)?,
            },
            ColumnModel::Sequence { start, step } => Source::SequenceUnits {
                start: start.units(kind)?,
                step: step_units(step, kind)?,
            },
            ColumnModel::Template => Source::Row,
            ColumnModel::EventTime => Source::EventTime,
            ColumnModel::Key { stream, column: key } => Source::key(stream, key, kind, specs, seed, path)?,
        })
    }

    fn choice(values: &[Literal], weights: &[f64], kind: ColumnType) -> std::result::Result<Source, String> {
        let even = vec![1.0; values.len()];
        let alias = Alias::new(if weights.is_empty() { &even } else { weights });
        Ok(Source::Choice {
            values: literals(values, kind)?,
            alias,
        })
    }

    fn key(
        stream: &str,
        column: &str,
        kind: ColumnType,
        specs: &[(String, StreamSpec)],
        seed: &Seed,
        path: &mut Vec<String>,
    ) -> std::result::Result<Source, SourceError> {
        let Some((_, spec)) = specs.iter().find(|(name, _)| name == stream) else {
            let names: Vec<&str> = specs.iter().map(|(name, _)| name.as_str()).collect();
            return Err(format!(
                "keys come from stream `{stream}`, but there are only {}",
                listed(&names)
            )
            .into());
        };
        if spec.kind == Kind::Weather || spec.rows == 0 {
            return Err(format!("no keys can be drawn from `{stream}`: it is weather, or has no rows").into());
        }
        let source = build_within(stream, specs, seed, path).map_err(SourceError::There)?;
        let schema = source.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let Some(index) = names.iter().position(|name| *name == column) else {
            return Err(format!("stream `{stream}` has no column `{column}`; it has {}", listed(&names)).into());
        };
        if source.time_column() == Some(index) {
            return Err(format!("`{column}` of `{stream}` is its event time and cannot be a key").into());
        }
        if *schema.field(index).data_type() != kind.arrow() {
            return Err(format!("`{column}` of `{stream}` has another type than {kind}; use the same").into());
        }
        Ok(Source::Key {
            stream: source,
            column: index,
            rows: spec.rows,
        })
    }
}

impl Column {
    pub(super) fn values(&self, rows: &[u64], event_times: &[i64]) -> Result<ArrayRef> {
        let mut draws = self.seed.draws("value");
        let numbers = match &self.source {
            Source::EventTime => return Ok(timestamps(event_times)),
            Source::Choice { values, alias } => {
                let indices: UInt32Array = rows.iter().map(|&row| alias.pick(draws.at(row)) as u32).collect();
                return Ok(take(values, &indices, None)?);
            }
            Source::Key {
                stream,
                column,
                rows: others,
            } => {
                let others = rows
                    .iter()
                    .map(|&row| ((u128::from(draws.at(row)) * u128::from(*others)) >> 64) as u64);
                return keys(stream.as_ref(), *column, &others.collect::<Vec<_>>());
            }
            Source::UniformUnits { min, span } => Numbers::Units(
                rows.iter()
                    .map(|&row| {
                        let away = (u128::from(draws.at(row)) * (u128::from(*span) + 1)) >> 64;
                        min.wrapping_add(away as i64)
                    })
                    .collect(),
            ),
            Source::UniformReal { min, length } => {
                Numbers::Real(rows.iter().map(|&row| min + draws.unit_at(row) * length).collect())
            }
            Source::Normal { mean, deviation } => Numbers::Real(
                rows.iter()
                    .map(|&row| mean + deviation * normal_quantile(draws.unit_at(row)))
                    .collect(),
            ),
            Source::Poisson(poisson) => {
                Numbers::Whole(rows.iter().map(|&row| poisson.count(draws.at(row)) as i64).collect())
            }
            Source::Zipf(zipf) => {
                let mut rank = |row| zipf.rank(|attempt| unit(draws.turn_at(row, attempt))) as i64;
                Numbers::Whole(rows.iter().map(|&row| rank(row)).collect())
            }
            Source::SequenceUnits { start, step } => Numbers::Units(
                rows.iter()
                    .map(|&row| start.saturating_add(step.saturating_mul(row as i64)))
                    .collect(),
            ),
            Source::SequenceReal { start, step } => {
                Numbers::Real(rows.iter().map(|&row| start + step * row as f64).collect())
            }
            Source::Row => Numbers::Whole(rows.iter().map(|&row| row as i64).collect()),
        };
        Ok(self.array(numbers, rows))
    }

    fn array(&self, numbers: Numbers, rows: &[u64]) -> ArrayRef {
        match (self.kind, numbers) {
            (ColumnType::String, numbers) => Arc::new(self.texts(&numbers, rows)),
            (ColumnType::Double, Numbers::Real(reals)) => Arc::new(Float64Array::from(reals)),
            (ColumnType::Double, Numbers::Units(whole) | Numbers::Whole(whole)) => Arc::new(Float64Array::from(
                whole.into_iter().map(|n| n as f64).collect::<Vec<_>>(),
            )),
            (kind, Numbers::Units(units)) => of_units(units, kind),
            (kind, Numbers::Whole(whole)) => {
                let unit = unit_of(kind);
                of_units(whole.into_iter().map(|n| n.saturating_mul(unit)).collect(), kind)
            }
            (kind, Numbers::Real(reals)) => {
                let unit = unit_of(kind) as f64;
                of_units(reals.into_iter().map(|n| libm::round(n * unit) as i64).collect(), kind)
            }
        }
    }

    fn texts(&self, numbers: &Numbers, rows: &[u64]) -> StringArray {
        let plain = [Part::Value];
        let template = self.template.as_deref().unwrap_or(&plain);
        let bytes = template.iter().map(Part::usual_bytes).sum::<usize>();
        let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * bytes);
        let (mut row_digits, mut digits, mut decimal) = (itoa::Buffer::new(), itoa::Buffer::new(), zmij::Buffer::new());
        for (index, &row) in rows.iter().enumerate() {
            let row = row_digits.format(row);
            let value = match numbers {
                Numbers::Units(whole) | Numbers::Whole(whole) => digits.format(whole[index]),
                Numbers::Real(reals) => decimal.format(reals[index]),
            };
            for part in template {
                let text = match part {
                    Part::Text(text) => text,
                    Part::Row => row,
                    Part::Value => value,
                };
                builder.write_str(text).expect("a builder takes every text");
            }
            // Ends the value that was written.
            builder.append_value("");
        }
        builder.finish()
    }

    pub(super) fn with_nulls(&self, values: ArrayRef, rows: &[u64]) -> Result<ArrayRef> {
        if self.nulls == 0.0 {
            return Ok(values);
        }
        let mut draws = self.seed.draws("nulls");
        let nulls: BooleanArray = rows.iter().map(|&row| Some(draws.unit_at(row) < self.nulls)).collect();
        Ok(nullif(&values, &nulls)?)
    }
}

/// What the whole number 1 is in units of the column.
fn unit_of(kind: ColumnType) -> i64 {
    match kind {
        ColumnType::Decimal(_, scale) => 10i64.pow(scale as u32),
        _ => 1,
    }
}

/// Values of another stream's column in these of its rows, in this order.
fn keys(stream: &dyn StreamKind, column: usize, rows: &[u64]) -> Result<ArrayRef> {
    let mut sorted = rows.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let batch = stream.rows(&sorted, &vec![0; sorted.len()])?;
    let place = |row: &u64| {
        sorted
            .binary_search(row)
            .expect("every row asked for is in the sorted list") as u32
    };
    let indices: UInt32Array = rows.iter().map(place).collect();
    Ok(take(batch.column(column), &indices, None)?)
}
