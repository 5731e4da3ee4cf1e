//! A column several aggregates are of, summed and counted once for all of them.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use super::{Accumulator, AggregateKind, AggregateSpec, count_rows, each_integer};
use crate::Result;

/// A column several aggregates may be of.
///
/// Small integers are summed once for all of them: a chunk's sum of 32-bit integers is exact in 64 bits, and exact as a
/// double too, so that `avg`, which Spark computes in doubles, is what adding doubles one by one would have given.
pub struct Argument {
    pub values: ArrayRef,
    sums: Option<Vec<i64>>,
    /// Values that are not NULL per group.
    counts: Vec<i64>,
}

impl Argument {
    /// `values` of rows in groups `ids`; `rows` is how many rows each group has.
    pub fn of(values: ArrayRef, ids: &[u32], rows: &[i64]) -> Result<Argument> {
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
    pub fn accumulator(&self, spec: &AggregateSpec) -> Option<Accumulator> {
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
