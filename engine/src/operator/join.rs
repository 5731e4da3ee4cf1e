//! The inner join of two streams: each side remembers its rows until no partner can come (spark-semantics 6).
//!
//! A side's rows stand under their key in order of time, so that a probe finds the partners within the condition's time
//! range by two binary searches and never walks the whole key; pairs are gathered column by column.

mod side;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::physical_expr::PhysicalExpr;

use self::side::{Entry, SideState};
use super::OperatorProgress;
use crate::watermark::at_or_below;
use crate::{Error, Result};

/// Pairs gathered at once.
const PAIRS: usize = 1 << 15;

/// A join as planned.
#[derive(Debug)]
pub(crate) struct JoinPlan {
    pub left: SidePlan,
    pub right: SidePlan,
    /// How far the times of partners may lie apart, if the condition bounds it.
    pub range: Option<TimeRange>,
    /// What else must hold for a pair, over left and right columns.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Left columns, then right columns.
    pub schema: SchemaRef,
}

/// One side of a join as planned.
#[derive(Debug)]
pub(crate) struct SidePlan {
    pub keys: Vec<Arc<dyn PhysicalExpr>>,
    /// The column that carries event time, if it reaches the join: late rows are judged by it.
    pub event_time: Option<usize>,
    /// When rows leave, if ever.
    pub eviction: Option<Eviction>,
}

/// When the rows of a side leave (spark-semantics 6.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// The key with this position is event time: at or below the watermark no partner can come.
    Key(usize),
    /// The event-time column, at or below a bound derived from the condition's time range.
    Value { column: usize, bounds: Vec<StateBound> },
}

/// `watermark + shift`, the time up to which a side's rows can have no partner any more (spark-semantics 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateBound {
    pub shift_us: i64,
    /// The condition says `<` rather than `<=`.
    pub strict: bool,
}

impl StateBound {
    /// The bound in milliseconds, computed in double precision and truncated toward zero as Spark does.
    fn at(self, watermark_ms: i64) -> i64 {
        let bound_us = watermark_ms as f64 * 1000.0 + self.shift_us as f64;
        (bound_us / 1000.0) as i64 - i64::from(!self.strict)
    }
}

impl Eviction {
    /// Rows at or below this time leave, in milliseconds.
    fn bound_ms(&self, watermark_ms: i64) -> i64 {
        match self {
            Eviction::Key(_) => watermark_ms,
            Eviction::Value { bounds, .. } => bounds
                .iter()
                .map(|b| b.at(watermark_ms))
                .min()
                .expect("an eviction has a bound"),
        }
    }
}

/// `min_us <= right time - left time <= max_us`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeRange {
    pub left_column: usize,
    pub right_column: usize,
    pub min_us: i64,
    pub max_us: i64,
}

/// The operator: its plan, both sides' rows, and what it did in the last batch.
pub(crate) struct StreamJoin {
    plan: JoinPlan,
    converter: RowConverter,
    left: SideState,
    right: SideState,
    dropped: u64,
}

/// Which side of a join.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// A batch of one side, ready to probe and to be stored.
struct Arrived {
    rows: RecordBatch,
    keys: Rows,
    /// The time rows are kept in order of: that of the range condition, else that of eviction.
    times: Option<arrow::array::TimestampMicrosecondArray>,
    evict_times: Option<arrow::array::TimestampMicrosecondArray>,
}

impl StreamJoin {
    /// An operator without rows.
    ///
    /// # Errors
    /// A key of a type it cannot hold.
    pub(crate) fn new(plan: JoinPlan, left: &SchemaRef, right: &SchemaRef) -> Result<Self> {
        let key_type = |key: &Arc<dyn PhysicalExpr>| Ok(SortField::new(key.data_type(left)?));
        let converter = RowConverter::new(plan.left.keys.iter().map(key_type).collect::<Result<_>>()?)?;
        let ordered = |side: &SidePlan, column: Option<usize>| match (&side.eviction, column) {
            (Some(Eviction::Value { column: evict, .. }), Some(range)) => *evict == range,
            (Some(_), Some(_)) => false,
            _ => true,
        };
        let range = plan.range;
        let left_ordered = ordered(&plan.left, range.map(|r| r.left_column));
        let right_ordered = ordered(&plan.right, range.map(|r| r.right_column));
        Ok(Self {
            left: SideState::new(Arc::clone(left), left_ordered),
            right: SideState::new(Arc::clone(right), right_ordered),
            plan,
            converter,
            dropped: 0,
        })
    }

    /// Whether state ever leaves, and with it whether a moving watermark gives the join something to do.
    pub(crate) fn evicts(&self) -> bool {
        self.plan.left.eviction.is_some() || self.plan.right.eviction.is_some()
    }

    /// The watermark of the pairs: the oldest time that can still come out (spark-semantics 7).
    pub(crate) fn output_watermark(&self, input_ms: i64) -> i64 {
        let sides = [&self.plan.left, &self.plan.right];
        let bounds = sides
            .iter()
            .filter_map(|side| side.eviction.as_ref())
            .map(|e| e.bound_ms(input_ms));
        bounds.min().map_or(input_ms, |bound| bound.min(input_ms))
    }

    /// Joins a batch: left rows first, then right rows, then the watermark takes what no partner can reach.
    pub(crate) fn run(
        &mut self,
        left: Vec<RecordBatch>,
        right: Vec<RecordBatch>,
        late_ms: i64,
        evict_ms: i64,
    ) -> Result<Vec<RecordBatch>> {
        self.dropped = 0;
        let left = self.admit(Side::Left, left, late_ms)?;
        let right = self.admit(Side::Right, right, late_ms)?;
        let mut pairs = Vec::new();
        for arrived in left {
            self.probe(Side::Left, &arrived, &mut pairs)?;
            self.left.store(arrived)?;
        }
        for arrived in &right {
            self.probe(Side::Right, arrived, &mut pairs)?;
        }
        for arrived in right {
            self.right.store(arrived)?;
        }
        for (side, plan) in [(&mut self.left, &self.plan.left), (&mut self.right, &self.plan.right)] {
            if let Some(eviction) = &plan.eviction {
                side.evict(eviction.bound_ms(evict_ms));
            }
        }
        Ok(pairs)
    }

    fn side_plan(&self, side: Side) -> &SidePlan {
        match side {
            Side::Left => &self.plan.left,
            Side::Right => &self.plan.right,
        }
    }

    /// Drops late rows and finds what the others are known by.
    fn admit(&mut self, side: Side, rows: Vec<RecordBatch>, late_ms: i64) -> Result<Vec<Arrived>> {
        let mut admitted = Vec::with_capacity(rows.len());
        for batch in rows {
            let before = batch.num_rows();
            let batch = match self.side_plan(side).event_time {
                Some(column) => drop_late(batch, column, late_ms)?,
                None => batch,
            };
            self.dropped += (before - batch.num_rows()) as u64;
            if batch.num_rows() > 0 {
                admitted.push(self.arrive(side, batch)?);
            }
        }
        Ok(admitted)
    }

    fn arrive(&self, side: Side, rows: RecordBatch) -> Result<Arrived> {
        let plan = self.side_plan(side);
        let keys = plan.keys.iter().map(|k| {
            Ok(super::aggregate::one_zero(
                k.evaluate(&rows)?.into_array(rows.num_rows())?,
            ))
        });
        let keys = keys.collect::<Result<Vec<ArrayRef>>>()?;
        let range_column = self.plan.range.map(|range| match side {
            Side::Left => range.left_column,
            Side::Right => range.right_column,
        });
        let evict_times = match &plan.eviction {
            Some(Eviction::Key(position)) => Some(event_times(&keys[*position])?),
            Some(Eviction::Value { column, .. }) => Some(event_times(rows.column(*column))?),
            None => None,
        };
        Ok(Arrived {
            keys: self.converter.convert_columns(&keys)?,
            times: match range_column {
                Some(column) => Some(event_times(rows.column(column))?),
                None => evict_times.clone(), // no range to search: the order they leave in
            },
            evict_times,
            rows,
        })
    }

    /// Finds the partners of a batch among the other side's rows. Keys are compared as bytes, as Spark does: NULL equals
    /// NULL. Where a condition says otherwise, the NULLs were filtered out before, if Spark knows it.
    fn probe(&self, side: Side, arrived: &Arrived, pairs: &mut Vec<RecordBatch>) -> Result<()> {
        let other = match side {
            Side::Left => &self.right,
            Side::Right => &self.left,
        };
        let mut mine: Vec<u32> = Vec::new();
        let mut theirs: Vec<Entry> = Vec::new();
        for row in 0..arrived.rows.num_rows() {
            let Some((min, max)) = self.partner_times(side, arrived, row) else {
                continue;
            };
            for entry in other.partners(arrived.keys.row(row).as_ref(), min, max) {
                mine.push(row as u32);
                theirs.push(*entry);
            }
            if mine.len() >= PAIRS {
                pairs.extend(self.gather(side, arrived, &mine, &theirs)?);
                mine.clear();
                theirs.clear();
            }
        }
        pairs.extend(self.gather(side, arrived, &mine, &theirs)?);
        Ok(())
    }

    /// The times a partner of `row` may have; `None` if its own time is NULL.
    fn partner_times(&self, side: Side, arrived: &Arrived, row: usize) -> Option<(i64, i64)> {
        let (Some(range), Some(times)) = (self.plan.range, &arrived.times) else {
            return Some((i64::MIN, i64::MAX));
        };
        if times.is_null(row) {
            return None;
        }
        let time = times.value(row);
        Some(match side {
            Side::Left => (time.saturating_add(range.min_us), time.saturating_add(range.max_us)),
            Side::Right => (time.saturating_sub(range.max_us), time.saturating_sub(range.min_us)),
        })
    }

    fn gather(&self, side: Side, arrived: &Arrived, mine: &[u32], theirs: &[Entry]) -> Result<Option<RecordBatch>> {
        if mine.is_empty() {
            return Ok(None);
        }
        let mine = UInt32Array::from(mine.to_vec());
        let mine = arrived
            .rows
            .columns()
            .iter()
            .map(|c| Ok(take(c, &mine, None)?))
            .collect::<Result<Vec<_>>>()?;
        let other = match side {
            Side::Left => self.right.gather(theirs)?,
            Side::Right => self.left.gather(theirs)?,
        };
        let (left, right) = match side {
            Side::Left => (mine, other),
            Side::Right => (other, mine),
        };
        let pairs = RecordBatch::try_new(Arc::clone(&self.plan.schema), left.into_iter().chain(right).collect())?;
        let Some(residual) = &self.plan.residual else {
            return Ok(Some(pairs));
        };
        let holds = residual.evaluate(&pairs)?.into_array(pairs.num_rows())?;
        Ok(Some(filter_record_batch(&pairs, holds.as_boolean())?))
    }

    /// Rows of both sides and dropped rows of the last batch.
    pub(crate) fn progress(&self) -> OperatorProgress {
        OperatorProgress {
            state_rows: (self.left.len() + self.right.len()) as u64,
            dropped: self.dropped,
        }
    }

    /// The rows of both sides, left first.
    pub(crate) fn snapshot(&self) -> Result<[RecordBatch; 2]> {
        Ok([self.left.snapshot()?, self.right.snapshot()?])
    }

    /// Takes back the rows of both sides.
    pub(crate) fn restore(&mut self, left: &RecordBatch, right: &RecordBatch) -> Result<()> {
        for (side, rows) in [(Side::Left, left), (Side::Right, right)] {
            let schema = match side {
                Side::Left => self.left.schema(),
                Side::Right => self.right.schema(),
            };
            let types = |s: &SchemaRef| s.fields().iter().map(|f| f.data_type().clone()).collect::<Vec<_>>();
            if types(schema) != types(&rows.schema()) {
                return Err(Error::Invalid(
                    "the checkpoint's state does not fit the query's join".into(),
                ));
            }
            let rows = RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())?;
            let arrived = self.arrive(side, rows)?;
            match side {
                Side::Left => self.left.store(arrived)?,
                Side::Right => self.right.store(arrived)?,
            }
        }
        Ok(())
    }
}

/// The times of an event-time column: its own, or the ends of its windows.
fn event_times(column: &ArrayRef) -> Result<arrow::array::TimestampMicrosecondArray> {
    let times = match column.data_type() {
        DataType::Struct(_) => column.as_struct().column(1),
        _ => column,
    };
    let times = times.as_primitive_opt::<TimestampMicrosecondType>();
    Ok(times
        .ok_or_else(|| Error::Invalid(format!("event time cannot be of type {}", column.data_type())))?
        .clone())
}

fn drop_late(rows: RecordBatch, column: usize, late_ms: i64) -> Result<RecordBatch> {
    let times = event_times(rows.column(column))?;
    let on_time: BooleanArray = times
        .iter()
        .map(|t| Some(t.is_none_or(|t| !at_or_below(t, late_ms))))
        .collect();
    if on_time.true_count() == on_time.len() {
        return Ok(rows);
    }
    Ok(filter_record_batch(&rows, &on_time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_bounds_follow_the_condition() {
        // r >= l AND r <= l + 5 min, watermark 10 min: the table of spark-semantics 6.3.
        let minutes = |m: i64| m * 60_000_000;
        for (shift_us, strict, bound_ms) in [
            (minutes(-5), false, 299_999),
            (minutes(-5), true, 300_000),
            (0, true, 600_000),
            (minutes(10), false, 1_199_999),
        ] {
            assert_eq!(StateBound { shift_us, strict }.at(600_000), bound_ms);
        }
    }
}
