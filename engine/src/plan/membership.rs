//! Where `IN`, `EXISTS` and `NOT IN` end up: they are conditions on rows, so they sink as conditions do.
//!
//! The front end writes them as joins with a static subquery. Spark sinks the condition first and makes it a join
//! afterwards, so such a join stands below a watermark whose event time it does not read, and rows it removes do not
//! move the watermark. A join the user wrote stays where it was written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, Filter, Join, LogicalPlan, Projection, Sort, SubqueryAlias, Union,
};

use super::conjuncts::conjuncts;
use super::placement::substitute;
use super::streams;
use crate::Result;
use crate::sql::{self, TimeWindowNode, WatermarkNode};

/// The same query with every subquery condition as deep as it may go.
pub(super) fn sink_memberships(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sunk = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) if is_answer(&join) && removes_rows(&join) => {
            let rows = Arc::clone(&join.left);
            let asked = Membership {
                joins: vec![join],
                predicate: None,
            };
            Ok(Transformed::yes(sink(&asked, &rows)?))
        }
        LogicalPlan::Filter(filter) => Ok(Transformed::yes(sink_asking_conjuncts(filter)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(sunk.data)
}

/// A condition that asks static tables: the joins that answer, lowest first, and what must hold of their answers.
#[derive(Clone)]
struct Membership {
    joins: Vec<Join>,
    /// None if the only join removes the rows itself.
    predicate: Option<Expr>,
}

/// Whether a join answers a subquery of an expression.
fn is_answer(join: &Join) -> bool {
    sql::is_subquery_join(join) && streams(&join.left) && !streams(&join.right)
}

fn removes_rows(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
}

/// A filter over joins that answer: its conjuncts sink, each with the answers it asks for.
///
/// A correlated scalar subquery stays: Spark makes it a join before conditions sink.
fn sink_asking_conjuncts(filter: Filter) -> Result<LogicalPlan> {
    let mut answers: Vec<&Join> = vec![];
    let mut rows = &filter.input;
    while let LogicalPlan::Join(join) = &**rows
        && is_answer(join)
        && join.join_type == JoinType::LeftMark
    {
        answers.insert(0, join);
        rows = &join.left;
    }
    let asked_by = |conjunct: &Expr| -> Vec<Join> {
        let columns = conjunct.column_refs();
        let asked = |join: &&Join| answers_of(join).iter().any(|answer| columns.contains(answer));
        answers
            .iter()
            .filter(|join| asked(join))
            .map(|join| (*join).clone())
            .collect()
    };
    let (mut plain, mut asking) = (vec![], vec![]);
    for conjunct in conjuncts(filter.predicate.clone()) {
        match asked_by(&conjunct) {
            joins if joins.is_empty() || conjunct.is_volatile() => plain.push(conjunct),
            joins => asking.push(Membership {
                joins,
                predicate: Some(conjunct),
            }),
        }
    }
    // What a volatile conjunct asks for must stay with it.
    if asking.is_empty() || plain.iter().any(|conjunct| !asked_by(conjunct).is_empty()) {
        return Ok(LogicalPlan::Filter(filter));
    }
    let mut plan = Arc::clone(rows);
    if let Some(predicate) = conjunction(plain) {
        plan = Arc::new(LogicalPlan::Filter(Filter::try_new(predicate, plan)?));
    }
    for membership in &asking {
        plan = Arc::new(sink(membership, &plan)?);
    }
    Ok(Arc::unwrap_or_clone(plan))
}

/// The columns a join adds to its left side.
fn answers_of(join: &Join) -> Vec<Column> {
    let mut columns = join.schema.columns();
    columns.split_off(join.left.schema().fields().len())
}

impl Membership {
    /// The columns of the rows it asks about.
    fn reads(&self) -> HashSet<Column> {
        let mut read: HashSet<Column> = self.exprs().flat_map(Expr::column_refs).cloned().collect();
        for join in &self.joins {
            for column in answers_of(join).into_iter().chain(join.right.schema().columns()) {
                read.remove(&column);
            }
        }
        read
    }

    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let of_joins = self
            .joins
            .iter()
            .flat_map(|join| join.on.iter().map(|(left, _)| left).chain(&join.filter));
        of_joins.chain(&self.predicate)
    }

    /// The same condition on rows whose columns are now expressions over other columns.
    fn renamed(&self, names: &HashMap<Column, Expr>) -> Result<Self> {
        let rename = |expr: &Expr| -> Result<Expr> { Ok(substitute(vec![expr.clone()], names)?.swap_remove(0)) };
        let mut renamed = self.clone();
        for join in &mut renamed.joins {
            join.filter = join.filter.as_ref().map(rename).transpose()?;
            for (left, _) in &mut join.on {
                *left = rename(left)?;
            }
        }
        renamed.predicate = self.predicate.as_ref().map(rename).transpose()?;
        Ok(renamed)
    }

    /// The rows of `input` for which it holds.
    fn over(&self, input: Arc<LogicalPlan>) -> Result<LogicalPlan> {
        let columns = input.schema().columns();
        let mut plan = Arc::unwrap_or_clone(input);
        for join in &self.joins {
            plan = LogicalPlan::Join(Join::try_new(
                Arc::new(plan),
                Arc::clone(&join.right),
                join.on.clone(),
                join.filter.clone(),
                join.join_type,
                join.join_constraint,
                join.null_equality,
                join.null_aware,
            )?);
        }
        let Some(predicate) = &self.predicate else {
            return Ok(plan);
        };
        let filter = LogicalPlan::Filter(Filter::try_new(predicate.clone(), Arc::new(plan))?);
        let kept = columns.into_iter().map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(kept, Arc::new(filter))?))
    }
}

/// Puts a membership into a plan, step by step, as deep as it goes.
fn sink(asked: &Membership, plan: &Arc<LogicalPlan>) -> Result<LogicalPlan> {
    let read = asked.reads();
    Ok(match &**plan {
        LogicalPlan::SubqueryAlias(alias) => {
            let below = alias.input.schema().columns().into_iter().map(Expr::Column);
            let input = sink_into(asked, &alias.input, alias.schema.columns(), below)?;
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)
        }
        LogicalPlan::Projection(p) if !p.expr.iter().any(Expr::is_volatile) => {
            let below = p.expr.iter().map(|e| e.clone().unalias());
            let input = Arc::new(sink_into(asked, &p.input, p.schema.columns(), below)?);
            LogicalPlan::Projection(Projection::try_new_with_schema(
                p.expr.clone(),
                input,
                Arc::clone(&p.schema),
            )?)
        }
        LogicalPlan::Filter(filter) if !filter.predicate.is_volatile() => {
            let input = sink(asked, &filter.input)?;
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?)
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
            let input = Arc::new(sink(asked, &sort.input)?);
            LogicalPlan::Sort(Sort { input, ..sort.clone() })
        }
        LogicalPlan::Aggregate(a) => {
            let keys = a.schema.columns()[..a.group_expr.len()].to_vec();
            if read.is_empty() || !read.iter().all(|c| keys.contains(c)) {
                return asked.over(Arc::clone(plan));
            }
            let below = a.group_expr.iter().map(|e| e.clone().unalias());
            let input = Arc::new(sink_into(asked, &a.input, keys, below)?);
            let (group, aggregates) = (a.group_expr.clone(), a.aggr_expr.clone());
            LogicalPlan::Aggregate(Aggregate::try_new_with_schema(
                input,
                group,
                aggregates,
                Arc::clone(&a.schema),
            )?)
        }
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| {
                let below = input.schema().columns().into_iter().map(Expr::Column);
                Ok(Arc::new(sink_into(asked, input, union.schema.columns(), below)?))
            });
            LogicalPlan::Union(Union {
                inputs: inputs.collect::<Result<_>>()?,
                schema: Arc::clone(&union.schema),
            })
        }
        LogicalPlan::Join(join) => return sink_below_join(asked, &read, join, plan),
        LogicalPlan::Extension(extension) => return sink_below_extension(asked, &read, extension, plan),
        _ => return asked.over(Arc::clone(plan)),
    })
}

/// Into the side a join keeps whole, or into either side of an inner join.
fn sink_below_join(
    asked: &Membership,
    read: &HashSet<Column>,
    join: &Join,
    plan: &Arc<LogicalPlan>,
) -> Result<LogicalPlan> {
    use JoinType::*;
    let visible = |side: &LogicalPlan| read.iter().all(|c| side.schema().has_column(c));
    let (into_left, into_right) = match join.join_type {
        Inner => (true, true),
        Left | LeftSemi | LeftAnti | LeftMark => (true, false),
        Right | RightSemi | RightAnti | RightMark => (false, true),
        Full => (false, false),
    };
    let mut join = join.clone();
    if into_left && visible(&join.left) {
        join.left = Arc::new(sink(asked, &join.left)?);
    } else if into_right && visible(&join.right) {
        join.right = Arc::new(sink(asked, &join.right)?);
    } else {
        return asked.over(Arc::clone(plan));
    }
    Ok(LogicalPlan::Join(join))
}

/// Below a watermark whose event time it does not read, and below windows it does not read.
fn sink_below_extension(
    asked: &Membership,
    read: &HashSet<Column>,
    extension: &Extension,
    plan: &Arc<LogicalPlan>,
) -> Result<LogicalPlan> {
    let node = extension.node.as_any();
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>()
        && !read.contains(&watermark.column)
    {
        let node = Arc::new(WatermarkNode {
            input: sink(asked, &Arc::new(watermark.input.clone()))?,
            ..watermark.clone()
        });
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    if let Some(window) = node.downcast_ref::<TimeWindowNode>()
        && !read.contains(&window.window_column())
    {
        let node = Arc::new(TimeWindowNode {
            input: sink(asked, &Arc::new(window.input.clone()))?,
            ..window.clone()
        });
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    asked.over(Arc::clone(plan))
}

/// The membership over `input`, whose expressions stand for the columns it read.
fn sink_into(
    asked: &Membership,
    input: &Arc<LogicalPlan>,
    columns: Vec<Column>,
    below: impl Iterator<Item = Expr>,
) -> Result<LogicalPlan> {
    let names: HashMap<Column, Expr> = columns.into_iter().zip(below).collect();
    sink(&asked.renamed(&names)?, input)
}
