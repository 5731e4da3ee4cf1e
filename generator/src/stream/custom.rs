//! Streams whose columns a user describes.
//!
//! A column has a type and a model (a distribution or a rule). To add a model, give it a variant in [`ColumnModel`], a
//! line in its `read`, and one in `Source::new` of `column`.

mod column;
mod column_type;
mod literal;
mod model;
mod template;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::Serialize;
use toml::Spanned;

use super::StreamKind;
use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::spec::{Node, Share, SpecError, StreamSpec, Table, listed, suggestion};

pub use column_type::ColumnType;
pub use literal::Literal;
pub use model::ColumnModel;

use column::{Column, Source, SourceError};
use model::MODELS;
use template::Part;

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

/// A custom stream at work.
#[derive(Debug)]
pub struct Custom {
    schema: SchemaRef,
    time_column: Option<usize>,
    columns: Vec<Column>,
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
