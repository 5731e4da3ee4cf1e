//! `+ - * / % div`, negation and bits, with Spark's errors and overflow rules.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray, Scalar};
use arrow::compute::kernels::{cmp, nullif, numeric};
use arrow::compute::{binary, cast, try_binary, unary};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    i256,
};
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::{Kernel, SparkFn, binary_opt, columnar, datum};
use crate::sql::types::{is_decimal, is_floating};
use crate::{Error, Result};

/// An operator on two numbers of one type (decimals: of any two).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    PositiveModulo,
    IntDivide,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Op::Add => "add",
            Op::Subtract => "subtract",
            Op::Multiply => "multiply",
            Op::Divide => "divide",
            Op::Modulo => "mod",
            Op::PositiveModulo => "pmod",
            Op::IntDivide => "div",
        }
    }

    fn kernel(self) -> Kernel {
        match self {
            Op::Add => Kernel::Values(|f, v, _| run(f, Op::Add, v)),
            Op::Subtract => Kernel::Values(|f, v, _| run(f, Op::Subtract, v)),
            Op::Multiply => Kernel::Values(|f, v, _| run(f, Op::Multiply, v)),
            Op::Divide => Kernel::Values(|f, v, _| run(f, Op::Divide, v)),
            Op::Modulo => Kernel::Values(|f, v, _| run(f, Op::Modulo, v)),
            Op::PositiveModulo => Kernel::Values(|f, v, _| run(f, Op::PositiveModulo, v)),
            Op::IntDivide => Kernel::Values(|f, v, _| run(f, Op::IntDivide, v)),
        }
    }

    fn divides(self) -> bool {
        matches!(self, Op::Divide | Op::Modulo | Op::PositiveModulo | Op::IntDivide)
    }

    /// The function an overflow message advises.
    fn forgiving(self) -> &'static str {
        match self {
            Op::Add => "try_add",
            Op::Subtract => "try_subtract",
            Op::Multiply => "try_multiply",
            _ => "try_divide",
        }
    }
}

/// `left op right` with a result of type `returns`.
pub fn function(op: Op, returns: DataType, ansi: bool) -> SparkFn {
    let whole = !is_floating(&returns) || op.divides();
    SparkFn::new(op.name(), returns, op.kernel()).fallible(ansi && whole)
}

fn run(f: &SparkFn, op: Op, values: &[ColumnarValue]) -> Result<ColumnarValue> {
    let [left, right] = values else {
        return Err(Error::Invalid(format!("{} takes two values", f.name)));
    };
    if is_decimal(&left.data_type()) {
        let rows = values
            .iter()
            .map(|v| if let ColumnarValue::Array(a) = v { a.len() } else { 1 })
            .max()
            .unwrap_or(1);
        let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
        return columnar(decimals(f, op, left.as_primitive(), right.as_primitive())?, values);
    }
    let right = if op.divides() {
        nonzero(f, op, left, right)?
    } else {
        right.clone()
    };
    let (l, r) = (datum(left)?, datum(&right)?);
    let exact = f.ansi;
    let result = match op {
        Op::Add if exact => numeric::add(l.as_ref(), r.as_ref()),
        Op::Add => numeric::add_wrapping(l.as_ref(), r.as_ref()),
        Op::Subtract if exact => numeric::sub(l.as_ref(), r.as_ref()),
        Op::Subtract => numeric::sub_wrapping(l.as_ref(), r.as_ref()),
        Op::Multiply if exact => numeric::mul(l.as_ref(), r.as_ref()),
        Op::Multiply => numeric::mul_wrapping(l.as_ref(), r.as_ref()),
        Op::Divide => numeric::div(l.as_ref(), r.as_ref()),
        Op::IntDivide => int_divide(l.get().0, l.get().1, r.get().0, r.get().1),
        Op::Modulo => numeric::rem(l.as_ref(), r.as_ref()),
        Op::PositiveModulo => positive_modulo(&left.to_array(lengths(values))?, &right.to_array(lengths(values))?),
    };
    let result = result.map_err(|error| match (error, &f.returns) {
        (ArrowError::ArithmeticOverflow(text), DataType::Int8 | DataType::Int16) => Error::spark(
            "BINARY_ARITHMETIC_OVERFLOW",
            format!(
                "{text}. Use `{}` to ignore overflow problem and return NULL.",
                op.forgiving()
            ),
        ),
        (error, _) => overflow(error, op),
    });
    columnar(result?, values)
}

fn lengths(values: &[ColumnarValue]) -> usize {
    values
        .iter()
        .map(|v| if let ColumnarValue::Array(a) = v { a.len() } else { 1 })
        .max()
        .unwrap_or(1)
}

/// The divisor without zeros: an error in ANSI mode where the dividend is not NULL, else NULL.
fn nonzero(f: &SparkFn, op: Op, left: &ColumnarValue, right: &ColumnarValue) -> Result<ColumnarValue> {
    let zero = ScalarValue::new_zero(&right.data_type())?.to_scalar()?;
    let divisor = match right {
        ColumnarValue::Array(array) => Arc::clone(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    };
    let mut zeros = cmp::eq(&divisor, &zero)?;
    if is_floating(divisor.data_type()) {
        let negative = negative_zero(divisor.data_type())?;
        zeros = arrow::compute::or_kleene(&zeros, &cmp::eq(&divisor, &negative)?)?;
    }
    if zeros.true_count() == 0 {
        return Ok(right.clone());
    }
    if f.ansi && dividends_meet(left, &zeros)? {
        return Err(division_by_zero(op));
    }
    let cleaned = nullif::nullif(&divisor, &zeros)?;
    columnar(cleaned, std::slice::from_ref(right))
}

fn negative_zero(data_type: &DataType) -> Result<Scalar<ArrayRef>> {
    let zero = if *data_type == DataType::Float32 {
        ScalarValue::from(-0.0f32)
    } else {
        ScalarValue::from(-0.0f64)
    };
    Ok(zero.to_scalar()?)
}

/// Whether some row with a zero divisor has a dividend: NULL / 0 is NULL.
fn dividends_meet(left: &ColumnarValue, zeros: &arrow::array::BooleanArray) -> Result<bool> {
    Ok(match left {
        ColumnarValue::Scalar(scalar) => !scalar.is_null(),
        ColumnarValue::Array(array) if zeros.len() == array.len() => {
            arrow::compute::and_kleene(zeros, &arrow::compute::is_not_null(array)?)?.true_count() > 0
        }
        ColumnarValue::Array(array) => array.null_count() < array.len(),
    })
}

fn division_by_zero(op: Op) -> Error {
    if matches!(op, Op::Modulo | Op::PositiveModulo) {
        let text = "Remainder by zero. Use `try_mod` to tolerate divisor being 0 and return NULL instead. If necessary \
                    set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.";
        return Error::spark("REMAINDER_BY_ZERO", text);
    }
    Error::spark(
        "DIVIDE_BY_ZERO",
        "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead. If necessary set \
         \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
    )
}

fn overflow(error: ArrowError, op: Op) -> Error {
    match error {
        ArrowError::ArithmeticOverflow(_) => overflow_error(op.forgiving()),
        ArrowError::DivideByZero => division_by_zero(op),
        other => other.into(),
    }
}

/// Spark's ARITHMETIC_OVERFLOW, advising `forgiving`.
pub fn overflow_error(forgiving: &str) -> Error {
    Error::spark(
        "ARITHMETIC_OVERFLOW",
        format!(
            "overflow. Use '{forgiving}' to tolerate overflow and return NULL instead. If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error."
        ),
    )
}

/// `div`: both sides are bigint; only the smallest number by -1 overflows.
fn int_divide(left: &dyn Array, one_left: bool, right: &dyn Array, one_right: bool) -> Result<ArrayRef, ArrowError> {
    let rows = if one_left { right.len() } else { left.len() };
    let widen = |array: &dyn Array, one: bool| -> Result<ArrayRef, ArrowError> {
        if !one || rows == 1 {
            return Ok(arrow::array::make_array(array.to_data()));
        }
        let indices = arrow::array::UInt32Array::from(vec![0; rows]);
        arrow::compute::take(array, &indices, None)
    };
    numeric::div(&widen(left, one_left)?, &widen(right, one_right)?)
}

fn positive_modulo(left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    macro_rules! integers {
        ($($variant:ident => $type:ty),*) => {
            match left.data_type() {
                $(DataType::$variant => {
                    let (l, r) = (left.as_primitive::<$type>(), right.as_primitive::<$type>());
                    // Spark's definition: the sign of a negative divisor stays.
                    let result: PrimitiveArray<$type> = binary(l, r, |a, n| {
                        if n == 0 { return 0; }
                        let rest = a.wrapping_rem(n);
                        if rest < 0 { rest.wrapping_add(n).wrapping_rem(n) } else { rest }
                    })?;
                    Ok(Arc::new(result) as ArrayRef)
                })*
                DataType::Float32 => floats::<Float32Type>(left, right, |a, n| pmod_float(a as f64, n as f64) as f32),
                _ => floats::<Float64Type>(left, right, pmod_float),
            }
        };
    }
    integers!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type)
}

fn floats<T: ArrowPrimitiveType>(
    left: &ArrayRef,
    right: &ArrayRef,
    op: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef, ArrowError> {
    let result: PrimitiveArray<T> = binary(left.as_primitive::<T>(), right.as_primitive::<T>(), op)?;
    Ok(Arc::new(result))
}

fn pmod_float(a: f64, n: f64) -> f64 {
    let rest = a % n;
    if rest < 0.0 { (rest + n) % n } else { rest }
}

// ---- decimals

/// Decimal arithmetic in 256 bits, rounded half up to the result's scale.
fn decimals(f: &SparkFn, op: Op, left: &Decimal128Array, right: &Decimal128Array) -> Result<ArrayRef> {
    let (s1, s2) = (left.scale() as i32, right.scale() as i32);
    let (precision, scale) = match f.returns {
        DataType::Decimal128(precision, scale) => (precision, scale as i32),
        _ => (38, 0),
    };
    let one = |a: i128, b: i128| -> Result<Option<i128>, ArrowError> {
        let (a, b) = (i256::from_i128(a), i256::from_i128(b));
        if op.divides() && b == i256::ZERO {
            return if f.ansi {
                Err(external(division_by_zero(op)))
            } else {
                Ok(None)
            };
        }
        let common = s1.max(s2);
        let exact = match op {
            Op::Add => rescale(raise(a, common - s1).wrapping_add(raise(b, common - s2)), common, scale),
            Op::Subtract => rescale(raise(a, common - s1).wrapping_sub(raise(b, common - s2)), common, scale),
            Op::Multiply => rescale(a.wrapping_mul(b), s1 + s2, scale),
            Op::Divide => divide_half_up(a, b, s2 + scale - s1),
            Op::IntDivide => raise(a, common - s1).wrapping_div(raise(b, common - s2)),
            Op::Modulo => rescale(raise(a, common - s1).wrapping_rem(raise(b, common - s2)), common, scale),
            Op::PositiveModulo => {
                let (a, b) = (raise(a, common - s1), raise(b, common - s2));
                let rest = a.wrapping_rem(b);
                let rest = if rest < i256::ZERO {
                    rest.wrapping_add(b).wrapping_rem(b)
                } else {
                    rest
                };
                rescale(rest, common, scale)
            }
        };
        match exact.to_i128().filter(|v| fits(*v, precision)) {
            Some(value) => Ok(Some(value)),
            None if f.ansi => Err(external(out_of_range(precision, scale as i8))),
            None => Ok(None),
        }
    };
    let values = left.iter().zip(right.iter()).map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) => one(a, b),
        _ => Ok(None),
    });
    let values: Decimal128Array = values.collect::<Result<_, _>>()?;
    if f.returns == DataType::Int64 {
        let wide = values.with_precision_and_scale(38, 0)?;
        return Ok(cast(&wide, &DataType::Int64)?);
    }
    Ok(Arc::new(values.with_precision_and_scale(precision, scale as i8)?))
}

fn external(error: Error) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}

/// Spark's error for a value a decimal type cannot hold.
pub fn out_of_range(precision: u8, scale: i8) -> Error {
    Error::spark(
        "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
        format!(
            "The value cannot be represented as Decimal({precision}, {scale}). If necessary set \
             \"spark.sql.ansi.enabled\" to \"false\" to bypass this error, and return NULL instead."
        ),
    )
}

/// Whether an unscaled value has at most `precision` digits.
pub fn fits(value: i128, precision: u8) -> bool {
    value.unsigned_abs() < 10u128.pow(precision as u32)
}

fn power_of_ten(exponent: i32) -> i256 {
    i256::from_i128(10).wrapping_pow(exponent.max(0) as u32)
}

fn raise(value: i256, digits: i32) -> i256 {
    value.wrapping_mul(power_of_ten(digits))
}

fn rescale(value: i256, from: i32, to: i32) -> i256 {
    if to >= from {
        raise(value, to - from)
    } else {
        divide_half_up(value, power_of_ten(from - to), 0)
    }
}

/// `a * 10^digits / b`, rounded half away from zero.
fn divide_half_up(a: i256, b: i256, digits: i32) -> i256 {
    let (a, b) = if digits >= 0 {
        (raise(a, digits), b)
    } else {
        (a, raise(b, -digits))
    };
    let (quotient, rest) = (a.wrapping_div(b), a.wrapping_rem(b));
    let twice = rest.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice < b.wrapping_abs() {
        return quotient;
    }
    let away = if (a < i256::ZERO) == (b < i256::ZERO) {
        i256::ONE
    } else {
        i256::MINUS_ONE
    };
    quotient.wrapping_add(away)
}

/// `try_add`, `try_subtract` and `try_multiply` of whole numbers of one type: NULL on overflow.
pub fn try_whole(op: Op, returns: DataType) -> SparkFn {
    SparkFn::owned(op.forgiving(), returns, move |_, arrays| {
        macro_rules! integers {
            ($($variant:ident => $type:ty),*) => {
                match arrays[0].data_type() {
                    $(DataType::$variant => Ok(Arc::new(binary_opt::<$type, $type, $type>(arrays, |a, b| match op {
                        Op::Add => a.checked_add(b),
                        Op::Subtract => a.checked_sub(b),
                        _ => a.checked_mul(b),
                    }))),)*
                    other => Err(Error::Invalid(format!("{} takes whole numbers, not {other}", op.forgiving()))),
                }
            };
        }
        integers!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type)
    })
}

// ---- one operand

/// `-value`.
pub fn negate(returns: DataType, ansi: bool) -> SparkFn {
    let exact = ansi && !is_floating(&returns) && !is_decimal(&returns);
    SparkFn::new(
        "negative",
        returns,
        Kernel::Arrays(|f, arrays| {
            let result = if f.ansi {
                numeric::neg(&arrays[0])
            } else {
                numeric::neg_wrapping(&arrays[0])
            };
            result.map_err(|error| match error {
                ArrowError::ArithmeticOverflow(_) => Error::spark(
                    "ARITHMETIC_OVERFLOW",
                    "overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this error.",
                ),
                other => other.into(),
            })
        }),
    )
    .fallible(exact)
}

/// `& | ^ << >>` on integers of one type; shifts take an int.
pub fn bits(name: &'static str, returns: DataType) -> SparkFn {
    SparkFn::new(name, returns, Kernel::Arrays(run_bits))
}

fn run_bits(f: &SparkFn, arrays: &[ArrayRef]) -> Result<ArrayRef> {
    macro_rules! integers {
        ($($variant:ident => $type:ty),*) => {
            match &f.returns {
                $(DataType::$variant => bits_of::<$type>(f.name, arrays, |name, a, b| match name {
                    "&" => a & b,
                    "|" => a | b,
                    "^" => a ^ b,
                    "<<" => a.wrapping_shl(b as u32),
                    _ => a.wrapping_shr(b as u32),
                }),)*
                other => Err(Error::Invalid(format!("`{}` takes integers, not {other}", f.name))),
            }
        };
    }
    integers!(Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type)
}

fn bits_of<T: ArrowPrimitiveType>(
    name: &str,
    arrays: &[ArrayRef],
    op: impl Fn(&str, T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let right = cast(&arrays[1], &T::DATA_TYPE)?;
    let result: PrimitiveArray<T> = try_binary(arrays[0].as_primitive::<T>(), right.as_primitive::<T>(), |a, b| {
        Ok(op(name, a, b))
    })?;
    Ok(Arc::new(result))
}

/// `~value`.
pub fn bit_not(returns: DataType) -> SparkFn {
    SparkFn::new(
        "~",
        returns,
        Kernel::Arrays(|_, arrays| {
            Ok(match arrays[0].data_type() {
                DataType::Int8 => {
                    Arc::new(unary::<_, _, Int8Type>(arrays[0].as_primitive::<Int8Type>(), |v| !v)) as ArrayRef
                }
                DataType::Int16 => Arc::new(unary::<_, _, Int16Type>(arrays[0].as_primitive::<Int16Type>(), |v| !v)),
                DataType::Int32 => Arc::new(unary::<_, _, Int32Type>(arrays[0].as_primitive::<Int32Type>(), |v| !v)),
                _ => Arc::new(unary::<_, _, Int64Type>(arrays[0].as_primitive::<Int64Type>(), |v| !v)),
            })
        }),
    )
}

/// `abs(value)`.
pub fn abs(returns: DataType, ansi: bool) -> SparkFn {
    let exact = ansi && !is_floating(&returns) && !is_decimal(&returns);
    SparkFn::new("abs", returns, Kernel::Arrays(run_abs)).fallible(exact)
}

fn run_abs(f: &SparkFn, arrays: &[ArrayRef]) -> Result<ArrayRef> {
    macro_rules! integers {
        ($type:ty) => {{
            let values = arrays[0].as_primitive::<$type>();
            if f.ansi {
                let exact = arrow::compute::try_unary::<_, _, $type>(values, |v| {
                    v.checked_abs()
                        .ok_or_else(|| ArrowError::ArithmeticOverflow(String::new()))
                });
                Arc::new(exact.map_err(|error| overflow(error, Op::Add))?) as ArrayRef
            } else {
                Arc::new(unary::<_, _, $type>(values, |v| v.wrapping_abs()))
            }
        }};
    }
    Ok(match arrays[0].data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::Float32 => Arc::new(unary::<_, _, Float32Type>(
            arrays[0].as_primitive::<Float32Type>(),
            f32::abs,
        )),
        DataType::Float64 => Arc::new(unary::<_, _, Float64Type>(
            arrays[0].as_primitive::<Float64Type>(),
            f64::abs,
        )),
        _ => {
            let values = arrays[0].as_primitive::<Decimal128Type>();
            let result = unary::<_, _, Decimal128Type>(values, i128::wrapping_abs);
            Arc::new(result.with_data_type(arrays[0].data_type().clone()))
        }
    })
}
