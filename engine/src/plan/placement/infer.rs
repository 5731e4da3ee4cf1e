//! What follows from what is known of rows: columns that are not NULL, and conditions an equality carries over.

use std::collections::{HashMap, HashSet};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::join::{JoinConjuncts, Sides, split_on};
use super::{dedup, substitute};
use crate::plan::conjuncts::conjuncts;
use crate::sql::is_null_intolerant;

/// What follows from an inner or semi join's condition for one side alone: its columns are not NULL, and whatever is
/// known of a key holds for the key it equals.
pub(super) fn infer(placed: &mut JoinConjuncts, sides: &Sides, join: &Join) {
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
    for equality in &placed.on {
        for (from, to) in replacements(equality) {
            let renamed = HashMap::from([(from.clone(), to)]);
            // A condition on both sides may come to speak of one side alone.
            let carried = known
                .iter()
                .chain(&placed.on)
                .chain(&placed.above)
                .filter(|p| *p != equality && p.column_refs().contains(&from) && !p.is_volatile());
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
            _ if expr.is_volatile() => {}
            _ => _ = computed.entry(expr).or_insert(Expr::Column(column.clone())),
        }
    }
    let say = |predicate: &Expr, with_computed: bool| {
        let replace = |e: Expr| {
            let said = plain.get(&e).or_else(|| computed.get(&e).filter(|_| with_computed));
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

/// What is known to hold for every output row of `plan`, in its output columns.
fn constraints(plan: &LogicalPlan) -> Vec<Expr> {
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
