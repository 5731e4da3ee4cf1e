//! Event time: when is a row late, and how far has a stream come?
//!
//! The rules are those of spark-semantics 2 and 3: the watermark of a batch is known before it starts, late rows are
//! judged by the previous batch's watermark, state leaves by this one's, and both ask [`at_or_below`].

use arrow::array::{Array, AsArray};
use arrow::compute::max;
use arrow::datatypes::{DataType, TimestampMicrosecondType};

/// Whether an event time in microseconds is at or below a watermark in milliseconds: late as a row, closed as state.
///
/// Both uses are `event time <= watermark`; a NULL event time is neither late nor ever closed.
#[inline]
pub fn at_or_below(event_time_us: i64, watermark_ms: i64) -> bool {
    event_time_us <= watermark_ms.saturating_mul(1000)
}

/// How several watermarked streams make one global watermark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MultipleWatermarkPolicy {
    /// The slowest stream; one never seen counts as 0.
    #[default]
    Min,
    /// The fastest stream.
    Max,
}

/// What a window counts as where a watermark is on a column of windows: Spark takes where the window lies in a row's bytes
/// (its offset 16 and its size 24, in one word) for the time.
const WINDOW_MS: i64 = ((16 << 32) | 24) / 1000;

/// The highest event time that reached each watermark node in a batch, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observed(Vec<(usize, i64)>);

impl Observed {
    /// Notes the event times of a column: timestamps, or windows, which all count the same. NULL counts as 0.
    pub(crate) fn observe(&mut self, watermark: usize, column: &dyn Array) {
        if column.is_empty() {
            return;
        }
        let null_ms = (column.null_count() > 0).then_some(0);
        let max_ms = match column.data_type() {
            DataType::Struct(_) => (column.null_count() < column.len()).then_some(WINDOW_MS),
            _ => max(column.as_primitive::<TimestampMicrosecondType>()).map(|us| us.div_euclid(1000)),
        };
        let max_ms = max_ms.max(null_ms);
        if let Some(ms) = max_ms {
            self.note(watermark, ms);
        }
    }

    fn note(&mut self, watermark: usize, ms: i64) {
        match self.0.iter_mut().find(|(w, _)| *w == watermark) {
            Some((_, seen)) => *seen = ms.max(*seen),
            None => self.0.push((watermark, ms)),
        }
    }

    /// Adds what another chunk saw.
    pub(crate) fn merge(&mut self, other: &Observed) {
        other.0.iter().for_each(|(watermark, ms)| self.note(*watermark, *ms));
    }
}

/// The watermark of a query: one per watermark node, and the global one that everything is judged by.
#[derive(Debug, Clone)]
pub struct WatermarkTracker {
    delays_ms: Vec<i64>,
    nodes: Vec<Option<i64>>,
    policy: MultipleWatermarkPolicy,
    global_ms: i64,
}

impl WatermarkTracker {
    /// A tracker that starts at `global_ms` (0 for a new query, the checkpoint's value for a resumed one). What single
    /// nodes had seen is not kept in a checkpoint: after a restart each counts as never seen.
    pub fn new(delays_ms: Vec<i64>, policy: MultipleWatermarkPolicy, global_ms: i64) -> Self {
        let nodes = vec![None; delays_ms.len()];
        Self {
            delays_ms,
            nodes,
            policy,
            global_ms,
        }
    }

    /// The global watermark in milliseconds.
    pub fn global_ms(&self) -> i64 {
        self.global_ms
    }

    /// Whether the query has a watermark at all.
    pub fn is_watermarked(&self) -> bool {
        !self.delays_ms.is_empty()
    }

    /// Moves the watermark by what a batch has seen; the new value holds from the next batch on. It never goes back.
    pub(crate) fn advance(&mut self, observed: &Observed) {
        for (watermark, max_ms) in &observed.0 {
            let reached = max_ms.saturating_sub(self.delays_ms[*watermark]);
            let node = &mut self.nodes[*watermark];
            *node = Some(node.map_or(reached, |before| before.max(reached)));
        }
        let reached = self.nodes.iter().map(|node| node.unwrap_or(0));
        let candidate = match self.policy {
            MultipleWatermarkPolicy::Min => reached.min(),
            MultipleWatermarkPolicy::Max => reached.max(),
        };
        self.global_ms = self.global_ms.max(candidate.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_exactly_at_the_watermark_is_late() {
        assert!(at_or_below(5_000, 5));
        assert!(!at_or_below(5_001, 5));
    }

    #[test]
    fn a_stream_never_seen_holds_the_watermark_at_zero() {
        let mut tracker = WatermarkTracker::new(vec![0, 0], MultipleWatermarkPolicy::Min, 0);
        tracker.advance(&Observed(vec![(0, 100)]));
        assert_eq!(tracker.global_ms(), 0);
        tracker.advance(&Observed(vec![(1, 70)]));
        assert_eq!(tracker.global_ms(), 70);
    }

    #[test]
    fn the_watermark_never_goes_back() {
        let mut tracker = WatermarkTracker::new(vec![10], MultipleWatermarkPolicy::Max, 0);
        for (seen, global) in [(100, 90), (50, 90), (120, 110)] {
            tracker.advance(&Observed(vec![(0, seen)]));
            assert_eq!(tracker.global_ms(), global);
        }
    }
}
