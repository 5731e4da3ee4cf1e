//! What the values of a column are: a distribution or a rule, read from TOML and found sensible.

use serde::Serialize;

use super::ColumnType;
use super::literal::{Literal, literals, step_units};
use crate::distribution::Poisson;
use crate::spec::Table;

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum ColumnModel {
    /// Always the same.
    Constant {
        /// The value.
        value: Literal,
    },
    /// One of a list.
    Choice {
        /// The list.
        values: Vec<Literal>,
        /// How often each, relative to the others; equally often if not given.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        weights: Vec<f64>,
    },
    /// Evenly between two values; both are possible.
    Uniform {
        /// Lowest.
        min: Literal,
        /// Highest.
        max: Literal,
    },
    /// The bell curve.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        deviation: f64,
    },
    /// Counts.
    Poisson {
        /// Mean.
        mean: f64,
    },
    /// Ranks from 1, the low ones far more often: hot keys.
    Zipf {
        /// Highest rank.
        n: u64,
        /// How much more often: rank k comes k^-exponent as often as rank 1.
        exponent: f64,
    },
    /// Counting up by row number.
    Sequence {
        /// Value of row 0.
        start: Literal,
        /// From a row to the next: a number, for timestamps a duration, for dates days.
        step: Literal,
    },
    /// A text made from the row's number by `template`.
    Template,
    /// The event time of the row.
    EventTime,
    /// A value that a row of another stream has.
    Key {
        /// The other stream.
        stream: String,
        /// Its column.
        column: String,
    },
}

pub(super) const MODELS: [&str; 10] = [
    "constant",
    "choice",
    "uniform",
    "normal",
    "poisson",
    "zipf",
    "sequence",
    "template",
    "event-time",
    "key",
];

impl ColumnModel {
    pub(super) fn read(model: &str, kind: ColumnType, table: &mut Table) -> Option<ColumnModel> {
        let none = Literal::Integer(0);
        let model = match model {
            "constant" => ColumnModel::Constant {
                value: table.required("value", "1", none),
            },
            "choice" => ColumnModel::Choice {
                values: table.required("values", "[\"a\", \"b\"]", vec![]),
                weights: table.or("weights", vec![]),
            },
            "uniform" => ColumnModel::Uniform {
                min: table.required("min", "1", none.clone()),
                max: table.required("max", "100", none),
            },
            "normal" => ColumnModel::Normal {
                mean: table.required("mean", "100.0", 0.0),
                deviation: table.required("deviation", "15.0", 1.0),
            },
            "poisson" => ColumnModel::Poisson {
                mean: table.required("mean", "3.0", 1.0),
            },
            "zipf" => ColumnModel::Zipf {
                n: table.required("n", "1000", 1),
                exponent: table.or("exponent", 1.0),
            },
            "sequence" => ColumnModel::Sequence {
                start: table.or("start", Literal::Integer(0)),
                step: table.or("step", Literal::Integer(1)),
            },
            "template" => ColumnModel::Template,
            "event-time" => ColumnModel::EventTime,
            "key" => ColumnModel::Key {
                stream: table.required("stream", "\"scotsmen\"", String::new()),
                column: table.required("column", "\"district\"", String::new()),
            },
            _ => return None,
        };
        model.demand_sense(kind, table);
        Some(model)
    }

    fn demand_sense(&self, kind: ColumnType, table: &mut Table) {
        match self {
            ColumnModel::Constant { value } => {
                if let (true, Err(message)) = (table.has("value"), literals(std::slice::from_ref(value), kind)) {
                    table.wrong("value", message);
                }
            }
            ColumnModel::Choice { values, weights } => {
                if let Err(message) = literals(values, kind) {
                    table.wrong("values", message);
                }
                table.demand(!values.is_empty() || !table.has("values"), "values", || {
                    "`values` is empty; there is nothing to choose from".into()
                });
                let fine = weights.is_empty()
                    || (weights.len() == values.len()
                        && weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
                        && weights.iter().sum::<f64>() > 0.0);
                table.demand(fine, "weights", || {
                    format!("`weights` needs {} numbers from 0 up that are not all 0", values.len())
                });
            }
            ColumnModel::Uniform { min, max } if table.has("min") && table.has("max") => {
                match (min.position(kind), max.position(kind)) {
                    (Err(message), _) => table.wrong("min", message),
                    (_, Err(message)) => table.wrong("max", message),
                    (Ok(low), Ok(high)) => {
                        table.demand(low <= high, "max", || format!("`max` = {max} is below `min` = {min}"));
                    }
                }
            }
            ColumnModel::Sequence { start, step } => {
                let start_message = table.has("start").then(|| start.position(kind).err()).flatten();
                if let Some(message) = start_message {
                    table.wrong("start", message);
                }
                let written = table.has("start") || !matches!(kind, ColumnType::Timestamp | ColumnType::Date);
                table.demand(written, "start", || {
                    format!("a sequence of type {kind} needs a `start`")
                });
                if let Err(message) = step_units(step, kind) {
                    table.wrong("step", message);
                }
            }
            ColumnModel::Normal { mean, deviation } => {
                let fine = mean.is_finite() && deviation.is_finite() && *deviation >= 0.0;
                table.demand(fine, "deviation", || {
                    format!("`deviation` is a number from 0 up, found {deviation}")
                });
            }
            ColumnModel::Poisson { mean } => {
                let most = Poisson::MEAN_MAX;
                table.demand(*mean > 0.0 && *mean <= most, "mean", || {
                    format!("the mean of a Poisson distribution lies above 0 and up to {most}, found {mean}")
                });
            }
            ColumnModel::Zipf { n, exponent } => {
                table.demand(*n > 0, "n", || "`n` must be at least 1".into());
                table.demand(*exponent > 0.0 && *exponent <= 20.0, "exponent", || {
                    format!("`exponent` lies above 0 and up to 20, found {exponent}")
                });
            }
            _ => {}
        }
    }
}
