//! Functions of numbers. Transcendental functions are `libm`-free Rust; Spark's answers differ in the last digit at most.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::arithmetic::{fits, out_of_range, overflow_error};
use super::cast::{change_scale, unscaled};
use super::{Kernel, SparkFn, binary_opt, unary_opt};
use crate::format::number::double_to_string;
use crate::sql::types::{is_decimal, is_floating, is_integral};
use crate::{Error, Result};

/// A function of one double, by Spark's name.
pub fn unary(name: &str) -> SparkFn {
    let (name, function): (&'static str, fn(f64) -> Option<f64>) = match name {
        "sqrt" => ("sqrt", |v| Some(v.sqrt())),
        "exp" => ("exp", |v| Some(v.exp())),
        "expm1" => ("expm1", |v| Some(v.exp_m1())),
        // Logarithms of what is not positive are NULL.
        "ln" => ("ln", |v| positive(v).map(f64::ln)),
        "log10" => ("log10", |v| positive(v).map(f64::log10)),
        "log2" => ("log2", |v| positive(v).map(f64::log2)),
        "log1p" => ("log1p", |v| positive(v + 1.0).map(|_| v.ln_1p())),
        "sign" | "signum" => ("signum", |v| Some(if v == 0.0 || v.is_nan() { v } else { v.signum() })),
        "sin" => ("sin", |v| Some(v.sin())),
        "cos" => ("cos", |v| Some(v.cos())),
        "tan" => ("tan", |v| Some(v.tan())),
        "cot" => ("cot", |v| Some(1.0 / v.tan())),
        "asin" => ("asin", |v| Some(v.asin())),
        "acos" => ("acos", |v| Some(v.acos())),
        "atan" => ("atan", |v| Some(v.atan())),
        "sinh" => ("sinh", |v| Some(v.sinh())),
        "cosh" => ("cosh", |v| Some(v.cosh())),
        "tanh" => ("tanh", |v| Some(v.tanh())),
        "cbrt" => ("cbrt", |v| Some(v.cbrt())),
        "degrees" => ("degrees", |v| Some(v.to_degrees())),
        "rint" => ("rint", |v| Some(v.round_ties_even())),
        _ => ("radians", |v| Some(v.to_radians())),
    };
    SparkFn::owned(name, DataType::Float64, move |_, arrays| {
        Ok(Arc::new(unary_opt::<_, _, Float64Type>(
            arrays[0].as_primitive::<Float64Type>(),
            function,
        )))
    })
}

fn positive(value: f64) -> Option<f64> {
    (value > 0.0 || value.is_nan()).then_some(value)
}

/// A function of two doubles that can have no answer.
type OfTwo = fn(f64, f64) -> Option<f64>;

/// A function of two doubles, by Spark's name.
pub fn binary(name: &str) -> SparkFn {
    let (name, function): (&'static str, OfTwo) = match name {
        "pow" | "power" => ("pow", |l, r| Some(l.powf(r))),
        "atan2" => ("atan2", |l, r| Some(l.atan2(r))),
        "hypot" => ("hypot", |l, r| Some(l.hypot(r))),
        _ => ("log", |base, v| Some(positive(v)?.ln() / positive(base)?.ln())),
    };
    SparkFn::owned(name, DataType::Float64, move |_, arrays| {
        Ok(Arc::new(binary_opt::<Float64Type, Float64Type, Float64Type>(
            arrays, function,
        )))
    })
}

/// `isnan(value)`: never NULL.
pub fn is_nan() -> SparkFn {
    SparkFn::new(
        "isnan",
        DataType::Boolean,
        Kernel::Arrays(|_, arrays| {
            let values = arrays[0].as_primitive::<Float64Type>();
            Ok(Arc::new(
                values
                    .iter()
                    .map(|v| Some(v.is_some_and(f64::is_nan)))
                    .collect::<BooleanArray>(),
            ))
        }),
    )
}

/// `nanvl(value, other)`.
pub fn nanvl() -> SparkFn {
    SparkFn::new(
        "nanvl",
        DataType::Float64,
        Kernel::Arrays(|_, arrays| {
            let (values, others) = (
                arrays[0].as_primitive::<Float64Type>(),
                arrays[1].as_primitive::<Float64Type>(),
            );
            let each = values
                .iter()
                .zip(others)
                .map(|(v, other)| if v.is_some_and(f64::is_nan) { other } else { v });
            Ok(Arc::new(each.collect::<Float64Array>()))
        }),
    )
}

/// ceil and floor; `digits` counts for decimals.
pub fn whole(up: bool, returns: DataType, digits: i64) -> SparkFn {
    let name = if up { "ceil" } else { "floor" };
    let kernel = move |f: &SparkFn, arrays: &[ArrayRef]| -> Result<ArrayRef> {
        let array = &arrays[0];
        Ok(match array.data_type() {
            DataType::Decimal128(_, from) => {
                let (from, to) = (*from, digits.clamp(0, *from as i64) as i8);
                let unit = 10i128.pow((from - to) as u32);
                let round = |v: i128| {
                    let down = v.div_euclid(unit);
                    Some(if up && v.rem_euclid(unit) != 0 { down + 1 } else { down })
                };
                let values = unary_opt::<_, _, Decimal128Type>(array.as_primitive::<Decimal128Type>(), round);
                Arc::new(values.with_data_type(f.returns.clone()))
            }
            t if is_integral(t) => Arc::clone(array),
            _ => {
                let doubles = cast(array, &DataType::Float64)?;
                // Java's conversion: NaN is 0, too large is the largest.
                let round = |v: f64| Some(if up { v.ceil() } else { v.floor() } as i64);
                Arc::new(unary_opt::<_, _, Int64Type>(
                    doubles.as_primitive::<Float64Type>(),
                    round,
                ))
            }
        })
    };
    SparkFn::owned(name, returns, kernel).params([ScalarValue::from(digits)])
}

/// round (half up) and bround (half even).
pub fn round(even: bool, returns: DataType, digits: i64, ansi: bool) -> SparkFn {
    let name = if even { "bround" } else { "round" };
    let whole = is_integral(&returns) || is_decimal(&returns);
    let kernel = move |f: &SparkFn, arrays: &[ArrayRef]| round_array(f, &arrays[0], digits, even);
    SparkFn::owned(name, returns, kernel)
        .params([ScalarValue::from(digits)])
        .fallible(ansi && whole && digits < 0)
}

fn round_array(f: &SparkFn, array: &ArrayRef, digits: i64, even: bool) -> Result<ArrayRef> {
    if is_integral(array.data_type()) {
        if digits >= 0 {
            return Ok(Arc::clone(array));
        }
        let wide = cast(array, &DataType::Int64)?;
        let round = |v: i64| {
            let rounded = round_unscaled(v as i128, -digits.max(-38), even);
            if f.ansi {
                i64::try_from(rounded).ok()
            } else {
                Some(wrapped(rounded, array.data_type()))
            }
        };
        let rounded: ArrayRef = Arc::new(unary_opt::<_, _, Int64Type>(wide.as_primitive::<Int64Type>(), round));
        let options = arrow::compute::CastOptions {
            safe: !f.ansi,
            ..Default::default()
        };
        return arrow::compute::cast_with_options(&rounded, array.data_type(), &options)
            .map_err(|_| overflow_error("try_add"));
    }
    if is_floating(array.data_type()) {
        let doubles = cast(array, &DataType::Float64)?;
        let values = unary_opt::<_, _, Float64Type>(doubles.as_primitive::<Float64Type>(), |v| {
            Some(round_double(v, digits, even))
        });
        let values: ArrayRef = Arc::new(values);
        return Ok(cast(&values, array.data_type())?);
    }
    let (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) = (array.data_type(), &f.returns) else {
        return Err(Error::Invalid(format!("cannot round {}", array.data_type())));
    };
    let (from, to, precision) = (*from, *to, *precision);
    let cut = from as i64 - digits;
    let values = array.as_primitive::<Decimal128Type>().iter().map(|v| {
        let Some(v) = v else { return Ok(None) };
        let rounded = if cut > 0 { round_unscaled(v, cut, even) } else { v };
        match change_scale(rounded, from, to).filter(|v| fits(*v, precision)) {
            None if f.ansi => Err(out_of_range(precision, to)),
            rounded => Ok(rounded),
        }
    });
    let values = values.collect::<Result<arrow::array::Decimal128Array>>()?;
    Ok(Arc::new(values.with_precision_and_scale(precision, to)?))
}

/// The last bits of a number, as many as the type has: what Java makes of one that is too large.
fn wrapped(value: i128, data_type: &DataType) -> i64 {
    match data_type {
        DataType::Int8 => value as i8 as i64,
        DataType::Int16 => value as i16 as i64,
        DataType::Int32 => value as i32 as i64,
        _ => value as i64,
    }
}

/// Sets the last `cut` digits to zero, rounding.
fn round_unscaled(value: i128, cut: i64, even: bool) -> i128 {
    let Some(unit) = 10i128.checked_pow(cut.min(60) as u32) else {
        return 0;
    };
    let (quotient, rest) = (value / unit, value % unit);
    let twice = rest.unsigned_abs().saturating_mul(2);
    let up = match twice.cmp(&unit.unsigned_abs()) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => !even || quotient % 2 != 0,
        std::cmp::Ordering::Less => false,
    };
    (if up { quotient + value.signum() } else { quotient }).saturating_mul(unit)
}

/// Rounds the decimal digits Java prints, as Spark does: 1.005 to two digits is 1.01.
fn round_double(value: f64, digits: i64, even: bool) -> f64 {
    if !value.is_finite() || digits > 30 {
        return value;
    }
    let text = double_to_string(value);
    // The most digits after the point that leave room to round up.
    let room = 10i128.pow(37);
    let exact = (0..=37)
        .rev()
        .find_map(|scale| Some((unscaled(&text, scale).filter(|v| v.abs() < room)?, scale as i64)));
    let Some((unscaled, scale)) = exact else { return value };
    let cut = scale - digits;
    if cut <= 0 {
        return value;
    }
    let rounded = round_unscaled(unscaled, cut, even);
    let result: f64 = format!("{rounded}e-{scale}").parse().unwrap_or(value);
    if result == 0.0 { 0.0 } else { result }
}

/// `rand(seed)`: numbers in [0, 1), the same in every run.
pub fn random(seed: i64) -> SparkFn {
    SparkFn::new("rand", DataType::Float64, Kernel::Values(run_random))
        .params([ScalarValue::from(seed)])
        .volatile()
}

fn run_random(f: &SparkFn, _: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
    let first = f.drawn.fetch_add(rows as u64, Ordering::Relaxed);
    let seed = f.int(0) as u64;
    let values = (0..rows as u64).map(|row| (mix(seed ^ mix(first + row)) >> 11) as f64 / (1u64 << 53) as f64);
    let array: ArrayRef = Arc::new(Float64Array::from_iter_values(values));
    Ok(array.into())
}

/// SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_round_by_the_digits_they_print() {
        for (value, digits, wanted) in [
            (1.005, 2, 1.01),
            (0.15, 1, 0.2),
            (1.5, 0, 2.0),
            (-1.5, 0, -2.0),
            (2.5, 0, 3.0),
            (1234.5, -2, 1200.0),
        ] {
            assert_eq!(round_double(value, digits, false), wanted, "{value}");
        }
        assert_eq!(round_double(2.5, 0, true), 2.0);
    }
}
