//! From a logical plan to operators, once per query.
//!
//! [`prepare`] reads like the journey: refuse what Spark refuses, put filters where Spark evaluates them, cut columns
//! nobody needs, then build the operators.

mod build;
mod check;
mod conjuncts;
mod empty;
mod event_time;
mod expr;
mod membership;
mod placement;
mod prune;
mod shared;
mod state_bound;

pub(crate) use build::output_schema;

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use crate::format::columns::Columns;
use crate::operator::Node;
use crate::sql::{StreamTable, WatermarkNode, columns_read};
use crate::{OutputMode, Result};

/// A query ready to run.
pub(crate) struct Prepared {
    /// The topmost operator.
    pub root: Node,
    /// Names and types of what is emitted.
    pub schema: SchemaRef,
    /// The streams it reads, by name; [`Node::Source`] counts in this order.
    pub streams: Vec<String>,
    /// The columns each of them is read with, an entry for every time it is read.
    pub reads: Vec<Vec<Columns>>,
    /// How many operators read each of them.
    pub readers: Vec<usize>,
    /// The delay of each watermark node in milliseconds.
    pub delays_ms: Vec<i64>,
}

/// Settings that decide how a query is planned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanSettings {
    pub mode: OutputMode,
    pub ansi: bool,
}

/// Checks and plans a query.
///
/// # Errors
/// Spark's refusals by their conditions; `SKIRL_UNSUPPORTED` for what Skirl does not run yet.
pub(crate) fn prepare(plan: LogicalPlan, settings: PlanSettings) -> Result<Prepared> {
    check::refuse(&plan, settings.mode)?;
    let schema = build::output_schema(&plan);
    let reads = columns_read(&plan);
    let is_watermarked = has_watermark(&plan);
    let plan = empty::drop_below_limit_zero(plan)?;
    let plan = membership::fold(without_idle_chance(plan)?)?;
    let plan = placement::place_filters(plan)?;
    let plan = membership::unfold(plan)?;
    let plan = prune::prune_columns(plan)?;
    check::refuse_joins(&plan)?;
    let mut prepared = build::build(&plan, schema, reads, settings)?;
    if is_watermarked && prepared.delays_ms.is_empty() {
        prepared.delays_ms.push(0); // it shows a watermark, though nothing is left that could move it
    }
    Ok(prepared)
}

/// No condition sinks below a column that is not deterministic, unless nobody needs it.
fn without_idle_chance(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_chance = |node: &LogicalPlan| match node {
        LogicalPlan::Projection(projection) => !projection.expr.iter().all(conjuncts::is_deterministic),
        _ => false,
    };
    match plan.exists(|node| Ok(is_chance(node)))? {
        true => prune::prune_columns(plan),
        false => Ok(plan),
    }
}

fn has_watermark(plan: &LogicalPlan) -> bool {
    let is_watermark = |node: &LogicalPlan| match node {
        LogicalPlan::Extension(extension) => extension.node.as_any().is::<WatermarkNode>(),
        _ => false,
    };
    plan.exists(|node| Ok(is_watermark(node))).unwrap_or(false)
}

/// Whether a plan reads a stream.
fn streams(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visit = plan.apply(|node| {
        found |= StreamTable::of(node).is_some();
        Ok(if found {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    });
    visit.expect("looking at a plan cannot fail");
    found
}
