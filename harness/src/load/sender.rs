//! The open loop: rows are queued when they are due, and measured from when they were due.
//!
//! A row that cannot be queued in time, because the queue is full, because no row was made or because this thread was
//! kept waiting, is queued late, and stays due when it was. Rows are not waited for one by one: this thread wakes at most
//! once in a quantum and queues what has become due, in batches that share one send time and keep their own intended
//! times. The error this makes is measured as [`Span::Schedule`](super::latency::Span::Schedule).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clock::{Clock, Moment};
use super::error::Result;
use super::latency::{LatencyLog, Recorder};
use super::outlet::{Outgoing, Outlet};
use super::rows::{RowSource, SourceRow};
use super::schedule::Schedule;
use super::stamp::{RunId, Stamp};
use super::tally::Tally;

/// Rows that share one send time, at most.
const BATCH_ROWS: usize = 256;
/// How long a full queue is left alone.
const FULL_WAIT: Duration = Duration::from_micros(200);
/// The longest wait, after which one looks whether to stop.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// What a sender is to do.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    /// The run its rows belong to.
    pub run: RunId,
    /// Its number.
    pub worker: u32,
    /// The wall clock's time of moment 0.
    pub start_wall_ns: i64,
    /// Time between two wakings, at least.
    pub quantum: Duration,
    /// When the measured part ends.
    pub end: Moment,
    /// When rows that are still not queued are given up.
    pub give_up: Moment,
    /// How long the intervals of latencies are.
    pub interval: Duration,
}

impl Orders {
    fn stamp(&self, sequence: u64, due: Moment) -> Stamp {
        Stamp {
            run: self.run,
            worker: self.worker,
            sequence,
            intended_ns: self.start_wall_ns.saturating_add(due.0),
        }
    }
}

fn outgoing(row: SourceRow<'_>, stamp: Stamp) -> Outgoing<'_> {
    Outgoing {
        stream: row.stream,
        key: row.key,
        value: row.value,
        stamp: stamp.to_bytes(),
    }
}

/// What a sender did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    /// Rows that were due in the measured part.
    pub offered: u64,
    /// Those of them that were queued before it ended.
    pub in_time: u64,
    /// Those of them that were never queued.
    pub unsent: u64,
    /// All rows that were queued, those of the warm-up too.
    pub queued: u64,
    /// Bytes of their keys and values.
    pub queued_bytes: u64,
    /// Rows that were too large for the client to send.
    pub too_large: u64,
    /// When it ended; earlier than it should if it was stopped.
    pub ended: Moment,
    /// How late rows were queued.
    pub schedule: LatencyLog,
    /// Time spent waiting for room in the queue, in nanoseconds.
    pub queue_full_ns: i64,
    /// Time spent waiting for rows to be made, in nanoseconds.
    pub rows_awaited_ns: i64,
}

/// Sends the rows of a schedule.
pub struct Sender<'a> {
    clock: &'a dyn Clock,
    schedule: Schedule,
    rows: &'a mut dyn RowSource,
    outlet: &'a mut dyn Outlet,
    tally: &'a Tally,
    stop: &'a AtomicBool,
    orders: Orders,
    woken: Moment,
    account: Account,
}

impl<'a> Sender<'a> {
    /// A sender that has sent nothing yet; `stop` ends it early.
    pub fn new(
        clock: &'a dyn Clock,
        schedule: Schedule,
        rows: &'a mut dyn RowSource,
        outlet: &'a mut dyn Outlet,
        tally: &'a Tally,
        stop: &'a AtomicBool,
        orders: Orders,
    ) -> Self {
        Sender {
            clock,
            schedule,
            rows,
            outlet,
            tally,
            stop,
            orders,
            woken: Moment(i64::MIN),
            account: Account::new(&orders),
        }
    }

    /// Sends everything, or gives up what could not be sent.
    ///
    /// # Errors
    /// Rows that cannot be made, a broker that refuses.
    pub fn run(mut self) -> Result<Sent> {
        while let Some(next) = self.schedule.next() {
            let now = self.clock.now();
            if self.is_over(now) {
                break;
            }
            if next > now {
                self.wait(next, now);
            } else {
                self.send_due(now)?;
            }
        }
        self.outlet.push();
        Ok(self.finish())
    }

    fn is_over(&self, now: Moment) -> bool {
        now > self.orders.give_up || self.stop.load(Ordering::Relaxed)
    }

    /// Waits until the next row is due, or longer, so that there are rows enough to share the cost of a waking.
    fn wait(&mut self, next: Moment, now: Moment) {
        self.tally.behind_ns.store(0, Ordering::Relaxed);
        let until = next.max(self.woken.after(self.orders.quantum));
        self.clock.wait_until(until.min(now.after(LONGEST_WAIT)));
        self.woken = self.clock.now();
    }

    /// Queues a batch of the rows that are due.
    fn send_due(&mut self, now: Moment) -> Result<()> {
        let mut due = Vec::with_capacity(BATCH_ROWS);
        while let Some(next) = self
            .schedule
            .next()
            .filter(|next| *next <= now && due.len() < BATCH_ROWS)
        {
            due.push(next);
            self.schedule.advance();
        }
        let mut left = due.as_slice();
        while !left.is_empty() {
            let before = self.clock.now();
            let taken = self.rows.take(left.len())?;
            self.account.sent.rows_awaited_ns += self.clock.now().since(before);
            let queued = self.queue(&left[..taken])?;
            left = &left[queued..];
            if queued < taken {
                left.iter().for_each(|due| self.account.note_unsent(*due));
                break;
            }
        }
        Ok(())
    }

    /// Queues the rows that were taken, due at these moments, and tries again while the queue is full. Says how many were
    /// queued: fewer than all only when it is over.
    fn queue(&mut self, due: &[Moment]) -> Result<usize> {
        let (rows, first) = (&*self.rows, self.account.sent.queued);
        let number = due.iter().zip(first..).enumerate();
        let outgoing: Vec<Outgoing> = number
            .map(|(index, (due, sequence))| outgoing(rows.row(index), self.orders.stamp(sequence, *due)))
            .collect();
        let mut done = 0;
        while done < due.len() {
            let now = self.clock.now();
            let queued = self.outlet.queue(&outgoing[done..], now)?;
            let bytes: usize = outgoing[done..done + queued].iter().map(Outgoing::bytes).sum();
            self.account.note_queued(now, &due[done..done + queued], bytes as u64);
            self.tally.queued.fetch_add(queued as u64, Ordering::Relaxed);
            self.tally.queued_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            self.tally.behind_ns.store(now.since(due[done]), Ordering::Relaxed);
            done += queued;
            if queued == 0 {
                if self.is_over(now) {
                    break;
                }
                self.clock.wait_until(now.after(FULL_WAIT));
                self.account.sent.queue_full_ns += self.clock.now().since(now);
            }
        }
        Ok(done)
    }

    fn finish(mut self) -> Sent {
        let now = self.clock.now();
        let stopped = self.stop.load(Ordering::Relaxed) && now < self.orders.end;
        let ended = if stopped { now } else { self.orders.end };
        while let Some(next) = self.schedule.next().filter(|next| *next < ended) {
            self.account.note_unsent(next);
            self.schedule.advance();
        }
        let too_large = self.outlet.too_large();
        self.tally.failed.fetch_add(too_large, Ordering::Relaxed);
        self.account.finish(ended, too_large)
    }
}

/// What has been done, row by row.
struct Account {
    end: Moment,
    lateness: Recorder,
    sent: Sent,
}

impl Account {
    fn new(orders: &Orders) -> Account {
        Account {
            end: orders.end,
            lateness: Recorder::new(orders.interval),
            sent: Sent::default(),
        }
    }

    fn note_queued(&mut self, now: Moment, due: &[Moment], bytes: u64) {
        self.sent.queued += due.len() as u64;
        self.sent.queued_bytes += bytes;
        let measured = due.partition_point(|due| due.0 < 0);
        for due in &due[measured..] {
            self.lateness.record(now, now.since(*due));
        }
        let measured = (due.len() - measured) as u64;
        self.sent.offered += measured;
        self.sent.in_time += if now <= self.end { measured } else { 0 };
    }

    fn note_unsent(&mut self, due: Moment) {
        if due.0 >= 0 {
            self.sent.offered += 1;
            self.sent.unsent += 1;
        }
    }

    fn finish(self, ended: Moment, too_large: u64) -> Sent {
        Sent {
            ended,
            too_large,
            schedule: self.lateness.finish(),
            ..self.sent
        }
    }
}

#[cfg(test)]
mod tests {
    use skirl_generator::pace::PaceSpec;

    use super::*;
    use crate::load::clock::{ManualClock, nanos};
    use crate::load::latency::interval_of;
    use crate::load::rows::Synthetic;
    use crate::load::schedule::Timing;

    const MS: i64 = 1_000_000;

    /// A queue that has no room in a while, nor for more than so many rows at once.
    struct Gate<'a> {
        clock: &'a ManualClock,
        shut: std::ops::Range<i64>,
        room: usize,
        /// Moment of sending and stamp of each row.
        taken: Vec<(Moment, Stamp)>,
    }

    impl Outlet for Gate<'_> {
        fn queue(&mut self, rows: &[Outgoing], sent: Moment) -> Result<usize> {
            if self.shut.contains(&self.clock.now().0) {
                return Ok(0);
            }
            let room = rows.len().min(self.room);
            let stamps = rows[..room].iter().map(|row| Stamp::of(&row.stamp).unwrap());
            self.taken.extend(stamps.map(|stamp| (sent, stamp)));
            Ok(room)
        }
    }

    /// A second at 1,000 rows/s after 100 ms of warm-up, with a queue that is shut for a while.
    fn run(shut_ms: std::ops::Range<i64>, patience_ms: i64) -> (Sent, Vec<(Moment, Stamp)>) {
        let clock = ManualClock::at(Moment(-200 * MS));
        let timing = Timing {
            pace: PaceSpec::Constant { rate: 1_000.0 },
            seed: 1,
            warm_up: Duration::from_millis(100),
            duration: Duration::from_secs(1),
        };
        let end = Moment(nanos(timing.duration));
        let orders = Orders {
            run: RunId(7),
            worker: 2,
            start_wall_ns: 1_000,
            quantum: Duration::from_millis(5),
            end,
            give_up: Moment(end.0 + patience_ms * MS),
            interval: interval_of(timing.duration),
        };
        let mut gate = Gate {
            clock: &clock,
            shut: shut_ms.start * MS..shut_ms.end * MS,
            room: 3,
            taken: Vec::new(),
        };
        let (tally, stop) = (Tally::default(), AtomicBool::new(false));
        let mut rows = Synthetic::new(20, 0, 1);
        let sender = Sender::new(
            &clock,
            Schedule::new(&timing, 0, 1),
            &mut rows,
            &mut gate,
            &tally,
            &stop,
            orders,
        );
        let sent = sender.run().unwrap();
        (sent, gate.taken)
    }

    #[test]
    fn rows_are_sent_in_order_within_a_quantum_of_when_they_are_due() {
        let (sent, rows) = run(0..0, 1_000);
        assert_eq!(
            (sent.offered, sent.in_time, sent.unsent, sent.queued),
            (1_000, 1_000, 0, 1_100)
        );
        assert!(
            rows.iter()
                .enumerate()
                .all(|(index, (_, stamp))| stamp.sequence == index as u64 && stamp.worker == 2)
        );
        let late = rows
            .iter()
            .map(|(at, stamp)| at.0 - (stamp.intended_ns - 1_000))
            .max()
            .unwrap();
        assert!((0..=5 * MS).contains(&late), "{late} ns");
        let total = sent.schedule.total().unwrap();
        assert_eq!(total.len(), 1_000);
        assert!(total.max() <= 5_010, "{} us", total.max());
    }

    #[test]
    fn a_full_queue_does_not_move_the_intended_times() {
        let (free, held) = (run(0..0, 1_000).1, run(300..800, 1_000));
        let intended = |rows: &[(Moment, Stamp)]| rows.iter().map(|(_, stamp)| stamp.intended_ns).collect::<Vec<_>>();
        assert_eq!(intended(&free), intended(&held.1));
        let schedule = held.0.schedule.total().unwrap();
        assert!((495_000..=510_000).contains(&schedule.max()), "{} us", schedule.max());
        assert!(
            (490 * MS..=505 * MS).contains(&held.0.queue_full_ns),
            "{}",
            held.0.queue_full_ns
        );
        assert_eq!((held.0.offered, held.0.unsent), (1_000, 0));
    }

    #[test]
    fn rows_that_were_never_queued_are_counted() {
        let (sent, rows) = run(500..10_000, 2_000);
        assert_eq!((sent.offered, sent.in_time + sent.unsent), (1_000, 1_000));
        assert_eq!(rows.len() as u64, sent.queued);
        assert!((500..=505).contains(&sent.unsent), "{}", sent.unsent);
    }

    #[test]
    fn a_run_that_is_stopped_offers_what_was_due_until_then() {
        let clock = ManualClock::at(Moment(0));
        let timing = Timing {
            pace: PaceSpec::Constant { rate: 1_000.0 },
            seed: 1,
            warm_up: Duration::ZERO,
            duration: Duration::from_secs(10),
        };
        struct StopsAt<'a>(&'a AtomicBool, &'a ManualClock);
        impl Outlet for StopsAt<'_> {
            fn queue(&mut self, rows: &[Outgoing], _: Moment) -> Result<usize> {
                self.0.store(self.1.now().0 >= 500 * MS, Ordering::Relaxed);
                Ok(rows.len())
            }
        }
        let orders = Orders {
            run: RunId(7),
            worker: 0,
            start_wall_ns: 0,
            quantum: Duration::from_millis(1),
            end: Moment(10_000 * MS),
            give_up: Moment(20_000 * MS),
            interval: Duration::from_secs(1),
        };
        let (tally, stop) = (Tally::default(), AtomicBool::new(false));
        let mut rows = Synthetic::new(20, 0, 1);
        let mut outlet = StopsAt(&stop, &clock);
        let sender = Sender::new(
            &clock,
            Schedule::new(&timing, 0, 1),
            &mut rows,
            &mut outlet,
            &tally,
            &stop,
            orders,
        );
        let sent = sender.run().unwrap();
        assert_eq!(sent.ended, Moment(500 * MS));
        assert_eq!((sent.offered, sent.unsent), (501, 0));
    }
}
