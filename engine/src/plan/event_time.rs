//! Which columns carry event time: Spark's tag on a column's metadata (spark-semantics 2.2).
//!
//! A tag survives plain renames, filters, unions (the left child's) and joins; any computed expression loses it.

use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::sql::{GroupingSetsNode, SessionWindowNode, TimeWindowNode, WatermarkNode, window_of_time};

/// For each output column of `plan`, whether it is tagged as event time.
pub(super) fn tags(plan: &LogicalPlan) -> Vec<bool> {
    match plan {
        LogicalPlan::Projection(p) => of_exprs(&p.expr, &p.input),
        LogicalPlan::Aggregate(a) => {
            let mut tags = of_exprs(&a.group_expr, &a.input);
            tags.resize(a.schema.fields().len(), false);
            tags
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => tags(&join.left),
            JoinType::RightSemi | JoinType::RightAnti => tags(&join.right),
            _ => {
                let mut both = tags(&join.left);
                both.extend(tags(&join.right));
                both.resize(join.schema.fields().len(), false);
                both
            }
        },
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
                let schema = watermark.input.schema();
                // A redefinition takes the tag from every other column.
                return schema.columns().iter().map(|c| *c == watermark.column).collect();
            }
            let windows = node.downcast_ref::<TimeWindowNode>().map(|w| (&w.time, &w.input));
            let sessions = node.downcast_ref::<SessionWindowNode>().map(|w| (&w.time, &w.input));
            if let Some((time, input)) = windows.or(sessions) {
                let mut tags = tags(input);
                tags.push(is_tagged(time, input));
                return tags;
            }
            if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
                let mut tags = tags(&sets.input);
                tags.extend(of_exprs(&sets.keys, &sets.input));
                tags.resize(plan.schema().fields().len(), false);
                return tags;
            }
            vec![false; plan.schema().fields().len()]
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Union(_) => plan.inputs().first().map(|input| tags(input)).unwrap_or_default(),
        _ => vec![false; plan.schema().fields().len()],
    }
}

/// Whether an expression over `input` is a bare tagged column, or the `window_time` of one.
pub(super) fn is_tagged(expr: &Expr, input: &LogicalPlan) -> bool {
    match expr.clone().unalias() {
        Expr::Column(column) => tagged_column(&column, input),
        other => window_of_time(&other).is_some_and(|window| tagged_column(window, input)),
    }
}

/// The tagged columns of a plan's output.
pub(super) fn tagged_columns(plan: &LogicalPlan) -> Vec<Column> {
    plan.schema()
        .columns()
        .into_iter()
        .zip(tags(plan))
        .filter(|(_, tagged)| *tagged)
        .map(|(c, _)| c)
        .collect()
}

fn tagged_column(column: &Column, input: &LogicalPlan) -> bool {
    let index = input.schema().maybe_index_of_column(column);
    index.is_some_and(|i| tags(input).get(i).copied().unwrap_or(false))
}

fn of_exprs(exprs: &[Expr], input: &LogicalPlan) -> Vec<bool> {
    exprs.iter().map(|e| is_tagged(e, input)).collect()
}
