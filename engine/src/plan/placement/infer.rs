//! What follows from what is known of rows: columns that are not NULL, and conditions an equality carries over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError, JoinType};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::join::{Sides, split_on};
use super::{dedup, filter_above, is_deterministic, substitute};
use crate::Result;
use crate::plan::conjuncts::conjuncts;
use crate::plan::streams;
use crate::sql::is_null_intolerant;

/// The same query with filters of what follows from conditions on the sides of its joins.
pub(super) fn infer(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !streams(&plan) {
        return Ok(plan);
    }
    let plan = match plan {
        LogicalPlan::Join(join) => LogicalPlan::Join(with_inferred(join, vec![])?),
        LogicalPlan::Filter(filter) => match Arc::unwrap_or_clone(filter.input) {
            // What could not become part of the condition of an inner join, a question to a table, is one all the same.
            LogicalPlan::Join(join) if join.join_type == JoinType::Inner => {
                let join = with_inferred(join, conjuncts(filter.predicate.clone()))?;
                let [left, right] = [join.left, join.right].map(|side| infer(Arc::unwrap_or_clone(side)).map(Arc::new));
                let join = LogicalPlan::Join(Join {
                    left: left?,
                    right: right?,
                    ..join
                });
                return filter_above(join, vec![filter.predicate]);
            }
            input => filter_above(input, vec![filter.predicate])?,
        },
        other => other,
    };
    let infer_below = |child: LogicalPlan| infer(child).map(Transformed::yes).map_err(DataFusionError::from);
    Ok(plan.map_children(infer_below)?.data)
}

/// An inner or semi join over what its condition says of one side alone: its columns are not NULL, and whatever is
/// known of a key holds for the key it equals.
fn with_inferred(mut join: Join, above: Vec<Expr>) -> Result<Join> {
    if !matches!(
        join.join_type,
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi
    ) {
        return Ok(join);
    }
    let sides = Sides::of(&join);
    let on = [split_on(&join), above].concat();
    let mut known = constraints(&join.left);
    known.extend(constraints(&join.right));
    let new = following(&on, &known).into_iter().filter(|p| !known.contains(p));
    let (left, rest): (Vec<Expr>, Vec<Expr>) = new.partition(|p| sides.only_left(p));
    let right = rest.into_iter().filter(|p| sides.only_right(p)).collect();
    join.left = Arc::new(filter_above(Arc::unwrap_or_clone(join.left), left)?);
    join.right = Arc::new(filter_above(Arc::unwrap_or_clone(join.right), right)?);
    Ok(join)
}

/// What follows from the condition of a join and what is known of its sides.
fn following(on: &[Expr], known: &[Expr]) -> Vec<Expr> {
    let mut inferred: Vec<Expr> = on
        .iter()
        .chain(known)
        .flat_map(null_intolerant_columns)
        .map(|c| is_not_null(&c))
        .collect();
    for equality in on {
        for (from, to) in replacements(equality) {
            let renamed = HashMap::from([(from.clone(), to)]);
            // A condition on both sides may come to speak of one side alone.
            let carried = known
                .iter()
                .chain(on)
                .filter(|p| *p != equality && p.column_refs().contains(&from) && is_deterministic(p));
            let said = carried.filter_map(|p| substitute(vec![p.clone()], &renamed).ok());
            inferred.extend(said.flatten());
        }
    }
    dedup(inferred)
}

/// What is known below a projection, said in its output columns alone; what cannot be is left out. A computed column
/// stands for what it was computed from.
fn renamed(below: Vec<Expr>, pairs: Vec<(Column, Expr)>) -> Vec<Expr> {
    let output: HashSet<&Column> = pairs.iter().map(|(column, _)| column).collect();
    let mut constants = vec![];
    let mut plain: HashMap<&Expr, Expr> = HashMap::default();
    let mut computed: HashMap<&Expr, Expr> = HashMap::default();
    for (column, expr) in &pairs {
        match expr {
            Expr::Literal(..) => constants.push(is_always(column.clone(), expr.clone())),
            Expr::Column(_) => _ = plain.entry(expr).or_insert(Expr::Column(column.clone())),
            _ if !is_deterministic(expr) => {}
            _ => _ = computed.entry(expr).or_insert(Expr::Column(column.clone())),
        }
    }
    let say = |predicate: &Expr, with_computed: bool| {
        let unwrapped = casts_beside_constants(predicate);
        let stands_for = |e: &Expr| computed.get(e).filter(|_| with_computed && !unwrapped.contains(e));
        let replace = |e: Expr| {
            let said = plain.get(&e).or_else(|| stands_for(&e));
            Ok(match said {
                Some(said) => Transformed::new(said.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(e),
            })
        };
        let said = predicate.clone().transform_down(replace).ok()?.data;
        said.column_refs().iter().all(|c| output.contains(c)).then_some(said)
    };
    let said = below.iter().flat_map(|p| [say(p, false), say(p, true)]).flatten();
    dedup(said.chain(constants).collect())
}

/// The casts a predicate compares with constants. Spark casts the constant instead, so by the time conditions are
/// inferred such a predicate speaks of the uncast value.
fn casts_beside_constants(predicate: &Expr) -> Vec<Expr> {
    let mut casts = vec![];
    let _ = predicate.apply(|e| {
        if let Expr::BinaryExpr(BinaryExpr { left, op, right }) = e
            && op.negate().is_some()
        {
            match (&**left, &**right) {
                (cast @ Expr::Cast(_), Expr::Literal(..)) | (Expr::Literal(..), cast @ Expr::Cast(_)) => {
                    casts.push(cast.clone());
                }
                _ => {}
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    casts
}

/// What is known to hold for every output row of `plan`, in its output columns.
fn constraints(plan: &LogicalPlan) -> Vec<Expr> {
    match plan {
        LogicalPlan::Filter(filter) => {
            let mut all = constraints(&filter.input);
            all.extend(conjuncts(filter.predicate.clone()).into_iter().filter(is_deterministic));
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
        LogicalPlan::Union(union) => {
            let outer = union.schema.columns();
            let of_branch = |input: &Arc<LogicalPlan>| {
                let below = input.schema().columns().into_iter().map(Expr::Column);
                renamed(constraints(input), outer.iter().cloned().zip(below).collect())
            };
            let branches = union.inputs.iter().map(of_branch);
            branches
                .reduce(|all, branch| all.into_iter().filter(|p| branch.contains(p)).collect())
                .unwrap_or_default()
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Extension(_) => plan
            .inputs()
            .first()
            .map(|input| constraints(input))
            .unwrap_or_default(),
        _ => vec![],
    }
}

/// What an equality allows to be said instead of a column: the column it equals, or the cast of one.
fn replacements(equality: &Expr) -> Vec<(Column, Expr)> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = equality
    else {
        return vec![];
    };
    let one_way = |from: &Expr, to: &Expr| match (from, to) {
        (Expr::Column(from), Expr::Column(_)) => Some((from.clone(), to.clone())),
        (Expr::Column(from), Expr::Cast(cast)) if matches!(*cast.expr, Expr::Column(_)) => {
            Some((from.clone(), to.clone()))
        }
        _ => None,
    };
    [one_way(left, right), one_way(right, left)]
        .into_iter()
        .flatten()
        .collect()
}

/// `IS NOT NULL` for each column of a conjunct that reads several: alone, one may sink where the conjunct may not.
pub(super) fn not_nulls_of_mixed(conjunct: &Expr) -> Vec<Expr> {
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

fn is_always(column: Column, constant: Expr) -> Expr {
    let column = Box::new(Expr::Column(column));
    Expr::BinaryExpr(BinaryExpr::new(column, Operator::IsNotDistinctFrom, Box::new(constant)))
}

fn is_not_null(column: &Column) -> Expr {
    Expr::IsNotNull(Box::new(Expr::Column(column.clone())))
}
