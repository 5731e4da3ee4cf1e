//! What is known of the rows of a relation, and the conditions that follow from it.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use skirl_engine::sql;

use super::{map_inputs, unnamed};
use crate::oracle::tree::*;

/// Adds what follows from conditions and equal columns: at filters, and on the sides of joins that may lose rows.
pub(super) fn infer(node: Node) -> Node {
    let Node { output, kind } = node;
    match kind {
        Kind::Filter { input, predicates } => {
            let node = Node {
                output,
                kind: Kind::Filter { input, predicates },
            };
            let all = constraints(&node);
            let Node {
                output,
                kind: Kind::Filter { input, mut predicates },
            } = node
            else {
                unreachable!("still a filter")
            };
            let known = constraints(&input);
            let own = predicates.clone();
            let new = all.into_iter().filter(|c| !known.contains(c) && !own.contains(c));
            predicates.splice(0..0, new);
            Node {
                output,
                kind: Kind::Filter {
                    input: Box::new(infer(*input)),
                    predicates,
                },
            }
        }
        Kind::Join {
            left,
            right,
            kind,
            condition,
        } => {
            let (adds_left, adds_right) = match kind {
                JoinKind::Inner | JoinKind::Cross | JoinKind::Semi => (true, true),
                JoinKind::Right => (true, false),
                JoinKind::Left | JoinKind::Anti => (false, true),
                JoinKind::Full | JoinKind::Mark => (false, false),
            };
            let mut all = union_of(constraints(&left), constraints(&right));
            all = union_of(all, condition.clone());
            let follows = following(&all);
            all = union_of(all, follows);
            let left = infer(if adds_left { under(*left, &all) } else { *left });
            let right = infer(if adds_right { under(*right, &all) } else { *right });
            Node {
                output,
                kind: Kind::Join {
                    left: Box::new(left),
                    right: Box::new(right),
                    kind,
                    condition,
                },
            }
        }
        kind => map_inputs(Node { output, kind }, infer),
    }
}

/// A side of a join under everything that is known about its columns alone.
fn under(side: Node, all: &[Expr]) -> Node {
    let ids = side.ids();
    let known = constraints(&side);
    let all = union_of(all.to_vec(), with_not_null(all.to_vec()));
    let new = all.into_iter().filter(|c| {
        let wanted = references(c);
        !wanted.is_empty() && wanted.is_subset(&ids) && is_deterministic(c) && !known.contains(c)
    });
    let new: Vec<Expr> = new.collect();
    side.filtered(new)
}

/// Adds to the sides of joins what a condition on both says of one alone: of `(a > 1 AND b > 1) OR (a < 0 AND b < 0)`,
/// that `a > 1 OR a < 0`.
pub(super) fn weakened(node: Node) -> Node {
    let Node { output, kind } = map_inputs(node, weakened);
    let Kind::Join {
        left,
        right,
        kind,
        condition,
    } = kind
    else {
        return Node { output, kind };
    };
    let (adds_left, adds_right) = match kind {
        JoinKind::Inner | JoinKind::Cross | JoinKind::Semi => (true, true),
        JoinKind::Left | JoinKind::Anti => (false, true),
        JoinKind::Right => (true, false),
        JoinKind::Full | JoinKind::Mark => (false, false),
    };
    let under_parts = |side: Box<Node>, adds: bool| {
        let ids = side.ids();
        let parts = condition.iter().filter(|c| adds && is_deterministic(c));
        let parts = parts.filter_map(|c| part_about(c, &ids));
        Box::new(side.filtered(parts.collect()))
    };
    let (left, right) = (under_parts(left, adds_left), under_parts(right, adds_right));
    Node {
        output,
        kind: Kind::Join {
            left,
            right,
            kind,
            condition,
        },
    }
}

/// What a condition says of some columns alone.
fn part_about(condition: &Expr, ids: &BTreeSet<Id>) -> Option<Expr> {
    if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition
        && matches!(op, Operator::And | Operator::Or)
    {
        let parts = (part_about(left, ids), part_about(right, ids));
        return match parts {
            (Some(left), Some(right)) if *op == Operator::And => Some(left.and(right)),
            (Some(left), Some(right)) => Some(left.or(right)),
            (left, right) if *op == Operator::And => left.or(right),
            _ => None,
        };
    }
    let wanted = references(condition);
    (!wanted.is_empty() && wanted.is_subset(ids)).then(|| condition.clone())
}

/// What is known to hold for every row of a relation.
pub fn constraints(node: &Node) -> Vec<Expr> {
    let known = match &node.kind {
        Kind::Stream { .. }
        | Kind::Slide { .. }
        | Kind::Expand { .. }
        | Kind::Session { .. }
        | Kind::Deduplicate { .. } => vec![],
        Kind::Static { known, .. } => known.clone(),
        Kind::Filter { input, predicates } => union_of(constraints(input), predicates.clone()),
        Kind::Project { input, exprs } => renamed(constraints(input), &node.output, exprs),
        Kind::Aggregate { input, keys, .. } => renamed(constraints(input), &node.output, keys),
        Kind::Watermark { input, .. } | Kind::Sort { input, .. } | Kind::Limit { input, .. } => constraints(input),
        Kind::Join {
            left,
            right,
            kind,
            condition,
        } => match kind {
            JoinKind::Inner | JoinKind::Cross => {
                union_of(union_of(constraints(left), constraints(right)), condition.clone())
            }
            JoinKind::Semi => union_of(constraints(left), condition.clone()),
            JoinKind::Left | JoinKind::Anti | JoinKind::Mark => constraints(left),
            JoinKind::Right => constraints(right),
            JoinKind::Full => vec![],
        },
        Kind::Union { inputs } => common(node, inputs),
    };
    let follows = following(&known);
    let not_null = with_not_null(known.clone());
    let mut all = union_of(union_of(known, follows), not_null);
    let ids = node.ids();
    all.retain(|c| {
        let wanted = references(c);
        !wanted.is_empty() && wanted.is_subset(&ids) && is_deterministic(c)
    });
    all
}

/// What holds under the new names of a projection.
fn renamed(mut known: Vec<Expr>, output: &[Attribute], exprs: &[Expr]) -> Vec<Expr> {
    for (attribute, expr) in output.iter().zip(exprs) {
        if column_id(expr) == Some(attribute.id) {
            continue;
        }
        let new = column(attribute.id);
        let sayable = known.iter().filter(|c| !is_cast_away(expr, c));
        let replaced: Vec<Expr> = sayable.map(|c| replaced(c, expr, &new)).collect();
        known = union_of(known, replaced);
        let same = BinaryExpr::new(Box::new(expr.clone()), Operator::IsNotDistinctFrom, Box::new(new));
        known.push(Expr::BinaryExpr(same));
    }
    known
}

/// Whether `cast` is the cast of a value that `condition` compares with a constant: Spark has then cast the constant,
/// and the condition speaks of the value itself.
fn is_cast_away(cast: &Expr, condition: &Expr) -> bool {
    let compares = |e: &Expr| {
        let Expr::BinaryExpr(BinaryExpr { left, op, right }) = e else {
            return Ok(false);
        };
        let with_constant = |value: &Expr, other: &Expr| value == cast && matches!(other, Expr::Literal(..));
        Ok(op.negate().is_some() && (with_constant(left, right) || with_constant(right, left)))
    };
    matches!(unnamed(cast), Expr::Cast(_)) && condition.exists(compares).expect("the walk does not fail")
}

/// What holds in every branch of a union.
fn common(union: &Node, inputs: &[Node]) -> Vec<Expr> {
    let of_branch = |input: &Node| -> Vec<Expr> {
        let rename = |id: Id| {
            let at = input.output.iter().position(|a| a.id == id)?;
            Some(column(union.output[at].id))
        };
        constraints(input).iter().map(|c| substitute(c, &rename)).collect()
    };
    let mut branches = inputs.iter().map(of_branch);
    let first = branches.next().unwrap_or_default();
    branches.fold(first, |known, branch| {
        known.into_iter().filter(|c| branch.contains(c)).collect()
    })
}

/// What equal columns say about each other.
fn following(known: &[Expr]) -> Vec<Expr> {
    let predicates: Vec<&Expr> = known.iter().filter(|c| !matches!(c, Expr::IsNotNull(_))).collect();
    let mut new = vec![];
    for equality in &predicates {
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) = equality
        else {
            continue;
        };
        let is_column = |e: &Expr| matches!(e, Expr::Column(_));
        let is_cast = |e: &Expr| matches!(e, Expr::Cast(c) if is_column(&c.expr));
        let mut replace_all = |from: &Expr, to: &Expr| {
            for c in predicates.iter().filter(|c| *c != equality) {
                let replaced = replaced(c, from, to);
                if replaced != **c && !known.contains(&replaced) && !new.contains(&replaced) {
                    new.push(replaced);
                }
            }
        };
        if is_column(left) && is_column(right) {
            replace_all(left, right);
            replace_all(right, left);
        } else if is_cast(left) && is_column(right) {
            replace_all(right, left);
        } else if is_column(left) && is_cast(right) {
            replace_all(left, right);
        }
    }
    new
}

fn replaced(expr: &Expr, from: &Expr, to: &Expr) -> Expr {
    let swap = |e: Expr| {
        if e == *from {
            Ok(Transformed::yes(to.clone()))
        } else {
            Ok(Transformed::no(e))
        }
    };
    expr.clone().transform_up(swap).expect("replacing does not fail").data
}

/// The columns that cannot be NULL where the conditions hold.
pub(super) fn with_not_null(known: Vec<Expr>) -> Vec<Expr> {
    let mut columns = BTreeSet::new();
    for c in &known {
        match c {
            Expr::IsNotNull(inner) => null_intolerant(inner, &mut columns),
            other => null_intolerant(other, &mut columns),
        }
    }
    let not_null = columns.into_iter().map(|id| Expr::IsNotNull(Box::new(column(id))));
    not_null.filter(|c| !known.contains(c)).collect()
}

/// The columns whose NULL makes the whole expression NULL.
fn null_intolerant(expr: &Expr, columns: &mut BTreeSet<Id>) {
    if let Expr::Column(_) = expr {
        columns.extend(column_id(expr));
    } else if sql::is_null_intolerant(expr) {
        let walked = expr.apply_children(|child| {
            null_intolerant(child, columns);
            Ok(TreeNodeRecursion::Continue)
        });
        walked.expect("the walk does not fail");
    }
}

fn union_of(mut all: Vec<Expr>, more: Vec<Expr>) -> Vec<Expr> {
    for c in more {
        if !all.contains(&c) {
            all.push(c);
        }
    }
    all
}
