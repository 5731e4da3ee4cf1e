//! LIMIT over a stream: so many rows in the life of the query (spark-semantics 8.4).

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::OperatorProgress;
use crate::{Error, Result};

/// Passes the first rows and remembers how many.
#[derive(Debug)]
pub(crate) struct Limit {
    limit: u64,
    passed: u64,
}

impl Limit {
    /// A limit that has passed nothing yet.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, passed: 0 }
    }

    /// The rows that still fit.
    pub(crate) fn run(&mut self, rows: Vec<RecordBatch>) -> Vec<RecordBatch> {
        let mut kept = Vec::new();
        for batch in rows {
            let fits = batch.num_rows().min((self.limit - self.passed) as usize);
            self.passed += fits as u64;
            kept.push(batch.slice(0, fits));
        }
        kept
    }

    /// One state row, once a row has passed.
    pub(crate) fn progress(&self) -> OperatorProgress {
        OperatorProgress {
            state_rows: u64::from(self.passed > 0),
            dropped: 0,
        }
    }

    /// The counter.
    pub(crate) fn snapshot(&self) -> Result<RecordBatch> {
        let schema = Schema::new(vec![Field::new("passed", DataType::Int64, false)]);
        Ok(RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int64Array::from(vec![self.passed as i64]))],
        )?)
    }

    /// Takes back the counter.
    pub(crate) fn restore(&mut self, table: &RecordBatch) -> Result<()> {
        let column = table
            .columns()
            .first()
            .and_then(|c| c.as_primitive_opt::<Int64Type>())
            .filter(|c| c.len() == 1);
        let column =
            column.ok_or_else(|| Error::Invalid("the checkpoint's state does not fit the query's limit".into()))?;
        self.passed = column.value(0) as u64;
        Ok(())
    }
}
