//! From numbers to numbers, and decimals as the digits they are made of.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};

use super::{Mode, each, overflow};
use crate::Result;
use crate::format::number::{double_to_string as java_double, write_decimal};
use crate::sql::function::arithmetic::{fits, out_of_range};
use crate::sql::types::*;

/// Calls `$body` with `$target` as the arrow type of an integral data type.
macro_rules! with_integral {
    ($data_type:expr, $target:ident, $body:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $target = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $target = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $target = Int32Type;
                $body
            }
            _ => {
                type $target = Int64Type;
                $body
            }
        }
    };
}

pub(super) use with_integral;

pub(super) type Native<T> = <T as ArrowPrimitiveType>::Native;

pub(super) fn narrow(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let wide = cast(array, &DataType::Int64)?;
    let wide: &Int64Array = wide.as_primitive();
    let from = array.data_type();
    let suffix = if *from == DataType::Int64 { "L" } else { "" };
    Ok(with_integral!(to, Target, {
        let one = |v: i64| match mode {
            Mode::Java => Some(v as Native<Target>),
            _ => Native::<Target>::try_from(v).ok(),
        };
        Arc::new(each::<Int64Type, Target>(wide, mode, one, |v| {
            overflow(format!("{v}{suffix}"), from, to)
        })?)
    }))
}

pub(super) fn float_to_int(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let wide = cast(array, &DataType::Float64)?;
    let wide: &Float64Array = wide.as_primitive();
    let from = array.data_type();
    let failed = |v: f64| {
        let suffix = if *from == DataType::Float64 && v.is_finite() {
            "D"
        } else {
            ""
        };
        overflow(format!("{}{suffix}", java_double(v)), from, to)
    };
    Ok(with_integral!(to, Target, {
        let (least, most) = (Native::<Target>::MIN as f64, Native::<Target>::MAX as f64);
        let one = |v: f64| match mode {
            // Java narrows through int: the low bits of the saturated number.
            Mode::Java if matches!(to, DataType::Int8 | DataType::Int16) => Some(v as i32 as Native<Target>),
            Mode::Java => Some(v as Native<Target>),
            _ => (v.floor() <= most && v.ceil() >= least).then_some(v as Native<Target>),
        };
        Arc::new(each::<Float64Type, Target>(wide, mode, one, failed)?)
    }))
}

pub(super) fn decimal_to_int(array: &ArrayRef, scale: i8, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let unit = 10i128.pow(scale as u32);
    let values: &Decimal128Array = array.as_primitive();
    let from = array.data_type();
    Ok(with_integral!(to, Target, {
        let one = |v: i128| match mode {
            Mode::Java => Some((v / unit) as Native<Target>),
            _ => Native::<Target>::try_from(v / unit).ok(),
        };
        let failed = |v: i128| overflow(format!("{}BD", decimal_text(v, scale)), from, to);
        Arc::new(each::<Decimal128Type, Target>(values, mode, one, failed)?)
    }))
}

pub(super) fn decimal_to_float(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    // By way of text, so that the nearest double is found.
    let values: &Decimal128Array = array.as_primitive();
    let doubles: Float64Array = values
        .iter()
        .map(|v| v.map(|v| decimal_text(v, scale).parse().unwrap_or(f64::NAN)))
        .collect();
    let doubles: ArrayRef = Arc::new(doubles);
    Ok(cast(&doubles, to)?)
}

pub(super) fn to_decimal(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *to else {
        return Ok(cast(array, to)?);
    };
    let keep = |v: Option<i128>| v.filter(|v| fits(*v, precision));
    let failed = || out_of_range(precision, scale);
    let result: Decimal128Array = if is_floating(array.data_type()) {
        let wide = cast(array, &DataType::Float64)?;
        let wide: &Float64Array = wide.as_primitive();
        let one = |v: f64| keep(v.is_finite().then(|| unscaled(&format!("{v:e}"), scale)).flatten());
        // NaN and the infinities are NULL even in ANSI mode.
        let values = wide.iter().map(|v| match v.map(|v| (v, one(v))) {
            Some((v, None)) if mode == Mode::Ansi && v.is_finite() => Err(failed()),
            Some((_, decimal)) => Ok(decimal),
            None => Ok(None),
        });
        values.collect::<Result<_>>()?
    } else {
        let (wide, from_scale) = match array.data_type() {
            DataType::Decimal128(_, from_scale) => (Arc::clone(array), *from_scale),
            _ => (cast(array, &DataType::Decimal128(38, 0))?, 0),
        };
        let values: &Decimal128Array = wide.as_primitive();
        let one = |v: i128| keep(change_scale(v, from_scale, scale));
        each::<Decimal128Type, Decimal128Type>(values, mode, one, |_| failed())?
    };
    Ok(Arc::new(result.with_precision_and_scale(precision, scale)?))
}

/// The unscaled value at another scale, rounded half up.
pub fn change_scale(value: i128, from: i8, to: i8) -> Option<i128> {
    if to >= from {
        return value.checked_mul(10i128.checked_pow((to - from) as u32)?);
    }
    let unit = 10i128.checked_pow((from - to) as u32)?;
    let (quotient, rest) = (value / unit, value % unit);
    let up = rest.unsigned_abs() * 2 >= unit.unsigned_abs();
    Some(if up { quotient + value.signum() } else { quotient })
}

/// The unscaled value of a number as text (`-1.5`, `2e3`), rounded half up to `scale`.
pub fn unscaled(text: &str, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || !format!("{whole}{fraction}").bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let all = format!("{whole}{fraction}");
    let all = all.trim_start_matches('0');
    // The value is `all` times ten to this power; at `scale`, to that one.
    let power = exponent - fraction.len() as i32 + scale as i32;
    let magnitude = if all.is_empty() {
        0
    } else if power >= 0 {
        all.parse::<i128>()
            .ok()?
            .checked_mul(10i128.checked_pow(power as u32)?)?
    } else {
        let keep = all.len() as i32 + power;
        match keep {
            i32::MIN..0 => 0,
            _ => {
                let kept = &all[..keep as usize];
                let kept: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
                kept + i128::from(all.as_bytes()[keep as usize] >= b'5')
            }
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A decimal as plain digits.
pub fn decimal_text(value: i128, scale: i8) -> String {
    let mut out = String::new();
    write_decimal(value, scale, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_text_round_half_up_into_a_decimal() {
        for (text, scale, wanted) in [
            ("12.345", 2, Some(1235)),
            ("-12.345", 2, Some(-1235)),
            ("1e3", 1, Some(10000)),
            ("0.004", 2, Some(0)),
            ("0.005", 2, Some(1)),
            ("1.5e-7", 2, Some(0)),
            ("abc", 2, None),
            ("", 2, None),
        ] {
            assert_eq!(unscaled(text, scale), wanted, "{text}");
        }
    }
}
