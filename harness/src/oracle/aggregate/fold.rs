//! What a group comes to, row by row, as Spark folds its rows.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DynComparator, Float64Array, Int64Array, UInt32Array,
    make_comparator,
};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use skirl_engine::{Error, Result};

use crate::oracle::step::Call;
use crate::oracle::table::*;

/// One aggregate function on its way through the rows of a group.
///
/// The rows of a batch are folded first and then merged into what was there before, as Spark does: a sum of doubles
/// depends on it, and so does where a sum of integers overflows.
pub(super) struct Fold<'a> {
    filter: Option<&'a BooleanArray>,
    kind: FoldKind<'a>,
}

enum FoldKind<'a> {
    Count {
        args: &'a [ArrayRef],
        count: i64,
        taken: Vec<i64>,
    },
    SumInt {
        values: Int64Array,
        sum: Option<i64>,
        taken: Vec<Option<i64>>,
    },
    SumDouble {
        values: Float64Array,
        sum: Option<f64>,
        taken: Vec<Option<f64>>,
    },
    SumDecimal {
        values: Decimal128Array,
        sum: Option<i128>,
        to: (u8, i8),
        taken: Vec<Option<i128>>,
    },
    AvgDouble {
        values: Float64Array,
        sum: f64,
        count: i64,
        taken: Vec<Option<f64>>,
    },
    AvgDecimal {
        values: Decimal128Array,
        sum: i128,
        count: i64,
        to: (u8, i8),
        taken: Vec<Option<i128>>,
    },
    Extreme {
        values: ArrayRef,
        compare: DynComparator,
        wanted: Ordering,
        best: Option<u32>,
        taken: Vec<Option<u32>>,
    },
}

impl<'a> Fold<'a> {
    pub(super) fn new(call: &Call, args: &'a [ArrayRef], filter: Option<&'a BooleanArray>) -> Result<Self> {
        let kind = match (call.function.as_str(), &call.data_type) {
            ("count", _) => FoldKind::Count {
                args,
                count: 0,
                taken: vec![],
            },
            ("sum", DataType::Int64) => {
                let values = cast(&args[0], &DataType::Int64)?.as_primitive::<Int64Type>().clone();
                FoldKind::SumInt {
                    values,
                    sum: None,
                    taken: vec![],
                }
            }
            ("sum", DataType::Float64) => FoldKind::SumDouble {
                values: doubles(&args[0])?,
                sum: None,
                taken: vec![],
            },
            ("sum", DataType::Decimal128(precision, scale)) => {
                let values = decimals(&args[0], *scale)?;
                FoldKind::SumDecimal {
                    values,
                    sum: None,
                    to: (*precision, *scale),
                    taken: vec![],
                }
            }
            ("avg", DataType::Float64) => FoldKind::AvgDouble {
                values: doubles(&args[0])?,
                sum: 0.0,
                count: 0,
                taken: vec![],
            },
            ("avg", DataType::Decimal128(precision, scale)) => {
                let values = args[0].as_primitive_opt::<Decimal128Type>().cloned();
                let values = values.ok_or_else(|| unknown(call, &args[0]))?;
                FoldKind::AvgDecimal {
                    values,
                    sum: 0,
                    count: 0,
                    to: (*precision, *scale),
                    taken: vec![],
                }
            }
            ("min" | "max", _) => {
                let values = args[0].clone();
                let ordered = normalised(values.clone());
                let compare = make_comparator(&ordered, &ordered, SortOptions::default())?;
                let wanted = if call.function == "min" {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
                FoldKind::Extreme {
                    values,
                    compare,
                    wanted,
                    best: None,
                    taken: vec![],
                }
            }
            _ => {
                return Err(args.first().map_or_else(
                    || unknown(call, &(Arc::new(Int64Array::from(vec![0])) as _)),
                    |a| unknown(call, a),
                ));
            }
        };
        Ok(Fold { filter, kind })
    }

    pub(super) fn restart(&mut self) {
        match &mut self.kind {
            FoldKind::Count { count, .. } => *count = 0,
            FoldKind::SumInt { sum, .. } => *sum = None,
            FoldKind::SumDouble { sum, .. } => *sum = None,
            FoldKind::SumDecimal { sum, .. } => *sum = None,
            FoldKind::AvgDouble { sum, count, .. } => (*sum, *count) = (0.0, 0),
            FoldKind::AvgDecimal { sum, count, .. } => (*sum, *count) = (0, 0),
            FoldKind::Extreme { best, .. } => *best = None,
        }
    }

    /// Takes in a batch's rows of the group.
    pub(super) fn add_batch(&mut self, rows: &[u32], ansi: bool) -> Result<()> {
        let filter = self.filter;
        let is_in = move |row: &usize| filter.is_none_or(|f| f.is_valid(*row) && f.value(*row));
        let rows = rows.iter().map(|row| *row as usize).filter(is_in);
        match &mut self.kind {
            FoldKind::Count { args, count, .. } => {
                let is_present = |row: &usize| {
                    args.iter()
                        .all(|a| a.data_type() != &DataType::Null && a.is_valid(*row))
                };
                *count += rows.filter(is_present).count() as i64;
            }
            FoldKind::SumInt { values, sum, .. } => {
                let mut partial = None;
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    partial = Some(added(partial.unwrap_or(0), value, ansi)?);
                }
                if let Some(partial) = partial {
                    *sum = Some(added(sum.unwrap_or(0), partial, ansi)?);
                }
            }
            FoldKind::SumDouble { values, sum, .. } => {
                let partial = rows
                    .filter(|row| values.is_valid(*row))
                    .map(|row| values.value(row))
                    .reduce(|a, b| a + b);
                if let Some(partial) = partial {
                    *sum = Some(sum.map_or(partial, |sum| sum + partial));
                }
            }
            FoldKind::SumDecimal { values, sum, .. } => {
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    *sum = Some(sum.unwrap_or(0).saturating_add(value));
                }
            }
            FoldKind::AvgDouble { values, sum, count, .. } => {
                let mut partial = 0.0;
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    partial += value;
                    *count += 1;
                }
                *sum += partial;
            }
            FoldKind::AvgDecimal { values, sum, count, .. } => {
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    *sum = sum.saturating_add(value);
                    *count += 1;
                }
            }
            FoldKind::Extreme {
                values,
                compare,
                wanted,
                best,
                ..
            } => {
                for row in rows.filter(|row| values.is_valid(*row)) {
                    if best.is_none_or(|best| compare(row, best as usize) == *wanted) {
                        *best = Some(row as u32);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes down the value as it is now.
    pub(super) fn snapshot(&mut self, ansi: bool) -> Result<()> {
        match &mut self.kind {
            FoldKind::Count { count, taken, .. } => taken.push(*count),
            FoldKind::SumInt { sum, taken, .. } => taken.push(*sum),
            FoldKind::SumDouble { sum, taken, .. } => taken.push(sum.map(largest_if_nan)),
            FoldKind::SumDecimal { sum, to, taken, .. } => {
                let fits = sum.is_none_or(|sum| sum.unsigned_abs() < 10u128.pow(to.0.into()));
                taken.push(sum.filter(|_| fits));
                if !fits && ansi {
                    return Err(overflow());
                }
            }
            FoldKind::AvgDouble { sum, count, taken, .. } => {
                taken.push((*count > 0).then(|| largest_if_nan(*sum / *count as f64)));
            }
            FoldKind::AvgDecimal {
                values,
                sum,
                count,
                to,
                taken,
            } => {
                let shift = 10i128.pow((to.1 - values.scale()).max(0) as u32);
                taken.push((*count > 0).then(|| rounded_half_up(sum.saturating_mul(shift), i128::from(*count))));
            }
            FoldKind::Extreme { best, taken, .. } => taken.push(*best),
        }
        Ok(())
    }

    /// All values written down.
    pub(super) fn column(self) -> Result<ArrayRef> {
        let decimals = |taken: Vec<Option<i128>>, (precision, scale): (u8, i8)| -> Result<ArrayRef> {
            Ok(Arc::new(
                Decimal128Array::from(taken).with_precision_and_scale(precision, scale)?,
            ))
        };
        match self.kind {
            FoldKind::Count { taken, .. } => Ok(Arc::new(Int64Array::from(taken))),
            FoldKind::SumInt { taken, .. } => Ok(Arc::new(Int64Array::from(taken))),
            FoldKind::SumDouble { taken, .. } | FoldKind::AvgDouble { taken, .. } => {
                Ok(Arc::new(Float64Array::from(taken)))
            }
            FoldKind::SumDecimal { taken, to, .. } | FoldKind::AvgDecimal { taken, to, .. } => decimals(taken, to),
            FoldKind::Extreme { values, taken, .. } => Ok(take(values.as_ref(), &UInt32Array::from(taken), None)?),
        }
    }
}

fn added(a: i64, b: i64, ansi: bool) -> Result<i64> {
    match ansi {
        true => a.checked_add(b).ok_or_else(overflow),
        false => Ok(a.wrapping_add(b)),
    }
}

/// NaN of either sign as the one that is larger than all numbers.
fn largest_if_nan(value: f64) -> f64 {
    match value.is_nan() {
        true => f64::NAN,
        false => value,
    }
}

fn rounded_half_up(numerator: i128, count: i128) -> i128 {
    let (quotient, rest) = (numerator / count, numerator % count);
    if rest.unsigned_abs() * 2 >= count.unsigned_abs() {
        quotient + numerator.signum()
    } else {
        quotient
    }
}

fn doubles(values: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn decimals(values: &ArrayRef, scale: i8) -> Result<Decimal128Array> {
    Ok(cast(values, &DataType::Decimal128(38, scale))?
        .as_primitive::<Decimal128Type>()
        .clone())
}

fn overflow() -> Error {
    Error::spark(
        "ARITHMETIC_OVERFLOW",
        "[ARITHMETIC_OVERFLOW] long overflow in a sum. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass \
         this error",
    )
}

fn unknown(call: &Call, arg: &ArrayRef) -> Error {
    Error::unsupported(format!(
        "`{}` of {} is not supported on streams yet",
        call.function,
        arg.data_type()
    ))
}
