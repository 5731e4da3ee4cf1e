//! Waiting for another process, which wakes nobody when it is ready: it is asked again and again.

use std::thread;
use std::time::{Duration, Instant};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer; `None` once `bound` has passed without one.
#[expect(
    clippy::disallowed_methods,
    reason = "a condition of another process is waited for; time decides when to ask, not what is answered"
)]
pub fn until<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        match ask() {
            None if start.elapsed() < bound => thread::sleep(PAUSE),
            answer => return answer,
        }
    }
}
