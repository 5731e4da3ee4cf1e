//! Calls of scalar functions: which kernel, which argument types, which name.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::aggregate::{is_aggregate, wrong_count};
use super::operator::{one_zero, unexpected};
use super::{Exprs, mismatch};
use crate::sql::function::arithmetic::{self, Op};
use crate::sql::function::cast::{self, Mode};
use crate::sql::function::{collection, datetime, json, math, names, pattern, string};
use crate::sql::parse::ast::{Ast, BinaryOp, Call};
use crate::sql::parse::{self};
use crate::sql::scope::Typed;
use crate::sql::timestamp_type;
use crate::sql::types::*;
use crate::{Error, Result};

/// What a parameter takes; other types are cast or refused as Spark does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Text,
    Int,
    Bigint,
    Double,
    Timestamp,
    Date,
}

impl Want {
    fn data_type(self) -> DataType {
        match self {
            Want::Text => DataType::Utf8,
            Want::Int => DataType::Int32,
            Want::Bigint => DataType::Int64,
            Want::Double => DataType::Float64,
            Want::Timestamp => timestamp_type(),
            Want::Date => DataType::Date32,
        }
    }
}

impl Exprs<'_> {
    pub(super) fn call(&self, call: &Call) -> Result<Typed> {
        let name = call.name.to_lowercase();
        if call.over {
            return Err(self.window_over_rows(call));
        }
        if matches!(name.as_str(), "window" | "session_window") {
            return self.time_window(call);
        }
        if name == "window_time" {
            let value = self.plan_all(&call.args)?;
            if let Some(value) = value.first().filter(|v| !matches!(v.data_type, DataType::Struct(_))) {
                return Err(unexpected(
                    &format!("window_time({})", value.name),
                    "first",
                    "STRUCT",
                    value,
                ));
            }
            return Err(Error::unsupported("window_time is not supported yet"));
        }
        if is_aggregate(&name) {
            return self.aggregate(&name, call);
        }
        let args = if matches!(name.as_str(), "struct" | "named_struct") {
            return self.make_struct(&name, &call.args);
        } else {
            self.plan_all(&call.args)?
        };
        if let Some(to) = conversion(&name) {
            let [value] = <[Typed; 1]>::try_from(args).map_err(|a| wrong_count(&name, "1", a.len()))?;
            let shown = value.column_name().to_string();
            let mut cast = self.user_cast(value, &to, false)?;
            cast.alias.get_or_insert(shown.clone());
            cast.name = shown;
            return Ok(cast);
        }
        match self.scalar(&name, args)? {
            Some(typed) => Ok(typed),
            None if names::SPARK.contains(&name.as_str()) => Err(Error::unsupported(format!(
                "the function `{name}` is not supported yet"
            ))),
            None => Err(Error::spark(
                "UNRESOLVED_ROUTINE",
                format!(
                    "Cannot resolve routine `{}` on search path [`system`.`builtin`, `system`.`session`, \
                     `spark_catalog`.`default`].",
                    call.name
                ),
            )),
        }
    }

    fn window_over_rows(&self, call: &Call) -> Error {
        if self.scope.streaming {
            return Error::spark(
                "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
                format!(
                    "Window function is not supported in {}() on streaming DataFrames/Datasets.",
                    call.name.to_uppercase()
                ),
            );
        }
        Error::unsupported(format!(
            "the window function {}(...) OVER (...) is not supported yet",
            call.name
        ))
    }

    /// `window(...)` where a window column was put below.
    fn time_window(&self, call: &Call) -> Result<Typed> {
        let Some(window) = self.window else {
            return Err(Error::unsupported(format!(
                "{}(...) is not supported in this clause yet",
                call.name
            )));
        };
        Ok(Typed::new(window.attr.expr(), window.attr.data_type.clone(), "window"))
    }

    /// A built-in function; None if there is none of that name.
    fn scalar(&self, name: &str, args: Vec<Typed>) -> Result<Option<Typed>> {
        let shown = shown_name(name);
        let list = |names: &[&Typed]| names.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        let text = format!("{shown}({})", list(&args.iter().collect::<Vec<_>>()));
        let call = Args {
            exprs: self,
            name,
            args: &args,
            text: &text,
        };
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::{Boolean, Date32, Float64, Int32, Int64, Utf8};
        use Want::{Bigint, Date, Double, Int, Text, Timestamp};
        match name {
            // Conditions
            "coalesce" | "nvl" | "ifnull" => {
                let common = self.common_all(&args, &text, name)?;
                if args.is_empty() || (name != "coalesce" && args.len() != 2) {
                    return Err(wrong_count(
                        name,
                        if name == "coalesce" { "> 0" } else { "2" },
                        args.len(),
                    ));
                }
                typed(self.first_present(&args, &common), common)
            }
            "nvl2" => {
                let [tested, present, absent] = call.exactly()?;
                let condition = Typed::new(Expr::IsNotNull(Box::new(tested.expr)), Boolean, "");
                self.case_of(vec![condition], vec![present], Some(absent), text, "nvl2")
                    .map(Some)
            }
            "if" => {
                let [condition, then, otherwise] = call.exactly()?;
                if !matches!(condition.data_type, Boolean | DataType::Null) {
                    return Err(unexpected(&text, "first", "BOOLEAN", &condition));
                }
                let name = format!("(IF({}, {}, {}))", condition.name, then.name, otherwise.name);
                self.case_of(vec![condition], vec![then], Some(otherwise), name, "if")
                    .map(Some)
            }
            "nullif" => {
                let [value, other] = call.exactly()?;
                let equal = self.comparison(BinaryOp::Eq, value.clone(), other)?;
                let null = Typed::new(lit(ScalarValue::Null), DataType::Null, "");
                self.case_of(vec![equal], vec![null], Some(value), text, "nullif")
                    .map(Some)
            }
            "isnull" | "isnotnull" => {
                let [value] = call.exactly()?;
                let (expr, words) = match name {
                    "isnull" => (Expr::IsNull(Box::new(value.expr)), "IS NULL"),
                    _ => (Expr::IsNotNull(Box::new(value.expr)), "IS NOT NULL"),
                };
                Ok(Some(Typed::new(expr, Boolean, format!("({} {words})", value.name))))
            }
            "isnan" => typed(math::is_nan().call(call.take(&[Double])?), Boolean),
            "nanvl" => typed(math::nanvl().call(call.take(&[Double, Double])?), Float64),
            "greatest" | "least" => {
                if args.len() < 2 {
                    return Err(wrong_count(name, "> 1", args.len()));
                }
                let common = self.common_all(&args, &text, name)?;
                let values = args.iter().map(|a| one_zero(self.cast(a, &common), &common)).collect();
                typed(
                    collection::extreme(name == "greatest", common.clone()).call(values),
                    common,
                )
            }
            // Text
            "upper" | "ucase" => typed(string::map("upper", str::to_uppercase).call(call.take(&[Text])?), Utf8),
            "lower" | "lcase" => typed(string::map("lower", str::to_lowercase).call(call.take(&[Text])?), Utf8),
            "initcap" => typed(string::map("initcap", string::initcap).call(call.take(&[Text])?), Utf8),
            "reverse" => match args.first().map(|a| &a.data_type) {
                Some(DataType::List(_)) => Err(Error::unsupported("reverse of an array is not supported yet")),
                _ => typed(string::map("reverse", string::reverse).call(call.take(&[Text])?), Utf8),
            },
            "length" | "char_length" | "character_length" | "len" => typed(
                string::count("length", |s| s.chars().count() as i32).call(call.take(&[Text])?),
                Int32,
            ),
            "octet_length" => typed(
                string::count("octet_length", |s| s.len() as i32).call(call.take(&[Text])?),
                Int32,
            ),
            "bit_length" => typed(
                string::count("bit_length", |s| s.len() as i32 * 8).call(call.take(&[Text])?),
                Int32,
            ),
            "ascii" => typed(
                string::count("ascii", |s| s.chars().next().map_or(0, |c| c as i32)).call(call.take(&[Text])?),
                Int32,
            ),
            "substring" | "substr" => {
                let mut values = call.take_some(&[Text, Int, Int], 2)?;
                let mut text = text.clone();
                if values.len() == 2 {
                    values.push(lit(i32::MAX));
                    text = format!("{shown}({}, {}, {})", args[0].name, args[1].name, i32::MAX);
                }
                Ok(Some(Typed::new(string::substring().call(values), Utf8, text)))
            }
            "left" => typed(string::left().call(call.take(&[Text, Int])?), Utf8),
            "right" => typed(string::right().call(call.take(&[Text, Int])?), Utf8),
            "trim" | "ltrim" | "rtrim" | "btrim" => self.trim(&call, shown),
            "concat" => self.concat(args).map(Some),
            "concat_ws" => {
                if args.is_empty() {
                    return Err(wrong_count(name, "> 0", 0));
                }
                let values = args.iter().map(|a| call.text(a)).collect::<Result<_>>()?;
                typed(string::concat_ws().call(values), Utf8)
            }
            "replace" => {
                let mut values = call.take_some(&[Text, Text, Text], 2)?;
                if values.len() == 2 {
                    values.push(lit(""));
                }
                typed(string::replace().call(values), Utf8)
            }
            "translate" => typed(string::translate().call(call.take(&[Text, Text, Text])?), Utf8),
            "repeat" => typed(string::repeat().call(call.take(&[Text, Int])?), Utf8),
            "lpad" | "rpad" => {
                let mut values = call.take_some(&[Text, Int, Text], 2)?;
                let mut text = text.clone();
                if values.len() == 2 {
                    values.push(lit(" "));
                    text = format!("{name}({}, {},  )", args[0].name, args[1].name);
                }
                Ok(Some(Typed::new(string::pad(name == "lpad").call(values), Utf8, text)))
            }
            "instr" => typed(string::instr().call(call.take(&[Text, Text])?), Int32),
            "locate" | "position" | "charindex" => {
                let values = call.take_some(&[Text, Text, Int], 2)?;
                let start = values.get(2).cloned().unwrap_or(lit(1i32));
                let shown_start = args.get(2).map_or("1", |a| a.name.as_str());
                let text = format!("{shown}({}, {}, {shown_start})", args[0].name, args[1].name);
                let values = vec![values[1].clone(), values[0].clone(), start];
                Ok(Some(Typed::new(string::locate().call(values), Int32, text)))
            }
            "startswith" => typed(
                string::test("startswith", |s, t| s.starts_with(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "endswith" => typed(
                string::test("endswith", |s, t| s.ends_with(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "contains" => typed(
                string::test("contains", |s, t| s.contains(t)).call(call.take(&[Text, Text])?),
                Boolean,
            ),
            "split" => {
                let values = call.take_some(&[Text, Text, Int], 2)?;
                let limit = values.get(2).cloned().unwrap_or(lit(-1i32));
                let shown_limit = args.get(2).map_or("-1", |a| a.name.as_str());
                let text = format!("split({}, {}, {shown_limit})", args[0].name, args[1].name);
                let values = vec![values[0].clone(), values[1].clone(), limit];
                Ok(Some(Typed::new(
                    pattern::split().call(values),
                    collection::list_of(Utf8),
                    text,
                )))
            }
            "regexp_replace" => {
                let values = call.take_some(&[Text, Text, Text, Int], 3)?;
                let text = if args.len() == 3 {
                    format!("{}, 1)", &text[..text.len() - 1])
                } else {
                    text.clone()
                };
                Ok(Some(Typed::new(
                    pattern::replace().call(values[..3].to_vec()),
                    Utf8,
                    text,
                )))
            }
            "regexp_extract" => {
                let mut values = call.take_some(&[Text, Text, Int], 2)?;
                let text = if args.len() == 2 {
                    format!("{}, 1)", &text[..text.len() - 1])
                } else {
                    text.clone()
                };
                if values.len() == 2 {
                    values.push(lit(1i32));
                }
                Ok(Some(Typed::new(pattern::extract().call(values), Utf8, text)))
            }
            "regexp_like" | "regexp" | "rlike" => {
                let values = call.take(&[Text, Text])?;
                let like = pattern::like(parse::ast::LikeKind::RLike, '\\').call(values);
                Ok(Some(Typed::new(
                    like,
                    Boolean,
                    format!("{}({}, {})", name.to_uppercase(), args[0].name, args[1].name),
                )))
            }
            // Numbers
            "abs" => {
                let [value] = call.numbers()?;
                let to = value.data_type.clone();
                typed(arithmetic::abs(to.clone(), self.ansi()).call(vec![value.expr]), to)
            }
            "negative" => {
                let [value] = call.numbers()?;
                let to = value.data_type.clone();
                typed(arithmetic::negate(to.clone(), self.ansi()).call(vec![value.expr]), to)
            }
            "positive" => {
                let [value] = call.numbers()?;
                typed(value.expr, value.data_type)
            }
            "ceil" | "ceiling" | "floor" => self.whole(&call, name),
            "round" | "bround" => self.round(&call, name),
            "pmod" | "mod" => {
                let [l, r] = call.numbers()?;
                let op = if name == "mod" { Op::Modulo } else { Op::PositiveModulo };
                self.apply(op, l, r, text).map(Some)
            }
            "try_add" | "try_subtract" | "try_multiply" | "try_divide" => self.try_arithmetic(name, &call).map(Some),
            "sqrt" | "exp" | "ln" | "log10" | "log2" | "log1p" | "expm1" | "sign" | "signum" | "sin" | "cos"
            | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "cbrt" | "degrees" | "radians" | "cot"
            | "rint" => typed(math::unary(name).call(call.take(&[Double])?), Float64),
            "pow" | "power" | "atan2" | "hypot" => {
                typed(math::binary(name).call(call.take(&[Double, Double])?), Float64)
            }
            "log" => {
                let values = call.take_some(&[Double, Double], 1)?;
                match values.len() {
                    1 => Ok(Some(Typed::new(
                        math::unary("ln").call(values),
                        Float64,
                        format!("LOG(E(), {})", args[0].name),
                    ))),
                    _ => typed(math::binary("log").call(values), Float64),
                }
            }
            "pi" => call
                .exactly::<0>()
                .map(|_| Some(Typed::new(lit(std::f64::consts::PI), Float64, "PI()"))),
            "e" => call
                .exactly::<0>()
                .map(|_| Some(Typed::new(lit(std::f64::consts::E), Float64, "E()"))),
            "rand" | "random" | "randn" => typed(math::random(call.seed()).call(vec![]), Float64),
            "shiftleft" | "shiftright" => {
                let op = if name == "shiftleft" {
                    BinaryOp::ShiftLeft
                } else {
                    BinaryOp::ShiftRight
                };
                let [value, by] = call.exactly()?;
                self.binary_typed(op, value, by)
                    .map(|t| Some(Typed::new(t.expr, t.data_type, text.clone())))
            }
            // Time
            "current_timestamp" | "now" | "localtimestamp" => {
                call.exactly::<0>()?;
                typed(
                    datetime::current_timestamp(self.planner.clock()).call(vec![]),
                    timestamp_type(),
                )
            }
            "current_date" | "curdate" => {
                call.exactly::<0>()?;
                typed(datetime::current_date(self.planner.clock()).call(vec![]), Date32)
            }
            "date_trunc" => {
                let values = call.take(&[Text, Timestamp])?;
                typed(
                    datetime::date_trunc(values[0].clone(), values[1].clone()),
                    timestamp_type(),
                )
            }
            "trunc" => typed(datetime::trunc().call(call.take(&[Date, Text])?), Date32),
            "date_format" => typed(datetime::date_format().call(call.take(&[Timestamp, Text])?), Utf8),
            "year" | "month" | "day" | "dayofmonth" | "dayofyear" | "dayofweek" | "weekday" | "weekofyear"
            | "quarter" | "hour" | "minute" | "second" => {
                let [value] = call.exactly()?;
                let typed = self.date_part(name, value)?;
                Ok(Some(Typed { name: text, ..typed }))
            }
            "date_part" | "datepart" => {
                let [field, value] = call.exactly()?;
                let Expr::Literal(ScalarValue::Utf8(Some(part)), _) = &field.expr else {
                    return Err(mismatch("NON_FOLDABLE_INPUT", &text, "the field must be a literal"));
                };
                let typed = self.extracted(&part.to_lowercase(), value)?;
                Ok(Some(Typed { name: text, ..typed }))
            }
            "last_day" => typed(datetime::last_day().call(call.take(&[Date])?), Date32),
            "date_add" | "date_sub" | "dateadd" => {
                let [day, days] = call.exactly()?;
                let function = if name == "date_sub" { "date_sub" } else { "date_add" };
                self.add_days(function, &day, &days).map(Some)
            }
            "datediff" | "date_diff" => typed(datetime::date_diff().call(call.take(&[Date, Date])?), Int32),
            "add_months" => typed(datetime::add_months().call(call.take(&[Date, Int])?), Date32),
            "months_between" => {
                let values = call.take(&[Timestamp, Timestamp])?;
                let text = format!("months_between({}, {}, true)", args[0].name, args[1].name);
                Ok(Some(Typed::new(datetime::months_between().call(values), Float64, text)))
            }
            "timestampadd" => {
                let [unit, amount, time] = call.exactly()?;
                let values = vec![self.cast(&time, &timestamp_type()), self.cast(&amount, &Int64)];
                let text = format!("timestampadd({}, {}, {})", unit.name, amount.name, time.name);
                let function = datetime::timestamp_add(unit.name.clone());
                Ok(Some(Typed::new(function.call(values), timestamp_type(), text)))
            }
            "timestampdiff" => {
                let [unit, from, to] = call.exactly()?;
                let values = vec![self.cast(&from, &timestamp_type()), self.cast(&to, &timestamp_type())];
                typed(datetime::timestamp_diff(unit.name.clone()).call(values), Int64)
            }
            "to_date" | "try_to_date" | "to_timestamp" | "try_to_timestamp" => self.to_time(&call),
            "unix_timestamp" | "to_unix_timestamp" => self.unix_timestamp(&call),
            "from_unixtime" => {
                let mut values = call.take_some(&[Bigint, Text], 1)?;
                let mut text = text.clone();
                if values.len() == 1 {
                    values.push(lit("yyyy-MM-dd HH:mm:ss"));
                    text = format!("from_unixtime({}, yyyy-MM-dd HH:mm:ss)", args[0].name);
                }
                values[0] = datetime::from_epoch(1_000_000).call(vec![values[0].clone()]);
                Ok(Some(Typed::new(datetime::date_format().call(values), Utf8, text)))
            }
            "timestamp_seconds" => {
                let [value] = call.numbers()?;
                typed(
                    cast::cast_expr(value.expr, &value.data_type, &timestamp_type(), self.mode()),
                    timestamp_type(),
                )
            }
            "timestamp_millis" => typed(
                datetime::from_epoch(1_000).call(call.take(&[Bigint])?),
                timestamp_type(),
            ),
            "timestamp_micros" => typed(datetime::from_epoch(1).call(call.take(&[Bigint])?), timestamp_type()),
            "unix_seconds" => typed(datetime::to_epoch(1_000_000).call(call.take(&[Timestamp])?), Int64),
            "unix_millis" => typed(datetime::to_epoch(1_000).call(call.take(&[Timestamp])?), Int64),
            "unix_micros" => typed(datetime::to_epoch(1).call(call.take(&[Timestamp])?), Int64),
            "unix_date" => {
                let values = call.take(&[Date])?;
                typed(
                    Expr::Cast(datafusion::logical_expr::Cast::new(Box::new(values[0].clone()), Int32)),
                    Int32,
                )
            }
            "make_date" => typed(
                datetime::make_date(self.ansi()).call(call.take(&[Int, Int, Int])?),
                Date32,
            ),
            "make_timestamp" => typed(
                datetime::make_timestamp(self.ansi()).call(call.take(&[Int, Int, Int, Int, Int, Double])?),
                timestamp_type(),
            ),
            // Collections
            "array" => {
                let element = if args.is_empty() {
                    DataType::Null
                } else {
                    self.common_all(&args, &text, "array")?
                };
                let values = args.iter().map(|a| self.cast(a, &element)).collect();
                let returns = collection::list_of(element);
                typed(collection::array(returns.clone()).call(values), returns)
            }
            "map" => self.make_map(&call),
            "size" | "cardinality" | "array_size" => {
                let [value] = call.exactly()?;
                match value.data_type {
                    DataType::List(_) | DataType::Map(..) => typed(collection::size().call(vec![value.expr]), Int32),
                    _ => Err(unexpected(&text, "first", "ARRAY", &value)),
                }
            }
            "array_contains" => {
                let [list, item] = call.exactly()?;
                let DataType::List(element) = &list.data_type else {
                    return Err(unexpected(&text, "first", "ARRAY", &list));
                };
                let item = self.cast(&item, element.data_type());
                typed(collection::contains().call(vec![list.expr, item]), Boolean)
            }
            "element_at" | "try_element_at" => {
                let [base, key] = call.exactly()?;
                match &base.data_type {
                    DataType::List(element) => {
                        let returns = element.data_type().clone();
                        let function = collection::element_at(returns.clone(), self.ansi() && name == "element_at");
                        typed(function.call(vec![base.expr.clone(), self.cast(&key, &Int64)]), returns)
                    }
                    DataType::Map(entries, _) => {
                        let (key_type, value_type) = key_and_value(entries.data_type());
                        let key = self.cast(&key, &key_type);
                        typed(
                            collection::value(value_type.clone()).call(vec![base.expr.clone(), key]),
                            value_type,
                        )
                    }
                    _ => Err(unexpected(&text, "first", "ARRAY", &base)),
                }
            }
            "from_json" => self.json_struct(&call),
            "to_json" => {
                let value = args.first().cloned().ok_or_else(|| wrong_count(name, "[1, 2]", 0))?;
                if !value.data_type.is_nested() {
                    return Err(unexpected(
                        &format!("to_json({})", value.name),
                        "first",
                        "STRUCT",
                        &value,
                    ));
                }
                let function = json::to_json(&options(args.get(1))?)?;
                Ok(Some(Typed::new(
                    function.call(vec![value.expr]),
                    Utf8,
                    format!("to_json({})", value.name),
                )))
            }
            "typeof" => {
                let [value] = call.exactly()?;
                typed(lit(spark_type_name(&value.data_type)), Utf8)
            }
            _ => Ok(None),
        }
    }

    /// coalesce: later values are evaluated only where earlier ones are NULL, if they can fail.
    fn first_present(&self, args: &[Typed], common: &DataType) -> Expr {
        let mut values: Vec<Expr> = args.iter().map(|a| self.cast(a, common)).collect();
        let Some(last) = values.pop() else {
            return lit(ScalarValue::Null);
        };
        if values.is_empty() {
            return last;
        }
        let branches = values
            .into_iter()
            .map(|value| (Box::new(Expr::IsNotNull(Box::new(value.clone()))), Box::new(value)))
            .collect();
        Expr::Case(datafusion::logical_expr::Case {
            expr: None,
            when_then_expr: branches,
            else_expr: Some(Box::new(last)),
        })
    }

    pub(super) fn concat(&self, args: Vec<Typed>) -> Result<Typed> {
        let names: Vec<_> = args.iter().map(|a| a.name.as_str()).collect();
        let text = format!("concat({})", names.join(", "));
        if args.iter().any(|a| matches!(a.data_type, DataType::List(_))) {
            return Err(Error::unsupported("concat of arrays is not supported yet"));
        }
        let call = Args {
            exprs: self,
            name: "concat",
            args: &args,
            text: &text,
        };
        let values: Vec<Expr> = args.iter().map(|a| call.text(a)).collect::<Result<_>>()?;
        let expr = if values.is_empty() {
            lit("")
        } else {
            string::concat().call(values)
        };
        Ok(Typed::new(expr, DataType::Utf8, text))
    }

    fn trim(&self, call: &Args, shown: &str) -> Result<Option<Typed>> {
        let values = call.take_some(&[Want::Text, Want::Text], 1)?;
        let (name, side) = match call.name {
            "ltrim" => ("ltrim", "LEADING"),
            "rtrim" => ("rtrim", "TRAILING"),
            _ => ("trim", "BOTH"),
        };
        // `trim(characters, text)`: the text comes last; `btrim(text, characters)`: first.
        let (text, values) = match values.as_slice() {
            [text] => (format!("{shown}({})", call.args[0].name), vec![text.clone()]),
            _ if call.name == "btrim" => (call.text.to_string(), values),
            [characters, text] => {
                let shown = format!("TRIM({side} {} FROM {})", call.args[0].name, call.args[1].name);
                (shown, vec![text.clone(), characters.clone()])
            }
            _ => (call.text.to_string(), values),
        };
        Ok(Some(Typed::new(string::trim(name).call(values), DataType::Utf8, text)))
    }

    /// ceil and floor: of doubles a bigint, of decimals a decimal, with a scale a decimal.
    fn whole(&self, call: &Args, name: &str) -> Result<Option<Typed>> {
        let up = name != "floor";
        let digits = call.literal_int(1)?;
        let [value] = self.as_numbers(&call.args[..1.min(call.args.len())], call)?;
        let value = match (digits, &value.data_type) {
            (Some(_), t) if is_floating(t) => {
                let to = DataType::Decimal128(30, 15);
                Typed::new(self.cast(&value, &to), to, &value.name)
            }
            (_, t) if is_integral(t) && *t != DataType::Int64 => {
                Typed::new(self.cast(&value, &DataType::Int64), DataType::Int64, &value.name)
            }
            _ => value,
        };
        let returns = match (&value.data_type, digits) {
            (DataType::Decimal128(p, s), None) => adjusted_decimal(*p as i32 - *s as i32 + 1, 0),
            (DataType::Decimal128(p, s), Some(digits)) => {
                let scale = (digits as i32).clamp(0, *s as i32);
                adjusted_decimal(*p as i32 - *s as i32 + 1 + scale, scale)
            }
            _ => DataType::Int64,
        };
        let text = match digits {
            None if name != "ceiling" => format!("{}({})", name.to_uppercase(), value.name),
            _ => call.text.to_string(),
        };
        let function = math::whole(up, returns.clone(), digits.unwrap_or(0));
        Ok(Some(Typed::new(function.call(vec![value.expr]), returns, text)))
    }

    fn round(&self, call: &Args, name: &str) -> Result<Option<Typed>> {
        let digits = call.literal_int(1)?.unwrap_or(0);
        let [value] = self.as_numbers(&call.args[..1.min(call.args.len())], call)?;
        let returns = match &value.data_type {
            DataType::Decimal128(p, s) => {
                let (p, s) = (*p as i32, *s as i32);
                let integral = p - s + 1;
                let scale = (digits as i32).min(s);
                if digits < 0 {
                    adjusted_decimal(integral.max(1 - digits as i32), 0)
                } else {
                    adjusted_decimal(integral + scale, scale)
                }
            }
            other => other.clone(),
        };
        let text = format!("{name}({}, {digits})", value.name);
        let function = math::round(name == "bround", returns.clone(), digits, self.ansi());
        Ok(Some(Typed::new(function.call(vec![value.expr]), returns, text)))
    }

    fn as_numbers<const N: usize>(&self, args: &[Typed], call: &Args) -> Result<[Typed; N]> {
        Args {
            exprs: self,
            name: call.name,
            args,
            text: call.text,
        }
        .numbers()
    }

    fn try_arithmetic(&self, name: &str, call: &Args) -> Result<Typed> {
        let [l, r] = call.numbers()?;
        let op = match name {
            "try_add" => Op::Add,
            "try_subtract" => Op::Subtract,
            "try_multiply" => Op::Multiply,
            _ => Op::Divide,
        };
        if op != Op::Divide && !is_decimal(&l.data_type) && !is_decimal(&r.data_type) {
            return Err(Error::unsupported(format!(
                "{name} of whole numbers is not supported yet"
            )));
        }
        let legacy = Self::forgiving(self.planner);
        let exprs = Exprs::new(&legacy, self.env, self.scope);
        exprs.apply(op, l, r, call.text.to_string())
    }

    fn forgiving<'p>(planner: &'p crate::sql::plan::Planner<'p>) -> crate::sql::plan::Planner<'p> {
        planner.without_ansi()
    }

    /// EXTRACT and date_part: as [`Exprs::date_part`], but seconds have their fraction.
    pub(super) fn extracted(&self, part: &str, value: Typed) -> Result<Typed> {
        if !matches!(part, "second" | "s" | "sec" | "seconds" | "secs") {
            return self.date_part(part, value);
        }
        let args = [value];
        let call = Args {
            exprs: self,
            name: part,
            args: &args,
            text: part,
        };
        let function = datetime::second_with_fraction();
        let returns = function.returns.clone();
        Ok(Typed::new(function.call(call.take(&[Want::Timestamp])?), returns, part))
    }

    pub(super) fn date_part(&self, part: &str, value: Typed) -> Result<Typed> {
        let text = format!("{part}({})", value.name);
        let clock = matches!(
            part,
            "hour" | "hours" | "hr" | "minute" | "minutes" | "min" | "second" | "seconds" | "sec"
        );
        let want = if clock { Want::Timestamp } else { Want::Date };
        let call = Args {
            exprs: self,
            name: part,
            args: std::slice::from_ref(&value),
            text: &text,
        };
        let values = call.take(&[want])?;
        let Some(function) = datetime::part(part) else {
            return Err(Error::spark(
                "INVALID_EXTRACT_FIELD",
                format!("Cannot extract `{part}` from \"{}\".", value.name),
            ));
        };
        Ok(Typed::new(function.call(values), DataType::Int32, text))
    }

    pub(super) fn add_days(&self, function: &'static str, day: &Typed, days: &Typed) -> Result<Typed> {
        let text = format!("{function}({}, {})", day.name, days.name);
        let args = [day.clone(), days.clone()];
        let call = Args {
            exprs: self,
            name: function,
            args: &args,
            text: &text,
        };
        let values = call.take(&[Want::Date, Want::Int])?;
        Ok(Typed::new(
            datetime::add_days(function).call(values),
            DataType::Date32,
            text,
        ))
    }

    fn to_time(&self, call: &Args) -> Result<Option<Typed>> {
        let forgiving = call.name.starts_with("try_");
        let returns = if call.name.ends_with("date") {
            DataType::Date32
        } else {
            timestamp_type()
        };
        let value = call.args.first().ok_or_else(|| wrong_count(call.name, "[1, 2]", 0))?;
        let mode = if forgiving { Mode::Try } else { self.mode() };
        let expr = match call.args.get(1) {
            None => cast::cast_expr(value.expr.clone(), &value.data_type, &returns, mode),
            Some(format) => {
                let values = vec![self.cast(value, &DataType::Utf8), self.cast(format, &DataType::Utf8)];
                let micros = datetime::parse(mode == Mode::Ansi).call(values);
                cast::cast_expr(micros, &timestamp_type(), &returns, mode)
            }
        };
        Ok(Some(Typed::new(expr, returns, call.text)))
    }

    fn unix_timestamp(&self, call: &Args) -> Result<Option<Typed>> {
        const FORMAT: &str = "yyyy-MM-dd HH:mm:ss";
        let Some(value) = call.args.first() else {
            let now = datetime::current_timestamp(self.planner.clock()).call(vec![]);
            let text = format!("unix_timestamp(current_timestamp(), {FORMAT})");
            return Ok(Some(Typed::new(
                datetime::to_epoch(1_000_000).call(vec![now]),
                DataType::Int64,
                text,
            )));
        };
        let format = call.args.get(1);
        let micros = match (&value.data_type, format) {
            (DataType::Utf8, _) => {
                let format = format.map_or(lit(FORMAT), |f| self.cast(f, &DataType::Utf8));
                datetime::parse(self.ansi()).call(vec![value.expr.clone(), format])
            }
            _ => self.cast(value, &timestamp_type()),
        };
        let text = format!(
            "{}({}, {})",
            call.name,
            value.name,
            format.map_or(FORMAT, |f| f.name.as_str())
        );
        Ok(Some(Typed::new(
            datetime::unix_timestamp().call(vec![micros]),
            DataType::Int64,
            text,
        )))
    }

    // ---- structs and maps

    pub(super) fn struct_of(&self, values: &[Ast]) -> Result<Typed> {
        self.make_struct("struct", values)
    }

    fn make_struct(&self, name: &str, args: &[Ast]) -> Result<Typed> {
        let mut fields = vec![];
        let mut shown = vec![];
        if name == "named_struct" {
            for pair in args.chunks(2) {
                let [key, value] = pair else {
                    return Err(wrong_count(name, "2n (n > 0)", args.len()));
                };
                let (key, value) = (self.plan(key)?, self.plan(value)?);
                let Expr::Literal(ScalarValue::Utf8(Some(field)), _) = &key.expr else {
                    return Err(mismatch(
                        "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                        name,
                        "field names must be text literals",
                    ));
                };
                shown.push(format!("{}, {}", key.name, value.name));
                fields.push((field.clone(), value));
            }
        } else {
            for ast in args {
                match ast {
                    Ast::Star(qualifier) => {
                        for value in self.planner.star(self.scope, qualifier)? {
                            shown.push(value.name.clone());
                            fields.push((value.column_name().to_string(), value));
                        }
                    }
                    Ast::Named(inner, field) => {
                        let value = self.plan(inner)?;
                        shown.push(format!("{} AS {field}", value.name));
                        fields.push((field.clone(), value));
                    }
                    other => {
                        let value = self.plan(other)?;
                        let named = matches!(value.expr, Expr::Column(_)) || value.alias.is_some();
                        let field = if named {
                            value.column_name().into()
                        } else {
                            format!("col{}", fields.len() + 1)
                        };
                        shown.push(value.name.clone());
                        fields.push((field, value));
                    }
                }
            }
        }
        let types: Fields = fields
            .iter()
            .map(|(name, v)| Field::new(name, v.data_type.clone(), true))
            .collect();
        let returns = DataType::Struct(types);
        let values = fields.into_iter().map(|(_, v)| v.expr).collect();
        Ok(Typed::new(
            collection::structure(returns.clone()).call(values),
            returns,
            format!("{name}({})", shown.join(", ")),
        ))
    }

    fn make_map(&self, call: &Args) -> Result<Option<Typed>> {
        if call.args.len() % 2 == 1 {
            return Err(wrong_count("map", "2n (n > 0)", call.args.len()));
        }
        let side = |offset: usize| call.args.iter().skip(offset).step_by(2).cloned().collect::<Vec<_>>();
        let (keys, values) = (side(0), side(1));
        let none = || DataType::Null;
        let key = if keys.is_empty() {
            none()
        } else {
            self.common_all(&keys, call.text, "map")?
        };
        let value = if values.is_empty() {
            none()
        } else {
            self.common_all(&values, call.text, "map")?
        };
        let pairs = keys
            .iter()
            .zip(&values)
            .flat_map(|(k, v)| [self.cast(k, &key), self.cast(v, &value)]);
        let returns = map_of(key.clone(), value.clone());
        Ok(Some(Typed::new(
            collection::map(returns.clone()).call(pairs.collect()),
            returns,
            call.text,
        )))
    }

    /// `from_json(text, 'schema'[, map(options)])`.
    fn json_struct(&self, call: &Args) -> Result<Option<Typed>> {
        let value = call.args.first().ok_or_else(|| wrong_count("from_json", "[2, 3]", 0))?;
        let schema = match call.args.get(1).map(|a| &a.expr) {
            Some(Expr::Literal(ScalarValue::Utf8(Some(ddl)), _)) => parse_schema_ddl(ddl)
                .map(|s| DataType::Struct(s.fields))
                .or_else(|error| parse::parse_data_type(ddl).map_err(|_| error))?,
            _ => {
                return Err(Error::spark(
                    "INVALID_SCHEMA.NON_STRING_LITERAL",
                    "The input expression must be string literal and not null.",
                ));
            }
        };
        let schema = nullable(&schema);
        let options = options(call.args.get(2))?;
        let text = self.cast(value, &DataType::Utf8);
        let function = json::from_json(schema.clone(), &options)?;
        Ok(Some(Typed::new(
            function.call(vec![text]),
            schema,
            format!("from_json({})", value.name),
        )))
    }
}

/// Options as `map('key', 'value', ...)` of literals.
fn options(arg: Option<&Typed>) -> Result<BTreeMap<String, String>> {
    let Some(arg) = arg else { return Ok(BTreeMap::new()) };
    let invalid = || {
        Error::spark(
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            "Must use the `map()` function for options.",
        )
    };
    let Expr::ScalarFunction(function) = &arg.expr else {
        return Err(invalid());
    };
    if function.func.name() != "map" {
        return Err(invalid());
    }
    let texts = function.args.iter().map(|e| match e {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => Ok(text.clone()),
        _ => Err(invalid()),
    });
    let texts = texts.collect::<Result<Vec<_>>>()?;
    Ok(texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
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
            (DataType::Utf8, _) => true,
            (from, Want::Int) => {
                matches!(from, DataType::Int8 | DataType::Int16) || !self.exprs.ansi() && is_numeric(from)
            }
            (from, Want::Bigint) => is_integral(from) || !self.exprs.ansi() && is_numeric(from),
            (from, Want::Double) => is_numeric(from),
            (from, Want::Timestamp) => *from == DataType::Date32 || is_timestamp(from),
            (from, Want::Date) => is_timestamp(from),
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
