//! NOT over subqueries, moved inwards as Spark's optimiser moves it before a subquery becomes a join.
//!
//! It matters because `NOT (x IN (...))` asks another question than `x IN (...)` negated: a NULL answers neither.

use crate::sql::parse::ast::{Ast, BinaryOp, UnaryOp};

/// The parts of an AND. NOT has gone from ORs with subqueries, which so become parts as well.
pub(in crate::sql) fn conjuncts(ast: &Ast) -> Vec<Ast> {
    match ast {
        Ast::Binary(BinaryOp::And, left, right) => [conjuncts(left), conjuncts(right)].concat(),
        other => match moved_inwards(other) {
            Some(moved) => conjuncts(&moved),
            None => vec![other.clone()],
        },
    }
}

/// `NOT (a OR b)` as `NOT a AND NOT b`, and its like, if a subquery is inside; None if nothing is to be moved.
pub(in crate::sql) fn moved_inwards(ast: &Ast) -> Option<Ast> {
    let Ast::Unary(UnaryOp::Not, inner) = ast else {
        return None;
    };
    if !asks(inner) {
        return None;
    }
    let not = |part: &Ast| Box::new(Ast::Unary(UnaryOp::Not, Box::new(part.clone())));
    match &**inner {
        Ast::Unary(UnaryOp::Not, twice) => Some((**twice).clone()),
        Ast::Binary(BinaryOp::And, left, right) => Some(Ast::Binary(BinaryOp::Or, not(left), not(right))),
        Ast::Binary(BinaryOp::Or, left, right) => Some(Ast::Binary(BinaryOp::And, not(left), not(right))),
        _ => None,
    }
}

/// Whether an answer of IN or EXISTS decides about a condition.
fn asks(ast: &Ast) -> bool {
    match ast {
        Ast::InQuery(..) | Ast::Exists(_) => true,
        Ast::Unary(UnaryOp::Not, inner) => asks(inner),
        Ast::Binary(BinaryOp::And | BinaryOp::Or, left, right) => asks(left) || asks(right),
        _ => false,
    }
}
