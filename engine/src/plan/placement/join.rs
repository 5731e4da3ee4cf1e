//! Conditions at a join: which sink into which side, and what the join becomes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::{Pass, dedup, filter_above, partition, sink, substitute};
use crate::Result;
use crate::plan::conjuncts::{conjuncts, is_deterministic};
use crate::plan::expr::constant;
use crate::plan::membership::asks;
use crate::plan::streams;

/// Where the conjuncts of a join and of the filters above it go.
#[derive(Default)]
struct JoinConjuncts {
    left: Vec<Expr>,
    right: Vec<Expr>,
    on: Vec<Expr>,
    above: Vec<Expr>,
}

pub(super) fn sink_below_join(join: Join, predicates: Vec<Expr>, pass: Pass) -> Result<LogicalPlan> {
    let join_type = strengthen(&join, &predicates)?;
    let sides = Sides::of(&join);
    let mut conjuncts = split_on(&join);
    let mut above = vec![];
    if matches!(join_type, JoinType::Inner) {
        // A subquery cannot be asked about pairs while they are made.
        let about_one = |p: &Expr| !asks(p) || sides.goes_left(p) || sides.only_right(p);
        let (into_join, pairs) = partition(predicates.clone(), about_one);
        conjuncts.extend(into_join);
        above = pairs;
    }
    let mut placed = place_join_conjuncts(join_type, &sides, conjuncts, predicates, join.null_aware);
    placed.above.extend(above);
    let folded = substitute(std::mem::take(&mut placed.on), &constants_of_sides(&join))?;
    let folded = folded.into_iter().map(with_constant_sides).collect();
    let folded = place_join_conjuncts(join_type, &sides, folded, vec![], join.null_aware);
    placed.left.extend(folded.left);
    placed.right.extend(folded.right);
    placed.on = folded.on;
    if pass == Pass::Inferred {
        weaken(&mut placed, join_type, &sides);
    }

    let left = sink(Arc::unwrap_or_clone(join.left), dedup(placed.left), pass)?;
    let right = sink(Arc::unwrap_or_clone(join.right), dedup(placed.right), pass)?;
    let (on, filter, null_equality) = equi_pairs(placed.on, &sides);
    let rebuilt = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        conjunction(filter),
        join_type,
        join.join_constraint,
        null_equality,
        join.null_aware,
    )?;
    filter_above(LogicalPlan::Join(rebuilt), placed.above)
}

/// The columns of a join's sides that a projection makes of a constant. A condition speaks of the constant, and what
/// was an equality of both sides with it is a condition on one. Where rows are kept from batch to batch, in a join of
/// streams or an aggregation, Spark leaves columns as they are.
fn constants_of_sides(join: &Join) -> HashMap<Column, Expr> {
    if streams(&join.left) && streams(&join.right) {
        return HashMap::default();
    }
    let mut all = constants_of(&join.left);
    all.extend(constants_of(&join.right));
    all
}

/// A comparison with the value of a side that has one: DataFusion takes two spellings of a constant for two constants.
fn with_constant_sides(conjunct: Expr) -> Expr {
    let value = |side: Expr| match side.column_refs().is_empty() && !side.is_volatile() {
        true => constant(&side).map_or(side, |value| Expr::Literal(value, None)),
        false => side,
    };
    match conjunct {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => binary(value(*left), op, value(*right)),
        other => other,
    }
}

fn constants_of(plan: &LogicalPlan) -> HashMap<Column, Expr> {
    let through = |columns: Vec<Column>, exprs: Vec<Expr>, below: HashMap<Column, Expr>| {
        let pairs = columns.into_iter().zip(exprs);
        pairs
            .filter_map(|(column, expr)| match expr.unalias() {
                Expr::Column(inner) => Some((column, below.get(&inner)?.clone())),
                constant @ Expr::Literal(..) => Some((column, constant)),
                _ => None,
            })
            .collect()
    };
    match plan {
        LogicalPlan::Projection(p) => through(p.schema.columns(), p.expr.clone(), constants_of(&p.input)),
        LogicalPlan::Aggregate(a) if !streams(plan) => {
            through(a.schema.columns(), a.group_expr.clone(), constants_of(&a.input))
        }
        LogicalPlan::SubqueryAlias(a) => {
            let below = a.input.schema().columns().into_iter().map(Expr::Column).collect();
            through(a.schema.columns(), below, constants_of(&a.input))
        }
        LogicalPlan::Filter(filter) => constants_of(&filter.input),
        LogicalPlan::Sort(sort) => constants_of(&sort.input),
        LogicalPlan::Limit(limit) => constants_of(&limit.input),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Inner => constants_of_sides(join),
            _ if streams(&join.left) && streams(&join.right) => HashMap::default(),
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => constants_of(&join.left),
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => constants_of(&join.right),
            JoinType::Full | JoinType::LeftMark | JoinType::RightMark => HashMap::default(),
        },
        _ => HashMap::default(),
    }
}

/// What a condition on both sides says of each side alone: of `(a > 1 AND b > 1) OR (a < 0 AND b < 0)`, that
/// `a > 1 OR a < 0`. It does not replace the condition.
fn weaken(placed: &mut JoinConjuncts, join_type: JoinType, sides: &Sides) {
    use JoinType::*;
    let (to_left, to_right) = match join_type {
        Inner | LeftSemi | RightSemi => (true, true),
        Left | LeftAnti | LeftMark => (false, true),
        Right | RightAnti | RightMark => (true, false),
        Full => (false, false),
    };
    for conjunct in placed.on.iter().filter(|c| is_deterministic(c)) {
        if to_left && let Some(weaker) = part_about(conjunct, &|e| sides.only_left(e)) {
            placed.left.push(weaker);
        }
        if to_right && let Some(weaker) = part_about(conjunct, &|e| sides.only_right(e)) {
            placed.right.push(weaker);
        }
    }
}

/// The part of a condition that is about one side, and follows from it.
fn part_about(condition: &Expr, is_about: &impl Fn(&Expr) -> bool) -> Option<Expr> {
    match condition {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) => match (part_about(left, is_about), part_about(right, is_about)) {
            (Some(left), Some(right)) => Some(binary(left, *op, right)),
            (left, right) if *op == Operator::And => left.or(right),
            _ => None,
        },
        other => is_about(other).then(|| other.clone()),
    }
}

/// `LEFT JOIN ... WHERE right.x > 1` is an inner join: a predicate that is not true for a NULL-extended row removes it.
fn strengthen(join: &Join, predicates: &[Expr]) -> Result<JoinType> {
    let rejects = |side: &LogicalPlan| -> Result<bool> {
        let columns: HashSet<Column> = side.schema().columns().into_iter().collect();
        for predicate in predicates {
            let refs = predicate.column_refs();
            if !refs.is_empty() && refs.iter().all(|c| columns.contains(c)) && rejects_nulls(predicate, side)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    Ok(match join.join_type {
        JoinType::Left if rejects(&join.right)? => JoinType::Inner,
        JoinType::Right if rejects(&join.left)? => JoinType::Inner,
        JoinType::Full => match (rejects(&join.left)?, rejects(&join.right)?) {
            (true, true) => JoinType::Inner,
            (true, false) => JoinType::Left,
            (false, true) => JoinType::Right,
            (false, false) => JoinType::Full,
        },
        other => other,
    })
}

/// Whether `predicate` is false or NULL when every column of `side` is NULL.
fn rejects_nulls(predicate: &Expr, side: &LogicalPlan) -> Result<bool> {
    use datafusion::common::ScalarValue;
    let nulls: HashMap<Column, Expr> = side
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let null = ScalarValue::try_new_null(field.data_type())?;
            Ok((Column::new(qualifier.cloned(), field.name()), Expr::Literal(null, None)))
        })
        .collect::<Result<_>>()?;
    let on_nulls = substitute(vec![predicate.clone()], &nulls)?.swap_remove(0);
    // A predicate that fails on NULLs tells nothing.
    Ok(constant(&on_nulls).is_ok_and(|value| value.is_null() || value == ScalarValue::Boolean(Some(false))))
}

/// Whose columns an expression reads.
pub(super) struct Sides {
    left: HashSet<Column>,
    right: HashSet<Column>,
}

impl Sides {
    pub(super) fn of(join: &Join) -> Self {
        let columns = |plan: &LogicalPlan| plan.schema().columns().into_iter().collect();
        Self {
            left: columns(&join.left),
            right: columns(&join.right),
        }
    }
    /// Whether an expression can be evaluated on the left side: a constant can.
    fn goes_left(&self, expr: &Expr) -> bool {
        expr.column_refs().iter().all(|c| self.left.contains(c))
    }
    pub(super) fn only_left(&self, expr: &Expr) -> bool {
        let refs = expr.column_refs();
        !refs.is_empty() && refs.iter().all(|c| self.left.contains(c))
    }
    pub(super) fn only_right(&self, expr: &Expr) -> bool {
        let refs = expr.column_refs();
        !refs.is_empty() && refs.iter().all(|c| self.right.contains(c))
    }
}

/// All conjuncts of the ON clause, equalities included.
pub(super) fn split_on(join: &Join) -> Vec<Expr> {
    let operator = match join.null_equality {
        NullEquality::NullEqualsNothing => Operator::Eq,
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
    };
    let equalities = join.on.iter().map(|(l, r)| binary(l.clone(), operator, r.clone()));
    equalities
        .chain(join.filter.clone().map(conjuncts).unwrap_or_default())
        .collect()
}

fn place_join_conjuncts(
    join_type: JoinType,
    sides: &Sides,
    on: Vec<Expr>,
    above: Vec<Expr>,
    null_aware: bool,
) -> JoinConjuncts {
    use JoinType::*;
    let mut placed = JoinConjuncts::default();
    // A one-sided conjunct of ON may filter the side that is not preserved.
    let (on_left_sinks, on_right_sinks) = match join_type {
        Inner | LeftSemi | RightSemi => (true, true),
        _ if null_aware => (false, false),
        Left | LeftAnti | LeftMark => (false, true),
        Right | RightAnti | RightMark => (true, false),
        Full => (false, false),
    };
    for conjunct in on {
        if is_deterministic(&conjunct) && on_left_sinks && sides.goes_left(&conjunct) {
            placed.left.push(conjunct);
        } else if is_deterministic(&conjunct) && on_right_sinks && sides.only_right(&conjunct) {
            placed.right.push(conjunct);
        } else {
            placed.on.push(conjunct);
        }
    }
    if matches!(join_type, Inner) {
        return placed; // what stands above an inner join has become part of ON
    }
    // A filter above may sink into the preserved side.
    let (above_left_sinks, above_right_sinks) = match join_type {
        Left | LeftSemi | LeftAnti | LeftMark => (true, false),
        Right | RightSemi | RightAnti | RightMark => (false, true),
        Inner | Full => (false, false),
    };
    for predicate in above {
        if above_left_sinks && sides.goes_left(&predicate) {
            placed.left.push(predicate);
        } else if above_right_sinks && sides.only_right(&predicate) {
            placed.right.push(predicate);
        } else {
            placed.above.push(predicate);
        }
    }
    placed
}

/// Splits conjuncts into equalities between the sides and the rest. NULL-safe equalities serve as keys only among
/// themselves, since a join has one rule for NULL keys.
fn equi_pairs(conjuncts: Vec<Expr>, sides: &Sides) -> (Vec<(Expr, Expr)>, Vec<Expr>, NullEquality) {
    let operator = |wanted: Operator| {
        conjuncts
            .iter()
            .any(|c| matches!(c, Expr::BinaryExpr(b) if b.op == wanted && pair(b, sides).is_some()))
    };
    let (wanted, null_equality) = if !operator(Operator::Eq) && operator(Operator::IsNotDistinctFrom) {
        (Operator::IsNotDistinctFrom, NullEquality::NullEqualsNull)
    } else {
        (Operator::Eq, NullEquality::NullEqualsNothing)
    };
    let mut on = Vec::new();
    let mut rest = Vec::new();
    for conjunct in conjuncts {
        let keys = match &conjunct {
            Expr::BinaryExpr(b) if b.op == wanted && is_deterministic(&conjunct) => pair(b, sides),
            _ => None,
        };
        match keys {
            Some(keys) => on.push(keys),
            None => rest.push(conjunct),
        }
    }
    (on, rest, null_equality)
}

fn pair(equality: &BinaryExpr, sides: &Sides) -> Option<(Expr, Expr)> {
    let (l, r) = (&*equality.left, &*equality.right);
    if sides.only_left(l) && sides.only_right(r) {
        Some((l.clone(), r.clone()))
    } else if sides.only_left(r) && sides.only_right(l) {
        Some((r.clone(), l.clone()))
    } else {
        None
    }
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}
