//! Streams whose columns a user describes.
//!
//! A column has a type and a model (a distribution or a rule). To add a model, give it a variant in [`ColumnModel`], a
//! line in its `read`, and one in [`Source::new`].

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray, StringBuilder, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{nullif, take};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde::{Serialize, Serializer};
use toml::Spanned;

use super::{StreamKind, build_within, timestamp_type, timestamps};
use crate::distribution::{Alias, Poisson, Zipf, normal_quantile};
use crate::error::{Error, Result};
use crate::seed::{Seed, unit};
use crate::spec::{
    Kind, Micros, Node, Read, Share, SpecError, StreamSpec, Table, Time, listed, parse_date, suggestion,
};

/// A column of a custom stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type, by Spark's name.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// What its values are.
    #[serde(flatten)]
    pub model: ColumnModel,
    /// For texts: how a drawn number becomes one, as in `"user-{value}"`; `{row}` is the row's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Rows that have NULL instead.
    #[serde(skip_serializing_if = "is_none_null")]
    pub nulls: Share,
}

fn is_none_null(share: &Share) -> bool {
    share.0 == 0.0
}

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Text.
    String,
    /// 32 bits.
    Int,
    /// 64 bits.
    Bigint,
    /// Floating point.
    Double,
    /// True or false.
    Boolean,
    /// An instant, in microseconds.
    Timestamp,
    /// A day.
    Date,
    /// Precision and scale.
    Decimal(u8, i8),
}

impl ColumnType {
    const NAMES: [&'static str; 8] = [
        "string",
        "int",
        "bigint",
        "double",
        "boolean",
        "timestamp",
        "date",
        "decimal(p,s)",
    ];

    /// The type of this name, such as `bigint` or `decimal(10,2)`.
    ///
    /// # Errors
    /// A sentence that lists the types.
    pub fn parse(text: &str) -> std::result::Result<ColumnType, String> {
        let wrong = || {
            let names = ColumnType::NAMES;
            format!(
                "unknown type `{text}`{}; the types are {}",
                suggestion(text, &names),
                listed(&names)
            )
        };
        Ok(match text.trim().to_lowercase().as_str() {
            "string" => ColumnType::String,
            "int" | "integer" => ColumnType::Int,
            "bigint" | "long" => ColumnType::Bigint,
            "double" => ColumnType::Double,
            "boolean" => ColumnType::Boolean,
            "timestamp" => ColumnType::Timestamp,
            "date" => ColumnType::Date,
            other => {
                let inside = other
                    .strip_prefix("decimal(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or_else(wrong)?;
                let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
                let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
                let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
                if precision == 0 || precision > 18 || scale > precision {
                    return Err(format!(
                        "found `{text}`, wanted decimal(p,s) with 1 <= p <= 18 and 0 <= s <= p"
                    ));
                }
                ColumnType::Decimal(precision, scale as i8)
            }
        })
    }

    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Int => DataType::Int32,
            ColumnType::Bigint => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Timestamp => timestamp_type(),
            ColumnType::Date => DataType::Date32,
            ColumnType::Decimal(precision, scale) => DataType::Decimal128(precision, scale),
        }
    }
}

impl std::fmt::Display for ColumnType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ColumnType::Decimal(precision, scale) => write!(f, "decimal({precision},{scale})"),
            ColumnType::String => f.write_str("string"),
            ColumnType::Int => f.write_str("int"),
            ColumnType::Bigint => f.write_str("bigint"),
            ColumnType::Double => f.write_str("double"),
            ColumnType::Boolean => f.write_str("boolean"),
            ColumnType::Timestamp => f.write_str("timestamp"),
            ColumnType::Date => f.write_str("date"),
        }
    }
}

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Read for ColumnType {
    fn read(node: &Node) -> std::result::Result<ColumnType, String> {
        ColumnType::parse(&String::read(node)?)
    }
}

/// A value as it is written; what it means depends on the column's type.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Literal {
    /// A text, time, date or decimal.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Boolean(bool),
}

impl Read for Literal {
    fn read(node: &Node) -> std::result::Result<Literal, String> {
        match node {
            Node::Text(text) | Node::Datetime(text) => Ok(Literal::Text(text.clone())),
            Node::Integer(number) => Ok(Literal::Integer(*number)),
            Node::Float(number) => Ok(Literal::Float(*number)),
            Node::Boolean(truth) => Ok(Literal::Boolean(*truth)),
            other => Err(format!("found {other}, wanted one value")),
        }
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Text(text) => write!(f, "\"{text}\""),
            Literal::Integer(number) => write!(f, "{number}"),
            Literal::Float(number) => write!(f, "{number}"),
            Literal::Boolean(truth) => write!(f, "{truth}"),
        }
    }
}

impl Literal {
    /// The value in the units a column of this type counts in: itself, microseconds, days, or the last decimal place.
    fn units(&self, kind: ColumnType) -> std::result::Result<i64, String> {
        match (kind, self) {
            (ColumnType::Int, Literal::Integer(number)) if i32::try_from(*number).is_ok() => Ok(*number),
            (ColumnType::Bigint | ColumnType::String, Literal::Integer(number)) => Ok(*number),
            (ColumnType::Timestamp, Literal::Text(text)) => Time::parse(text).map(|time| time.0),
            (ColumnType::Date, Literal::Text(text)) => parse_date(text).map(i64::from),
            (ColumnType::Decimal(precision, scale), Literal::Text(text)) => decimal_units(text, precision, scale),
            (ColumnType::Decimal(precision, scale), Literal::Integer(_) | Literal::Float(_)) => {
                decimal_units(&self.to_string(), precision, scale)
            }
            _ => Err(self.misfit(kind)),
        }
    }

    fn number(&self, kind: ColumnType) -> std::result::Result<f64, String> {
        match self {
            Literal::Integer(number) => Ok(*number as f64),
            Literal::Float(number) => Ok(*number),
            _ => Err(self.misfit(kind)),
        }
    }

    fn misfit(&self, kind: ColumnType) -> String {
        let example = match kind {
            ColumnType::String => "\"text\"",
            ColumnType::Int | ColumnType::Bigint => "42",
            ColumnType::Double => "4.2",
            ColumnType::Boolean => "true",
            ColumnType::Timestamp => "\"2024-01-01T10:00:00Z\"",
            ColumnType::Date => "\"2024-01-31\"",
            ColumnType::Decimal(..) => "\"4.20\"",
        };
        format!("found {self}, wanted a value of type {kind} such as {example}")
    }
}

/// `"1.5"` in units of the last of `scale` places.
fn decimal_units(text: &str, precision: u8, scale: i8) -> std::result::Result<i64, String> {
    let wrong = || format!("found `{text}`, wanted a decimal({precision},{scale})");
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let places = scale as usize;
    if part.len() > places || whole.is_empty() || !whole.chars().chain(part.chars()).all(|c| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let units: i64 = format!("{whole}{part:0<places$}").parse().map_err(|_| wrong())?;
    if units >= 10i64.pow(u32::from(precision)) {
        Err(wrong())
    } else {
        Ok(if negative { -units } else { units })
    }
}

/// These values as an Arrow array of the column's type.
fn literals(values: &[Literal], kind: ColumnType) -> std::result::Result<ArrayRef, String> {
    let text = |value: &Literal| match value {
        Literal::Text(text) => Ok(text.clone()),
        other => Err(other.misfit(kind)),
    };
    let truth = |value: &Literal| match value {
        Literal::Boolean(truth) => Ok(*truth),
        other => Err(other.misfit(kind)),
    };
    Ok(match kind {
        ColumnType::String => Arc::new(StringArray::from(
            values.iter().map(text).collect::<std::result::Result<Vec<_>, _>>()?,
        )),
        ColumnType::Boolean => Arc::new(BooleanArray::from(
            values.iter().map(truth).collect::<std::result::Result<Vec<_>, _>>()?,
        )),
        ColumnType::Double => {
            let numbers: std::result::Result<Vec<f64>, _> = values.iter().map(|value| value.number(kind)).collect();
            Arc::new(Float64Array::from(numbers?))
        }
        _ => {
            let units: std::result::Result<Vec<i64>, _> = values.iter().map(|value| value.units(kind)).collect();
            of_units(units?, kind)
        }
    })
}

/// An array of a type that counts in units.
fn of_units(units: Vec<i64>, kind: ColumnType) -> ArrayRef {
    match kind {
        ColumnType::Int => {
            let clamped = units
                .into_iter()
                .map(|n| n.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32);
            Arc::new(Int32Array::from(clamped.collect::<Vec<_>>()))
        }
        ColumnType::Timestamp => Arc::new(TimestampMicrosecondArray::from(units).with_timezone("+00:00")),
        ColumnType::Date => {
            let clamped = units.into_iter().map(|n| n.clamp(-719_162, 2_932_896) as i32);
            Arc::new(Date32Array::from(clamped.collect::<Vec<_>>()))
        }
        ColumnType::Decimal(precision, scale) => {
            let most = 10i64.pow(u32::from(precision)) - 1;
            let clamped = units.into_iter().map(|n| i128::from(n.clamp(-most, most)));
            let decimals = Decimal128Array::from(clamped.collect::<Vec<_>>());
            Arc::new(
                decimals
                    .with_precision_and_scale(precision, scale)
                    .expect("a checked precision and scale"),
            )
        }
        _ => Arc::new(Int64Array::from(units)),
    }
}

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

const MODELS: [&str; 10] = [
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

impl ColumnSpec {
    /// Is this the column with the event time?
    pub fn is_event_time(&self) -> bool {
        self.model == ColumnModel::EventTime
    }

    pub(crate) fn read(node: &Spanned<Node>) -> (ColumnSpec, Vec<SpecError>) {
        let mut table = Table::new("a column", node);
        let name = table.required("name", "\"user\"", String::new());
        table.called(format!("the column `{name}`"));
        let kind = table.required("type", "\"string\"", ColumnType::String);
        let template: Option<String> = table.optional("template");
        let nulls = table.or("nulls", Share(0.0));
        let model = table.or("model", if template.is_some() { "template" } else { "" }.to_owned());
        let Some(model) = ColumnModel::read(&model, kind, &mut table) else {
            let hint = suggestion(&model, &MODELS);
            let found = if model.is_empty() {
                "no model".to_owned()
            } else {
                format!("unknown model `{model}`{hint}")
            };
            table.wrong(
                "model",
                format!("the column `{name}` has {found}; the models are {}", listed(&MODELS)),
            );
            let model = ColumnModel::Template;
            return (
                ColumnSpec {
                    name,
                    kind,
                    model,
                    template,
                    nulls,
                },
                table.abandon(),
            );
        };
        let column = ColumnSpec {
            name,
            kind,
            model,
            template,
            nulls,
        };
        column.demand_sense(&mut table);
        (column, table.finish())
    }

    fn demand_sense(&self, table: &mut Table) {
        let text = self.kind == ColumnType::String;
        table.demand(text || self.template.is_none(), "template", || {
            format!("`template` makes texts, but the column has type {}", self.kind)
        });
        table.demand(
            self.template.is_some() || self.model != ColumnModel::Template,
            "template",
            || "the model `template` needs `template = \"user-{row}\"`".into(),
        );
        if let Some(Err(message)) = self.template.as_deref().map(Part::parse) {
            table.wrong("template", message);
        }
        let fits = match self.model {
            ColumnModel::Template => text,
            ColumnModel::EventTime => self.kind == ColumnType::Timestamp,
            ColumnModel::Normal { .. } | ColumnModel::Poisson { .. } | ColumnModel::Zipf { .. } => !matches!(
                self.kind,
                ColumnType::Boolean | ColumnType::Timestamp | ColumnType::Date
            ),
            ColumnModel::Uniform { .. } | ColumnModel::Sequence { .. } => self.kind != ColumnType::Boolean,
            _ => true,
        };
        table.demand(fits, "model", || {
            format!("this model makes no values of type {}; choose another", self.kind)
        });
        table.demand(self.nulls.0 == 0.0 || !self.is_event_time(), "nulls", || {
            "rows without an event time are made by the lateness layer `null-time`".into()
        });
    }

    /// What is wrong with the columns taken together, as (field, message).
    pub(crate) fn misfits(columns: &[ColumnSpec]) -> Vec<(&'static str, String)> {
        let mut misfits = vec![];
        for (index, column) in columns.iter().enumerate() {
            if columns[..index].iter().any(|earlier| earlier.name == column.name) {
                misfits.push((
                    "columns",
                    format!("two columns are named `{}`; rename one", column.name),
                ));
            }
        }
        if columns.iter().filter(|column| column.is_event_time()).count() > 1 {
            misfits.push((
                "columns",
                "two columns have the model \"event-time\"; a stream has one event time".into(),
            ));
        }
        misfits
    }
}

impl ColumnModel {
    fn read(model: &str, kind: ColumnType, table: &mut Table) -> Option<ColumnModel> {
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

impl Literal {
    /// A number to compare values of one type by.
    fn position(&self, kind: ColumnType) -> std::result::Result<f64, String> {
        if kind == ColumnType::Double {
            self.number(kind)
        } else {
            self.units(kind).map(|units| units as f64)
        }
    }
}

/// A sequence's step in units of the column.
fn step_units(step: &Literal, kind: ColumnType) -> std::result::Result<i64, String> {
    match (kind, step) {
        (ColumnType::Double, Literal::Float(_) | Literal::Integer(_)) => Ok(0),
        (ColumnType::Timestamp, Literal::Text(text)) => Micros::parse(text).map(|micros| micros.0),
        (ColumnType::Timestamp, other) => Err(format!("found {other}, wanted a duration such as \"1s\"")),
        (ColumnType::Date, Literal::Integer(days)) => Ok(*days),
        _ => step.units(kind),
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Row,
    Value,
}

impl Part {
    fn parse(template: &str) -> std::result::Result<Vec<Part>, String> {
        let mut parts = vec![];
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            parts.push(Part::Text(rest[..open].to_owned()));
            let close = rest
                .find('}')
                .ok_or_else(|| format!("`{{` in `{template}` is never closed"))?;
            parts.push(match rest.get(open + 1..close) {
                Some("row") => Part::Row,
                Some("value") => Part::Value,
                _ => return Err(format!("`{template}`: between braces stands `row` or `value`")),
            });
            rest = &rest[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(parts)
    }
}

/// A custom stream at work.
#[derive(Debug)]
pub struct Custom {
    schema: SchemaRef,
    time_column: Option<usize>,
    columns: Vec<Column>,
}

#[derive(Debug)]
struct Column {
    kind: ColumnType,
    source: Source,
    template: Option<Vec<Part>>,
    nulls: f64,
    seed: Seed,
}

/// Where a column's values come from, with its tables made.
#[derive(Debug)]
enum Source {
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

impl Custom {
    pub(super) fn new(
        name: &str,
        columns: &[ColumnSpec],
        specs: &[(String, StreamSpec)],
        seed: &Seed,
        path: &mut Vec<String>,
    ) -> Result<Custom> {
        let fields: Vec<Field> = columns
            .iter()
            .map(|column| Field::new(&column.name, column.kind.arrow(), true))
            .collect();
        let seed_of_stream = seed.named(name);
        let made: Result<Vec<Column>> = columns
            .iter()
            .map(|column| {
                let source = Source::new(column, specs, seed, path).map_err(|error| match error {
                    SourceError::Here(message) => {
                        let message = format!("column `{}`: {message}", column.name);
                        Error::Spec {
                            stream: name.to_owned(),
                            mistakes: vec![SpecError { span: None, message }],
                        }
                    }
                    SourceError::There(error) => error,
                })?;
                let template = column
                    .template
                    .as_deref()
                    .and_then(|template| Part::parse(template).ok());
                let seed = seed_of_stream.named(&column.name);
                Ok(Column {
                    kind: column.kind,
                    source,
                    template,
                    nulls: column.nulls.0,
                    seed,
                })
            })
            .collect();
        Ok(Custom {
            schema: Arc::new(Schema::new(fields)),
            time_column: columns.iter().position(ColumnSpec::is_event_time),
            columns: made?,
        })
    }
}

/// A mistake in this column, or one in the stream it draws from.
enum SourceError {
    Here(String),
    There(Error),
}

impl From<String> for SourceError {
    fn from(message: String) -> SourceError {
        SourceError::Here(message)
    }
}

impl Source {
    fn new(
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
    fn values(&self, rows: &[u64], event_times: &[i64]) -> Result<ArrayRef> {
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
        let mut builder = StringBuilder::with_capacity(rows.len(), rows.len() * 12);
        let mut text = String::new();
        let mut digits = itoa::Buffer::new();
        let mut decimal = zmij::Buffer::new();
        for (index, &row) in rows.iter().enumerate() {
            text.clear();
            for part in template {
                text.push_str(match (part, numbers) {
                    (Part::Text(text), _) => text,
                    (Part::Row, _) => digits.format(row),
                    (Part::Value, Numbers::Units(whole) | Numbers::Whole(whole)) => digits.format(whole[index]),
                    (Part::Value, Numbers::Real(reals)) => decimal.format(reals[index]),
                });
            }
            builder.append_value(&text);
        }
        builder.finish()
    }

    fn with_nulls(&self, values: ArrayRef, rows: &[u64]) -> Result<ArrayRef> {
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

impl StreamKind for Custom {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn time_column(&self) -> Option<usize> {
        self.time_column
    }

    fn rows(&self, rows: &[u64], event_times: &[i64]) -> Result<RecordBatch> {
        let columns: Result<Vec<ArrayRef>> = self
            .columns
            .iter()
            .map(|column| column.with_nulls(column.values(rows, event_times)?, rows))
            .collect();
        Ok(RecordBatch::try_new(self.schema.clone(), columns?)?)
    }
}
