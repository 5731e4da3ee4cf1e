//! The disorder card: how far out of order the rows of a stream arrive.

use std::fmt;

use crate::arrival::{Arrival, Arrived};
use crate::spec::{Micros, Share};

/// Delays a card counts rows against.
const DELAYS: [Micros; 7] = [
    Micros(0),
    Micros::seconds(1),
    Micros::seconds(10),
    Micros::seconds(30),
    Micros::seconds(60),
    Micros::seconds(300),
    Micros::seconds(600),
];
/// Shares of rows whose lateness a card names.
const PERCENTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// Shares of rows that a watermark's delay is to keep.
const KEPT: [f64; 4] = [0.9, 0.99, 0.999, 1.0];

/// How far out of order a stream's rows arrive. Lateness is measured against the largest event time that arrived before,
/// as a watermark does. Percentiles are rounded up by less than 1 %.
#[derive(Debug, Clone, PartialEq)]
pub struct DisorderCard {
    /// Arrivals, duplicates included.
    pub arrivals: u64,
    /// Micro-batches, empty ones included.
    pub micro_batches: u64,
    /// Micro-batches without a row.
    pub empty_micro_batches: u64,
    /// Arrivals of a row that had a copy before or after.
    pub duplicates: u64,
    /// Rows that happened, but never arrived.
    pub lost: u64,
    /// Arrivals without a readable event time.
    pub without_event_time: u64,
    /// Spoilt arrivals.
    pub corrupt: u64,
    /// Arrivals whose event time is before that of the arrival just before.
    pub inversions: u64,
    /// Share of the timed arrivals that are later than each delay.
    pub later_than: Vec<(Micros, Share)>,
    /// Lateness that a share of the timed arrivals does not exceed.
    pub percentiles: Vec<(Share, Micros)>,
    /// Delay a watermark needs, moving between micro-batches, to keep a share of the timed arrivals.
    pub delay_needed: Vec<(Share, Micros)>,
}

/// Counts arrivals for a card, micro-batch by micro-batch.
#[derive(Debug, Clone, Default)]
pub struct DisorderCount {
    arrivals: u64,
    first_copies: u64,
    duplicates: u64,
    micro_batches: u64,
    empty_micro_batches: u64,
    corrupt: u64,
    inversions: u64,
    later_than: [u64; DELAYS.len()],
    last: Option<i64>,
    /// The largest event time so far, and at the end of the micro-batch before.
    latest: Option<i64>,
    latest_before_batch: Option<i64>,
    lateness: Histogram,
    needed: Histogram,
}

impl DisorderCount {
    /// Counts the next micro-batch.
    pub fn add(&mut self, micro_batch: &Arrived) {
        self.micro_batches += 1;
        self.empty_micro_batches += u64::from(micro_batch.is_empty());
        self.arrivals += micro_batch.len() as u64;
        self.latest_before_batch = self.latest;
        match micro_batch {
            Arrived::InOrder { times, .. } => self.add_in_order(times),
            Arrived::Mixed(arrivals) => arrivals.iter().for_each(|arrival| self.add_arrival(arrival)),
        }
    }

    /// A stream whose rows come in order has no late ones: counting them is all.
    fn add_in_order(&mut self, times: &[i64]) {
        let Some(&last) = times.last() else { return };
        self.first_copies += times.len() as u64;
        self.lateness.add(0, times.len() as u64);
        self.needed.add(0, times.len() as u64);
        (self.last, self.latest) = (Some(last), Some(last));
    }

    fn add_arrival(&mut self, arrival: &Arrival) {
        self.duplicates += u64::from(arrival.copy > 0);
        self.first_copies += u64::from(arrival.copy == 0);
        self.corrupt += u64::from(arrival.fault.is_some());
        if let Some(time) = arrival.seen_time() {
            self.add_time(time);
        }
    }

    fn add_time(&mut self, time: i64) {
        self.inversions += u64::from(self.last.is_some_and(|last| time < last));
        self.last = Some(time);
        let behind = |latest: Option<i64>| latest.map_or(0, |latest| latest.saturating_sub(time).max(0));
        let lateness = behind(self.latest);
        if lateness > 0 {
            for (count, delay) in self.later_than.iter_mut().zip(DELAYS) {
                *count += u64::from(lateness > delay.0);
            }
        }
        self.lateness.add(lateness, 1);
        self.needed.add(behind(self.latest_before_batch), 1);
        self.latest = self.latest.max(Some(time));
    }

    /// The card; `rows` are the rows that happened.
    pub fn card(&self, rows: u64) -> DisorderCard {
        let timed = self.lateness.total;
        let share = |count: u64| Share(if timed == 0 { 0.0 } else { count as f64 / timed as f64 });
        DisorderCard {
            arrivals: self.arrivals,
            micro_batches: self.micro_batches,
            empty_micro_batches: self.empty_micro_batches,
            duplicates: self.duplicates,
            lost: rows.saturating_sub(self.first_copies),
            without_event_time: self.arrivals - timed,
            corrupt: self.corrupt,
            inversions: self.inversions,
            later_than: DELAYS
                .iter()
                .zip(self.later_than)
                .map(|(delay, count)| (*delay, share(count)))
                .collect(),
            percentiles: PERCENTILES
                .map(|part| (Share(part), Micros(self.lateness.quantile(part))))
                .to_vec(),
            delay_needed: KEPT
                .map(|part| (Share(part), Micros(self.needed.quantile(part))))
                .to_vec(),
        }
    }
}

impl fmt::Display for DisorderCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} arrivals in {} micro-batch{} ({} empty); {} duplicates, {} lost, {} corrupt, {} without event time",
            self.arrivals,
            self.micro_batches,
            if self.micro_batches == 1 { "" } else { "es" },
            self.empty_micro_batches,
            self.duplicates,
            self.lost,
            self.corrupt,
            self.without_event_time
        )?;
        let percent = |share: &Share| format!("{} %", (share.0 * 1e5).round() / 1e3);
        let later = self
            .later_than
            .iter()
            .map(|(delay, share)| format!("{delay} {}", percent(share)));
        writeln!(f, "later than:   {}", later.collect::<Vec<_>>().join(", "))?;
        let late = self
            .percentiles
            .iter()
            .map(|(share, lateness)| format!("{} {}", percent(share), rounded(*lateness)));
        writeln!(f, "lateness:     {}", late.collect::<Vec<_>>().join(", "))?;
        let needed = self
            .delay_needed
            .iter()
            .map(|(share, delay)| format!("{} {}", percent(share), rounded(*delay)));
        writeln!(f, "delay to keep {}", needed.collect::<Vec<_>>().join(", "))?;
        write!(f, "inversions:   {}", self.inversions)
    }
}

/// Rounded up to milliseconds from a second on: more is not worth reading.
fn rounded(span: Micros) -> Micros {
    if span.0 < 1_000_000 {
        span
    } else {
        Micros((span.0 + 999) / 1_000 * 1_000)
    }
}

/// Counts of spans in buckets less than 1 % wide; what is below 256 microseconds is exact, and so is the largest.
#[derive(Debug, Clone, Default)]
struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: i64,
}

/// Buckets for each doubling.
const FINE: u32 = 7;

impl Histogram {
    fn add(&mut self, span: i64, count: u64) {
        let bucket = Histogram::bucket(span as u64);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += count;
        self.total += count;
        self.largest = self.largest.max(span);
    }

    fn bucket(span: u64) -> usize {
        let doublings = (63 - (span | 1).leading_zeros()).saturating_sub(FINE);
        ((doublings as usize) << FINE) + (span >> doublings) as usize
    }

    /// The largest span of a bucket.
    fn top(bucket: usize) -> u64 {
        let doublings = (bucket >> FINE).saturating_sub(1);
        let within = bucket - (doublings << FINE);
        ((within as u64 + 1) << doublings) - 1
    }

    /// A span that at least this share does not exceed.
    fn quantile(&self, share: f64) -> i64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return (Histogram::top(bucket) as i64).min(self.largest);
            }
        }
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn card(batches: &[&[i64]]) -> DisorderCard {
        let mut count = DisorderCount::default();
        let mut row = 0;
        for batch in batches {
            let arrivals: Vec<Arrival> = batch
                .iter()
                .map(|seconds| {
                    row += 1;
                    Arrival::of(row, seconds * 1_000_000)
                })
                .collect();
            count.add(&Arrived::Mixed(arrivals));
        }
        count.card(row)
    }

    #[test]
    fn lateness_is_measured_against_the_latest_before() {
        insta::assert_snapshot!(card(&[&[10, 20, 5, 15], &[], &[22, 2]]), @"
        6 arrivals in 3 micro-batches (1 empty); 0 duplicates, 0 lost, 0 corrupt, 0 without event time
        later than:   0s 50 %, 1s 50 %, 10s 33.333 %, 30s 0 %, 1m 0 %, 5m 0 %, 10m 0 %
        lateness:     50 % 0s, 90 % 20s, 99 % 20s, 99.9 % 20s
        delay to keep 90 % 18s, 99 % 18s, 99.9 % 18s, 100 % 18s
        inversions:   2
        ");
    }

    #[test]
    fn rows_in_order_are_never_late() {
        let card = card(&[&[1, 2, 3]]);
        assert_eq!((card.inversions, card.delay_needed[3].1), (0, Micros(0)));
    }

    proptest! {
        /// A bucket's top is at least the span and less than 1 % above it.
        #[test]
        fn buckets_are_narrow(span in 0u64..1 << 50) {
            let top = Histogram::top(Histogram::bucket(span));
            prop_assert!(span <= top && top as f64 <= span as f64 * 1.01 + 1.0, "{span}: {top}");
        }
    }
}
