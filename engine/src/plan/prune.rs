//! Columns nobody needs leave before a stream-stream join.
//!
//! That is more than thrift: a join judges late rows by the event-time column of its *pruned* input, so a query that
//! neither compares nor selects the time has no late filter and no eviction on that side (spark-semantics 3).

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::{Column, DFSchema, JoinType};
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan, Projection, Union};

use super::streams;
use crate::Result;
use crate::sql::{GroupingSetsNode, TimeWindowNode, WatermarkNode};

/// The same query with the inputs of stream-stream joins cut down to what is read of them.
pub(super) fn prune_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    let all = plan.schema().columns().into_iter().collect();
    prune(plan, all)
}

fn prune(plan: LogicalPlan, needed: HashSet<Column>) -> Result<LogicalPlan> {
    if !streams(&plan) {
        return Ok(plan);
    }
    match plan {
        LogicalPlan::Projection(p) => prune_projection(p, &needed),
        LogicalPlan::SubqueryAlias(mut alias) => {
            let pairs = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
            let below = pairs
                .filter(|(outer, _)| needed.contains(outer))
                .map(|(_, inner)| inner)
                .collect();
            let input = prune(Arc::unwrap_or_clone(alias.input), below)?;
            alias = datafusion::logical_expr::SubqueryAlias::try_new(Arc::new(input), alias.alias)?;
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        LogicalPlan::Aggregate(mut a) => {
            let below = read_by(a.group_expr.iter().chain(&a.aggr_expr));
            a.input = Arc::new(prune(Arc::unwrap_or_clone(a.input), below)?);
            Ok(LogicalPlan::Aggregate(a))
        }
        LogicalPlan::Join(join) => prune_join(join, needed),
        LogicalPlan::Union(union) => prune_union(union, &needed),
        LogicalPlan::Extension(extension) => prune_extension(extension, needed),
        other => {
            let mut below = needed;
            below.extend(read_by(other.expressions().iter()));
            let inputs = other.inputs().into_iter().map(|input| {
                let visible: HashSet<Column> = input.schema().columns().into_iter().collect();
                prune(input.clone(), below.intersection(&visible).cloned().collect())
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

fn prune_projection(p: Projection, needed: &HashSet<Column>) -> Result<LogicalPlan> {
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
    let input = Arc::new(prune(Arc::unwrap_or_clone(p.input), below)?);
    if kept.len() == p.expr.len() {
        return Ok(LogicalPlan::Projection(Projection::try_new_with_schema(
            kept, input, p.schema,
        )?));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(kept, input)?))
}

/// The branches keep the same columns in the same places.
fn prune_union(union: Union, needed: &HashSet<Column>) -> Result<LogicalPlan> {
    let columns = union.schema.columns();
    let mut places: Vec<usize> = (0..columns.len()).filter(|i| needed.contains(&columns[*i])).collect();
    if places.is_empty() {
        places.push(0);
    }
    let inputs = union.inputs.into_iter().map(|input| {
        let all = input.schema().columns();
        let kept: Vec<Column> = places.iter().map(|i| all[*i].clone()).collect();
        let pruned = prune(Arc::unwrap_or_clone(input), kept.iter().cloned().collect())?;
        if places.len() == columns.len() || pruned.schema().columns() == kept {
            return Ok(Arc::new(pruned));
        }
        let exprs = kept.into_iter().map(Expr::Column).collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(
            exprs,
            Arc::new(pruned),
        )?)))
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    if places.len() == columns.len() {
        return Ok(LogicalPlan::Union(Union {
            inputs,
            schema: union.schema,
        }));
    }
    let fields = places.iter().map(|i| {
        let (qualifier, field) = union.schema.qualified_field(*i);
        (qualifier.cloned(), Arc::clone(field))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), union.schema.metadata().clone())?;
    Ok(LogicalPlan::Union(Union {
        inputs,
        schema: Arc::new(schema),
    }))
}

fn prune_extension(extension: Extension, needed: HashSet<Column>) -> Result<LogicalPlan> {
    let node = extension.node.as_any();
    let mut below = needed;
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
        below.insert(watermark.column.clone());
        let input = prune(watermark.input.clone(), below)?;
        let node = Arc::new(WatermarkNode {
            input,
            ..watermark.clone()
        });
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
        below.remove(&window.window_column());
        below.extend(read_by([&window.time].into_iter()));
        let input = prune(window.input.clone(), below)?;
        let sizes = (window.duration_us, window.slide_us, window.start_us);
        let name = window.window_column().name;
        let node = Arc::new(TimeWindowNode::try_new(input, window.time.clone(), sizes, &name)?);
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
        let added = sets.added();
        below.retain(|column| !added.contains(column));
        below.extend(read_by(sets.keys.iter()));
        let input = prune(sets.input.clone(), below)?;
        let node = Arc::new(GroupingSetsNode::try_new(input, sets.keys.clone(), sets.sets.clone())?);
        return Ok(LogicalPlan::Extension(Extension { node }));
    }
    Ok(LogicalPlan::Extension(extension))
}

fn prune_join(join: Join, needed: HashSet<Column>) -> Result<LogicalPlan> {
    let mut read = needed;
    read.extend(read_by(
        join.on.iter().flat_map(|(l, r)| [l, r]).chain(join.filter.as_ref()),
    ));
    let both = streams(&join.left) && streams(&join.right);
    let side = |input: Arc<LogicalPlan>| -> Result<LogicalPlan> {
        let columns = input.schema().columns();
        let mut kept: Vec<Column> = columns.iter().filter(|c| read.contains(c)).cloned().collect();
        if kept.is_empty() {
            kept = columns.iter().take(1).cloned().collect();
        }
        let pruned = prune(Arc::unwrap_or_clone(input), kept.iter().cloned().collect())?;
        if !both || pruned.schema().fields().len() == kept.len() {
            return Ok(pruned);
        }
        let exprs = kept.into_iter().map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(pruned))?))
    };
    if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
        return Ok(LogicalPlan::Join(join));
    }
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
