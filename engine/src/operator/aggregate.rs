//! Aggregation: running values per group, emitted by output mode, evicted with the watermark (spark-semantics 4.3).
//!
//! A batch is first aggregated by itself, chunk by chunk and on all cores; only the partial groups then meet the state.
//! So late rows are judged per partial group (all its rows share the key's event time) and a batch costs what it
//! touches and evicts.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Float32Array, Float64Array, ListArray, RecordBatch, StructArray, UInt32Array,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{
    DataType, Field, FieldRef, Float32Type, Float64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use arrow::row::{RowConverter, SortField};
use datafusion::physical_expr::PhysicalExpr;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::accumulate::{Accumulator, AggregateSpec, Argument};
use super::group::Groups;
use super::input::Input;
use super::step::{self, Step};
use super::{OperatorProgress, parallel};
use crate::watermark::{Observed, at_or_below};
use crate::{Error, OutputMode, Result};

/// An aggregation as planned.
#[derive(Debug)]
pub(crate) struct AggregationPlan {
    /// The grouping keys.
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// Keys that are windows of one fixed length: told apart by their start.
    pub by_start: Vec<bool>,
    /// The key that carries event time: a timestamp, or a window whose end counts.
    pub event_time: Option<usize>,
    /// What the aggregates without FILTER are of, each once.
    pub arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// Keys, then results.
    pub schema: SchemaRef,
}

/// One aggregate of an aggregation.
#[derive(Debug)]
pub(crate) struct AggregateCall {
    pub spec: AggregateSpec,
    pub over: Over,
}

/// The rows and values an aggregate is over.
#[derive(Debug)]
pub(crate) enum Over {
    /// All rows, whatever they hold: `count(*)`.
    Rows,
    /// One of the plan's arguments.
    Argument(usize),
    /// `FILTER (WHERE ...)`: the argument, `None` for `count(*)`, is evaluated only where the condition holds.
    Filtered {
        condition: Arc<dyn PhysicalExpr>,
        argument: Option<Arc<dyn PhysicalExpr>>,
    },
}

/// The operator: its plan, its state, and what it did in the last batch.
pub(crate) struct Aggregation {
    plan: AggregationPlan,
    state: GroupState,
    dropped: u64,
}

/// The groups of one chunk of rows.
pub(crate) struct Partial {
    keys: Vec<ArrayRef>,
    groups: usize,
    /// Input rows per group.
    rows: Vec<i64>,
    values: Vec<Accumulator>,
}

impl Aggregation {
    /// An operator without state.
    ///
    /// # Errors
    /// A key or aggregate of a type it cannot hold.
    pub(crate) fn new(plan: AggregationPlan) -> Result<Self> {
        let state = GroupState::new(&plan)?;
        Ok(Self {
            plan,
            state,
            dropped: 0,
        })
    }

    /// Runs `steps` over the rows and aggregates each chunk by itself.
    pub(crate) fn partials(&self, rows: Input, steps: &[Step], observed: &mut Observed) -> Result<Vec<Partial>> {
        let made = parallel::map(rows, |chunk| {
            let (chunk, seen) = step::run_steps(steps, chunk)?;
            Ok((self.plan.aggregate(&chunk)?, seen))
        })?;
        Ok(made
            .into_iter()
            .map(|(partial, seen)| {
                observed.merge(&seen);
                partial
            })
            .collect())
    }

    /// Merges a batch's partial groups into the state and emits what the output mode asks for.
    pub(crate) fn run(
        &mut self,
        partials: Vec<Partial>,
        late_ms: i64,
        evict_ms: i64,
        mode: OutputMode,
    ) -> Result<Vec<RecordBatch>> {
        self.dropped = 0;
        self.state.forget_touched();
        let judged = mode != OutputMode::Complete; // complete mode never drops and never forgets
        for partial in &partials {
            self.merge(partial, judged.then_some(late_ms))?;
        }
        if self.plan.keys.is_empty() {
            self.state.ensure_global(); // without keys there is always one group, and every batch touches it
        }
        let emitted = match mode {
            OutputMode::Complete => self.state.results(&self.plan, &self.state.all_slots())?,
            OutputMode::Update => self.state.results(&self.plan, &self.state.touched)?,
            OutputMode::Append => {
                let closed = self.state.closed(evict_ms);
                self.state.results(&self.plan, &closed)?
            }
        };
        if judged {
            self.state.evict(evict_ms);
        }
        Ok(vec![emitted])
    }

    fn merge(&mut self, partial: &Partial, late_ms: Option<i64>) -> Result<()> {
        let event_times = self.plan.event_times(&partial.keys)?;
        let late = |group: usize| match (late_ms, &event_times) {
            (Some(late_ms), Some(times)) => times.is_valid(group) && at_or_below(times.value(group), late_ms),
            _ => false,
        };
        let admitted: Vec<u32> = (0..partial.groups).filter(|g| !late(*g)).map(|g| g as u32).collect();
        if admitted.len() < partial.groups {
            self.dropped += (0..partial.groups)
                .filter(|g| late(*g))
                .map(|g| partial.rows[g] as u64)
                .sum::<u64>();
        }
        self.state.merge(partial, &admitted, event_times.as_ref())
    }

    /// State size and dropped rows of the last batch.
    pub(crate) fn progress(&self) -> OperatorProgress {
        OperatorProgress {
            state_rows: self.state.len() as u64,
            dropped: self.dropped,
        }
    }

    /// The state as one table: key bytes, then the running values.
    pub(crate) fn snapshot(&self) -> Result<RecordBatch> {
        self.state.snapshot()
    }

    /// Takes back a snapshot.
    pub(crate) fn restore(&mut self, table: &RecordBatch) -> Result<()> {
        self.state = GroupState::new(&self.plan)?;
        self.state.restore(&self.plan, table)
    }
}

impl AggregationPlan {
    fn aggregate(&self, rows: &RecordBatch) -> Result<Partial> {
        let keys = self
            .keys
            .iter()
            .map(|k| Ok(one_zero(evaluate(k, rows)?)))
            .collect::<Result<Vec<_>>>()?;
        let groups = Groups::of(&keys, &self.by_start, rows.num_rows())?;
        let counts = groups.counts();
        let arguments = self
            .arguments
            .iter()
            .map(|argument| Argument::of(evaluate(argument, rows)?, &groups.ids, &counts));
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let values = self
            .calls
            .iter()
            .map(|call| call.accumulate(rows, &groups, &counts, &arguments));
        let values = values.collect::<Result<_>>()?;
        let keys = keys.iter().map(|k| groups.keys_of(k)).collect::<Result<_>>()?;
        Ok(Partial {
            keys,
            groups: groups.len(),
            rows: counts,
            values,
        })
    }

    /// The event time of each group in microseconds, if a key carries it.
    fn event_times(&self, keys: &[ArrayRef]) -> Result<Option<arrow::array::TimestampMicrosecondArray>> {
        let Some(index) = self.event_time else { return Ok(None) };
        let key = &keys[index];
        let times = match key.data_type() {
            DataType::Struct(_) => key.as_struct().column(1),
            _ => key,
        };
        let times = times.as_primitive_opt::<TimestampMicrosecondType>();
        let times = times.ok_or_else(|| Error::Invalid(format!("event time cannot be of type {}", key.data_type())))?;
        Ok(Some(times.clone()))
    }
}

impl AggregateCall {
    /// The aggregate of each group of a chunk.
    fn accumulate(
        &self,
        rows: &RecordBatch,
        groups: &Groups,
        counts: &[i64],
        arguments: &[Argument],
    ) -> Result<Accumulator> {
        let mut accumulator = match &self.over {
            Over::Rows => return Ok(Accumulator::Count(counts.to_vec())),
            Over::Argument(index) => {
                if let Some(made) = arguments[*index].accumulator(&self.spec) {
                    return Ok(made);
                }
                Accumulator::new(&self.spec)?
            }
            Over::Filtered { .. } => Accumulator::new(&self.spec)?,
        };
        accumulator.grow(groups.len());
        match &self.over {
            Over::Rows => {}
            Over::Argument(index) => accumulator.update(&groups.ids, Some(&arguments[*index].values))?,
            Over::Filtered { condition, argument } => {
                let kept = evaluate(condition, rows)?;
                let ids = arrow::compute::filter(&UInt32Array::from(groups.ids.clone()), kept.as_boolean())?;
                let argument = match argument {
                    Some(argument) => Some(evaluate(argument, &filter_record_batch(rows, kept.as_boolean())?)?),
                    None => None,
                };
                accumulator.update(
                    ids.as_primitive::<arrow::datatypes::UInt32Type>().values(),
                    argument.as_ref(),
                )?;
            }
        }
        Ok(accumulator)
    }
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<ArrayRef> {
    Ok(expr.evaluate(rows)?.into_array(rows.num_rows())?)
}

/// `-0.0` is `0.0` and every NaN is one NaN, as keys and inside of keys.
pub(super) fn one_zero(key: ArrayRef) -> ArrayRef {
    match key.data_type() {
        DataType::Struct(fields) if has_floats(fields) => {
            let key = key.as_struct();
            let columns = key.columns().iter().cloned().map(one_zero).collect();
            Arc::new(StructArray::new(fields.clone(), columns, key.nulls().cloned()))
        }
        DataType::List(element) if has_floats(std::slice::from_ref(element)) => {
            let key = key.as_list::<i32>();
            let elements = one_zero(Arc::clone(key.values()));
            let offsets = key.offsets().clone();
            Arc::new(ListArray::new(
                Arc::clone(element),
                offsets,
                elements,
                key.nulls().cloned(),
            ))
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(key.as_primitive::<Float64Type>().unary::<_, Float64Type>(one)) as Arc<Float64Array>
        }
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(key.as_primitive::<Float32Type>().unary::<_, Float32Type>(one)) as Arc<Float32Array>
        }
        _ => key,
    }
}

fn has_floats(fields: &[FieldRef]) -> bool {
    fields.iter().any(|field| match field.data_type() {
        DataType::Struct(inner) => has_floats(inner),
        DataType::List(element) => has_floats(std::slice::from_ref(element)),
        other => other.is_floating(),
    })
}

/// Groups by key, their running values in columns, and the order in which they will close.
struct GroupState {
    converter: RowConverter,
    hasher: FixedState,
    /// Slots by key.
    table: HashTable<u32>,
    /// Key bytes per slot; `None` for a free one.
    keys: Vec<Option<Box<[u8]>>>,
    free: Vec<u32>,
    values: Vec<Accumulator>,
    /// Slots by event time in microseconds; groups without one never close.
    closing: BTreeMap<i64, Vec<u32>>,
    /// Slots touched in this batch, by first touch.
    touched: Vec<u32>,
    touched_in: Vec<bool>,
}

impl GroupState {
    fn new(plan: &AggregationPlan) -> Result<Self> {
        let key_fields = plan.schema.fields().iter().take(plan.keys.len());
        let converter = RowConverter::new(key_fields.map(|f| SortField::new(f.data_type().clone())).collect())?;
        Ok(Self {
            converter,
            hasher: FixedState::default(),
            table: HashTable::new(),
            keys: vec![],
            free: vec![],
            values: plan
                .calls
                .iter()
                .map(|c| Accumulator::new(&c.spec))
                .collect::<Result<_>>()?,
            closing: BTreeMap::new(),
            touched: vec![],
            touched_in: vec![],
        })
    }

    fn len(&self) -> usize {
        self.table.len()
    }

    fn all_slots(&self) -> Vec<u32> {
        (0..self.keys.len() as u32)
            .filter(|slot| self.keys[*slot as usize].is_some())
            .collect()
    }

    fn merge(
        &mut self,
        partial: &Partial,
        admitted: &[u32],
        event_times: Option<&arrow::array::TimestampMicrosecondArray>,
    ) -> Result<()> {
        let mut pairs = Vec::with_capacity(admitted.len());
        if partial.keys.is_empty() {
            let slot = self.slot_of(&[], None);
            pairs.extend(admitted.iter().map(|group| (*group, slot)));
        } else {
            let rows = self.converter.convert_columns(&partial.keys)?;
            for group in admitted {
                let row = *group as usize;
                let event_time = event_times.filter(|t| t.is_valid(row)).map(|t| t.value(row));
                pairs.push((*group, self.slot_of(rows.row(row).as_ref(), event_time)));
            }
        }
        for (_, slot) in &pairs {
            if !std::mem::replace(&mut self.touched_in[*slot as usize], true) {
                self.touched.push(*slot);
            }
        }
        for (state, more) in self.values.iter_mut().zip(&partial.values) {
            state.merge(more, &pairs)?;
        }
        Ok(())
    }

    fn ensure_global(&mut self) {
        let slot = self.slot_of(&[], None);
        if self.touched.is_empty() {
            self.touched.push(slot);
        }
    }

    /// The slot of a key, made if it is new.
    fn slot_of(&mut self, key: &[u8], event_time: Option<i64>) -> u32 {
        let hash = self.hasher.hash_one(key);
        let keys = &self.keys;
        if let Some(slot) = self.table.find(hash, |s| keys[*s as usize].as_deref() == Some(key)) {
            return *slot;
        }
        let slot = self.free.pop().unwrap_or(keys.len() as u32);
        if slot as usize == self.keys.len() {
            self.keys.push(None);
            self.touched_in.push(false);
            let slots = self.keys.len();
            self.values.iter_mut().for_each(|v| v.grow(slots));
        }
        self.keys[slot as usize] = Some(key.into());
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table
            .insert_unique(hash, slot, |s| hasher.hash_one(key_of(keys, *s)));
        if let Some(time) = event_time {
            self.closing.entry(time).or_default().push(slot);
        }
        slot
    }

    /// Groups the watermark has passed, earliest first.
    fn closed(&self, evict_ms: i64) -> Vec<u32> {
        let closed = self
            .closing
            .iter()
            .take_while(|(time, _)| at_or_below(**time, evict_ms));
        closed.flat_map(|(_, slots)| slots.iter().copied()).collect()
    }

    fn forget_touched(&mut self) {
        for slot in self.touched.drain(..) {
            self.touched_in[slot as usize] = false;
        }
    }

    fn evict(&mut self, evict_ms: i64) {
        while let Some(entry) = self.closing.first_entry() {
            if !at_or_below(*entry.key(), evict_ms) {
                break;
            }
            for slot in entry.remove() {
                self.release(slot);
            }
        }
    }

    fn release(&mut self, slot: u32) {
        let hash = self.hasher.hash_one(key_of(&self.keys, slot));
        if let Ok(entry) = self.table.find_entry(hash, |s| *s == slot) {
            entry.remove();
        }
        self.keys[slot as usize] = None;
        self.values.iter_mut().for_each(|v| v.clear(slot as usize));
        self.free.push(slot);
    }

    /// Keys and results of some groups.
    fn results(&self, plan: &AggregationPlan, slots: &[u32]) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(plan.schema.fields().len());
        if !plan.keys.is_empty() {
            let parser = self.converter.parser();
            let rows = slots.iter().map(|slot| parser.parse(key_of(&self.keys, *slot)));
            columns.extend(self.converter.convert_rows(rows)?);
        }
        for values in &self.values {
            columns.push(values.results(slots)?);
        }
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(slots.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&plan.schema),
            columns,
            &options,
        )?)
    }

    fn snapshot(&self) -> Result<RecordBatch> {
        let slots = self.all_slots();
        let keys = BinaryArray::from_iter_values(slots.iter().map(|slot| key_of(&self.keys, *slot)));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(keys)];
        columns.extend(self.values.iter().flat_map(|v| v.snapshot(&slots)));
        let fields = columns
            .iter()
            .enumerate()
            .map(|(i, c)| Field::new(format!("c{i}"), c.data_type().clone(), true));
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
        )?)
    }

    fn restore(&mut self, plan: &AggregationPlan, table: &RecordBatch) -> Result<()> {
        let foreign = || Error::Invalid("the checkpoint's state does not fit the query's aggregation".into());
        let width: usize = 1 + self.values.iter().map(Accumulator::snapshot_width).sum::<usize>();
        if table.num_columns() != width {
            return Err(foreign());
        }
        let keys = table.column(0).as_binary_opt::<i32>().ok_or_else(foreign)?;
        let parser = self.converter.parser();
        let columns = match plan.keys.is_empty() {
            true => vec![],
            false => self
                .converter
                .convert_rows(keys.iter().flatten().map(|k| parser.parse(k)))?,
        };
        let times = if columns.is_empty() {
            None
        } else {
            plan.event_times(&columns)?
        };
        for row in 0..table.num_rows() {
            let time = times.as_ref().filter(|t| t.is_valid(row)).map(|t| t.value(row));
            self.slot_of(keys.value(row), time);
        }
        let mut next = 1;
        for values in &mut self.values {
            let width = values.snapshot_width();
            values.restore(&table.columns()[next..next + width])?;
            next += width;
        }
        Ok(())
    }
}

fn key_of(keys: &[Option<Box<[u8]>>], slot: u32) -> &[u8] {
    keys[slot as usize].as_deref().expect("a slot in use has a key")
}
