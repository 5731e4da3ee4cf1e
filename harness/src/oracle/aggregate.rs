//! Aggregations: a group is emitted once it closes (append), when rows touch it (update), or always (complete).

mod fold;

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::row::{OwnedRow, RowConverter, SortField};
use skirl_engine::{OutputMode, Result};

use super::derive::{Derivation, Group};
use super::join::{count_state, first_at_or_above};
use super::scalar::Scalar;
use super::step::{Aggregation, Call};
use super::table::*;
use fold::Fold;

/// The groups of a relation, at the batches that emit them.
pub(super) fn aggregated(d: &mut Derivation, aggregation: &Aggregation, mut table: Table) -> Result<Table> {
    let batches = d.schedule.len() as u32;
    let operator = aggregation.operator;
    d.operators[operator].dropped = vec![0; batches as usize];
    d.ledger.enter(&table.lineage);

    let inputs = Inputs::evaluate(d, aggregation, &mut table)?;
    let grouped = grouped(d, aggregation, &table, &inputs.keys)?;
    let complete = d.mode() == OutputMode::Complete;
    let closes: Vec<Option<i64>> = (0..batches).map(|b| Some(d.schedule.evict(operator, b))).collect();
    let closed_in = |group: &Grouped| match complete {
        true => NEVER,
        false => first_at_or_above(&closes, group.available, group.event_time),
    };
    let closed: Vec<u32> = grouped.iter().map(closed_in).collect();
    let available: Vec<u32> = grouped.iter().map(|g| g.available).collect();
    let mut in_state = vec![0; batches as usize];
    count_state(&mut in_state, &available, &closed);
    d.operators[operator].state_rows = in_state;
    if !complete && aggregation.tag.is_some() {
        let is_null = |g: &&Grouped| g.exists() && g.event_time.is_none();
        d.operators[operator].null_times = grouped.iter().filter(is_null).count() as u64;
    }

    let first_group = d.groups.len() as u32;
    d.groups.extend(grouped.iter().map(|g| g.story(&table)));
    let mut emissions = vec![];
    let mut snapshots = Snapshots::new(aggregation, &inputs)?;
    for (number, group) in grouped.iter().enumerate().filter(|(_, g)| g.exists()) {
        let states = snapshots.of_group(d, group, &table)?;
        let last = |batch: u32| {
            states
                .partition_point(|(from, _)| *from <= batch)
                .checked_sub(1)
                .map(|at| states[at].1)
        };
        let due: Vec<u32> = match d.mode() {
            OutputMode::Append => Some(closed[number]).into_iter().filter(|b| *b != NEVER).collect(),
            OutputMode::Update if !group.is_global => states.iter().map(|(batch, _)| *batch).collect(),
            _ => (group.available..batches).collect(),
        };
        emissions.extend(
            due.into_iter()
                .filter_map(|batch| Some((batch, number as u32, last(batch)?))),
        );
    }
    emissions.sort_unstable();
    emitted(aggregation, &grouped, &inputs.keys, snapshots, &emissions, first_group)
}

fn emitted(
    aggregation: &Aggregation,
    grouped: &[Grouped],
    keys: &[ArrayRef],
    snapshots: Snapshots,
    emissions: &[(u32, u32, u32)],
    first_group: u32,
) -> Result<Table> {
    let key_rows: UInt32Array = emissions
        .iter()
        .map(|(_, group, _)| grouped[*group as usize].key_row)
        .collect();
    let states: UInt32Array = emissions.iter().map(|(_, _, state)| Some(*state)).collect();
    let mut columns = vec![];
    for key in keys {
        columns.push(take(key.as_ref(), &key_rows, None)?);
    }
    for (values, call) in snapshots.columns()?.into_iter().zip(&aggregation.calls) {
        let values = take(values.as_ref(), &states, None)?;
        debug_assert_eq!(values.data_type(), &call.data_type);
        columns.push(values);
    }
    Ok(Table {
        columns,
        available: emissions.iter().map(|(batch, ..)| *batch).collect(),
        lineage: Lineage {
            width: 1,
            parents: emissions
                .iter()
                .map(|(_, group, _)| GROUP | (first_group + group))
                .collect(),
        },
    })
}

/// The evaluated keys and arguments of an aggregation.
struct Inputs {
    keys: Vec<ArrayRef>,
    args: Vec<Vec<ArrayRef>>,
    filters: Vec<Option<BooleanArray>>,
}

impl Inputs {
    fn evaluate(d: &mut Derivation, aggregation: &Aggregation, table: &mut Table) -> Result<Inputs> {
        let schema = &aggregation.input.schema;
        d.evaluate(&aggregation.in_advance, table, schema)?;
        let mut exprs: Vec<Scalar> = aggregation.keys.clone();
        for call in &aggregation.calls {
            exprs.extend(call.filter.iter().cloned());
        }
        let mut values = d.evaluate(&exprs, table, schema)?.into_iter();
        let keys: Vec<ArrayRef> = values
            .by_ref()
            .take(aggregation.keys.len())
            .zip(&aggregation.key_types)
            .map(|(k, _)| normalised(k))
            .collect();
        let mut filters = vec![];
        for call in &aggregation.calls {
            let values = call.filter.as_ref().and_then(|_| values.next());
            filters.push(values.map(|v| super::derive::booleans(&v).cloned()).transpose()?);
        }
        let mut args = vec![];
        for (call, filter) in aggregation.calls.iter().zip(&filters) {
            args.push(arguments(d, call, filter.as_ref(), table, schema)?);
        }
        Ok(Inputs { keys, args, filters })
    }
}

/// Arguments are evaluated only where the call's filter lets a row in.
fn arguments(
    d: &mut Derivation,
    call: &Call,
    filter: Option<&BooleanArray>,
    table: &mut Table,
    schema: &arrow::datatypes::SchemaRef,
) -> Result<Vec<ArrayRef>> {
    let Some(filter) = filter else {
        return d.evaluate(&call.args, table, schema);
    };
    let is_in = |p: &u32| filter.is_valid(*p as usize) && filter.value(*p as usize);
    let positions: Vec<u32> = (0..table.len() as u32).filter(is_in).collect();
    let mut inside = table.at(&positions)?;
    let before = inside.len();
    let values = d.evaluate(&call.args, &mut inside, schema)?;
    if inside.len() < before {
        table.cut(d.failure.as_ref().map_or(NEVER, |(batch, _)| *batch));
    }
    let mut back = vec![None; table.len()];
    for (at, position) in positions.iter().take(inside.len()).enumerate() {
        if let Some(slot) = back.get_mut(*position as usize) {
            *slot = Some(at as u32);
        }
    }
    let back = UInt32Array::from(back);
    values.iter().map(|v| Ok(take(v.as_ref(), &back, None)?)).collect()
}

/// The rows of one group.
#[derive(Debug, Default)]
struct Grouped {
    /// Positions of its rows, in order.
    rows: Vec<u32>,
    /// Positions of rows that came too late.
    late: Vec<u32>,
    /// Where its key is read; none for the group of an aggregation without keys.
    key_row: Option<u32>,
    available: u32,
    event_time: Option<i64>,
    is_global: bool,
}

impl Grouped {
    fn exists(&self) -> bool {
        self.is_global || !self.rows.is_empty()
    }

    fn story(&self, table: &Table) -> Group {
        let told = |rows: &[u32]| {
            let told = rows.iter().map(|row| {
                let row = *row as usize;
                (table.available[row], table.lineage.parents_of(row).collect())
            });
            told.collect()
        };
        Group {
            members: told(&self.rows),
            dropped: told(&self.late),
        }
    }
}

/// Sorts rows into groups; late ones are written down and count for nothing.
fn grouped(d: &mut Derivation, aggregation: &Aggregation, table: &Table, keys: &[ArrayRef]) -> Result<Vec<Grouped>> {
    if keys.is_empty() {
        let rows = (0..table.len() as u32).collect();
        return Ok(vec![Grouped {
            rows,
            is_global: true,
            ..Grouped::default()
        }]);
    }
    let judges = aggregation.tag.filter(|_| d.mode() != OutputMode::Complete);
    let times = aggregation.tag.map(|tag| event_times(&keys[tag]));
    let fields = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(keys)?;
    let mut number_of: BTreeMap<OwnedRow, usize> = BTreeMap::new();
    let mut groups: Vec<Grouped> = vec![];
    for row in 0..table.len() {
        let number = *number_of.entry(encoded.row(row).owned()).or_insert(groups.len());
        let event_time = times.as_ref().and_then(|times| times[row]);
        if number == groups.len() {
            groups.push(Grouped {
                key_row: Some(row as u32),
                available: NEVER,
                event_time,
                ..Grouped::default()
            });
        }
        let group = &mut groups[number];
        let batch = table.available[row];
        let late_ms = d.schedule.late(aggregation.operator, batch);
        match event_time.filter(|time| judges.is_some() && *time <= late_ms.saturating_mul(1000)) {
            Some(time) => {
                group.late.push(row as u32);
                d.operators[aggregation.operator].dropped[batch as usize] += 1;
                d.ledger.drop_row(
                    table.lineage.parents_of(row),
                    aggregation.operator,
                    batch,
                    late_ms,
                    time,
                );
            }
            None => {
                group.available = group.available.min(batch);
                group.rows.push(row as u32);
            }
        }
    }
    Ok(groups)
}

/// The values of groups after each batch that changed them.
struct Snapshots<'a> {
    folds: Vec<Fold<'a>>,
    taken: u32,
}

impl<'a> Snapshots<'a> {
    fn new(aggregation: &'a Aggregation, inputs: &'a Inputs) -> Result<Self> {
        let folds = aggregation
            .calls
            .iter()
            .zip(&inputs.args)
            .zip(&inputs.filters)
            .map(|((call, args), filter)| Fold::new(call, args, filter.as_ref()))
            .collect::<Result<_>>()?;
        Ok(Self { folds, taken: 0 })
    }

    /// The batches that changed a group, each with the number of its values.
    fn of_group(&mut self, d: &mut Derivation, group: &Grouped, table: &Table) -> Result<Vec<(u32, u32)>> {
        self.folds.iter_mut().for_each(Fold::restart);
        let mut states = vec![];
        let mut start = 0;
        // An aggregation without keys has its row from the first batch on, whether or not rows came.
        let empty_start = group.is_global && group.rows.first().is_none_or(|row| table.available[*row as usize] > 0);
        if empty_start && d.schedule.len() > 0 {
            states.push((0, self.snapshot(d, 0)));
        }
        while start < group.rows.len() {
            let batch = table.available[group.rows[start] as usize];
            let end = start + group.rows[start..].partition_point(|row| table.available[*row as usize] <= batch);
            for fold in &mut self.folds {
                if let Err(error) = fold.add_batch(&group.rows[start..end], d.oracle.ansi) {
                    d.fail(batch, error);
                }
            }
            states.push((batch, self.snapshot(d, batch)));
            start = end;
        }
        Ok(states)
    }

    fn snapshot(&mut self, d: &mut Derivation, batch: u32) -> u32 {
        for fold in &mut self.folds {
            if let Err(error) = fold.snapshot(d.oracle.ansi) {
                d.fail(batch, error);
            }
        }
        self.taken += 1;
        self.taken - 1
    }

    fn columns(self) -> Result<Vec<ArrayRef>> {
        self.folds.into_iter().map(Fold::column).collect()
    }
}
