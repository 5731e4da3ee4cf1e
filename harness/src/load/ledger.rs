//! What became of every row: acknowledged and there, lost, there twice, there out of order.
//!
//! Rows are known by their [`Stamp`]: other producers' rows do not count, nor do those of other runs. A worker queues its
//! rows in ascending order, so in each partition their numbers ascend too. A row is
//! - *lost* if it was acknowledged and is not in the log,
//! - a *duplicate* each time it is in the log again,
//! - *reordered* if it first appears behind a later row of its worker in its partition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sequence::SequenceSet;
use super::stamp::{RunId, Stamp};

/// Rows of one run as a consumer finds them.
pub struct Received {
    run: RunId,
    workers: BTreeMap<u32, SequenceSet>,
    /// The highest number seen, by topic, partition and worker.
    latest: BTreeMap<(u16, i32, u32), u64>,
    counts: ReceivedCounts,
}

/// What a consumer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedCounts {
    /// Different rows of the run.
    pub rows: u64,
    /// Rows of the run that were there before.
    pub duplicates: u64,
    /// Rows that first appeared behind a later one.
    pub reordered: u64,
    /// Rows of others, which count for nothing.
    pub foreign: u64,
}

/// Whether a row is looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    First(Stamp),
    /// It was there before.
    Again,
    /// It is another producer's, or another run's.
    Foreign,
}

impl Received {
    /// Nothing of this run yet.
    pub fn new(run: RunId) -> Received {
        Received {
            run,
            workers: BTreeMap::new(),
            latest: BTreeMap::new(),
            counts: ReceivedCounts::default(),
        }
    }

    /// Notes a row of a topic's partition, in the order of the log, by its header.
    #[inline]
    pub fn note(&mut self, topic: u16, partition: i32, header: Option<&[u8]>) -> Seen {
        let stamp = header.and_then(Stamp::of).filter(|stamp| stamp.run == self.run);
        let Some(stamp) = stamp else {
            self.counts.foreign += 1;
            return Seen::Foreign;
        };
        if !self.workers.entry(stamp.worker).or_default().insert(stamp.sequence) {
            self.counts.duplicates += 1;
            return Seen::Again;
        }
        self.counts.rows += 1;
        let latest = self
            .latest
            .entry((topic, partition, stamp.worker))
            .or_insert(stamp.sequence);
        if stamp.sequence < *latest {
            self.counts.reordered += 1;
        }
        *latest = stamp.sequence.max(*latest);
        Seen::First(stamp)
    }

    /// What was counted so far.
    pub fn counts(&self) -> ReceivedCounts {
        self.counts
    }

    /// The rows of a worker.
    pub fn of_worker(&self, worker: u32) -> &SequenceSet {
        const NONE: &SequenceSet = &SequenceSet::EMPTY;
        self.workers.get(&worker).unwrap_or(NONE)
    }
}

/// Rows that were acknowledged, compared with those that are there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Acknowledged and not there.
    pub lost: u64,
    /// Some of them: worker and number.
    pub examples: Vec<(u32, u64)>,
    /// Reported as not written, and there all the same.
    pub failed_but_there: u64,
}

/// Lost rows that are named.
const EXAMPLES: usize = 5;

impl Comparison {
    /// Adds what became of a worker's rows.
    pub fn add(&mut self, worker: u32, acknowledged: &SequenceSet, received: &SequenceSet) {
        self.lost += acknowledged.count_without(received);
        let room = EXAMPLES - self.examples.len().min(EXAMPLES);
        let mut lost: Vec<u64> = acknowledged.without(received).take(room).collect();
        lost.sort_unstable();
        self.examples
            .extend(lost.into_iter().map(|sequence| (worker, sequence)));
        self.failed_but_there += received.count_without(acknowledged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId(7);

    fn header(run: RunId, worker: u32, sequence: u64) -> [u8; 28] {
        let intended_ns = 0;
        Stamp {
            run,
            worker,
            sequence,
            intended_ns,
        }
        .to_bytes()
    }

    /// Rows of worker 0 in the order of a log: (partition, number).
    fn received(rows: &[(i32, u64)]) -> Received {
        let mut received = Received::new(RUN);
        for (partition, sequence) in rows {
            received.note(0, *partition, Some(&header(RUN, 0, *sequence)));
        }
        received
    }

    fn acknowledged(rows: &[u64]) -> SequenceSet {
        let mut set = SequenceSet::default();
        rows.iter().for_each(|row| {
            set.insert(*row);
        });
        set
    }

    #[test]
    fn rows_that_all_came_once_and_in_order_are_fine() {
        let received = received(&[(0, 0), (1, 1), (1, 3), (0, 2)]);
        let mut comparison = Comparison::default();
        comparison.add(0, &acknowledged(&[0, 1, 2, 3]), received.of_worker(0));
        assert_eq!(comparison, Comparison::default());
        let counts = received.counts();
        assert_eq!((counts.rows, counts.duplicates, counts.reordered), (4, 0, 0));
    }

    #[test]
    fn an_acknowledged_row_that_is_not_there_is_lost() {
        let received = received(&[(0, 0), (0, 2)]);
        let mut comparison = Comparison::default();
        comparison.add(0, &acknowledged(&[0, 1, 2]), received.of_worker(0));
        assert_eq!((comparison.lost, comparison.examples), (1, vec![(0, 1)]));
    }

    #[test]
    fn a_row_that_was_not_acknowledged_is_not_lost_and_may_be_there() {
        let received = received(&[(0, 0), (0, 1)]);
        let mut comparison = Comparison::default();
        comparison.add(0, &acknowledged(&[0]), received.of_worker(0));
        assert_eq!((comparison.lost, comparison.failed_but_there), (0, 1));
    }

    #[test]
    fn a_row_that_comes_again_is_a_duplicate_and_not_reordered() {
        let counts = received(&[(0, 0), (0, 1), (0, 2), (0, 1)]).counts();
        assert_eq!((counts.rows, counts.duplicates, counts.reordered), (3, 1, 0));
    }

    #[test]
    fn a_row_behind_a_later_one_of_its_partition_is_reordered() {
        let counts = received(&[(0, 0), (0, 2), (0, 1), (0, 3)]).counts();
        assert_eq!((counts.rows, counts.duplicates, counts.reordered), (4, 0, 1));
        let across_partitions = received(&[(0, 0), (0, 2), (1, 1)]).counts();
        assert_eq!(across_partitions.reordered, 0);
    }

    #[test]
    fn the_rows_of_others_count_for_nothing() {
        let mut received = received(&[(0, 0)]);
        assert_eq!(received.note(0, 0, None), Seen::Foreign);
        assert_eq!(received.note(0, 0, Some(b"a header of somebody else's")), Seen::Foreign);
        assert_eq!(received.note(0, 0, Some(&header(RunId(8), 0, 0))), Seen::Foreign);
        let counts = received.counts();
        assert_eq!((counts.rows, counts.duplicates, counts.foreign), (1, 0, 3));
    }

    #[test]
    fn workers_number_their_rows_each_by_themselves() {
        let mut received = received(&[(0, 5)]);
        received.note(0, 0, Some(&header(RUN, 1, 4)));
        received.note(0, 0, Some(&header(RUN, 1, 5)));
        let counts = received.counts();
        assert_eq!((counts.rows, counts.duplicates, counts.reordered), (3, 0, 0));
    }
}
