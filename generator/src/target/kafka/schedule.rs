//! When rows are due: as fast as it goes, at a rate of their own making, or when they arrive in the stream's own time.

use std::time::Duration;

use crate::pace::{Pace, PaceSpec};
use crate::seed::Seed;

/// What time it is. Passed in, so that a schedule can be tried without waiting.
pub trait Clock: Sync {
    /// Microseconds since 1970-01-01T00:00:00 UTC; never goes back.
    fn now_us(&self) -> i64;
}

/// How fast rows are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum SendPace {
    /// As fast as it goes.
    Unlimited,
    /// By a rate, whatever the stream's own pace is.
    Rate(PaceSpec),
    /// When they arrive in the stream's own time, so many times as fast.
    Own {
        /// 1: as slowly as they arrive.
        speed: f64,
    },
}

/// The most rows that are due at once: what is behind schedule is caught up in pieces.
pub(super) const CHUNK_ROWS: usize = 4_096;

/// The shortest wait: rows due within a millisecond go together.
const QUANTUM: Duration = Duration::from_millis(1);
/// The longest wait, after which one looks whether to stop.
const SLICE: Duration = Duration::from_millis(50);

/// A pace at work.
pub struct Schedule {
    pace: Running,
    /// How far the latest row was behind its time, at most, in microseconds.
    behind: i64,
}

enum Running {
    Unlimited,
    /// Begins with the first row that could be sent.
    NotYet {
        pace: SendPace,
        seed: Seed,
    },
    Rate {
        pace: Box<Pace>,
        /// The row that is due next, and when.
        next: (u64, i64),
        /// Rows that are due and not yet sent.
        credit: usize,
    },
    Own {
        speed: f64,
        /// When the first row was sent, and when it arrives in the stream's own time.
        start: i64,
        first: i64,
    },
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// So many rows at most.
    pub rows: usize,
    /// Only rows that arrive up to this time of the stream.
    pub until: i64,
}

impl Schedule {
    /// A schedule that begins when it is asked first.
    pub fn new(pace: &SendPace, seed: u64) -> Schedule {
        let pace = match pace {
            SendPace::Unlimited => Running::Unlimited,
            pace => Running::NotYet {
                pace: pace.clone(),
                seed: Seed::new(seed).named("send"),
            },
        };
        Schedule { pace, behind: 0 }
    }

    /// What may be sent at `now`, if the next row arrives at `next_arrival` of the stream's own time.
    pub fn due(&mut self, now: i64, next_arrival: i64) -> Due {
        self.begin(now, next_arrival);
        let mut due = Due {
            rows: CHUNK_ROWS,
            until: i64::MAX,
        };
        match &mut self.pace {
            Running::Unlimited | Running::NotYet { .. } => {}
            Running::Rate { pace, next, credit } => {
                if next.1 <= now && *credit == 0 {
                    self.behind = self.behind.max(now - next.1);
                }
                while next.1 <= now && *credit < CHUNK_ROWS {
                    *credit += 1;
                    *next = (next.0 + 1, pace.time(next.0 + 1));
                }
                due.rows = *credit;
            }
            Running::Own { speed, start, first } => {
                self.behind = self.behind.max(now - due_at(*start, *first, *speed, next_arrival));
                due.until = first.saturating_add(((now - *start) as f64 * *speed) as i64);
                if next_arrival > due.until {
                    due.rows = 0;
                }
            }
        }
        due
    }

    fn begin(&mut self, now: i64, first: i64) {
        let Running::NotYet { pace, seed } = &self.pace else {
            return;
        };
        self.pace = match pace {
            SendPace::Unlimited => Running::Unlimited,
            SendPace::Rate(spec) => {
                let mut pace = Box::new(Pace::new(spec, now, seed));
                let next = (0, pace.time(0));
                Running::Rate { pace, next, credit: 0 }
            }
            SendPace::Own { speed } => Running::Own {
                speed: *speed,
                start: now,
                first,
            },
        };
    }

    /// So many of the rows that were due have been sent.
    pub fn sent(&mut self, rows: usize) {
        if let Running::Rate { credit, .. } = &mut self.pace {
            *credit -= rows;
        }
    }

    /// How long nothing is due after `now`, within reason.
    pub fn wait(&self, now: i64, next_arrival: i64) -> Duration {
        let due = match &self.pace {
            Running::Unlimited | Running::NotYet { .. } => return Duration::ZERO,
            Running::Rate { next, .. } => next.1,
            Running::Own { speed, start, first } => due_at(*start, *first, *speed, next_arrival),
        };
        let wait = Duration::from_micros(u64::try_from(due.saturating_sub(now)).unwrap_or(0));
        wait.clamp(QUANTUM, SLICE)
    }

    /// How far rows were behind their time, at most, in microseconds.
    pub fn behind(&self) -> i64 {
        self.behind
    }
}

/// When a row is due that arrives at `arrival`.
fn due_at(start: i64, first: i64, speed: f64, arrival: i64) -> i64 {
    start.saturating_add(((arrival - first) as f64 / speed) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Gaps;
    use crate::spec::Micros;

    const SECOND: i64 = 1_000_000;

    fn at_rate(rate: f64) -> Schedule {
        begun(&SendPace::Rate(PaceSpec::Constant { rate }), 0)
    }

    /// A schedule that begins at second 100, without having sent a row.
    fn begun(pace: &SendPace, first_arrival: i64) -> Schedule {
        let mut schedule = Schedule::new(pace, 7);
        schedule.begin(100 * SECOND, first_arrival);
        schedule
    }

    /// Rows due at `now` (seconds since the start), all of which are sent.
    fn rows(schedule: &mut Schedule, now: f64) -> usize {
        let rows = schedule.due(100 * SECOND + (now * SECOND as f64) as i64, 0).rows;
        schedule.sent(rows);
        rows
    }

    #[test]
    fn a_rate_lets_through_what_is_due() {
        let mut schedule = at_rate(1_000.0);
        assert_eq!(rows(&mut schedule, 0.0), 1);
        assert_eq!(rows(&mut schedule, 0.01), 10);
        assert_eq!(rows(&mut schedule, 0.01), 0);
        assert_eq!(schedule.wait(100 * SECOND + 10_000, 0), QUANTUM);
    }

    #[test]
    fn what_is_behind_schedule_is_caught_up_and_told() {
        let mut schedule = at_rate(10_000.0);
        assert_eq!(rows(&mut schedule, 1.0), CHUNK_ROWS);
        assert_eq!(rows(&mut schedule, 1.0), CHUNK_ROWS);
        assert_eq!(rows(&mut schedule, 1.0), 10_001 - 2 * CHUNK_ROWS);
        assert_eq!(schedule.behind(), SECOND);
    }

    #[test]
    fn rows_that_were_due_and_not_sent_stay_due() {
        let mut schedule = at_rate(1_000.0);
        assert_eq!(schedule.due(100 * SECOND + 4_000, 0).rows, 5);
        schedule.sent(2);
        assert_eq!(schedule.due(100 * SECOND + 4_000, 0).rows, 3);
    }

    #[test]
    fn a_burst_is_sent_as_one() {
        let bursts = PaceSpec::Bursts {
            rate: 0.0,
            burst_rate: 1_000.0,
            every: Micros::seconds(10),
            lasts: Micros::seconds(1),
            gaps: Gaps::Even,
        };
        let mut schedule = begun(&SendPace::Rate(bursts), 0);
        let counts = [1.0, 5.0, 9.9, 10.5, 11.5].map(|now| rows(&mut schedule, now));
        assert_eq!(counts.iter().sum::<usize>(), 2_000);
        assert_eq!(counts[1..3], [0, 0]);
    }

    #[test]
    fn the_streams_own_pace_is_kept_at_a_speed() {
        let arrival = |seconds: i64| 5_000 * SECOND + seconds * SECOND;
        let mut schedule = begun(&SendPace::Own { speed: 10.0 }, arrival(0));
        assert_eq!(schedule.due(100 * SECOND, arrival(0)).rows, CHUNK_ROWS);
        assert_eq!(schedule.due(101 * SECOND, arrival(20)).rows, 0);
        assert_eq!(schedule.wait(101 * SECOND, arrival(20)), SLICE);
        let due = schedule.due(102 * SECOND, arrival(20));
        assert_eq!((due.rows, due.until), (CHUNK_ROWS, arrival(20)));
    }
}
