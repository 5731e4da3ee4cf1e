//! What tests need, and what becomes of them where it cannot be had.

use std::env;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use libtest_mimic::{Completion, Failed, Trial};
use skirl::broker::{self, Cluster, Options};

/// Long enough for anything that happens at all: no test waits longer.
pub const SOON: Duration = Duration::from_secs(60);

/// How a test ends.
pub type Outcome = Result<(), Failed>;

/// A test and what it needs.
pub struct Test {
    /// Its claim.
    pub name: &'static str,
    /// What must be there.
    pub needs: Needs,
    /// Whether the claim holds.
    pub run: fn() -> Outcome,
}

/// What a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A broker that it shares with other tests, so topics of its own: see [`shared`].
    Broker,
    /// Clusters that it starts, kills and freezes; such tests run one at a time.
    OwnCluster,
    /// The same, and nothing else that runs meanwhile: it measures, and would measure other tests too.
    Machine,
}

/// The tests of a subject, by the names of their functions.
macro_rules! tests {
    ($($needs:ident: $($name:ident),+;)+) => {
        &[$($($crate::needs::Test {
            name: stringify!($name),
            needs: $crate::needs::Needs::$needs,
            run: $name,
        }),+),+]
    };
}
pub(crate) use tests;

impl Test {
    /// The test as the runner knows it, reported as of `subject`.
    pub fn trial(&self, subject: &str) -> Trial {
        let (needs, run) = (self.needs, self.run);
        Trial::ignorable_test(self.name, move || run_or_skip(needs, run)).with_kind(subject)
    }
}

fn run_or_skip(needs: Needs, run: fn() -> Outcome) -> Result<Completion, Failed> {
    match missing(needs) {
        None => {
            let _room = Room::take(needs);
            run().map(|()| Completion::Completed)
        }
        Some(reason) if is_set("SKIRL_REQUIRE_KAFKA") => {
            Err(format!("SKIRL_REQUIRE_KAFKA is set, and {reason}").into())
        }
        Some(reason) => Ok(Completion::ignored_with(reason)),
    }
}

fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty())
}

/// Why there is no Kafka for a test, if so.
fn missing(needs: Needs) -> Option<&'static str> {
    static NO_BROKER: OnceLock<Option<String>> = OnceLock::new();
    if needs == Needs::Broker && is_set("SKIRL_KAFKA") {
        return None;
    }
    let prepare = || broker::prepare(&mut |line| eprintln!("{line}")).err();
    NO_BROKER
        .get_or_init(|| prepare().map(|error| error.to_string()))
        .as_deref()
}

/// The room that a test takes while it runs.
enum Room {
    /// Beside others.
    Shared {
        _machine: RwLockReadGuard<'static, ()>,
        /// A cluster takes 350 MB, and both cores while it starts.
        _turn: Option<MutexGuard<'static, ()>>,
    },
    /// All there is.
    Whole { _machine: RwLockWriteGuard<'static, ()> },
}

impl Room {
    fn take(needs: Needs) -> Room {
        static MACHINE: RwLock<()> = RwLock::new(());
        static TURN: Mutex<()> = Mutex::new(());
        if needs == Needs::Machine {
            let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
            return Room::Whole { _machine };
        }
        let turn = || TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Room::Shared {
            _turn: (needs == Needs::OwnCluster).then(turn),
            _machine: MACHINE.read().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// The cluster that tests share, or why there is none.
static SHARED: Mutex<Option<Result<Cluster, String>>> = Mutex::new(None);

/// Where the broker listens that tests share: the one `SKIRL_KAFKA` names, else one that starts with the first who asks.
pub fn shared() -> Result<String, Failed> {
    if let Some(address) = env::var("SKIRL_KAFKA").ok().filter(|address| !address.is_empty()) {
        return Ok(address);
    }
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let start = || Cluster::start(Options::default()).map_err(|error| error.to_string());
    match shared.get_or_insert_with(start) {
        Ok(cluster) => Ok(cluster.bootstrap()),
        Err(reason) => Err(reason.clone().into()),
    }
}

/// Asks until there is an answer; the test fails with `otherwise` if none comes.
pub fn soon<T>(otherwise: &str, ask: impl FnMut() -> Option<T>) -> Result<T, Failed> {
    broker::until(SOON, ask).ok_or_else(|| otherwise.into())
}

/// A name for a topic, a group or a transaction that no other test and no other run has.
pub fn unique(name: &str) -> String {
    format!("skirl-test-{}-{name}", std::process::id())
}

/// Stops the cluster that tests shared.
pub fn stop_shared() {
    let shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner).take();
    let stopped = shared.and_then(Result::ok).map(Cluster::stop);
    if let Some(Err(error)) = stopped {
        eprintln!("{error}");
    }
}
