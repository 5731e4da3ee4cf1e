//! Aggregations: a group is emitted once it closes (append), when rows touch it (update), or always (complete).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, DynComparator, Float64Array, Int64Array, UInt32Array,
    make_comparator,
};
use arrow::compute::{SortOptions, cast, take};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use skirl_engine::{Error, OutputMode, Result};

use super::derive::{Derivation, Group};
use super::join::{count_state, first_at_or_above};
use super::scalar::Scalar;
use super::step::{Aggregation, Call};
use super::table::*;

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

/// One aggregate function on its way through the rows of a group.
///
/// The rows of a batch are folded first and then merged into what was there before, as Spark does: a sum of doubles
/// depends on it, and so does where a sum of integers overflows.
struct Fold<'a> {
    filter: Option<&'a BooleanArray>,
    kind: FoldKind<'a>,
}

enum FoldKind<'a> {
    Count {
        args: &'a [ArrayRef],
        count: i64,
        taken: Vec<i64>,
    },
    SumInt {
        values: Int64Array,
        sum: Option<i64>,
        taken: Vec<Option<i64>>,
    },
    SumDouble {
        values: Float64Array,
        sum: Option<f64>,
        taken: Vec<Option<f64>>,
    },
    SumDecimal {
        values: Decimal128Array,
        sum: Option<i128>,
        to: (u8, i8),
        taken: Vec<Option<i128>>,
    },
    AvgDouble {
        values: Float64Array,
        sum: f64,
        count: i64,
        taken: Vec<Option<f64>>,
    },
    AvgDecimal {
        values: Decimal128Array,
        sum: i128,
        count: i64,
        to: (u8, i8),
        taken: Vec<Option<i128>>,
    },
    Extreme {
        values: ArrayRef,
        compare: DynComparator,
        wanted: Ordering,
        best: Option<u32>,
        taken: Vec<Option<u32>>,
    },
}

impl<'a> Fold<'a> {
    fn new(call: &Call, args: &'a [ArrayRef], filter: Option<&'a BooleanArray>) -> Result<Self> {
        let kind = match (call.function.as_str(), &call.data_type) {
            ("count", _) => FoldKind::Count {
                args,
                count: 0,
                taken: vec![],
            },
            ("sum", DataType::Int64) => {
                let values = cast(&args[0], &DataType::Int64)?.as_primitive::<Int64Type>().clone();
                FoldKind::SumInt {
                    values,
                    sum: None,
                    taken: vec![],
                }
            }
            ("sum", DataType::Float64) => FoldKind::SumDouble {
                values: doubles(&args[0])?,
                sum: None,
                taken: vec![],
            },
            ("sum", DataType::Decimal128(precision, scale)) => {
                let values = decimals(&args[0], *scale)?;
                FoldKind::SumDecimal {
                    values,
                    sum: None,
                    to: (*precision, *scale),
                    taken: vec![],
                }
            }
            ("avg", DataType::Float64) => FoldKind::AvgDouble {
                values: doubles(&args[0])?,
                sum: 0.0,
                count: 0,
                taken: vec![],
            },
            ("avg", DataType::Decimal128(precision, scale)) => {
                let values = args[0].as_primitive_opt::<Decimal128Type>().cloned();
                let values = values.ok_or_else(|| unknown(call, &args[0]))?;
                FoldKind::AvgDecimal {
                    values,
                    sum: 0,
                    count: 0,
                    to: (*precision, *scale),
                    taken: vec![],
                }
            }
            ("min" | "max", _) => {
                let values = args[0].clone();
                let ordered = normalised(values.clone());
                let compare = make_comparator(&ordered, &ordered, SortOptions::default())?;
                let wanted = if call.function == "min" {
                    Ordering::Less
                } else {
                    Ordering::Greater
                };
                FoldKind::Extreme {
                    values,
                    compare,
                    wanted,
                    best: None,
                    taken: vec![],
                }
            }
            _ => {
                return Err(args.first().map_or_else(
                    || unknown(call, &(Arc::new(Int64Array::from(vec![0])) as _)),
                    |a| unknown(call, a),
                ));
            }
        };
        Ok(Fold { filter, kind })
    }

    fn restart(&mut self) {
        match &mut self.kind {
            FoldKind::Count { count, .. } => *count = 0,
            FoldKind::SumInt { sum, .. } => *sum = None,
            FoldKind::SumDouble { sum, .. } => *sum = None,
            FoldKind::SumDecimal { sum, .. } => *sum = None,
            FoldKind::AvgDouble { sum, count, .. } => (*sum, *count) = (0.0, 0),
            FoldKind::AvgDecimal { sum, count, .. } => (*sum, *count) = (0, 0),
            FoldKind::Extreme { best, .. } => *best = None,
        }
    }

    /// Takes in a batch's rows of the group.
    fn add_batch(&mut self, rows: &[u32], ansi: bool) -> Result<()> {
        let filter = self.filter;
        let is_in = move |row: &usize| filter.is_none_or(|f| f.is_valid(*row) && f.value(*row));
        let rows = rows.iter().map(|row| *row as usize).filter(is_in);
        match &mut self.kind {
            FoldKind::Count { args, count, .. } => {
                let is_present = |row: &usize| {
                    args.iter()
                        .all(|a| a.data_type() != &DataType::Null && a.is_valid(*row))
                };
                *count += rows.filter(is_present).count() as i64;
            }
            FoldKind::SumInt { values, sum, .. } => {
                let mut partial = None;
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    partial = Some(added(partial.unwrap_or(0), value, ansi)?);
                }
                if let Some(partial) = partial {
                    *sum = Some(added(sum.unwrap_or(0), partial, ansi)?);
                }
            }
            FoldKind::SumDouble { values, sum, .. } => {
                let partial = rows
                    .filter(|row| values.is_valid(*row))
                    .map(|row| values.value(row))
                    .reduce(|a, b| a + b);
                if let Some(partial) = partial {
                    *sum = Some(sum.map_or(partial, |sum| sum + partial));
                }
            }
            FoldKind::SumDecimal { values, sum, .. } => {
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    *sum = Some(sum.unwrap_or(0).saturating_add(value));
                }
            }
            FoldKind::AvgDouble { values, sum, count, .. } => {
                let mut partial = 0.0;
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    partial += value;
                    *count += 1;
                }
                *sum += partial;
            }
            FoldKind::AvgDecimal { values, sum, count, .. } => {
                for value in rows.filter(|row| values.is_valid(*row)).map(|row| values.value(row)) {
                    *sum = sum.saturating_add(value);
                    *count += 1;
                }
            }
            FoldKind::Extreme {
                values,
                compare,
                wanted,
                best,
                ..
            } => {
                for row in rows.filter(|row| values.is_valid(*row)) {
                    if best.is_none_or(|best| compare(row, best as usize) == *wanted) {
                        *best = Some(row as u32);
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes down the value as it is now.
    fn snapshot(&mut self, ansi: bool) -> Result<()> {
        match &mut self.kind {
            FoldKind::Count { count, taken, .. } => taken.push(*count),
            FoldKind::SumInt { sum, taken, .. } => taken.push(*sum),
            FoldKind::SumDouble { sum, taken, .. } => taken.push(sum.map(largest_if_nan)),
            FoldKind::SumDecimal { sum, to, taken, .. } => {
                let fits = sum.is_none_or(|sum| sum.unsigned_abs() < 10u128.pow(to.0.into()));
                taken.push(sum.filter(|_| fits));
                if !fits && ansi {
                    return Err(overflow());
                }
            }
            FoldKind::AvgDouble { sum, count, taken, .. } => {
                taken.push((*count > 0).then(|| largest_if_nan(*sum / *count as f64)));
            }
            FoldKind::AvgDecimal {
                values,
                sum,
                count,
                to,
                taken,
            } => {
                let shift = 10i128.pow((to.1 - values.scale()).max(0) as u32);
                taken.push((*count > 0).then(|| rounded_half_up(sum.saturating_mul(shift), i128::from(*count))));
            }
            FoldKind::Extreme { best, taken, .. } => taken.push(*best),
        }
        Ok(())
    }

    /// All values written down.
    fn column(self) -> Result<ArrayRef> {
        let decimals = |taken: Vec<Option<i128>>, (precision, scale): (u8, i8)| -> Result<ArrayRef> {
            Ok(Arc::new(
                Decimal128Array::from(taken).with_precision_and_scale(precision, scale)?,
            ))
        };
        match self.kind {
            FoldKind::Count { taken, .. } => Ok(Arc::new(Int64Array::from(taken))),
            FoldKind::SumInt { taken, .. } => Ok(Arc::new(Int64Array::from(taken))),
            FoldKind::SumDouble { taken, .. } | FoldKind::AvgDouble { taken, .. } => {
                Ok(Arc::new(Float64Array::from(taken)))
            }
            FoldKind::SumDecimal { taken, to, .. } | FoldKind::AvgDecimal { taken, to, .. } => decimals(taken, to),
            FoldKind::Extreme { values, taken, .. } => Ok(take(values.as_ref(), &UInt32Array::from(taken), None)?),
        }
    }
}

fn added(a: i64, b: i64, ansi: bool) -> Result<i64> {
    match ansi {
        true => a.checked_add(b).ok_or_else(overflow),
        false => Ok(a.wrapping_add(b)),
    }
}

/// NaN of either sign as the one that is larger than all numbers.
fn largest_if_nan(value: f64) -> f64 {
    match value.is_nan() {
        true => f64::NAN,
        false => value,
    }
}

fn rounded_half_up(numerator: i128, count: i128) -> i128 {
    let (quotient, rest) = (numerator / count, numerator % count);
    if rest.unsigned_abs() * 2 >= count.unsigned_abs() {
        quotient + numerator.signum()
    } else {
        quotient
    }
}

fn doubles(values: &ArrayRef) -> Result<Float64Array> {
    Ok(cast(values, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

fn decimals(values: &ArrayRef, scale: i8) -> Result<Decimal128Array> {
    Ok(cast(values, &DataType::Decimal128(38, scale))?
        .as_primitive::<Decimal128Type>()
        .clone())
}

fn overflow() -> Error {
    Error::spark(
        "ARITHMETIC_OVERFLOW",
        "[ARITHMETIC_OVERFLOW] long overflow in a sum. If necessary set \"spark.sql.ansi.enabled\" to \"false\" to bypass \
         this error",
    )
}

fn unknown(call: &Call, arg: &ArrayRef) -> Error {
    Error::unsupported(format!(
        "`{}` of {} is not supported on streams yet",
        call.function,
        arg.data_type()
    ))
}
