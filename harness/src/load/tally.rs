//! What a run has done so far, for whoever looks on: written by the threads that work, read by the views.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Counts that only grow, and the figures of the last moments.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rows that were queued, and the bytes of their keys and values.
    pub queued: AtomicU64,
    /// See `queued`.
    pub queued_bytes: AtomicU64,
    /// Rows that were acknowledged.
    pub acknowledged: AtomicU64,
    /// Rows that could not be written.
    pub failed: AtomicU64,
    /// Rows of the run that a consumer has, without those it had before.
    pub received: AtomicU64,
    /// Rows a consumer had before.
    pub duplicates: AtomicU64,
    /// Rows behind later ones.
    pub reordered: AtomicU64,
    /// How late the latest row was queued, in nanoseconds.
    pub behind_ns: AtomicI64,
    /// Latencies of the last interval, in microseconds: median, 99 %, largest.
    pub p50_us: AtomicU64,
    /// See `p50_us`.
    pub p99_us: AtomicU64,
    /// See `p50_us`.
    pub max_us: AtomicU64,
}

/// The counts of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// See [`Tally::queued`].
    pub queued: u64,
    /// See [`Tally::queued`].
    pub queued_bytes: u64,
    /// See [`Tally::acknowledged`].
    pub acknowledged: u64,
    /// See [`Tally::failed`].
    pub failed: u64,
    /// See [`Tally::received`].
    pub received: u64,
    /// See [`Tally::duplicates`].
    pub duplicates: u64,
    /// See [`Tally::reordered`].
    pub reordered: u64,
    /// See [`Tally::behind_ns`].
    pub behind_ns: i64,
    /// See [`Tally::p50_us`].
    pub p50_us: u64,
    /// See [`Tally::p50_us`].
    pub p99_us: u64,
    /// See [`Tally::p50_us`].
    pub max_us: u64,
}

impl Tally {
    /// The counts of now.
    pub fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            queued: of(&self.queued),
            queued_bytes: of(&self.queued_bytes),
            acknowledged: of(&self.acknowledged),
            failed: of(&self.failed),
            received: of(&self.received),
            duplicates: of(&self.duplicates),
            reordered: of(&self.reordered),
            behind_ns: self.behind_ns.load(Ordering::Relaxed),
            p50_us: of(&self.p50_us),
            p99_us: of(&self.p99_us),
            max_us: of(&self.max_us),
        }
    }

    /// Takes over what a worker in another process says of its rows; what a consumer counts is this process's own.
    pub fn set_sent(&self, counts: &Counts) {
        let set = |count: &AtomicU64, value| count.store(value, Ordering::Relaxed);
        set(&self.queued, counts.queued);
        set(&self.queued_bytes, counts.queued_bytes);
        set(&self.acknowledged, counts.acknowledged);
        set(&self.failed, counts.failed);
        set(&self.p50_us, counts.p50_us);
        set(&self.p99_us, counts.p99_us);
        set(&self.max_us, counts.max_us);
        self.behind_ns.store(counts.behind_ns, Ordering::Relaxed);
    }
}

impl Counts {
    /// The counts of several workers together; of figures that cannot be added, the worst.
    pub fn together(all: impl IntoIterator<Item = Counts>) -> Counts {
        all.into_iter().fold(Counts::default(), |sum, one| Counts {
            queued: sum.queued + one.queued,
            queued_bytes: sum.queued_bytes + one.queued_bytes,
            acknowledged: sum.acknowledged + one.acknowledged,
            failed: sum.failed + one.failed,
            received: sum.received + one.received,
            duplicates: sum.duplicates + one.duplicates,
            reordered: sum.reordered + one.reordered,
            behind_ns: sum.behind_ns.max(one.behind_ns),
            p50_us: sum.p50_us.max(one.p50_us),
            p99_us: sum.p99_us.max(one.p99_us),
            max_us: sum.max_us.max(one.max_us),
        })
    }

    /// Rows that are queued or sent and of which nothing is known yet.
    pub fn in_flight(&self) -> u64 {
        self.queued.saturating_sub(self.acknowledged + self.failed)
    }

    /// Rows that were acknowledged and that the consumer does not have yet.
    pub fn lag(&self) -> u64 {
        self.acknowledged.saturating_sub(self.received)
    }
}
