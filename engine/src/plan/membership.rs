//! Where `IN`, `EXISTS` and `NOT IN` end up: they are conditions on rows, so they sink as conditions do.
//!
//! The front end writes them as joins with a static subquery. Spark sinks the condition first and makes it a join
//! afterwards, so such a join stands below a watermark whose event time it does not read, and rows it removes do not
//! move the watermark. A join the user wrote stays where it was written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Aggregate, Expr, Extension, Filter, Join, LogicalPlan, Projection, SubqueryAlias};

use super::placement::substitute;
use super::streams;
use crate::Result;
use crate::sql::{TimeWindowNode, WatermarkNode};

/// The same query with every subquery condition as deep as it may go.
pub(super) fn sink_memberships(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sunk = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) if is_membership(&join) => Ok(Transformed::yes(sink(join)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(sunk.data)
}

/// Whether a join is a condition: the front end names its static side as no user can.
fn is_membership(join: &Join) -> bool {
    const NAMES: [&str; 2] = ["__auto_generated_subquery_name", "__correlated_sq"];
    let named = matches!(&*join.right, LogicalPlan::SubqueryAlias(alias)
        if NAMES.iter().any(|name| alias.alias.table().starts_with(name)));
    let asks = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    asks && (named || join.null_aware) && streams(&join.left) && !streams(&join.right)
}

/// Moves a membership below its left input, step by step, as far as it goes.
fn sink(join: Join) -> Result<LogicalPlan> {
    let read = left_columns(&join);
    Ok(match &*join.left {
        LogicalPlan::SubqueryAlias(alias) => {
            let below = alias.input.schema().columns().into_iter().map(Expr::Column);
            let input = sink_into(&join, &alias.input, alias.schema.columns(), below)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)
        }
        LogicalPlan::Projection(p) if !p.expr.iter().any(Expr::is_volatile) => {
            let below = p.expr.iter().map(|e| e.clone().unalias());
            let input = Arc::new(sink_into(&join, &p.input, p.schema.columns(), below)?);
            LogicalPlan::Projection(Projection::try_new_with_schema(
                p.expr.clone(),
                input,
                Arc::clone(&p.schema),
            )?)
        }
        LogicalPlan::Filter(filter) if !filter.predicate.is_volatile() => {
            let input = sink(over(&join, Arc::clone(&filter.input))?)?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)
        }
        LogicalPlan::Aggregate(a) => {
            let keys = a.schema.columns()[..a.group_expr.len()].to_vec();
            if keys.is_empty() || !read.iter().all(|c| keys.contains(c)) {
                return Ok(LogicalPlan::Join(join));
            }
            let below = a.group_expr.iter().map(|e| e.clone().unalias());
            let input = Arc::new(sink_into(&join, &a.input, keys, below)?);
            let (group, aggregates) = (a.group_expr.clone(), a.aggr_expr.clone());
            LogicalPlan::Aggregate(Aggregate::try_new_with_schema(
                input,
                group,
                aggregates,
                Arc::clone(&a.schema),
            )?)
        }
        LogicalPlan::Join(inner) if inner.join_type == JoinType::Inner => {
            let visible = |side: &LogicalPlan| read.iter().all(|c| side.schema().has_column(c));
            let mut inner = inner.clone();
            if visible(&inner.left) {
                inner.left = Arc::new(sink(over(&join, inner.left)?)?);
            } else if visible(&inner.right) {
                inner.right = Arc::new(sink(over(&join, inner.right)?)?);
            } else {
                return Ok(LogicalPlan::Join(join));
            }
            LogicalPlan::Join(inner)
        }
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(watermark) = node.downcast_ref::<WatermarkNode>()
                && !read.contains(&watermark.column)
            {
                let input = sink(over(&join, Arc::new(watermark.input.clone()))?)?;
                let node = Arc::new(WatermarkNode {
                    input,
                    ..watermark.clone()
                });
                return Ok(LogicalPlan::Extension(Extension { node }));
            }
            if let Some(window) = node.downcast_ref::<TimeWindowNode>()
                && !read.contains(&window.window_column())
            {
                let input = sink(over(&join, Arc::new(window.input.clone()))?)?;
                let node = Arc::new(TimeWindowNode {
                    input,
                    ..window.clone()
                });
                return Ok(LogicalPlan::Extension(Extension { node }));
            }
            LogicalPlan::Join(join)
        }
        _ => LogicalPlan::Join(join),
    })
}

/// The columns of the left side a membership reads.
fn left_columns(join: &Join) -> HashSet<Column> {
    let exprs = join.on.iter().map(|(left, _)| left).chain(&join.filter);
    let columns = exprs.flat_map(|e| e.column_refs()).cloned();
    columns.filter(|c| join.left.schema().has_column(c)).collect()
}

/// The membership over `input`, whose expressions stand for the columns it read.
fn sink_into(
    join: &Join,
    input: &Arc<LogicalPlan>,
    columns: Vec<Column>,
    below: impl Iterator<Item = Expr>,
) -> Result<LogicalPlan> {
    let names: HashMap<Column, Expr> = columns.into_iter().zip(below).collect();
    let mut moved = join.clone();
    moved.filter = match join.filter.clone() {
        Some(filter) => substitute(vec![filter], &names)?.pop(),
        None => None,
    };
    for (left, _) in &mut moved.on {
        *left = substitute(vec![left.clone()], &names)?.swap_remove(0);
    }
    sink(over(&moved, Arc::clone(input))?)
}

/// The same membership over another input.
fn over(join: &Join, input: Arc<LogicalPlan>) -> Result<Join> {
    Ok(Join::try_new(
        input,
        Arc::clone(&join.right),
        join.on.clone(),
        join.filter.clone(),
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?)
}
