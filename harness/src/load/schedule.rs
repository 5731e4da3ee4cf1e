//! When rows are meant to be sent. Nothing that happens in a run moves these times.
//!
//! The warm-up sends at the pace's mean rate up to moment 0, where the pace itself begins. Several workers share one
//! schedule: worker k of n takes rows k, k + n, ... of it, so that together they send what one would.

use std::time::Duration;

use skirl_generator::Seed;
use skirl_generator::pace::{Pace, PaceSpec};
use skirl_generator::spec::Micros;

use super::clock::{Moment, nanos};

/// What is to be sent, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// How fast, over all workers.
    pub pace: PaceSpec,
    /// What random gaps are drawn from.
    pub seed: u64,
    /// How long rows are sent before any is measured.
    pub warm_up: Duration,
    /// How long rows are sent and measured.
    pub duration: Duration,
}

impl Timing {
    /// Rows per second on average over the measured part.
    pub fn mean_rate(&self) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 {
            rows_by(&self.pace, seconds) / seconds
        } else {
            0.0
        }
    }
}

/// The rows of one worker: their intended times, in order.
pub struct Schedule {
    pace: Pace,
    /// Time between two rows of the warm-up, in nanoseconds, and how many there are over all workers.
    warm_up: Option<(f64, u64)>,
    end: Moment,
    /// The next row over all workers, and the step to the one after it.
    row: u64,
    step: u64,
    next: Moment,
}

impl Schedule {
    /// The share of worker `index` of `of`.
    pub fn new(timing: &Timing, index: u32, of: u32) -> Schedule {
        let rate = timing.mean_rate();
        let rows = (rate * timing.warm_up.as_secs_f64()) as u64;
        let mut schedule = Schedule {
            pace: Pace::new(&timing.pace, 0, &Seed::new(timing.seed).named("load")),
            warm_up: (rows > 0).then(|| (1e9 / rate, rows)),
            end: Moment(nanos(timing.duration)),
            row: u64::from(index),
            step: u64::from(of.max(1)),
            next: Moment(0),
        };
        schedule.next = schedule.time_of(schedule.row);
        schedule
    }

    /// When the next row is meant to be sent; `None` once the run is over.
    #[inline]
    pub fn next(&self) -> Option<Moment> {
        (self.next < self.end).then_some(self.next)
    }

    /// Goes on to the row after it.
    #[inline]
    pub fn advance(&mut self) {
        // A pace is asked for every row in order, also for those of the other workers.
        for row in self.row + 1..=self.row + self.step {
            self.next = self.time_of(row);
        }
        self.row += self.step;
    }

    fn time_of(&mut self, row: u64) -> Moment {
        match self.warm_up {
            Some((gap, rows)) if row < rows => Moment(-((rows - row) as f64 * gap) as i64),
            warm_up => {
                let before = warm_up.map_or(0, |(_, rows)| rows);
                Moment(self.pace.time(row - before).saturating_mul(1_000))
            }
        }
    }
}

/// How many rows a pace makes in its first `seconds`, on average.
fn rows_by(pace: &PaceSpec, seconds: f64) -> f64 {
    let of = |micros: &Micros| micros.0 as f64 / 1e6;
    match pace {
        // A day's curve counts as its mean: a load test seldom lasts for days.
        PaceSpec::Constant { rate } | PaceSpec::Poisson { rate } | PaceSpec::Daily { rate, .. } => rate * seconds,
        PaceSpec::Bursts {
            rate,
            burst_rate,
            every,
            lasts,
            ..
        } => {
            let (every, lasts) = (of(every), of(lasts));
            let whole = (seconds / every).floor();
            let burst = whole * lasts + (seconds - whole * every).min(lasts);
            burst * burst_rate + (seconds - burst) * rate
        }
        PaceSpec::Ramp { points, .. } => {
            let points: Vec<(f64, f64)> = points.iter().map(|(at, rate)| (of(at), *rate)).collect();
            under_curve(&points, seconds, true)
        }
        PaceSpec::Steps { points, .. } => {
            let points: Vec<(f64, f64)> = points.iter().map(|(at, rate)| (of(at), *rate)).collect();
            under_curve(&points, seconds, false)
        }
    }
}

/// The area under rates by time, straight between points or level up to the next; before the first as at it.
fn under_curve(points: &[(f64, f64)], seconds: f64, is_straight: bool) -> f64 {
    let Some((first, last)) = points.first().zip(points.last()) else {
        return 0.0;
    };
    let before = first.0.min(seconds) * first.1;
    let after = (seconds - last.0).max(0.0) * last.1;
    let between = points.windows(2).map(|pair| {
        let ((from, low), (to, high)) = (pair[0], pair[1]);
        let width = seconds.clamp(from, to) - from;
        let reached = if is_straight {
            low + (high - low) * width / (to - from)
        } else {
            low
        };
        width * (low + reached) / 2.0
    });
    before + between.sum::<f64>() + after
}

#[cfg(test)]
mod tests {
    use skirl_generator::pace::Gaps;

    use super::*;

    fn timing(pace: PaceSpec, warm_up_s: u64, seconds: u64) -> Timing {
        Timing {
            pace,
            seed: 7,
            warm_up: Duration::from_secs(warm_up_s),
            duration: Duration::from_secs(seconds),
        }
    }

    fn times(timing: &Timing, index: u32, of: u32) -> Vec<i64> {
        let mut schedule = Schedule::new(timing, index, of);
        let next = || {
            let moment = schedule.next()?;
            schedule.advance();
            Some(moment.0)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn the_warm_up_leads_up_to_moment_zero_without_a_gap() {
        let times = times(&timing(PaceSpec::Constant { rate: 4.0 }, 1, 1), 0, 1);
        let ms: Vec<i64> = times.iter().map(|ns| ns / 1_000_000).collect();
        assert_eq!(ms, [-1_000, -750, -500, -250, 0, 250, 500, 750]);
    }

    #[test]
    fn workers_send_together_what_one_would_send() {
        for pace in [
            PaceSpec::Constant { rate: 1_000.0 },
            PaceSpec::Poisson { rate: 1_000.0 },
        ] {
            let timing = timing(pace, 1, 2);
            let mut together: Vec<i64> = (0..3).flat_map(|index| times(&timing, index, 3)).collect();
            together.sort_unstable();
            assert_eq!(together, times(&timing, 0, 1));
        }
    }

    #[test]
    fn every_pace_sends_as_many_rows_as_its_mean_rate_says() {
        let points = vec![
            (Micros::seconds(1), 100.0),
            (Micros::seconds(3), 500.0),
            (Micros::seconds(4), 200.0),
        ];
        let gaps = Gaps::Even;
        for (pace, rows) in [
            (PaceSpec::Constant { rate: 100.0 }, 500.0),
            (
                PaceSpec::Ramp {
                    points: points.clone(),
                    gaps,
                },
                100.0 + 600.0 + 350.0 + 200.0,
            ),
            (PaceSpec::Steps { points, gaps }, 100.0 + 200.0 + 500.0 + 200.0),
            (
                PaceSpec::Bursts {
                    rate: 10.0,
                    burst_rate: 200.0,
                    every: Micros::seconds(2),
                    lasts: Micros(500_000),
                    gaps,
                },
                3.0 * 100.0 + 3.5 * 10.0,
            ),
        ] {
            let timing = timing(pace, 0, 5);
            assert!((timing.mean_rate() * 5.0 - rows).abs() < 0.01, "{timing:?}");
            let sent = times(&timing, 0, 1).len() as f64;
            assert!((sent - rows).abs() <= 3.0, "{sent} rows of {timing:?}");
        }
    }
}
