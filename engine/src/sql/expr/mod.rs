//! Expressions: from syntax to typed DataFusion expressions.
//!
//! Types are settled bottom-up, where Spark's analyzer settles them: every cast is explicit in the result.

mod aggregate;
mod call;
mod operator;
mod subquery;

use std::cell::{Cell, RefCell};

use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::function::cast::{self, Mode};
use super::function::collection;
use super::parse::ast::*;
use super::plan::{Env, Planner, WindowColumn, moved_inwards};
use super::scope::{Scope, Typed, field_of};
use super::types::*;
use super::{interval, parse};
use crate::format::{number, time};
use crate::{Error, Result};

pub(super) use operator::binary_expr;
pub(super) use subquery::PendingJoin;
pub use subquery::{is_domain_join, is_subquery_join};

/// Plans expressions at one place of a query.
pub(super) struct Exprs<'a> {
    pub planner: &'a Planner<'a>,
    pub env: &'a Env<'a>,
    pub scope: &'a Scope<'a>,
    /// The window column below, and the calls it answers.
    pub window: Option<&'a WindowColumn>,
    /// Joins that subqueries of these expressions ask for, below the node that evaluates them.
    pub joins: RefCell<Vec<PendingJoin>>,
    in_aggregate: Cell<bool>,
}

impl<'a> Exprs<'a> {
    pub fn new(planner: &'a Planner<'a>, env: &'a Env<'a>, scope: &'a Scope<'a>) -> Self {
        Self {
            planner,
            env,
            scope,
            window: None,
            joins: RefCell::default(),
            in_aggregate: Cell::new(false),
        }
    }

    pub fn with_window(mut self, window: Option<&'a WindowColumn>) -> Self {
        self.window = window;
        self
    }

    fn ansi(&self) -> bool {
        self.planner.ansi
    }

    fn mode(&self) -> Mode {
        if self.ansi() { Mode::Ansi } else { Mode::Java }
    }

    /// Casts without a word from the user.
    fn cast(&self, value: &Typed, to: &DataType) -> Expr {
        cast::cast_expr(value.expr.clone(), &value.data_type, to, self.mode())
    }

    /// Plans one expression.
    pub fn plan(&self, ast: &Ast) -> Result<Typed> {
        match ast {
            Ast::Null => Ok(Typed::new(lit(ScalarValue::Null), DataType::Null, "NULL")),
            Ast::Bool(value) => Ok(Typed::new(lit(*value), DataType::Boolean, value.to_string())),
            Ast::Number(text) => number_literal(text),
            Ast::Text(text) => Ok(Typed::new(lit(text.as_str()), DataType::Utf8, text)),
            Ast::Typed(kind, text) => typed_literal(kind, text),
            Ast::Interval(interval) => Ok(interval_literal(interval)),
            Ast::Name(parts) => self.scope.resolve(parts),
            Ast::Star(_) => Err(Error::spark(
                "INVALID_USAGE_OF_STAR_OR_REGEX",
                "Invalid usage of '*' in expression.".to_string(),
            )),
            Ast::Unary(UnaryOp::Not, inner) if matches!(**inner, Ast::InQuery(..)) => match &**inner {
                Ast::InQuery(value, query) => self.in_query_mark(value, query, true),
                other => self.unary(UnaryOp::Not, other),
            },
            Ast::Unary(op, operand) => match moved_inwards(ast) {
                Some(moved) => self.plan(&moved),
                None => self.unary(*op, operand),
            },
            Ast::Binary(op, left, right) => self.binary(*op, left, right),
            Ast::IsNull(operand, negated) => self.is_null(operand, *negated),
            Ast::Between(value, low, high) => self.between(value, low, high),
            Ast::In(value, list) => self.in_list(value, list),
            Ast::InQuery(value, query) => self.in_query(value, query),
            Ast::Exists(query) => self.exists(query),
            Ast::Scalar(query) => self.scalar_query(query),
            Ast::Like {
                kind,
                expr,
                pattern,
                escape,
            } => self.like(*kind, expr, pattern, *escape),
            Ast::Case {
                operand,
                whens,
                otherwise,
            } => self.case(operand.as_deref(), whens, otherwise.as_deref()),
            Ast::Cast { expr, to, forgiving } => {
                let data_type = parse::parse_data_type(to)?;
                let value = self.plan(expr)?;
                self.user_cast(value, &data_type, *forgiving)
            }
            Ast::Call(call) => self.call(call),
            Ast::Field(base, name) => self.field(base, name),
            Ast::Element(base, key) => self.element(base, key),
            Ast::Tuple(values) => self.struct_of(values),
            Ast::Named(..) => Err(Error::spark("PARSE_SYNTAX_ERROR", "Syntax error at or near 'AS'")),
            Ast::Extract(field, from) => self.extract(field, from),
        }
    }

    /// The arguments of a function, stars expanded.
    fn arguments(&self, list: &[Ast]) -> Result<Vec<Typed>> {
        let mut arguments = vec![];
        for ast in list {
            match ast {
                Ast::Star(qualifier) => arguments.extend(self.planner.star(self.scope, qualifier)?),
                other => arguments.push(self.plan(other)?),
            }
        }
        Ok(arguments)
    }

    pub fn plan_all(&self, list: &[Ast]) -> Result<Vec<Typed>> {
        list.iter().map(|ast| self.plan(ast)).collect()
    }

    /// A condition of HAVING, which Spark casts to BOOLEAN, unlike others.
    pub fn cast_condition(&self, ast: &Ast) -> Result<Expr> {
        let typed = self.plan(ast)?;
        if typed.data_type == DataType::Boolean {
            return Ok(typed.expr);
        }
        Ok(self.user_cast(typed, &DataType::Boolean, false)?.expr)
    }

    /// A condition of WHERE or ON.
    pub fn condition(&self, ast: &Ast) -> Result<Expr> {
        let typed = self.plan(ast)?;
        match typed.data_type {
            DataType::Boolean => Ok(typed.expr),
            other => Err(Error::spark(
                "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
                format!(
                    "Cannot resolve \"{0}\" due to data type mismatch: Filter expression \"{0}\" of type \"{1}\" is not \
                     a boolean.",
                    typed.name,
                    message_type_name(&other)
                ),
            )),
        }
    }

    /// CAST as a user writes it.
    fn user_cast(&self, value: Typed, to: &DataType, forgiving: bool) -> Result<Typed> {
        let name = format!("CAST({} AS {})", value.name, message_type_name(to));
        if let Err(condition) = cast::check(&value.data_type, to, self.ansi()) {
            let (from, to) = (message_type_name(&value.data_type), message_type_name(to));
            let mode = if condition.ends_with("CONF_SUGGESTION") {
                " with ANSI mode on"
            } else {
                ""
            };
            let message = format!(
                "Cannot resolve \"{name}\" due to data type mismatch: cannot cast \"{from}\" to \"{to}\"{mode}."
            );
            return Err(Error::spark(condition, message));
        }
        let mode = if forgiving { Mode::Try } else { self.mode() };
        let name = if forgiving { format!("TRY_{name}") } else { name };
        // A cast column keeps the column's name.
        let is_column = matches!(value.expr, Expr::Column(_) | Expr::OuterReferenceColumn(..));
        let alias = is_column.then(|| value.name.clone());
        let expr = cast::cast_expr(value.expr, &value.data_type, to, mode);
        Ok(Typed {
            expr,
            data_type: to.clone(),
            name,
            alias,
        })
    }

    fn field(&self, base: &Ast, name: &str) -> Result<Typed> {
        let mut field = field_of(self.plan(base)?, name)?;
        field.alias = None;
        Ok(field)
    }

    /// `base[key]`: a field, an element or a value.
    fn element(&self, base: &Ast, key: &Ast) -> Result<Typed> {
        let base = self.plan(base)?;
        if let (DataType::Struct(_), Ast::Text(name)) = (&base.data_type, key) {
            let mut field = field_of(base, name)?;
            field.alias = None;
            return Ok(field);
        }
        let key = self.plan(key)?;
        let name = format!("{}[{}]", base.name, key.name);
        if matches!(base.data_type, DataType::Struct(_)) {
            return Err(Error::spark(
                "INVALID_EXTRACT_FIELD_TYPE",
                format!(
                    "Field name should be a non-null string literal, but it's \"{}\".",
                    key.name
                ),
            ));
        }
        let (function, returns, key) = match &base.data_type {
            DataType::List(_) if !is_integral(&key.data_type) && key.data_type != DataType::Null => {
                return Err(operator::unexpected(&name, "second", "INTEGRAL", &key));
            }
            DataType::List(element) => {
                let returns = element.data_type().clone();
                (
                    collection::element(returns.clone(), self.ansi()),
                    returns,
                    self.cast(&key, &DataType::Int64),
                )
            }
            DataType::Map(entries, _) => {
                let (key_type, value_type) = key_and_value(entries.data_type());
                (
                    collection::value(value_type.clone()),
                    value_type,
                    self.cast(&key, &key_type),
                )
            }
            other => {
                return Err(Error::spark(
                    "INVALID_EXTRACT_BASE_FIELD_TYPE",
                    format!(
                        "Can't extract a value from \"{}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{}\".",
                        base.name,
                        message_type_name(other)
                    ),
                ));
            }
        };
        Ok(Typed::new(function.call(vec![base.expr, key]), returns, name))
    }

    fn extract(&self, field: &str, from: &Ast) -> Result<Typed> {
        let from = self.plan(from)?;
        let name = format!("extract({field} FROM {})", from.name);
        let typed = self.extracted(&field.to_ascii_lowercase(), from)?;
        Ok(Typed { name, ..typed })
    }

    /// The type both sides are cast to, or None.
    fn common(&self, left: &DataType, right: &DataType, meeting: Meeting) -> Option<DataType> {
        common_type(left, right, self.ansi(), meeting)
    }

    /// The type all values are cast to.
    fn common_of(&self, values: &[Typed], meeting: Meeting) -> Option<DataType> {
        let mut types = values.iter().map(|v| v.data_type.clone());
        let first = types.next()?;
        types.try_fold(first, |left, right| self.common(&left, &right, meeting))
    }
}

/// Spark's DATATYPE_MISMATCH errors: condition (after the dot), expression, reason.
pub(super) fn mismatch(condition: &str, name: &str, reason: impl std::fmt::Display) -> Error {
    Error::spark(
        format!("DATATYPE_MISMATCH.{condition}"),
        format!("Cannot resolve \"{name}\" due to data type mismatch: {reason}."),
    )
}

/// A number as written: `5`, `5L`, `1.5` (a decimal), `1.5D`, `1e3`, `-2147483648`.
fn number_literal(text: &str) -> Result<Typed> {
    let upper = text.to_ascii_uppercase();
    let invalid = || {
        Error::spark(
            "INVALID_NUMERIC_LITERAL_RANGE",
            format!("Numeric literal {text} is outside the valid range."),
        )
    };
    let is_float = |digits: &str| digits.contains('E') || digits.contains('.');
    let typed = |value: ScalarValue| {
        let (data_type, name) = (value.data_type(), literal_name(&value));
        Ok(Typed::new(lit(value), data_type, name))
    };
    if let Some(digits) = upper.strip_suffix("BD") {
        return decimal(digits).and_then(typed);
    }
    if let Some(digits) = upper.strip_suffix('L') {
        return typed(digits.parse::<i64>().map_err(|_| invalid())?.into());
    }
    if let Some(digits) = upper.strip_suffix('S') {
        return typed(digits.parse::<i16>().map_err(|_| invalid())?.into());
    }
    if let Some(digits) = upper.strip_suffix('Y') {
        return typed(digits.parse::<i8>().map_err(|_| invalid())?.into());
    }
    if let Some(digits) = upper.strip_suffix('D') {
        return typed(finite(digits).ok_or_else(invalid)?.into());
    }
    if let Some(digits) = upper.strip_suffix('F') {
        return typed(digits.parse::<f32>().map_err(|_| invalid())?.into());
    }
    if upper.contains('E') {
        return typed(finite(&upper).ok_or_else(invalid)?.into());
    }
    if is_float(&upper) {
        return decimal(&upper).and_then(typed);
    }
    if let Ok(value) = upper.parse::<i32>() {
        return typed(value.into());
    }
    match upper.parse::<i64>() {
        Ok(value) => typed(value.into()),
        Err(_) => decimal(&upper).and_then(typed),
    }
}

fn finite(digits: &str) -> Option<f64> {
    digits.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A literal decimal has the digits it is written with.
fn decimal(digits: &str) -> Result<ScalarValue> {
    let too_long = || {
        Error::spark(
            "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
            format!("The literal {digits} has more digits than a decimal can hold (38)."),
        )
    };
    let mantissa = digits.split('E').next().unwrap_or(digits);
    let written = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len()) as i32;
    let exponent: i32 = digits
        .split_once('E')
        .map_or(Ok(0), |(_, e)| e.parse())
        .map_err(|_| too_long())?;
    let scale = (written - exponent).clamp(0, 38) as i8;
    let unscaled = cast::unscaled(digits, scale).ok_or_else(too_long)?;
    let precision = unscaled.unsigned_abs().to_string().len().max(scale as usize).max(1);
    if precision > 38 {
        return Err(too_long());
    }
    Ok(ScalarValue::Decimal128(Some(unscaled), precision as u8, scale))
}

/// A literal as Spark's column names show it.
fn literal_name(value: &ScalarValue) -> String {
    match value {
        ScalarValue::Float64(Some(v)) => number::double_to_string(*v),
        ScalarValue::Float32(Some(v)) => number::float_to_string(*v),
        ScalarValue::Decimal128(Some(v), _, scale) => cast::decimal_text(*v, *scale),
        other => other.to_string(),
    }
}

fn typed_literal(kind: &str, text: &str) -> Result<Typed> {
    let invalid = || {
        Error::spark(
            "INVALID_TYPED_LITERAL",
            format!("The value of the typed literal \"{kind}\" is invalid: '{text}'."),
        )
    };
    match kind {
        "DATE" => {
            let days = time::parse_date(text.as_bytes()).ok_or_else(invalid)?;
            let mut name = String::from("DATE '");
            time::write_date(days, &mut name);
            Ok(Typed::new(
                lit(ScalarValue::Date32(Some(days))),
                DataType::Date32,
                name + "'",
            ))
        }
        "X" => {
            let even = text.len().is_multiple_of(2) && text.is_ascii();
            let bytes = (0..text.len() / 2).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok());
            let bytes = bytes
                .collect::<Option<Vec<u8>>>()
                .filter(|_| even)
                .ok_or_else(invalid)?;
            Ok(Typed::new(
                lit(ScalarValue::Binary(Some(bytes))),
                DataType::Binary,
                format!("X'{text}'"),
            ))
        }
        _ => {
            let micros = time::parse_timestamp(text.as_bytes(), 0).ok_or_else(invalid)?;
            let zone = (kind == "TIMESTAMP").then(|| "+00:00".into());
            let data_type = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, zone.clone());
            let mut name = format!("{kind} '");
            time::write_timestamp(micros, &mut name);
            Ok(Typed::new(
                lit(ScalarValue::TimestampMicrosecond(Some(micros), zone)),
                data_type,
                name + "'",
            ))
        }
    }
}

fn interval_literal(literal: &Interval) -> Typed {
    let name = interval::sql(literal);
    match *literal {
        Interval::YearMonth { months, .. } => {
            let value = ScalarValue::IntervalYearMonth(Some(months));
            Typed::new(lit(value), DataType::Interval(IntervalUnit::YearMonth), name)
        }
        Interval::DayTime { micros, .. } => Typed::new(
            lit(ScalarValue::DurationMicrosecond(Some(micros))),
            duration_type(),
            name,
        ),
    }
}
