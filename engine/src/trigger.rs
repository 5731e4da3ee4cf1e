//! When the next micro-batch runs (spark-semantics 1.4).

use std::time::Duration;

/// When a query runs its micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// At multiples of an interval of the clock; zero: as soon as the batch before has ended.
    ProcessingTime(Duration),
    /// One batch with everything there is, read limits ignored; no batch without data follows.
    Once,
    /// Everything that is there now, in as many batches as read limits ask for, the last one without data included.
    AvailableNow,
}

impl Default for Trigger {
    fn default() -> Self {
        Trigger::ProcessingTime(Duration::ZERO)
    }
}

impl Trigger {
    /// Whether a query ends after a turn that ran a batch or did not.
    pub(crate) fn ends_after(self, ran: bool) -> bool {
        match self {
            Trigger::ProcessingTime(_) => false,
            Trigger::Once => true,
            Trigger::AvailableNow => !ran,
        }
    }

    /// The first tick after `now_ms` of an interval; missed ticks are skipped.
    pub(crate) fn next_tick_ms(interval: Duration, now_ms: i64) -> i64 {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        (now_ms.div_euclid(interval_ms) + 1).saturating_mul(interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        for (now_ms, tick_ms) in [(0, 10_000), (9_999, 10_000), (10_000, 20_000), (-1, 0)] {
            assert_eq!(Trigger::next_tick_ms(Duration::from_secs(10), now_ms), tick_ms);
        }
    }
}
