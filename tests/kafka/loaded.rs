//! A load test under way, so that a test can break something meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::Failed;
use skirl::broker::until;
use skirl::load::clock::Waiting;
use skirl::load::plan::{RowPlan, TopicPlan};
use skirl::load::schedule::Timing;
use skirl::load::{Outcome, Plan, View, run};
use skirl_generator::pace::PaceSpec;
use skirl_kafka::{Existing, Properties};

/// A run takes the time it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// A plan of rows of 100 bytes for a topic that is made, read back.
pub fn plan(bootstrap: &str, topic: &str, rate: f64, seconds: u64) -> Plan {
    Plan {
        client: Properties::new(bootstrap),
        topics: vec![topic.to_string()],
        topic: TopicPlan {
            existing: Existing::Refuse,
            partitions: Some(3),
            replication: None,
            retention_bytes: 1 << 28,
            keep: false,
            disk_bound: None,
        },
        rows: RowPlan::Synthetic { size: 100, keys: 100 },
        timing: Timing {
            pace: PaceSpec::Constant { rate },
            seed: 7,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(seconds),
        },
        pace: format!("{rate}/s"),
        rate_factor: 1.0,
        workers: 1,
        worker_command: None,
        receive: Some(vec![topic.to_string()]),
        patience: Duration::from_secs(90),
        quantum: Duration::from_micros(200),
        waiting: Waiting::Sleep,
        start_at: None,
    }
}

/// A run on a thread of its own.
pub struct Running {
    thread: JoinHandle<skirl::load::Result<Outcome>>,
    queued: Arc<AtomicU64>,
    acknowledged: Arc<AtomicU64>,
    /// Set when it is over: why it could not run, if it could not.
    ended: Arc<OnceLock<String>>,
}

impl Running {
    /// Starts it.
    pub fn start(plan: Plan) -> Running {
        let (queued, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (q, a) = (Arc::clone(&queued), Arc::clone(&acknowledged));
        let mut watch = move |view: &View| {
            q.store(view.counts.queued, Ordering::Relaxed);
            a.store(view.counts.acknowledged, Ordering::Relaxed);
        };
        let ended = Arc::new(OnceLock::new());
        let told = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let outcome = run(&plan, &AtomicBool::new(false), &mut watch);
            let why = outcome
                .as_ref()
                .err()
                .map_or_else(String::new, |error| format!("{error:?}"));
            told.get_or_init(|| why);
            outcome
        });
        Running {
            ended,
            thread,
            queued,
            acknowledged,
        }
    }

    /// Waits until so many rows are queued: a time, since nothing that happens to a broker moves it.
    pub fn wait_until_queued(&self, rows: u64) {
        self.wait(&self.queued, rows);
    }

    /// Waits until so many rows are acknowledged.
    pub fn wait_until_acknowledged(&self, rows: u64) {
        self.wait(&self.acknowledged, rows);
    }

    fn wait(&self, count: &AtomicU64, rows: u64) {
        let there = || (count.load(Ordering::Relaxed) >= rows || self.ended.get().is_some()).then_some(());
        assert!(until(PATIENCE, there).is_some(), "{rows} rows in {PATIENCE:?}");
        let ended = self.ended.get();
        assert!(
            ended.is_none(),
            "it is over before {rows} rows: {}",
            ended.map_or("", String::as_str)
        );
    }

    /// What it came to.
    pub fn outcome(self) -> Result<Outcome, Failed> {
        Ok(self.thread.join().expect("a run does not panic")?)
    }
}
