//! What Spark evaluates for every row because it needs it twice.
//!
//! Of expressions that are evaluated together, Spark computes a part they have in common first and once: also for rows in
//! which AND, OR or a FILTER would never come to it. Only errors tell, so only parts that can fail are looked for.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, Operator};

use super::check::aggregate_function;
use crate::sql::is_fallible;

/// The parts that the columns of a projection share.
pub(super) fn shared_by_columns(columns: &[Expr]) -> Vec<Expr> {
    if !columns.iter().any(guards) {
        return vec![];
    }
    let mut asked = Vec::new();
    columns.iter().for_each(|column| ask(column, &mut asked));
    twice(asked)
}

/// The parts that the aggregates of an aggregation share.
///
/// Values of changing length are aggregated by sorting, and there a FILTER guards all it is written at.
pub(super) fn shared_by_aggregates(calls: &[Expr], input: &DFSchema) -> Vec<Expr> {
    let mut functions: Vec<&AggregateFunction> = vec![];
    for function in calls.iter().filter_map(aggregate_function) {
        if !functions.contains(&function) {
            functions.push(function); // what is asked for twice is aggregated once
        }
    }
    let is_guarded = |f: &&AggregateFunction| {
        f.params
            .args
            .iter()
            .any(|a| guards(a) || f.params.filter.is_some() && is_fallible(a))
    };
    if !functions.iter().any(is_guarded) {
        return vec![];
    }
    let sorts = functions.iter().any(|f| has_changing_length(f, input));
    let mut asked = Vec::new();
    for function in functions {
        if function.params.filter.is_some() && sorts {
            continue;
        }
        for argument in &function.params.args {
            for _ in 0..uses(function, argument, input) {
                ask(argument, &mut asked);
            }
        }
    }
    twice(asked)
}

/// How often an aggregate asks for its argument: an average adds it up and counts it, a sum of decimals has a flag for
/// having seen one.
fn uses(function: &AggregateFunction, argument: &Expr, input: &DFSchema) -> usize {
    match function.func.name() {
        "avg" => 2,
        "sum" => {
            let is_decimal = matches!(argument.get_type(input), Ok(DataType::Decimal128(..)));
            if is_decimal && can_be_null(argument) { 2 } else { 1 }
        }
        _ => 1,
    }
}

/// Whether Spark holds a NULL for possible; `coalesce(x, 0)` has none.
fn can_be_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => can_be_null(&cast.expr),
        Expr::Case(Case {
            when_then_expr,
            else_expr,
            ..
        }) => {
            let tested = |when: &Expr, then: &Expr| matches!(when, Expr::IsNotNull(tested) if **tested == *then);
            let branches = when_then_expr
                .iter()
                .any(|(when, then)| !tested(when, then) && can_be_null(then));
            branches || else_expr.as_ref().is_none_or(|e| can_be_null(e))
        }
        Expr::ScalarFunction(call) if call.func.name() == "cast" => call.args.iter().any(can_be_null),
        _ => true,
    }
}

/// Whether an aggregate keeps a value whose length changes.
fn has_changing_length(function: &AggregateFunction, input: &DFSchema) -> bool {
    let keeps = matches!(function.func.name(), "min" | "max");
    let of = function.params.args.first().and_then(|a| a.get_type(input).ok());
    keeps && of.is_some_and(|of| !(of.is_primitive() || of == DataType::Boolean))
}

/// Whether there is an AND or OR whose right side can fail.
fn guards(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    let guard = |e: &Expr| match e {
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::And | Operator::Or,
            right,
            ..
        }) => is_fallible(right),
        _ => false,
    };
    expr.exists(|e| Ok(guard(e))).unwrap_or(true)
}

/// Lists what is asked for in every row that `expr` is evaluated for, if it can fail. The sides of AND and OR are, the
/// branches of a CASE are not unless all of them ask.
fn ask(expr: &Expr, asked: &mut Vec<Expr>) {
    use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
    if !is_fallible(expr) {
        return;
    }
    asked.push(expr.clone());
    match expr {
        Expr::Case(case) => ask_case(case, asked),
        _ => {
            let each = |child: &Expr| {
                ask(child, asked);
                Ok(TreeNodeRecursion::Continue)
            };
            expr.apply_children(each).expect("the walk does not fail");
        }
    }
}

fn ask_case(case: &Case, asked: &mut Vec<Expr>) {
    if let Some(operand) = &case.expr {
        ask(operand, asked);
    }
    let conditions: Vec<&Expr> = case.when_then_expr.iter().map(|(when, _)| when.as_ref()).collect();
    if let Some(first) = conditions.first() {
        ask(first, asked);
    }
    if let Some(value) = nullif(case) {
        return ask(value, asked); // its first argument is evaluated before it is compared
    }
    if conditions.len() > 1 {
        ask_all(&conditions, asked);
    }
    if let Some(otherwise) = &case.else_expr {
        let values = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
        ask_all(&values.chain([otherwise.as_ref()]).collect::<Vec<_>>(), asked);
    }
}

/// Lists what every one of `branches` asks for.
fn ask_all(branches: &[&Expr], asked: &mut Vec<Expr>) {
    let by_each = branches.iter().map(|branch| {
        let mut by_it = Vec::new();
        ask(branch, &mut by_it);
        by_it.dedup();
        by_it
    });
    let common = |mut all: Vec<Expr>, by_it: Vec<Expr>| {
        all.retain(|e| by_it.contains(e));
        all
    };
    asked.extend(by_each.reduce(common).unwrap_or_default());
}

/// The value of `nullif(value, other)`.
fn nullif(case: &Case) -> Option<&Expr> {
    match (case.when_then_expr.as_slice(), &case.else_expr) {
        ([(when, then)], Some(value)) => {
            let compares = matches!(**when, Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }));
            let is_null = matches!(&**then, Expr::Literal(null, _) if null.is_null());
            (compares && is_null).then_some(value)
        }
        _ => None,
    }
}

/// What is listed more than once.
fn twice(asked: Vec<Expr>) -> Vec<Expr> {
    let mut twice = Vec::new();
    for (at, expr) in asked.iter().enumerate() {
        if asked[..at].contains(expr) && !twice.contains(expr) {
            twice.push(expr.clone());
        }
    }
    twice
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::datatypes::{Field, Schema};
    use datafusion::logical_expr::LogicalPlan;

    use super::*;
    use crate::sql::Catalog;

    /// Asked of Spark 4.3: does a row with `x = 0`, which the FILTER leaves out, end the query?
    #[test]
    fn what_two_places_need_is_evaluated_whatever_a_filter_says() {
        for (aggregates, fails) in [
            ("sum(10 / x) F", false),
            ("count(10 / x) F", false),
            ("max(d / x) F", false),
            ("avg(10 / x) F", true),
            ("sum(d / x) F", true),
            ("sum(coalesce(d / x, 0)) F", false),
            ("sum(10 / x) F, max(10 / x) F", true),
            ("sum(10 / x) F, sum(10 / x) F", false),
            ("sum(10 / x) F, max(10 / x + 1) F", true),
            ("sum(10 / x) F, sum(CASE WHEN x <> 0 THEN 10 / x END) F", false),
            ("sum(10 / x) F, sum(if(x > 1, 10 / x, 10 / x + 1)) F", true),
            ("sum(10 / x) F, sum(coalesce(10 / x, x)) F", true),
            ("sum(10 / x) F, sum(coalesce(x, 10 / x)) F", false),
            ("sum(10 / x) F, bool_or(x > 0 AND 10 / x > 1) F", true),
            ("avg(CASE WHEN x >= 0 THEN 10 / x END) F", true),
            ("sum(CASE 10 / x WHEN 1 THEN 1 WHEN 2 THEN 2 ELSE 3 END) F", true),
            ("count_if(10 / x > 1) F", true),
            ("avg(10 / x) F, max(k)", false),
        ] {
            let aggregates = aggregates.replace(" F", " FILTER (WHERE x <> 0)");
            let aggregate = planned(&format!("SELECT k, {aggregates} FROM r GROUP BY k"));
            let shared = shared_by_aggregates(&aggregate.aggr_expr, aggregate.input.schema());
            let divides = shared.iter().any(|e| e.to_string().contains("divide"));
            assert_eq!(divides, fails, "{aggregates}: {shared:?}");
        }
    }

    fn planned(sql: &str) -> datafusion::logical_expr::Aggregate {
        let mut catalog = Catalog::new(BTreeMap::new());
        let columns = [
            ("k", DataType::Utf8),
            ("x", DataType::Int32),
            ("d", DataType::Decimal128(10, 2)),
        ];
        let fields = columns.map(|(name, of)| Field::new(name, of, true));
        catalog.add_stream("r", Arc::new(Schema::new(fields.to_vec()))).unwrap();
        let mut plan = catalog.plan(sql).unwrap();
        while !matches!(plan, LogicalPlan::Aggregate(_)) {
            plan = plan.inputs()[0].clone();
        }
        match plan {
            LogicalPlan::Aggregate(aggregate) => aggregate,
            _ => unreachable!("the loop ends at an aggregation"),
        }
    }
}
