//! What needs a real Apache Kafka, as tests of their own names.
//!
//! Where none can be had a test is reported as ignored, with the reason; `SKIRL_REQUIRE_KAFKA=1` makes a failure of that.
//! `SKIRL_KAFKA=host:port` names a broker for the tests that are content with any; those that kill and freeze start
//! their own.
//!
//! To add tests, write `<subject>.rs` with a `TESTS` of its own, and a line in [`SUBJECTS`].

mod access;
mod broker;
mod command;
mod everywhere;
mod faults;
mod generate;
mod load;
mod loaded;
mod loss;
mod needs;
mod outage;
mod query;
mod recording;
mod replay;
mod role;
mod scenarios;
mod sink;
mod source;
mod spark;
mod topic;
mod trace;
mod values;

use std::process::ExitCode;

use libtest_mimic::Arguments;
use needs::{Needs, Test};

/// The files beside this one that have tests, and their tests.
const SUBJECTS: &[(&str, &[Test])] = &[
    ("access", access::TESTS),
    ("broker", broker::TESTS),
    ("command", command::TESTS),
    ("faults", faults::TESTS),
    ("everywhere", everywhere::TESTS),
    ("generate", generate::TESTS),
    ("load", load::TESTS),
    ("recording", recording::TESTS),
    ("replay", replay::TESTS),
    ("values", values::TESTS),
    ("source", source::TESTS),
    ("loss", loss::TESTS),
    ("outage", outage::TESTS),
    ("sink", sink::TESTS),
    ("spark", spark::TESTS),
    ("scenarios", scenarios::TESTS),
];

/// One test waits for a broker while another computes; more would only heat the machine.
const THREADS: usize = 4;

fn main() -> ExitCode {
    if let Some(code) = role::play() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let mut tests: Vec<_> = SUBJECTS
        .iter()
        .flat_map(|(subject, tests)| tests.iter().map(move |test| (subject, test)))
        .collect();
    // Those that want the machine to themselves come when nobody else is left to wait for.
    tests.sort_by_key(|(_, test)| test.needs == Needs::Machine);
    let trials = tests.iter().map(|(subject, test)| test.trial(subject)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    needs::stop_shared();
    conclusion.exit_code()
}
