//! How fast rows happened: evenly, at random, or at a rate that changes.

use skirl_generator::pace::{Gaps, PaceSpec};
use skirl_generator::spec::Micros;

use super::moments::Moments;
use super::rounded;

/// Pieces of time whose rows are compared, and rows that a piece should have.
const PIECES_MAX: usize = 120;
const PIECE_ROWS: usize = 50;
/// Gaps that vary by less than this, relative to their mean, are even.
const EVEN: f64 = 0.2;

/// The pace of the rows, by their event times.
pub(super) fn fit(moments: &Moments) -> PaceSpec {
    let events = moments.events();
    let (first, last) = match (events.first(), events.last()) {
        (Some(first), Some(last)) if last > first => (*first, *last),
        _ => return PaceSpec::Constant { rate: 1.0 },
    };
    // Rows without an event time happened in between.
    let all = moments.rows() as f64 / events.len() as f64;
    let per_second = |rows: f64, us: f64| rounded((rows * all / us * 1e6).clamp(1e-9, 1e9));
    let rate = per_second((events.len() - 1) as f64, (last - first) as f64);
    let pieces = pieces(&events, first, last);
    let gaps = if spread(&gaps_of_a_piece(&events, pieces.len())) < EVEN {
        Gaps::Even
    } else {
        Gaps::Random
    };
    if is_steady(&pieces, gaps) {
        return match gaps {
            Gaps::Even => PaceSpec::Constant { rate },
            Gaps::Random => PaceSpec::Poisson { rate },
        };
    }
    let length = (last - first) as f64 / pieces.len() as f64;
    let mut points: Vec<(Micros, f64)> = joined(&pieces)
        .into_iter()
        .map(|(from, to, rows)| {
            let rate = if rows == 0 {
                0.0
            } else {
                per_second(rows as f64, (to - from) as f64 * length)
            };
            (Micros((from as f64 * length).round() as i64), rate)
        })
        .collect();
    // The last rate stays, and the last row lies within its piece.
    if let Some(last) = points.last_mut().filter(|last| last.1 == 0.0) {
        last.1 = rate;
    }
    PaceSpec::Steps { points, gaps }
}

/// Rows in each of some pieces of equal length.
fn pieces(events: &[i64], first: i64, last: i64) -> Vec<u64> {
    let count = (events.len() / PIECE_ROWS).clamp(1, PIECES_MAX);
    let mut pieces = vec![0; count];
    for event in events {
        let part = (event - first) as f64 / (last - first) as f64;
        pieces[((part * count as f64) as usize).min(count - 1)] += 1;
    }
    pieces
}

/// The gaps between the rows in the middle, where a rate that changes has little time to.
fn gaps_of_a_piece(events: &[i64], pieces: usize) -> Vec<f64> {
    let rows = (events.len() / pieces).max(2).min(events.len());
    let start = (events.len() - rows) / 2;
    events[start..start + rows]
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .collect()
}

/// The standard deviation relative to the mean.
fn spread(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    if mean > 0.0 { variance.sqrt() / mean } else { 0.0 }
}

/// Whether the pieces differ no more than those of one rate do: by chance, or by a row where gaps are even.
fn is_steady(pieces: &[u64], gaps: Gaps) -> bool {
    let count = pieces.len() as f64;
    let mean = pieces.iter().sum::<u64>() as f64 / count;
    if gaps == Gaps::Even {
        return pieces
            .iter()
            .all(|rows| (*rows as f64 - mean).abs() <= (0.05 * mean).max(2.0));
    }
    let variance = pieces.iter().map(|rows| (*rows as f64 - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    // Four standard deviations of the dispersion of independent rows.
    variance / mean <= 1.0 + 4.0 * (2.0 / (count - 1.0).max(1.0)).sqrt()
}

/// Neighbours that differ only by chance as one: from and to which piece, and how many rows.
fn joined(pieces: &[u64]) -> Vec<(usize, usize, u64)> {
    let mut joined: Vec<(usize, usize, u64)> = vec![];
    for (at, rows) in pieces.iter().enumerate() {
        match joined.last_mut() {
            Some((from, to, sum))
                if {
                    let mean = *sum as f64 / (*to - *from) as f64;
                    (mean - *rows as f64).abs() <= 3.0 * (mean + *rows as f64).sqrt() && (*rows > 0) == (*sum > 0)
                } =>
            {
                *to = at + 1;
                *sum += rows;
            }
            _ => joined.push((at, at + 1, *rows)),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use skirl_generator::pace::Pace;
    use skirl_generator::seed::Seed;

    use super::*;
    use crate::fit::moments::Moment;

    fn fitted(spec: &PaceSpec, rows: u64) -> PaceSpec {
        let mut pace = Pace::new(spec, 1_700_000_000_000_000, &Seed::new(3));
        let row = |row| {
            let time = pace.time(row);
            Moment {
                event_us: Some(time),
                arrival_us: time,
                partition: 0,
                copied_us: None,
            }
        };
        let rows = (0..rows).map(row).collect();
        fit(&Moments {
            live: false,
            order_of_sending: false,
            rows,
        })
    }

    #[test]
    fn a_steady_pace_is_even_or_random() {
        let constant = PaceSpec::Constant { rate: 40.0 };
        assert_eq!(fitted(&constant, 5_000), constant);
        let PaceSpec::Poisson { rate } = fitted(&PaceSpec::Poisson { rate: 40.0 }, 20_000) else {
            panic!("a Poisson pace was taken for another");
        };
        assert!((rate / 40.0 - 1.0).abs() < 0.03, "{rate}");
    }

    #[test]
    fn bursts_become_steps_with_the_rows_where_they_were() {
        let bursts = PaceSpec::Bursts {
            rate: 5.0,
            burst_rate: 400.0,
            every: Micros::seconds(60),
            lasts: Micros::seconds(12),
            gaps: Gaps::Random,
        };
        let steps = fitted(&bursts, 30_000);
        assert!(matches!(steps, PaceSpec::Steps { .. }), "{steps:?}");
        let in_bursts = |spec: &PaceSpec| {
            let mut pace = Pace::new(spec, 0, &Seed::new(5));
            let times: Vec<i64> = (0..30_000).map(|row| pace.time(row)).collect();
            times.iter().filter(|time| **time % 60_000_000 < 12_000_000).count() as f64 / 30_000.0
        };
        let (wanted, found) = (in_bursts(&bursts), in_bursts(&steps));
        assert!(
            (wanted - found).abs() < 0.1,
            "{found} of the rows in bursts instead of {wanted}"
        );
    }
}
