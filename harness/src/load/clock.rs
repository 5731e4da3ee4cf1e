//! What time it is in a run. The one file of the load test that reads the machine's clocks.
//!
//! A run has one time line: [`Moment`] 0 is the intended beginning of its measured part, on every worker. It advances by
//! the machine's monotonic clock, which no clock adjustment moves; the wall clock is read once, to agree on where 0 is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment of a run: nanoseconds since its measured part begins; negative in the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(pub i64);

impl Moment {
    /// So much later.
    pub fn after(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(span)))
    }

    /// Nanoseconds since `earlier`; negative if that is later.
    pub fn since(self, earlier: Moment) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A length of time in nanoseconds, as moments count.
pub fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// What time it is, and how to wait. Passed in, so that schedules are tried without waiting.
pub trait Clock: Sync {
    /// Now.
    fn now(&self) -> Moment;
    /// Returns at `until`, or a little later.
    fn wait_until(&self, until: Moment);
}

/// How a thread waits for the next row that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// It sleeps: the machine wakes it some 50 us late, and it costs next to nothing.
    #[default]
    Sleep,
    /// It sleeps up to a millisecond before and then looks at the clock again and again: on time within a microsecond, at
    /// the price of a core.
    Spin,
}

/// The machine's clock, on a run's time line.
#[derive(Debug, Clone)]
pub struct MachineClock {
    read: Instant,
    /// The moment of `read`.
    at: Moment,
    start_wall_ns: i64,
    error: Duration,
    waiting: Waiting,
}

/// How often both clocks are read, of which the closest pair counts.
const READINGS: usize = 32;
/// What is left of a wait when [`Waiting::Spin`] begins to spin.
const SPIN_FROM: Duration = Duration::from_millis(1);

impl MachineClock {
    /// A clock whose moment 0 is at `start_wall_ns` (nanoseconds since 1970-01-01T00:00:00 UTC).
    pub fn starting_at(start_wall_ns: i64, waiting: Waiting) -> MachineClock {
        let readings = (0..READINGS).map(|_| {
            let (before, wall_ns, after) = (monotonic(), wall_ns(), monotonic());
            (after.duration_since(before), after, wall_ns)
        });
        let (gap, read, wall_ns) = readings.min_by_key(|(gap, ..)| *gap).expect("the clocks are read");
        MachineClock {
            read,
            at: Moment(wall_ns - start_wall_ns),
            start_wall_ns,
            error: gap,
            waiting,
        }
    }

    /// The wall clock's time of a moment, in nanoseconds since 1970-01-01T00:00:00 UTC.
    pub fn wall_ns(&self, moment: Moment) -> i64 {
        self.start_wall_ns.saturating_add(moment.0)
    }

    /// The moment of a wall clock's time.
    pub fn moment_of(&self, wall_ns: i64) -> Moment {
        Moment(wall_ns.saturating_sub(self.start_wall_ns))
    }

    /// By how much this time line may differ from that of another process on this machine: the time between two readings
    /// of the monotonic clock, between which the wall clock was read.
    pub fn error(&self) -> Duration {
        self.error
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Moment {
        self.at.after(monotonic().saturating_duration_since(self.read))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a row is waited for until it is due, and nothing else tells when"
    )]
    fn wait_until(&self, until: Moment) {
        let left = || Duration::from_nanos(u64::try_from(until.since(self.now())).unwrap_or(0));
        let asleep = match self.waiting {
            Waiting::Sleep => left(),
            Waiting::Spin => left().saturating_sub(SPIN_FROM),
        };
        if !asleep.is_zero() {
            std::thread::sleep(asleep);
        }
        while !left().is_zero() {
            std::hint::spin_loop();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a load test measures time")]
fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock, in nanoseconds since 1970-01-01T00:00:00 UTC: to agree on a start, and to name a run.
#[expect(clippy::disallowed_methods, reason = "workers agree on a start by the wall clock")]
pub fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
}

/// A clock that stands still unless it is waited for or moved.
#[cfg(test)]
pub(crate) struct ManualClock(std::sync::atomic::AtomicI64);

#[cfg(test)]
impl ManualClock {
    pub fn at(moment: Moment) -> ManualClock {
        ManualClock(moment.0.into())
    }
}

#[cfg(test)]
impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn wait_until(&self, until: Moment) {
        self.0.fetch_max(until.0, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_clocks_of_one_start_agree_within_their_errors() {
        let start = wall_ns();
        let (one, other) = (
            MachineClock::starting_at(start, Waiting::Sleep),
            MachineClock::starting_at(start, Waiting::Sleep),
        );
        let (before, between, after) = (one.now(), other.now(), one.now());
        let error = one.error() + other.error() + Duration::from_millis(1); // the wall clock may be slewed meanwhile
        assert!(
            before <= between.after(error) && between <= after.after(error),
            "{before:?} {between:?} {after:?}"
        );
    }

    #[test]
    fn a_wait_does_not_end_early() {
        for waiting in [Waiting::Sleep, Waiting::Spin] {
            let clock = MachineClock::starting_at(wall_ns(), waiting);
            let until = clock.now().after(Duration::from_millis(2));
            clock.wait_until(until);
            assert!(clock.now() >= until, "{waiting:?}");
        }
    }

    #[test]
    fn a_moment_and_its_wall_time_name_each_other() {
        let clock = MachineClock::starting_at(1_700_000_000_000_000_000, Waiting::Sleep);
        assert_eq!(clock.moment_of(clock.wall_ns(Moment(-5))), Moment(-5));
    }
}
