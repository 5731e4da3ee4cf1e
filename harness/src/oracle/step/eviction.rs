//! Which rows a join of two streams forgets.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr;

use super::Eviction;
use crate::oracle::conjuncts::equality;
use crate::oracle::state_watermark::bounds;
use crate::oracle::tree::*;

type Equality = (Expr, Expr, bool);

/// The equalities between two sides, and the rest of a condition.
pub(super) fn equalities(condition: &[Expr], left: &BTreeSet<Id>, right: &BTreeSet<Id>) -> (Vec<Equality>, Vec<Expr>) {
    let (mut equal, mut rest) = (vec![], vec![]);
    for conjunct in condition {
        match equality(conjunct, left, right) {
            Some(pair) => equal.push(pair),
            None => rest.push(conjunct.clone()),
        }
    }
    (equal, rest)
}

/// Which rows a join of two streams forgets; a side is its columns and those of them that are event times.
pub(super) fn eviction(
    keys: &[Equality],
    rest: &[Expr],
    (lefts, left_tags): (&BTreeSet<Id>, &BTreeSet<Id>),
    (rights, right_tags): (&BTreeSet<Id>, &BTreeSet<Id>),
) -> Eviction {
    let is_tagged = |e: &Expr, tags: &BTreeSet<Id>| column_id(e).is_some_and(|id| tags.contains(&id));
    // `<=>` is compared as an expression, and an expression carries no event time.
    let by_key = keys
        .iter()
        .position(|(l, _, null_safe)| !null_safe && is_tagged(l, left_tags));
    match by_key.or_else(|| {
        keys.iter()
            .position(|(_, r, null_safe)| !null_safe && is_tagged(r, right_tags))
    }) {
        Some(key) => Eviction::Key(key),
        // A side without an event time of its own has nothing to judge by.
        None => Eviction::Value {
            left: if left_tags.is_empty() {
                vec![]
            } else {
                bounds(rest, lefts, right_tags)
            },
            right: if right_tags.is_empty() {
                vec![]
            } else {
                bounds(rest, rights, left_tags)
            },
        },
    }
}

/// Whether the left and the right side of a join of two streams ever forget rows.
pub fn evicting_sides(join: &Node) -> (bool, bool) {
    let Kind::Join {
        left, right, condition, ..
    } = &join.kind
    else {
        return (false, false);
    };
    let (lefts, rights) = (left.ids(), right.ids());
    let (left_tags, right_tags) = join.event_times_of_sides();
    let (keys, rest) = equalities(condition, &lefts, &rights);
    match eviction(&keys, &rest, (&lefts, &left_tags), (&rights, &right_tags)) {
        Eviction::Key(_) => (true, true),
        Eviction::Value { left, right } => (!left.is_empty(), !right.is_empty()),
    }
}
