//! How long to wait for a broker: the one place of this crate that reads a clock. No result depends on it.

use std::time::{Duration, Instant};

/// A moment up to which one waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    #[expect(
        clippy::disallowed_methods,
        reason = "waiting for a broker needs the machine's clock"
    )]
    pub(crate) fn after(wait: Duration) -> Self {
        Deadline(Instant::now() + wait)
    }

    /// What is left, zero once it has passed.
    #[expect(
        clippy::disallowed_methods,
        reason = "waiting for a broker needs the machine's clock"
    )]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    pub(crate) fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// What is left, but no more than `most`, in the milliseconds librdkafka takes; at least 1 while time is left.
    pub(crate) fn slice_ms(self, most: Duration) -> i32 {
        let left = self.left().min(most);
        let ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        if left.is_zero() { 0 } else { ms.max(1) }
    }
}
