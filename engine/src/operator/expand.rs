//! Grouping sets: each row once for every set.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;

use super::step::with_schema;
use crate::Result;

/// Rows for ROLLUP, CUBE and GROUPING SETS.
#[derive(Debug)]
pub(crate) struct Expand {
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// For each set, the positions of its keys.
    pub sets: Vec<Vec<usize>>,
    /// For each set, its grouping id.
    pub ids: Vec<i64>,
    /// Input columns, keys, grouping id, position of the set.
    pub schema: SchemaRef,
}

impl Expand {
    /// The rows of all sets, set after set.
    pub(super) fn expand(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let keys = self
            .keys
            .iter()
            .map(|key| Ok(key.evaluate(rows)?.into_array(rows.num_rows())?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let of_set = |set: usize| {
            let key = |(number, key): (usize, &ArrayRef)| match self.sets[set].contains(&number) {
                true => Arc::clone(key),
                false => new_null_array(key.data_type(), key.len()),
            };
            let repeated = |value: i64| -> ArrayRef { Arc::new(Int64Array::from_value(value, rows.num_rows())) };
            let mut columns = rows.columns().to_vec();
            columns.extend(keys.iter().enumerate().map(key));
            columns.extend([repeated(self.ids[set]), repeated(set as i64)]);
            with_schema(columns, &self.schema, rows.num_rows())
        };
        let sets = (0..self.sets.len()).map(of_set).collect::<Result<Vec<_>>>()?;
        Ok(concat_batches(&self.schema, &sets)?)
    }
}
