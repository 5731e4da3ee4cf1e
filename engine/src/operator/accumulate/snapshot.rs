//! Running values as columns of a snapshot, and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{ArrowPrimitiveType, Float64Type, Int64Type};

use super::Accumulator;
use crate::{Error, Result};

impl Accumulator {
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
        let ints = |i: usize| numbers::<Int64Type>(columns, i).ok_or_else(foreign);
        let floats = |i: usize| numbers::<Float64Type>(columns, i).ok_or_else(foreign);
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

/// The values of the column of this number, if it has this type.
fn numbers<T: ArrowPrimitiveType>(columns: &[ArrayRef], column: usize) -> Option<Vec<T::Native>> {
    let column = columns.get(column)?.as_primitive_opt::<T>()?;
    Some(column.values().to_vec())
}
