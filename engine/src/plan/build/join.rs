//! How two streams are joined: keys, the range of times, and what evicts each side.

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, Join};

use super::{nullable, physical, several_event_times};
use crate::Result;
use crate::operator::{Eviction, JoinPlan, SidePlan, StateBound, TimeRange};
use crate::plan::event_time;
use crate::plan::expr::{TimeBound, time_bounds};
use crate::plan::state_bound::lower_bound;
use crate::sql::{self};

pub(super) fn join_plan(join: &Join) -> Result<JoinPlan> {
    let (left, right) = (join.left.schema(), join.right.schema());
    let tagged_left = event_time::tagged_columns(&join.left);
    let tagged_right = event_time::tagged_columns(&join.right);
    for tagged in [&tagged_left, &tagged_right] {
        if tagged.len() > 1 {
            return Err(several_event_times(tagged.iter().map(Column::to_string).collect()));
        }
    }
    let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
    let bounds: Vec<TimeBound> = conjuncts.iter().flat_map(time_bounds).collect();
    let range = time_range(&bounds, left, right);
    let eviction =
        |mine: &DFSchema, my_time: Option<&Column>, other_time: Option<&Column>| -> Result<Option<Eviction>> {
            Ok(match key_eviction(join, &tagged_left, &tagged_right) {
                Some(position) => Some(Eviction::Key(position)),
                None => value_eviction(&conjuncts, mine, my_time, other_time)?,
            })
        };
    let keys = |side: usize, schema: &DFSchema| {
        let exprs = join.on.iter().map(|(l, r)| if side == 0 { l } else { r });
        exprs.map(|e| physical(e, schema)).collect::<Result<Vec<_>>>()
    };
    let index = |schema: &DFSchema, column: Option<&Column>| column.map(|c| schema.index_of_column(c)).transpose();
    let (left_time, right_time) = (tagged_left.first(), tagged_right.first());
    // A pair found within the range needs no second look at the conditions the range is made of.
    let open: Vec<Expr> = conjuncts
        .iter()
        .filter(|c| !range.as_ref().is_some_and(|r| r.covers(c)))
        .cloned()
        .collect();
    let both = left.join(right)?;
    let residual = datafusion::logical_expr::utils::conjunction(open)
        .map(|e| physical(&e, &both))
        .transpose()?;
    Ok(JoinPlan {
        left: SidePlan {
            keys: keys(0, left)?,
            event_time: index(left, left_time)?,
            eviction: eviction(left, left_time, right_time)?,
        },
        right: SidePlan {
            keys: keys(1, right)?,
            event_time: index(right, right_time)?,
            eviction: eviction(right, right_time, left_time)?,
        },
        range: range.map(|r| r.range(left, right)).transpose()?,
        residual,
        schema: nullable(join.schema.inner()),
    })
}

/// The first pair of keys of which one is a bare event-time column: then both sides leave by it.
fn key_eviction(join: &Join, left: &[Column], right: &[Column]) -> Option<usize> {
    let is = |e: &Expr, tagged: &[Column]| matches!(e, Expr::Column(c) if tagged.contains(c));
    join.on.iter().position(|(l, r)| is(l, left) || is(r, right))
}

/// When rows with event time `my_time` leave: from conditions `other_time + c <= mine` (spark-semantics 6.3).
fn value_eviction(
    conjuncts: &[Expr],
    mine: &DFSchema,
    my_time: Option<&Column>,
    other_time: Option<&Column>,
) -> Result<Option<Eviction>> {
    let (Some(my_time), Some(other_time)) = (my_time, other_time) else {
        return Ok(None);
    };
    let found = conjuncts
        .iter()
        .filter_map(|conjunct| lower_bound(conjunct, |column| mine.has_column(column)))
        .filter(|bound| bound.other == *other_time);
    let shifts = found.map(|bound| StateBound {
        shift_us: bound.offset_us,
        strict: bound.strict,
    });
    let bounds: Vec<StateBound> = shifts.collect();
    if bounds.is_empty() {
        return Ok(None);
    }
    Ok(Some(Eviction::Value {
        column: mine.index_of_column(my_time)?,
        bounds,
    }))
}

/// The bounds on how far two times lie apart, and which columns they are.
struct Range {
    left: Column,
    right: Column,
    min_us: i64,
    max_us: i64,
}

impl Range {
    fn range(&self, left: &DFSchema, right: &DFSchema) -> Result<TimeRange> {
        Ok(TimeRange {
            left_column: left.index_of_column(&self.left)?,
            right_column: right.index_of_column(&self.right)?,
            min_us: self.min_us,
            max_us: self.max_us,
        })
    }

    /// Whether a conjunct says nothing beyond this range.
    fn covers(&self, conjunct: &Expr) -> bool {
        let bounds = time_bounds(conjunct);
        let ends = |c: &Column| *c == self.left || *c == self.right;
        let about_us =
            |b: &TimeBound| ends(&b.earlier.column) && ends(&b.later.column) && b.earlier.column != b.later.column;
        let expected = if matches!(conjunct, Expr::Between(_)) { 2 } else { 1 };
        let is_not_null = matches!(conjunct, Expr::IsNotNull(e) if matches!(&**e, Expr::Column(c) if ends(c)));
        is_not_null || (bounds.len() == expected && bounds.iter().all(about_us))
    }
}

/// The range from the first pair of timestamp columns the condition compares across sides.
fn time_range(bounds: &[TimeBound], left: &DFSchema, right: &DFSchema) -> Option<Range> {
    let is_time = |schema: &DFSchema, c: &Column| {
        schema
            .maybe_index_of_column(c)
            .is_some_and(|i| *schema.field(i).data_type() == sql::timestamp_type())
    };
    let mut range: Option<Range> = None;
    for bound in bounds {
        let (earlier, later) = (&bound.earlier.column, &bound.later.column);
        let (l, r, right_is_later) = if is_time(left, earlier) && is_time(right, later) {
            (earlier, later, true)
        } else if is_time(right, earlier) && is_time(left, later) {
            (later, earlier, false)
        } else {
            continue;
        };
        let range = range.get_or_insert(Range {
            left: l.clone(),
            right: r.clone(),
            min_us: i64::MIN,
            max_us: i64::MAX,
        });
        if range.left != *l || range.right != *r {
            continue;
        }
        // earlier + e <= later + t, so later - earlier >= e - t; strictly: one microsecond more.
        let gap_us = bound.earlier.offset_us - bound.later.offset_us + i64::from(bound.strict);
        if right_is_later {
            range.min_us = range.min_us.max(gap_us);
        } else {
            range.max_us = range.max_us.min(-gap_us);
        }
    }
    range
}
