//! From the rows of a trace to the rows of each batch, relation by relation.
//!
//! Every relation is derived as one table for all batches at once: the batch is a hidden column. Only the watermark
//! ties batches together. It is known before the rest wherever it stands on stateless relations only; elsewhere, and
//! where the time of a batch decides, everything is derived anew after each batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat, lexsort_to_indices, take};
use arrow::datatypes::{DataType, SchemaRef};
use skirl_engine::{Error, OutputMode, Result};

use super::ledger::Ledger;
use super::scalar::Scalar;
use super::schedule::Schedule;
use super::step::*;
use super::table::*;
use super::tree::Sizes;
use super::window;
use super::{Oracle, aggregate, join};
use crate::trace::Trace;

/// What a derivation works on and what it finds out.
pub(super) struct Derivation<'a> {
    pub oracle: &'a Oracle,
    pub ledger: Ledger,
    pub schedule: Schedule,
    /// The columns of each stream, all micro-batches in one.
    streams: Vec<Option<StreamRows>>,
    /// The first batch that fails, and why.
    pub failure: Option<(u32, Error)>,
    /// What each watermark saw: by batch, the latest event time in milliseconds.
    pub seen: Vec<BTreeMap<u32, i64>>,
    /// Per operator with state: rows in state and rows dropped, per batch.
    pub operators: Vec<Facts>,
    pub groups: Vec<Group>,
    parts: Vec<Option<Table>>,
}

/// What an operator with state did.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub state_rows: Vec<u64>,
    pub dropped: Vec<u64>,
    /// Rows of an operator that evicts by event time whose event time is NULL: none of them ever leaves.
    pub null_times: u64,
}

/// A group of an aggregation and everything that was meant for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    /// The batch and the parents of each row that made it.
    pub members: Vec<(u32, Vec<u32>)>,
    /// The same of rows that came too late for it.
    pub dropped: Vec<(u32, Vec<u32>)>,
}

struct StreamRows {
    columns: Vec<ArrayRef>,
    micro_batch: Vec<u32>,
    first_ledger_row: u32,
}

impl<'a> Derivation<'a> {
    pub fn new(oracle: &'a Oracle, trace: &Trace) -> Result<Self> {
        let mut ledger = Ledger::default();
        let mut streams = vec![];
        for (stream, (name, schema)) in oracle.streams.iter().enumerate() {
            let read = oracle.reads[stream];
            streams.push(if read {
                Some(rows_of_stream(trace, stream, name, schema, &mut ledger)?)
            } else {
                None
            });
        }
        let operators = vec![Facts::default(); oracle.operators().len()];
        let seen = vec![BTreeMap::new(); oracle.watermarks()];
        Ok(Derivation {
            oracle,
            ledger,
            schedule: Schedule::new(trace.micro_batches.len(), oracle.operators().len()),
            streams,
            failure: None,
            seen,
            operators,
            groups: vec![],
            parts: vec![],
        })
    }

    /// Derives the stateless parts by micro-batch, so that watermarks are known before batches are numbered.
    pub fn derive_parts(&mut self, root: &Step) -> Result<()> {
        self.parts = vec![None; self.oracle.parts()];
        self.part(root)
    }

    fn part(&mut self, step: &Step) -> Result<()> {
        if let Some(number) = step.part {
            self.parts[number] = Some(self.derive_step(step)?);
            return Ok(());
        }
        step.inputs().into_iter().try_for_each(|input| self.part(input))
    }

    /// The table of a step.
    pub fn derive(&mut self, step: &Step) -> Result<Table> {
        if let Some(mut table) = step.part.and_then(|number| self.parts.get_mut(number)?.take()) {
            for batch in &mut table.available {
                *batch = self.schedule.batch_of(*batch);
            }
            table.cut(NEVER);
            return Ok(table);
        }
        self.derive_step(step)
    }

    fn derive_step(&mut self, step: &Step) -> Result<Table> {
        match &step.op {
            Op::Stream { stream, columns } => self.scan(*stream, columns),
            Op::Filter { input, conditions } => {
                let mut table = self.derive(input)?;
                for condition in conditions {
                    table = self.filtered(table, condition, &input.schema)?;
                }
                Ok(table)
            }
            Op::Project {
                input,
                in_advance,
                exprs,
            } => {
                let mut table = self.derive(input)?;
                self.evaluate(in_advance, &mut table, &input.schema)?;
                table.columns = self.evaluate(exprs, &mut table, &input.schema)?;
                Ok(table)
            }
            Op::Slide { input, time, sizes } => {
                let mut table = self.derive(input)?;
                let times = self
                    .evaluate(std::slice::from_ref(time), &mut table, &input.schema)?
                    .swap_remove(0);
                slid(table, &times, *sizes)
            }
            Op::Expand { input, keys, sets } => {
                let mut table = self.derive(input)?;
                let keys = self.evaluate(keys, &mut table, &input.schema)?;
                expanded(table, &keys, sets)
            }
            Op::Watermark {
                input, column, number, ..
            } => {
                let table = self.derive(input)?;
                self.observe(&table, *column, *number);
                Ok(table)
            }
            Op::TableJoin(table_join) => {
                let table = self.derive(&table_join.stream)?;
                join::with_table(self, table_join, table)
            }
            Op::StreamJoin(stream_join) => {
                let left = self.derive(&stream_join.left)?;
                let right = self.derive(&stream_join.right)?;
                join::of_streams(self, stream_join, left, right)
            }
            Op::Aggregate(aggregation) => {
                let table = self.derive(&aggregation.input)?;
                aggregate::aggregated(self, aggregation, table)
            }
            Op::Union { inputs } => {
                let tables = inputs
                    .iter()
                    .map(|input| self.derive(input))
                    .collect::<Result<Vec<_>>>()?;
                Table::union(tables)
            }
            Op::Sort { input, keys } => {
                let table = self.derive(input)?;
                self.sorted(table, keys, &input.schema)
            }
            Op::Limit { input, fetch, operator } => {
                let table = self.derive(input)?;
                self.limited(table, *fetch, *operator)
            }
        }
    }

    /// Values of expressions for all rows; a batch in which they fail, and all after it, leave the table.
    pub fn evaluate(&mut self, exprs: &[Scalar], table: &mut Table, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        if self.oracle.asks_for_time() {
            return self.evaluate_by_batch(exprs, table, schema);
        }
        let rows = table.rows(schema)?;
        let values: Result<Vec<_>> = exprs.iter().map(|e| e.evaluate(&rows)).collect();
        match values {
            Ok(values) => Ok(values),
            Err(_) => self.evaluate_by_batch(exprs, table, schema),
        }
    }

    fn evaluate_by_batch(&mut self, exprs: &[Scalar], table: &mut Table, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
        let rows = table.rows(schema)?;
        let mut values: Vec<Vec<ArrayRef>> = vec![vec![]; exprs.len()];
        let mut failed = None;
        'batches: for (batch, range) in table.batches() {
            self.oracle.set_batch_time(batch);
            let rows = rows.slice(range.start, range.len());
            for (expr, values) in exprs.iter().zip(&mut values) {
                match expr.evaluate(&rows) {
                    Ok(value) => values.push(value),
                    Err(error) => {
                        failed = Some((batch, error));
                        break 'batches;
                    }
                }
            }
        }
        let mut len = table.len();
        if let Some((batch, error)) = failed {
            self.fail(batch, error);
            table.cut(batch);
            len = table.len();
        }
        let nothing = rows.slice(0, 0);
        let whole = |(expr, parts): (&Scalar, Vec<ArrayRef>)| -> Result<ArrayRef> {
            match parts.is_empty() {
                true => expr.evaluate(&nothing),
                false => Ok(concat(&parts.iter().map(|p| p.as_ref()).collect::<Vec<_>>())?.slice(0, len)),
            }
        };
        exprs.iter().zip(values).map(whole).collect()
    }

    /// Remembers the earliest failure.
    pub fn fail(&mut self, batch: u32, error: Error) {
        if self.failure.as_ref().is_none_or(|(first, _)| batch < *first) {
            self.failure = Some((batch, error));
        }
    }

    fn scan(&mut self, stream: usize, columns: &[usize]) -> Result<Table> {
        let rows = self.streams[stream].as_ref().expect("a stream of the plan is read");
        let first = rows.first_ledger_row;
        let mut table = Table {
            columns: columns.iter().map(|c| rows.columns[*c].clone()).collect(),
            available: rows.micro_batch.iter().map(|m| self.schedule.batch_of(*m)).collect(),
            lineage: Lineage::own(first..first + rows.micro_batch.len() as u32),
        };
        // Micro-batches are executed in order, so those that are not yet come last.
        table.cut(NEVER);
        Ok(table)
    }

    fn filtered(&mut self, mut table: Table, condition: &Condition, schema: &SchemaRef) -> Result<Table> {
        let mut marks = vec![];
        for asked in &condition.members {
            marks.push(join::marks(self, asked, &mut table, schema)?);
        }
        let len = table.columns.len();
        // A later table may have cut off rows that an earlier one still answered for.
        table
            .columns
            .extend(marks.into_iter().map(|mark| mark.slice(0, table.available.len())));
        let holds = self.evaluate(std::slice::from_ref(&condition.holds), &mut table, &condition.schema)?;
        table.columns.truncate(len);
        table.keep(booleans(&holds[0])?)
    }

    fn observe(&mut self, table: &Table, column: usize, number: usize) {
        let times = event_times(&table.columns[column]);
        if table.lineage.width == 1 {
            for (row, time) in times.iter().enumerate() {
                self.ledger.set_event_time(table.lineage.parents[row], *time);
            }
        }
        for (batch, range) in table.batches() {
            // A NULL counts as 1970-01-01T00:00:00. Of a window Spark reads where it lies in its row, not when it ends.
            let is_window = matches!(table.columns[column].data_type(), DataType::Struct(_));
            let counted = |time: i64| if is_window { 68_719_476_760 } else { time };
            let millis = times[range].iter().map(|time| time.map_or(0, counted).div_euclid(1000));
            let Some(latest) = millis.max() else { continue };
            let seen = self.seen[number].entry(batch).or_insert(latest);
            *seen = latest.max(*seen);
        }
    }

    fn sorted(&mut self, mut table: Table, keys: &[(Scalar, bool, bool)], schema: &SchemaRef) -> Result<Table> {
        let exprs: Vec<Scalar> = keys.iter().map(|(key, _, _)| key.clone()).collect();
        let values = self.evaluate(&exprs, &mut table, schema)?;
        let mut order = vec![];
        for (_, range) in table.batches() {
            let columns: Vec<SortColumn> = values
                .iter()
                .zip(keys)
                .map(|(values, (_, ascending, nulls_first))| SortColumn {
                    values: normalised(values.slice(range.start, range.len())),
                    options: Some(SortOptions {
                        descending: !ascending,
                        nulls_first: *nulls_first,
                    }),
                })
                .collect();
            let sorted = lexsort_to_indices(&columns, None)?;
            order.extend(sorted.values().iter().map(|at| at + range.start as u32));
        }
        table.at(&order)
    }

    fn limited(&mut self, table: Table, fetch: usize, operator: Option<usize>) -> Result<Table> {
        let Some(operator) = operator else {
            let firsts: Vec<u32> = table
                .batches()
                .flat_map(|(_, range)| range.map(|at| at as u32).take(fetch))
                .collect();
            return table.at(&firsts);
        };
        self.ledger.enter(&table.lineage);
        let limited = table.at(&(0..table.len().min(fetch) as u32).collect::<Vec<_>>())?;
        // The count is one row of state, as soon as it is not zero.
        let counting = limited.available.first().copied().unwrap_or(NEVER);
        let batches = self.schedule.len() as u32;
        self.operators[operator].state_rows = (0..batches).map(|batch| u64::from(counting <= batch)).collect();
        self.operators[operator].dropped = vec![0; batches as usize];
        Ok(limited)
    }

    pub fn mode(&self) -> OutputMode {
        self.oracle.mode
    }
}

/// A condition's answer; NULL is no.
pub(super) fn booleans(values: &ArrayRef) -> Result<&BooleanArray> {
    values
        .as_boolean_opt()
        .ok_or_else(|| Error::Invalid(format!("a condition is a {}, not a boolean", values.data_type())))
}

fn slid(table: Table, times: &ArrayRef, sizes: Sizes) -> Result<Table> {
    let (mut positions, mut starts) = (vec![], vec![]);
    for (row, time) in event_times(times).into_iter().enumerate() {
        for start in time.into_iter().flat_map(|time| window::starts(time, sizes)) {
            positions.push(row as u32);
            starts.push(start);
        }
    }
    let mut slid = table.at(&positions)?;
    slid.columns.push(window::windows(starts, None, sizes.duration));
    Ok(slid)
}

/// Each row once for every set, so that rows stay in the order of batches.
fn expanded(table: Table, keys: &[ArrayRef], sets: &[(Vec<bool>, i64)]) -> Result<Table> {
    let rows = table.len() as u32;
    let repeated: Vec<u32> = (0..rows).flat_map(|row| sets.iter().map(move |_| row)).collect();
    let mut expanded = table.at(&repeated)?;
    for (number, key) in keys.iter().enumerate() {
        let of_sets = |row: u32| sets.iter().map(move |(has, _)| has[number].then_some(row));
        let places: UInt32Array = (0..rows).flat_map(of_sets).collect();
        expanded.columns.push(take(key, &places, None)?);
    }
    let ids = (0..rows).flat_map(|_| sets.iter().map(|(_, id)| *id));
    expanded.columns.push(Arc::new(Int64Array::from_iter_values(ids)));
    let numbers = (0..rows).flat_map(|_| 0..sets.len() as i64);
    expanded.columns.push(Arc::new(Int64Array::from_iter_values(numbers)));
    Ok(expanded)
}

fn rows_of_stream(
    trace: &Trace,
    stream: usize,
    name: &str,
    schema: &SchemaRef,
    ledger: &mut Ledger,
) -> Result<StreamRows> {
    let first_ledger_row = ledger.len();
    let (mut parts, mut micro_batch) = (vec![], vec![]);
    for (number, batch) in trace.micro_batches.iter().enumerate() {
        let Some(rows) = batch.rows.get(stream).and_then(Option::as_ref) else {
            continue;
        };
        check_schema(name, schema, rows.schema_ref())?;
        ledger.read(stream, number, rows.num_rows());
        micro_batch.extend(std::iter::repeat_n(number as u32, rows.num_rows()));
        parts.push(rows);
    }
    let mut columns = vec![];
    for (at, field) in schema.fields().iter().enumerate() {
        let of_parts: Vec<&dyn Array> = parts.iter().map(|rows| rows.column(at).as_ref()).collect();
        columns.push(match of_parts.is_empty() {
            true => arrow::array::new_empty_array(field.data_type()),
            false => concat(&of_parts)?,
        });
    }
    Ok(StreamRows {
        columns,
        micro_batch,
        first_ledger_row,
    })
}

fn check_schema(stream: &str, wanted: &SchemaRef, found: &SchemaRef) -> Result<()> {
    if Arc::ptr_eq(wanted, found) {
        return Ok(());
    }
    let types = |s: &SchemaRef| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
    if types(wanted) != types(found) {
        let found = types(found)
            .iter()
            .map(|t| t.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let wanted = types(wanted)
            .iter()
            .map(|t| t.to_string())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Error::Invalid(format!(
            "the trace's rows of stream `{stream}` are ({found}), the job says ({wanted})"
        )));
    }
    Ok(())
}
