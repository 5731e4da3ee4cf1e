//! Evaluation: physical expressions for whoever runs streams, whole plans for static tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as DfResult, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::{
    BinaryExpr, Case, ColumnarValue, Expr, Extension, Filter, LogicalPlan, Operator, Projection, Union, lit,
};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion::prelude::SessionConfig;

use super::fold::folded;
use super::function::is_fallible;
use super::is_streaming;
use super::node::{GroupingSetsNode, SessionWindowNode, TimeWindowNode, WatermarkNode};
use crate::{Error, Result};

static PROPS: LazyLock<ExecutionProps> = LazyLock::new(ExecutionProps::new);

/// The physical form of an expression of a plan: constants have their values, and short circuits are kept where a row
/// Spark would not evaluate could fail.
///
/// # Errors
/// What a constant raises, and if the expression names a column that `schema` has not.
pub fn physical_expr(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
    let expr = short_circuit(folded(expr.clone())?)?;
    Ok(create_physical_expr(&expr, schema, &PROPS, &Default::default())?)
}

/// Rewrites `a AND b` and `a OR b` where `b` can fail into a CASE, which evaluates `b` for the rows that need it.
fn short_circuit(expr: Expr) -> Result<Expr> {
    if !is_fallible(&expr) {
        return Ok(expr);
    }
    let rewritten = expr.transform_up(|e| {
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) = e
        else {
            return Ok(Transformed::no(e));
        };
        if !is_fallible(&right) {
            return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
        }
        // Where the left side decides, the right one is not asked.
        let decided = Expr::BinaryExpr(BinaryExpr::new(
            left.clone(),
            Operator::IsNotDistinctFrom,
            Box::new(lit(op == Operator::Or)),
        ));
        let both = Expr::BinaryExpr(BinaryExpr { left, op, right });
        Ok(Transformed::yes(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(decided), Box::new(lit(op == Operator::Or)))],
            else_expr: Some(Box::new(both)),
        })))
    })?;
    Ok(rewritten.data)
}

/// The value of an expression without columns.
pub(super) fn constant(expr: &Expr) -> Result<ScalarValue> {
    let physical = create_physical_expr(
        &short_circuit(expr.clone())?,
        &DFSchema::empty(),
        &PROPS,
        &Default::default(),
    )?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    Ok(match physical.evaluate(&row)? {
        ColumnarValue::Scalar(value) => value,
        ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0)?,
    })
}

/// Replaces the uncorrelated scalar subqueries of an expression by their values.
///
/// # Errors
/// `SCALAR_SUBQUERY_TOO_MANY_ROWS` for more than one row, and what evaluating a subquery raises.
pub fn resolve_scalar_subqueries(expr: Expr) -> Result<Expr> {
    let resolved = expr.transform_up(|e| match e {
        Expr::ScalarSubquery(subquery) => {
            let value = scalar_value(&subquery.subquery)?;
            Ok(Transformed::yes(lit(value)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(resolved.data)
}

fn scalar_value(plan: &LogicalPlan) -> Result<ScalarValue> {
    let batches = execute_static(plan)?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows > 1 {
        return Err(Error::spark(
            "SCALAR_SUBQUERY_TOO_MANY_ROWS",
            "More than one row returned by a subquery used as an expression.",
        ));
    }
    match batches.iter().find(|batch| batch.num_rows() == 1) {
        Some(batch) => Ok(ScalarValue::try_from_array(batch.column(0), 0)?),
        None => Ok(ScalarValue::try_from(plan.schema().field(0).data_type())?),
    }
}

/// Runs a plan over static tables, in one partition; the rows are in the plan's order, the batches may be empty.
///
/// # Errors
/// If the plan reads a stream; what a row raises, by Spark's condition.
pub fn execute_static(plan: &LogicalPlan) -> Result<Vec<RecordBatch>> {
    if is_streaming(plan) {
        return Err(Error::Invalid(
            "a stream cannot be read by a batch query; write it to a table first".into(),
        ));
    }
    // Short circuits last: the optimizer would take a CASE of booleans for AND and OR.
    let plan = with_short_circuits(SESSION.optimize(&executable(plan.clone())?)?)?;
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Error::Invalid(format!("cannot start a runtime: {error}")))?;
        runtime.block_on(async {
            let physical = SESSION.query_planner().create_physical_plan(&plan, &*SESSION).await?;
            Ok(datafusion::physical_plan::collect(physical, SESSION.task_ctx()).await?)
        })
    };
    if tokio::runtime::Handle::try_current().is_err() {
        return run();
    }
    // A runtime cannot be entered twice on one thread.
    std::thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(Error::Invalid("a batch query panicked".into())))
}

/// DataFusion with its optimizer, without its analyzer: types are final.
static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new()
        .with_target_partitions(1)
        .with_information_schema(false);
    config.options_mut().execution.time_zone = Some("+00:00".into());
    SessionStateBuilder::new()
        .with_config(config)
        .with_analyzer_rules(vec![])
        .build()
});

/// A plan in which what a row does not ask for is not evaluated.
pub(crate) fn with_short_circuits(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up(|node| map_named(node, short_circuit))?.data)
}

/// A plan over static tables in DataFusion's own nodes, with the values of scalar subqueries and of constants.
///
/// # Errors
/// What evaluating one of them raises.
pub fn executable(plan: LogicalPlan) -> Result<LogicalPlan> {
    let lowered = plan.transform_up(|plan| {
        let LogicalPlan::Extension(Extension { node }) = &plan else {
            return map_named(plan, |expr| folded(resolve_scalar_subqueries(expr)?));
        };
        let node = node.as_any();
        if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
            return Ok(Transformed::yes(watermark.input.clone()));
        }
        if node.is::<SessionWindowNode>() {
            return Err(Error::unsupported("session_window is not supported yet").into());
        }
        if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
            return Ok(Transformed::yes(sets_of(sets)?));
        }
        match node.downcast_ref::<TimeWindowNode>() {
            Some(window) => Ok(Transformed::yes(windows_of(window)?)),
            None => Ok(Transformed::no(plan)),
        }
    })?;
    Ok(lowered.data)
}

/// Changes the expressions of a node and keeps the names of its columns.
fn map_named(node: LogicalPlan, change: fn(Expr) -> Result<Expr>) -> DfResult<Transformed<LogicalPlan>> {
    let names_columns = matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Projection(_));
    node.map_expressions(|expr| {
        let name = expr.schema_name().to_string();
        let changed = change(expr)?;
        let renamed = names_columns && changed.schema_name().to_string() != name;
        Ok(Transformed::yes(if renamed { changed.alias(name) } else { changed }))
    })
}

/// Static rows once for every set: one projection per set, and their union.
fn sets_of(sets: &GroupingSetsNode) -> Result<LogicalPlan> {
    let input = Arc::new(sets.input.clone());
    let types = sets.schema.fields().iter().skip(input.schema().fields().len());
    let nulls = types.map(|field| ScalarValue::try_from(field.data_type()));
    let nulls = nulls.collect::<DfResult<Vec<_>>>()?;
    let of_set = |set: usize| -> Result<Arc<LogicalPlan>> {
        let keys = sets
            .keys
            .iter()
            .enumerate()
            .map(|(number, key)| match sets.sets[set].contains(&number) {
                true => key.clone(),
                false => lit(nulls[number].clone()),
            });
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let numbers = [lit(sets.grouping_id(set)), lit(set as i64)];
        let items = columns.chain(keys).chain(numbers).enumerate();
        let items = items.map(|(at, item)| item.alias(format!("_{at}"))).collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(
            items,
            Arc::clone(&input),
        )?)))
    };
    let mut inputs = (0..sets.sets.len()).map(of_set).collect::<Result<Vec<_>>>()?;
    let all = match inputs.len() {
        1 => inputs.remove(0),
        _ => Arc::new(LogicalPlan::Union(Union::try_new(inputs)?)),
    };
    let named = sets.schema.iter().enumerate().map(|(at, (relation, field))| {
        Expr::Column(Column::new_unqualified(format!("_{at}"))).alias_qualified(relation.cloned(), field.name())
    });
    Ok(LogicalPlan::Projection(Projection::try_new(named.collect(), all)?))
}

/// A window column over static rows: one projection per window a row can be in, and their union.
///
/// Streams have derivations of their own, one in the engine and one in the oracle.
fn windows_of(window: &TimeWindowNode) -> Result<LogicalPlan> {
    let present = Expr::IsNotNull(Box::new(window.time.clone()));
    let input = Arc::new(LogicalPlan::Filter(Filter::new(
        present,
        Arc::new(window.input.clone()),
    )));
    let places = (window.duration_us + window.slide_us - 1) / window.slide_us;
    let columns = window.input.schema().columns();
    // A union forgets which relation a column is of, so columns have numbers until it is through.
    let numbered = |number: usize| format!("_{number}");
    let window_name = numbered(columns.len());
    let each = (0..places).map(|place| -> Result<Arc<LogicalPlan>> {
        let sizes = (window.duration_us, window.slide_us, window.start_us);
        let column = super::function::window::window(sizes, place, TimeWindowNode::window_type());
        let kept = columns
            .iter()
            .enumerate()
            .map(|(number, column)| Expr::Column(column.clone()).alias(numbered(number)));
        let window_column = column.call(vec![window.time.clone()]).alias(&window_name);
        let items = kept.chain([window_column]).collect();
        let projected = LogicalPlan::Projection(Projection::try_new(items, Arc::clone(&input))?);
        if window.duration_us % window.slide_us == 0 {
            return Ok(Arc::new(projected));
        }
        // The last place is a window for some rows only: the kernel gives NULL for the others.
        let inside = Expr::IsNotNull(Box::new(Expr::Column(Column::new_unqualified(&window_name))));
        Ok(Arc::new(LogicalPlan::Filter(Filter::new(inside, Arc::new(projected)))))
    });
    let mut inputs = each.collect::<Result<Vec<_>>>()?;
    let all = match inputs.len() {
        1 => inputs.remove(0),
        _ => Arc::new(LogicalPlan::Union(Union::try_new(inputs)?)),
    };
    let named = window.schema.iter().enumerate().map(|(number, (relation, field))| {
        Expr::Column(Column::new_unqualified(numbered(number))).alias_qualified(relation.cloned(), field.name())
    });
    Ok(LogicalPlan::Projection(Projection::try_new(named.collect(), all)?))
}
