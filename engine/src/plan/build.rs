//! Operators from a plan whose filters and columns are in place.

mod join;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, JoinConstraint, JoinType};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, FetchType, Join, Limit as LimitNode, LogicalPlan, Sort as SortNode, Union,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column as PhysicalColumn;

use super::check::aggregate_function;
use super::conjuncts::is_deterministic;
use super::expr::constant;
use super::shared::{shared_by_aggregates, shared_by_columns};
use super::{PlanSettings, Prepared, event_time, streams};
use crate::format::columns::Columns;
use crate::operator::{
    AggregateCall, AggregateKind, AggregateSpec, Aggregation, AggregationPlan, Expand, Leaf, Limit, Node, Observe,
    Over, Slice, Sort, StaticJoin, Step, StreamJoin, WindowStep,
};
use crate::sql::{self, GroupingSetsNode, StreamTable, TimeWindowNode, WatermarkNode};
use crate::{Error, OutputMode, Result};
use join::join_plan;

/// Names and types of a plan's output.
pub(crate) fn output_schema(plan: &LogicalPlan) -> SchemaRef {
    let fields = plan.schema().fields().iter().zip(sql::output_names(plan));
    let fields = fields
        .map(|(field, name)| Field::new(name, field.data_type().clone(), true))
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// Builds the operators of a plan.
pub(super) fn build(
    plan: &LogicalPlan,
    schema: SchemaRef,
    mut reads: BTreeMap<String, Vec<Columns>>,
    settings: PlanSettings,
) -> Result<Prepared> {
    let mut builder = Builder {
        streams: vec![],
        watermarks: vec![],
        readers: vec![],
        delays_ms: vec![],
        head: None,
        order: Order::default(),
        settings,
    };
    let root = builder.node(plan)?;
    let reads = builder
        .streams
        .iter()
        .map(|stream| reads.remove(stream).unwrap_or_default());
    Ok(Prepared {
        root,
        schema,
        reads: reads.collect(),
        readers: builder.readers,
        streams: builder.streams,
        delays_ms: builder.delays_ms,
    })
}

struct Builder {
    streams: Vec<String>,
    /// The definition of each watermark: however often a view is read, it has one.
    watermarks: Vec<usize>,
    readers: Vec<usize>,
    delays_ms: Vec<i64>,
    /// How many rows of a batch the limit above asks for, where every row below is one above.
    head: Option<usize>,
    /// What becomes of the order of the rows below.
    order: Order,
    settings: PlanSettings,
}

/// What becomes of an order. Spark sorts by ranges, for which it samples the rows first, only where the order is kept
/// and has to be made in full.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Order {
    #[default]
    Kept,
    /// The first rows are all that is asked for: `TakeOrderedAndProject`.
    FirstRows,
    /// Another order, or none, is made of it above: `EliminateSorts` drops it.
    Lost,
}

impl Builder {
    fn node(&mut self, plan: &LogicalPlan) -> Result<Node> {
        let head = self.head.take();
        let order = std::mem::take(&mut self.order);
        if let Some(stream) = StreamTable::of(plan) {
            return Ok(self.source(stream));
        }
        match plan {
            LogicalPlan::SubqueryAlias(alias) => {
                (self.head, self.order) = (head, order);
                self.node(&alias.input)
            }
            LogicalPlan::Filter(filter) => {
                if order == Order::Lost && is_deterministic(&filter.predicate) {
                    self.order = order;
                }
                let predicate = physical(&filter.predicate, filter.input.schema())?;
                Ok(then(self.node(&filter.input)?, Step::Filter(predicate)))
            }
            LogicalPlan::Projection(p) => {
                let exprs = p
                    .expr
                    .iter()
                    .map(|e| physical(e, p.input.schema()))
                    .collect::<Result<_>>()?;
                let schema = nullable(p.schema.inner());
                self.head = head;
                if order == Order::FirstRows || p.expr.iter().all(is_deterministic) {
                    self.order = order;
                }
                let input = before_all(self.node(&p.input)?, &shared_by_columns(&p.expr), p.input.schema())?;
                Ok(then(input, Step::Project { exprs, schema }))
            }
            LogicalPlan::Extension(extension) => self.extension(extension.node.as_any(), head),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) if streams(&join.left) && streams(&join.right) => self.stream_join(join),
            LogicalPlan::Join(join) => self.static_join(join, order),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Sort(sort) => self.sort(sort, order),
            other => Err(Error::unsupported(format!(
                "`{}` over a stream is not supported by Skirl yet",
                other.display()
            ))),
        }
    }

    fn source(&mut self, stream: &StreamTable) -> Node {
        let known = self.streams.iter().position(|name| *name == stream.name);
        let index = known.unwrap_or_else(|| {
            self.streams.push(stream.name.clone());
            self.readers.push(0);
            self.streams.len() - 1
        });
        self.readers[index] += 1;
        Node::Source(index)
    }

    fn extension(&mut self, node: &dyn std::any::Any, head: Option<usize>) -> Result<Node> {
        if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
            // The input first: watermarks are numbered from below.
            let mut input = self.node(&watermark.input)?;
            if head.is_some() {
                // A limit stops reading when it has its rows: what comes after them never reaches the watermark.
                let slice = Slice { skip: 0, fetch: head };
                input = Node::Slice {
                    input: Box::new(input),
                    slice,
                };
            }
            let column = watermark.input.schema().index_of_column(&watermark.column)?;
            let watermark = self.watermark(watermark);
            return Ok(then(input, Step::Observe(Observe { watermark, column })));
        }
        if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
            return self.grouping_sets(sets);
        }
        let Some(window) = node.downcast_ref::<TimeWindowNode>() else {
            return Err(Error::unsupported("this plan node is not supported by Skirl yet"));
        };
        let step = WindowStep {
            time: physical(&window.time, window.input.schema())?,
            duration_us: window.duration_us,
            slide_us: window.slide_us,
            start_us: window.start_us,
            schema: nullable(window.schema.inner()),
        };
        Ok(then(self.node(&window.input)?, Step::Window(step)))
    }

    fn grouping_sets(&mut self, sets: &GroupingSetsNode) -> Result<Node> {
        let keys = sets.keys.iter().map(|key| physical(key, sets.input.schema()));
        let expand = Expand {
            keys: keys.collect::<Result<_>>()?,
            sets: sets.sets.clone(),
            ids: (0..sets.sets.len()).map(|set| sets.grouping_id(set)).collect(),
            schema: nullable(sets.schema.inner()),
        };
        Ok(then(self.node(&sets.input)?, Step::Expand(expand)))
    }

    fn watermark(&mut self, node: &WatermarkNode) -> usize {
        let known = self.watermarks.iter().position(|known| *known == node.definition);
        known.unwrap_or_else(|| {
            self.watermarks.push(node.definition);
            self.delays_ms.push(node.delay_ms);
            self.watermarks.len() - 1
        })
    }

    fn union(&mut self, union: &Union) -> Result<Node> {
        let inputs = union
            .inputs
            .iter()
            .map(|input| self.node(input))
            .collect::<Result<_>>()?;
        Ok(Node::Union {
            inputs,
            schema: nullable(union.schema.inner()),
        })
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Node> {
        let input_schema = aggregate.input.schema();
        let tagged: Vec<usize> = (0..aggregate.group_expr.len())
            .filter(|i| event_time::is_tagged(&aggregate.group_expr[*i], &aggregate.input))
            .collect();
        if tagged.len() > 1 && self.settings.mode != OutputMode::Complete {
            let columns = tagged
                .iter()
                .map(|i| aggregate.group_expr[*i].schema_name().to_string());
            return Err(several_event_times(columns.collect()));
        }
        let keys = aggregate
            .group_expr
            .iter()
            .map(|e| physical(e, input_schema))
            .collect::<Result<_>>()?;
        let windows = window_columns(&aggregate.input);
        let by_start = aggregate.group_expr.iter().map(|key| match key.clone().unalias() {
            Expr::Column(column) => windows.contains(&column),
            _ => false,
        });
        let results = &aggregate.schema.fields()[aggregate.group_expr.len()..];
        let mut arguments = Vec::new();
        let calls = aggregate.aggr_expr.iter().zip(results);
        let calls =
            calls.map(|(call, field)| self.aggregate_call(call, field.data_type(), input_schema, &mut arguments));
        let calls = calls.collect::<Result<_>>()?;
        let plan = AggregationPlan {
            keys,
            by_start: by_start.collect(),
            event_time: tagged.first().copied(),
            arguments,
            calls,
            schema: nullable(aggregate.schema.inner()),
        };
        let input = self.node(&aggregate.input)?;
        let shared = shared_by_aggregates(&aggregate.aggr_expr, input_schema);
        Ok(Node::Aggregate {
            input: Box::new(before_all(input, &shared, input_schema)?),
            operator: Box::new(Aggregation::new(plan)?),
        })
    }

    fn aggregate_call(
        &self,
        call: &Expr,
        output: &arrow::datatypes::DataType,
        input: &DFSchema,
        arguments: &mut Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<AggregateCall> {
        let unsupported =
            |what: &str| Error::unsupported(format!("{what} over a stream is not supported by Skirl yet"));
        let function = aggregate_function(call).ok_or_else(|| unsupported(&call.schema_name().to_string()))?;
        let kind = match function.func.name() {
            "count" => AggregateKind::Count,
            "sum" => AggregateKind::Sum,
            "avg" => AggregateKind::Avg,
            "min" => AggregateKind::Min,
            "max" => AggregateKind::Max,
            other => return Err(unsupported(&format!("the aggregate function {other}"))),
        };
        if function.params.args.len() > 1 {
            return Err(unsupported(&format!("{} of several arguments", function.func.name())));
        }
        // A literal that is not NULL is counted once per row, as `*` is.
        let argument = function.params.args.first();
        let every_row = kind == AggregateKind::Count
            && argument.is_none_or(|a| matches!(a, Expr::Literal(value, _) if !value.is_null()));
        let argument = argument.filter(|_| !every_row).map(|a| match kind {
            AggregateKind::Sum | AggregateKind::Avg => physical(before_widening(a, input), input),
            _ => physical(a, input),
        });
        let argument = argument.transpose()?;
        let input_type = match &argument {
            Some(argument) => argument.data_type(input.as_arrow())?,
            None => arrow::datatypes::DataType::Null,
        };
        let filter = function
            .params
            .filter
            .as_ref()
            .map(|f| physical(f, input))
            .transpose()?;
        let spec = AggregateSpec {
            kind,
            input: input_type,
            output: output.clone(),
            ansi: self.settings.ansi,
        };
        let over = match (filter, argument) {
            (Some(condition), argument) => Over::Filtered { condition, argument },
            (None, None) => Over::Rows,
            (None, Some(argument)) => Over::Argument(place_of(argument, arguments)),
        };
        Ok(AggregateCall { spec, over })
    }

    fn static_join(&mut self, join: &Join, order: Order) -> Result<Node> {
        let stream_left = streams(&join.left);
        let stream = if stream_left { &join.left } else { &join.right };
        let (leaf, leaf_plan) = Leaf::of(stream.schema())?;
        let is_filter = sql::is_subquery_join(join) && join.join_type != JoinType::Left;
        if (order == Order::Lost || !is_filter) && join.filter.as_ref().is_none_or(is_deterministic) {
            self.order = Order::Lost;
        }
        let input = Box::new(self.node(stream)?);
        let mut batch = join.clone();
        *(if stream_left { &mut batch.left } else { &mut batch.right }) = Arc::new(leaf_plan);
        let plan = sql::executable(LogicalPlan::Join(batch)).map_err(at_run_time)?;
        Ok(Node::Static {
            input,
            join: StaticJoin::new(&plan, leaf)?,
        })
    }

    fn stream_join(&mut self, join: &Join) -> Result<Node> {
        if join.join_constraint == JoinConstraint::Using {
            return Err(at_run_time(Error::nameless(
                "requirement failed: StreamingSymmetricHashJoinExec should not take Cross as the JoinType",
            )));
        }
        if join.on.is_empty() {
            return Err(at_run_time(Error::spark(
                "_LEGACY_ERROR_TEMP_3108",
                "Stream-stream join without equality predicate is not supported.",
            )));
        }
        let plan = join_plan(join)?;
        let left = Box::new(self.node(&join.left)?);
        let right = Box::new(self.node(&join.right)?);
        let (left_schema, right_schema) = (
            nullable(join.left.schema().inner()),
            nullable(join.right.schema().inner()),
        );
        let operator = Box::new(StreamJoin::new(plan, &left_schema, &right_schema)?);
        Ok(Node::Join { left, right, operator })
    }

    fn limit(&mut self, limit: &LimitNode) -> Result<Node> {
        let number = |e: &Expr| -> Result<usize> {
            let value = constant(e)?.to_string();
            value
                .parse()
                .map_err(|_| Error::Invalid(format!("LIMIT needs a number that is not negative, not {value}")))
        };
        // Where every batch shows all rows, a limit counts anew in each.
        let appends = self.settings.mode == OutputMode::Append || !aggregates(&limit.input);
        let skip = limit.skip.as_ref().map_or(Ok(0), |e| number(e))?;
        let fetch = limit.fetch.as_ref().map(|e| number(e)).transpose()?;
        self.head = fetch.filter(|_| appends);
        self.order = Order::FirstRows;
        let input = Box::new(self.node(&limit.input)?);
        Ok(match (fetch, appends) {
            (Some(fetch), true) => Node::Limit {
                input,
                operator: Limit::new(fetch as u64),
            },
            (fetch, _) => Node::Slice {
                input,
                slice: Slice { skip, fetch },
            },
        })
    }

    fn sort(&mut self, sort: &SortNode, order: Order) -> Result<Node> {
        let keys = sort.expr.iter().map(|key| {
            let options = SortOptions {
                descending: !key.asc,
                nulls_first: key.nulls_first,
            };
            Ok((physical(&key.expr, sort.input.schema())?, options))
        });
        let keys = keys.collect::<Result<_>>()?;
        let orders = !sort.expr.iter().all(|key| is_constant(&key.expr, &sort.input)) && !has_one_row(&sort.input);
        let samples = order == Order::Kept && sort.fetch.is_none() && orders;
        self.order = Order::Lost;
        let input = Node::Sort {
            input: Box::new(self.node(&sort.input)?),
            sort: Sort { keys, samples },
        };
        Ok(match sort.fetch {
            Some(fetch) => Node::Slice {
                input: Box::new(input),
                slice: Slice {
                    skip: 0,
                    fetch: Some(fetch),
                },
            },
            None => input,
        })
    }
}

/// The integer inside a cast to the wide type a sum or an average is made in; accumulators widen by themselves.
fn before_widening<'a>(argument: &'a Expr, input: &DFSchema) -> &'a Expr {
    use arrow::datatypes::DataType::{Float64, Int8, Int16, Int32, Int64};
    match argument {
        Expr::Cast(cast) if matches!(cast.field.data_type(), Int64 | Float64) => match cast.expr.get_type(input) {
            Ok(Int8 | Int16 | Int32) => &cast.expr,
            _ => argument,
        },
        _ => argument,
    }
}

/// The place of an argument among those found so far; columns are evaluated once, however often they are used.
fn place_of(argument: Arc<dyn PhysicalExpr>, arguments: &mut Vec<Arc<dyn PhysicalExpr>>) -> usize {
    let is_column = argument.is::<PhysicalColumn>();
    let known = arguments.iter().position(|known| is_column && **known == *argument);
    known.unwrap_or_else(|| {
        arguments.push(argument);
        arguments.len() - 1
    })
}

/// `expr` ready to run over rows of `schema`. A subquery or a constant that fails does so in the first batch.
fn physical(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let resolved = sql::resolve_scalar_subqueries(expr.clone());
    resolved
        .and_then(|expr| sql::physical_expr(&expr, schema))
        .map_err(at_run_time)
}

/// Whether a stream is aggregated in a plan.
fn aggregates(plan: &LogicalPlan) -> bool {
    streams(plan) && (matches!(plan, LogicalPlan::Aggregate(_)) || plan.inputs().into_iter().any(aggregates))
}

/// Whether an expression over a plan is a constant, or a column the projection below makes one.
fn is_constant(expr: &Expr, input: &LogicalPlan) -> bool {
    match (expr, input) {
        (Expr::Column(column), LogicalPlan::Projection(projection)) => {
            let at = projection.schema.maybe_index_of_column(column);
            at.is_some_and(|at| is_constant(&projection.expr[at], &LogicalPlan::default()))
        }
        _ => expr.column_refs().is_empty() && is_deterministic(expr),
    }
}

/// Whether a plan has at most one row, as Spark knows without looking: no order has to be made of it.
fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => true,
        LogicalPlan::Limit(limit) if matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1)))) => true,
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => plan.inputs().into_iter().all(has_one_row),
        _ => false,
    }
}

/// `node`, and what is evaluated for every row of it before anything else.
fn before_all(node: Node, shared: &[Expr], schema: &DFSchema) -> Result<Node> {
    if shared.is_empty() {
        return Ok(node);
    }
    let exprs = shared.iter().map(|e| physical(e, schema)).collect::<Result<_>>()?;
    Ok(then(node, Step::Evaluate(exprs)))
}

/// `step` after `node`.
fn then(node: Node, step: Step) -> Node {
    match node {
        Node::Stateless { input, mut steps } => {
            steps.push(step);
            Node::Stateless { input, steps }
        }
        other => Node::Stateless {
            input: Box::new(other),
            steps: vec![step],
        },
    }
}

/// What a stream promises about NULL a dirty row may break, so nothing is promised.
fn nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_nullable(true))
        .collect::<Vec<_>>();
    Arc::new(Schema::new(fields))
}

/// Columns that are windows of one fixed length, straight from a window node.
fn window_columns(plan: &LogicalPlan) -> Vec<Column> {
    match plan {
        LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<TimeWindowNode>() {
            Some(window) => vec![window.window_column()],
            None => vec![],
        },
        LogicalPlan::Filter(filter) => window_columns(&filter.input),
        _ => vec![],
    }
}

/// Errors Spark raises only when it plans the first batch.
pub(super) fn at_run_time(source: Error) -> Error {
    Error::StreamFailed {
        batch_id: 0,
        source: Box::new(source),
    }
}

pub(super) fn several_event_times(columns: Vec<String>) -> Error {
    at_run_time(Error::spark(
        "_LEGACY_ERROR_TEMP_3077",
        format!(
            "More than one event time columns are available. Please ensure there is at most one event time column per \
             stream. event time columns: ({})",
            columns.join(",")
        ),
    ))
}
