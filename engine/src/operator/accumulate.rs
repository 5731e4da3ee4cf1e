//! Running values of `count`, `sum`, `avg`, `min` and `max`, a column of them per aggregate.
//!
//! The same structure holds the partial values of a batch and those of the state: a slot per group, read without being
//! destroyed, so that a batch costs what it touches. Result types and errors are Spark's (spark-semantics 14).

mod argument;
mod result;
mod snapshot;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};

use crate::{Error, Result};

pub(super) use argument::Argument;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, Int64Array, StringArray};

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
