//! Runs many trials on all cores; the report has them in the order given.

use std::io::IsTerminal;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use skirl_engine::error::in_full;

use skirl_kafka::Address;

use super::kafka::{Interrupt, KafkaArgs};
use super::out::quoted;
use crate::judge::{Status, Trial, judge};
use crate::report::{Entry, Report};
use crate::scenario::{Scenario, save, save_case};
use crate::system::{Embedded, Engine, TopicSettings, Topics};

/// Something to run.
pub(super) enum Planned {
    /// A scenario with the seed of its rows.
    Scenario { scenario: Box<Scenario>, seed: u64 },
    /// A vector case and its file.
    Case { trial: Box<Trial>, path: PathBuf },
    /// Something that cannot be run, and why.
    NotRun { name: String, reason: String },
}

/// Where topics are made for streams that are to live in Kafka.
pub(super) struct Broker {
    /// The brokers for all scenarios; without, those scenarios are run over topics that ask for it.
    pub address: Option<Address>,
    /// How they are reached.
    pub properties: KafkaArgs,
    /// Whether the run is to end before its time, with its topics taken away.
    pub interrupt: Interrupt,
}

impl Planned {
    /// As results call it.
    fn name(&self) -> &str {
        match self {
            Planned::NotRun { name, .. } => name,
            Planned::Scenario { scenario, .. } => &scenario.name,
            Planned::Case { trial, .. } => &trial.name,
        }
    }

    /// Whether it runs over topics, which must not outlive it.
    pub fn is_over_topics(&self, address: Option<&Address>) -> bool {
        matches!(self, Planned::Scenario { scenario, .. } if address.is_some() || scenario.kafka.is_some())
    }

    fn not_run(&self, reason: impl Into<String>) -> Entry {
        Entry::NotRun {
            name: self.name().to_string(),
            reason: reason.into(),
        }
    }
}

/// Where failures are saved, below the working directory.
const FAILURES: &str = "target/failures";

/// Why a trial has no result that somebody ended.
const INTERRUPTED: &str = "interrupted";

/// What a trial may need: deep plans are gone through by recursion, and a thread has less by default than a command.
const STACK: usize = 16 << 20;

/// Runs everything planned and saves what failed.
pub(super) fn run_all(planned: Vec<Planned>, broker: &Broker) -> Report {
    let progress = progress(planned.len());
    let entries: Vec<Mutex<Option<Entry>>> = planned.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(planned.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let work = || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(planned) = planned.get(n) else { break };
                    *entries[n].lock().expect("no worker panics while it holds an entry") =
                        Some(run_caught(planned, broker));
                    progress.inc(1);
                }
            };
            let worker = Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            worker.expect("a thread can be started");
        }
    });
    progress.finish_and_clear();
    let taken = |entry: Mutex<Option<Entry>>| {
        entry
            .into_inner()
            .expect("no worker panics while it holds an entry")
            .expect("every trial was run")
    };
    Report {
        entries: entries.into_iter().map(taken).collect(),
    }
}

/// A panic is a bug of Skirl's, and no reason to take the other trials with it.
fn run_caught(planned: &Planned, broker: &Broker) -> Entry {
    let run = std::panic::AssertUnwindSafe(|| run_one(planned, broker));
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        planned.not_run("Skirl panicked (see above); this is a bug, please report it with this file")
    })
}

fn run_one(planned: &Planned, broker: &Broker) -> Entry {
    match planned {
        Planned::NotRun { reason, .. } => planned.not_run(reason),
        _ if broker.interrupt.is_raised() => planned.not_run(INTERRUPTED),
        Planned::Scenario { scenario, seed } => match scenario.rows(*seed) {
            Ok(rows) => {
                let trial = Trial::over(scenario, *seed, rows.clone());
                match topics_of(scenario, broker) {
                    None => run_trial(&trial, |dir| save(dir, scenario, *seed, &rows)),
                    Some(topics) => topics
                        .and_then(|topics| run_over(&topics, trial, scenario, broker))
                        .unwrap_or_else(|reason| planned.not_run(reason)),
                }
            }
            Err(reason) => planned.not_run(reason),
        },
        Planned::Case { trial, path } => run_trial(trial, |dir| save_case(dir, &trial.name, path)),
    }
}

fn run_trial(trial: &Trial, save: impl Fn(&Path) -> Result<(), crate::scenario::SaveError>) -> Entry {
    let outcome = Box::new(judge(trial, &mut Embedded::default()));
    let again = (outcome.status == Status::Failed).then(|| {
        let dir = Path::new(FAILURES).join(format!("{}-{}", trial.name, trial.seed));
        match save(&dir) {
            Ok(()) => format!("skirl replay {}", quoted(&dir.to_string_lossy())),
            Err(error) => format!("(not saved: {})", in_full(&error)),
        }
    });
    Entry::Ran { outcome, again }
}

/// The topics a scenario is to be run over, if it is; or why there are none.
fn topics_of(scenario: &Scenario, broker: &Broker) -> Option<Result<TopicSettings, String>> {
    let asked = scenario.kafka.clone();
    let address = match (&broker.address, &asked) {
        (Some(address), _) => address.clone(),
        (None, None) => return None,
        (None, Some(asked)) => match &asked.address {
            Some(address) => address.clone(),
            None => {
                let reason = "its streams live in topics of Kafka; say where brokers are: `--kafka host:port`";
                return Some(Err(reason.to_string()));
            }
        },
    };
    let settings = broker.properties.properties(&address.bootstrap).map(|properties| {
        let mut settings = TopicSettings::new(properties);
        let asked = asked.unwrap_or_default();
        settings.partitions = asked.partitions.unwrap_or(settings.partitions);
        settings.options = asked.options;
        settings.interrupt = broker.interrupt.shared();
        settings
    });
    Some(settings.map_err(|error| format!("{error:#}")))
}

/// Runs a trial over topics made for it.
fn run_over(settings: &TopicSettings, trial: Trial, scenario: &Scenario, broker: &Broker) -> Result<Entry, String> {
    let trial = trial.for_another_cut();
    let topics = Topics::connect(settings, trial.read.as_ref().unwrap_or(&trial.trace));
    let topics = topics.map_err(|error| in_full(&error))?;
    let outcome = Box::new(judge(&trial, &mut Engine::over(topics)));
    if broker.interrupt.is_raised() {
        return Err(INTERRUPTED.to_string());
    }
    let again = (outcome.status == Status::Failed).then(|| {
        let (path, bootstrap) = (scenario.path.to_string_lossy(), settings.properties.bootstrap());
        format!(
            "skirl run {} --seed {} --kafka {}{}",
            quoted(&path),
            trial.seed,
            quoted(bootstrap),
            broker.properties.again()
        )
    });
    Ok(Entry::Ran { outcome, again })
}

/// A bar on standard error, in a terminal only.
fn progress(total: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} scenarios, {elapsed}").expect("the template is right");
    bar.with_style(style)
}
