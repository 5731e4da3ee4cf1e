//! Rows on their way: what lanes hold, queued when the schedule says so, until the last is acknowledged or given up.

use std::ops::Range;
use std::time::Duration;

use skirl_kafka::{Outbox, Result};

use super::merge::{Lanes, Timed};
use super::schedule::{Clock, Schedule, SendPace};

/// How sending ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With the last row.
    Complete,
    /// Before the last row, because somebody wanted it to.
    Interrupted,
    /// Before the last row, because it could not go on: a topic that is gone, a broker that refuses.
    Trouble(String),
}

/// What sends the rows that were queued.
pub trait Outlet {
    /// Hears for up to `wait` what became of rows.
    ///
    /// # Errors
    /// It cannot go on.
    fn poll(&mut self, wait: Duration) -> Result<()>;

    /// Waits until every row is acknowledged or given up; not for long once `stop` says so.
    ///
    /// # Errors
    /// It cannot go on.
    fn settle(&mut self, stop: &dyn Fn() -> bool) -> Result<()>;
}

impl Outlet for Outbox {
    fn poll(&mut self, wait: Duration) -> Result<()> {
        Outbox::poll(self, wait)
    }

    fn settle(&mut self, stop: &dyn Fn() -> bool) -> Result<()> {
        Outbox::settle(self, stop)
    }
}

/// Queues rows as they become due.
pub struct Dispatch<'a, O = Outbox> {
    outlet: O,
    clock: &'a dyn Clock,
    schedule: Schedule,
    started_us: i64,
}

impl<'a, O: Outlet> Dispatch<'a, O> {
    /// Begins now; `seed` is that of the pace's chance.
    pub fn new(outlet: O, pace: &SendPace, seed: u64, clock: &'a dyn Clock) -> Self {
        Dispatch {
            outlet,
            clock,
            schedule: Schedule::new(pace, seed),
            started_us: clock.now_us(),
        }
    }

    /// Sends all rows, and waits for their acknowledgements. `queue` queues some rows of a lane's piece and says how many:
    /// fewer than given only once `interrupted` says so.
    ///
    /// # Errors
    /// A piece that cannot be had. What keeps rows from being sent is in the [`Ending`].
    pub fn send_all<P: Timed, E>(
        &mut self,
        mut lanes: Lanes<P, E>,
        interrupted: &dyn Fn() -> bool,
        mut queue: impl FnMut(&mut O, &P, usize, Range<usize>) -> Result<usize>,
    ) -> std::result::Result<Ending, E> {
        let ending = loop {
            let Some(next_arrival) = lanes.next_arrival()? else {
                break Ending::Complete;
            };
            if interrupted() {
                break Ending::Interrupted;
            }
            match self.send_due(&mut lanes, next_arrival, &mut queue) {
                Ok(true) => {}
                Ok(false) => break Ending::Interrupted,
                Err(error) => break Ending::Trouble(error.to_string()),
            }
        };
        // Whoever makes the pieces ends with the lanes.
        drop(lanes);
        let is_troubled = matches!(ending, Ending::Trouble(_));
        match self.outlet.settle(&|| is_troubled || interrupted()) {
            Err(error) if !is_troubled => Ok(Ending::Trouble(error.to_string())),
            _ => Ok(ending),
        }
    }

    /// Queues what is due, or waits a little for it; whether all of it was queued.
    fn send_due<P: Timed, E>(
        &mut self,
        lanes: &mut Lanes<P, E>,
        next_arrival: i64,
        queue: &mut impl FnMut(&mut O, &P, usize, Range<usize>) -> Result<usize>,
    ) -> Result<bool> {
        let now = self.clock.now_us();
        let due = self.schedule.due(now, next_arrival);
        if due.rows == 0 {
            self.outlet.poll(self.schedule.wait(now, next_arrival))?;
            return Ok(true);
        }
        let (mut sent, mut queued) = (0, 0);
        for (lane, rows) in lanes.take(due) {
            sent += rows.len();
            queued += queue(&mut self.outlet, lanes.piece(lane), lane, rows)?;
        }
        self.schedule.sent(sent);
        self.outlet.poll(Duration::ZERO)?;
        Ok(queued == sent)
    }

    /// What rows were queued in.
    pub fn outlet(&self) -> &O {
        &self.outlet
    }

    /// How long it has taken so far, in microseconds.
    pub fn lasted_us(&self) -> i64 {
        self.clock.now_us() - self.started_us
    }

    /// How far rows were behind the pace, at most, in microseconds.
    pub fn behind_us(&self) -> i64 {
        self.schedule.behind()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Still;

    impl Clock for Still {
        fn now_us(&self) -> i64 {
            0
        }
    }

    #[derive(Default)]
    struct Counted {
        settled: usize,
    }

    impl Outlet for Counted {
        fn poll(&mut self, _: Duration) -> Result<()> {
            Ok(())
        }

        fn settle(&mut self, _: &dyn Fn() -> bool) -> Result<()> {
            self.settled += 1;
            Ok(())
        }
    }

    struct Times(Vec<i64>);

    impl Timed for Times {
        fn times(&self) -> &[i64] {
            &self.0
        }
    }

    fn lanes() -> Lanes<Times, ()> {
        let piece = |first: i64| Ok(Times((first..first + 10).collect()));
        Lanes::new(vec![Box::new([0, 10, 20].into_iter().map(piece))])
    }

    /// How sending 30 rows ends if only so many find room before somebody interrupts it, and how many were queued.
    fn ending(room: usize) -> (Ending, usize) {
        let (queued, interrupted) = (Cell::new(0), Cell::new(false));
        let mut dispatch = Dispatch::new(Counted::default(), &SendPace::Unlimited, 7, &Still);
        let ending = dispatch.send_all(lanes(), &|| interrupted.get(), |_, _, _, rows| {
            let fits = rows.len().min(room - queued.get());
            queued.set(queued.get() + fits);
            interrupted.set(fits < rows.len());
            Ok(fits)
        });
        assert_eq!(dispatch.outlet().settled, 1);
        (ending.unwrap(), queued.get())
    }

    #[test]
    fn rows_that_found_no_room_before_the_end_are_not_taken_for_sent() {
        assert_eq!(ending(30), (Ending::Complete, 30));
        assert_eq!(ending(29), (Ending::Interrupted, 29));
        assert_eq!(ending(5), (Ending::Interrupted, 5));
    }
}
