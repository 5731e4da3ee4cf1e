//! Functions of timestamps and dates.

use super::*;

impl Exprs<'_> {
    /// Functions of timestamps and dates. None if there is none of that name.
    pub(super) fn time_call(&self, call: &Args) -> Result<Option<Typed>> {
        let (name, args, text) = (call.name, call.args, call.text.to_string());
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::{Date32, Float64, Int32, Int64, Utf8};
        use Want::{Bigint, Date, Double, Int, OnlyTimestamp, Text, Timestamp};
        match name {
            "now" => {
                call.exactly::<0>()?;
                typed(datetime::now(self.planner.clock()).call(vec![]), timestamp_type())
            }
            "current_timestamp" | "localtimestamp" => {
                call.exactly::<0>()?;
                typed(
                    datetime::current_timestamp(self.planner.clock()).call(vec![]),
                    timestamp_type(),
                )
            }
            "current_date" | "curdate" => {
                call.exactly::<0>()?;
                let today = datetime::current_date(self.planner.clock()).call(vec![]);
                Ok(Some(Typed::new(today, Date32, "current_date()")))
            }
            "date_trunc" => {
                let values = call.take(&[Text, Timestamp])?;
                typed(
                    datetime::date_trunc(values[0].clone(), values[1].clone()),
                    timestamp_type(),
                )
            }
            "trunc" => {
                let values = call.take(&[Date, Text])?;
                typed(datetime::trunc(values[0].clone(), values[1].clone()), Date32)
            }
            "date_format" => typed(timeformat::date_format().call(call.take(&[Timestamp, Text])?), Utf8),
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
                let text = match name {
                    "datepart" => format!("datepart({} FROM {})", field.name, value.name),
                    _ => text,
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
                let mut values = call.take_some(&[Timestamp, Timestamp, Want::Boolean], 2)?;
                if values.len() == 2 {
                    values.push(lit(true));
                }
                let rounded = args.get(2).map_or("true", |rounded| rounded.name.as_str());
                let text = format!("months_between({}, {}, {rounded})", args[0].name, args[1].name);
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
            "to_date" | "try_to_date" | "to_timestamp" | "try_to_timestamp" => self.to_time(call),
            "unix_timestamp" | "to_unix_timestamp" => self.unix_timestamp(call),
            "from_unixtime" => {
                let mut values = call.take_some(&[Bigint, Text], 1)?;
                let mut text = text.clone();
                if values.len() == 1 {
                    values.push(lit("yyyy-MM-dd HH:mm:ss"));
                    text = format!("from_unixtime({}, yyyy-MM-dd HH:mm:ss)", args[0].name);
                }
                values[0] = datetime::from_any_second().call(vec![values[0].clone()]);
                Ok(Some(Typed::new(timeformat::date_format().call(values), Utf8, text)))
            }
            "timestamp_seconds" => {
                let [value] = call.numbers()?;
                if is_integral(&value.data_type) {
                    // Too many seconds are an error, where a cast stops at the last timestamp.
                    let seconds = self.cast(&value, &Int64);
                    return typed(datetime::from_epoch(1_000_000).call(vec![seconds]), timestamp_type());
                }
                // NaN and the infinities are no time.
                let mode = if is_floating(&value.data_type) {
                    Mode::Try
                } else {
                    self.mode()
                };
                typed(
                    cast::cast_expr(value.expr, &value.data_type, &timestamp_type(), mode),
                    timestamp_type(),
                )
            }
            "timestamp_millis" => typed(
                datetime::from_epoch(1_000).call(call.take(&[Bigint])?),
                timestamp_type(),
            ),
            "timestamp_micros" => typed(datetime::from_epoch(1).call(call.take(&[Bigint])?), timestamp_type()),
            "unix_seconds" => typed(datetime::to_epoch(1_000_000).call(call.take(&[OnlyTimestamp])?), Int64),
            "unix_millis" => typed(datetime::to_epoch(1_000).call(call.take(&[OnlyTimestamp])?), Int64),
            "unix_micros" => typed(datetime::to_epoch(1).call(call.take(&[OnlyTimestamp])?), Int64),
            "unix_date" => {
                let values = call.take(&[Want::OnlyDate])?;
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
            _ => Ok(None),
        }
    }

    /// EXTRACT and date_part: as [`Exprs::date_part`], but seconds have their fraction.
    pub(in crate::sql::expr) fn extracted(&self, part: &str, value: Typed) -> Result<Typed> {
        if is_interval(&value.data_type) {
            let function = match value.data_type {
                DataType::Duration(_) => duration::part(part),
                _ => return Err(Error::unsupported("parts of intervals of months are not supported yet")),
            };
            let Some(function) = function else {
                return Err(Error::spark(
                    "INVALID_EXTRACT_FIELD",
                    format!("Cannot extract `{part}` from \"{}\".", value.name),
                ));
            };
            let returns = function.returns.clone();
            return Ok(Typed::new(function.call(vec![value.expr]), returns, part));
        }
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

    pub(in crate::sql::expr) fn date_part(&self, part: &str, value: Typed) -> Result<Typed> {
        let text = format!("{part}({})", value.name);
        let want = if datetime::is_of_clock(part) {
            Want::Timestamp
        } else {
            Want::Date
        };
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

    pub(in crate::sql::expr) fn add_days(&self, function: &'static str, day: &Typed, days: &Typed) -> Result<Typed> {
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
            // What is a time already needs no format.
            Some(_) if is_timestamp(&value.data_type) || value.data_type == DataType::Date32 => {
                cast::cast_expr(value.expr.clone(), &value.data_type, &returns, mode)
            }
            Some(format) => {
                let values = vec![self.cast(value, &DataType::Utf8), self.cast(format, &DataType::Utf8)];
                let micros = timeformat::parse(mode == Mode::Ansi).call(values);
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
                timeformat::parse(self.ansi()).call(vec![value.expr.clone(), format])
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
}
