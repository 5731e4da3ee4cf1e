//! What aggregates come to: results of Spark's types, from running values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, Float64Array, Int64Array, PrimitiveArray, UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::row::RowConverter;

use super::{Accumulator, AggregateSpec};
use crate::{Error, Result};

impl Accumulator {
    /// The results of some groups.
    ///
    /// # Errors
    /// `NUMERIC_VALUE_OUT_OF_RANGE` for a decimal sum that does not fit its type, under ANSI rules.
    pub(crate) fn results(&self, slots: &[u32]) -> Result<ArrayRef> {
        use Accumulator::*;
        Ok(match self {
            Count(counts) => Arc::new(Int64Array::from_iter_values(slots.iter().map(|s| counts[*s as usize]))),
            SumInteger { sums, seen, .. } => nullable::<Int64Type>(slots, sums, |s| seen[s]),
            SumFloat { sums, seen } => {
                let sum = |s: &u32| seen[*s as usize].then(|| with_one_nan(sums[*s as usize]));
                Arc::new(slots.iter().map(sum).collect::<Float64Array>())
            }
            SumDecimal { sums, seen, spec } => decimal_sums(slots, sums, seen, spec)?,
            AvgFloat { sums, counts } => {
                let average = |s: &u32| {
                    let (sum, count) = (sums[*s as usize], counts[*s as usize]);
                    (count > 0).then(|| with_one_nan(sum / count as f64))
                };
                Arc::new(slots.iter().map(average).collect::<Float64Array>())
            }
            AvgDecimal { sums, counts, spec } => decimal_averages(slots, sums, counts, spec)?,
            Extreme {
                values,
                converter,
                spec,
            } => extremes(slots, values, converter, spec)?,
            ExtremeInteger { values, seen, spec } => {
                from_integers(nullable::<Int64Type>(slots, values, |s| seen[s]), &spec.output)?
            }
        })
    }
}

fn from_integers(values: ArrayRef, to: &DataType) -> Result<ArrayRef> {
    Ok(match to {
        DataType::Date32 => cast(&cast(&values, &DataType::Int32)?, to)?,
        _ => cast(&values, to)?,
    })
}

fn nullable<T: ArrowPrimitiveType>(slots: &[u32], values: &[T::Native], seen: impl Fn(usize) -> bool) -> ArrayRef {
    let picked: ScalarBuffer<T::Native> = slots.iter().map(|s| values[*s as usize]).collect::<Vec<_>>().into();
    let nulls = NullBuffer::from_iter(slots.iter().map(|s| seen(*s as usize)));
    Arc::new(PrimitiveArray::<T>::new(
        picked,
        Some(nulls).filter(|n| n.null_count() > 0),
    ))
}

fn decimal_parts(to: &DataType) -> Result<(u8, i8)> {
    match to {
        DataType::Decimal128(precision, scale) => Ok((*precision, *scale)),
        other => Err(Error::Invalid(format!("a decimal aggregate cannot have type {other}"))),
    }
}

fn decimal_sums(slots: &[u32], sums: &[i128], seen: &[bool], spec: &AggregateSpec) -> Result<ArrayRef> {
    let (precision, scale) = decimal_parts(&spec.output)?;
    let values = slots.iter().map(|s| seen[*s as usize].then(|| sums[*s as usize]));
    fit_decimals(values.collect(), precision, scale, spec.ansi)
}

/// The average with the result's scale, half up as Spark rounds.
fn decimal_averages(slots: &[u32], sums: &[i128], counts: &[i64], spec: &AggregateSpec) -> Result<ArrayRef> {
    let (precision, scale) = decimal_parts(&spec.output)?;
    let (_, input_scale) = decimal_parts(&spec.input)?;
    let factor = 10i128.pow((scale - input_scale).max(0) as u32);
    let average = |s: &u32| {
        let (sum, count) = (sums[*s as usize], i128::from(counts[*s as usize]));
        if count == 0 {
            return None;
        }
        let scaled = sum.saturating_mul(factor);
        let (quotient, rest) = (scaled / count, scaled % count);
        Some(if rest.abs() * 2 >= count {
            quotient + scaled.signum()
        } else {
            quotient
        })
    };
    fit_decimals(slots.iter().map(average).collect(), precision, scale, spec.ansi)
}

fn fit_decimals(values: Vec<Option<i128>>, precision: u8, scale: i8, ansi: bool) -> Result<ArrayRef> {
    let bound = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let mut fitted = Vec::with_capacity(values.len());
    for value in values {
        match value {
            Some(v) if v.abs() >= bound && ansi => {
                return Err(Error::spark(
                    "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION",
                    format!(
                        "[NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION] a sum cannot be represented as Decimal({precision}, {scale})"
                    ),
                ));
            }
            Some(v) if v.abs() >= bound => fitted.push(None),
            other => fitted.push(other),
        }
    }
    let array = PrimitiveArray::<Decimal128Type>::from_iter(fitted).with_precision_and_scale(precision, scale)?;
    Ok(Arc::new(array))
}

fn extremes(slots: &[u32], values: &[Box<[u8]>], converter: &RowConverter, spec: &AggregateSpec) -> Result<ArrayRef> {
    let parser = converter.parser();
    let present: Vec<u32> = slots
        .iter()
        .copied()
        .filter(|s| !values[*s as usize].is_empty())
        .collect();
    let rows = present.iter().map(|s| parser.parse(&values[*s as usize]));
    let found = converter.convert_rows(rows)?.swap_remove(0);
    if present.len() == slots.len() {
        return Ok(found);
    }
    if present.is_empty() {
        return Ok(new_null_array(&spec.output, slots.len()));
    }
    let mut next = 0;
    let positions = slots.iter().map(|s| {
        (!values[*s as usize].is_empty()).then(|| {
            next += 1;
            next - 1
        })
    });
    Ok(arrow::compute::take(&found, &positions.collect::<UInt32Array>(), None)?)
}

/// NaN without the sign that `infinity - infinity` has on some processors and on no JVM.
fn with_one_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}
