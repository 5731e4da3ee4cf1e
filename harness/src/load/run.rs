//! A run from beginning to end: topics, workers, consumer, and what they came to.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver as Inbox, RecvTimeoutError, Sender as Outbox, channel};
use std::thread;
use std::time::Duration;

use skirl_kafka::{Admin, Follower, Topics};

use super::clock::{Clock, MachineClock, Moment, nanos, wall_ns};
use super::error::{Error, Result};
use super::latency::{LatencyLog, Span, interval_of};
use super::ledger::Comparison;
use super::outcome::{Outcome, ReceivedRows, RowCounts, Sample, Setup, TopicSetup};
use super::plan::{Part, Plan};
use super::process::Process;
use super::receive::{Found, Place, Receiver, Until, ends, follow};
use super::stamp::RunId;
use super::tally::{Counts, Tally};
use super::topic;
use super::worker::{Work, Worker, spawn};

/// Between two looks at the counts.
const TICK: Duration = Duration::from_millis(100);
/// Time for all workers to hear when they begin.
const LEAD: Duration = Duration::from_millis(300);

/// What a run looks like from outside while it lasts.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// What was asked for.
    pub plan: &'a Plan,
    /// Its id.
    pub run: RunId,
    /// Now.
    pub now: Moment,
    /// The counts of all workers.
    pub counts: Counts,
    /// Whether all rows are sent, and only late ones are waited for.
    pub is_draining: bool,
}

/// Runs a load test. `stop` ends it early; `watch` is shown the counts now and then.
///
/// # Errors
/// What kept it from running. A broker that loses rows or takes long is no error but the outcome.
pub fn run(plan: &Plan, stop: &AtomicBool, watch: &mut dyn FnMut(&View)) -> Result<Outcome> {
    plan.check()?;
    let mut topics = Topics::connect(&plan.client)?;
    let outcome = topic::open(plan, &mut topics).and_then(|opened| {
        let mut outcome = Run::new(plan, topics.admin(), stop).perform(opened.topics, watch)?;
        outcome.remarks.extend(opened.remarks);
        Ok(outcome)
    });
    if plan.topic.keep {
        return outcome;
    }
    let deleted = topics.delete_made();
    outcome.map(|mut outcome| {
        if let Err(error) = deleted {
            outcome
                .remarks
                .push(format!("a topic of this run is still there: {error}"));
        }
        outcome
    })
}

struct Run<'a> {
    plan: &'a Plan,
    admin: &'a Admin,
    id: RunId,
    stop: &'a AtomicBool,
    tallies: Vec<Tally>,
    readback: Tally,
}

/// Workers that are ready to begin.
enum Crew {
    Here(Box<Worker>),
    Elsewhere(Vec<Process>),
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, admin: &'a Admin, stop: &'a AtomicBool) -> Self {
        Run {
            plan,
            admin,
            id: RunId::fresh(),
            stop,
            tallies: (0..plan.workers.max(1)).map(|_| Tally::default()).collect(),
            readback: Tally::default(),
        }
    }

    fn perform(&self, topics: Vec<TopicSetup>, watch: &mut dyn FnMut(&View)) -> Result<Outcome> {
        let crew = self.make_ready()?;
        let consumer = self.receive_topics().map(|topics| self.follow(topics)).transpose()?;
        // The last before the start, since nobody knows how long a broker takes to answer.
        let lead = self.plan.timing.warm_up + LEAD;
        let start_wall_ns = self
            .plan
            .start_at
            .unwrap_or_else(|| wall_ns().saturating_add(nanos(lead)));
        let clock = MachineClock::starting_at(start_wall_ns, self.plan.waiting);
        let receiver = consumer.map(|(topics, consumer, places)| {
            let start = (self.id, clock.wall_ns(Moment(0)));
            Receiver::new(
                consumer,
                topics,
                &places,
                start,
                &clock,
                interval_of(self.plan.timing.duration),
            )
        });
        if clock.now() > Moment(-nanos(self.plan.timing.warm_up)) {
            return Err(Error::Plan(
                "the start is over before everything was ready; give a later `--start-at`".into(),
            ));
        }
        let (works, found, timeline) = self.measure(crew, receiver, &clock, watch)?;
        let brokers = self.admin.brokers().map_or(0, |brokers| brokers.len());
        Ok(self.outcome(topics, brokers, &clock, works, found, timeline))
    }

    fn make_ready(&self) -> Result<Crew> {
        let of = self.plan.workers.max(1);
        if of == 1 {
            let worker = Worker::prepare(self.plan, Part { index: 0, of })?;
            return Ok(Crew::Here(Box::new(worker)));
        }
        let started = (0..of).map(|index| Process::start(self.plan, Part { index, of }));
        let mut processes = started.collect::<Result<Vec<_>>>()?;
        processes.iter_mut().try_for_each(Process::wait_until_ready)?;
        Ok(Crew::Elsewhere(processes))
    }

    fn receive_topics(&self) -> Option<&'a [String]> {
        self.plan.receive.as_deref()
    }

    /// A consumer that stands where the topics end before the first row is sent.
    fn follow<'b>(&self, topics: &'b [String]) -> Result<(&'b [String], Follower, Vec<Place>)> {
        let places = ends(self.admin, topics)?;
        Ok((topics, follow(&self.plan.client, topics, &places)?, places))
    }

    /// Lets the workers begin, and looks on until all rows are back or given up.
    fn measure(
        &self,
        crew: Crew,
        receiver: Option<Receiver>,
        clock: &MachineClock,
        watch: &mut dyn FnMut(&View),
    ) -> Result<(Vec<Work>, Option<Found>, Timeline)> {
        let (ends_known, give_up) = (OnceLock::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            let reading = receiver.map(|receiver| {
                let until = Until {
                    ends: &ends_known,
                    stop: &give_up,
                };
                spawn(scope, "skirl-read", move || receiver.run(&self.readback, &until))
            });
            let reading = reading.transpose()?;
            let (done, works) = channel();
            let started = self.start(scope, crew, clock, &done);
            drop(done);
            let mut timeline = Timeline::new(interval_of(self.plan.timing.duration));
            let worked = started.and_then(|()| self.look_on(&works, clock, &mut timeline, watch));
            let Some(reading) = reading else {
                return Ok((worked?, None, timeline));
            };
            if worked.is_ok() {
                self.read_to_the_end(&ends_known, &|| reading.is_finished(), clock, &mut timeline, watch);
            }
            give_up.store(true, Ordering::Relaxed);
            let found = reading.join().expect("a consumer does not panic");
            Ok((worked?, Some(found), timeline))
        })
    }

    fn start<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        crew: Crew,
        clock: &'scope MachineClock,
        done: &Outbox<Result<Work>>,
    ) -> Result<()> {
        match crew {
            Crew::Here(worker) => {
                let done = done.clone();
                let part = Part { index: 0, of: 1 };
                let work = move || {
                    let work = worker.run(self.plan, part, self.id, clock, &self.tallies[0], self.stop);
                    let _ = done.send(work); // nobody waits for it any more once the run has failed
                };
                spawn(scope, "skirl-work", work).map(drop)
            }
            Crew::Elsewhere(processes) => processes
                .into_iter()
                .zip(&self.tallies)
                .try_for_each(|(process, tally)| {
                    let (done, start) = (done.clone(), clock.wall_ns(Moment(0)));
                    let work = move || {
                        let work = process.run(self.id, start, tally, self.stop);
                        let _ = done.send(work);
                    };
                    spawn(scope, "skirl-work", work).map(drop)
                }),
        }
    }

    /// Shows the counts until all workers are done.
    fn look_on(
        &self,
        works: &Inbox<Result<Work>>,
        clock: &MachineClock,
        timeline: &mut Timeline,
        watch: &mut dyn FnMut(&View),
    ) -> Result<Vec<Work>> {
        let mut done = Vec::new();
        loop {
            match works.recv_timeout(TICK) {
                Ok(Ok(work)) => done.push(work),
                Ok(Err(error)) => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                Err(RecvTimeoutError::Timeout) => self.show(clock, timeline, watch),
                Err(RecvTimeoutError::Disconnected) => {
                    self.show(clock, timeline, watch);
                    done.sort_by_key(|work| work.worker);
                    return Ok(done);
                }
            }
        }
    }

    /// Tells the consumer where the topics end, and waits until it is there or patience is over.
    fn read_to_the_end(
        &self,
        ends_known: &OnceLock<Vec<Place>>,
        is_finished: &dyn Fn() -> bool,
        clock: &MachineClock,
        timeline: &mut Timeline,
        watch: &mut dyn FnMut(&View),
    ) {
        let until = clock.now().after(self.plan.patience);
        // Never answered, so that waiting for it is waiting for a tick.
        let (_open, tick) = channel::<()>();
        while !is_finished() && clock.now() < until {
            if ends_known.get().is_none()
                && let Ok(ends) = ends(self.admin, self.receive_topics().unwrap_or_default())
            {
                let _ = ends_known.set(ends);
            }
            let _ = tick.recv_timeout(TICK);
            self.show(clock, timeline, watch);
        }
    }

    fn show(&self, clock: &MachineClock, timeline: &mut Timeline, watch: &mut dyn FnMut(&View)) {
        let readback = self.readback.counts();
        let counts = Counts {
            received: readback.received,
            duplicates: readback.duplicates,
            reordered: readback.reordered,
            ..Counts::together(self.tallies.iter().map(Tally::counts))
        };
        let now = clock.now();
        timeline.note(now, counts);
        watch(&View {
            plan: self.plan,
            run: self.id,
            now,
            counts,
            is_draining: now.0 > nanos(self.plan.timing.duration),
        });
    }

    fn outcome(
        &self,
        topics: Vec<TopicSetup>,
        brokers: usize,
        clock: &MachineClock,
        works: Vec<Work>,
        found: Option<Found>,
        timeline: Timeline,
    ) -> Outcome {
        let seconds = works.iter().map(|work| work.measured.as_secs_f64()).fold(0.0, f64::max);
        let mut remarks = Vec::new();
        if seconds + 1e-9 < self.plan.timing.duration.as_secs_f64() {
            let wanted = self.plan.timing.duration.as_secs_f64();
            remarks.push(format!("stopped after {seconds:.1} s of {wanted:.0} s"));
        }
        Outcome {
            setup: self.setup(topics, brokers, clock, &works, seconds),
            rows: rows_of(&works),
            spans: spans_of(&works, found.as_ref(), &mut remarks),
            received: found.map(|found| received_of(&works, found, &timeline, seconds)),
            interval_seconds: timeline.interval.as_secs(),
            timeline: timeline.samples,
            workers: works.into_iter().map(|work| work.ceiling).collect(),
            remarks,
        }
    }

    fn setup(
        &self,
        topics: Vec<TopicSetup>,
        brokers: usize,
        clock: &MachineClock,
        works: &[Work],
        seconds: f64,
    ) -> Setup {
        let timing = &self.plan.timing;
        // One process has one clock; several read the wall clock, each a little apart.
        let own = if works.len() > 1 { clock.error() } else { Duration::ZERO };
        let theirs = works.iter().map(|work| work.clock_error).max().unwrap_or_default();
        let error = if works.len() > 1 { own + theirs } else { Duration::ZERO };
        Setup {
            runs: vec![self.id.to_string()],
            start_wall_ns: clock.wall_ns(Moment(0)),
            bootstrap: self.plan.client.bootstrap().to_string(),
            brokers,
            topics,
            row_kind: self.plan.rows.describe(),
            pace: self.plan.pace.clone(),
            rate: timing.mean_rate(),
            warm_up_seconds: timing.warm_up.as_secs_f64(),
            seconds,
            workers: self.plan.workers.max(1),
            producer: works
                .first()
                .map_or_else(BTreeMap::new, |work| shown_properties(&work.producer)),
            clock_error_us: u64::try_from(error.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX),
            versions: format!(
                "skirl {}, librdkafka {}",
                env!("CARGO_PKG_VERSION"),
                skirl_kafka::librdkafka_version()
            ),
        }
    }
}

/// Properties that decide about a producer's speed and promises, as people write them, with librdkafka's older names.
const PRODUCER_PROPERTIES: [(&str, &str); 14] = [
    ("acks", "request.required.acks"),
    ("enable.idempotence", ""),
    ("compression.type", "compression.codec"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("batch.size", ""),
    ("batch.num.messages", ""),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("retries", "message.send.max.retries"),
    ("partitioner", ""),
    ("sticky.partitioning.linger.ms", ""),
    ("queue.buffering.max.messages", ""),
    ("queue.buffering.max.kbytes", ""),
    ("security.protocol", ""),
];

/// Those properties by the names people write.
fn shown_properties(all: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(name, older): (&str, &str)| Some((name.to_string(), all.get(name).or(all.get(older))?.clone()));
    PRODUCER_PROPERTIES.into_iter().filter_map(shown).collect()
}

fn rows_of(works: &[Work]) -> RowCounts {
    works.iter().fold(RowCounts::default(), |mut sum, work| {
        sum.add(&work.rows);
        sum
    })
}

fn spans_of(works: &[Work], found: Option<&Found>, remarks: &mut Vec<String>) -> BTreeMap<Span, LatencyLog> {
    let mut spans = BTreeMap::new();
    let own = [
        (
            Span::Latency,
            works.iter().map(|work| &work.latency).collect::<Vec<_>>(),
        ),
        (Span::Service, works.iter().map(|work| &work.service).collect()),
        (Span::Schedule, works.iter().map(|work| &work.schedule).collect()),
        (Span::EndToEnd, found.iter().map(|found| &found.end_to_end).collect()),
    ];
    for (span, logs) in own.into_iter().filter(|(_, logs)| !logs.is_empty()) {
        match LatencyLog::merged(&logs) {
            Ok(merged) => drop(spans.insert(span, merged)),
            Err(error) => remarks.push(format!("{} is lost: {error}", span.name())),
        }
    }
    spans
}

fn received_of(works: &[Work], found: Found, timeline: &Timeline, seconds: f64) -> ReceivedRows {
    let mut comparison = Comparison::default();
    for work in works {
        comparison.add(work.worker, &work.acknowledged, found.received.of_worker(work.worker));
    }
    let last = (seconds / timeline.interval.as_secs_f64()).ceil() as u64;
    let at_end = timeline
        .samples
        .iter()
        .take_while(|sample| sample.interval < last)
        .last();
    ReceivedRows {
        counts: found.received.counts(),
        comparison,
        lag_max: timeline.lag_max,
        lag_at_end: at_end.map_or(0, |sample| sample.counts.lag()),
        incomplete: found.incomplete,
    }
}

/// The counts of a run by interval.
struct Timeline {
    interval: Duration,
    samples: Vec<Sample>,
    lag_max: u64,
}

impl Timeline {
    fn new(interval: Duration) -> Timeline {
        Timeline {
            interval,
            samples: Vec::new(),
            lag_max: 0,
        }
    }

    /// Notes the counts of now, in place of earlier ones of the same interval.
    fn note(&mut self, now: Moment, counts: Counts) {
        if now.0 < 0 {
            return;
        }
        self.lag_max = self.lag_max.max(counts.lag());
        let interval = (now.0 / nanos(self.interval)).unsigned_abs();
        match self.samples.last_mut().filter(|sample| sample.interval == interval) {
            Some(sample) => sample.counts = counts,
            None => self.samples.push(Sample { interval, counts }),
        }
    }
}
