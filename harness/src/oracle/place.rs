//! Where conditions end up when Spark has optimised a query.
//!
//! Only rows that reach a watermark node move the watermark, so it matters which conditions sink below it. These are
//! the rules of Spark's optimiser that decide it: predicates are pushed down, an outer join whose missing rows a
//! condition refuses becomes an inner one, conditions are inferred across equal columns once, and pushed down again.

mod fold;
mod infer;
mod prune;

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use skirl_engine::sql;

use super::conjuncts::conjuncts;
use super::member::{Membership, questions};
use super::tree::*;
use fold::folded;
pub(super) use infer::constraints;
use infer::{infer, weakened, with_not_null};
use prune::prune;

/// The tree as Spark runs it.
pub(super) fn optimised(mut root: Node) -> Node {
    // What nobody asks for stands in nobody's way.
    let is_chance =
        |node: &&Node| matches!(&node.kind, Kind::Project { exprs, .. } if !exprs.iter().all(is_deterministic));
    if root.walk().iter().any(is_chance) {
        let needed = root.ids();
        prune(&mut root, &needed);
    }
    let pushed = push(without_limit_zero(root), vec![]);
    let pushed = push(folded(pushed), vec![]);
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
        Kind::Join {
            left,
            right,
            kind,
            condition,
        } => push_join(output, *left, *right, kind, condition, predicates),
        // Refused in any case: nothing is placed below it.
        kind @ Kind::Session { .. } => Node { output, kind }.filtered(predicates),
        kind => {
            let node = Node { output, kind };
            let (down, stay) = partition(predicates, |p| sinks(p, &node));
            push_below(node, &down).filtered(stay)
        }
    }
}

/// Whether a predicate above a relation may be asked of the rows below it.
fn sinks(predicate: &Expr, node: &Node) -> bool {
    let wanted = references(predicate);
    is_deterministic(predicate)
        && match &node.kind {
            Kind::Project { exprs, .. } => exprs.iter().all(is_deterministic),
            Kind::Slide { input, .. } => wanted.is_subset(&input.ids()),
            Kind::Watermark { column, .. } => !wanted.contains(column),
            Kind::Aggregate { keys, .. } => {
                let key_ids: BTreeSet<Id> = node.output[..keys.len()].iter().map(|a| a.id).collect();
                !wanted.is_empty() && wanted.is_subset(&key_ids)
            }
            Kind::Union { .. } | Kind::Sort { .. } => true,
            _ => false,
        }
}

/// Moves predicates below a relation, said in the columns they find there.
fn push_below(node: Node, predicates: &[Expr]) -> Node {
    let output = node.output.clone();
    let exprs = match &node.kind {
        Kind::Project { exprs: made_of, .. } | Kind::Aggregate { keys: made_of, .. } => made_of.clone(),
        _ => vec![],
    };
    let is_union = matches!(node.kind, Kind::Union { .. });
    map_inputs(node, |input| {
        let exprs = match is_union {
            true => input.output.iter().map(|a| column(a.id)).collect(),
            false => exprs.clone(),
        };
        let said = predicates.iter().map(|p| through(p, &output, &exprs)).collect();
        push(input, said)
    })
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

/// An expression without the names it has.
fn unnamed(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unnamed(&alias.expr),
        other => other,
    }
}

/// A predicate on `output`, said in what its columns are made of.
fn through(predicate: &Expr, output: &[Attribute], exprs: &[Expr]) -> Expr {
    substitute(predicate, &|id| {
        let at = output.iter().position(|a| a.id == id)?;
        exprs.get(at).cloned()
    })
}

fn partition(predicates: Vec<Expr>, goes: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    predicates.into_iter().partition(goes)
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
