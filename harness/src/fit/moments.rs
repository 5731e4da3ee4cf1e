//! When rows happened and when they arrived, and which are copies of others.
//!
//! A recording's timestamps are the arrivals if they move along with event time: then the delay of a row is the one minus the
//! other. Else (rows that were sent later, or a trace of files) the arrival of a row is told by the latest event time that
//! arrived before it, as a watermark sees it; rows that nothing delays come in order of event time.

use std::collections::BTreeMap;

use skirl_generator::arrival::NULL_TIME;
use skirl_generator::card::DisorderCount;
use skirl_generator::lateness::{Fault, FaultKind};
use skirl_generator::spec::Time;
use skirl_generator::{Arrival, Arrived, DisorderCard};

use super::observe::{Observed, Seen};

/// How far a clock that reads milliseconds may seem to be ahead.
const ROUNDING_US: i64 = 2_000;

/// The rows of a stream in time.
pub(super) struct Moments {
    /// Whether arrivals were measured.
    pub live: bool,
    /// Whether rows of several partitions were put in order by timestamps that tell no arrivals.
    pub order_of_sending: bool,
    /// In the order of arrival, one for each row that was seen.
    pub rows: Vec<Moment>,
}

/// A row in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub event_us: Option<i64>,
    /// When it arrived, by the clock that was chosen.
    pub arrival_us: i64,
    pub partition: i32,
    /// For a copy, how long after the row it is a copy of.
    pub copied_us: Option<i64>,
}

impl Moments {
    pub fn find(observed: &Observed) -> Moments {
        let live = is_live(&observed.seen);
        let mut latest = i64::MIN;
        let moment = |seen: &Seen| {
            let before = latest;
            latest = latest.max(seen.event_us.unwrap_or(i64::MIN));
            // Before anything arrived, a row is on time.
            let by_events = if before == i64::MIN {
                seen.event_us.unwrap_or(0)
            } else {
                before
            };
            Moment {
                event_us: seen.event_us,
                arrival_us: match (live, seen.written_us) {
                    (true, Some(written)) => written,
                    _ => by_events.max(seen.event_us.unwrap_or(i64::MIN)),
                },
                partition: seen.partition,
                copied_us: None,
            }
        };
        let mut rows: Vec<Moment> = observed.seen.iter().map(moment).collect();
        for (row, first) in copies(&observed.seen) {
            rows[row].copied_us = Some((rows[row].arrival_us - rows[first].arrival_us).max(0));
        }
        Moments {
            live,
            order_of_sending: !live && are_merged(&observed.seen),
            rows,
        }
    }

    /// The rows that happened: copies are none.
    pub fn originals(&self) -> impl Iterator<Item = &Moment> {
        self.rows.iter().filter(|row| row.copied_us.is_none())
    }

    /// How many rows happened.
    pub fn rows(&self) -> u64 {
        self.originals().count() as u64
    }

    /// Event times of the rows that happened, ascending.
    pub fn events(&self) -> Vec<i64> {
        let mut events: Vec<i64> = self.originals().filter_map(|row| row.event_us).collect();
        events.sort_unstable();
        events
    }

    /// When the first row happened.
    pub fn start(&self) -> Option<Time> {
        self.originals().filter_map(|row| row.event_us).min().map(Time)
    }

    /// How far out of order the rows are.
    pub fn card(&self, observed: &Observed) -> DisorderCard {
        let mut count = DisorderCount::default();
        let mut at = 0;
        let batches = observed.seen.last().map_or(0, |seen| seen.micro_batch + 1);
        for micro_batch in 0..batches {
            let end = at + observed.seen[at..].partition_point(|seen| seen.micro_batch <= micro_batch);
            let arrivals = (at..end)
                .map(|row| arrival(row, &observed.seen[row], &self.rows[row]))
                .collect();
            count.add(&Arrived::Mixed(arrivals));
            at = end;
        }
        count.card(self.rows())
    }
}

fn arrival(row: usize, seen: &Seen, moment: &Moment) -> Arrival {
    let fault = (!seen.readable).then_some(Fault {
        kind: FaultKind::BadJson,
        column: 0,
        bits: 0,
    });
    let event_time = seen.event_us.unwrap_or(NULL_TIME);
    Arrival {
        copy: u32::from(moment.copied_us.is_some()),
        stamp: event_time,
        fault,
        hidden_time: fault.is_some(),
        ..Arrival::of(row as u64, event_time)
    }
}

/// Whether Kafka's timestamps move along with event time and hardly ever before it.
fn is_live(seen: &[Seen]) -> bool {
    let both: Vec<(i64, i64)> = seen
        .iter()
        .filter_map(|seen| seen.written_us.zip(seen.event_us))
        .collect();
    let span = |of: fn(&(i64, i64)) -> i64| {
        let (low, high) = (both.iter().map(of).min(), both.iter().map(of).max());
        high.zip(low).map_or(0, |(high, low)| high - low) as f64
    };
    let (written, happened) = (span(|pair| pair.0), span(|pair| pair.1));
    let after = both
        .iter()
        .filter(|(written, event)| written - event >= -ROUNDING_US)
        .count();
    both.len() > 1
        && written > 0.0
        && (0.8..=1.25).contains(&(happened / written))
        && after as f64 >= both.len() as f64 * 0.98
}

/// Whether Kafka's timestamps put rows of several partitions in order.
fn are_merged(seen: &[Seen]) -> bool {
    let mut written = seen.iter().filter(|seen| seen.written_us.is_some());
    let first = written.next();
    first.is_some_and(|first| written.any(|other| other.partition != first.partition))
}

/// Rows that are copies, each with the row it is a copy of: rows alike in everything, unless so many rows share an event time
/// that they are alike by chance.
fn copies(seen: &[Seen]) -> Vec<(usize, usize)> {
    let timed = seen.iter().enumerate().filter(|(_, seen)| seen.readable);
    let mut alike: Vec<(i64, u64, usize)> = timed
        .filter_map(|(row, seen)| Some((seen.event_us?, seen.content, row)))
        .collect();
    alike.sort_unstable();
    let mut copies = Vec::new();
    for group in alike.chunk_by(|left, right| (left.0, left.1) == (right.0, right.1)) {
        copies.extend(group[1..].iter().map(|copy| (copy.2, group[0].2)));
    }
    if copies.len() as f64 > 3.0 * alike_by_chance(&alike) {
        copies
    } else {
        Vec::new()
    }
}

/// How many rows are expected to be like another of the same event time, if contents were drawn independently of each other.
fn alike_by_chance(alike: &[(i64, u64, usize)]) -> f64 {
    let rows = alike.len().max(1) as f64;
    // Contents that come equally often count together.
    let mut frequencies: BTreeMap<usize, f64> = BTreeMap::new();
    let mut contents: Vec<u64> = alike.iter().map(|row| row.1).collect();
    contents.sort_unstable();
    for same in contents.chunk_by(|left, right| left == right) {
        *frequencies.entry(same.len()).or_default() += 1.0;
    }
    let mut groups: BTreeMap<usize, f64> = BTreeMap::new();
    for same in alike
        .chunk_by(|left, right| left.0 == right.0)
        .filter(|same| same.len() > 1)
    {
        *groups.entry(same.len()).or_default() += 1.0;
    }
    let expected = |(size, count): (&usize, &f64)| {
        let different = |(times, contents): (&usize, &f64)| {
            contents * (1.0 - (1.0 - *times as f64 / rows).powi(i32::try_from(*size).unwrap_or(i32::MAX)))
        };
        count * (*size as f64 - frequencies.iter().map(different).sum::<f64>())
    };
    groups.iter().map(expected).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event_us: i64, content: u64) -> Seen {
        Seen {
            micro_batch: 0,
            event_us: Some(event_us),
            written_us: None,
            partition: 0,
            content,
            readable: true,
        }
    }

    #[test]
    fn rows_alike_in_everything_are_copies() {
        let mut rows: Vec<Seen> = (0..100).map(|row| seen(row, row as u64)).collect();
        rows.extend([seen(1, 1), seen(2, 7), seen(1, 1)]);
        assert_eq!(copies(&rows), [(100, 1), (102, 1)]);
    }

    #[test]
    fn rows_that_are_alike_by_chance_are_no_copies() {
        // A hundred rows a second, told apart by one of four contents only.
        let rows: Vec<Seen> = (0..10_000)
            .map(|row| seen(row / 100, ((row * 2_654_435_761) >> 7) as u64 % 4))
            .collect();
        assert_eq!(copies(&rows), []);
    }

    #[test]
    fn arrivals_count_if_they_move_with_event_time() {
        let row = |event: i64, written: i64| Seen {
            written_us: Some(written),
            ..seen(event, 0)
        };
        let live: Vec<Seen> = (0..100)
            .map(|n| row(n * 1_000_000, n * 1_000_000 + 50_000 * (n % 7)))
            .collect();
        let sent_at_once: Vec<Seen> = (0..100).map(|n| row(n * 1_000_000, 200_000_000 + n)).collect();
        assert!(is_live(&live) && !is_live(&sent_at_once));
        assert!(!are_merged(&sent_at_once));
        let partition = |row: &Seen| Seen { partition: 1, ..*row };
        assert!(are_merged(&[sent_at_once[0], partition(&sent_at_once[1])]));
        let of_files = [
            seen(0, 0),
            Seen {
                partition: 1,
                ..seen(1, 0)
            },
        ];
        assert!(!are_merged(&of_files));
    }
}
