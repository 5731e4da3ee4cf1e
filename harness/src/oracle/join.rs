//! Joins: of two streams by the batches in which their rows are in state together, of a stream with a table row by row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use arrow::row::{OwnedRow, RowConverter, SortField};
use skirl_engine::Result;

use super::derive::{Derivation, booleans};
use super::scalar::Scalar;
use super::step::*;
use super::table::*;
use super::tree::JoinKind;

/// Pairs whose condition is evaluated at once.
const CHUNK: usize = 1 << 16;

/// The pairs of two streams.
///
/// A row is in state from the batch in which it became available to the batch that evicts it. Two rows are a pair if
/// those intervals overlap and the condition holds; the pair is released when the later of them arrives.
pub(super) fn of_streams(d: &mut Derivation, join: &StreamJoin, left: Table, right: Table) -> Result<Table> {
    let batches = d.schedule.len();
    let operator = join.operator;
    d.operators[operator].dropped = vec![0; batches];
    d.ledger.enter(&left.lineage);
    d.ledger.enter(&right.lineage);
    let mut left = without_late(d, operator, left, join.left_tag)?;
    let mut right = without_late(d, operator, right, join.right_tag)?;

    let exprs: Vec<Scalar> = join.keys.iter().map(|key| key.left.clone()).collect();
    let left_keys = d.evaluate(&exprs, &mut left, &join.left.schema)?;
    let exprs: Vec<Scalar> = join.keys.iter().map(|key| key.right.clone()).collect();
    let right_keys = d.evaluate(&exprs, &mut right, &join.right.schema)?;

    let left_evicted = evicted(d, join, &left, join.left_tag, &left_keys, |(left, _)| left);
    let right_evicted = evicted(d, join, &right, join.right_tag, &right_keys, |(_, right)| right);
    let mut in_state = vec![0; batches];
    count_state(&mut in_state, &left.available, &left_evicted);
    count_state(&mut in_state, &right.available, &right_evicted);
    let null_times = null_times(join, &left, join.left_tag) + null_times(join, &right, join.right_tag);
    d.operators[operator].state_rows = in_state;
    d.operators[operator].null_times = null_times;

    let (left_rows, right_rows) = encoded(left_keys, right_keys)?;
    let mut by_key: BTreeMap<&OwnedRow, Vec<u32>> = BTreeMap::new();
    for (row, key) in left_rows.iter().enumerate() {
        by_key.entry(key).or_default().push(row as u32);
    }
    let mut pairs = Pairs::new(join, &left, &right);
    for (r, key) in right_rows.iter().enumerate() {
        let Some(candidates) = by_key.get(key) else {
            continue;
        };
        for l in candidates {
            let release = left.available[*l as usize].max(right.available[r]);
            if release <= left_evicted[*l as usize].min(right_evicted[r]) {
                pairs.push(d, *l, r as u32, release)?;
            }
        }
    }
    pairs.finish(d)
}

/// Drops the rows that are late for an operator, and writes them down.
fn without_late(d: &mut Derivation, operator: usize, table: Table, tag: Option<usize>) -> Result<Table> {
    let Some(tag) = tag else { return Ok(table) };
    let times = event_times(&table.columns[tag]);
    let mut kept = Vec::with_capacity(table.len());
    for (row, time) in times.into_iter().enumerate() {
        let batch = table.available[row];
        let late_ms = d.schedule.late(operator, batch);
        match time {
            Some(time) if time <= late_ms.saturating_mul(1000) => {
                d.operators[operator].dropped[batch as usize] += 1;
                d.ledger
                    .drop_row(table.lineage.parents_of(row), operator, batch, late_ms, time);
            }
            _ => kept.push(row as u32),
        }
    }
    if kept.len() == table.len() {
        return Ok(table);
    }
    table.at(&kept)
}

/// The batch at whose end each row of a side is forgotten.
fn evicted(
    d: &Derivation,
    join: &StreamJoin,
    side: &Table,
    tag: Option<usize>,
    keys: &[ArrayRef],
    own: impl Fn((Option<i64>, Option<i64>)) -> Option<i64>,
) -> Vec<u32> {
    let times = match (&join.eviction, tag) {
        (Eviction::Key(key), _) => event_times(&keys[*key]),
        (Eviction::Value { .. }, Some(tag)) => event_times(&side.columns[tag]),
        (Eviction::Value { .. }, None) => return vec![NEVER; side.len()],
    };
    let bounds: Vec<Option<i64>> = (0..d.schedule.len())
        .map(|b| own(join.state_watermarks(d.schedule.evict(join.operator, b as u32))))
        .collect();
    times
        .into_iter()
        .zip(&side.available)
        .map(|(time, from)| first_at_or_above(&bounds, *from, time))
        .collect()
}

/// Rows of a side that never leave, since they have no event time.
fn null_times(join: &StreamJoin, side: &Table, tag: Option<usize>) -> u64 {
    match tag {
        Some(tag) if join.evicts() => side.columns[tag].null_count() as u64,
        _ => 0,
    }
}

/// The first batch from `from` on whose bound has reached a time.
pub(super) fn first_at_or_above(bounds_ms: &[Option<i64>], from: u32, time: Option<i64>) -> u32 {
    let Some(time) = time else { return NEVER };
    let reached = |bound: &Option<i64>| bound.is_some_and(|ms| time <= ms.saturating_mul(1000));
    let later = &bounds_ms[(from as usize).min(bounds_ms.len())..];
    // Watermarks never go back, so the bounds are sorted.
    match later.partition_point(|bound| !reached(bound)) {
        at if at < later.len() => from + at as u32,
        _ => NEVER,
    }
}

/// Adds, per batch, the rows that are in state when it ends.
pub(super) fn count_state(in_state: &mut [u64], available: &[u32], evicted: &[u32]) {
    let mut change = vec![0i64; in_state.len() + 1];
    for (from, to) in available.iter().zip(evicted) {
        change[(*from as usize).min(in_state.len())] += 1;
        change[(*to as usize).min(in_state.len())] -= 1;
    }
    let mut now = 0;
    for (count, change) in in_state.iter_mut().zip(change) {
        now += change;
        *count += now as u64;
    }
}

/// Keys of both sides as comparable bytes. A NULL that no condition kept out below equals a NULL: nothing asks again.
fn encoded(left: Vec<ArrayRef>, right: Vec<ArrayRef>) -> Result<(Vec<OwnedRow>, Vec<OwnedRow>)> {
    let fields = left.iter().map(|k| SortField::new(k.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let encode = |keys: Vec<ArrayRef>| -> Result<Vec<OwnedRow>> {
        let keys: Vec<ArrayRef> = keys.into_iter().map(normalised).collect();
        let rows = converter.convert_columns(&keys)?;
        Ok(rows.iter().map(|row| row.owned()).collect())
    };
    Ok((encode(left)?, encode(right)?))
}

/// Pairs on the way to the output, some at a time.
struct Pairs<'a> {
    join: &'a StreamJoin,
    left: &'a Table,
    right: &'a Table,
    waiting: Vec<(u32, u32, u32)>,
    done: Vec<Table>,
}

impl<'a> Pairs<'a> {
    fn new(join: &'a StreamJoin, left: &'a Table, right: &'a Table) -> Self {
        Self {
            join,
            left,
            right,
            waiting: vec![],
            done: vec![],
        }
    }

    fn push(&mut self, d: &mut Derivation, left: u32, right: u32, release: u32) -> Result<()> {
        self.waiting.push((release, left, right));
        if self.waiting.len() >= CHUNK {
            self.release(d)
        } else {
            Ok(())
        }
    }

    /// Evaluates the condition on the pairs that wait.
    fn release(&mut self, d: &mut Derivation) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|(release, ..)| *release);
        let lefts: Vec<u32> = waiting.iter().map(|(_, l, _)| *l).collect();
        let rights: Vec<u32> = waiting.iter().map(|(_, _, r)| *r).collect();
        let mut columns = take_columns(&self.left.columns, &lefts)?;
        columns.extend(take_columns(&self.right.columns, &rights)?);
        let pairs: Vec<(u32, u32)> = lefts.into_iter().zip(rights).collect();
        let mut table = Table {
            columns,
            available: waiting.iter().map(|(release, ..)| *release).collect(),
            lineage: Lineage::pairs(&self.left.lineage, &self.right.lineage, &pairs),
        };
        for condition in &self.join.condition {
            let holds = d.evaluate(std::slice::from_ref(condition), &mut table, &self.join.pair_schema)?;
            table = table.keep(booleans(&holds[0])?)?;
        }
        let left_columns = self.left.columns.len();
        let from = |from: &From| match from {
            From::Left(at) => table.columns[*at].clone(),
            From::Right(at) => table.columns[left_columns + at].clone(),
            From::Mark => unreachable!("a join of streams has no mark"),
        };
        table.columns = self.join.output.iter().map(from).collect();
        self.done.push(table);
        Ok(())
    }

    fn finish(mut self, d: &mut Derivation) -> Result<Table> {
        if !self.waiting.is_empty() || self.done.is_empty() {
            self.release(d)?;
        }
        match self.done.len() {
            1 => Ok(self.done.swap_remove(0)),
            _ => Table::union(self.done),
        }
    }
}

/// A stream's rows with their partners in a table.
pub(super) fn with_table(d: &mut Derivation, join: &TableJoin, mut stream: Table) -> Result<Table> {
    if join.kind == JoinKind::Mark {
        let asked = found(d, &join.partners, &mut stream, &join.stream.schema)?;
        let has_partner = flags(&asked, stream.len());
        let mark: ArrayRef = Arc::new(BooleanArray::from(has_partner));
        let from = |from: &From| match from {
            From::Left(at) => stream.columns[*at].clone(),
            _ => mark.clone(),
        };
        stream.columns = join.output.iter().map(from).collect();
        return Ok(stream);
    }
    let pairs = found(d, &join.partners, &mut stream, &join.stream.schema)?;
    let has_partner = flags(&pairs, stream.len());
    let rows: Vec<(u32, Option<u32>)> = match join.kind {
        JoinKind::Semi => alone(&has_partner, true),
        JoinKind::Anti => alone(&has_partner, false),
        JoinKind::Left => {
            let mut all: Vec<_> = pairs.into_iter().map(|(row, partner)| (row, Some(partner))).collect();
            all.extend(alone(&has_partner, false));
            all.sort();
            all
        }
        _ => pairs.into_iter().map(|(row, partner)| (row, Some(partner))).collect(),
    };
    let positions: Vec<u32> = rows.iter().map(|(row, _)| *row).collect();
    let partners: UInt32Array = rows.iter().map(|(_, partner)| *partner).collect();
    let mut table = stream.at(&positions)?;
    let from = |from: &From| -> Result<ArrayRef> {
        match from {
            From::Left(at) => Ok(table.columns[*at].clone()),
            From::Right(at) => Ok(take(join.partners.table[*at].as_ref(), &partners, None)?),
            From::Mark => unreachable!("only a mark join has a mark"),
        }
    };
    table.columns = join.output.iter().map(from).collect::<Result<_>>()?;
    Ok(table)
}

fn flags(pairs: &[(u32, u32)], rows: usize) -> Vec<bool> {
    let mut flags = vec![false; rows];
    for (row, _) in pairs {
        flags[*row as usize] = true;
    }
    flags
}

fn alone(has_partner: &[bool], wanted: bool) -> Vec<(u32, Option<u32>)> {
    let rows = has_partner.iter().enumerate().filter(|(_, has)| **has == wanted);
    rows.map(|(row, _)| (row as u32, None)).collect()
}

/// Whether each row has a partner in the table that `IN` or `EXISTS` asks.
pub(super) fn marks(d: &mut Derivation, asked: &Partners, rows: &mut Table, schema: &SchemaRef) -> Result<ArrayRef> {
    let pairs = found(d, asked, rows, schema)?;
    Ok(Arc::new(BooleanArray::from(flags(&pairs, rows.len()))))
}

/// The partners of each row in a table, in the order of rows and then of the table.
fn found(d: &mut Derivation, partners: &Partners, rows: &mut Table, schema: &SchemaRef) -> Result<Vec<(u32, u32)>> {
    if let (Some(failure), Some(batch)) = (&partners.failure, rows.available.first().copied()) {
        d.fail(batch, again(failure));
        rows.cut(batch);
        return Ok(vec![]);
    }
    let keys = d.evaluate(&partners.row_keys, rows, schema)?;
    let mut found = vec![];
    let mut candidates: Vec<(u32, u32)> = vec![];
    let encoded = match keys.is_empty() {
        true => None,
        false => {
            let keys: Vec<ArrayRef> = keys.iter().cloned().map(normalised).collect();
            Some(RowConverter::new(partners.key_types.clone())?.convert_columns(&keys)?)
        }
    };
    let every: Vec<u32> = (0..partners.table_rows as u32).collect();
    for row in 0..rows.len() {
        let of_row: &[u32] = match &encoded {
            None => &every,
            Some(_) if keys.iter().any(|key| key.is_null(row)) => &[],
            Some(encoded) => partners
                .by_key
                .get(&encoded.row(row).owned())
                .map_or(&[], Vec::as_slice),
        };
        candidates.extend(of_row.iter().map(|partner| (row as u32, *partner)));
        if candidates.len() >= CHUNK {
            found.extend(holding(d, partners, rows, std::mem::take(&mut candidates))?);
        }
    }
    found.extend(holding(d, partners, rows, candidates)?);
    if let Some((batch, _)) = &d.failure {
        let batch = *batch;
        rows.cut(batch);
        found.retain(|(row, _)| (*row as usize) < rows.len());
    }
    Ok(found)
}

/// The pairs for which the condition holds.
fn holding(d: &mut Derivation, partners: &Partners, rows: &Table, pairs: Vec<(u32, u32)>) -> Result<Vec<(u32, u32)>> {
    if partners.condition.is_empty() || pairs.is_empty() {
        return Ok(pairs);
    }
    let mut both = paired(rows, partners, &pairs)?;
    // The pair's number rides along as its parent.
    both.lineage = Lineage::own(0..pairs.len() as u32);
    for condition in &partners.condition {
        let holds = d.evaluate(std::slice::from_ref(condition), &mut both, &partners.schema)?;
        both = both.keep(booleans(&holds[0])?)?;
    }
    Ok(both.lineage.parents.iter().map(|pair| pairs[*pair as usize]).collect())
}

fn paired(rows: &Table, partners: &Partners, pairs: &[(u32, u32)]) -> Result<Table> {
    let positions: Vec<u32> = pairs.iter().map(|(row, _)| *row).collect();
    let others: Vec<u32> = pairs.iter().map(|(_, partner)| *partner).collect();
    let mut both = rows.at(&positions)?;
    both.columns.extend(take_columns(&partners.table, &others)?);
    Ok(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_leaves_with_the_first_batch_whose_bound_reaches_it() {
        let bounds = [None, Some(0), Some(10), Some(10), Some(20)];
        for (from, time, want) in [
            (0, Some(0), 1),
            (0, Some(1), 2),
            (0, Some(10_000), 2),
            (3, Some(10_000), 3),
            (0, Some(10_001), 4),
            (0, Some(20_001), NEVER),
            (0, None, NEVER),
            (9, Some(0), NEVER),
        ] {
            assert_eq!(
                first_at_or_above(&bounds, from, time),
                want,
                "time {time:?} from batch {from}"
            );
        }
    }

    #[test]
    fn a_row_is_in_state_when_its_batch_ends_and_not_when_the_batch_that_evicts_it_ends() {
        let mut in_state = vec![0; 4];
        count_state(&mut in_state, &[0, 1, 2, 1], &[2, NEVER, 2, 3]);
        assert_eq!(in_state, [1, 3, 2, 1]);
    }
}
