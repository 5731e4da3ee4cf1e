//! What follows from what is known of rows: columns that are not NULL, and conditions an equality carries over.

use std::collections::{HashMap, HashSet};

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
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

fn is_not_null(column: &Column) -> Expr {
    Expr::IsNotNull(Box::new(Expr::Column(column.clone())))
}
