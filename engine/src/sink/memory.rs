//! A table in memory that can be asked while the query runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::Sink;
use crate::{OutputMode, Result};

/// The rows a query has put out so far. Clones share them.
#[derive(Debug, Clone)]
pub struct MemoryTable {
    schema: SchemaRef,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    batches: Vec<RecordBatch>,
    last_batch_id: Option<u64>,
}

impl MemoryTable {
    /// An empty table.
    pub fn new(schema: SchemaRef) -> MemoryTable {
        MemoryTable {
            schema,
            state: Arc::default(),
        }
    }

    /// The columns of the table.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows at this moment, a batch after the other.
    pub fn batches(&self) -> Vec<RecordBatch> {
        self.state().batches.clone()
    }

    /// The rows at this moment.
    ///
    /// # Errors
    /// More text than one Arrow array holds.
    pub fn rows(&self) -> Result<RecordBatch> {
        Ok(concat_batches(&self.schema, &self.batches())?)
    }

    /// A sink that fills the table.
    pub fn sink(&self) -> MemorySink {
        MemorySink { table: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills a [`MemoryTable`]: append and update add rows, complete replaces them; a batch it has is ignored.
#[derive(Debug)]
pub struct MemorySink {
    table: MemoryTable,
}

impl Sink for MemorySink {
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, mode: OutputMode) -> Result<()> {
        let mut state = self.table.state();
        if state.last_batch_id.is_some_and(|last| batch_id <= last) {
            return Ok(());
        }
        if mode == OutputMode::Complete {
            state.batches.clear();
        }
        if rows.num_rows() > 0 {
            state
                .batches
                .push(rows.clone().with_schema(Arc::clone(&self.table.schema))?);
        }
        state.last_batch_id = Some(batch_id);
        Ok(())
    }

    /// The table starts empty; only complete mode makes it whole again.
    fn resumes(&self, mode: OutputMode) -> bool {
        mode == OutputMode::Complete
    }

    /// The table has the query's name.
    fn needs_name(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        "MemorySink".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn rows(values: &[i32]) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    #[test]
    fn append_adds_complete_replaces_and_a_batch_counts_once() {
        for (mode, wanted) in [
            (OutputMode::Append, vec![1, 2, 3]),
            (OutputMode::Update, vec![1, 2, 3]),
            (OutputMode::Complete, vec![2, 3]),
        ] {
            let table = MemoryTable::new(rows(&[]).schema());
            let mut sink = table.sink();
            sink.write(0, &rows(&[1]), mode).unwrap();
            sink.write(1, &rows(&[2, 3]), mode).unwrap();
            sink.write(1, &rows(&[9]), mode).unwrap();
            let got = table.rows().unwrap();
            assert_eq!(
                got.column(0).as_primitive::<Int32Type>().values(),
                wanted.as_slice(),
                "{mode:?}"
            );
        }
    }
}
