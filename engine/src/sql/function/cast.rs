//! CAST among all of Spark's types.
//!
//! Casts that cannot fail and mean the same in arrow are arrow's; the rest are here, with ANSI's errors, with NULLs
//! (`try_cast`, and malformed text without ANSI) or with Java's wrapping numbers (overflow without ANSI).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, MapArray, PrimitiveArray, StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Cast, Expr, lit};

use super::arithmetic::{fits, out_of_range};
use super::datetime::DAY_US;
use super::{Kernel, SparkFn, unary_opt};
use crate::format::number::{double_to_string as java_double, parse_double, write_decimal, write_double, write_float};
use crate::format::time::{parse_date, parse_timestamp, write_date, write_timestamp};
use crate::sql::interval::day_time;
use crate::sql::parse::ast::Unit;
use crate::sql::types::*;
use crate::{Error, Result};

/// What happens to a value the target type cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// An error.
    Ansi,
    /// What Java does: numbers wrap, malformed text is NULL.
    Java,
    /// `try_cast`: NULL.
    Try,
}

/// `expr` as a value of type `to`; constants are cast at once.
pub fn cast_expr(expr: Expr, from: &DataType, to: &DataType, mode: Mode) -> Expr {
    if from == to {
        return expr;
    }
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = &expr
        && let Some(time) = special_time(text, to)
    {
        return lit(time);
    }
    if let Expr::Literal(value, _) = &expr {
        if value.is_null() {
            return ScalarValue::try_from(to).map(lit).unwrap_or(expr);
        }
        if let Some(constant) = cast_constant(value, to, mode) {
            return lit(constant);
        }
    }
    if is_plain(from, to) {
        return Expr::Cast(Cast::new(Box::new(expr), to.clone()));
    }
    function(from, to, mode).call(vec![expr])
}

/// The one written time that is a word and always the same.
fn special_time(text: &str, to: &DataType) -> Option<ScalarValue> {
    if !text.trim().eq_ignore_ascii_case("epoch") {
        return None;
    }
    match to {
        DataType::Date32 => Some(ScalarValue::Date32(Some(0))),
        DataType::Timestamp(_, zone) => Some(ScalarValue::TimestampMicrosecond(Some(0), zone.clone())),
        _ => None,
    }
}

/// The cast as a function, for casts arrow has not.
fn function(from: &DataType, to: &DataType, mode: Mode) -> SparkFn {
    let name = match mode {
        Mode::Ansi => "cast",
        Mode::Java => "legacy_cast",
        Mode::Try => "try_cast",
    };
    let kernel: Kernel = match mode {
        Mode::Ansi => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Ansi)),
        Mode::Java => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Java)),
        Mode::Try => Kernel::Arrays(|f, arrays| convert(&arrays[0], &f.returns, Mode::Try)),
    };
    SparkFn::new(name, to.clone(), kernel).fallible(mode == Mode::Ansi && can_fail(from, to))
}

/// A constant cast when the query is planned; None if that is an error, which belongs to the batch that meets it.
fn cast_constant(value: &ScalarValue, to: &DataType, mode: Mode) -> Option<ScalarValue> {
    let array = convert(&value.to_array().ok()?, to, mode).ok()?;
    ScalarValue::try_from_array(&array, 0).ok()
}

/// Whether arrow's cast means the same and cannot fail.
fn is_plain(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (Int8 | Int16 | Int32 | Int64, Float32 | Float64) | (Float32, Float64) => true,
        (Date32, Timestamp(..)) | (Timestamp(..), Timestamp(..)) => true,
        (l, r) if !is_floating(l) => holds(r, l),
        _ => false,
    }
}

/// Whether decimal type `wide` holds every value of `narrow`.
fn holds(wide: &DataType, narrow: &DataType) -> bool {
    match (wide, decimal_of(narrow)) {
        (DataType::Decimal128(p, s), Some((np, ns))) => *s >= ns && (*p as i32 - *s as i32) >= (np as i32 - ns as i32),
        _ => false,
    }
}

fn can_fail(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    match (from, to) {
        (_, Utf8) | (Boolean, _) => false,
        (Utf8, Binary) | (Timestamp(..), Date32 | Int64 | Float32 | Float64 | Boolean) => false,
        (Float64, Float32) => false,
        (l, Boolean | Float32 | Float64) if is_numeric(l) => false,
        (l, Timestamp(..)) if is_integral(l) => *l == Int64,
        _ => true,
    }
}

/// Whether Spark casts `from` to `to` at all; Err is the condition it refuses with.
pub fn check(from: &DataType, to: &DataType, ansi: bool) -> std::result::Result<(), &'static str> {
    use DataType::*;
    const FUNCTION: &str = "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION";
    const SETTING: &str = "DATATYPE_MISMATCH.CAST_WITH_CONF_SUGGESTION";
    const NEVER: &str = "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION";
    match (from, to) {
        (l, r) if l == r => Ok(()),
        (Null, _) | (_, Utf8) => Ok(()),
        (Utf8, r) if !r.is_nested() => Ok(()),
        (l, r) if is_numeric(l) && is_numeric(r) => Ok(()),
        (Boolean, r) | (r, Boolean) if is_numeric(r) => Ok(()),
        (l, Timestamp(_, Some(_))) if is_numeric(l) => Ok(()),
        (Timestamp(_, Some(_)), r) if is_numeric(r) => Ok(()),
        (Date32 | Timestamp(..), Date32 | Timestamp(..)) => Ok(()),
        (Boolean, Timestamp(_, Some(_))) | (Timestamp(_, Some(_)), Boolean) => {
            if ansi {
                Err(SETTING)
            } else {
                Ok(())
            }
        }
        (Date32, r) if is_numeric(r) => Err(FUNCTION),
        (l, Date32) if is_numeric(l) => Err(FUNCTION),
        (l, Binary) if is_integral(l) => {
            if ansi {
                Err(SETTING)
            } else {
                Ok(())
            }
        }
        (List(l), List(r)) => check(l.data_type(), r.data_type(), ansi),
        (Struct(l), Struct(r)) if l.len() == r.len() => l
            .iter()
            .zip(r)
            .try_for_each(|(l, r)| check(l.data_type(), r.data_type(), ansi)),
        (Map(l, _), Map(r, _)) => {
            let ((lk, lv), (rk, rv)) = (key_and_value(l.data_type()), key_and_value(r.data_type()));
            check(&lk, &rk, ansi).and(check(&lv, &rv, ansi))
        }
        (Duration(_), Duration(_)) => Ok(()),
        _ => Err(NEVER),
    }
}

/// Casts a whole array.
pub fn convert(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    use DataType::*;
    let from = array.data_type().clone();
    if from == *to {
        return Ok(Arc::clone(array));
    }
    if is_plain(&from, to) {
        return Ok(cast(array, to)?);
    }
    match (&from, to) {
        (Null, _) => Ok(new_null_array(to, array.len())),
        (_, Utf8) => to_text(array),
        (Utf8, _) => from_text(array.as_string(), to, mode),
        (Boolean, Timestamp(..)) => {
            let micros = cast(array, &Int64)?;
            Ok(cast(&micros, to)?)
        }
        (Boolean, _) => {
            let number = cast(array, &Int32)?;
            convert(&number, to, mode)
        }
        (l, Boolean) if is_integral(l) || is_floating(l) => Ok(cast(array, to)?),
        (Decimal128(..), Boolean) => {
            let values = array.as_primitive::<Decimal128Type>();
            Ok(Arc::new(
                values.iter().map(|v| v.map(|v| v != 0)).collect::<BooleanArray>(),
            ))
        }
        (l, r) if is_integral(l) && is_integral(r) => narrow(array, to, mode),
        (l, r) if is_floating(l) && is_integral(r) => float_to_int(array, to, mode),
        (Float64, Float32) => Ok(cast(array, to)?),
        (_, Decimal128(..)) if is_numeric(&from) => to_decimal(array, to, mode),
        (Decimal128(_, scale), r) if is_integral(r) => decimal_to_int(array, *scale, to, mode),
        (Decimal128(_, scale), _) if is_floating(to) => decimal_to_float(array, *scale, to),
        (l, Timestamp(..)) if is_numeric(l) => number_to_timestamp(array, to, mode),
        (Timestamp(..), Date32) => Ok(timestamp_to_date(array)),
        (Timestamp(..), _) => timestamp_to_number(array, to, mode),
        (Struct(_), Struct(fields)) => {
            let values = array.as_struct();
            let columns = values.columns().iter().zip(fields);
            let columns = columns
                .map(|(c, f)| convert(c, f.data_type(), mode))
                .collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                values.nulls().cloned(),
            )?))
        }
        (List(_), List(element)) => {
            let list: &ListArray = array.as_list();
            let values = convert(list.values(), element.data_type(), mode)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        _ => Ok(cast(array, to)?),
    }
}

// ---- errors

fn malformed(value: &str, from: &DataType, to: &DataType) -> Error {
    let (from, to) = (message_type_name(from), message_type_name(to));
    let value = if from == "STRING" {
        format!("'{value}'")
    } else {
        value.to_string()
    };
    Error::spark(
        "CAST_INVALID_INPUT",
        format!(
            "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" because it is malformed. Correct the \
             value as per the syntax, or change its target type. Use `try_cast` to tolerate malformed input and return \
             NULL instead."
        ),
    )
}

fn overflow(value: impl std::fmt::Display, from: &DataType, to: &DataType) -> Error {
    let (from, to) = (message_type_name(from), message_type_name(to));
    Error::spark(
        "CAST_OVERFLOW",
        format!(
            "The value {value} of the type \"{from}\" cannot be cast to \"{to}\" due to an overflow. Use `try_cast` to \
             tolerate overflow and return NULL instead."
        ),
    )
}

/// Applies `one` to each value; what it gives None for is an error in ANSI mode, else NULL.
fn each<S, T, D>(
    values: &PrimitiveArray<S>,
    mode: Mode,
    one: impl Fn(S::Native) -> Option<T::Native>,
    failed: impl Fn(S::Native) -> Error,
    _marker: std::marker::PhantomData<D>,
) -> Result<PrimitiveArray<T>>
where
    S: ArrowPrimitiveType,
    T: ArrowPrimitiveType,
{
    if mode == Mode::Ansi {
        let exact = arrow::compute::try_unary(values, |v| {
            one(v).ok_or_else(|| arrow::error::ArrowError::ExternalError(Box::new(failed(v))))
        });
        return Ok(exact?);
    }
    Ok(unary_opt(values, one))
}

const ANY: std::marker::PhantomData<()> = std::marker::PhantomData;

// ---- numbers

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

type Native<T> = <T as ArrowPrimitiveType>::Native;

fn narrow(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let wide = cast(array, &DataType::Int64)?;
    let wide: &Int64Array = wide.as_primitive();
    let from = array.data_type();
    let suffix = if *from == DataType::Int64 { "L" } else { "" };
    Ok(with_integral!(to, Target, {
        let one = |v: i64| match mode {
            Mode::Java => Some(v as Native<Target>),
            _ => Native::<Target>::try_from(v).ok(),
        };
        Arc::new(each::<Int64Type, Target, ()>(
            wide,
            mode,
            one,
            |v| overflow(format!("{v}{suffix}"), from, to),
            ANY,
        )?)
    }))
}

fn float_to_int(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
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
        Arc::new(each::<Float64Type, Target, ()>(wide, mode, one, failed, ANY)?)
    }))
}

fn decimal_to_int(array: &ArrayRef, scale: i8, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let unit = 10i128.pow(scale as u32);
    let values: &Decimal128Array = array.as_primitive();
    let from = array.data_type();
    Ok(with_integral!(to, Target, {
        let one = |v: i128| match mode {
            Mode::Java => Some((v / unit) as Native<Target>),
            _ => Native::<Target>::try_from(v / unit).ok(),
        };
        let failed = |v: i128| overflow(format!("{}BD", decimal_text(v, scale)), from, to);
        Arc::new(each::<Decimal128Type, Target, ()>(values, mode, one, failed, ANY)?)
    }))
}

fn decimal_to_float(array: &ArrayRef, scale: i8, to: &DataType) -> Result<ArrayRef> {
    // By way of text, so that the nearest double is found.
    let values: &Decimal128Array = array.as_primitive();
    let doubles: Float64Array = values
        .iter()
        .map(|v| v.map(|v| decimal_text(v, scale).parse().unwrap_or(f64::NAN)))
        .collect();
    let doubles: ArrayRef = Arc::new(doubles);
    Ok(cast(&doubles, to)?)
}

fn to_decimal(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
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
        each::<Decimal128Type, Decimal128Type, ()>(values, mode, one, |_| failed(), ANY)?
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

// ---- times

fn number_to_timestamp(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
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
            each::<Float64Type, TimestampMicrosecondType, ()>(wide, mode, one, failed, ANY)?
        }
        _ => {
            let wide = cast(array, &DataType::Int64)?;
            // Seconds beyond the range stick to its ends, as in Spark.
            unary_opt(wide.as_primitive::<Int64Type>(), |v| Some(v.saturating_mul(1_000_000)))
        }
    };
    Ok(Arc::new(micros.with_data_type(to.clone())))
}

fn timestamp_to_date(array: &ArrayRef) -> ArrayRef {
    let values: &TimestampMicrosecondArray = array.as_primitive();
    Arc::new(unary_opt::<_, _, Date32Type>(values, |us| {
        Some(us.div_euclid(DAY_US) as i32)
    }))
}

fn timestamp_to_number(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
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

// ---- text

/// Reads text as a value of type `to`.
fn from_text(texts: &StringArray, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    let failed = |text: &str| -> Result<()> {
        if mode == Mode::Ansi {
            Err(malformed(text, &DataType::Utf8, to))
        } else {
            Ok(())
        }
    };
    /// Collects what `one` reads.
    macro_rules! read {
        ($array:ty, $one:expr) => {{
            let one = $one;
            let values = texts.iter().map(|text| match text {
                None => Ok(None),
                Some(text) => match one(text) {
                    None => failed(text).map(|()| None),
                    value => Ok(value),
                },
            });
            values.collect::<Result<$array>>()?
        }};
    }
    Ok(match to {
        DataType::Boolean => Arc::new(read!(BooleanArray, read_bool)),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => with_integral!(to, Target, {
            let one = |text: &str| read_int(text, mode).and_then(|v| Native::<Target>::try_from(v).ok());
            Arc::new(read!(PrimitiveArray<Target>, one)) as ArrayRef
        }),
        DataType::Float64 => Arc::new(read!(Float64Array, read_double)),
        DataType::Float32 => Arc::new(read!(PrimitiveArray<Float32Type>, |text: &str| read_double(text)
            .map(|v| v as f32))),
        DataType::Decimal128(precision, scale) => {
            let values = texts.iter().map(|text| {
                let Some(text) = text else { return Ok(None) };
                match unscaled(text.trim_matches(is_blank), *scale) {
                    None => failed(text).map(|()| None),
                    Some(v) if fits(v, *precision) => Ok(Some(v)),
                    Some(_) if mode == Mode::Ansi => Err(out_of_range(*precision, *scale)),
                    Some(_) => Ok(None),
                }
            });
            let values = values.collect::<Result<Decimal128Array>>()?;
            Arc::new(values.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Date32 => Arc::new(read!(Date32Array, |text: &str| parse_date(text.as_bytes()))),
        DataType::Timestamp(..) => Arc::new(
            read!(TimestampMicrosecondArray, |text: &str| parse_timestamp(
                text.as_bytes(),
                0
            ))
            .with_data_type(to.clone()),
        ),
        DataType::Binary => Arc::new(
            texts
                .iter()
                .map(|text| text.map(str::as_bytes))
                .collect::<BinaryArray>(),
        ),
        DataType::Duration(_) => {
            let one = |text: &str| crate::sql::interval::parse_interval_us(text).ok();
            Arc::new(read!(PrimitiveArray<DurationMicrosecondType>, one))
        }
        other => return Ok(cast(texts, other)?),
    })
}

fn read_bool(text: &str) -> Option<bool> {
    match text.trim_matches(is_blank).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Digits with a sign; without ANSI a fraction is cut.
fn read_int(text: &str, mode: Mode) -> Option<i64> {
    let text = text.trim_matches(is_blank);
    if mode == Mode::Java
        && let Some((whole, fraction)) = text.split_once('.')
    {
        let digits = fraction.bytes().all(|b| b.is_ascii_digit());
        let empty = matches!(whole, "" | "+" | "-");
        return if digits && empty && !fraction.is_empty() {
            Some(0)
        } else {
            whole.parse().ok().filter(|_| digits)
        };
    }
    text.parse().ok()
}

/// What Java's parser reads, and the infinities and NaN in any case.
fn read_double(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(is_blank);
    match trimmed.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str() {
        "inf" | "infinity" => Some(if trimmed.starts_with('-') {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }),
        "nan" => Some(f64::NAN),
        _ => parse_double(text.as_bytes()),
    }
}

/// Writes every value as Spark prints it.
pub fn to_text(array: &ArrayRef) -> Result<ArrayRef> {
    if is_integral(array.data_type()) || *array.data_type() == DataType::Boolean {
        return Ok(cast(array, &DataType::Utf8)?);
    }
    if let Some(texts) = array.as_binary_opt::<i32>().and_then(bytes_as_text) {
        return Ok(Arc::new(texts));
    }
    let writer = Writer::new(array)?;
    let mut texts = StringBuilder::with_capacity(array.len(), array.len() * 16);
    let mut text = String::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        writer.write(row, &mut text);
        texts.append_value(&text);
    }
    Ok(Arc::new(texts.finish()))
}

/// Bytes as text without a copy, if all of them are UTF-8.
fn bytes_as_text(bytes: &BinaryArray) -> Option<StringArray> {
    let offsets = bytes.offsets();
    // A slice of a larger array is looked at alone.
    let (first, last) = (*offsets.first()?, *offsets.last()?);
    let values = bytes
        .values()
        .slice_with_length(first as usize, (last - first) as usize);
    let offsets = match first {
        0 => offsets.clone(),
        _ => OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()),
    };
    StringArray::try_new(offsets, values, bytes.nulls().cloned()).ok()
}

/// Writes one value of an array as text.
enum Writer<'a> {
    Plain(StringArray),
    Double(&'a Float64Array),
    Single(&'a PrimitiveArray<Float32Type>),
    Decimal(&'a Decimal128Array),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
    Duration(&'a PrimitiveArray<DurationMicrosecondType>),
    Binary(&'a BinaryArray),
    Struct(&'a StructArray, Vec<Writer<'a>>),
    List(&'a ListArray, Box<Writer<'a>>),
    Map(&'a MapArray, Box<Writer<'a>>, Box<Writer<'a>>),
}

impl<'a> Writer<'a> {
    fn new(array: &'a ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Float64 => Writer::Double(array.as_primitive()),
            DataType::Float32 => Writer::Single(array.as_primitive()),
            DataType::Decimal128(..) => Writer::Decimal(array.as_primitive()),
            DataType::Date32 => Writer::Date(array.as_primitive()),
            DataType::Timestamp(..) => Writer::Timestamp(array.as_primitive()),
            DataType::Duration(_) => Writer::Duration(array.as_primitive()),
            DataType::Binary => Writer::Binary(array.as_binary()),
            DataType::Struct(_) => {
                let columns = array
                    .as_struct()
                    .columns()
                    .iter()
                    .map(Writer::new)
                    .collect::<Result<_>>()?;
                Writer::Struct(array.as_struct(), columns)
            }
            DataType::List(_) => {
                let list: &ListArray = array.as_list();
                Writer::List(list, Box::new(Writer::new(list.values())?))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Writer::Map(
                    map,
                    Box::new(Writer::new(map.keys())?),
                    Box::new(Writer::new(map.values())?),
                )
            }
            _ => Writer::Plain(cast(array, &DataType::Utf8)?.as_string::<i32>().clone()),
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Writer::Plain(a) => a.is_null(row),
            Writer::Double(a) => a.is_null(row),
            Writer::Single(a) => a.is_null(row),
            Writer::Decimal(a) => a.is_null(row),
            Writer::Date(a) => a.is_null(row),
            Writer::Timestamp(a) => a.is_null(row),
            Writer::Duration(a) => a.is_null(row),
            Writer::Binary(a) => a.is_null(row),
            Writer::Struct(a, _) => a.is_null(row),
            Writer::List(a, _) => a.is_null(row),
            Writer::Map(a, ..) => a.is_null(row),
        }
    }

    fn write_nullable(&self, row: usize, out: &mut String) {
        if self.is_null(row) {
            out.push_str("null")
        } else {
            self.write(row, out)
        }
    }

    fn write(&self, row: usize, out: &mut String) {
        match self {
            Writer::Plain(a) => out.push_str(a.value(row)),
            Writer::Double(a) => write_double(a.value(row), out),
            Writer::Single(a) => write_float(a.value(row), out),
            Writer::Decimal(a) => write_decimal(a.value(row), a.scale(), out),
            Writer::Date(a) => write_date(a.value(row), out),
            Writer::Timestamp(a) => write_timestamp(a.value(row), out),
            Writer::Duration(a) => {
                let text = day_time(a.value(row), Unit::Day, Unit::Second);
                out.push_str(&format!("INTERVAL '{text}' DAY TO SECOND"));
            }
            Writer::Binary(a) => out.push_str(&String::from_utf8_lossy(a.value(row))),
            Writer::Struct(_, columns) => {
                out.push('{');
                for (i, column) in columns.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    column.write_nullable(row, out);
                }
                out.push('}');
            }
            Writer::List(a, values) => {
                out.push('[');
                for (i, item) in range(a.value_offsets(), row).enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    values.write_nullable(item, out);
                }
                out.push(']');
            }
            Writer::Map(a, keys, values) => {
                out.push('{');
                for (i, entry) in range(a.value_offsets(), row).enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    keys.write_nullable(entry, out);
                    out.push_str(" -> ");
                    values.write_nullable(entry, out);
                }
                out.push('}');
            }
        }
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

/// What Spark trims: blanks and control characters.
fn is_blank(c: char) -> bool {
    c <= ' ' || c == '\u{7f}'
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

    #[test]
    fn text_becomes_a_number_or_an_error_that_names_it() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(" 12 "), None]));
        let numbers = convert(&texts, &DataType::Int32, Mode::Ansi).unwrap();
        assert_eq!(
            numbers.as_primitive::<Int32Type>(),
            &PrimitiveArray::from(vec![Some(12), None])
        );

        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1.5"]));
        let error = convert(&texts, &DataType::Int32, Mode::Ansi).unwrap_err();
        assert_eq!(error.condition(), Some("CAST_INVALID_INPUT"));
        assert!(
            error
                .to_string()
                .starts_with("The value '1.5' of the type \"STRING\" cannot be cast to \"INT\"")
        );
        let legacy = convert(&texts, &DataType::Int32, Mode::Java).unwrap();
        assert_eq!(legacy.as_primitive::<Int32Type>().value(0), 1);
        assert!(convert(&texts, &DataType::Int32, Mode::Try).unwrap().is_null(0));
    }
}
