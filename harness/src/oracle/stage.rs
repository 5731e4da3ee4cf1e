//! How often Spark runs an operator in a batch (spark-semantics 17).
//!
//! A sort goes by ranges of its keys, for which Spark looks at a sample of the rows first: it runs what stands below in
//! the same stage, and then runs it again. State does not mind, but its rows are counted each time.

use datafusion::logical_expr::Expr;
use skirl_engine::OutputMode;

use super::tree::*;

/// What the relations above make of an order.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// All rows in order.
    Rows,
    /// Only the first rows, which are found without a sort.
    FirstRows,
    /// Nothing: the sort is dropped.
    Nothing,
}

/// How often each operator with state runs in a batch, topmost first.
pub(super) fn runs(root: &Node, mode: OutputMode) -> Vec<u64> {
    let mut runs = vec![];
    count(root, 1, Asked::Rows, mode, &mut runs);
    runs
}

fn count(node: &Node, here: u64, asked: Asked, mode: OutputMode, runs: &mut Vec<u64>) {
    if node.is_stateful() || counts_over_life(node, mode) {
        runs.push(here);
    }
    let (below, asked) = match &node.kind {
        Kind::Sort { input, keys } => {
            let orders = keys.iter().any(|key| varies(&key.expr, input)) && !has_one_row(input);
            let is_made = asked == Asked::Rows && orders;
            (if is_made { 2 } else { here }, Asked::Nothing)
        }
        Kind::Limit { .. } => (1, Asked::FirstRows),
        Kind::Project { exprs, .. } if asked == Asked::FirstRows || exprs.iter().all(is_deterministic) => (here, asked),
        Kind::Filter { predicates, .. } if asked == Asked::Nothing && predicates.iter().all(is_deterministic) => {
            (here, asked)
        }
        Kind::Join { kind, condition, .. } if !node.is_stateful() => {
            // IN and EXISTS are filters until sorts have been dropped.
            let mixes = *kind != JoinKind::Mark || asked == Asked::Nothing;
            let mixes = mixes && condition.iter().all(is_deterministic);
            (here, if mixes { Asked::Nothing } else { Asked::Rows })
        }
        // Rows move to the tasks of an operator with state, and a stage ends.
        _ if node.is_stateful() => (1, Asked::Rows),
        _ => (here, Asked::Rows),
    };
    let inputs = node.inputs().into_iter();
    inputs.for_each(|input| count(input, below, asked, mode, runs));
}

/// Whether a limit counts rows over the life of the query and not in each batch.
pub(super) fn counts_over_life(node: &Node, mode: OutputMode) -> bool {
    let Kind::Limit { input, each_batch, .. } = &node.kind else {
        return false;
    };
    let aggregates = |n: &&Node| matches!(n.kind, Kind::Aggregate { .. }) && n.is_streaming();
    !each_batch && (mode == OutputMode::Append || !input.walk().iter().any(aggregates))
}

/// Whether an expression over a relation is no constant, also where a projection says so.
fn varies(expr: &Expr, input: &Node) -> bool {
    let of_projection = |id: Id| match &input.kind {
        Kind::Project { exprs, .. } => {
            let at = input.output.iter().position(|a| a.id == id)?;
            Some(&exprs[at])
        }
        _ => None,
    };
    let varies = |expr: &Expr| !is_deterministic(expr) || !references(expr).is_empty();
    let column_varies = |id: &Id| of_projection(*id).is_none_or(varies);
    !is_deterministic(expr) || references(expr).iter().any(column_varies)
}

/// Whether it is known beforehand that there is one row at most.
fn has_one_row(node: &Node) -> bool {
    match &node.kind {
        Kind::Aggregate { keys, .. } => keys.is_empty(),
        Kind::Limit { fetch: 0 | 1, .. } => true,
        Kind::Project { .. } | Kind::Filter { .. } | Kind::Sort { .. } | Kind::Limit { .. } => {
            node.inputs().into_iter().all(has_one_row)
        }
        _ => false,
    }
}
