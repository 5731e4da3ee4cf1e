//! What became of rows at the broker: when each was acknowledged, or why it could not be written.
//!
//! A row that could not be written has no latency: figures take it for one that took forever (`Outcome::figure`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skirl_kafka::Reporting;

use super::clock::{Clock, Moment};
use super::error::Result;
use super::latency::{LatencyLog, Recorder};
use super::outlet::moment_of;
use super::sequence::SequenceSet;
use super::stamp::{HEADER, Stamp};
use super::tally::Tally;

/// How long one waits for reports before one looks whether to stop.
const SLICE: Duration = Duration::from_millis(20);
/// How long librdkafka may take to report rows that were given up.
const GIVING_UP: Duration = Duration::from_secs(5);

/// Notes reports.
pub struct Acks {
    start_wall_ns: i64,
    end: Moment,
    latency: Recorder,
    service: Recorder,
    outcome: Acknowledged,
}

/// What was reported.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Acknowledged {
    /// The rows that were acknowledged.
    pub rows: SequenceSet,
    /// How many of them while the measured part lasted, whenever they were due.
    pub in_window: u64,
    /// Rows that could not be written, by the reason.
    pub failed: BTreeMap<String, u64>,
    /// From the intended time to the acknowledgement.
    pub latency: LatencyLog,
    /// From the send to the acknowledgement.
    pub service: LatencyLog,
    /// When the last report came.
    pub last: Moment,
}

impl Acks {
    /// Nothing yet. `end` is that of the measured part, `interval` as [`Recorder::new`] takes it.
    pub fn new(start_wall_ns: i64, end: Moment, interval: Duration) -> Acks {
        Acks {
            start_wall_ns,
            end,
            latency: Recorder::new(interval),
            service: Recorder::new(interval),
            outcome: Acknowledged::default(),
        }
    }

    /// Notes a row that was sent at `sent` and reported at `now`; `failure` says why it could not be written.
    #[inline]
    pub fn note(&mut self, now: Moment, stamp: Stamp, sent: Moment, failure: Option<String>) {
        self.outcome.last = now;
        if let Some(reason) = failure {
            *self.outcome.failed.entry(reason).or_default() += 1;
            return;
        }
        let intended = Moment(stamp.intended_ns.saturating_sub(self.start_wall_ns));
        if intended.0 >= 0 {
            self.latency.record(now, now.since(intended));
            self.service.record(now, now.since(sent));
        }
        self.outcome.rows.insert(stamp.sequence);
        self.outcome.in_window += u64::from((Moment(0)..self.end).contains(&now));
    }

    /// Everything that was noted.
    pub fn finish(self) -> Acknowledged {
        Acknowledged {
            latency: self.latency.finish(),
            service: self.service.finish(),
            ..self.outcome
        }
    }

    /// Notes reports until nothing is in flight after `sender_done`; what is in flight at `give_up` is given up.
    ///
    /// # Errors
    /// A broker that refuses.
    pub fn run(
        mut self,
        reporting: &Reporting,
        clock: &dyn Clock,
        tally: &Tally,
        sender_done: &AtomicBool,
        give_up: Moment,
    ) -> Result<Acknowledged> {
        let mut given_up = false;
        loop {
            let is_done = sender_done.load(Ordering::Acquire);
            self.poll(reporting, clock, tally)?;
            if is_done && reporting.in_flight() == 0 {
                break;
            }
            let now = clock.now();
            if is_done && now > give_up && !given_up {
                reporting.give_up();
                given_up = true;
            }
            if now > give_up.after(GIVING_UP) {
                break;
            }
        }
        Ok(self.finish())
    }

    fn poll(&mut self, reporting: &Reporting, clock: &dyn Clock, tally: &Tally) -> Result<()> {
        reporting.poll(SLICE, |together| {
            // They came with one answer of the broker's; the later ones of a large answer are no later.
            let now = clock.now();
            let (mut written, mut failed) = (0, 0);
            for report in together {
                let failure = (!report.is_written()).then(|| {
                    let error = report.delivery().error;
                    error.map_or_else(String::new, |error| error.to_string())
                });
                *(if failure.is_none() { &mut written } else { &mut failed }) += 1;
                if let Some(stamp) = report.header(HEADER).and_then(Stamp::of) {
                    self.note(now, stamp, moment_of(report.tag()), failure);
                }
            }
            tally.acknowledged.fetch_add(written, Ordering::Relaxed);
            tally.failed.fetch_add(failed, Ordering::Relaxed);
        })?;
        self.show(tally);
        Ok(())
    }

    fn show(&self, tally: &Tally) {
        if let (Some(p50), Some(p99)) = (self.latency.recent(0.5), self.latency.recent(0.99)) {
            tally.p50_us.store(p50, Ordering::Relaxed);
            tally.p99_us.store(p99, Ordering::Relaxed);
            tally.max_us.store(self.latency.recent_max(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stamp::RunId;

    const MS: i64 = 1_000_000;
    const START: i64 = 1_700_000_000_000_000_000;

    /// Notes rows (intended, sent, reported in ms, whether written).
    fn noted(rows: &[(i64, i64, i64, bool)]) -> Acknowledged {
        let mut acks = Acks::new(START, Moment(1_000 * MS), Duration::from_secs(1));
        for (sequence, (intended, sent, now, written)) in rows.iter().enumerate() {
            let stamp = Stamp {
                run: RunId(1),
                worker: 0,
                sequence: sequence as u64,
                intended_ns: START + intended * MS,
            };
            let failure = (!written).then(|| "no room".to_string());
            acks.note(Moment(now * MS), stamp, Moment(sent * MS), failure);
        }
        acks.finish()
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_service_from_the_send() {
        let noted = noted(&[(100, 600, 603, true)]);
        let (latency, service) = (noted.latency.total().unwrap(), noted.service.total().unwrap());
        assert!(latency.equivalent(latency.max(), 503_000), "{}", latency.max());
        assert!(service.equivalent(service.max(), 3_000), "{}", service.max());
    }

    #[test]
    fn rows_of_the_warm_up_are_acknowledged_and_not_measured() {
        let noted = noted(&[(-5, -5, 3, true), (5, 5, 9, true)]);
        assert_eq!((noted.rows.len(), noted.in_window), (2, 2));
        assert_eq!(noted.latency.total().unwrap().len(), 1);
    }

    #[test]
    fn rows_that_could_not_be_written_have_no_latency() {
        let noted = noted(&[(0, 0, 1, false), (1, 1, 2, true)]);
        assert_eq!((noted.rows.len(), noted.failed["no room"]), (1, 1));
        assert_eq!(noted.latency.total().unwrap().len(), 1);
        assert_eq!(noted.service.total().unwrap().len(), 1);
    }

    #[test]
    fn what_is_acknowledged_after_the_end_is_no_throughput() {
        let noted = noted(&[(990, 990, 999, true), (991, 991, 1_001, true)]);
        assert_eq!((noted.rows.len(), noted.in_window), (2, 1));
    }
}
