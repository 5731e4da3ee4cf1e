//! Arithmetic on intervals, and their parts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray, IntervalYearMonthArray};
use arrow::compute::unary;
use arrow::datatypes::{
    DataType, Decimal128Type, DurationMicrosecondType, Float64Type, Int8Type, Int32Type, Int64Type,
    IntervalYearMonthType,
};

use super::SparkFn;
use super::arithmetic::overflow_error;
use super::datetime::{DAY_US, HOUR_US};
use crate::sql::types::duration_type;
use crate::{Error, Result};

/// An interval times or by a number, rounded half up; whole numbers are exact.
pub fn scale(name: &'static str, returns: DataType) -> SparkFn {
    let divides = name == "divide_interval";
    let kernel = move |f: &SparkFn, arrays: &[ArrayRef]| -> Result<ArrayRef> {
        let scaled = |value: i64, row: usize| -> Result<Option<i64>> {
            if arrays[1].is_null(row) {
                return Ok(None);
            }
            let scaled = match arrays[1].data_type() {
                DataType::Int64 => by_whole(value, arrays[1].as_primitive::<Int64Type>().value(row), divides)?,
                _ => by_double(value, arrays[1].as_primitive::<Float64Type>().value(row), divides)?,
            };
            Ok(Some(scaled))
        };
        if f.returns == duration_type() {
            let values = arrays[0].as_primitive::<DurationMicrosecondType>();
            let each = values.iter().enumerate().map(|(row, value)| match value {
                Some(value) => scaled(value, row),
                None => Ok(None),
            });
            return Ok(Arc::new(each.collect::<Result<DurationMicrosecondArray>>()?));
        }
        let values = arrays[0].as_primitive::<IntervalYearMonthType>();
        let each = values.iter().enumerate().map(|(row, value)| match value {
            Some(value) => match scaled(value as i64, row)? {
                Some(months) => i32::try_from(months)
                    .map(Some)
                    .map_err(|_| overflow_error("try_multiply")),
                None => Ok(None),
            },
            None => Ok(None),
        });
        Ok(Arc::new(each.collect::<Result<IntervalYearMonthArray>>()?))
    };
    SparkFn::owned(name, returns, kernel).always_fallible()
}

fn divided_by_zero() -> Error {
    Error::spark(
        "INTERVAL_DIVIDED_BY_ZERO",
        "Division by zero. Use `try_divide` instead.",
    )
}

fn by_whole(value: i64, by: i64, divides: bool) -> Result<i64> {
    let (value, by) = (value as i128, by as i128);
    let scaled = match divides {
        true if by == 0 => return Err(divided_by_zero()),
        true => {
            let (quotient, rest) = (value / by, value % by);
            let away = 2 * rest.abs() >= by.abs();
            quotient + if away { value.signum() * by.signum() } else { 0 }
        }
        false => value * by,
    };
    i64::try_from(scaled).map_err(|_| overflow_error("try_multiply"))
}

fn by_double(value: i64, by: f64, divides: bool) -> Result<i64> {
    if divides && by == 0.0 {
        return Err(divided_by_zero());
    }
    let scaled = if divides { value as f64 / by } else { value as f64 * by }.round();
    if scaled.abs() < i64::MAX as f64 {
        Ok(scaled as i64)
    } else {
        Err(overflow_error("try_multiply"))
    }
}

/// `extract(part FROM interval)` of a day-time interval; None if it has no such part.
pub fn part(name: &str) -> Option<SparkFn> {
    let days = SparkFn::owned("interval_days", DataType::Int32, |_, arrays| {
        let values = arrays[0].as_primitive::<DurationMicrosecondType>();
        Ok(Arc::new(unary::<_, _, Int32Type>(values, |us| (us / DAY_US) as i32)))
    });
    let clock = |name: &'static str, size: i64, most: i64| {
        SparkFn::owned(name, DataType::Int8, move |_, arrays| {
            let values = arrays[0].as_primitive::<DurationMicrosecondType>();
            Ok(Arc::new(unary::<_, _, Int8Type>(values, |us| (us / size % most) as i8)))
        })
    };
    let seconds = SparkFn::owned("interval_seconds", DataType::Decimal128(8, 6), |_, arrays| {
        let values = arrays[0].as_primitive::<DurationMicrosecondType>();
        let seconds = unary::<_, _, Decimal128Type>(values, |us| (us % 60_000_000) as i128);
        Ok(Arc::new(seconds.with_precision_and_scale(8, 6)?))
    });
    Some(match name {
        "day" | "d" | "days" => days,
        "hour" | "h" | "hours" | "hr" | "hrs" => clock("interval_hours", HOUR_US, 24),
        "minute" | "m" | "min" | "mins" | "minutes" => clock("interval_minutes", 60_000_000, 60),
        "second" | "s" | "sec" | "seconds" | "secs" => seconds,
        _ => return None,
    })
}
