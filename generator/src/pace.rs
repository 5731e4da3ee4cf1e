//! How fast rows happen: the event time of every row, in order.
//!
//! To add a pace, give it a variant in [`PaceSpec`] and a line in [`Rate`].

mod shorthand;

use serde::Serialize;
use toml::Spanned;

pub use shorthand::parse_rate;

use crate::distribution::exponential_quantile;
use crate::seed::{Draws, Seed};
use crate::spec::{Kind, Micros, Node, Read, SpecError, Table, listed, suggestion};

/// A pace as a scenario file names it. Rates are rows per second.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "model", rename_all = "kebab-case")]
pub enum PaceSpec {
    /// Rows at even distances.
    Constant {
        /// Rows per second.
        rate: f64,
    },
    /// Rows independent of each other.
    Poisson {
        /// Rows per second on average.
        rate: f64,
    },
    /// A curve over the day, as people's activity.
    Daily {
        /// Rows per second, averaged over a day.
        rate: f64,
        /// Time of day with most rows, since midnight UTC.
        peak: Micros,
        /// 0: no curve; 1: the quietest minute is silent.
        depth: f64,
        /// Even or random gaps.
        gaps: Gaps,
    },
    /// Quiet, with bursts at regular times.
    Bursts {
        /// Rows per second between bursts; may be 0.
        rate: f64,
        /// Rows per second in a burst.
        burst_rate: f64,
        /// From the start of a burst to the start of the next.
        every: Micros,
        /// Length of a burst.
        lasts: Micros,
        /// Even or random gaps.
        gaps: Gaps,
    },
    /// A rate that changes linearly between points.
    Ramp {
        /// Time since the start and the rate reached then, ascending; the last rate stays.
        points: Vec<(Micros, f64)>,
        /// Even or random gaps.
        gaps: Gaps,
    },
    /// A rate that changes at once; 0 makes the stream silent for a while.
    Steps {
        /// Time since the start and the rate from then on, ascending; the last rate stays.
        points: Vec<(Micros, f64)>,
        /// Even or random gaps.
        gaps: Gaps,
    },
}

/// The distances between rows at a given rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gaps {
    /// All alike.
    Even,
    /// Exponential, as for independent rows.
    Random,
}

impl Read for Gaps {
    fn read(node: &Node) -> Result<Gaps, String> {
        match String::read(node)?.as_str() {
            "even" => Ok(Gaps::Even),
            "random" => Ok(Gaps::Random),
            other => Err(format!("found \"{other}\", wanted \"even\" or \"random\"")),
        }
    }
}

const MODELS: [&str; 6] = ["constant", "poisson", "daily", "bursts", "ramp", "steps"];

impl PaceSpec {
    /// One row a second; weather: one a day.
    pub fn default_of(kind: Kind) -> PaceSpec {
        PaceSpec::Constant {
            rate: if kind == Kind::Weather { 1.0 / 86_400.0 } else { 1.0 },
        }
    }

    pub(crate) fn read(node: &Spanned<Node>) -> (PaceSpec, Vec<SpecError>) {
        let mut table = Table::new("a pace", node);
        let model = table.or("model", "constant".to_owned());
        if !MODELS.contains(&model.as_str()) {
            let hint = suggestion(&model, &MODELS);
            table.wrong(
                "model",
                format!("unknown pace `{model}`{hint}; the paces are {}", listed(&MODELS)),
            );
            return (PaceSpec::Constant { rate: 1.0 }, table.abandon());
        }
        table.called(format!("the pace `{model}`"));
        let pace = match model.as_str() {
            "constant" => PaceSpec::Constant {
                rate: read_rate(&mut table),
            },
            "poisson" => PaceSpec::Poisson {
                rate: read_rate(&mut table),
            },
            "daily" => read_daily(&mut table),
            "bursts" => read_bursts(&mut table),
            "ramp" => PaceSpec::Ramp {
                points: read_points(&mut table),
                gaps: table.or("gaps", Gaps::Random),
            },
            _ => PaceSpec::Steps {
                points: read_points(&mut table),
                gaps: table.or("gaps", Gaps::Random),
            },
        };
        (pace, table.finish())
    }
}

/// `rate = 10` (rows per second) or `every = "100ms"`.
fn read_rate(table: &mut Table) -> f64 {
    let every: Option<Micros> = table.optional("every");
    let rate: Option<f64> = table.optional("rate");
    match (rate, every) {
        (Some(_), Some(_)) => table.wrong("every", "`rate` and `every` say the same thing; keep one of them"),
        (None, None) => table.wrong(
            "rate",
            "a pace needs `rate = 10` (rows per second) or `every = \"100ms\"`",
        ),
        _ => {}
    }
    let rate = rate.unwrap_or_else(|| every.map_or(1.0, |every| 1e6 / every.0 as f64));
    let fine = rate.is_finite() && rate > 0.0 && rate <= 1e9;
    table.demand(fine, "rate", || {
        format!("a rate lies above 0 and up to 1e9 rows per second, found {rate}")
    });
    if fine { rate } else { 1.0 }
}

fn read_daily(table: &mut Table) -> PaceSpec {
    let depth = table.or("depth", 0.8);
    table.demand((0.0..=1.0).contains(&depth), "depth", || {
        format!("`depth` lies between 0 and 1, found {depth}")
    });
    PaceSpec::Daily {
        rate: read_rate(table),
        peak: table.or("peak", Micros::seconds(18 * 3600)),
        depth,
        gaps: table.or("gaps", Gaps::Random),
    }
}

fn read_bursts(table: &mut Table) -> PaceSpec {
    let rate = table.or("rate", 0.0);
    let burst_rate = table.required("burst_rate", "100", 1.0);
    let every = table.required("every", "\"10m\"", Micros::seconds(2));
    let lasts = table.required("lasts", "\"30s\"", Micros::seconds(1));
    table.demand((0.0..=1e9).contains(&rate), "rate", || {
        format!("`rate` lies between 0 and 1e9, found {rate}")
    });
    table.demand(burst_rate > 0.0 && burst_rate <= 1e9, "burst_rate", || {
        format!("`burst_rate` lies above 0 and up to 1e9, found {burst_rate}")
    });
    table.demand(lasts.0 > 0 && lasts < every, "lasts", || {
        format!("a burst of {lasts} does not fit into {every}; make `lasts` shorter than `every`")
    });
    PaceSpec::Bursts {
        rate,
        burst_rate,
        every,
        lasts,
        gaps: table.or("gaps", Gaps::Random),
    }
}

fn read_points(table: &mut Table) -> Vec<(Micros, f64)> {
    let points: Vec<(Micros, f64)> = table.required("points", "[[\"0s\", 1], [\"10m\", 100]]", vec![]);
    let written = table.has("points");
    table.demand(!points.is_empty() || !written, "points", || {
        "`points` needs at least one point".into()
    });
    let ascending = points.is_sorted_by(|left, right| left.0 < right.0) && points.first().is_none_or(|p| p.0.0 >= 0);
    table.demand(ascending, "points", || {
        "the times of `points` must ascend, from \"0s\" on".into()
    });
    let fine = points.iter().all(|(_, rate)| (0.0..=1e9).contains(rate));
    table.demand(fine, "points", || {
        "rates of `points` lie between 0 and 1e9 rows per second".into()
    });
    table.demand(points.last().is_none_or(|(_, rate)| *rate > 0.0), "points", || {
        "the last rate of `points` stays for ever and must be above 0, or the rows would never come".into()
    });
    points
}

/// The event times of a stream, made in row order.
#[derive(Debug)]
pub struct Pace {
    start: i64,
    rate: Rate,
    gaps: Option<Draws>,
    /// Microseconds since the start, with the fraction that rounding would lose.
    elapsed: f64,
}

/// The rate at an instant and how long it stays.
#[derive(Debug, Clone)]
enum Rate {
    Constant {
        gap: f64,
    },
    Random {
        gap: f64,
    },
    Daily {
        rate: f64,
        peak: i64,
        depth: f64,
    },
    Bursts {
        rate: f64,
        burst_rate: f64,
        every: f64,
        lasts: f64,
    },
    Points {
        points: Vec<(f64, f64)>,
        linear: bool,
    },
}

impl Pace {
    /// The pace of a stream that starts at `start` (microseconds since 1970).
    pub fn new(spec: &PaceSpec, start: i64, seed: &Seed) -> Pace {
        let as_points = |points: &[(Micros, f64)], linear| Rate::Points {
            points: points.iter().map(|(at, rate)| (at.0 as f64, *rate)).collect(),
            linear,
        };
        let (rate, gaps) = match spec {
            PaceSpec::Constant { rate } => (Rate::Constant { gap: 1e6 / rate }, Gaps::Even),
            PaceSpec::Poisson { rate } => (Rate::Random { gap: 1e6 / rate }, Gaps::Random),
            PaceSpec::Daily {
                rate,
                peak,
                depth,
                gaps,
            } => (
                Rate::Daily {
                    rate: *rate,
                    peak: peak.0,
                    depth: *depth,
                },
                *gaps,
            ),
            PaceSpec::Bursts {
                rate,
                burst_rate,
                every,
                lasts,
                gaps,
            } => {
                let (every, lasts) = (every.0 as f64, lasts.0 as f64);
                (
                    Rate::Bursts {
                        rate: *rate,
                        burst_rate: *burst_rate,
                        every,
                        lasts,
                    },
                    *gaps,
                )
            }
            PaceSpec::Ramp { points, gaps } => (as_points(points, true), *gaps),
            PaceSpec::Steps { points, gaps } => (as_points(points, false), *gaps),
        };
        let gaps = (gaps == Gaps::Random).then(|| seed.draws("pace"));
        Pace {
            start,
            rate,
            gaps,
            elapsed: 0.0,
        }
    }

    /// The event time of row `row`. Rows must be asked for in order from 0; times never go back.
    #[inline]
    pub fn time(&mut self, row: u64) -> i64 {
        if let Rate::Constant { gap } = self.rate {
            return self.start + (row as f64 * gap) as i64;
        }
        self.irregular_time(row)
    }

    fn irregular_time(&mut self, row: u64) -> i64 {
        // Row 0 happens at the start, so that a stream begins when it is said to.
        if row > 0 {
            let work = self
                .gaps
                .as_mut()
                .map_or(1.0, |draws| exponential_quantile(draws.unit_at(row)));
            self.elapsed = match self.rate {
                Rate::Random { gap } => self.elapsed + work * gap,
                _ => self.after(work),
            };
        }
        self.start + self.elapsed as i64
    }

    /// The time by which `work` further rows are due, piece by piece of the rate.
    fn after(&self, mut work: f64) -> f64 {
        let mut at = self.elapsed;
        loop {
            let (rate, until) = self.rate.piece(at, self.start);
            let room = (until - at) * rate / 1e6;
            if work < room {
                return at + work / rate * 1e6;
            }
            work -= room;
            at = until;
        }
    }
}

impl Rate {
    /// The rate (rows per second) at `at` microseconds since the start, and until when it holds.
    fn piece(&self, at: f64, start: i64) -> (f64, f64) {
        match self {
            Rate::Constant { gap } | Rate::Random { gap } => (1e6 / gap, f64::INFINITY),
            Rate::Daily { rate, peak, depth } => {
                const MINUTE: f64 = 60e6;
                let minute = (at / MINUTE).floor();
                let of_day = (start + (minute * MINUTE) as i64 - peak).rem_euclid(86_400_000_000) as f64;
                let wave = libm::cos(of_day / 86_400e6 * core::f64::consts::TAU);
                (rate * (1.0 + depth * wave), (minute + 1.0) * MINUTE)
            }
            Rate::Bursts {
                rate,
                burst_rate,
                every,
                lasts,
            } => {
                let burst = (at / every).floor() * every;
                if at < burst + lasts {
                    (*burst_rate, burst + lasts)
                } else {
                    (*rate, burst + every)
                }
            }
            Rate::Points { points, linear } => point_piece(points, *linear, at),
        }
    }
}

/// The piece of a ramp (cut into seconds) or of steps that holds at `at`.
fn point_piece(points: &[(f64, f64)], linear: bool, at: f64) -> (f64, f64) {
    let next = points.partition_point(|(time, _)| *time <= at);
    let Some((to, high)) = points.get(next) else {
        return (points[points.len() - 1].1, f64::INFINITY);
    };
    let (from, low) = if next == 0 {
        (0.0, points[0].1)
    } else {
        points[next - 1]
    };
    if !linear {
        return (low, *to);
    }
    let second = (at / 1e6).floor() * 1e6;
    let middle = (second + 0.5e6).clamp(from, *to);
    (
        low + (high - low) * (middle - from) / (to - from),
        (second + 1e6).min(*to),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(spec: PaceSpec, rows: u64) -> Vec<i64> {
        let mut pace = Pace::new(&spec, 0, &Seed::new(1));
        (0..rows).map(|row| pace.time(row)).collect()
    }

    #[test]
    fn a_constant_pace_is_even() {
        assert_eq!(times(PaceSpec::Constant { rate: 10.0 }, 3), [0, 100_000, 200_000]);
    }

    #[test]
    fn every_pace_starts_at_its_start_and_never_goes_back() {
        let gaps = Gaps::Random;
        for spec in [
            PaceSpec::Poisson { rate: 10.0 },
            PaceSpec::Daily {
                rate: 0.01,
                peak: Micros::seconds(0),
                depth: 1.0,
                gaps,
            },
            PaceSpec::Bursts {
                rate: 0.0,
                burst_rate: 5.0,
                every: Micros::seconds(60),
                lasts: Micros::seconds(3),
                gaps,
            },
            PaceSpec::Ramp {
                points: vec![(Micros(0), 0.0), (Micros::seconds(60), 100.0)],
                gaps,
            },
            PaceSpec::Steps {
                points: vec![(Micros(0), 1.0), (Micros::seconds(60), 0.0), (Micros::seconds(90), 1.0)],
                gaps,
            },
        ] {
            let times = times(spec.clone(), 5_000);
            assert_eq!(times[0], 0, "{spec:?}");
            assert!(times.is_sorted(), "{spec:?}");
        }
    }

    #[test]
    fn a_poisson_pace_keeps_its_rate() {
        let times = times(PaceSpec::Poisson { rate: 10.0 }, 100_001);
        let seconds = *times.last().unwrap() as f64 / 1e6;
        assert!((seconds / 10_000.0 - 1.0).abs() < 0.02, "100,000 rows took {seconds} s");
    }

    #[test]
    fn steps_of_rate_zero_are_silent() {
        let points = vec![(Micros(0), 1.0), (Micros::seconds(3), 0.0), (Micros::seconds(60), 1.0)];
        let times = times(
            PaceSpec::Steps {
                points,
                gaps: Gaps::Even,
            },
            6,
        );
        assert_eq!(times, [0, 1_000_000, 2_000_000, 60_000_000, 61_000_000, 62_000_000]);
    }

    #[test]
    fn bursts_hold_most_rows() {
        let spec = PaceSpec::Bursts {
            rate: 1.0,
            burst_rate: 100.0,
            every: Micros::seconds(60),
            lasts: Micros::seconds(6),
            gaps: Gaps::Even,
        };
        let in_burst = times(spec, 6_000)
            .iter()
            .filter(|time| **time % 60_000_000 < 6_000_000)
            .count();
        assert!(in_burst > 5_000, "{in_burst} of 6000 rows in bursts");
    }
}
