//! Where conditions end up when Spark has optimised a query.
//!
//! Only rows that reach a watermark node move the watermark, so it matters which conditions sink below it. These are
//! the rules of Spark's optimiser that decide it: predicates are pushed down, an outer join whose missing rows a
//! condition refuses becomes an inner one, conditions are inferred across equal columns once, and pushed down again.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use skirl_engine::sql;

use super::convert::conjuncts;
use super::member::{Membership, questions};
use super::tree::*;

/// The tree as Spark runs it.
pub(super) fn optimised(root: Node) -> Node {
    let pushed = push(without_limit_zero(root), vec![]);
    let inferred = infer(pushed);
    let mut root = push(weakened(push(inferred, vec![])), vec![]);
    let needed = root.ids();
    prune(&mut root, &needed);
    root
}

/// Nothing below a `LIMIT 0` is executed; the streams are read all the same.
fn without_limit_zero(node: Node) -> Node {
    let Kind::Limit { fetch: 0, .. } = node.kind else {
        return map_inputs(node, without_limit_zero);
    };
    let null = |a: &Attribute| Expr::Literal(ScalarValue::try_from(&a.data_type).unwrap_or(ScalarValue::Null), None);
    let of_stream = |stream: &Node| Node {
        output: node.output.clone(),
        kind: Kind::Project {
            input: Box::new(stream.clone().filtered(vec![never()])),
            exprs: node.output.iter().map(null).collect(),
        },
    };
    let all = node.walk();
    let mut streams: Vec<&Node> = vec![];
    for found in all.into_iter().filter(|n| matches!(n.kind, Kind::Stream { .. })) {
        let number = |n: &Node| match n.kind {
            Kind::Stream { stream, .. } => Some(stream),
            _ => None,
        };
        if !streams.iter().any(|known| number(known) == number(found)) {
            streams.push(found);
        }
    }
    let mut inputs: Vec<Node> = streams.into_iter().map(of_stream).collect();
    match inputs.len() {
        1 => inputs.swap_remove(0),
        _ => Node {
            output: node.output.clone(),
            kind: Kind::Union { inputs },
        },
    }
}

/// The predicate no row satisfies.
fn never() -> Expr {
    Expr::Literal(ScalarValue::Boolean(Some(false)), None)
}

/// Moves predicates that hold above a relation as far below it as they go.
fn push(node: Node, predicates: Vec<Expr>) -> Node {
    let Node { output, kind } = node;
    match kind {
        Kind::Filter {
            input,
            predicates: mut own,
        } => {
            own.extend(predicates);
            push(*input, own.into_iter().flat_map(simplified).collect())
        }
        Kind::Project { input, exprs } => {
            let passes = exprs.iter().all(is_deterministic);
            let (down, stay) = partition(predicates, |p| passes && is_deterministic(p));
            let down = down.iter().map(|p| through(p, &output, &exprs)).collect();
            Node {
                output,
                kind: Kind::Project {
                    input: Box::new(push(*input, down)),
                    exprs,
                },
            }
            .filtered(stay)
        }
        Kind::Slide { input, time, sizes } => {
            let below = input.ids();
            let (down, stay) = partition(predicates, |p| is_deterministic(p) && references(p).is_subset(&below));
            Node {
                output,
                kind: Kind::Slide {
                    input: Box::new(push(*input, down)),
                    time,
                    sizes,
                },
            }
            .filtered(stay)
        }
        Kind::Expand { input, keys, sets } => Node {
            output,
            kind: Kind::Expand {
                input: Box::new(push(*input, vec![])),
                keys,
                sets,
            },
        }
        .filtered(predicates),
        // Refused in any case: nothing is placed below it.
        kind @ Kind::Session { .. } => Node { output, kind }.filtered(predicates),
        Kind::Watermark {
            input,
            column,
            delay_ms,
            definition,
        } => {
            let (down, stay) = partition(predicates, |p| is_deterministic(p) && !references(p).contains(&column));
            let kind = Kind::Watermark {
                input: Box::new(push(*input, down)),
                column,
                delay_ms,
                definition,
            };
            Node { output, kind }.filtered(stay)
        }
        Kind::Aggregate {
            input,
            keys,
            aggregates,
            distinct,
        } => {
            let key_ids: BTreeSet<Id> = output[..keys.len()].iter().map(|a| a.id).collect();
            let (down, stay) = partition(predicates, |p| {
                let wanted = references(p);
                is_deterministic(p) && !wanted.is_empty() && wanted.is_subset(&key_ids)
            });
            let down = down.iter().map(|p| through(p, &output, &keys)).collect();
            let kind = Kind::Aggregate {
                input: Box::new(push(*input, down)),
                keys,
                aggregates,
                distinct,
            };
            Node { output, kind }.filtered(stay)
        }
        Kind::Union { inputs } => {
            let (down, stay) = partition(predicates, is_deterministic);
            let inputs = inputs.into_iter().map(|input| {
                let columns: Vec<Expr> = input.output.iter().map(|a| column(a.id)).collect();
                let down = down.iter().map(|p| through(p, &output, &columns)).collect();
                push(input, down)
            });
            Node {
                kind: Kind::Union {
                    inputs: inputs.collect(),
                },
                output,
            }
            .filtered(stay)
        }
        Kind::Sort { input, keys } => {
            let (down, stay) = partition(predicates, is_deterministic);
            Node {
                output,
                kind: Kind::Sort {
                    input: Box::new(push(*input, down)),
                    keys,
                },
            }
            .filtered(stay)
        }
        Kind::Limit {
            input,
            has_offset,
            each_batch,
            fetch,
        } => Node {
            output,
            kind: Kind::Limit {
                input: Box::new(push(*input, vec![])),
                has_offset,
                each_batch,
                fetch,
            },
        }
        .filtered(predicates),
        Kind::Deduplicate {
            input,
            keys,
            within_watermark,
        } => {
            let kind = Kind::Deduplicate {
                input: Box::new(push(*input, vec![])),
                keys,
                within_watermark,
            };
            Node { output, kind }.filtered(predicates)
        }
        Kind::Join {
            left,
            right,
            kind,
            condition,
        } => push_join(output, *left, *right, kind, condition, predicates),
        kind @ (Kind::Stream { .. } | Kind::Static { .. }) => Node { output, kind }.filtered(predicates),
    }
}

fn push_join(
    output: Vec<Attribute>,
    left: Node,
    right: Node,
    kind: JoinKind,
    condition: Vec<Expr>,
    predicates: Vec<Expr>,
) -> Node {
    if kind == JoinKind::Mark {
        return push_mark_join(output, left, right, condition, predicates);
    }
    let kind = without_refused_rows(kind, &left, &right, &predicates);
    let (lefts, rights) = (left.ids(), right.ids());
    let is_left = |p: &Expr| is_deterministic(p) && references(p).is_subset(&lefts);
    let is_right = |p: &Expr| is_deterministic(p) && references(p).is_subset(&rights);
    // What a side keeps in any case is not lost by a condition above the join, and what it may lose not by the ON.
    let (where_left, where_right, on_left, on_right) = match kind {
        JoinKind::Inner | JoinKind::Cross => (true, true, true, true),
        JoinKind::Semi => (true, false, true, true),
        JoinKind::Left | JoinKind::Anti => (true, false, false, true),
        JoinKind::Right => (false, true, true, false),
        JoinKind::Full | JoinKind::Mark => (false, false, false, false),
    };
    let (mut to_left, above) = partition(predicates, |p| where_left && is_left(p));
    let (mut to_right, above) = partition(above, |p| where_right && is_right(p));
    let (into_join, above) = partition(above, |p| {
        matches!(kind, JoinKind::Inner | JoinKind::Cross) && is_deterministic(p) && questions(p).is_empty()
    });

    let mut condition: Vec<Expr> = condition.into_iter().flat_map(conjuncts).collect();
    condition.extend(into_join);
    let (sinks_left, condition): (Vec<Expr>, _) = condition.into_iter().partition(|e| on_left && is_left(e));
    let (sinks_right, condition): (Vec<Expr>, Vec<Expr>) = condition.into_iter().partition(|e| on_right && is_right(e));
    to_left.extend(sinks_left);
    to_right.extend(sinks_right);
    let left = Box::new(push(left, to_left.into_iter().flat_map(simplified).collect()));
    let right = Box::new(push(right, to_right.into_iter().flat_map(simplified).collect()));
    Node {
        output,
        kind: Kind::Join {
            left,
            right,
            kind,
            condition,
        },
    }
    .filtered(above)
}

/// A condition on the answer of `IN` asks the table itself and moves on without the join.
fn push_mark_join(
    output: Vec<Attribute>,
    left: Node,
    right: Node,
    condition: Vec<Expr>,
    predicates: Vec<Expr>,
) -> Node {
    let mark = output.last().expect("a mark join has its mark").id;
    let Some(member) = Membership::of_join(mark, &left, &right, &condition) else {
        return Node {
            output,
            kind: mark_join(left, right, condition),
        }
        .filtered(predicates);
    };
    let asked = member.call();
    let answer = |id: Id| (id == mark).then(|| asked.clone());
    let predicates = predicates.iter().map(|p| substitute(p, &answer)).collect();
    let (down, stay) = partition(predicates, is_deterministic);
    let left = push(left, down);
    Node {
        output,
        kind: mark_join(left, right, condition),
    }
    .filtered(stay)
}

fn mark_join(left: Node, right: Node, condition: Vec<Expr>) -> Kind {
    Kind::Join {
        left: Box::new(left),
        right: Box::new(right),
        kind: JoinKind::Mark,
        condition,
    }
}

/// The kind of join that is left when conditions above refuse the rows without a partner.
fn without_refused_rows(kind: JoinKind, left: &Node, right: &Node, predicates: &[Expr]) -> JoinKind {
    if !matches!(kind, JoinKind::Left | JoinKind::Right | JoinKind::Full) {
        return kind;
    }
    let mut conditions: Vec<Expr> = predicates.to_vec();
    conditions.extend(with_not_null(conditions.clone()));
    let refuses = |side: &Node| {
        let ids = side.ids();
        conditions
            .iter()
            .any(|c| references(c).is_subset(&ids) && is_deterministic(c) && refuses_nulls(c, side))
    };
    match (kind, refuses(left), refuses(right)) {
        (JoinKind::Right, true, _) | (JoinKind::Left, _, true) | (JoinKind::Full, true, true) => JoinKind::Inner,
        (JoinKind::Full, true, false) => JoinKind::Left,
        (JoinKind::Full, false, true) => JoinKind::Right,
        _ => kind,
    }
}

/// Whether a condition is not true for a row of NULLs.
fn refuses_nulls(condition: &Expr, side: &Node) -> bool {
    let nulls = substitute(condition, &|id| {
        let attribute = side.output.iter().find(|a| a.id == id)?;
        Some(Expr::Literal(ScalarValue::try_from(&attribute.data_type).ok()?, None))
    });
    matches!(constant(&nulls), Some(Some(false) | None))
}

/// The value of a condition without columns; `None` if it cannot be known before the query runs.
fn constant(expr: &Expr) -> Option<Option<bool>> {
    match constant_value(expr)? {
        ScalarValue::Boolean(value) => Some(value),
        ScalarValue::Null => Some(None),
        _ => None,
    }
}

/// The value of an expression without columns; `None` if it cannot be known before the query runs.
pub(super) fn constant_value(expr: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    if !references(expr).is_empty() || !is_deterministic(expr) || asks_for_time(expr) || asks_tables(expr) {
        return None;
    }
    let compiled = sql::physical_expr(expr, &DFSchema::empty()).ok()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::empty());
    let one_row = arrow::array::RecordBatch::try_new_with_options(schema, vec![], &options).ok()?;
    let value = compiled.evaluate(&one_row).ok()?.into_array(1).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}

fn asks_tables(expr: &Expr) -> bool {
    let is_subquery = |e: &Expr| Ok(matches!(e, Expr::ScalarSubquery(_)));
    expr.exists(is_subquery).expect("the walk does not fail") || !questions(expr).is_empty()
}

/// A predicate without what is always true; what never is becomes `false`.
fn simplified(predicate: Expr) -> Option<Expr> {
    match constant(&predicate) {
        Some(Some(true)) => None,
        Some(_) => Some(never()),
        None => Some(predicate),
    }
}

fn through(predicate: &Expr, output: &[Attribute], exprs: &[Expr]) -> Expr {
    substitute(predicate, &|id| {
        let at = output.iter().position(|a| a.id == id)?;
        exprs.get(at).cloned()
    })
}

fn partition(predicates: Vec<Expr>, goes: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    predicates.into_iter().partition(goes)
}

// ---- inference

/// Adds what follows from conditions and equal columns: at filters, and on the sides of joins that may lose rows.
fn infer(node: Node) -> Node {
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
fn weakened(node: Node) -> Node {
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
pub(super) fn constraints(node: &Node) -> Vec<Expr> {
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
        let replaced: Vec<Expr> = known.iter().map(|c| replaced(c, expr, &new)).collect();
        known = union_of(known, replaced);
        let same = BinaryExpr::new(Box::new(expr.clone()), Operator::IsNotDistinctFrom, Box::new(new));
        known.push(Expr::BinaryExpr(same));
    }
    known
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
fn with_not_null(known: Vec<Expr>) -> Vec<Expr> {
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

fn map_inputs(node: Node, f: impl Fn(Node) -> Node) -> Node {
    let Node { output, mut kind } = node;
    match &mut kind {
        Kind::Stream { .. } | Kind::Static { .. } => {}
        Kind::Filter { input, .. }
        | Kind::Project { input, .. }
        | Kind::Slide { input, .. }
        | Kind::Expand { input, .. }
        | Kind::Session { input, .. }
        | Kind::Watermark { input, .. }
        | Kind::Aggregate { input, .. }
        | Kind::Sort { input, .. }
        | Kind::Limit { input, .. }
        | Kind::Deduplicate { input, .. } => replace_with(input, &f),
        Kind::Join { left, right, .. } => {
            replace_with(left, &f);
            replace_with(right, &f);
        }
        Kind::Union { inputs } => inputs.iter_mut().for_each(|input| replace_with(input, &f)),
    }
    Node { output, kind }
}

fn replace_with(slot: &mut Node, f: &impl Fn(Node) -> Node) {
    let nothing = Node {
        output: vec![],
        kind: Kind::Union { inputs: vec![] },
    };
    *slot = f(std::mem::replace(slot, nothing));
}

// ---- pruning

/// Drops the columns nobody above asks for: what is not computed cannot fail, and an event time that is not there does
/// not judge rows.
fn prune(node: &mut Node, needed: &BTreeSet<Id>) {
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
