//! What is evaluated in advance.
//!
//! Spark makes code for a list of expressions at once. A part that is certain to be evaluated in two places gets code of
//! its own in front of all others, and fails there: for rows that an AND, an OR or a FILTER would have kept from it, too.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator};
use skirl_engine::sql::is_fallible;

use super::tree::AggregateCall;

/// What the columns of a projection evaluate in advance.
pub(super) fn of_columns(columns: &[Expr]) -> Vec<Expr> {
    let mut certain = Certain::default();
    columns.iter().for_each(|column| certain.add(column));
    certain.repeated()
}

/// What aggregates evaluate in advance.
pub(super) fn of_calls(calls: &[AggregateCall], schema: &DFSchema) -> Vec<Expr> {
    let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
    // A text, a struct or a list does not fit where numbers are added up in place. Spark then sorts the rows, and each
    // call decides by its FILTER before it looks at the argument.
    let by_sorting = calls.iter().any(|call| {
        let keeps_value = call.function == "min" || call.function == "max";
        keeps_value && call.args.iter().any(|arg| !in_place(&type_of(arg)))
    });
    let mut certain = Certain::default();
    for (at, call) in calls.iter().enumerate() {
        let again = calls[..at].iter().any(|c| same_call(c, call));
        if again || by_sorting && call.filter.is_some() {
            continue;
        }
        for arg in &call.args {
            certain.add(arg);
            let is_counted_too = match call.function.as_str() {
                "avg" => true,
                "sum" => matches!(type_of(arg), DataType::Decimal128(..)) && is_nullable(arg),
                _ => false,
            };
            if is_counted_too {
                certain.add(arg);
            }
        }
    }
    certain.repeated()
}

fn in_place(data_type: &DataType) -> bool {
    data_type.is_primitive() || matches!(data_type, DataType::Boolean | DataType::Null)
}

fn same_call(one: &AggregateCall, other: &AggregateCall) -> bool {
    (&one.function, &one.args, &one.filter) == (&other.function, &other.args, &other.filter)
}

/// Whether Spark thinks an argument can be NULL. It knows of constants and of the last resort of a `coalesce`.
fn is_nullable(expr: &Expr) -> bool {
    let Expr::Case(case) = expr else {
        return !matches!(expr, Expr::Literal(value, _) if !value.is_null());
    };
    let is_coalesce = case
        .when_then_expr
        .iter()
        .all(|(when, then)| **when == Expr::IsNotNull(then.clone()));
    let last_resort = case.else_expr.as_deref().is_none_or(|e| is_nullable(without_cast(e)));
    let branches = case
        .when_then_expr
        .iter()
        .any(|(_, then)| is_nullable(without_cast(then)));
    last_resort || branches && !is_coalesce
}

fn without_cast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => without_cast(&cast.expr),
        Expr::ScalarFunction(call) if call.func.name() == "cast" && call.args.len() == 1 => without_cast(&call.args[0]),
        other => other,
    }
}

/// Parts that can fail and are certain to be evaluated, with how often.
#[derive(Default)]
struct Certain(Vec<(Expr, u32)>);

impl Certain {
    fn add(&mut self, expr: &Expr) {
        if !is_fallible(expr) {
            return;
        }
        self.count(expr);
        let Expr::Case(case) = expr else {
            expr.apply_children(|part| {
                self.add(part);
                Ok(TreeNodeRecursion::Continue)
            })
            .expect("nothing fails on the way");
            return;
        };
        case.expr.iter().for_each(|operand| self.add(operand));
        case.when_then_expr
            .iter()
            .take(1)
            .for_each(|(first, _)| self.add(first));
        // `nullif` computes its first argument beforehand, and compares and returns that.
        match nullif_argument(case) {
            Some(argument) => self.add(argument),
            None => choices(case).iter().for_each(|choice| self.add_common(choice)),
        }
    }

    /// What all the expressions evaluate, whichever is chosen.
    fn add_common(&mut self, choice: &[&Expr]) {
        let of_one = |expr: &&Expr| {
            let mut certain = Certain::default();
            certain.add(expr);
            certain
        };
        let of_each: Vec<Certain> = choice.iter().map(of_one).collect();
        let Some((first, others)) = of_each.split_first() else {
            return;
        };
        for (part, _) in &first.0 {
            if others.iter().all(|other| other.0.iter().any(|(p, _)| p == part)) {
                self.count(part);
            }
        }
    }

    fn count(&mut self, part: &Expr) {
        match self.0.iter_mut().find(|(known, _)| known == part) {
            Some((_, times)) => *times += 1,
            None => self.0.push((part.clone(), 1)),
        }
    }

    fn repeated(self) -> Vec<Expr> {
        self.0
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(part, _)| part)
            .collect()
    }
}

/// Of which expressions a CASE evaluates one or more: its conditions, if it has several; its results, if one is certain.
fn choices(case: &Case) -> Vec<Vec<&Expr>> {
    let conditions: Vec<&Expr> = case.when_then_expr.iter().map(|(when, _)| &**when).collect();
    let mut choices = if conditions.len() > 1 { vec![conditions] } else { vec![] };
    if let Some(otherwise) = &case.else_expr {
        let results = case.when_then_expr.iter().map(|(_, then)| &**then);
        choices.push(results.chain([&**otherwise]).collect());
    }
    choices
}

fn nullif_argument(case: &Case) -> Option<&Expr> {
    let [(when, then)] = case.when_then_expr.as_slice() else {
        return None;
    };
    let is_equality = matches!(&**when, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }));
    let gives_null = matches!(&**then, Expr::Literal(value, _) if value.is_null());
    case.else_expr.as_deref().filter(|_| is_equality && gives_null)
}
