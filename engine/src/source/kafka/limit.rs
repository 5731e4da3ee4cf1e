//! How much of what is there a micro-batch takes: `maxOffsetsPerTrigger`, and `minOffsetsPerTrigger` with
//! `maxTriggerDelay` (spark-semantics 12).

use super::offsets::Offsets;

/// The bounds of a micro-batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// No batch before so many rows have come,
    pub min_rows: Option<i64>,
    /// unless so many milliseconds have passed since the last one.
    pub max_delay_ms: i64,
    /// So many rows, shared among partitions by what each has.
    pub max_rows: Option<i64>,
}

impl Limits {
    /// Where a batch ends that begins at `from` and could go on to `latest`; partitions of the latter only.
    pub(super) fn end(&self, from: &Offsets, latest: &Offsets) -> Offsets {
        match self.max_rows {
            Some(max_rows) => share(max_rows, from, latest),
            None => latest.clone(),
        }
    }

    /// Whether a batch is put off: too few rows, and not long ago there was one. `start` is where the last one ended; of
    /// a partition that was not there then, all offsets count.
    pub(super) fn puts_off(&self, start: &Offsets, latest: &Offsets, since_last_ms: i64) -> bool {
        let Some(min_rows) = self.min_rows else { return false };
        let rows = latest
            .iter()
            .map(|(partition, end)| end - start.get(partition).unwrap_or(0));
        since_last_ms < self.max_delay_ms && rows.sum::<i64>() < min_rows
    }
}

/// Each partition's share is that of its rows in all rows, rounded down, but at least one row: as Spark counts, so the sum
/// may be a little more or less than `max_rows`.
fn share(max_rows: i64, from: &Offsets, latest: &Offsets) -> Offsets {
    let begin = |partition| from.get(partition).unwrap_or(0);
    let sizes: Vec<i64> = latest
        .iter()
        .map(|(partition, end)| (end - begin(partition)).max(0))
        .collect();
    let total: i64 = sizes.iter().sum();
    if total < 1 {
        return latest.clone();
    }
    let ends = latest.iter().zip(sizes).map(|((partition, end), size)| {
        // Doubles as in Spark, so that what is rounded is the same.
        let share = max_rows as f64 * (size as f64 / total as f64);
        let share = if share < 1.0 { share.ceil() } else { share.floor() } as i64;
        let limited = begin(partition).saturating_add(share).min(end);
        (partition.clone(), if size > 0 { limited } else { end })
    });
    ends.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::offsets::tests::offsets;
    use super::*;

    fn limits(max_rows: i64) -> Limits {
        Limits {
            min_rows: Some(10),
            max_delay_ms: 1_000,
            max_rows: Some(max_rows),
        }
    }

    #[test]
    fn the_limit_is_shared_by_what_partitions_have() {
        for (max_rows, from, latest, end) in [
            (10, "t-0 0, t-1 0, t-2 0", "t-0 90, t-1 9, t-2 1", "t-0 9, t-1 1, t-2 1"),
            (10, "t-0 5", "t-0 90", "t-0 15"),
            (100, "t-0 5", "t-0 90", "t-0 90"),
            (10, "t-0 5, t-1 7", "t-0 5, t-1 7", "t-0 5, t-1 7"),
            (10, "t-0 5, t-1 7", "t-0 5, t-1 4", "t-0 5, t-1 4"), // a log that went back is no reason to stand still
            (7, "t-0 0, t-1 0", "t-0 1000, t-1 1000", "t-0 3, t-1 3"),
            (1, "t-0 0, t-1 0", "t-0 10, t-1 10", "t-0 1, t-1 1"),
            (
                i64::MAX,
                "t-0 9223372036854775800",
                "t-0 9223372036854775807",
                "t-0 9223372036854775807",
            ),
        ] {
            assert_eq!(
                limits(max_rows).end(&offsets(from), &offsets(latest)),
                offsets(end),
                "{max_rows} of {latest}"
            );
        }
    }

    #[test]
    fn a_batch_is_put_off_until_there_are_enough_rows_or_enough_time_has_passed() {
        for (start, latest, since_last_ms, put_off) in [
            ("t-0 0", "t-0 9", 999, true),
            ("t-0 0", "t-0 10", 0, false),
            ("t-0 0", "t-0 9", 1_000, false),
            ("t-0 5", "t-0 9, t-1 6", 0, false), // a new partition counts from 0
        ] {
            let found = limits(100).puts_off(&offsets(start), &offsets(latest), since_last_ms);
            assert_eq!(found, put_off, "{latest} after {since_last_ms} ms");
        }
    }

    proptest! {
        /// A partition with rows moves on, and never past its end.
        #[test]
        fn every_partition_with_rows_moves(max_rows in 1i64..1_000, sizes in proptest::collection::vec(0i64..10_000, 1..6)) {
            let text = |size: &dyn Fn(usize) -> i64| -> String {
                (0..sizes.len()).map(|n| format!("t-{n} {},", size(n))).collect()
            };
            let (from, latest) = (offsets(&text(&|_| 7)), offsets(&text(&|n| 7 + sizes[n])));
            let end = limits(max_rows).end(&from, &latest);
            for ((_, end), size) in end.iter().zip(&sizes) {
                prop_assert!(end <= 7 + size && (end > 7 || *size == 0));
            }
        }
    }
}
