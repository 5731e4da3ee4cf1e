//! How the output of a query is made up: which columns are a window, which are keys, and where keys come from.
//!
//! Read from the unoptimised plan, only to find the rows behind a difference and to say what a group is; nothing here
//! decides what is right.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan, Sort};
use serde_json::Value;
use skirl_engine::sql::{StreamTable, TimeWindowNode};

use crate::job::Job;
use crate::rows::{Row, shown};
use crate::run::OutputBatch;
use crate::scenario::parse_time_us;

/// The columns of a query's output and what they mean.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Their names.
    pub names: Vec<String>,
    /// Output columns the query sorts by, the first first.
    pub sorted_by: Vec<usize>,
    /// Whether the output is an aggregation with all its keys, so that these tell its rows apart.
    pub has_all_keys: bool,
    origins: Vec<Origin>,
}

/// Where a column comes from.
#[derive(Debug, Clone, Default)]
struct Origin {
    part: Part,
    /// Columns of streams, as (stream, column), whose values it repeats.
    sources: Vec<(usize, usize)>,
    /// The key of the topmost aggregation that it is, wholly or in part.
    key: Option<usize>,
}

/// What part of a window a column is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Plain,
    /// The window, of so many microseconds.
    Window(i64),
    Start(i64),
    End(i64),
}

/// Times in microseconds; `None` where the output does not say.
type Interval = (Option<i64>, Option<i64>);

impl Shape {
    /// The shape of what `plan` emits; `streams` are the names of the job's streams.
    pub fn of(plan: &LogicalPlan, streams: &[String]) -> Shape {
        let origins = origins(plan, streams);
        let names = plan
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let has_all_keys = key_count(plan).is_some_and(|count| {
            count > 0 && (0..count).all(|key| origins.iter().any(|origin| origin.key == Some(key)))
        });
        Shape {
            names,
            sorted_by: sorted_by(plan),
            has_all_keys,
            origins,
        }
    }

    /// The shape of what the query of `job` emits.
    ///
    /// # Errors
    /// SQL that cannot be planned.
    pub fn of_job(job: &Job) -> skirl_engine::Result<Shape> {
        let catalog = job.catalog()?;
        let streams: Vec<String> = job.streams.iter().map(|(name, _)| name.clone()).collect();
        Ok(Shape::of(&catalog.plan(&job.sql)?, &streams))
    }

    /// Whether the output says the order of its rows.
    pub fn sorts(&self) -> bool {
        !self.sorted_by.is_empty()
    }

    /// The shape of output nothing is known about but its names.
    pub fn of_unknown(batches: &[OutputBatch]) -> Shape {
        let names: Vec<String> = batches.first().map_or(Vec::new(), |batch| {
            batch
                .rows
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect()
        });
        Shape {
            origins: vec![Origin::default(); names.len()],
            names,
            ..Shape::default()
        }
    }

    /// Whether column `n` tells rows apart.
    pub fn is_key(&self, n: usize) -> bool {
        let grouped = self.origins.iter().any(|origin| origin.key.is_some());
        let origin = &self.origins[n];
        if grouped {
            origin.key.is_some()
        } else {
            !origin.sources.is_empty() || origin.part != Part::Plain
        }
    }

    /// The values that tell `row` apart; all if none is known to.
    pub fn key_of(&self, row: &[Value]) -> Row {
        let key: Row = self.key_columns().map(|n| row[n].clone()).collect();
        if key.is_empty() { row.to_vec() } else { key }
    }

    /// `window [10:00:00, 10:03:00), district Porto`.
    pub fn describe_key(&self, row: &[Value]) -> String {
        let words: Vec<String> = self
            .key_columns()
            .map(|n| format!("{} {}", self.names[n], shown(&row[n])))
            .collect();
        if words.is_empty() {
            return format!("row ({})", row.iter().map(shown).collect::<Vec<_>>().join(", "));
        }
        words.join(", ")
    }

    /// Start and end of the window of `row` in microseconds, if it has one.
    pub fn window_of(&self, row: &[Value]) -> Option<Interval> {
        let mut interval: Interval = (None, None);
        for (origin, value) in self.origins.iter().zip(row) {
            match (origin.part, value) {
                (Part::Window(_), Value::Array(bounds)) => {
                    interval = (bounds.first().and_then(time_of), bounds.get(1).and_then(time_of));
                }
                (Part::Start(duration), value) => {
                    let start = time_of(value);
                    interval = (start, interval.1.or(start.map(|start| start + duration)));
                }
                (Part::End(duration), value) => {
                    let end = time_of(value);
                    interval = (interval.0.or(end.map(|end| end - duration)), end);
                }
                _ => {}
            }
        }
        (interval != (None, None)).then_some(interval)
    }

    /// Columns of streams, as (stream, column), that must hold a value for their row to have to do with `row`.
    pub fn source_keys(&self, row: &[Value]) -> Vec<(Vec<(usize, usize)>, Value)> {
        self.key_columns()
            .filter(|n| self.origins[*n].part == Part::Plain && !self.origins[*n].sources.is_empty())
            .map(|n| (self.origins[n].sources.clone(), row[n].clone()))
            .collect()
    }

    fn key_columns(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.names.len()).filter(|n| self.is_key(*n))
    }
}

fn time_of(value: &Value) -> Option<i64> {
    parse_time_us(value.as_str()?)
}

/// Where each column of `plan` comes from.
fn origins(plan: &LogicalPlan, streams: &[String]) -> Vec<Origin> {
    let below = |plan: &LogicalPlan| origins(plan, streams);
    match plan {
        LogicalPlan::TableScan(_) => scan_origins(plan, streams),
        LogicalPlan::Projection(projection) => {
            let input = below(&projection.input);
            projection
                .expr
                .iter()
                .map(|expr| origin_of(expr, &projection.input, &input))
                .collect()
        }
        LogicalPlan::Aggregate(aggregate) => aggregate_origins(aggregate, below(&aggregate.input)),
        LogicalPlan::Join(join) => join_origins(join, below(&join.left), below(&join.right)),
        LogicalPlan::Union(union) => {
            let inputs: Vec<_> = union.inputs.iter().map(|input| below(input)).collect();
            (0..plan.schema().fields().len()).map(|n| merged(&inputs, n)).collect()
        }
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_ref().as_any();
            if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
                return window_origins(window, below(&window.input));
            }
            passed_through(plan, streams)
        }
        _ => passed_through(plan, streams),
    }
}

/// A node with one input whose columns it keeps; nothing is known about any other.
fn passed_through(plan: &LogicalPlan, streams: &[String]) -> Vec<Origin> {
    let width = plan.schema().fields().len();
    match plan.inputs().as_slice() {
        [input] if input.schema().fields().len() == width => origins(input, streams),
        _ => vec![Origin::default(); width],
    }
}

fn scan_origins(plan: &LogicalPlan, streams: &[String]) -> Vec<Origin> {
    let unknown = || vec![Origin::default(); plan.schema().fields().len()];
    let Some(table) = StreamTable::of(plan) else {
        return unknown();
    };
    let Some(stream) = streams.iter().position(|name| name.eq_ignore_ascii_case(&table.name)) else {
        return unknown();
    };
    let source = |field: &std::sync::Arc<arrow::datatypes::Field>| match table.schema.index_of(field.name()) {
        Ok(column) => Origin {
            sources: vec![(stream, column)],
            ..Origin::default()
        },
        Err(_) => Origin::default(),
    };
    plan.schema().fields().iter().map(source).collect()
}

fn aggregate_origins(aggregate: &Aggregate, input: Vec<Origin>) -> Vec<Origin> {
    let keys = aggregate.group_expr.iter().enumerate().map(|(key, expr)| {
        let origin = origin_of(expr, &aggregate.input, &input);
        Origin {
            key: Some(key),
            ..origin
        }
    });
    let mut origins: Vec<Origin> = keys.collect();
    origins.resize(aggregate.schema.fields().len(), Origin::default());
    origins
}

fn join_origins(join: &Join, mut left: Vec<Origin>, mut right: Vec<Origin>) -> Vec<Origin> {
    // Equal keys repeat each other's values.
    for (a, b) in &join.on {
        if let (Some(a), Some(b)) = (index_of(a, &join.left), index_of(b, &join.right)) {
            let both = [left[a].sources.clone(), right[b].sources.clone()].concat();
            (left[a].sources, right[b].sources) = (both.clone(), both);
        }
    }
    let mut origins = match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti => right,
        JoinType::LeftSemi | JoinType::LeftAnti => left,
        _ => [left, right].concat(),
    };
    // A join may repeat a group of an aggregation below it.
    origins.iter_mut().for_each(|origin| origin.key = None);
    origins.resize(join.schema.fields().len(), Origin::default());
    origins
}

fn merged(inputs: &[Vec<Origin>], n: usize) -> Origin {
    let columns: Vec<&Origin> = inputs.iter().filter_map(|input| input.get(n)).collect();
    let part = columns.first().map_or(Part::Plain, |origin| origin.part);
    Origin {
        part: if columns.iter().all(|origin| origin.part == part) {
            part
        } else {
            Part::Plain
        },
        sources: columns.iter().flat_map(|origin| origin.sources.clone()).collect(),
        key: None,
    }
}

fn window_origins(window: &TimeWindowNode, mut input: Vec<Origin>) -> Vec<Origin> {
    input.push(Origin {
        part: Part::Window(window.duration_us),
        ..Origin::default()
    });
    input
}

/// Where the value of `expr` over `plan`, whose columns come from `input`, comes from.
fn origin_of(expr: &Expr, plan: &LogicalPlan, input: &[Origin]) -> Origin {
    if let Some(n) = index_of(expr, plan) {
        return input[n].clone();
    }
    let Some((whole, field)) = field_of(expr) else {
        return Origin::default();
    };
    let Some(n) = index_of(whole, plan) else {
        return Origin::default();
    };
    let part = match (input[n].part, field) {
        (Part::Window(duration), "start") => Part::Start(duration),
        (Part::Window(duration), "end") => Part::End(duration),
        _ => Part::Plain,
    };
    // A border of a window tells which it is; a field of another struct is a part of it only.
    let key = input[n].key.filter(|_| part != Part::Plain);
    Origin {
        part,
        key,
        ..input[n].clone()
    }
}

/// The column of `plan` that `expr` repeats, if it is one.
fn index_of(expr: &Expr, plan: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Column(column) => plan.schema().index_of_column(column).ok(),
        Expr::Alias(alias) => index_of(&alias.expr, plan),
        _ => None,
    }
}

/// The struct and the name of the field that `expr` takes out of it.
fn field_of(expr: &Expr) -> Option<(&Expr, &str)> {
    match expr {
        Expr::Alias(alias) => field_of(&alias.expr),
        Expr::ScalarFunction(function) if function.args.len() == 2 => match &function.args[1] {
            Expr::Literal(ScalarValue::Utf8(Some(name)), _) => Some((&function.args[0], name)),
            _ => None,
        },
        _ => None,
    }
}

/// How many keys the aggregation has whose rows `plan` emits one for one.
fn key_count(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate.group_expr.len()),
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => key_count(plan.inputs()[0]),
        _ => None,
    }
}

/// Output columns that say the order of the rows, as far as the output shows them.
fn sorted_by(plan: &LogicalPlan) -> Vec<usize> {
    match plan {
        LogicalPlan::Sort(sort) => sort_columns(sort),
        LogicalPlan::Limit(limit) => sorted_by(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => sorted_by(&alias.input),
        LogicalPlan::Projection(projection) => {
            let shown = |column: usize| {
                projection
                    .expr
                    .iter()
                    .position(|expr| index_of(expr, &projection.input) == Some(column))
            };
            sorted_by(&projection.input).into_iter().map_while(shown).collect()
        }
        _ => Vec::new(),
    }
}

fn sort_columns(sort: &Sort) -> Vec<usize> {
    sort.expr
        .iter()
        .map_while(|key| index_of(&key.expr, &sort.input))
        .collect()
}
