//! `LIMIT 0`: nothing below it runs, though its streams are read.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, Union, lit};

use super::expr::constant;
use super::streams;
use crate::Result;
use crate::sql::StreamTable;

/// The same query without what stands below a `LIMIT 0`: state, watermarks and all.
pub(super) fn drop_below_limit_zero(plan: LogicalPlan) -> Result<LogicalPlan> {
    let dropped = plan.transform_down(|node| {
        let LogicalPlan::Limit(limit) = &node else {
            return Ok(Transformed::no(node));
        };
        let is_zero = limit
            .fetch
            .as_ref()
            .is_some_and(|fetch| constant(fetch).is_ok_and(|rows| rows.to_string() == "0"));
        if !is_zero || !streams(&node) {
            return Ok(Transformed::no(node));
        }
        Ok(Transformed::new(nothing_of(&node)?, true, TreeNodeRecursion::Jump))
    })?;
    Ok(dropped.data)
}

/// No rows, of the columns of `plan`, from each of its streams.
fn nothing_of(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let mut scans: Vec<LogicalPlan> = vec![];
    plan.apply(|node| {
        if StreamTable::of(node).is_some() && !scans.contains(node) {
            scans.push(node.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let schema = plan.schema();
    let nulls = schema.iter().map(|(relation, field)| {
        let null = ScalarValue::try_new_null(field.data_type())?;
        Ok(Expr::Literal(null, None).alias_qualified(relation.cloned(), field.name()))
    });
    let nulls = nulls.collect::<Result<Vec<_>>>()?;
    let each = scans.into_iter().map(|scan| {
        let none = LogicalPlan::Filter(Filter::try_new(lit(false), Arc::new(scan))?);
        let columns = Projection::try_new_with_schema(nulls.clone(), Arc::new(none), Arc::clone(schema))?;
        Ok(Arc::new(LogicalPlan::Projection(columns)))
    });
    let mut inputs = each.collect::<Result<Vec<_>>>()?;
    if inputs.len() == 1 {
        return Ok(Arc::unwrap_or_clone(inputs.swap_remove(0)));
    }
    Ok(LogicalPlan::Union(Union {
        inputs,
        schema: Arc::clone(schema),
    }))
}
