//! The highest rate that keeps the objectives: found by doubling, then by halving the distance.
//!
//! Each step is a run of its own, with its own warm-up. The search ends at the broker's limit or at the tool's, and says
//! which.

use skirl_generator::pace::PaceSpec;

use super::cost::NEAR_CEILING;
use super::error::Result;
use super::figure::shown_short;
use super::outcome::Outcome;
use super::slo::Kept;
use super::verdict::{Ending, Verdict};

/// How often a first rate that is too high is halved.
const HALVINGS: u32 = 6;
/// How often a rate is doubled.
const DOUBLINGS: u32 = 20;

/// Where to search, in rows per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// The first rate that is tried.
    pub start: f64,
    /// The highest rate that is tried.
    pub up_to: f64,
    /// How near the two sides must come: 0.05 for five percent.
    pub precision: f64,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held {
    /// It kept the objectives.
    Yes,
    /// It did not; why.
    No(String),
    /// It kept them or not, but near what the tool itself can do; why.
    ToolCeiling {
        /// Whether it kept them.
        kept: bool,
        /// How near.
        why: String,
    },
}

/// A step of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Rows per second.
    pub rate: f64,
    /// How it ended.
    pub held: Held,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// The steps, in the order they were tried.
    pub steps: Vec<Step>,
    /// The highest rate that held.
    pub highest: Option<f64>,
    /// The lowest rate that did not hold.
    pub too_much: Option<f64>,
    /// Why it went no higher, if the tool or the search itself set the limit.
    pub limit: Option<String>,
}

impl Held {
    /// How a run held.
    pub fn of(outcome: &Outcome, verdict: &Verdict) -> Held {
        let ending = verdict.ending();
        let nearest = outcome
            .workers
            .iter()
            .map(|worker| worker.nearness())
            .fold(0.0, f64::max);
        if nearest >= NEAR_CEILING {
            let why = format!(
                "the tool was at {:.0} % of its own ceiling; take more workers to go on",
                nearest * 100.0
            );
            return Held::ToolCeiling {
                kept: ending == Ending::Passed,
                why,
            };
        }
        match (&verdict.invalid, ending) {
            (Some(why), _) => Held::No(why.clone()),
            (None, Ending::Passed) => Held::Yes,
            (None, _) => {
                let missed = verdict.slos.iter().filter(|(_, kept)| !matches!(kept, Kept::Yes(_)));
                let missed: Vec<String> = missed
                    .map(|(slo, kept)| match kept {
                        Kept::No(found) | Kept::Yes(found) => format!("{slo} was {found}"),
                        Kept::Unknown(why) => format!("{slo}: {why}"),
                    })
                    .collect();
                Held::No(missed.join(", "))
            }
        }
    }
}

/// Searches; `attempt` runs one rate.
///
/// # Errors
/// Those of an attempt.
pub fn find(search: &Search, mut attempt: impl FnMut(f64) -> Result<Held>) -> Result<Capacity> {
    let mut found = Capacity {
        steps: Vec::new(),
        highest: None,
        too_much: None,
        limit: None,
    };
    while let Some(rate) = found.next_rate(search) {
        let held = attempt(rate)?;
        found.note(rate, held);
    }
    if found.limit.is_none() && found.too_much.is_none() {
        found.limit = Some(format!(
            "no rate above {} rows/s was tried; see --up-to",
            shown_short(search.up_to)
        ));
    }
    Ok(found)
}

impl Capacity {
    /// The next rate worth trying.
    fn next_rate(&self, search: &Search) -> Option<f64> {
        if self.limit.is_some() {
            return None;
        }
        match (self.highest, self.too_much) {
            (None, None) => Some(search.start.min(search.up_to)),
            (Some(low), None) if low >= search.up_to || self.steps.len() >= DOUBLINGS as usize => None,
            (Some(low), None) => Some((low * 2.0).min(search.up_to)),
            (None, Some(_)) if self.steps.len() > HALVINGS as usize => None,
            (None, Some(high)) => Some(high / 2.0),
            (Some(low), Some(high)) => (high > low * (1.0 + search.precision)).then(|| ((low + high) / 2.0).round()),
        }
    }

    fn note(&mut self, rate: f64, held: Held) {
        match &held {
            Held::Yes => self.highest = Some(rate),
            Held::No(_) => self.too_much = Some(rate),
            Held::ToolCeiling { kept, why } => {
                self.highest = if *kept { Some(rate) } else { self.highest };
                self.limit = Some(why.clone());
            }
        }
        self.steps.push(Step { rate, held });
    }
}

/// A pace so many times as fast.
pub fn scaled(pace: &PaceSpec, factor: f64) -> PaceSpec {
    let times = |points: &[(_, f64)]| points.iter().map(|(at, rate)| (*at, rate * factor)).collect();
    match pace.clone() {
        PaceSpec::Constant { rate } => PaceSpec::Constant { rate: rate * factor },
        PaceSpec::Poisson { rate } => PaceSpec::Poisson { rate: rate * factor },
        PaceSpec::Daily {
            rate,
            peak,
            depth,
            gaps,
        } => PaceSpec::Daily {
            rate: rate * factor,
            peak,
            depth,
            gaps,
        },
        PaceSpec::Bursts {
            rate,
            burst_rate,
            every,
            lasts,
            gaps,
        } => PaceSpec::Bursts {
            rate: rate * factor,
            burst_rate: burst_rate * factor,
            every,
            lasts,
            gaps,
        },
        PaceSpec::Ramp { points, gaps } => PaceSpec::Ramp {
            points: times(&points),
            gaps,
        },
        PaceSpec::Steps { points, gaps } => PaceSpec::Steps {
            points: times(&points),
            gaps,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for the limit of a broker that holds up to `capacity`, with a tool that can do `tool`.
    fn search(start: f64, capacity: f64, tool: f64) -> Capacity {
        let search = Search {
            start,
            up_to: 10e6,
            precision: 0.05,
        };
        let attempt = |rate| {
            Ok(if rate > tool * NEAR_CEILING {
                Held::ToolCeiling {
                    kept: rate <= capacity,
                    why: "tool".into(),
                }
            } else if rate <= capacity {
                Held::Yes
            } else {
                Held::No("p99".into())
            })
        };
        find(&search, attempt).unwrap()
    }

    #[test]
    fn the_highest_rate_that_holds_is_found_from_below_and_from_above() {
        for start in [1_000.0, 70_000.0, 5_000_000.0] {
            let found = search(start, 123_456.0, 1e9);
            let (highest, too_much) = (found.highest.unwrap(), found.too_much.unwrap());
            assert!(
                highest <= 123_456.0 && 123_456.0 < too_much && too_much <= highest * 1.05,
                "{found:?}"
            );
            assert_eq!(found.limit, None);
            assert!(found.steps.len() < 20, "{} steps", found.steps.len());
        }
    }

    #[test]
    fn the_search_stops_at_the_tools_ceiling_and_says_so() {
        let found = search(1_000.0, 1e9, 100_000.0);
        assert_eq!(found.limit.as_deref(), Some("tool"));
        assert!(found.highest.unwrap() >= 75_000.0, "{found:?}");
        let broken = search(1_000.0, 70_000.0, 100_000.0);
        assert!(
            broken.highest.unwrap() <= 70_000.0 && broken.limit.is_some(),
            "{broken:?}"
        );
    }

    #[test]
    fn a_broker_that_holds_nothing_has_no_capacity() {
        let found = search(1_000.0, 0.1, 1e9);
        assert_eq!((found.highest, found.steps.len()), (None, HALVINGS as usize + 1));
    }

    #[test]
    fn a_search_that_never_met_a_limit_says_so() {
        let found = search(1_000.0, 1e9, 1e9);
        assert_eq!(found.highest, Some(10e6));
        assert!(found.limit.unwrap().contains("--up-to"));
    }

    #[test]
    fn a_pace_is_scaled_as_a_whole() {
        let bursts = skirl_generator::pace::parse_rate("bursts,rate=1k,burst_rate=50k,every=10s,lasts=1s").unwrap();
        let twice = skirl_generator::pace::parse_rate("bursts,rate=2k,burst_rate=100k,every=10s,lasts=1s").unwrap();
        assert_eq!(scaled(&bursts, 2.0), twice);
    }
}
