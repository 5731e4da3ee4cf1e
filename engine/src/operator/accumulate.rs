//! Running values of `count`, `sum`, `avg`, `min` and `max`, a column of them per aggregate.
//!
//! The same structure holds the partial values of a batch and those of the state: a slot per group, read without being
//! destroyed, so that a batch costs what it touches. Result types and errors are Spark's (spark-semantics 14).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array, PrimitiveArray,
    UInt32Array, new_null_array,
};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};

use crate::{Error, Result};

/// Which aggregate, over which type, to which type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AggregateSpec {
    pub kind: AggregateKind,
    /// Type of the argument; `Null` for `count(*)`.
    pub input: DataType,
    /// Type of the result.
    pub output: DataType,
    /// Spark's `spark.sql.ansi.enabled`: overflow is an error rather than a wrapped or NULL value.
    pub ansi: bool,
}

/// The aggregates the engine keeps state for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// The running values of one aggregate, a slot per group.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Count(Vec<i64>),
    SumInteger {
        sums: Vec<i64>,
        seen: Vec<bool>,
        spec: AggregateSpec,
    },
    SumFloat {
        sums: Vec<f64>,
        seen: Vec<bool>,
    },
    SumDecimal {
        sums: Vec<i128>,
        seen: Vec<bool>,
        spec: AggregateSpec,
    },
    AvgFloat {
        sums: Vec<f64>,
        counts: Vec<i64>,
    },
    AvgDecimal {
        sums: Vec<i128>,
        counts: Vec<i64>,
        spec: AggregateSpec,
    },
    /// Order-preserving bytes of the extreme value; empty for none.
    Extreme {
        values: Vec<Box<[u8]>>,
        converter: RowConverter,
        spec: AggregateSpec,
    },
    /// The extreme of integers and times.
    ExtremeInteger {
        values: Vec<i64>,
        seen: Vec<bool>,
        spec: AggregateSpec,
    },
}

impl Accumulator {
    /// An accumulator without groups.
    ///
    /// # Errors
    /// `SKIRL_UNSUPPORTED` for a type it cannot hold.
    pub(crate) fn new(spec: &AggregateSpec) -> Result<Self> {
        use AggregateKind::*;
        use DataType::*;
        let spec = spec.clone();
        Ok(match (spec.kind, &spec.input) {
            (Count, _) => Accumulator::Count(vec![]),
            (Sum, Int8 | Int16 | Int32 | Int64) => Accumulator::SumInteger {
                sums: vec![],
                seen: vec![],
                spec,
            },
            (Sum, Float32 | Float64) => Accumulator::SumFloat {
                sums: vec![],
                seen: vec![],
            },
            (Sum, Decimal128(..)) => Accumulator::SumDecimal {
                sums: vec![],
                seen: vec![],
                spec,
            },
            (Avg, Int8 | Int16 | Int32 | Int64 | Float32 | Float64) => Accumulator::AvgFloat {
                sums: vec![],
                counts: vec![],
            },
            (Avg, Decimal128(..)) => Accumulator::AvgDecimal {
                sums: vec![],
                counts: vec![],
                spec,
            },
            (Min | Max, Int8 | Int16 | Int32 | Int64 | Timestamp(..) | Boolean | Date32) => {
                Accumulator::ExtremeInteger {
                    values: vec![],
                    seen: vec![],
                    spec,
                }
            }
            (Min | Max, input) => {
                let converter = RowConverter::new(vec![SortField::new(input.clone())])?;
                Accumulator::Extreme {
                    values: vec![],
                    converter,
                    spec,
                }
            }
            (kind, input) => {
                return Err(Error::unsupported(format!(
                    "{kind:?} over {input} is not supported by Skirl yet"
                )));
            }
        })
    }

    /// Makes room for `slots` groups; new ones are empty.
    pub(crate) fn grow(&mut self, slots: usize) {
        match self {
            Accumulator::Count(counts) => counts.resize(slots, 0),
            Accumulator::SumInteger { sums, seen, .. } => {
                sums.resize(slots, 0);
                seen.resize(slots, false);
            }
            Accumulator::SumFloat { sums, seen } => {
                sums.resize(slots, 0.0);
                seen.resize(slots, false);
            }
            Accumulator::SumDecimal { sums, seen, .. } => {
                sums.resize(slots, 0);
                seen.resize(slots, false);
            }
            Accumulator::AvgFloat { sums, counts } => {
                sums.resize(slots, 0.0);
                counts.resize(slots, 0);
            }
            Accumulator::AvgDecimal { sums, counts, .. } => {
                sums.resize(slots, 0);
                counts.resize(slots, 0);
            }
            Accumulator::Extreme { values, .. } => values.resize(slots, Box::default()),
            Accumulator::ExtremeInteger { values, seen, .. } => {
                values.resize(slots, 0);
                seen.resize(slots, false);
            }
        }
    }

    /// Empties a slot for its next group.
    pub(crate) fn clear(&mut self, slot: usize) {
        match self {
            Accumulator::Count(counts) => counts[slot] = 0,
            Accumulator::SumInteger { sums, seen, .. } => (sums[slot], seen[slot]) = (0, false),
            Accumulator::SumFloat { sums, seen } => (sums[slot], seen[slot]) = (0.0, false),
            Accumulator::SumDecimal { sums, seen, .. } => (sums[slot], seen[slot]) = (0, false),
            Accumulator::AvgFloat { sums, counts } => (sums[slot], counts[slot]) = (0.0, 0),
            Accumulator::AvgDecimal { sums, counts, .. } => (sums[slot], counts[slot]) = (0, 0),
            Accumulator::Extreme { values, .. } => values[slot] = Box::default(),
            Accumulator::ExtremeInteger { seen, .. } => seen[slot] = false,
        }
    }

    /// Adds rows: row `i` belongs to group `ids[i]`. `values` is `None` for `count(*)`.
    ///
    /// # Errors
    /// `ARITHMETIC_OVERFLOW` as Spark raises it.
    pub(crate) fn update(&mut self, ids: &[u32], values: Option<&ArrayRef>) -> Result<()> {
        match self {
            Accumulator::Count(counts) => count_rows(counts, ids, values),
            Accumulator::SumInteger { sums, seen, spec } => {
                let mut overflow = false;
                each_integer(ids, argument(values)?, |id, value| {
                    let (sum, over) = sums[id].overflowing_add(value);
                    overflow |= over;
                    sums[id] = sum;
                    seen[id] = true;
                })?;
                overflowed(overflow && spec.ansi)?;
            }
            Accumulator::SumFloat { sums, seen } => {
                each_float(ids, argument(values)?, |id, value| {
                    sums[id] += value;
                    seen[id] = true;
                })?;
            }
            Accumulator::SumDecimal { sums, seen, .. } => {
                let mut overflow = false;
                for_each(ids, argument(values)?.as_primitive::<Decimal128Type>(), |id, value| {
                    let (sum, over) = sums[id].overflowing_add(value);
                    overflow |= over;
                    sums[id] = sum;
                    seen[id] = true;
                });
                overflowed(overflow)?;
            }
            Accumulator::AvgFloat { sums, counts } => {
                each_float(ids, argument(values)?, |id, value| {
                    sums[id] += value;
                    counts[id] += 1;
                })?;
            }
            Accumulator::AvgDecimal { sums, counts, .. } => {
                for_each(ids, argument(values)?.as_primitive::<Decimal128Type>(), |id, value| {
                    sums[id] = sums[id].wrapping_add(value);
                    counts[id] += 1;
                });
            }
            Accumulator::Extreme {
                values: extremes,
                converter,
                spec,
            } => {
                let values = argument(values)?;
                let rows = converter.convert_columns(std::slice::from_ref(values))?;
                let max = spec.kind == AggregateKind::Max;
                for (row, id) in ids.iter().enumerate().filter(|(row, _)| values.is_valid(*row)) {
                    keep_extreme(&mut extremes[*id as usize], rows.row(row).as_ref(), max);
                }
            }
            Accumulator::ExtremeInteger {
                values: extremes,
                seen,
                spec,
            } => {
                let max = spec.kind == AggregateKind::Max;
                each_integer(ids, argument(values)?, |id, value| {
                    keep_integer(&mut extremes[id], &mut seen[id], value, max);
                })?;
            }
        }
        Ok(())
    }

    /// Adds another accumulator's groups: its group `from` to this one's slot `to`, in the order given.
    ///
    /// # Errors
    /// `ARITHMETIC_OVERFLOW` as Spark raises it.
    pub(crate) fn merge(&mut self, other: &Accumulator, pairs: &[(u32, u32)]) -> Result<()> {
        use Accumulator::*;
        let pairs = pairs.iter().map(|(from, to)| (*from as usize, *to as usize));
        match (self, other) {
            (Count(counts), Count(more)) => pairs.for_each(|(from, to)| counts[to] += more[from]),
            (
                SumInteger { sums, seen, spec },
                SumInteger {
                    sums: more,
                    seen: more_seen,
                    ..
                },
            ) => {
                let mut overflow = false;
                for (from, to) in pairs.filter(|(from, _)| more_seen[*from]) {
                    let (sum, over) = sums[to].overflowing_add(more[from]);
                    overflow |= over;
                    (sums[to], seen[to]) = (sum, true);
                }
                overflowed(overflow && spec.ansi)?;
            }
            (
                SumFloat { sums, seen },
                SumFloat {
                    sums: more,
                    seen: more_seen,
                },
            ) => {
                for (from, to) in pairs.filter(|(from, _)| more_seen[*from]) {
                    (sums[to], seen[to]) = (sums[to] + more[from], true);
                }
            }
            (
                SumDecimal { sums, seen, .. },
                SumDecimal {
                    sums: more,
                    seen: more_seen,
                    ..
                },
            ) => {
                for (from, to) in pairs.filter(|(from, _)| more_seen[*from]) {
                    let (sum, over) = sums[to].overflowing_add(more[from]);
                    overflowed(over)?;
                    (sums[to], seen[to]) = (sum, true);
                }
            }
            (
                AvgFloat { sums, counts },
                AvgFloat {
                    sums: more,
                    counts: more_counts,
                },
            ) => {
                for (from, to) in pairs.filter(|(from, _)| more_counts[*from] > 0) {
                    sums[to] += more[from];
                    counts[to] += more_counts[from];
                }
            }
            (
                AvgDecimal { sums, counts, .. },
                AvgDecimal {
                    sums: more,
                    counts: more_counts,
                    ..
                },
            ) => {
                for (from, to) in pairs {
                    sums[to] = sums[to].wrapping_add(more[from]);
                    counts[to] += more_counts[from];
                }
            }
            (Extreme { values, spec, .. }, Extreme { values: more, .. }) => {
                let max = spec.kind == AggregateKind::Max;
                for (from, to) in pairs.filter(|(from, _)| !more[*from].is_empty()) {
                    keep_extreme(&mut values[to], &more[from], max);
                }
            }
            (
                ExtremeInteger { values, seen, spec },
                ExtremeInteger {
                    values: more,
                    seen: more_seen,
                    ..
                },
            ) => {
                let max = spec.kind == AggregateKind::Max;
                for (from, to) in pairs.filter(|(from, _)| more_seen[*from]) {
                    keep_integer(&mut values[to], &mut seen[to], more[from], max);
                }
            }
            _ => unreachable!("both sides are accumulators of one aggregate"),
        }
        Ok(())
    }

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

    /// The running values of some groups, for a snapshot; [`Accumulator::restore`] takes them back.
    pub(crate) fn snapshot(&self, slots: &[u32]) -> Vec<ArrayRef> {
        use Accumulator::*;
        let ints =
            |v: &[i64]| -> ArrayRef { Arc::new(Int64Array::from_iter_values(slots.iter().map(|s| v[*s as usize]))) };
        let floats =
            |v: &[f64]| -> ArrayRef { Arc::new(Float64Array::from_iter_values(slots.iter().map(|s| v[*s as usize]))) };
        let bools =
            |v: &[bool]| -> ArrayRef { Arc::new(BooleanArray::from_iter(slots.iter().map(|s| Some(v[*s as usize])))) };
        let wide = |v: &[i128]| -> ArrayRef {
            Arc::new(BinaryArray::from_iter_values(
                slots.iter().map(|s| v[*s as usize].to_le_bytes()),
            ))
        };
        match self {
            Count(counts) => vec![ints(counts)],
            SumInteger { sums, seen, .. } | ExtremeInteger { values: sums, seen, .. } => vec![ints(sums), bools(seen)],
            SumFloat { sums, seen } => vec![floats(sums), bools(seen)],
            SumDecimal { sums, seen, .. } => vec![wide(sums), bools(seen)],
            AvgFloat { sums, counts } => vec![floats(sums), ints(counts)],
            AvgDecimal { sums, counts, .. } => vec![wide(sums), ints(counts)],
            Extreme { values, .. } => {
                vec![Arc::new(BinaryArray::from_iter_values(
                    slots.iter().map(|s| &values[*s as usize]),
                ))]
            }
        }
    }

    /// How many columns [`Accumulator::snapshot`] has.
    pub(crate) fn snapshot_width(&self) -> usize {
        match self {
            Accumulator::Count(_) | Accumulator::Extreme { .. } => 1,
            _ => 2,
        }
    }

    /// Takes the columns of a snapshot as slots `0..rows`.
    ///
    /// # Errors
    /// A snapshot of another shape.
    pub(crate) fn restore(&mut self, columns: &[ArrayRef]) -> Result<()> {
        use Accumulator::*;
        let foreign = || Error::Invalid("the checkpoint's state does not fit the query".into());
        let ints = |i: usize| -> Result<Vec<i64>> {
            let column = columns
                .get(i)
                .and_then(|c| c.as_primitive_opt::<Int64Type>())
                .ok_or_else(foreign)?;
            Ok(column.values().to_vec())
        };
        let floats = |i: usize| -> Result<Vec<f64>> {
            let column = columns
                .get(i)
                .and_then(|c| c.as_primitive_opt::<Float64Type>())
                .ok_or_else(foreign)?;
            Ok(column.values().to_vec())
        };
        let bools = |i: usize| -> Result<Vec<bool>> {
            let column = columns.get(i).and_then(|c| c.as_boolean_opt()).ok_or_else(foreign)?;
            Ok(column.values().iter().collect())
        };
        let bytes = |i: usize| -> Result<Vec<Box<[u8]>>> {
            let column = columns
                .get(i)
                .and_then(|c| c.as_binary_opt::<i32>())
                .ok_or_else(foreign)?;
            Ok((0..column.len()).map(|row| column.value(row).into()).collect())
        };
        let wide = |i: usize| -> Result<Vec<i128>> {
            let decode = |b: Box<[u8]>| b.as_ref().try_into().map(i128::from_le_bytes).map_err(|_| foreign());
            bytes(i)?.into_iter().map(decode).collect()
        };
        match self {
            Count(counts) => *counts = ints(0)?,
            SumInteger { sums, seen, .. } | ExtremeInteger { values: sums, seen, .. } => {
                (*sums, *seen) = (ints(0)?, bools(1)?);
            }
            SumFloat { sums, seen } => (*sums, *seen) = (floats(0)?, bools(1)?),
            SumDecimal { sums, seen, .. } => (*sums, *seen) = (wide(0)?, bools(1)?),
            AvgFloat { sums, counts } => (*sums, *counts) = (floats(0)?, ints(1)?),
            AvgDecimal { sums, counts, .. } => (*sums, *counts) = (wide(0)?, ints(1)?),
            Extreme { values, .. } => *values = bytes(0)?,
        }
        Ok(())
    }
}

/// A column several aggregates may be of.
///
/// Small integers are summed once for all of them: a chunk's sum of 32-bit integers is exact in 64 bits, and exact as a
/// double too, so that `avg`, which Spark computes in doubles, is what adding doubles one by one would have given.
pub(super) struct Argument {
    pub values: ArrayRef,
    sums: Option<Vec<i64>>,
    /// Values that are not NULL per group.
    counts: Vec<i64>,
}

impl Argument {
    /// `values` of rows in groups `ids`; `rows` is how many rows each group has.
    pub(super) fn of(values: ArrayRef, ids: &[u32], rows: &[i64]) -> Result<Argument> {
        let small = matches!(values.data_type(), DataType::Int8 | DataType::Int16 | DataType::Int32);
        let mut counts = rows.to_vec();
        let mut sums = small.then(|| vec![0i64; rows.len()]);
        if let Some(sums) = &mut sums {
            each_integer(ids, &values, |id, value| sums[id] += value)?;
        }
        if values.logical_null_count() > 0 {
            counts.fill(0);
            count_rows(&mut counts, ids, Some(&values));
        }
        Ok(Argument { values, sums, counts })
    }

    /// The aggregate of each group, if counts and sums are all it needs.
    pub(super) fn accumulator(&self, spec: &AggregateSpec) -> Option<Accumulator> {
        let counts = || self.counts.clone();
        match (spec.kind, &self.sums) {
            (AggregateKind::Count, _) => Some(Accumulator::Count(counts())),
            (AggregateKind::Sum, Some(sums)) => Some(Accumulator::SumInteger {
                sums: sums.clone(),
                seen: self.counts.iter().map(|count| *count > 0).collect(),
                spec: spec.clone(),
            }),
            (AggregateKind::Avg, Some(sums)) => Some(Accumulator::AvgFloat {
                sums: sums.iter().map(|sum| *sum as f64).collect(),
                counts: counts(),
            }),
            _ => None,
        }
    }
}

fn argument(values: Option<&ArrayRef>) -> Result<&ArrayRef> {
    values.ok_or_else(|| Error::Invalid("this aggregate needs an argument".into()))
}

fn overflowed(overflow: bool) -> Result<()> {
    if overflow {
        return Err(Error::spark(
            "ARITHMETIC_OVERFLOW",
            "[ARITHMETIC_OVERFLOW] long overflow. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass this \
             error. SQLSTATE: 22003",
        ));
    }
    Ok(())
}

fn count_rows(counts: &mut [i64], ids: &[u32], values: Option<&ArrayRef>) {
    match values.and_then(|v| v.logical_nulls()) {
        Some(nulls) => {
            for (id, valid) in ids.iter().zip(nulls.iter()) {
                counts[*id as usize] += i64::from(valid);
            }
        }
        None => ids.iter().for_each(|id| counts[*id as usize] += 1),
    }
}

/// Calls `f` with the group and value of each row that is not NULL.
#[inline]
fn for_each<T: ArrowPrimitiveType>(ids: &[u32], values: &PrimitiveArray<T>, mut f: impl FnMut(usize, T::Native)) {
    match values.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => ids
            .iter()
            .zip(values.values())
            .for_each(|(id, value)| f(*id as usize, *value)),
        Some(nulls) => {
            for row in nulls.valid_indices() {
                f(ids[row] as usize, values.value(row));
            }
        }
    }
}

fn keep_extreme(kept: &mut Box<[u8]>, value: &[u8], max: bool) {
    let better = kept.is_empty()
        || if max {
            value > kept.as_ref()
        } else {
            value < kept.as_ref()
        };
    if better {
        *kept = value.into();
    }
}

fn keep_integer(kept: &mut i64, seen: &mut bool, value: i64, max: bool) {
    if !*seen || if max { value > *kept } else { value < *kept } {
        (*kept, *seen) = (value, true);
    }
}

/// Calls `f` with the group and value of each row that is not NULL: integers, booleans, dates and times as 64-bit
/// integers of the same order, converted on the way.
fn each_integer(ids: &[u32], values: &ArrayRef, mut f: impl FnMut(usize, i64)) -> Result<()> {
    match values.data_type() {
        DataType::Int8 => for_each(ids, values.as_primitive::<Int8Type>(), |id, v| f(id, i64::from(v))),
        DataType::Int16 => for_each(ids, values.as_primitive::<Int16Type>(), |id, v| f(id, i64::from(v))),
        DataType::Int32 => for_each(ids, values.as_primitive::<Int32Type>(), |id, v| f(id, i64::from(v))),
        DataType::Int64 => for_each(ids, values.as_primitive::<Int64Type>(), f),
        DataType::Date32 => for_each(ids, values.as_primitive::<Date32Type>(), |id, v| f(id, i64::from(v))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            for_each(ids, values.as_primitive::<TimestampMicrosecondType>(), f);
        }
        _ => for_each(ids, cast(values, &DataType::Int64)?.as_primitive::<Int64Type>(), f),
    }
    Ok(())
}

/// Calls `f` with the group and value of each row that is not NULL: numbers as doubles, converted on the way.
fn each_float(ids: &[u32], values: &ArrayRef, mut f: impl FnMut(usize, f64)) -> Result<()> {
    match values.data_type() {
        DataType::Float64 => for_each(ids, values.as_primitive::<Float64Type>(), f),
        DataType::Float32 => for_each(ids, values.as_primitive::<Float32Type>(), |id, v| f(id, f64::from(v))),
        _ => each_integer(ids, values, |id, v| f(id, v as f64))?,
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn sums_of_integers_are_long_and_null_without_values() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(i32::MAX)]));
        let results = run(AggregateKind::Sum, &values, DataType::Int64, &[0, 1, 0]).unwrap();
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(1 + i64::from(i32::MAX)), None]));
        assert_eq!(&results, &expected);
    }

    #[test]
    fn a_long_sum_that_overflows_is_an_error() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        let error = run(AggregateKind::Sum, &values, DataType::Int64, &[0, 0]).unwrap_err();
        assert_eq!(error.condition(), Some("ARITHMETIC_OVERFLOW"));
    }

    #[test]
    fn extremes_of_strings_ignore_nulls() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("b"), None, Some("a")]));
        let results = run(AggregateKind::Min, &values, DataType::Utf8, &[0, 1, 0]).unwrap();
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        assert_eq!(&results, &expected);
    }

    #[test]
    fn decimal_averages_round_half_up() {
        let values: ArrayRef = Arc::new(
            PrimitiveArray::<Decimal128Type>::from(vec![1, 0])
                .with_precision_and_scale(4, 0)
                .unwrap(),
        );
        let results = run(AggregateKind::Avg, &values, DataType::Decimal128(8, 0), &[0, 0]).unwrap();
        assert_eq!(results.as_primitive::<Decimal128Type>().value(0), 1);
    }

    #[test]
    fn a_snapshot_restores_what_it_took() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(4), None, Some(2)]));
        for kind in [
            AggregateKind::Count,
            AggregateKind::Sum,
            AggregateKind::Avg,
            AggregateKind::Min,
        ] {
            let output = if kind == AggregateKind::Avg {
                DataType::Float64
            } else {
                DataType::Int64
            };
            let spec = AggregateSpec {
                kind,
                input: DataType::Int32,
                output,
                ansi: true,
            };
            let mut accumulator = Accumulator::new(&spec).unwrap();
            accumulator.grow(2);
            accumulator.update(&[0, 1, 0], Some(&values)).unwrap();
            let mut restored = Accumulator::new(&spec).unwrap();
            restored.restore(&accumulator.snapshot(&[1, 0])).unwrap();
            assert_eq!(
                &restored.results(&[1, 0]).unwrap(),
                &accumulator.results(&[0, 1]).unwrap(),
                "{kind:?}"
            );
        }
    }

    fn run(kind: AggregateKind, values: &ArrayRef, output: DataType, ids: &[u32]) -> Result<ArrayRef> {
        let spec = AggregateSpec {
            kind,
            input: values.data_type().clone(),
            output,
            ansi: true,
        };
        let mut accumulator = Accumulator::new(&spec)?;
        accumulator.grow(2);
        accumulator.update(ids, Some(values))?;
        let slots: &[u32] = if ids.contains(&1) { &[0, 1] } else { &[0] };
        accumulator.results(slots)
    }
}
