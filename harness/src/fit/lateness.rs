//! How late rows were: which share by how much, by partition where partitions differ; copies, and rows that say too little.

use std::collections::BTreeMap;

use skirl_generator::lateness::{
    ByPartition, Corrupt, Duplicate, FaultKind, LayerSpec, Network, NullTime, OfPartition,
};
use skirl_generator::spec::{Micros, Share};

use super::moments::{Moment, Moments};
use super::observe::Observed;
use super::{law, rounded};

/// A delay above this is one: clocks of recordings read milliseconds.
const DELAY_MIN_US: i64 = 1_000;
/// Where fewer rows than this are on time, all are late in one way.
const ON_TIME_MIN: f64 = 0.2;
/// Partitions are told apart by so many late rows each, and by so much of a difference.
const LATE_MIN: usize = 50;
const SHARES_DIFFER: f64 = 0.3;
const DELAYS_DIFFER: f64 = 0.15;
/// Shares below this are none.
const SHARE_MIN: f64 = 1e-6;

/// The layers that make rows as late as these were.
pub(super) fn fit(observed: &Observed, moments: &Moments, remarks: &mut Vec<String>) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    if observed.time_column.is_some() {
        remarks.push(if moments.live {
            "delays are measured: Kafka's timestamps less event times".into()
        } else {
            "delays are measured against the latest event time that arrived before, as a watermark does".into()
        });
        if moments.order_of_sending {
            remarks.push(
                "Kafka's timestamps do not follow event time, as where rows are sent faster than they happened: the order \
                 of partitions among each other is that of sending, and rows may seem late by it (`skirl generate \
                 --timestamps original` keeps the stream's own)"
                    .into(),
            );
        }
        layers.extend(delays(moments, remarks));
    }
    layers.extend(duplicates(moments));
    layers.extend(unreadable(observed));
    layers.extend(null_times(observed));
    layers
}

/// A row's delay and its partition.
type Delay = (i64, i32);

fn delays(moments: &Moments, remarks: &mut Vec<String>) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    let gap = mean_gap(moments);
    let known = known_until(moments);
    let delay = |row: &Moment| {
        let event = row.event_us.filter(|event| *event <= known)?;
        let delay = (row.arrival_us - event).max(0);
        // By event times alone, a row that was late arrived somewhere between the latest row before and the next.
        let correction = if moments.live || delay == 0 { 0 } else { gap / 2 };
        Some((delay + correction, row.partition))
    };
    let mut delays: Vec<Delay> = moments.originals().filter_map(delay).collect();
    let Some(least) = delays.iter().map(|(delay, _)| *delay).min() else {
        return layers;
    };
    if least > DELAY_MIN_US {
        let (share, delay) = (Share::ALL, Micros(least));
        layers.push(LayerSpec::Network(Network::Constant { share, delay }));
        delays.iter_mut().for_each(|(delay, _)| *delay -= least);
    }
    layers.extend(by_partition(&delays, remarks));
    layers
}

/// Up to which event time delays are told in full. Where event time is the clock it stops with the last row, so that rows
/// which arrive after it seem less late than they were.
fn known_until(moments: &Moments) -> i64 {
    let events = moments.events();
    let (Some(first), Some(last), false) = (events.first(), events.last(), moments.live) else {
        return i64::MAX;
    };
    let latest = moments
        .originals()
        .filter_map(|row| Some(row.arrival_us - row.event_us?))
        .max();
    last - latest.unwrap_or(0).clamp(0, (last - first) / 4)
}

/// The mean time between rows.
fn mean_gap(moments: &Moments) -> i64 {
    let events = moments.events();
    match (events.first(), events.last()) {
        (Some(first), Some(last)) if events.len() > 1 => (last - first) / (events.len() as i64 - 1),
        _ => 0,
    }
}

/// The late rows of a partition.
struct Late {
    rows: usize,
    delays: Vec<f64>,
}

impl Late {
    fn of<'a>(delays: impl Iterator<Item = &'a Delay>) -> Late {
        let all: Vec<f64> = delays.map(|(delay, _)| *delay as f64).collect();
        let late: Vec<f64> = all
            .iter()
            .copied()
            .filter(|delay| *delay > DELAY_MIN_US as f64)
            .collect();
        let on_time = 1.0 - late.len() as f64 / all.len().max(1) as f64;
        let rows = all.len();
        // A few rows that happen to be quick do not make two kinds of rows.
        let delays = if on_time < ON_TIME_MIN {
            all.into_iter().map(|delay| delay.max(1.0)).collect()
        } else {
            late
        };
        Late { rows, delays }
    }

    fn share(&self) -> f64 {
        self.delays.len() as f64 / self.rows.max(1) as f64
    }

    fn layer(mut self) -> Option<LayerSpec> {
        let share = rounded(self.share());
        (share > SHARE_MIN).then(|| LayerSpec::Network(law::fit(&mut self.delays, Share(share))))
    }
}

fn by_partition(delays: &[Delay], remarks: &mut Vec<String>) -> Option<LayerSpec> {
    let mut partitions: BTreeMap<i32, Vec<&Delay>> = BTreeMap::new();
    for delay in delays {
        partitions.entry(delay.1).or_default().push(delay);
    }
    let all = Late::of(delays.iter());
    let parts: Vec<(i32, Late)> = partitions
        .iter()
        .map(|(number, rows)| (*number, Late::of(rows.iter().copied())))
        .collect();
    if !parts.iter().any(|(_, part)| differs(part, &all)) {
        return all.layer();
    }
    let found = parts
        .iter()
        .map(|(number, part)| format!("{number}: {} % late", rounded(part.share() * 100.0)));
    let found = found.collect::<Vec<_>>().join(", ");
    remarks.push(format!("partitions are late in ways of their own ({found})"));
    let total = delays.len() as f64;
    let partitions = parts.into_iter().map(|(_, part)| OfPartition {
        share: Share(part.rows as f64 / total),
        lateness: part.layer().into_iter().collect(),
    });
    Some(LayerSpec::ByPartition(ByPartition {
        partitions: partitions.collect(),
    }))
}

/// Whether a partition's rows are late more or less often than all are, or by other delays.
fn differs(part: &Late, all: &Late) -> bool {
    let (share, of_all) = (part.share(), all.share());
    let noise = 4.0 * (of_all * (1.0 - of_all) / part.rows.max(1) as f64).sqrt();
    if (share - of_all).abs() > noise.max(SHARES_DIFFER * of_all) {
        return true;
    }
    part.delays.len() >= LATE_MIN && distance(&part.delays, &all.delays) > DELAYS_DIFFER
}

/// The distance of two samples by Kolmogorov and Smirnov.
fn distance(left: &[f64], right: &[f64]) -> f64 {
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (left, right) = (sorted(left), sorted(right));
    let share =
        |values: &[f64], x: f64| values.partition_point(|value| *value <= x) as f64 / values.len().max(1) as f64;
    let at = |x: &f64| (share(&left, *x) - share(&right, *x)).abs();
    left.iter().map(at).fold(0.0, f64::max)
}

fn duplicates(moments: &Moments) -> Option<LayerSpec> {
    let gaps: Vec<i64> = moments.rows.iter().filter_map(|row| row.copied_us).collect();
    // Only a row with an event time can be seen to be a copy.
    let timed = moments.originals().filter(|row| row.event_us.is_some()).count();
    let share = rounded(gaps.len() as f64 / timed.max(1) as f64);
    let mean = gaps.iter().sum::<i64>() / gaps.len().max(1) as i64;
    (share > SHARE_MIN).then(|| {
        LayerSpec::Duplicate(Duplicate {
            share: Share(share.min(1.0)),
            // Gaps are drawn evenly from 0 up.
            gap: Micros(mean * 2),
        })
    })
}

fn unreadable(observed: &Observed) -> Option<LayerSpec> {
    let unreadable = observed.seen.iter().filter(|seen| !seen.readable).count();
    let share = rounded(unreadable as f64 / observed.seen.len().max(1) as f64);
    (share > SHARE_MIN).then(|| {
        LayerSpec::Corrupt(Corrupt {
            share: Share(share),
            kinds: vec![FaultKind::BadJson],
            oversize_bytes: 0,
        })
    })
}

fn null_times(observed: &Observed) -> Option<LayerSpec> {
    observed.time_column?;
    let readable = observed.seen.iter().filter(|seen| seen.readable).count();
    let without = observed
        .seen
        .iter()
        .filter(|seen| seen.readable && seen.event_us.is_none())
        .count();
    let share = rounded(without as f64 / readable.max(1) as f64);
    (share > SHARE_MIN).then_some(LayerSpec::NullTime(NullTime { share: Share(share) }))
}
