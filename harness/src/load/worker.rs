//! What sends: a producer, its rows, and the two threads that queue and hear of them. A run has one in its own process, or
//! several in processes of their own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skirl_generator::pace::PaceSpec;
use skirl_kafka::{Reports, TopicHandle, Writer};

use super::acks::{Acknowledged, Acks};
use super::clock::{Clock, MachineClock, Moment, nanos, wall_ns};
use super::cost::{Ceiling, CpuTimes};
use super::error::{Error, Result};
use super::latency::{LatencyLog, interval_of};
use super::outcome::RowCounts;
use super::outlet::{KafkaOutlet, Nowhere};
use super::plan::{Part, Plan, RowPlan};
use super::rows::{RowSource, Synthetic};
use super::schedule::{Schedule, Timing};
use super::sender::{Orders, Sender, Sent};
use super::sequence::SequenceSet;
use super::stamp::RunId;
use super::streams::StreamRows;
use super::tally::Tally;

/// Rows that are made without a broker, to learn what that costs, and how long that may take.
const CALIBRATION_ROWS: u64 = 200_000;
const CALIBRATION_TIME: Duration = Duration::from_millis(200);

/// A sender that is ready to begin.
pub struct Worker {
    writer: Writer,
    topics: Vec<TopicHandle>,
    rows: Box<dyn RowSource>,
    alone: f64,
}

/// What a worker did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Its number.
    pub worker: u32,
    /// What became of its rows.
    pub rows: RowCounts,
    /// Which of them were acknowledged.
    pub acknowledged: SequenceSet,
    /// From the intended time to the acknowledgement.
    pub latency: LatencyLog,
    /// From the send to the acknowledgement.
    pub service: LatencyLog,
    /// From the intended time to the send.
    pub schedule: LatencyLog,
    /// How long the measured part lasted: less than intended if it was stopped.
    pub measured: Duration,
    /// What it cost.
    pub ceiling: Ceiling,
    /// Properties of the producer, secrets left out.
    pub producer: BTreeMap<String, String>,
    /// By how much its time line may be off.
    pub clock_error: Duration,
}

impl Worker {
    /// Connects, begins to make rows, and finds out how fast rows are made where nobody takes them.
    ///
    /// # Errors
    /// A broker that does not answer, rows that cannot be made.
    pub fn prepare(plan: &Plan, part: Part) -> Result<Worker> {
        let mut rows = source(plan, part)?;
        let alone = calibrate(&mut *rows)?;
        let mut writer = Writer::connect(&plan.client, Reports::All)?;
        let topics = plan.topics.iter().map(|topic| writer.topic(topic));
        Ok(Worker {
            topics: topics.collect::<skirl_kafka::Result<_>>()?,
            writer,
            rows,
            alone,
        })
    }

    /// Sends its part of the rows, and waits for what became of them.
    ///
    /// # Errors
    /// A broker that refuses, rows that cannot be made.
    pub fn run(
        mut self,
        plan: &Plan,
        part: Part,
        run: RunId,
        clock: &MachineClock,
        tally: &Tally,
        stop: &AtomicBool,
    ) -> Result<Work> {
        let orders = orders(plan, part, run, clock);
        let producer = self.writer.settings();
        let (sending, reporting) = self.writer.split();
        let mut outlet = KafkaOutlet::new(sending, self.topics);
        let acks = Acks::new(orders.start_wall_ns, orders.end, orders.interval);
        let sender_done = AtomicBool::new(false);
        let (sent, acknowledged, measured) = thread::scope(|scope| {
            let hear = || {
                let heard = acks.run(
                    &reporting,
                    clock,
                    tally,
                    &sender_done,
                    orders.give_up.after(plan.patience),
                );
                // Without anybody to hear of rows there is no use in sending more.
                if heard.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                heard
            };
            let acks = spawn(scope, "skirl-acks", hear)?;
            let schedule = Schedule::new(&plan.timing, part.index, part.of);
            let sender = Sender::new(clock, schedule, &mut *self.rows, &mut outlet, tally, stop, orders);
            let send = move || {
                let (before, began) = (CpuTimes::now(), clock.now());
                let sent = sender.run();
                let seconds = clock.now().since(began) as f64 / 1e9;
                (sent, CpuTimes::now().since(&before, seconds))
            };
            let (sent, cost) = spawn(scope, "skirl-send", send)?
                .join()
                .expect("a sender does not panic");
            sender_done.store(true, Ordering::Release);
            let acknowledged = acks.join().expect("hearing does not panic");
            Ok::<_, Error>((sent?, acknowledged?, cost))
        })?;
        let ceiling = Ceiling {
            alone: self.alone,
            rows: sent.queued,
            cost: measured,
        };
        Ok(Work::of(part.index, sent, acknowledged, ceiling, producer, clock))
    }
}

/// Starts a thread of this name, by which it is known in the figures of what the tool costs.
pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<thread::ScopedJoinHandle<'scope, T>> {
    let started = thread::Builder::new().name(name.into()).spawn_scoped(scope, work);
    started.map_err(|error| Error::Plan(format!("cannot start a thread: {error}")))
}

impl Work {
    fn of(
        worker: u32,
        sent: Sent,
        acknowledged: Acknowledged,
        ceiling: Ceiling,
        producer: BTreeMap<String, String>,
        clock: &MachineClock,
    ) -> Work {
        let mut failed = acknowledged.failed;
        if sent.too_large > 0 {
            failed.insert("larger than `message.max.bytes` allows".into(), sent.too_large);
        }
        Work {
            worker,
            rows: RowCounts {
                offered: sent.offered,
                in_time: sent.in_time,
                unsent: sent.unsent,
                queued: sent.queued,
                queued_bytes: sent.queued_bytes,
                acknowledged: acknowledged.rows.len(),
                acknowledged_in_window: acknowledged.in_window,
                failed,
                queue_full_ns: sent.queue_full_ns,
                rows_awaited_ns: sent.rows_awaited_ns,
            },
            acknowledged: acknowledged.rows,
            latency: acknowledged.latency,
            service: acknowledged.service,
            schedule: sent.schedule,
            measured: Duration::from_nanos(u64::try_from(sent.ended.0).unwrap_or(0)),
            ceiling,
            producer,
            clock_error: clock.error(),
        }
    }
}

fn orders(plan: &Plan, part: Part, run: RunId, clock: &MachineClock) -> Orders {
    let end = Moment(nanos(plan.timing.duration));
    Orders {
        run,
        worker: part.index,
        start_wall_ns: clock.wall_ns(Moment(0)),
        quantum: plan.quantum,
        end,
        give_up: end.after(plan.patience),
        interval: interval_of(plan.timing.duration),
    }
}

fn source(plan: &Plan, part: Part) -> Result<Box<dyn RowSource>> {
    // Each worker's rows are its own.
    let seed = plan.timing.seed.wrapping_add(u64::from(part.index));
    Ok(match &plan.rows {
        RowPlan::Synthetic { size, keys } => Box::new(Synthetic::new(*size, *keys, seed)),
        RowPlan::Streams { specs, key } => Box::new(StreamRows::start(specs, key, seed)?),
    })
}

/// Rows per second that are made, stamped and noted where nothing takes them: what the tool costs without a broker.
fn calibrate(rows: &mut dyn RowSource) -> Result<f64> {
    let timing = Timing {
        pace: PaceSpec::Constant { rate: 1e9 },
        seed: 0,
        warm_up: Duration::ZERO,
        duration: Duration::from_nanos(CALIBRATION_ROWS),
    };
    let clock = MachineClock::starting_at(wall_ns(), Default::default());
    let orders = Orders {
        run: RunId(0),
        worker: 0,
        start_wall_ns: 0,
        quantum: Duration::ZERO,
        end: Moment(0),
        give_up: Moment(nanos(CALIBRATION_TIME)),
        interval: Duration::from_secs(1),
    };
    let (tally, stop, mut nowhere) = (Tally::default(), AtomicBool::new(false), Nowhere);
    let began = clock.now();
    let sender = Sender::new(
        &clock,
        Schedule::new(&timing, 0, 1),
        rows,
        &mut nowhere,
        &tally,
        &stop,
        orders,
    );
    let sent = sender.run()?;
    Ok(sent.queued as f64 * 1e9 / clock.now().since(began).max(1) as f64)
}
