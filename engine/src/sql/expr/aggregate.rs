//! Aggregate functions: arguments and results typed as Spark's, on DataFusion's accumulators.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::functions_aggregate as udaf;
use datafusion::logical_expr::expr::{AggregateFunction, NullTreatment};
use datafusion::logical_expr::{AggregateUDF, Expr, Operator, binary_expr, lit};

use super::operator::unexpected;
use super::{Exprs, mismatch};
use crate::sql::parse::ast::{Ast, Call};
use crate::sql::scope::Typed;
use crate::sql::types::*;
use crate::{Error, Result};

/// Aggregate functions of Spark that the planner knows.
const NAMES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "mean",
    "min",
    "max",
    "first",
    "first_value",
    "last",
    "last_value",
    "any_value",
    "stddev",
    "stddev_samp",
    "std",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "collect_list",
    "array_agg",
    "approx_count_distinct",
    "count_if",
    "bool_and",
    "every",
    "bool_or",
    "some",
    "any",
    "corr",
    "covar_pop",
    "covar_samp",
    "median",
    "collect_set",
    "percentile",
    "percentile_approx",
    "approx_percentile",
    "max_by",
    "min_by",
    "mode",
    "bit_and",
    "bit_or",
    "bit_xor",
    "kurtosis",
    "skewness",
    "listagg",
    "string_agg",
];

/// Whether `name` (lower case) is an aggregate function.
pub(in crate::sql) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

impl Exprs<'_> {
    pub(super) fn aggregate(&self, name: &str, call: &Call) -> Result<Typed> {
        if self.in_aggregate.get() {
            return Err(Error::spark(
                "NESTED_AGGREGATE_FUNCTION",
                "It is not allowed to use an aggregate function in the argument of another aggregate function. Please \
                 use the inner aggregate function in a sub-query.",
            ));
        }
        self.in_aggregate.set(true);
        let planned = self.aggregate_parts(name, call);
        self.in_aggregate.set(false);
        planned
    }

    fn aggregate_parts(&self, name: &str, call: &Call) -> Result<Typed> {
        let args = match call.args.as_slice() {
            [Ast::Star(qualifier)] if name == "count" && qualifier.is_empty() => {
                vec![Typed::new(lit(1i64), DataType::Int64, "1")]
            }
            [Ast::Star(qualifier)] if name == "count" => {
                let text = format!(
                    "count(`{}`.*) is not allowed. Use count(*) or name the columns.",
                    qualifier.join("`.`")
                );
                return Err(Error::spark(
                    "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT",
                    text,
                ));
            }
            args => self.arguments(args)?,
        };
        // Whether NULLs count is no part of the name of `first(x, true)`.
        let shown_args = if matches!(name, "first" | "last" | "first_value" | "last_value" | "any_value") {
            1
        } else {
            args.len()
        };
        let names: Vec<_> = args.iter().take(shown_args).map(|a| a.name.as_str()).collect();
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let shown = if name == "count" || name == "mean" {
            name.to_string()
        } else {
            call.name.to_lowercase()
        };
        let mut text = format!("{shown}({distinct}{})", names.join(", "));
        if args.iter().any(|arg| arg.expr.is_volatile()) {
            return Err(Error::spark(
                "AGGREGATE_FUNCTION_WITH_NONDETERMINISTIC_EXPRESSION",
                format!(
                    "Non-deterministic expression \"{text}\" should not appear in the arguments of an aggregate function."
                ),
            ));
        }
        let aggregate = self.function(name, args, &text)?;
        let mut filter = None;
        if let Some(condition) = &call.filter {
            let typed = self.plan(condition).map_err(|error| match error.condition() {
                Some("NESTED_AGGREGATE_FUNCTION") => Error::spark(
                    "INVALID_AGGREGATE_FILTER.CONTAINS_AGGREGATE",
                    "The FILTER expression in an aggregate function is invalid. Expected a FILTER expression without an \
                     aggregation.",
                ),
                _ => error,
            })?;
            if typed.data_type != DataType::Boolean {
                return Err(Error::spark(
                    "INVALID_AGGREGATE_FILTER.NOT_BOOLEAN",
                    format!(
                        "The FILTER expression \"{}\" in an aggregate function is invalid. Expected a FILTER expression of \
                         the BOOLEAN type.",
                        typed.name
                    ),
                ));
            }
            if typed.expr.is_volatile() {
                return Err(Error::spark(
                    "INVALID_AGGREGATE_FILTER.NON_DETERMINISTIC",
                    format!(
                        "The FILTER expression \"{}\" in an aggregate function is invalid. Expected a deterministic FILTER \
                         expression.",
                        typed.name
                    ),
                ));
            }
            text.push_str(&format!(" FILTER (WHERE {})", typed.name));
            filter = Some(Box::new(typed.expr));
        }
        let Some(Aggregate {
            function,
            args,
            returns,
            ignore_nulls,
        }) = aggregate
        else {
            return Err(Error::unsupported(format!(
                "the aggregate function `{name}` is not supported yet"
            )));
        };
        let nulls = (call.ignore_nulls || ignore_nulls).then_some(NullTreatment::IgnoreNulls);
        let expr = AggregateFunction::new_udf(function, args, call.distinct, filter, vec![], nulls);
        Ok(Typed::new(Expr::AggregateFunction(expr), returns, text))
    }

    /// The accumulator, its arguments and its result; None for what DataFusion has not.
    fn function(&self, name: &str, args: Vec<Typed>, text: &str) -> Result<Option<Aggregate>> {
        if name == "count" && args.is_empty() {
            return Err(Error::spark(
                "WRONG_NUM_ARGS.WITH_SUGGESTION",
                "The `count` requires >= 1 parameters but the actual number is 0.",
            ));
        }
        if name == "count" && args.len() > 1 {
            return Ok(Some(self.count_all(args)));
        }
        let wanted = match name {
            "corr" | "covar_pop" | "covar_samp" => 2..=2,
            "max_by" | "min_by" | "percentile" | "percentile_approx" | "approx_percentile" => 2..=3,
            "listagg"
            | "string_agg"
            | "mode"
            | "first"
            | "last"
            | "first_value"
            | "last_value"
            | "any_value"
            | "approx_count_distinct" => 1..=2,
            _ => 1..=1,
        };
        if !wanted.contains(&args.len()) {
            let one = || {
                if wanted.end() == wanted.start() {
                    wanted.start().to_string()
                } else {
                    format!("{wanted:?}")
                }
            };
            return Err(wrong_count(name, &one(), args.len()));
        }
        let value = args[0].clone();
        let number = |to: DataType| -> Result<Vec<Expr>> {
            match &value.data_type {
                t if is_numeric(t) || is_timestamp(t) || matches!(t, DataType::Utf8 | DataType::Null) => {
                    Ok(vec![self.cast(&value, &to)])
                }
                t if is_interval(t) => Err(Error::unsupported(format!("{name} of intervals is not supported yet"))),
                _ => Err(mismatch(
                    "UNEXPECTED_INPUT_TYPE",
                    text,
                    format!(
                        "The first parameter requires the \"NUMERIC\" or \"ANSI INTERVAL\" type, however \"{}\" has the \
                         type \"{}\"",
                        value.name,
                        message_type_name(&value.data_type)
                    ),
                )),
            }
        };
        let boolean = || -> Result<Vec<Expr>> {
            match value.data_type {
                DataType::Boolean | DataType::Null => Ok(vec![self.cast(&value, &DataType::Boolean)]),
                _ => Err(unexpected(text, "first", "BOOLEAN", &value)),
            }
        };
        let double = DataType::Float64;
        Ok(Some(match name {
            "count" => Aggregate::of(udaf::count::count_udaf(), vec![value.expr], DataType::Int64),
            "sum" => {
                let to = sum_type(&value.data_type);
                let returns = match to {
                    DataType::Decimal128(p, s) => DataType::Decimal128((p + 10).min(38), s),
                    ref other => other.clone(),
                };
                Aggregate::of(udaf::sum::sum_udaf(), number(to)?, returns)
            }
            "avg" | "mean" => match value.data_type {
                DataType::Decimal128(p, s) => {
                    let returns = DataType::Decimal128((p + 4).min(38), (s + 4).min(38));
                    Aggregate::of(udaf::average::avg_udaf(), vec![value.expr], returns)
                }
                _ => Aggregate::of(udaf::average::avg_udaf(), number(double.clone())?, double),
            },
            "min" | "max" => {
                if matches!(value.data_type, DataType::Map(..)) {
                    return Err(mismatch("INVALID_ORDERING_TYPE", text, "maps have no order"));
                }
                let function = if name == "min" {
                    udaf::min_max::min_udaf()
                } else {
                    udaf::min_max::max_udaf()
                };
                Aggregate::of(function, vec![value.expr], value.data_type)
            }
            "first" | "first_value" | "any_value" | "last" | "last_value" => {
                let last = name.starts_with("last");
                let function = if last {
                    udaf::first_last::last_value_udaf()
                } else {
                    udaf::first_last::first_value_udaf()
                };
                let ignore_nulls = args.get(1).is_some_and(|a| a.expr == lit(true));
                Aggregate {
                    ignore_nulls,
                    ..Aggregate::of(function, vec![value.expr], value.data_type)
                }
            }
            "stddev" | "stddev_samp" | "std" => {
                Aggregate::of(udaf::stddev::stddev_udaf(), number(double.clone())?, double)
            }
            "stddev_pop" => Aggregate::of(udaf::stddev::stddev_pop_udaf(), number(double.clone())?, double),
            "variance" | "var_samp" => Aggregate::of(udaf::variance::var_samp_udaf(), number(double.clone())?, double),
            "var_pop" => Aggregate::of(udaf::variance::var_pop_udaf(), number(double.clone())?, double),
            "count_if" => {
                // `count(nullif(condition, false))`, as Spark has it.
                let condition = boolean()?.remove(0);
                let fails = binary_expr(condition.clone(), Operator::Eq, lit(false));
                let hit = Expr::Case(datafusion::logical_expr::Case {
                    expr: None,
                    when_then_expr: vec![(Box::new(fails), Box::new(lit(ScalarValue::Boolean(None))))],
                    else_expr: Some(Box::new(condition)),
                });
                Aggregate::of(udaf::count::count_udaf(), vec![hit], DataType::Int64)
            }
            // False is less than true, and Spark makes of these what they then are.
            "bool_and" | "every" => Aggregate::of(udaf::min_max::min_udaf(), boolean()?, DataType::Boolean),
            "bool_or" | "some" | "any" => Aggregate::of(udaf::min_max::max_udaf(), boolean()?, DataType::Boolean),
            "median" => Aggregate::of(udaf::median::median_udaf(), number(double.clone())?, double),
            "corr" | "covar_pop" | "covar_samp" => {
                let function = match name {
                    "corr" => udaf::correlation::corr_udaf(),
                    "covar_pop" => udaf::covariance::covar_pop_udaf(),
                    _ => udaf::covariance::covar_samp_udaf(),
                };
                let args = args.iter().map(|a| self.cast(a, &double)).collect();
                Aggregate::of(function, args, double)
            }
            _ => return Ok(None),
        }))
    }

    /// `count(a, b)`: rows in which no value is NULL.
    fn count_all(&self, args: Vec<Typed>) -> Aggregate {
        let present = args.into_iter().map(|a| Expr::IsNotNull(Box::new(a.expr)));
        let all = present.reduce(|l, r| l.and(r)).unwrap_or(lit(true));
        let hit = Expr::Case(datafusion::logical_expr::Case {
            expr: None,
            when_then_expr: vec![(Box::new(all), Box::new(lit(1i64)))],
            else_expr: Some(Box::new(lit(ScalarValue::Int64(None)))),
        });
        Aggregate::of(udaf::count::count_udaf(), vec![hit], DataType::Int64)
    }
}

struct Aggregate {
    function: Arc<AggregateUDF>,
    args: Vec<Expr>,
    returns: DataType,
    ignore_nulls: bool,
}

impl Aggregate {
    fn of(function: Arc<AggregateUDF>, args: Vec<Expr>, returns: DataType) -> Self {
        Self {
            function,
            args,
            returns,
            ignore_nulls: false,
        }
    }
}

/// What sum adds up: whole numbers as bigint, decimals as they are, the rest as double.
fn sum_type(data_type: &DataType) -> DataType {
    match data_type {
        t if is_integral(t) => DataType::Int64,
        DataType::Decimal128(..) => data_type.clone(),
        _ => DataType::Float64,
    }
}

/// Spark's WRONG_NUM_ARGS.
pub(super) fn wrong_count(name: &str, wanted: &str, found: usize) -> Error {
    Error::spark(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        format!("The `{name}` requires {wanted} parameters but the actual number is {found}."),
    )
}
