//! ORDER BY and LIMIT over a complete result.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch};
use datafusion::physical_expr::PhysicalExpr;

use crate::Result;

/// The order of a complete result.
#[derive(Debug)]
pub(crate) struct Sort {
    /// What is ordered by, first key first.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, SortOptions)>,
    /// Whether Spark looks at a sample of the rows first, for which it runs what is below once more.
    pub samples: bool,
}

impl Sort {
    /// All rows in order, as one batch.
    pub(crate) fn run(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let Some(first) = rows.first() else { return Ok(rows) };
        let rows = concat_batches(&first.schema(), &rows)?;
        let columns = self.keys.iter().map(|(key, options)| {
            let values = key.evaluate(&rows)?.into_array(rows.num_rows())?;
            Ok(SortColumn {
                values,
                options: Some(*options),
            })
        });
        let order = lexsort_to_indices(&columns.collect::<Result<Vec<_>>>()?, None)?;
        Ok(vec![take_record_batch(&rows, &order)?])
    }
}

/// LIMIT and OFFSET of a complete result.
#[derive(Debug)]
pub(crate) struct Slice {
    pub skip: usize,
    pub fetch: Option<usize>,
}

impl Slice {
    /// The rows of the part.
    pub(crate) fn run(&self, rows: Vec<RecordBatch>) -> Vec<RecordBatch> {
        let (mut skip, mut fetch) = (self.skip, self.fetch.unwrap_or(usize::MAX));
        let cut = |batch: RecordBatch| {
            let start = skip.min(batch.num_rows());
            let length = fetch.min(batch.num_rows() - start);
            skip -= start;
            fetch -= length;
            batch.slice(start, length)
        };
        rows.into_iter().map(cut).collect()
    }
}
