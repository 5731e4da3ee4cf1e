//! Calls of functions: which kernel, which argument types, which name.
//!
//! To add a scalar function, give it a line in its family below this file.

mod collections;
mod conditions;
mod numbers;
mod texts;
mod times;

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::aggregate::{is_aggregate, wrong_count};
use super::operator::{one_zero, unexpected};
use super::{Exprs, mismatch};
use crate::sql::function::arithmetic::{self, Op};
use crate::sql::function::cast::{self, Mode};
use crate::sql::function::{
    collection, datetime, duration, grouping, json, math, names, pattern, string, timeformat, window,
};
use crate::sql::node::TimeWindowNode;
use crate::sql::parse::ast::{Ast, BinaryOp, Call, RowWindow};
use crate::sql::parse::{self};
use crate::sql::plan::missing_aggregation;
use crate::sql::scope::Typed;
use crate::sql::timestamp_type;
use crate::sql::types::*;
use crate::{Error, Result};

/// Functions that stand before OVER only, and ask for an order of the rows.
const OVER_ROWS_ONLY: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "lag",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// Aggregate functions that may be told whether NULLs count.
const SKIPS_NULLS: &[&str] = &[
    "any_value",
    "array_agg",
    "collect_list",
    "collect_set",
    "first",
    "first_value",
    "last",
    "last_value",
];

/// What a parameter takes; other types are cast or refused as Spark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Text,
    Int,
    Bigint,
    Double,
    Timestamp,
    Date,
    Boolean,
    /// As [`Want::Timestamp`], but nothing else becomes one.
    OnlyTimestamp,
    /// As [`Want::Date`], but nothing else becomes one.
    OnlyDate,
}

impl Want {
    fn data_type(self) -> DataType {
        match self {
            Want::Text => DataType::Utf8,
            Want::Int => DataType::Int32,
            Want::Bigint => DataType::Int64,
            Want::Double => DataType::Float64,
            Want::Timestamp | Want::OnlyTimestamp => timestamp_type(),
            Want::Date | Want::OnlyDate => DataType::Date32,
            Want::Boolean => DataType::Boolean,
        }
    }
}

impl Exprs<'_> {
    pub(super) fn call(&self, call: &Call) -> Result<Typed> {
        let name = call.name.to_lowercase();
        if let Some(over) = &call.over {
            return self.window_over_rows(call, over);
        }
        if OVER_ROWS_ONLY.contains(&name.as_str()) {
            return Err(Error::spark(
                "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                format!("Window function \"{name}()\" requires an OVER clause."),
            ));
        }
        if matches!(name.as_str(), "window" | "session_window") {
            return self.time_window(call);
        }
        if name == window::WINDOW_TIME {
            return self.window_time(call);
        }
        if is_aggregate(&name) {
            if call.ignore_nulls && !SKIPS_NULLS.contains(&name.as_str()) {
                return Err(without_syntax(&name, "IGNORE NULLS"));
            }
            return self.aggregate(&name, call);
        }
        let aggregate_only = [
            (call.distinct, "DISTINCT"),
            (call.filter.is_some(), "FILTER CLAUSE"),
            (call.ignore_nulls, "IGNORE NULLS"),
        ];
        if let Some((_, words)) = aggregate_only.iter().find(|(found, _)| *found)
            && names::SPARK.contains(&name.as_str())
        {
            return Err(without_syntax(&name, words));
        }
        let args = if matches!(name.as_str(), "struct" | "named_struct") {
            return self.make_struct(&name, &call.args);
        } else {
            self.arguments(&call.args)?
        };
        if let Some(to) = conversion(&name) {
            let [value] = <[Typed; 1]>::try_from(args).map_err(|a| wrong_count(&name, "1", a.len()))?;
            let shown = value.column_name().to_string();
            let mut cast = self.user_cast(value, &to, false)?;
            cast.alias.get_or_insert(shown.clone());
            cast.name = shown;
            return Ok(cast);
        }
        if matches!(name.as_str(), "grouping" | "grouping_id") {
            return self.grouping(&name, args);
        }
        match self.scalar(&name, &args)? {
            Some(typed) => Ok(typed),
            None if names::SPARK.contains(&name.as_str()) => Err(Error::unsupported(format!(
                "the function `{name}` is not supported yet"
            ))),
            None => Err(unknown_routine(&call.name)),
        }
    }

    /// A function over rows. No stream has one, but a query may be refused for something else before.
    fn window_over_rows(&self, call: &Call, over: &RowWindow) -> Result<Typed> {
        let name = call.name.to_lowercase();
        let ranks = OVER_ROWS_ONLY.contains(&name.as_str());
        if !ranks && !names::SPARK.contains(&name.as_str()) {
            return Err(unknown_routine(&call.name));
        }
        if ranks && !over.has_order {
            return Err(Error::spark(
                "WINDOW_FUNCTION_FRAME_NOT_ORDERED",
                format!(
                    "Window function {name} requires the window to be ordered. You need to add an ORDER BY clause."
                ),
            ));
        }
        if !self.scope.streaming {
            return Err(Error::unsupported(format!(
                "the window function {}(...) OVER (...) is not supported yet",
                call.name
            )));
        }
        let is_star = |ast: &&Ast| matches!(ast, Ast::Star(_));
        for part in call.args.iter().filter(|ast| !is_star(ast)).chain(&over.by) {
            match self.plan(part) {
                // It is refused in any case.
                Err(Error::Unsupported(_)) => {}
                other => drop(other?),
            }
        }
        if call.distinct {
            return Err(Error::spark(
                "DISTINCT_WINDOW_FUNCTION_UNSUPPORTED",
                format!("Distinct window functions are not supported: \"{name}(DISTINCT ...)\"."),
            ));
        }
        if !ranks && !is_aggregate(&name) {
            return Err(Error::spark(
                "UNSUPPORTED_EXPR_FOR_WINDOW",
                format!("Expression \"{name}\" not supported within a window function."),
            ));
        }
        let shown = format!("{name}() OVER ()");
        Ok(Typed::new(window::over_rows(&call.name), DataType::Null, shown))
    }

    /// `window(...)` where a window column was put below.
    fn time_window(&self, call: &Call) -> Result<Typed> {
        let Some(window) = self.window else {
            return Err(Error::unsupported(format!(
                "{}(...) is not supported in this clause yet",
                call.name
            )));
        };
        Ok(Typed::new(
            window.attr.expr(),
            window.attr.data_type.clone(),
            window.attr.name.clone(),
        ))
    }

    /// `grouping(key)`, `grouping_id()`.
    fn grouping(&self, name: &str, args: Vec<Typed>) -> Result<Typed> {
        if name == "grouping" && args.len() != 1 {
            return Err(wrong_count(name, "1", args.len()));
        }
        let names: Vec<_> = args.iter().map(|arg| arg.name.as_str()).collect();
        let text = format!("{name}({})", names.join(", "));
        let args = args.into_iter().map(|arg| arg.expr).collect();
        let (expr, data_type) = grouping::call(name, args).expect("one of the two names");
        Ok(Typed::new(expr, data_type, text))
    }

    /// `window_time(window)` of a window column.
    fn window_time(&self, call: &Call) -> Result<Typed> {
        let [value] = <[Typed; 1]>::try_from(self.plan_all(&call.args)?)
            .map_err(|args| wrong_count(&call.name, "1", args.len()))?;
        let text = format!("window_time({})", value.name);
        if !matches!(value.data_type, DataType::Struct(_)) {
            return Err(unexpected(&text, "first", "STRUCT", &value));
        }
        if value.data_type != TimeWindowNode::window_type() {
            return Err(Error::nameless(format!(
                "The input is not a correct window column: {text}"
            )));
        }
        if self.window.is_some_and(|column| column.groups_without_time) {
            return Err(missing_aggregation(&text));
        }
        if self.window.is_some() {
            return Err(Error::unsupported(
                "window_time(...) in the SELECT that makes the window is not supported yet; put it into a SELECT around it",
            ));
        }
        let time = window::window_time().call(vec![value.expr]);
        Ok(Typed::new(time, timestamp_type(), text))
    }

    /// A built-in function; None if there is none of that name.
    fn scalar(&self, name: &str, args: &[Typed]) -> Result<Option<Typed>> {
        let names: Vec<_> = args.iter().map(|a| a.name.as_str()).collect();
        let text = format!("{}({})", shown_name(name), names.join(", "));
        let call = Args {
            exprs: self,
            name,
            args,
            text: &text,
        };
        let families = [
            Self::condition_call,
            Self::text_call,
            Self::number_call,
            Self::time_call,
            Self::collection_call,
        ];
        families
            .iter()
            .find_map(|family| family(self, &call).transpose())
            .transpose()
    }

    // ---- structs and maps
}

/// DISTINCT, FILTER or IGNORE NULLS where the function takes none.
fn without_syntax(name: &str, words: &str) -> Error {
    Error::spark(
        "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
        format!("Invalid SQL syntax: The function `{name}` does not support {words}."),
    )
}

fn unknown_routine(name: &str) -> Error {
    Error::spark(
        "UNRESOLVED_ROUTINE",
        format!(
            "Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, \
             `spark_catalog`.`default`]."
        ),
    )
}

/// The arguments of one call.
struct Args<'a> {
    exprs: &'a Exprs<'a>,
    name: &'a str,
    args: &'a [Typed],
    text: &'a str,
}

impl Args<'_> {
    fn exactly<const N: usize>(&self) -> Result<[Typed; N]> {
        <[Typed; N]>::try_from(self.args.to_vec()).map_err(|args| wrong_count(self.name, &N.to_string(), args.len()))
    }

    /// All arguments, cast to what the parameters want.
    fn take(&self, wants: &[Want]) -> Result<Vec<Expr>> {
        self.take_some(wants, wants.len())
    }

    /// As [`Args::take`]; parameters after `required` may be missing.
    fn take_some(&self, wants: &[Want], required: usize) -> Result<Vec<Expr>> {
        if self.args.len() < required || self.args.len() > wants.len() {
            let counts: Vec<_> = (required..=wants.len()).map(|n| n.to_string()).collect();
            let wanted = if counts.len() == 1 {
                counts[0].clone()
            } else {
                format!("[{}]", counts.join(", "))
            };
            return Err(wrong_count(self.name, &wanted, self.args.len()));
        }
        const PLACES: [&str; 6] = ["first", "second", "third", "fourth", "fifth", "sixth"];
        let each = self.args.iter().zip(wants).zip(PLACES);
        each.map(|((arg, want), place)| self.one(arg, *want, place)).collect()
    }

    fn one(&self, arg: &Typed, want: Want, place: &str) -> Result<Expr> {
        let to = want.data_type();
        let fits = match (&arg.data_type, want) {
            (from, _) if *from == to || *from == DataType::Null => true,
            (from, Want::Text) => !from.is_nested(),
            (from, Want::OnlyTimestamp) => is_timestamp(from),
            (_, Want::OnlyDate) => false,
            (DataType::Utf8, _) => true,
            (from, Want::Int) => {
                matches!(from, DataType::Int8 | DataType::Int16) || !self.exprs.ansi() && is_numeric(from)
            }
            (from, Want::Bigint) => is_integral(from) || !self.exprs.ansi() && is_numeric(from),
            (from, Want::Double) => is_numeric(from),
            (from, Want::Timestamp) => *from == DataType::Date32 || is_timestamp(from),
            (from, Want::Date) => is_timestamp(from),
            (_, Want::Boolean) => false,
        };
        if !fits {
            return Err(unexpected(self.text, place, &message_type_name(&to), arg));
        }
        Ok(self.exprs.cast(arg, &to))
    }

    fn text(&self, arg: &Typed) -> Result<Expr> {
        self.one(arg, Want::Text, "first")
    }

    /// All arguments as numbers; text becomes double.
    fn numbers<const N: usize>(&self) -> Result<[Typed; N]> {
        let numbers = self.exactly::<N>()?.map(|arg| match &arg.data_type {
            t if is_numeric(t) => Ok(arg),
            DataType::Utf8 | DataType::Null => {
                let expr = self.exprs.cast(&arg, &DataType::Float64);
                Ok(Typed::new(expr, DataType::Float64, &arg.name))
            }
            _ => Err(unexpected(self.text, "first", "NUMERIC", &arg)),
        });
        let numbers: Vec<Typed> = numbers.into_iter().collect::<Result<_>>()?;
        <[Typed; N]>::try_from(numbers).map_err(|n| wrong_count(self.name, &N.to_string(), n.len()))
    }

    /// A literal whole number at `index`, if there is an argument.
    fn literal_int(&self, index: usize) -> Result<Option<i64>> {
        let Some(arg) = self.args.get(index) else {
            return Ok(None);
        };
        match arg.expr {
            Expr::Literal(ScalarValue::Int32(Some(v)), _) => Ok(Some(v as i64)),
            Expr::Literal(ScalarValue::Int64(Some(v)), _) => Ok(Some(v)),
            _ => Err(mismatch(
                "NON_FOLDABLE_INPUT",
                self.text,
                "the number of digits must be a literal",
            )),
        }
    }

    fn seed(&self) -> i64 {
        self.literal_int(0).ok().flatten().unwrap_or(0)
    }
}

/// `int(x)`, `string(x)`, ...: casts in the dress of functions.
fn conversion(name: &str) -> Option<DataType> {
    Some(match name {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "decimal" => DataType::Decimal128(10, 0),
        "string" => DataType::Utf8,
        "date" => DataType::Date32,
        "timestamp" => timestamp_type(),
        "binary" => DataType::Binary,
        _ => return None,
    })
}

/// The name Spark shows, which for some functions is in upper case.
fn shown_name(name: &str) -> &str {
    match name {
        "sqrt" => "SQRT",
        "exp" => "EXP",
        "log10" => "LOG10",
        "log2" => "LOG2",
        "log1p" => "LOG1P",
        "log" => "LOG",
        "power" => "POWER",
        "signum" => "SIGNUM",
        "sin" => "SIN",
        "cos" => "COS",
        "tan" => "TAN",
        "asin" => "ASIN",
        "acos" => "ACOS",
        "atan" => "ATAN",
        "cbrt" => "CBRT",
        "degrees" => "DEGREES",
        "radians" => "RADIANS",
        "expm1" => "EXPM1",
        other => other,
    }
}
