//! Where filters end up, as Spark's optimizer places them.
//!
//! It matters: only rows that physically reach a watermark node count for the watermark, so a filter that sinks below
//! it changes which rows are late everywhere above (spark-semantics 2.4). Filters that mention the event time stay
//! above; all others sink, among them `IS NOT NULL(key)` and the predicates an equality carries from one side of an
//! inner join to the other (6.6).

mod infer;
mod join;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, Filter, LogicalPlan, Projection, Sort, SubqueryAlias, Union,
};

use super::conjuncts::{conjuncts, is_deterministic};
use super::{event_time, streams};
use crate::Result;
use crate::sql::{GroupingSetsNode, TimeWindowNode, WatermarkNode};
use infer::{infer, not_nulls_of_mixed};
use join::sink_below_join;

/// The same query with every filter where Spark would evaluate it.
pub(super) fn place_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sunk = sink(plan, vec![], Pass::Written)?;
    sink(infer(sunk)?, vec![], Pass::Inferred)
}

/// Spark infers conditions once, from a query whose written conditions have sunk already: below a projection they may
/// say more, since a column that is a constant there is one in them. What was inferred sinks then, and nothing more is
/// inferred from it.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Written,
    Inferred,
}

/// Sinks `predicates`, which hold on the output of `plan`, as deep into it as they may go.
fn sink(plan: LogicalPlan, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    if !streams(&plan) {
        return filter_above(plan, predicates); // DataFusion knows best where a static side filters
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let (mut down, stay) = partition(conjuncts(filter.predicate), is_deterministic);
            let implied = down.iter().flat_map(not_nulls_of_mixed).collect::<Vec<_>>();
            down.extend(implied);
            down.extend(predicates);
            filter_above(sink(Arc::unwrap_or_clone(filter.input), dedup(down), pass)?, stay)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = mapping(
                alias.schema.columns(),
                alias.input.schema().columns().into_iter().map(Expr::Column),
            );
            let predicates = substitute(predicates, &below)?;
            let input = sink(Arc::unwrap_or_clone(alias.input), predicates, pass)?;
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                Arc::new(input),
                alias.alias,
            )?))
        }
        LogicalPlan::Projection(projection) => sink_below_projection(projection, predicates, pass),
        LogicalPlan::Aggregate(aggregate) => sink_below_aggregate(aggregate, predicates, pass),
        LogicalPlan::Union(union) => sink_below_union(union, predicates, pass),
        LogicalPlan::Sort(sort) => {
            let input = Arc::new(sink(Arc::unwrap_or_clone(sort.input), predicates, pass)?);
            Ok(LogicalPlan::Sort(Sort { input, ..sort }))
        }
        LogicalPlan::Limit(mut limit) => {
            limit.input = Arc::new(sink(Arc::unwrap_or_clone(limit.input), vec![], pass)?);
            filter_above(LogicalPlan::Limit(limit), predicates)
        }
        LogicalPlan::Join(join) => sink_below_join(join, predicates, pass),
        LogicalPlan::Extension(extension) => sink_below_extension(extension, predicates, pass),
        leaf => filter_above(leaf, predicates),
    }
}

fn sink_below_projection(projection: Projection, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    let deterministic = projection.expr.iter().all(is_deterministic);
    let (down, stay) = if deterministic {
        (predicates, vec![])
    } else {
        (vec![], predicates)
    };
    let exprs = projection.expr.iter().map(|e| e.clone().unalias());
    let down = substitute(down, &mapping(projection.schema.columns(), exprs))?;
    let input = sink(Arc::unwrap_or_clone(projection.input), down, pass)?;
    let projection = Projection::try_new_with_schema(projection.expr, Arc::new(input), projection.schema)?;
    filter_above(LogicalPlan::Projection(projection), stay)
}

/// Predicates over the grouping columns alone hold for the rows of a group as they hold for the group.
fn sink_below_aggregate(aggregate: Aggregate, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    let columns = aggregate.schema.columns();
    let keys: Vec<Column> = columns[..aggregate.group_expr.len()].to_vec();
    let key_set: HashSet<&Column> = keys.iter().collect();
    let (down, stay) = partition(predicates, |p| {
        let columns = p.column_refs();
        !keys.is_empty() && !columns.is_empty() && columns.iter().all(|c| key_set.contains(c))
    });
    let exprs = aggregate.group_expr.iter().map(|e| e.clone().unalias());
    let down = substitute(down, &mapping(keys.clone(), exprs))?;
    let input = Arc::new(sink(Arc::unwrap_or_clone(aggregate.input), down, pass)?);
    let rebuilt = Aggregate::try_new_with_schema(input, aggregate.group_expr, aggregate.aggr_expr, aggregate.schema)?;
    filter_above(LogicalPlan::Aggregate(rebuilt), stay)
}

fn sink_below_union(union: Union, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    let columns = union.schema.columns();
    let inputs = union.inputs.into_iter().map(|input| {
        let below = mapping(columns.clone(), input.schema().columns().into_iter().map(Expr::Column));
        Ok(Arc::new(sink(
            Arc::unwrap_or_clone(input),
            substitute(predicates.clone(), &below)?,
            pass,
        )?))
    });
    Ok(LogicalPlan::Union(Union {
        inputs: inputs.collect::<Result<_>>()?,
        schema: union.schema,
    }))
}

fn sink_below_extension(extension: Extension, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    let node = extension.node.as_any();
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
        let (down, stay) = partition(predicates, |p| !p.column_refs().contains(&watermark.column));
        let input = sink(watermark.input.clone(), down, pass)?;
        let node = Arc::new(WatermarkNode {
            input,
            ..watermark.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), stay);
    }
    if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
        let column = window.window_column();
        // Rows without a time have no window. Conditions on a time cannot sink below the watermark of that time itself,
        // but may sink below a join, into a branch of a union, where the time may be another, or below the watermark of
        // another time: also those on the window, if there is one only.
        let sinks = !event_time::is_tagged(&window.time, &window.input) || has_branches(&window.input);
        let predicates = match window.only_window().filter(|_| sinks) {
            Some(value) => substitute(predicates, &mapping(vec![column.clone()], [value].into_iter()))?,
            None => predicates,
        };
        let (mut down, stay) = partition(predicates, |p| !p.column_refs().contains(&column));
        if sinks {
            down.push(Expr::IsNotNull(Box::new(window.time.clone())));
        }
        let input = sink(window.input.clone(), down, pass)?;
        let node = Arc::new(TimeWindowNode {
            input,
            ..window.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), stay);
    }
    if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
        let node = Arc::new(GroupingSetsNode {
            input: sink(sets.input.clone(), vec![], pass)?,
            ..sets.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), predicates);
    }
    filter_above(LogicalPlan::Extension(extension), predicates)
}

fn has_branches(plan: &LogicalPlan) -> bool {
    let branches = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Join(_) | LogicalPlan::Union(_)));
    plan.exists(branches).unwrap_or(false)
}

fn filter_above(plan: LogicalPlan, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(predicates) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

fn mapping(columns: Vec<Column>, exprs: impl Iterator<Item = Expr>) -> HashMap<Column, Expr> {
    columns.into_iter().zip(exprs).collect()
}

/// The predicates said in other columns.
pub(super) fn substitute(predicates: Vec<Expr>, columns: &HashMap<Column, Expr>) -> Result<Vec<Expr>> {
    let replace = |expr: Expr| match &expr {
        Expr::Column(column) => Ok(columns.get(column).map_or(Transformed::no(expr.clone()), |e| {
            Transformed::new(e.clone(), true, TreeNodeRecursion::Jump)
        })),
        _ => Ok(Transformed::no(expr)),
    };
    Ok(predicates
        .into_iter()
        .map(|p| p.transform_down(replace).map(|t| t.data))
        .collect::<datafusion::common::Result<_>>()?)
}

fn partition(exprs: Vec<Expr>, mut down: impl FnMut(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    exprs.into_iter().partition(|e| down(e))
}

/// Without repetitions, in order of first appearance.
fn dedup(exprs: Vec<Expr>) -> Vec<Expr> {
    exprs.into_iter().fold(vec![], |mut kept, expr| {
        if !kept.contains(&expr) {
            kept.push(expr);
        }
        kept
    })
}
