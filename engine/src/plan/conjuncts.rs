//! The conjuncts of a condition, as Spark's optimiser leaves them.
//!
//! A conjunct sinks, or becomes a bound of a join, by what it says and not by how it was written: NOT moves inwards,
//! BETWEEN is two comparisons, and what all branches of an OR have in common stands outside it.

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator, lit};

use crate::sql;

/// The parts of a condition that must all hold.
pub(super) fn conjuncts(condition: Expr) -> Vec<Expr> {
    match positive(condition) {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => [conjuncts(*left), conjuncts(*right)].concat(),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => factored(conjuncts(*left), conjuncts(*right)),
        other => vec![other],
    }
}

/// The same condition without a NOT or BETWEEN at its top, where there is another way to say it.
fn positive(condition: Expr) -> Expr {
    match condition {
        Expr::Alias(alias) => positive(*alias.expr),
        Expr::Not(inner) => negated(positive(*inner)),
        Expr::Between(Between {
            expr,
            negated: false,
            low,
            high,
        }) => binary(
            binary(*expr.clone(), Operator::GtEq, *low),
            Operator::And,
            binary(*expr, Operator::LtEq, *high),
        ),
        other => other,
    }
}

/// NOT of a condition.
fn negated(condition: Expr) -> Expr {
    let not = |part: Box<Expr>| positive(Expr::Not(part));
    match condition {
        Expr::Not(inner) => positive(*inner),
        Expr::IsNull(inner) => Expr::IsNotNull(inner),
        Expr::IsNotNull(inner) => Expr::IsNull(inner),
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => lit(!value),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => binary(not(left), Operator::Or, not(right)),
            Operator::Or => binary(not(left), Operator::And, not(right)),
            Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq | Operator::Eq | Operator::NotEq => {
                binary(*left, op.negate().unwrap_or(op), *right)
            }
            _ => Expr::Not(Box::new(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
        },
        other => Expr::Not(Box::new(other)),
    }
}

/// Whether a condition gives the same answer wherever it is asked; to Spark the time of a batch does not.
pub(super) fn is_deterministic(condition: &Expr) -> bool {
    let asks_time = || condition.exists(|e| Ok(sql::is_batch_time(e))).unwrap_or(true);
    !condition.is_volatile() && !asks_time()
}

/// `(a AND b) OR (a AND c)` holds where `a` holds and `b OR c`.
fn factored(left: Vec<Expr>, right: Vec<Expr>) -> Vec<Expr> {
    let (mut common, left): (Vec<Expr>, Vec<Expr>) = left
        .into_iter()
        .partition(|part| is_deterministic(part) && right.contains(part));
    let right: Vec<Expr> = right.into_iter().filter(|part| !common.contains(part)).collect();
    let all = |parts: Vec<Expr>| parts.into_iter().reduce(|l, r| binary(l, Operator::And, r));
    if let (Some(left), Some(right)) = (all(left), all(right)) {
        common.push(binary(left, Operator::Or, right));
    }
    common
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::col;

    #[test]
    fn a_condition_falls_apart_by_what_it_says() {
        let (a, b, c) = (|| col("a").gt(lit(1)), || col("b"), || col("c"));
        for (condition, wanted) in [
            (a().and(b()).or(a().and(c())), "a > Int32(1); b OR c"),
            (a().and(b()).or(a()), "a > Int32(1)"),
            (Expr::Not(Box::new(a().or(b()))), "a <= Int32(1); NOT b"),
            (
                Expr::Not(Box::new(Expr::Not(Box::new(a().and(b()))))),
                "a > Int32(1); b",
            ),
            (Expr::Not(Box::new(a().and(b()))), "a <= Int32(1) OR NOT b"),
            (Expr::Not(Box::new(b().is_null())), "b IS NOT NULL"),
            (col("a").between(lit(1), lit(2)), "a >= Int32(1); a <= Int32(2)"),
        ] {
            let found: Vec<String> = conjuncts(condition).iter().map(Expr::to_string).collect();
            assert_eq!(found.join("; "), wanted);
        }
    }
}
