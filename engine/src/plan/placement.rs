//! Where filters end up, as Spark's optimizer places them.
//!
//! It matters: only rows that physically reach a watermark node count for the watermark, so a filter that sinks below
//! it changes which rows are late everywhere above (spark-semantics 2.4). Filters that mention the event time stay
//! above; all others sink, among them `IS NOT NULL(key)` and the predicates an equality carries from one side of an
//! inner join to the other (6.6).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, NullEquality};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Extension, Filter, Join, LogicalPlan, Operator, Projection, Sort, SubqueryAlias, Union,
};

use super::conjuncts::conjuncts;
use super::membership::asks;
use super::{event_time, streams};
use crate::Result;
use crate::sql::is_null_intolerant;
use crate::sql::{GroupingSetsNode, TimeWindowNode, WatermarkNode};

/// The same query with every filter where Spark would evaluate it.
pub(super) fn place_filters(plan: LogicalPlan) -> Result<LogicalPlan> {
    sink(plan, vec![])
}

/// Sinks `predicates`, which hold on the output of `plan`, as deep into it as they may go.
fn sink(plan: LogicalPlan, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    if !streams(&plan) {
        return filter_above(plan, predicates); // DataFusion knows best where a static side filters
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            let (mut down, stay) = partition(conjuncts(filter.predicate), |p| !p.is_volatile());
            let implied = down.iter().flat_map(not_nulls_of_mixed).collect::<Vec<_>>();
            down.extend(implied);
            down.extend(predicates);
            filter_above(sink(Arc::unwrap_or_clone(filter.input), dedup(down))?, stay)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let below = mapping(
                alias.schema.columns(),
                alias.input.schema().columns().into_iter().map(Expr::Column),
            );
            let predicates = substitute(predicates, &below)?;
            let input = sink(Arc::unwrap_or_clone(alias.input), predicates)?;
            Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
                Arc::new(input),
                alias.alias,
            )?))
        }
        LogicalPlan::Projection(projection) => sink_below_projection(projection, predicates),
        LogicalPlan::Aggregate(aggregate) => sink_below_aggregate(aggregate, predicates),
        LogicalPlan::Union(union) => sink_below_union(union, predicates),
        LogicalPlan::Sort(sort) => {
            let input = Arc::new(sink(Arc::unwrap_or_clone(sort.input), predicates)?);
            Ok(LogicalPlan::Sort(Sort { input, ..sort }))
        }
        LogicalPlan::Limit(mut limit) => {
            limit.input = Arc::new(sink(Arc::unwrap_or_clone(limit.input), vec![])?);
            filter_above(LogicalPlan::Limit(limit), predicates)
        }
        LogicalPlan::Join(join) => sink_below_join(join, predicates),
        LogicalPlan::Extension(extension) => sink_below_extension(extension, predicates),
        leaf => filter_above(leaf, predicates),
    }
}

fn sink_below_projection(projection: Projection, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let deterministic = !projection.expr.iter().any(Expr::is_volatile);
    let (down, stay) = if deterministic {
        (predicates, vec![])
    } else {
        (vec![], predicates)
    };
    let exprs = projection.expr.iter().map(|e| e.clone().unalias());
    let down = substitute(down, &mapping(projection.schema.columns(), exprs))?;
    let input = sink(Arc::unwrap_or_clone(projection.input), down)?;
    let projection = Projection::try_new_with_schema(projection.expr, Arc::new(input), projection.schema)?;
    filter_above(LogicalPlan::Projection(projection), stay)
}

/// Predicates over the grouping columns alone hold for the rows of a group as they hold for the group.
fn sink_below_aggregate(aggregate: Aggregate, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let columns = aggregate.schema.columns();
    let keys: Vec<Column> = columns[..aggregate.group_expr.len()].to_vec();
    let key_set: HashSet<&Column> = keys.iter().collect();
    let (down, stay) = partition(predicates, |p| {
        let columns = p.column_refs();
        !keys.is_empty() && !columns.is_empty() && columns.iter().all(|c| key_set.contains(c))
    });
    let exprs = aggregate.group_expr.iter().map(|e| e.clone().unalias());
    let down = substitute(down, &mapping(keys.clone(), exprs))?;
    let input = Arc::new(sink(Arc::unwrap_or_clone(aggregate.input), down)?);
    let rebuilt = Aggregate::try_new_with_schema(input, aggregate.group_expr, aggregate.aggr_expr, aggregate.schema)?;
    filter_above(LogicalPlan::Aggregate(rebuilt), stay)
}

fn sink_below_union(union: Union, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let columns = union.schema.columns();
    let inputs = union.inputs.into_iter().map(|input| {
        let below = mapping(columns.clone(), input.schema().columns().into_iter().map(Expr::Column));
        Ok(Arc::new(sink(
            Arc::unwrap_or_clone(input),
            substitute(predicates.clone(), &below)?,
        )?))
    });
    Ok(LogicalPlan::Union(Union {
        inputs: inputs.collect::<Result<_>>()?,
        schema: union.schema,
    }))
}

fn sink_below_extension(extension: Extension, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    let node = extension.node.as_any();
    if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
        let (down, stay) = partition(predicates, |p| !p.column_refs().contains(&watermark.column));
        let input = sink(watermark.input.clone(), down)?;
        let node = Arc::new(WatermarkNode {
            input,
            ..watermark.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), stay);
    }
    if let Some(window) = node.downcast_ref::<TimeWindowNode>() {
        let column = window.window_column();
        // Rows without a time have no window. Conditions on a time cannot sink below the watermark of that time itself,
        // but may sink below a join or the watermark of another time: also those on the window, if there is one only.
        let sinks = !event_time::is_tagged(&window.time, &window.input) || joins(&window.input);
        let predicates = match window.only_window().filter(|_| sinks) {
            Some(value) => substitute(predicates, &mapping(vec![column.clone()], [value].into_iter()))?,
            None => predicates,
        };
        let (mut down, stay) = partition(predicates, |p| !p.column_refs().contains(&column));
        if sinks {
            down.push(Expr::IsNotNull(Box::new(window.time.clone())));
        }
        let input = sink(window.input.clone(), down)?;
        let node = Arc::new(TimeWindowNode {
            input,
            ..window.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), stay);
    }
    if let Some(sets) = node.downcast_ref::<GroupingSetsNode>() {
        let node = Arc::new(GroupingSetsNode {
            input: sink(sets.input.clone(), vec![])?,
            ..sets.clone()
        });
        return filter_above(LogicalPlan::Extension(Extension { node }), predicates);
    }
    filter_above(LogicalPlan::Extension(extension), predicates)
}

fn joins(plan: &LogicalPlan) -> bool {
    let is_join = |node: &LogicalPlan| Ok(matches!(node, LogicalPlan::Join(_)));
    plan.exists(is_join).unwrap_or(false)
}

/// Where the conjuncts of a join and of the filters above it go.
#[derive(Default)]
struct JoinConjuncts {
    left: Vec<Expr>,
    right: Vec<Expr>,
    on: Vec<Expr>,
    above: Vec<Expr>,
}

fn sink_below_join(join: Join, predicates: Vec<Expr>) -> Result<LogicalPlan> {
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
    if matches!(join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi) {
        infer(&mut placed, &sides, &join);
    }
    weaken(&mut placed, join_type, &sides);

    let left = sink(Arc::unwrap_or_clone(join.left), dedup(placed.left))?;
    let right = sink(Arc::unwrap_or_clone(join.right), dedup(placed.right))?;
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
    for conjunct in placed.on.iter().filter(|c| !c.is_volatile()) {
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
    Ok(super::expr::constant(&on_nulls)
        .is_ok_and(|value| value.is_null() || value == ScalarValue::Boolean(Some(false))))
}

/// Whose columns an expression reads.
struct Sides {
    left: HashSet<Column>,
    right: HashSet<Column>,
}

impl Sides {
    fn of(join: &Join) -> Self {
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
    fn only_left(&self, expr: &Expr) -> bool {
        let refs = expr.column_refs();
        !refs.is_empty() && refs.iter().all(|c| self.left.contains(c))
    }
    fn only_right(&self, expr: &Expr) -> bool {
        let refs = expr.column_refs();
        !refs.is_empty() && refs.iter().all(|c| self.right.contains(c))
    }
}

/// All conjuncts of the ON clause, equalities included.
fn split_on(join: &Join) -> Vec<Expr> {
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
        if !conjunct.is_volatile() && on_left_sinks && sides.goes_left(&conjunct) {
            placed.left.push(conjunct);
        } else if !conjunct.is_volatile() && on_right_sinks && sides.only_right(&conjunct) {
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

/// What follows from an inner or semi join's condition for one side alone: its columns are not NULL, and whatever is
/// known of a key holds for the key it equals.
fn infer(placed: &mut JoinConjuncts, sides: &Sides, join: &Join) {
    let mut known: Vec<Expr> = placed.left.iter().chain(&placed.right).cloned().collect();
    known.extend(constraints(&join.left));
    known.extend(constraints(&join.right));
    let mut inferred: Vec<Expr> = placed
        .on
        .iter()
        .chain(&known)
        .flat_map(null_intolerant_columns)
        .map(|c| is_not_null(&c))
        .collect();
    let equalities: Vec<(Column, Column)> = placed.on.iter().filter_map(column_equality).collect();
    for (a, b) in &equalities {
        for (from, to) in [(a, b), (b, a)] {
            let renamed = HashMap::from([(from.clone(), Expr::Column(to.clone()))]);
            // A condition on both sides may come to speak of one side alone.
            let carried = known
                .iter()
                .chain(&placed.on)
                .chain(&placed.above)
                .filter(|p| p.column_refs().contains(from) && !p.is_volatile())
                .filter(|p| column_equality(p).is_none_or(|(l, r)| (&l, &r) != (a, b)));
            inferred.extend(
                carried
                    .filter_map(|p| substitute(vec![p.clone()], &renamed).ok())
                    .flatten(),
            );
        }
    }
    for predicate in dedup(inferred) {
        if known.contains(&predicate) {
            continue;
        }
        if sides.only_left(&predicate) {
            placed.left.push(predicate);
        } else if sides.only_right(&predicate) {
            placed.right.push(predicate);
        }
    }
}

/// What is known to hold for every output row of `plan`, in its output columns.
fn constraints(plan: &LogicalPlan) -> Vec<Expr> {
    let renamed = |below: Vec<Expr>, pairs: Vec<(Column, Expr)>| -> Vec<Expr> {
        // Only predicates that can be said in output columns alone survive.
        let mut up: HashMap<Column, Expr> = HashMap::default();
        for (output, expr) in pairs {
            if let Expr::Column(column) = expr {
                up.entry(column).or_insert(Expr::Column(output));
            }
        }
        let sayable = below
            .into_iter()
            .filter(|p| p.column_refs().iter().all(|c| up.contains_key(*c)))
            .collect();
        substitute(sayable, &up).unwrap_or_default()
    };
    match plan {
        LogicalPlan::Filter(filter) => {
            let mut all = constraints(&filter.input);
            all.extend(
                conjuncts(filter.predicate.clone())
                    .into_iter()
                    .filter(|p| !p.is_volatile()),
            );
            all
        }
        LogicalPlan::Projection(p) => {
            let exprs = p.expr.iter().map(|e| e.clone().unalias());
            renamed(
                constraints(&p.input),
                p.schema.columns().into_iter().zip(exprs).collect(),
            )
        }
        LogicalPlan::SubqueryAlias(a) => {
            let below = a.input.schema().columns().into_iter().map(Expr::Column);
            renamed(
                constraints(&a.input),
                a.schema.columns().into_iter().zip(below).collect(),
            )
        }
        LogicalPlan::Aggregate(a) => {
            let keys = a.group_expr.iter().map(|e| e.clone().unalias());
            renamed(
                constraints(&a.input),
                a.schema.columns().into_iter().zip(keys).collect(),
            )
        }
        LogicalPlan::Join(join) => {
            let mut all = Vec::new();
            let inner = matches!(
                join.join_type,
                JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi
            );
            if inner {
                all.extend(split_on(join));
            }
            if matches!(join.join_type, JoinType::Left | JoinType::LeftAnti) || inner {
                all.extend(constraints(&join.left));
            }
            if matches!(join.join_type, JoinType::Right | JoinType::RightAnti) || inner {
                all.extend(constraints(&join.right));
            }
            let visible: HashSet<Column> = join.schema.columns().into_iter().collect();
            all.retain(|p| p.column_refs().iter().all(|c| visible.contains(c)));
            all
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Extension(_) => plan
            .inputs()
            .first()
            .map(|input| constraints(input))
            .unwrap_or_default(),
        _ => vec![],
    }
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
            Expr::BinaryExpr(b) if b.op == wanted && !conjunct.is_volatile() => pair(b, sides),
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

fn column_equality(expr: &Expr) -> Option<(Column, Column)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Eq,
            right,
        }) => match (&**left, &**right) {
            (Expr::Column(l), Expr::Column(r)) => Some((l.clone(), r.clone())),
            _ => None,
        },
        _ => None,
    }
}

/// `IS NOT NULL` for each column of a conjunct that reads several: alone, one may sink where the conjunct may not.
fn not_nulls_of_mixed(conjunct: &Expr) -> Vec<Expr> {
    if conjunct.column_refs().len() < 2 {
        return vec![];
    }
    null_intolerant_columns(conjunct).iter().map(is_not_null).collect()
}

/// The columns that cannot be NULL where `conjunct` is true, found as Spark finds them.
fn null_intolerant_columns(conjunct: &Expr) -> Vec<Column> {
    let mut columns = Vec::new();
    collect_null_intolerant(conjunct, &mut columns);
    columns
}

fn collect_null_intolerant(expr: &Expr, columns: &mut Vec<Column>) {
    match expr {
        Expr::Column(column) => columns.push(column.clone()),
        Expr::IsNotNull(inner) => collect_null_intolerant(inner, columns),
        other if is_null_intolerant(other) => {
            let _ = other.apply_children(|child| {
                collect_null_intolerant(child, columns);
                Ok(TreeNodeRecursion::Continue)
            });
        }
        _ => {}
    }
}

fn is_not_null(column: &Column) -> Expr {
    Expr::IsNotNull(Box::new(Expr::Column(column.clone())))
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

fn filter_above(plan: LogicalPlan, predicates: Vec<Expr>) -> Result<LogicalPlan> {
    match conjunction(predicates) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?)),
        None => Ok(plan),
    }
}

fn mapping(columns: Vec<Column>, exprs: impl Iterator<Item = Expr>) -> HashMap<Column, Expr> {
    columns.into_iter().zip(exprs).collect()
}

/// The predicates said in other columns.
pub(super) fn substitute(predicates: Vec<Expr>, columns: &HashMap<Column, Expr>) -> Result<Vec<Expr>> {
    let replace = |expr: Expr| match &expr {
        Expr::Column(column) => Ok(columns.get(column).map_or(Transformed::no(expr.clone()), |e| {
            Transformed::new(e.clone(), true, TreeNodeRecursion::Jump)
        })),
        _ => Ok(Transformed::no(expr)),
    };
    Ok(predicates
        .into_iter()
        .map(|p| p.transform_down(replace).map(|t| t.data))
        .collect::<datafusion::common::Result<_>>()?)
}

fn partition(exprs: Vec<Expr>, mut down: impl FnMut(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    exprs.into_iter().partition(|e| down(e))
}

/// Without repetitions, in order of first appearance.
fn dedup(exprs: Vec<Expr>) -> Vec<Expr> {
    exprs.into_iter().fold(vec![], |mut kept, expr| {
        if !kept.contains(&expr) {
            kept.push(expr);
        }
        kept
    })
}
