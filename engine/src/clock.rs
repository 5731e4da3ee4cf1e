//! What time it is. Clocks are passed in; nothing else in the engine asks the machine.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00 UTC.
    fn now_ms(&self) -> i64;

    /// Waits until `time_ms` or until `stop` is raised, whichever comes first.
    fn wait_until(&self, time_ms: i64, stop: &StopSignal);
}

/// Asks a running query to end after the batch in flight. Clones share the signal.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<(Mutex<bool>, Condvar)>);

impl StopSignal {
    /// Asks for the end.
    pub fn raise(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether the end was asked for.
    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the signal, at most `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let raised = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(raised, timeout, |raised| !*raised);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// The machine's clock, for queries that run for people.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the machine's clock"
    )]
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn wait_until(&self, time_ms: i64, stop: &StopSignal) {
        let wait = time_ms.saturating_sub(self.now_ms());
        if wait > 0 {
            stop.wait(Duration::from_millis(wait as u64));
        }
    }
}

/// A clock that shows what it is told, for tests and replays. Clones share the time.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn at(now_ms: i64) -> Self {
        ManualClock(Arc::new(AtomicI64::new(now_ms)))
    }

    /// Moves the clock to `now_ms`.
    pub fn set(&self, now_ms: i64) {
        self.0.store(now_ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Time does what it is told: waiting moves it.
    fn wait_until(&self, time_ms: i64, _: &StopSignal) {
        self.0.fetch_max(time_ms, Ordering::Relaxed);
    }
}
