//! Between numbers and times.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};

use super::number::to_decimal;
use super::{Mode, convert, each, malformed};
use crate::Result;
use crate::format::number::double_to_string as java_double;
use crate::sql::function::datetime::DAY_US;
use crate::sql::function::unary_opt;
use crate::sql::types::*;

pub(super) fn number_to_timestamp(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let from = array.data_type();
    let micros: TimestampMicrosecondArray = match from {
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            let one = |v: i128| {
                let micros = if scale <= 6 {
                    v.checked_mul(10i128.pow((6 - scale) as u32))?
                } else {
                    v.div_euclid(10i128.pow((scale - 6) as u32))
                };
                i64::try_from(micros).ok()
            };
            unary_opt(array.as_primitive::<Decimal128Type>(), one)
        }
        t if is_floating(t) => {
            let wide = cast(array, &DataType::Float64)?;
            let one = |v: f64| v.is_finite().then_some((v * 1e6) as i64);
            let failed = |v: f64| malformed(&java_double(v), from, to);
            let wide: &Float64Array = wide.as_primitive();
            each::<Float64Type, TimestampMicrosecondType>(wide, mode, one, failed)?
        }
        _ => {
            let wide = cast(array, &DataType::Int64)?;
            // Seconds beyond the range stick to its ends, as in Spark.
            unary_opt(wide.as_primitive::<Int64Type>(), |v| Some(v.saturating_mul(1_000_000)))
        }
    };
    Ok(Arc::new(micros.with_data_type(to.clone())))
}

pub(super) fn timestamp_to_date(array: &ArrayRef) -> ArrayRef {
    let values: &TimestampMicrosecondArray = array.as_primitive();
    Arc::new(unary_opt::<_, _, Date32Type>(values, |us| {
        Some(us.div_euclid(DAY_US) as i32)
    }))
}

pub(super) fn timestamp_to_number(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let values: &TimestampMicrosecondArray = array.as_primitive();
    if is_floating(to) {
        let seconds: ArrayRef = Arc::new(unary_opt::<_, _, Float64Type>(values, |us| Some(us as f64 / 1e6)));
        return Ok(cast(&seconds, to)?);
    }
    if is_decimal(to) {
        let micros = unary_opt::<_, _, Decimal128Type>(values, |us| Some(us as i128));
        let micros: ArrayRef = Arc::new(micros.with_precision_and_scale(38, 6)?);
        return to_decimal(&micros, to, mode);
    }
    if *to == DataType::Boolean {
        return Ok(Arc::new(
            values.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>(),
        ));
    }
    let seconds: ArrayRef = Arc::new(unary_opt::<_, _, Int64Type>(values, |us| {
        Some(us.div_euclid(1_000_000))
    }));
    convert(&seconds, to, mode)
}
