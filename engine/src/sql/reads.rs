//! Which columns of its streams a query reads, as Spark's optimiser prunes them.
//!
//! That is more than thrift: a file reader looks at the columns that are read and at no other, so that a row is malformed
//! for one query and sound for another.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::node::{StreamTable, TimeWindowNode, WatermarkNode};
use crate::format::columns::Columns;

/// The columns each stream is read with, by its name, an entry for every time the query reads it.
pub fn columns_read(plan: &LogicalPlan) -> BTreeMap<String, Vec<Columns>> {
    let mut reads = BTreeMap::new();
    visit(plan, &plan.schema().columns().into_iter().collect(), &mut reads);
    reads
}

fn visit(plan: &LogicalPlan, needed: &HashSet<Column>, reads: &mut BTreeMap<String, Vec<Columns>>) {
    if let Some(stream) = StreamTable::of(plan) {
        let columns = plan.schema().columns();
        let places: BTreeSet<usize> = (0..columns.len()).filter(|at| needed.contains(&columns[*at])).collect();
        let scan = match places.len() == columns.len() {
            true => Columns::All,
            false => Columns::Only(places),
        };
        return reads.entry(stream.name.clone()).or_default().push(scan);
    }
    match plan {
        LogicalPlan::Projection(projection) => {
            let made = projection.schema.columns().into_iter().zip(&projection.expr);
            let wanted = made.filter(|(column, _)| needed.contains(column)).map(|(_, expr)| expr);
            visit(&projection.input, &read_by(wanted), reads);
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.schema.columns().into_iter().zip(alias.input.schema().columns());
            let below = columns
                .filter(|(outer, _)| needed.contains(outer))
                .map(|(_, inner)| inner);
            visit(&alias.input, &below.collect(), reads);
        }
        LogicalPlan::Aggregate(aggregate) => {
            let made = aggregate.schema.columns().into_iter().skip(aggregate.group_expr.len());
            let wanted = made
                .zip(&aggregate.aggr_expr)
                .filter(|(column, _)| needed.contains(column));
            let read = aggregate.group_expr.iter().chain(wanted.map(|(_, expr)| expr));
            visit(&aggregate.input, &read_by(read), reads);
        }
        LogicalPlan::Union(union) => {
            let columns = union.schema.columns();
            for input in &union.inputs {
                let pairs = columns.iter().zip(input.schema().columns());
                let below = pairs
                    .filter(|(outer, _)| needed.contains(outer))
                    .map(|(_, inner)| inner);
                visit(input, &below.collect(), reads);
            }
        }
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            let mut below = needed.clone();
            if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
                below.insert(watermark.column.clone());
                visit(&watermark.input, &below, reads);
            } else if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
                // Rows without a time leave, whoever reads the window.
                below.remove(&window.window_column());
                below.extend(read_by([&window.time].into_iter()));
                visit(&window.input, &below, reads);
            } else {
                extension
                    .node
                    .inputs()
                    .into_iter()
                    .for_each(|input| visit_all(input, reads));
            }
        }
        other => {
            let mut below = needed.clone();
            below.extend(read_by(other.expressions().iter()));
            for input in other.inputs() {
                let visible: HashSet<Column> = input.schema().columns().into_iter().collect();
                visit(input, &below.intersection(&visible).cloned().collect(), reads);
            }
        }
    }
}

fn visit_all(plan: &LogicalPlan, reads: &mut BTreeMap<String, Vec<Columns>>) {
    visit(plan, &plan.schema().columns().into_iter().collect(), reads);
}

fn read_by<'a>(exprs: impl Iterator<Item = &'a Expr>) -> HashSet<Column> {
    exprs.flat_map(|expr| expr.column_refs()).cloned().collect()
}
