//! Conditions taken apart: into conjuncts, and equalities into their sides.

use std::collections::BTreeSet;

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::oracle::tree::*;

/// The two sides of an equality between left and right, and whether NULL equals NULL in it.
pub(super) fn equality(expr: &Expr, left: &BTreeSet<Id>, right: &BTreeSet<Id>) -> Option<(Expr, Expr, bool)> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op, right: b }) = expr else {
        return None;
    };
    let null_safe = match op {
        Operator::Eq => false,
        Operator::IsNotDistinctFrom => true,
        _ => return None,
    };
    let (refs_a, refs_b) = (references(a), references(b));
    if refs_a.is_empty() || refs_b.is_empty() {
        return None;
    }
    if refs_a.is_subset(left) && refs_b.is_subset(right) {
        return Some((a.as_ref().clone(), b.as_ref().clone(), null_safe));
    }
    if refs_b.is_subset(left) && refs_a.is_subset(right) {
        return Some((b.as_ref().clone(), a.as_ref().clone(), null_safe));
    }
    None
}

/// The conjuncts of a condition, as Spark's simplification leaves them.
pub(super) fn conjuncts(expr: Expr) -> Vec<Expr> {
    let negated = |op: Operator| match op {
        Operator::Gt => Some(Operator::LtEq),
        Operator::GtEq => Some(Operator::Lt),
        Operator::Lt => Some(Operator::GtEq),
        Operator::LtEq => Some(Operator::Gt),
        _ => None,
    };
    match expr {
        Expr::Alias(alias) => conjuncts(*alias.expr),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            let mut all = conjuncts(*left);
            all.extend(conjuncts(*right));
            all
        }
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => factored(conjuncts(*left), conjuncts(*right)),
        Expr::Between(between) if !between.negated => {
            let value = between.expr;
            vec![
                Expr::BinaryExpr(BinaryExpr::new(value.clone(), Operator::GtEq, between.low)),
                Expr::BinaryExpr(BinaryExpr::new(value, Operator::LtEq, between.high)),
            ]
        }
        Expr::Not(inner) => match *inner {
            Expr::Not(inner) => conjuncts(*inner),
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Or,
                right,
            }) => {
                let mut all = conjuncts(Expr::Not(left));
                all.extend(conjuncts(Expr::Not(right)));
                all
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if negated(op).is_some() => {
                vec![Expr::BinaryExpr(BinaryExpr::new(
                    left,
                    negated(op).unwrap_or(op),
                    right,
                ))]
            }
            other => vec![Expr::Not(Box::new(other))],
        },
        other => vec![other],
    }
}

/// `(a AND b) OR (a AND c)` holds where `a` and `b OR c` hold.
fn factored(left: Vec<Expr>, right: Vec<Expr>) -> Vec<Expr> {
    let (mut common, left): (Vec<_>, Vec<_>) = left.into_iter().partition(|e| is_deterministic(e) && right.contains(e));
    let right: Vec<_> = right.into_iter().filter(|e| !common.contains(e)).collect();
    let all = |exprs: Vec<Expr>| exprs.into_iter().reduce(Expr::and);
    if let (Some(left), Some(right)) = (all(left), all(right)) {
        common.push(left.or(right));
    }
    common
}
