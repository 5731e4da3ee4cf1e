//! Which batches are executed, and with which watermarks.

use super::Oracle;
use super::step::{Op, Step};
use super::table::NEVER;
use crate::job::Feed;
use crate::trace::Trace;
use skirl_engine::{Error, OutputMode, Result};

/// The executed batches so far.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub batches: Vec<Batch>,
    /// The batch of each micro-batch.
    batch_of: Vec<u32>,
    operators: usize,
}

/// An executed batch.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// What it read; `None` for one without data.
    pub micro_batch: Option<usize>,
    /// The global watermark in force, in milliseconds.
    pub watermark: i64,
    /// The watermark each operator with state evicts by; it judges late rows by the previous batch's.
    pub evict: Vec<i64>,
}

impl Schedule {
    pub fn new(micro_batches: usize, operators: usize) -> Self {
        Self {
            batches: vec![],
            batch_of: vec![NEVER; micro_batches],
            operators,
        }
    }

    /// One in which batches are micro-batches, for what does not depend on watermarks.
    pub fn by_micro_batch(&mut self) {
        self.batch_of = (0..self.batch_of.len() as u32).collect();
    }

    /// Starts over with no batch executed.
    pub fn clear(&mut self) {
        self.batches.clear();
        self.batch_of.fill(NEVER);
    }

    pub fn batch_of(&self, micro_batch: u32) -> u32 {
        self.batch_of[micro_batch as usize]
    }

    pub fn len(&self) -> usize {
        self.batches.len()
    }

    pub fn push(&mut self, batch: Batch) {
        if let Some(micro_batch) = batch.micro_batch {
            self.batch_of[micro_batch] = self.batches.len() as u32;
        }
        self.batches.push(batch);
    }

    /// The watermark by which an operator evicts in a batch.
    pub fn evict(&self, operator: usize, batch: u32) -> i64 {
        self.batches[batch as usize].evict[operator]
    }

    /// The watermark by which an operator judges late rows of a batch.
    pub fn late(&self, operator: usize, batch: u32) -> i64 {
        match batch {
            0 => 0,
            _ => self.evict(operator, batch - 1),
        }
    }

    /// The global watermark by which rows of a batch count as late.
    pub fn late_watermark(&self, batch: u32) -> i64 {
        match batch {
            0 => 0,
            _ => self.batches[batch as usize - 1].watermark,
        }
    }

    /// No watermark has ever been seen: all are 0.
    pub fn zeros(&self) -> Vec<i64> {
        vec![0; self.operators]
    }
}

/// The micro-batches between restarts.
pub(super) fn runs(feed: &Feed, micro_batches: usize) -> Vec<std::ops::Range<usize>> {
    let starts: Vec<usize> = match feed {
        Feed::Backlog => vec![],
        Feed::Drip => (1..micro_batches).collect(),
        Feed::RestartBefore(starts) => starts
            .iter()
            .copied()
            .filter(|at| (1..micro_batches).contains(at))
            .collect(),
    };
    let mut runs = vec![];
    let mut from = 0;
    for to in starts.into_iter().chain([micro_batches]) {
        runs.push(from..to);
        from = to;
    }
    runs
}

/// Whether any stream of the query has a file in a micro-batch.
pub(super) fn has_file(oracle: &Oracle, trace: &Trace, micro_batch: usize) -> bool {
    let rows = &trace.micro_batches[micro_batch].rows;
    rows.iter()
        .zip(&oracle.reads)
        .any(|(rows, read)| *read && rows.is_some())
}

/// The input watermarks of all operators when the global watermark is `watermark`.
///
/// # Errors
/// A watermark above another, once there is one.
pub(super) fn propagate(root: &Step, watermark: i64, mut inputs: Vec<i64>) -> Result<Vec<i64>> {
    // Spark skips the whole matter while there is no watermark.
    if watermark != 0 {
        output_watermark(root, watermark, &mut inputs)?;
    }
    Ok(inputs)
}

/// What a step passes on; `None` if it has no watermark.
fn output_watermark(step: &Step, global: i64, inputs: &mut Vec<i64>) -> Result<Option<i64>> {
    let mut below: Option<i64> = None;
    for input in step.inputs() {
        let watermark = output_watermark(input, global, inputs)?;
        below = [below, watermark].into_iter().flatten().min();
    }
    match &step.op {
        Op::Watermark { .. } => match below {
            None => Ok(Some(global)),
            Some(_) => Err(Error::nameless(
                "Redefining watermark is disallowed. You can set the config \
                 'spark.sql.streaming.statefulOperator.allowMultiple' to 'false' to restore the previous behavior. Note that \
                 multiple stateful operators will be disallowed.",
            )),
        },
        Op::StreamJoin(join) => {
            let Some(input) = below else { return Ok(None) };
            inputs[join.operator] = input;
            let (left, right) = join.state_watermarks(input);
            Ok([Some(input), left, right].into_iter().flatten().min())
        }
        Op::Aggregate(aggregation) => {
            inputs[aggregation.operator] = below.unwrap_or(0);
            Ok(below)
        }
        Op::Limit {
            operator: Some(operator),
            ..
        } => {
            inputs[*operator] = below.unwrap_or(0);
            Ok(below)
        }
        _ => Ok(below),
    }
}

/// Whether an operator asks for a batch without data, given what it evicted by and would evict by then.
pub(super) fn wants_batch(step: &Step, mode: OutputMode, last: &[i64], next: &[i64]) -> bool {
    let rises = |operator: usize| next[operator] > last[operator];
    let own = match &step.op {
        Op::StreamJoin(join) => join.evicts() && rises(join.operator),
        Op::Aggregate(aggregation) => mode != OutputMode::Complete && rises(aggregation.operator),
        _ => false,
    };
    own || step
        .inputs()
        .into_iter()
        .any(|input| wants_batch(input, mode, last, next))
}

/// The watermarks of a run: one per node since its start, and the global one that outlives it.
#[derive(Debug)]
pub(super) struct Watermarks {
    nodes: Vec<Option<i64>>,
    pub global: i64,
    follows_fastest: bool,
}

impl Watermarks {
    pub fn new(nodes: usize, follows_fastest: bool) -> Self {
        Self {
            nodes: vec![None; nodes],
            global: 0,
            follows_fastest,
        }
    }

    /// A checkpoint holds the global watermark only.
    pub fn restart(&mut self) {
        self.nodes.fill(None);
    }

    /// Takes in the latest event time that reached each node in a batch.
    pub fn advance(&mut self, latest_ms: &[Option<i64>], delays_ms: &[i64]) {
        for ((node, latest), delay) in self.nodes.iter_mut().zip(latest_ms).zip(delays_ms) {
            if let Some(latest) = latest {
                let watermark = latest - delay;
                *node = Some(node.map_or(watermark, |old| old.max(watermark)));
            }
        }
        let nodes = self.nodes.iter().map(|node| node.unwrap_or(0));
        let candidate = if self.follows_fastest { nodes.max() } else { nodes.min() };
        self.global = self.global.max(candidate.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_where_the_next_restart_is() {
        for (feed, want) in [
            (Feed::Backlog, vec![0, 3]),
            (Feed::Drip, vec![0, 1, 2, 3]),
            (Feed::RestartBefore(vec![2]), vec![0, 2, 3]),
            // There is nothing to restart before the first micro-batch or after the last.
            (Feed::RestartBefore(vec![0, 3]), vec![0, 3]),
        ] {
            let runs = runs(&feed, 3);
            let borders: Vec<usize> = runs.iter().map(|run| run.start).chain([3]).collect();
            assert_eq!(borders, want, "{feed:?}");
            assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start), "{feed:?}");
        }
    }

    #[test]
    fn the_slowest_watermark_counts_and_one_that_saw_nothing_counts_as_0() {
        let mut watermarks = Watermarks::new(2, false);
        watermarks.advance(&[Some(100), None], &[10, 20]);
        assert_eq!(watermarks.global, 0);
        watermarks.advance(&[None, Some(70)], &[10, 20]);
        assert_eq!(watermarks.global, 50);
        watermarks.advance(&[Some(300), Some(40)], &[10, 20]);
        assert_eq!(watermarks.global, 50, "a watermark never goes back");
    }

    #[test]
    fn a_restart_forgets_all_watermarks_but_the_global_one() {
        let mut watermarks = Watermarks::new(2, false);
        watermarks.advance(&[Some(100), Some(100)], &[0, 0]);
        watermarks.restart();
        watermarks.advance(&[Some(200), None], &[0, 0]);
        assert_eq!(watermarks.global, 100, "until every input has spoken again");
        watermarks.advance(&[None, Some(150)], &[0, 0]);
        assert_eq!(watermarks.global, 150);
    }

    #[test]
    fn the_fastest_watermark_counts_where_the_policy_says_so() {
        let mut watermarks = Watermarks::new(2, true);
        watermarks.advance(&[Some(100), None], &[10, 20]);
        assert_eq!(watermarks.global, 90);
    }
}
