//! Columns that are constants, in the conditions above them.

use std::collections::BTreeMap;

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::{map_inputs, unnamed};
use crate::oracle::tree::*;

/// The tree with constants for the columns a projection makes of them, in filters and joins up to the next watermark,
/// union, or relation that is kept from batch to batch: an aggregation of a stream, a join of streams. An equality of two sides may so become a condition on one.
pub(super) fn folded(node: Node) -> Node {
    let Node { output, mut kind } = map_inputs(node, folded);
    let fold = |conditions: &mut Vec<Expr>, known: &BTreeMap<Id, Expr>| {
        for condition in conditions.iter_mut().filter(|_| !known.is_empty()) {
            *condition = substitute(condition, &|id| known.get(&id).cloned());
        }
    };
    match &mut kind {
        Kind::Filter { input, predicates } => fold(predicates, &constants(input)),
        Kind::Join {
            left, right, condition, ..
        } if !(left.is_streaming() && right.is_streaming()) => {
            let mut known = constants(left);
            known.extend(constants(right));
            fold(condition, &known);
        }
        _ => {}
    }
    Node { output, kind }
}

/// The columns of a relation that are constants.
fn constants(node: &Node) -> BTreeMap<Id, Expr> {
    let of = |input: &Node, exprs: &[Expr]| {
        let below = constants(input);
        let value = |expr: &Expr| match unnamed(expr) {
            Expr::Literal(..) => Some(expr.clone()),
            other => below.get(&column_id(other)?).cloned(),
        };
        let pairs = node.output.iter().zip(exprs);
        pairs.filter_map(|(a, expr)| Some((a.id, value(expr)?))).collect()
    };
    match &node.kind {
        Kind::Static { known, .. } => known.iter().filter_map(constant_column).collect(),
        Kind::Project { input, exprs } => of(input, exprs),
        Kind::Aggregate { input, keys, .. } if !input.is_streaming() => of(input, keys),
        Kind::Filter { input, .. } | Kind::Sort { input, .. } | Kind::Limit { input, .. } => constants(input),
        Kind::Join { left, right, kind, .. } if !(left.is_streaming() && right.is_streaming()) => {
            let (keeps_left, keeps_right) = match kind {
                JoinKind::Inner | JoinKind::Cross => (true, true),
                JoinKind::Left | JoinKind::Semi | JoinKind::Anti => (true, false),
                JoinKind::Right => (false, true),
                JoinKind::Full | JoinKind::Mark => (false, false),
            };
            let mut known = BTreeMap::new();
            if keeps_left {
                known.extend(constants(left));
            }
            if keeps_right {
                known.extend(constants(right));
            }
            known
        }
        _ => BTreeMap::new(),
    }
}

/// The column a table is known to have one value in.
fn constant_column(known: &Expr) -> Option<(Id, Expr)> {
    match known {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::IsNotDistinctFrom,
            right,
        }) if matches!(unnamed(left), Expr::Literal(..)) => Some((column_id(right)?, unnamed(left).clone())),
        _ => None,
    }
}
