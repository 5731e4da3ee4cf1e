//! Rows with hidden columns: the batch in which each became available, and the rows of the trace it was made of.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type, SchemaRef, TimestampMicrosecondType};
use skirl_engine::Result;

/// The batch a row waits for in vain.
pub(super) const NEVER: u32 = u32::MAX;

/// A parent of a row is a row of the ledger or, with this bit, a group of an aggregation.
pub(super) const GROUP: u32 = 1 << 31;

/// No parent, where branches of a union have fewer than others.
const NOBODY: u32 = u32::MAX;

/// Rows in the order of the batches in which they became available.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub columns: Vec<ArrayRef>,
    pub available: Vec<u32>,
    pub lineage: Lineage,
}

/// For each row, the rows of the ledger (or groups) it was made of: `width` of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lineage {
    pub width: usize,
    pub parents: Vec<u32>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.available.len()
    }

    /// The visible columns as Arrow rows.
    pub fn rows(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        rows_of(schema, self.columns.clone(), self.len())
    }

    /// The positions of each batch's rows.
    pub fn batches(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let batch = *self.available.get(start)?;
            let end = start + self.available[start..].partition_point(|b| *b <= batch);
            let range = start..end;
            start = end;
            Some((batch, range))
        })
    }

    /// The positions of one batch's rows.
    pub fn of_batch(&self, batch: u32) -> Range<usize> {
        self.available.partition_point(|b| *b < batch)..self.available.partition_point(|b| *b <= batch)
    }

    /// Forgets the rows of `batch` and of later ones.
    pub fn cut(&mut self, batch: u32) {
        let len = self.available.partition_point(|b| *b < batch);
        for column in &mut self.columns {
            *column = column.slice(0, len);
        }
        self.available.truncate(len);
        self.lineage.parents.truncate(len * self.lineage.width);
    }

    /// The rows at these positions, in this order.
    pub fn at(&self, positions: &[u32]) -> Result<Table> {
        Ok(Table {
            columns: take_columns(&self.columns, positions)?,
            available: positions.iter().map(|p| self.available[*p as usize]).collect(),
            lineage: self.lineage.at(positions),
        })
    }

    /// The rows for which `kept` is true.
    pub fn keep(self, kept: &BooleanArray) -> Result<Table> {
        if kept.true_count() == self.len() {
            return Ok(self);
        }
        let is_kept = |p: &u32| kept.is_valid(*p as usize) && kept.value(*p as usize);
        let positions: Vec<u32> = (0..self.len() as u32).filter(is_kept).collect();
        self.at(&positions)
    }

    /// All rows of several tables with the same columns, in the order of batches.
    pub fn union(tables: Vec<Table>) -> Result<Table> {
        let width = tables.iter().map(|t| t.lineage.width).max().unwrap_or(0);
        let mut columns = vec![];
        for at in 0..tables[0].columns.len() {
            let parts: Vec<&dyn Array> = tables.iter().map(|t| t.columns[at].as_ref()).collect();
            columns.push(concat(&parts)?);
        }
        let mut lineage = Lineage { width, parents: vec![] };
        for table in &tables {
            for row in 0..table.len() {
                let parents = table.lineage.of(row);
                lineage.parents.extend(parents);
                lineage
                    .parents
                    .resize(lineage.parents.len() + width - parents.len(), NOBODY);
            }
        }
        let available: Vec<u32> = tables.iter().flat_map(|t| t.available.iter().copied()).collect();
        let mut order: Vec<u32> = (0..available.len() as u32).collect();
        order.sort_by_key(|p| available[*p as usize]);
        Table {
            columns,
            available,
            lineage,
        }
        .at(&order)
    }
}

impl Lineage {
    /// Each row is its own parent, numbered from `first`.
    pub fn own(rows: Range<u32>) -> Lineage {
        Lineage {
            width: 1,
            parents: rows.collect(),
        }
    }

    /// The parents of a row; may hold fillers, which [`Lineage::parents_of`] leaves out.
    fn of(&self, row: usize) -> &[u32] {
        &self.parents[row * self.width..(row + 1) * self.width]
    }

    pub fn parents_of(&self, row: usize) -> impl Iterator<Item = u32> + '_ {
        self.of(row).iter().copied().filter(|p| *p != NOBODY)
    }

    pub fn at(&self, positions: &[u32]) -> Lineage {
        let parents = positions.iter().flat_map(|p| self.of(*p as usize)).copied().collect();
        Lineage {
            width: self.width,
            parents,
        }
    }

    /// Pairs of rows: the parents of both.
    pub fn pairs(left: &Lineage, right: &Lineage, pairs: &[(u32, u32)]) -> Lineage {
        let parents = pairs
            .iter()
            .flat_map(|(l, r)| left.of(*l as usize).iter().chain(right.of(*r as usize)));
        Lineage {
            width: left.width + right.width,
            parents: parents.copied().collect(),
        }
    }
}

/// Columns as Arrow rows, also when there is no column.
pub(super) fn rows_of(schema: &SchemaRef, columns: Vec<ArrayRef>, len: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(len));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// The values at positions, column by column.
pub(super) fn take_columns(columns: &[ArrayRef], positions: &[u32]) -> Result<Vec<ArrayRef>> {
    let positions = UInt32Array::from(positions.to_vec());
    columns
        .iter()
        .map(|c| Ok(take(c.as_ref(), &positions, None)?))
        .collect()
}

/// Event times in microseconds: a timestamp itself, of a window its end.
pub(super) fn event_times(column: &ArrayRef) -> Vec<Option<i64>> {
    match column.data_type() {
        DataType::Struct(_) => {
            let window = column.as_struct();
            let ends = event_times(window.column(1));
            ends.into_iter()
                .enumerate()
                .map(|(at, end)| end.filter(|_| window.is_valid(at)))
                .collect()
        }
        _ => column.as_primitive::<TimestampMicrosecondType>().iter().collect(),
    }
}

/// Values as keys: `-0.0` is `0.0` and all NaN are one.
pub(super) fn normalised(column: ArrayRef) -> ArrayRef {
    use arrow::array::{Float32Array, Float64Array, ListArray, StructArray};
    use std::sync::Arc;
    match column.data_type() {
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            let values: Float64Array = column.as_primitive::<Float64Type>().unary(one);
            Arc::new(values)
        }
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            let values: Float32Array = column.as_primitive::<Float32Type>().unary(one);
            Arc::new(values)
        }
        DataType::Struct(fields) if has_floats(fields) => {
            let parts = column.as_struct();
            let columns = parts.columns().iter().cloned().map(normalised).collect();
            Arc::new(StructArray::new(fields.clone(), columns, parts.nulls().cloned()))
        }
        DataType::List(element) if is_float(element) => {
            let list = column.as_list::<i32>();
            let elements = normalised(list.values().clone());
            Arc::new(ListArray::new(
                element.clone(),
                list.offsets().clone(),
                elements,
                list.nulls().cloned(),
            ))
        }
        _ => column,
    }
}

fn has_floats(fields: &Fields) -> bool {
    fields.iter().any(|field| is_float(field))
}

/// Whether values of a field are floats or hold some.
fn is_float(field: &Field) -> bool {
    match field.data_type() {
        DataType::Float32 | DataType::Float64 => true,
        DataType::Struct(fields) => has_floats(fields),
        DataType::List(element) => is_float(element),
        _ => false,
    }
}
