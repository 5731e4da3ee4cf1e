//! Columns nobody needs leave before a stream-stream join.
//!
//! That is more than thrift: a join judges late rows by the event-time column of its *pruned* input, so a query that
//! neither compares nor selects the time has no late filter and no eviction on that side (spark-semantics 3).
//!
//! On the way it is noted which columns of each stream are looked at at all: a source need not make the others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan, Projection, Union};

use super::streams;
use crate::Result;
use crate::sql::{StreamTable, TimeWindowNode, WatermarkNode};

/// The columns of streams that are looked at, by stream and position.
#[derive(Debug, Default)]
pub(super) struct Needed(BTreeMap<String, BTreeSet<usize>>);

impl Needed {
    /// The columns of one stream, in order.
    pub(super) fn columns_of(&self, stream: &str) -> Vec<usize> {
        self.0.get(stream).into_iter().flatten().copied().collect()
    }

    fn note(&mut self, stream: &StreamTable, is_needed: impl Fn(usize) -> bool) {
        let columns = (0..stream.schema.fields().len()).filter(|index| is_needed(*index));
        self.0.entry(stream.name.clone()).or_default().extend(columns);
    }

    /// Every column of every stream below, where it is not looked into how they are used.
    fn note_all(&mut self, plan: &LogicalPlan) {
        let visit = plan.apply(|node| {
            if let Some(stream) = StreamTable::of(node) {
                self.note(stream, |_| true);
            }
            Ok(TreeNodeRecursion::Continue)
        });
        visit.expect("looking at a plan cannot fail");
    }
}

/// The same query with the inputs of stream-stream joins cut down to what is read of them.
pub(super) fn prune_columns(plan: LogicalPlan) -> Result<(LogicalPlan, Needed)> {
    let all = plan.schema().columns().into_iter().collect();
    let mut leaves = Needed::default();
    let plan = prune(plan, all, &mut leaves)?;
    Ok((plan, leaves))
}

fn prune(plan: LogicalPlan, needed: HashSet<Column>, leaves: &mut Needed) -> Result<LogicalPlan> {
    if !streams(&plan) {
        return Ok(plan);
    }
    if let Some(stream) = StreamTable::of(&plan) {
        let columns = plan.schema().columns();
        leaves.note(stream, |index| needed.contains(&columns[index]));
        return Ok(plan);
    }
    match plan {
        LogicalPlan::Projection(p) => prune_projection(p, &needed, leaves),
        LogicalPlan::SubqueryAlias(mut alias) => {
            let pairs = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
            let below = pairs
                .filter(|(outer, _)| needed.contains(outer))
                .map(|(_, inner)| inner)
                .collect();
            let input = prune(Arc::unwrap_or_clone(alias.input), below, leaves)?;
            alias = datafusion::logical_expr::SubqueryAlias::try_new(Arc::new(input), alias.alias)?;
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        LogicalPlan::Aggregate(mut a) => {
            let below = read_by(a.group_expr.iter().chain(&a.aggr_expr));
            a.input = Arc::new(prune(Arc::unwrap_or_clone(a.input), below, leaves)?);
            Ok(LogicalPlan::Aggregate(a))
        }
        LogicalPlan::Join(join) => prune_join(join, needed, leaves),
        LogicalPlan::Union(union) => {
            // Positions must stay the same in every branch, so a union keeps all its columns.
            let inputs = union.inputs.into_iter().map(|input| {
                let all = input.schema().columns().into_iter().collect();
                Ok(Arc::new(prune(Arc::unwrap_or_clone(input), all, leaves)?))
            });
            Ok(LogicalPlan::Union(Union {
                inputs: inputs.collect::<Result<_>>()?,
                schema: union.schema,
            }))
        }
        LogicalPlan::Extension(extension) => prune_extension(extension, needed, leaves),
        other => {
            let mut below = needed;
            below.extend(read_by(other.expressions().iter()));
            let inputs = other.inputs().into_iter().map(|input| {
                let visible: HashSet<Column> = input.schema().columns().into_iter().collect();
                prune(input.clone(), below.intersection(&visible).cloned().collect(), leaves)
            });
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            Ok(if inputs.is_empty() {
                other
            } else {
                other.with_new_exprs(other.expressions(), inputs)?
            })
        }
    }
}

fn prune_projection(p: Projection, needed: &HashSet<Column>, leaves: &mut Needed) -> Result<LogicalPlan> {
    let columns = p.schema.columns();
    let mut kept: Vec<Expr> = p
        .expr
        .iter()
        .zip(&columns)
        .filter(|(_, c)| needed.contains(c))
        .map(|(e, _)| e.clone())
        .collect();
    if kept.is_empty() {
        kept = p.expr.iter().take(1).cloned().collect(); // rows without columns would lose their number
    }
    let below = read_by(kept.iter());
    let input = Arc::new(prune(Arc::unwrap_or_clone(p.input), below, leaves)?);
    if kept.len() == p.expr.len() {
        return Ok(LogicalPlan::Projection(Projection::try_new_with_schema(
            kept, input, p.schema,
        )?));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(kept, input)?))
}

fn prune_extension(extension: Extension, needed: HashSet<Column>, leaves: &mut Needed) -> Result<LogicalPlan> {
    let node = extension.node.as_any();
    let mut below = needed;
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
        below.insert(watermark.column.clone());
        let input = prune(watermark.input.clone(), below, leaves)?;
        let node = Arc::new(WatermarkNode {
            input,
            ..watermark.clone()
        });
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
        below.remove(&window.window_column());
        below.extend(read_by([&window.time].into_iter()));
        let input = prune(window.input.clone(), below, leaves)?;
        let sizes = (window.duration_us, window.slide_us, window.start_us);
        let name = window.window_column().name;
        let node = Arc::new(TimeWindowNode::try_new(input, window.time.clone(), sizes, &name)?);
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    let plan = LogicalPlan::Extension(extension);
    leaves.note_all(&plan);
    Ok(plan)
}

fn prune_join(join: Join, needed: HashSet<Column>, leaves: &mut Needed) -> Result<LogicalPlan> {
    if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
        let plan = LogicalPlan::Join(join);
        leaves.note_all(&plan);
        return Ok(plan);
    }
    let mut read = needed;
    read.extend(read_by(
        join.on.iter().flat_map(|(l, r)| [l, r]).chain(join.filter.as_ref()),
    ));
    let both = streams(&join.left) && streams(&join.right);
    let mut side = |input: Arc<LogicalPlan>| -> Result<LogicalPlan> {
        let columns = input.schema().columns();
        let mut kept: Vec<Column> = columns.iter().filter(|c| read.contains(c)).cloned().collect();
        if kept.is_empty() {
            kept = columns.iter().take(1).cloned().collect();
        }
        let pruned = prune(Arc::unwrap_or_clone(input), kept.iter().cloned().collect(), leaves)?;
        if !both || pruned.schema().fields().len() == kept.len() {
            return Ok(pruned);
        }
        let exprs = kept.into_iter().map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(pruned))?))
    };
    let (left, right) = (Arc::new(side(join.left)?), Arc::new(side(join.right)?));
    Ok(LogicalPlan::Join(Join::try_new(
        left,
        right,
        join.on,
        join.filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?))
}

fn read_by<'a>(exprs: impl Iterator<Item = &'a Expr>) -> HashSet<Column> {
    exprs.flat_map(|e| e.column_refs()).cloned().collect()
}
