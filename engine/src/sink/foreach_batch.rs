//! A function of the user's for each batch.

use arrow::array::RecordBatch;

use super::Sink;
use crate::error::in_full;
use crate::{Error, OutputMode, Result};

type Function = Box<dyn FnMut(u64, &RecordBatch) -> Result<()> + Send>;

/// Calls a function once for every executed batch, also an empty one; after a crash again with the same id and rows.
pub struct ForeachBatchSink {
    function: Function,
}

impl ForeachBatchSink {
    /// A sink that calls `function` with the id and the rows of a batch.
    pub fn new(function: impl FnMut(u64, &RecordBatch) -> Result<()> + Send + 'static) -> ForeachBatchSink {
        ForeachBatchSink {
            function: Box::new(function),
        }
    }
}

impl Sink for ForeachBatchSink {
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, _mode: OutputMode) -> Result<()> {
        (self.function)(batch_id, rows).map_err(|error| {
            Error::spark(
                "FOREACH_BATCH_USER_FUNCTION_ERROR",
                format!(
                    "an error occurred in the user provided function in foreach batch sink: {}",
                    in_full(&error)
                ),
            )
        })
    }

    fn describe(&self) -> String {
        "ForeachBatchSink".to_owned()
    }
}
