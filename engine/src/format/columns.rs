//! Which columns of a schema a reader has to fill.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;

use crate::Result;

/// Columns by their place in a schema. The others come as NULL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Columns {
    /// Every column.
    #[default]
    All,
    /// These alone.
    Only(BTreeSet<usize>),
}

impl Columns {
    /// Whether the column at a place is wanted.
    pub fn contains(&self, index: usize) -> bool {
        match self {
            Columns::All => true,
            Columns::Only(wanted) => wanted.contains(&index),
        }
    }

    /// Columns that are wanted by one at least.
    pub fn any_of(all: &[Columns]) -> Columns {
        let mut wanted = BTreeSet::new();
        for columns in all {
            match columns {
                Columns::All => return Columns::All,
                Columns::Only(some) => wanted.extend(some),
            }
        }
        Columns::Only(wanted)
    }

    /// The wanted places of a schema, in order.
    pub fn of(&self, schema: &SchemaRef) -> Vec<usize> {
        (0..schema.fields().len())
            .filter(|index| self.contains(*index))
            .collect()
    }
}

/// Rows of which only the columns at `kept` were read, with NULL in the others of `schema`.
pub(super) fn widened(columns: Vec<ArrayRef>, kept: &[usize], rows: usize, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut read = kept.iter().zip(columns).peekable();
    let all =
        schema
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| match read.next_if(|(kept, _)| **kept == index) {
                Some((_, column)) => column,
                None => new_null_array(field.data_type(), rows),
            });
    let columns = all.collect();
    let with_rows = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &with_rows,
    )?)
}
