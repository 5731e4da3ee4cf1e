//! Dropping columns nobody asks for.

use std::collections::BTreeSet;

use datafusion::logical_expr::Expr;

use crate::oracle::tree::*;

/// Drops the columns nobody above asks for: what is not computed cannot fail, and an event time that is not there does
/// not judge rows.
pub(super) fn prune(node: &mut Node, needed: &BTreeSet<Id>) {
    let ids_of = |exprs: &[Expr]| -> BTreeSet<Id> { exprs.iter().flat_map(references).collect() };
    let mut below = needed.clone();
    match &mut node.kind {
        Kind::Stream { columns, .. } => {
            let kept: Vec<bool> = node.output.iter().map(|a| needed.contains(&a.id)).collect();
            keep(columns, &kept);
            keep(&mut node.output, &kept);
            return;
        }
        Kind::Static { .. } | Kind::Session { .. } => return,
        Kind::Project { input, exprs } => {
            let kept: Vec<bool> = node.output.iter().map(|a| needed.contains(&a.id)).collect();
            keep(exprs, &kept);
            keep(&mut node.output, &kept);
            prune(input, &ids_of(exprs));
            return;
        }
        Kind::Filter { input, predicates } => {
            below.extend(predicates.iter().flat_map(references));
            prune(input, &below);
        }
        Kind::Slide { input, time, .. } => {
            below.extend(references(time));
            prune(input, &below);
            let window = node.output.pop().expect("windows have a column");
            node.output = input.output.iter().cloned().chain([window]).collect();
            return;
        }
        Kind::Expand { input, keys, .. } => {
            below.extend(ids_of(keys));
            let added = node.output.split_off(input.output.len());
            prune(input, &below);
            node.output = input.output.iter().cloned().chain(added).collect();
            return;
        }
        Kind::Watermark { input, column, .. } => {
            below.insert(*column);
            prune(input, &below);
        }
        Kind::Sort { input, keys } => {
            below.extend(keys.iter().flat_map(|key| references(&key.expr)));
            prune(input, &below);
        }
        Kind::Limit { input, .. } | Kind::Deduplicate { input, .. } => {
            below = input.ids();
            prune(input, &below);
        }
        Kind::Aggregate {
            input,
            keys,
            aggregates,
            ..
        } => {
            let mut kept = vec![true; keys.len()];
            kept.extend(node.output[keys.len()..].iter().map(|a| needed.contains(&a.id)));
            keep(aggregates, &kept[keys.len()..]);
            keep(&mut node.output, &kept);
            let mut below = ids_of(keys);
            for call in aggregates.iter() {
                below.extend(ids_of(&call.args));
                below.extend(call.filter.iter().flat_map(references));
            }
            prune(input, &below);
            return;
        }
        Kind::Join { .. } => return prune_join(node, needed),
        Kind::Union { inputs } => {
            let kept: Vec<bool> = node.output.iter().map(|a| needed.contains(&a.id)).collect();
            for input in inputs {
                prune_branch(input, &kept);
            }
            keep(&mut node.output, &kept);
            return;
        }
    }
    node.output = node.inputs()[0].output.clone();
}

fn prune_join(node: &mut Node, needed: &BTreeSet<Id>) {
    let Kind::Join {
        left,
        right,
        kind,
        condition,
    } = &mut node.kind
    else {
        unreachable!("called for joins")
    };
    if *kind == JoinKind::Mark && node.output.last().is_some_and(|mark| !needed.contains(&mark.id)) {
        let mut left = std::mem::replace(
            &mut **left,
            Node {
                output: vec![],
                kind: Kind::Union { inputs: vec![] },
            },
        );
        prune(&mut left, needed);
        *node = left;
        return;
    }
    let mut below: BTreeSet<Id> = condition.iter().flat_map(references).collect();
    below.extend(needed);
    prune(left, &below);
    prune(right, &below);
    let kept: Vec<bool> = node.output.iter().map(|a| needed.contains(&a.id)).collect();
    keep(&mut node.output, &kept);
}

/// The branches of a union keep the same positions.
fn prune_branch(input: &mut Node, kept: &[bool]) {
    let wanted: Vec<Id> = input
        .output
        .iter()
        .zip(kept)
        .filter(|(_, kept)| **kept)
        .map(|(a, _)| a.id)
        .collect();
    prune(input, &wanted.iter().copied().collect());
    if input.output.iter().map(|a| a.id).eq(wanted.iter().copied()) {
        return;
    }
    let by_id = |id: &Id| {
        input
            .output
            .iter()
            .find(|a| a.id == *id)
            .expect("a wanted column is kept")
            .clone()
    };
    let output: Vec<Attribute> = wanted.iter().map(by_id).collect();
    let exprs = wanted.iter().map(|id| column(*id)).collect();
    let below = std::mem::replace(
        input,
        Node {
            output: vec![],
            kind: Kind::Union { inputs: vec![] },
        },
    );
    *input = Node {
        output,
        kind: Kind::Project {
            input: Box::new(below),
            exprs,
        },
    };
}

fn keep<T>(items: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    items.retain(|_| *kept.next().unwrap_or(&true));
}
