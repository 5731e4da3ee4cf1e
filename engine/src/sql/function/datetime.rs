//! Functions of timestamps, dates and intervals. The session's time zone is UTC.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Float64Array, Int32Array, TimestampMicrosecondArray};
use arrow::compute::unary;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, Timelike};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, lit};

use super::arithmetic::overflow_error;
use super::{Kernel, SparkFn, binary_opt, unary_opt};

use crate::sql::catalog::BatchTime;
use crate::sql::timestamp_type;
use crate::{Error, Result};

/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;
pub(super) const HOUR_US: i64 = 3_600_000_000;

/// The calendar time of a timestamp, if the calendar reaches that far.
pub(super) fn calendar(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|t| t.naive_utc())
}

fn calendar_day(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(days)
}

pub(super) fn timestamps(array: TimestampMicrosecondArray) -> ArrayRef {
    Arc::new(array.with_data_type(timestamp_type()))
}

// ---- now

/// `current_timestamp()`: the time of the batch.
pub fn current_timestamp(clock: &BatchTime) -> SparkFn {
    time_of_batch("current_timestamp", clock)
}

/// `now()`: the same, but a constant to Spark, which knows the other only as something of the batch.
pub fn now(clock: &BatchTime) -> SparkFn {
    time_of_batch("now", clock)
}

fn time_of_batch(name: &'static str, clock: &BatchTime) -> SparkFn {
    SparkFn::new(
        name,
        timestamp_type(),
        Kernel::Values(|f, _, _| {
            let ms = f.clock.as_ref().map_or(0, BatchTime::get);
            Ok(ScalarValue::TimestampMicrosecond(Some(ms.saturating_mul(1000)), Some("+00:00".into())).into())
        }),
    )
    .at(clock)
}

/// `current_date()`: the day of the batch.
pub fn current_date(clock: &BatchTime) -> SparkFn {
    SparkFn::new(
        "current_date",
        DataType::Date32,
        Kernel::Values(|f, _, _| {
            let ms = f.clock.as_ref().map_or(0, BatchTime::get);
            Ok(ScalarValue::Date32(Some(ms.div_euclid(DAY_US / 1000) as i32)).into())
        }),
    )
    .at(clock)
}

// ---- truncation

/// `date_trunc(unit, time)`; a literal unit is understood once. Of a unit that is none, the time does not matter.
pub fn date_trunc(unit: Expr, time: Expr) -> Expr {
    if let Expr::Literal(ScalarValue::Utf8(Some(unit)), _) = &unit {
        if Unit::named(unit).is_none() {
            return lit(ScalarValue::TimestampMicrosecond(None, Some("+00:00".into())));
        }
        let kernel = Kernel::Arrays(|f, arrays| {
            let values = arrays[0].as_primitive::<TimestampMicrosecondType>();
            Ok(match Unit::named(f.text(0)) {
                Some(Unit::Fixed(size)) => timestamps(unary(values, |us| us - us.rem_euclid(size))),
                unit => timestamps(unary_opt(values, |us| unit.and_then(|unit| unit.floor(us)))),
            })
        });
        return SparkFn::new("date_trunc", timestamp_type(), kernel)
            .params([ScalarValue::from(unit.to_lowercase())])
            .call(vec![time]);
    }
    let kernel = Kernel::Arrays(|_, arrays| {
        let (units, values) = (
            arrays[0].as_string::<i32>(),
            arrays[1].as_primitive::<TimestampMicrosecondType>(),
        );
        let each = units
            .iter()
            .zip(values)
            .map(|(unit, us)| Unit::named(unit?)?.floor(us?));
        Ok(timestamps(each.collect()))
    });
    SparkFn::new("date_trunc", timestamp_type(), kernel).call(vec![unit, time])
}

/// A unit of date_trunc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Of a fixed size in microseconds, counted from the epoch.
    Fixed(i64),
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn named(name: &str) -> Option<Unit> {
        Some(match name.to_lowercase().as_str() {
            "microsecond" => Unit::Fixed(1),
            "millisecond" => Unit::Fixed(1000),
            "second" => Unit::Fixed(1_000_000),
            "minute" => Unit::Fixed(60_000_000),
            "hour" => Unit::Fixed(HOUR_US),
            "day" | "dd" => Unit::Fixed(DAY_US),
            "week" => Unit::Week,
            "month" | "mon" | "mm" => Unit::Month,
            "quarter" => Unit::Quarter,
            "year" | "yyyy" | "yy" => Unit::Year,
            _ => return None,
        })
    }

    /// The start of the unit `us` lies in.
    fn floor(self, us: i64) -> Option<i64> {
        if let Unit::Fixed(size) = self {
            return Some(us - us.rem_euclid(size));
        }
        let day = self.floor_day(us.div_euclid(DAY_US) as i32)?;
        (day as i64).checked_mul(DAY_US)
    }

    /// The first day of the unit `day` lies in.
    fn floor_day(self, day: i32) -> Option<i32> {
        // 1970-01-01 was a Thursday, three days after a Monday.
        if self == Unit::Week {
            return Some(day - (day + 3).rem_euclid(7));
        }
        let date = calendar_day(day)?;
        let month = match self {
            Unit::Month => date.month(),
            Unit::Quarter => date.month0() / 3 * 3 + 1,
            _ => 1,
        };
        NaiveDate::from_ymd_opt(date.year(), month, 1).map(|d| d.to_epoch_days())
    }
}

/// `trunc(date, unit)`: week and larger, else NULL.
pub fn trunc(day: Expr, unit: Expr) -> Expr {
    if let Expr::Literal(ScalarValue::Utf8(Some(unit)), _) = &unit
        && matches!(Unit::named(unit), None | Some(Unit::Fixed(_)))
    {
        return lit(ScalarValue::Date32(None));
    }
    let function = SparkFn::new(
        "trunc",
        DataType::Date32,
        Kernel::Arrays(|_, arrays| {
            let (days, units) = (arrays[0].as_primitive::<Date32Type>(), arrays[1].as_string::<i32>());
            let each = days.iter().zip(units).map(|(day, unit)| match Unit::named(unit?)? {
                Unit::Fixed(_) => None,
                unit => unit.floor_day(day?),
            });
            Ok(Arc::new(each.collect::<Date32Array>()))
        }),
    );
    function.call(vec![day, unit])
}

// ---- parts

/// A part of a date (year to day) or of a timestamp (hour to second) as an int; None for a name Spark does not know.
pub fn part(name: &str) -> Option<SparkFn> {
    let days = |name: &'static str, part: fn(NaiveDate) -> i32| {
        Some(SparkFn::owned(name, DataType::Int32, move |_, arrays| {
            let values = arrays[0].as_primitive::<Date32Type>();
            Ok(Arc::new(unary_opt::<_, _, Int32Type>(values, |day| {
                calendar_day(day).map(part)
            })))
        }))
    };
    let clock = |name: &'static str, size: i64, most: i64| {
        Some(SparkFn::owned(name, DataType::Int32, move |_, arrays| {
            let values = arrays[0].as_primitive::<TimestampMicrosecondType>();
            let part = |us: i64| (us.div_euclid(size).rem_euclid(most)) as i32;
            Ok(Arc::new(unary::<_, _, Int32Type>(values, part)))
        }))
    };
    match name {
        "year" | "y" | "years" | "yr" | "yrs" => days("year", |d| d.year()),
        "quarter" | "qtr" => days("quarter", |d| d.month0() as i32 / 3 + 1),
        "month" | "mon" | "mons" | "months" => days("month", |d| d.month() as i32),
        "week" | "w" | "weeks" | "weekofyear" => days("weekofyear", |d| d.iso_week().week() as i32),
        "yearofweek" => days("yearofweek", |d| d.iso_week().year()),
        "day" | "d" | "days" | "dayofmonth" => days("day", |d| d.day() as i32),
        "dayofweek" | "dow" => days("dayofweek", |d| d.weekday().num_days_from_sunday() as i32 + 1),
        "dayofweek_iso" | "dow_iso" => days("dayofweek_iso", |d| d.weekday().number_from_monday() as i32),
        "weekday" => days("weekday", |d| d.weekday().num_days_from_monday() as i32),
        "doy" | "dayofyear" => days("dayofyear", |d| d.ordinal() as i32),
        "hour" | "h" | "hours" | "hr" | "hrs" => clock("hour", HOUR_US, 24),
        "minute" | "m" | "min" | "mins" | "minutes" => clock("minute", 60_000_000, 60),
        "second" | "s" | "sec" | "seconds" | "secs" => clock("second", 1_000_000, 60),
        _ => None,
    }
}

/// Whether a part is one of hour, minute and second.
pub fn is_of_clock(name: &str) -> bool {
    const NAMES: [&str; 15] = [
        "hour", "h", "hours", "hr", "hrs", "minute", "m", "min", "mins", "minutes", "second", "s", "sec", "seconds",
        "secs",
    ];
    NAMES.contains(&name)
}

/// The second of a minute with its fraction.
pub fn second_with_fraction() -> SparkFn {
    SparkFn::new(
        "second_with_fraction",
        DataType::Decimal128(8, 6),
        Kernel::Arrays(|_, arrays| {
            let values = arrays[0].as_primitive::<TimestampMicrosecondType>();
            let seconds = unary::<_, _, Decimal128Type>(values, |us| us.rem_euclid(60_000_000) as i128);
            Ok(Arc::new(seconds.with_precision_and_scale(8, 6)?))
        }),
    )
}

/// `last_day(date)` of its month.
pub fn last_day() -> SparkFn {
    SparkFn::new(
        "last_day",
        DataType::Date32,
        Kernel::Arrays(|_, arrays| {
            let last = |day: i32| {
                let first = calendar_day(day)?.with_day(1)?.checked_add_months(Months::new(1))?;
                Some(first.to_epoch_days() - 1)
            };
            Ok(Arc::new(unary_opt::<_, _, Date32Type>(
                arrays[0].as_primitive::<Date32Type>(),
                last,
            )))
        }),
    )
}

// ---- arithmetic

/// `date_add` and `date_sub` of days.
pub fn add_days(name: &'static str) -> SparkFn {
    let sign = if name == "date_sub" { -1 } else { 1 };
    SparkFn::owned(name, DataType::Date32, move |_, arrays| {
        let moved = |day: i32, by: i32| Some(day.wrapping_add(by.wrapping_mul(sign)));
        Ok(Arc::new(binary_opt::<Date32Type, Int32Type, Date32Type>(arrays, moved)))
    })
}

/// `datediff(end, start)` in days.
pub fn date_diff() -> SparkFn {
    SparkFn::new(
        "datediff",
        DataType::Int32,
        Kernel::Arrays(|_, arrays| {
            let between = |end: i32, start: i32| Some(end.wrapping_sub(start));
            Ok(Arc::new(binary_opt::<Date32Type, Date32Type, Int32Type>(
                arrays, between,
            )))
        }),
    )
}

/// `date - date`, an interval of whole days.
pub fn days_between(returns: DataType) -> SparkFn {
    SparkFn::new(
        "subtract_dates",
        returns,
        Kernel::Arrays(|_, arrays| {
            let between = |end: i32, start: i32| Some((i64::from(end) - i64::from(start)) * DAY_US);
            let between = binary_opt::<Date32Type, Date32Type, DurationMicrosecondType>(arrays, between);
            Ok(Arc::new(between))
        }),
    )
}

/// `add_months(date, months)`: the day stays, or becomes the last of a shorter month.
pub fn add_months() -> SparkFn {
    SparkFn::new(
        "add_months",
        DataType::Date32,
        Kernel::Arrays(|_, arrays| {
            let shifted = |day, by| Some(shift_months(calendar_day(day)?, by)?.to_epoch_days());
            Ok(Arc::new(binary_opt::<Date32Type, Int32Type, Date32Type>(
                arrays, shifted,
            )))
        }),
    )
}

fn shift_months(day: NaiveDate, by: i32) -> Option<NaiveDate> {
    let months = Months::new(by.unsigned_abs());
    if by >= 0 {
        day.checked_add_months(months)
    } else {
        day.checked_sub_months(months)
    }
}

/// `months_between(end, start, rounded)`, with 31 days to a month, rounded to 8 digits or not.
pub fn months_between() -> SparkFn {
    SparkFn::new(
        "months_between",
        DataType::Float64,
        Kernel::Arrays(|_, arrays| {
            let ends = arrays[0].as_primitive::<TimestampMicrosecondType>();
            let starts = arrays[1].as_primitive::<TimestampMicrosecondType>();
            let rounded = arrays[2].as_boolean();
            let each = ends.iter().zip(starts).zip(rounded).map(|((end, start), rounded)| {
                let (end, start, rounded) = (calendar(end?)?, calendar(start?)?, rounded?);
                let months = (end.year() - start.year()) * 12 + end.month() as i32 - start.month() as i32;
                let is_last = |t: NaiveDateTime| t.date().succ_opt().is_none_or(|next| next.day() == 1);
                if end.day() == start.day() || is_last(end) && is_last(start) {
                    return Some(months as f64);
                }
                let seconds = |t: NaiveDateTime| t.day() as i64 * 86_400 + t.num_seconds_from_midnight() as i64;
                let exact = months as f64 + (seconds(end) - seconds(start)) as f64 / (31 * 86_400) as f64;
                Some(if rounded { (exact * 1e8).round() / 1e8 } else { exact })
            });
            Ok(Arc::new(each.collect::<Float64Array>()))
        }),
    )
}

/// `timestampadd(unit, amount, time)`, the time first.
pub fn timestamp_add(unit: String) -> SparkFn {
    SparkFn::new(
        "timestampadd",
        timestamp_type(),
        Kernel::Arrays(|f, arrays| {
            let (times, by) = (
                arrays[0].as_primitive::<TimestampMicrosecondType>(),
                arrays[1].as_primitive::<Int64Type>(),
            );
            let each = times.iter().zip(by).map(|(time, by)| {
                let (Some(time), Some(by)) = (time, by) else {
                    return Ok(None);
                };
                let moved = match unit_size(f.text(0)) {
                    Size::Micros(size) => by.checked_mul(size).and_then(|us| time.checked_add(us)),
                    Size::Months(size) => {
                        i32::try_from(by)
                            .ok()
                            .and_then(|by| by.checked_mul(size))
                            .and_then(|months| {
                                let day = shift_months(calendar_day(time.div_euclid(DAY_US) as i32)?, months)?;
                                Some(day.to_epoch_days() as i64 * DAY_US + time.rem_euclid(DAY_US))
                            })
                    }
                };
                moved.map(Some).ok_or_else(|| {
                    Error::spark(
                        "DATETIME_OVERFLOW",
                        "Datetime operation overflow: timestampadd leaves the range of TIMESTAMP.",
                    )
                })
            });
            Ok(timestamps(each.collect::<Result<_>>()?))
        }),
    )
    .params([ScalarValue::from(unit)])
    .always_fallible()
}

/// `timestampdiff(unit, start, end)`: whole units from start to end.
pub fn timestamp_diff(unit: String) -> SparkFn {
    SparkFn::new(
        "timestampdiff",
        DataType::Int64,
        Kernel::Arrays(|f, arrays| {
            let size = unit_size(f.text(0));
            let units = |start: i64, end: i64| match size {
                Size::Micros(size) => Some((end - start) / size),
                Size::Months(size) => Some(whole_months(start, end)? / size as i64),
            };
            let units = binary_opt::<TimestampMicrosecondType, TimestampMicrosecondType, Int64Type>(arrays, units);
            Ok(Arc::new(units))
        }),
    )
    .params([ScalarValue::from(unit)])
}

/// Whole months as Java counts them: a day that is not over does not count, and a month is a month from day to day.
fn whole_months(start: i64, end: i64) -> Option<i64> {
    let day_and_clock = |us: i64| (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let ((start_day, start_clock), (mut end_day, end_clock)) = (day_and_clock(start), day_and_clock(end));
    if end_day > start_day && end_clock < start_clock {
        end_day -= 1;
    } else if end_day < start_day && end_clock > start_clock {
        end_day += 1;
    }
    let position = |day: i64| {
        let date = calendar_day(i32::try_from(day).ok()?)?;
        Some((date.year() as i64 * 12 + date.month() as i64) * 32 + date.day() as i64)
    };
    Some((position(end_day)? - position(start_day)?) / 32)
}

#[derive(Clone, Copy)]
enum Size {
    Micros(i64),
    Months(i32),
}

fn unit_size(unit: &str) -> Size {
    match unit {
        "MICROSECOND" => Size::Micros(1),
        "MILLISECOND" => Size::Micros(1000),
        "SECOND" => Size::Micros(1_000_000),
        "MINUTE" => Size::Micros(60_000_000),
        "HOUR" => Size::Micros(HOUR_US),
        "WEEK" => Size::Micros(7 * DAY_US),
        "MONTH" => Size::Months(1),
        "QUARTER" => Size::Months(3),
        "YEAR" => Size::Months(12),
        _ => Size::Micros(DAY_US),
    }
}

// ---- epochs

/// Numbers since the epoch, `unit_us` microseconds each, as timestamps.
pub fn from_epoch(unit_us: i64) -> SparkFn {
    from_epoch_with(unit_us, move |value| value.checked_mul(unit_us))
}

/// Seconds since the epoch as timestamps; those out of range become others, as in `from_unixtime`.
pub fn from_any_second() -> SparkFn {
    from_epoch_with(1_000_001, |value| Some(value.wrapping_mul(1_000_000)))
}

fn from_epoch_with(unit_us: i64, scaled: impl Fn(i64) -> Option<i64> + Send + Sync + 'static) -> SparkFn {
    let name = match unit_us {
        1_000_001 => "from_unixtime",
        1 => "timestamp_micros",
        1000 => "timestamp_millis",
        _ => "timestamp_seconds",
    };
    SparkFn::owned(name, timestamp_type(), move |_, arrays| {
        let values = arrays[0].as_primitive::<Int64Type>();
        let each = values.iter().map(|v| match v.map(&scaled) {
            Some(None) => Err(overflow_error("try_multiply")),
            Some(us) => Ok(us),
            None => Ok(None),
        });
        Ok(timestamps(each.collect::<Result<_>>()?))
    })
    .always_fallible()
}

/// Timestamps as whole numbers of `unit_us` microseconds since the epoch, rounded down.
pub fn to_epoch(unit_us: i64) -> SparkFn {
    let name = match unit_us {
        1 => "unix_micros",
        1000 => "unix_millis",
        _ => "unix_seconds",
    };
    SparkFn::owned(name, DataType::Int64, move |_, arrays| {
        let values = arrays[0].as_primitive::<TimestampMicrosecondType>();
        Ok(Arc::new(unary::<_, _, Int64Type>(values, |us| us.div_euclid(unit_us))))
    })
}

/// `unix_timestamp(time)`: seconds, cut towards the epoch.
pub fn unix_timestamp() -> SparkFn {
    SparkFn::new(
        "unix_timestamp",
        DataType::Int64,
        Kernel::Arrays(|_, arrays| {
            let values = arrays[0].as_primitive::<TimestampMicrosecondType>();
            Ok(Arc::new(unary::<_, _, Int64Type>(values, |us| us / 1_000_000)))
        }),
    )
}

/// `make_date(year, month, day)`.
pub fn make_date(ansi: bool) -> SparkFn {
    SparkFn::new(
        "make_date",
        DataType::Date32,
        Kernel::Arrays(|f, arrays| {
            let [years, months, days] = [0, 1, 2].map(|i| arrays[i].as_primitive::<Int32Type>());
            let each = (0..years.len()).map(|row| {
                if years.is_null(row) || months.is_null(row) || days.is_null(row) {
                    return Ok(None);
                }
                let (year, month, day) = (years.value(row), months.value(row), days.value(row));
                match u32::try_from(month)
                    .ok()
                    .zip(u32::try_from(day).ok())
                    .and_then(|(m, d)| NaiveDate::from_ymd_opt(year, m, d))
                {
                    Some(date) => Ok(Some(date.to_epoch_days())),
                    None if f.ansi => Err(no_such_time(format!("{year}-{month}-{day} is no date"))),
                    None => Ok(None),
                }
            });
            Ok(Arc::new(each.collect::<Result<Date32Array>>()?))
        }),
    )
    .fallible(ansi)
}

fn no_such_time(text: String) -> Error {
    let advice = "If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
    Error::spark(
        "DATETIME_FIELD_OUT_OF_BOUNDS.WITH_SUGGESTION",
        format!("{text}. {advice}"),
    )
}

/// `make_timestamp(year, month, day, hour, minute, seconds)`.
pub fn make_timestamp(ansi: bool) -> SparkFn {
    SparkFn::new(
        "make_timestamp",
        timestamp_type(),
        Kernel::Arrays(|f, arrays| {
            let fields: Vec<&Int32Array> = arrays[..5].iter().map(|a| a.as_primitive::<Int32Type>()).collect();
            let seconds = arrays[5].as_primitive::<Float64Type>();
            let each = (0..seconds.len()).map(|row| {
                if seconds.is_null(row) || fields.iter().any(|field| field.is_null(row)) {
                    return Ok(None);
                }
                let value = |i: usize| u32::try_from(fields[i].value(row)).ok();
                let micros = || {
                    let date = NaiveDate::from_ymd_opt(fields[0].value(row), value(1)?, value(2)?)?;
                    let (hour, minute) = (value(3).filter(|h| *h < 24)?, value(4).filter(|m| *m < 60)?);
                    // Second 60 is the next minute's first, but has no fraction.
                    let seconds = Some(seconds.value(row)).filter(|s| (0.0..60.0).contains(s) || *s == 60.0)?;
                    let clock = (hour as i64 * 60 + minute as i64) * 60_000_000 + (seconds * 1e6).round() as i64;
                    Some(date.to_epoch_days() as i64 * DAY_US + clock)
                };
                match micros() {
                    None if f.ansi => Err(no_such_time("make_timestamp was given fields that are no time".into())),
                    micros => Ok(micros),
                }
            });
            Ok(timestamps(each.collect::<Result<_>>()?))
        }),
    )
    .fallible(ansi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::time::{parse_timestamp, write_timestamp};

    #[test]
    fn date_trunc_floors_before_the_epoch_too() {
        for (unit, time, floor) in [
            ("minute", "1969-12-31 23:59:59.5", "1969-12-31 23:59:00"),
            ("WEEK", "1969-12-31 23:59:59.5", "1969-12-29 00:00:00"),
            ("quarter", "2024-02-29", "2024-01-01 00:00:00"),
            ("Day", "2024-12-03 10:00:00.123456", "2024-12-03 00:00:00"),
            ("year", "1969-12-31", "1969-01-01 00:00:00"),
        ] {
            let floored = Unit::named(unit)
                .unwrap()
                .floor(parse_timestamp(time.as_bytes(), 0).unwrap())
                .unwrap();
            let mut text = String::new();
            write_timestamp(floored, &mut text);
            assert_eq!(text, floor, "{unit} of {time}");
        }
        assert_eq!(Unit::named("fortnight"), None);
    }
}
