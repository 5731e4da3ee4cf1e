//! The command line: one subcommand a file.

#[cfg(unix)]
mod broker;
#[cfg(not(unix))]
#[path = "broker_elsewhere.rs"]
mod broker;
mod fit;
mod generate;
pub(crate) mod kafka;
mod list;
mod load;
pub(crate) mod out;
mod query;
mod record;
mod replay;
mod replay_to;
mod run;
mod trials;

use std::process::ExitCode;

use clap::Parser;

const EXIT_CODES: &str = "Exit code: 0 passed, 1 a check failed, 2 could not run; `skirl load` adds 3.";

/// Tells on standard error why nothing could be run, unless it is that nobody reads standard output any more.
pub fn tell(error: &anyhow::Error) {
    if !out::is_unread(error) {
        out::remark(format_args!("error: {error:#}\n"));
    }
}

/// Test stream processors against scenarios.
#[derive(Debug, Parser)]
#[command(name = "skirl", version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub enum Command {
    /// Run scenarios and check what comes out.
    ///
    /// Exit code: 0 every check passed, 1 a check failed (`again:` says how to repeat it), 2 something could not run.
    ///
    /// skirl run scenarios --filter window --junit report.xml
    Run(run::Run),
    /// Run a saved failure again, step for step.
    Replay(replay::Replay),
    /// Make streams with rows that come late, twice or never.
    ///
    /// skirl generate scotsmen --rows 1M --lateness pareto,share=5%,max=2m --seed 7 --to out/ --format parquet
    ///
    /// skirl generate --scenario burst.toml --to kafka://localhost:9092/{stream} --rate 50k/s
    Generate(Box<generate::Generate>),
    /// Record Kafka topics into a trace.
    ///
    /// Keys, values, headers, timestamps, partitions and offsets are kept as they are, so that `skirl replay-to` can put
    /// them back; values that are JSON become the rows of a stream, which a scenario reads as `files`. Ctrl-C ends a
    /// recording with a complete trace.
    ///
    /// skirl record --from kafka://localhost:9092 --topics scotsmen,bagpipe --for 60s --to trace/
    Record(Box<record::Record>),
    /// Put a recorded trace back to Kafka, byte for byte.
    ///
    /// Keys, values, headers and partitions are those that were recorded, in their order and with their gaps in time.
    ///
    /// skirl replay-to kafka://localhost:9092 trace/ --speed 10
    ReplayTo(Box<replay_to::ReplayTo>),
    /// Write a scenario whose generated streams look like a trace.
    ///
    /// Measures columns, key skew, pace, lateness by partition, copies and NULLs of a trace that `skirl record` or `skirl
    /// generate` wrote. The disorder cards of the trace and of the look-alike go to standard error.
    ///
    /// skirl fit trace/ --to look_alike.toml && skirl generate --scenario look_alike.toml --seed 7 --to out/
    Fit(fit::Fit),
    /// Run a streaming query on directories, sockets or topics and print its batches.
    ///
    /// skirl query "SELECT max_temperature FROM weather" --stream weather=data/weather --option weather.header=true
    ///
    /// skirl query "SELECT CAST(value AS STRING) FROM scotsmen" --stream scotsmen=kafka://localhost:9092/scotsmen --option
    /// scotsmen.startingOffsets=earliest
    Query(Box<query::Query>),
    /// Load Kafka brokers at a rate and judge them by objectives.
    Load(Box<load::Load>),
    /// List scenarios with their titles.
    List(list::List),
    /// Start and stop a throwaway Apache Kafka on this machine.
    ///
    /// It is fetched from Maven Central the first time; Java 17 has to be here. It listens on the loopback address only,
    /// makes no topics by itself, and forgets everything when it is stopped.
    ///
    /// skirl broker start --nodes 3 --setting message.max.bytes=1000
    Broker(broker::Broker),
}

impl Command {
    /// Does what was asked. 0: passed, 1: a check failed, 2: could not run.
    ///
    /// # Errors
    /// When nothing could be run at all; exit code 2 as well.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Run(run) => run.execute(),
            Command::Replay(replay) => replay.execute(),
            Command::Generate(generate) => generate.execute(),
            Command::Record(record) => record.execute(),
            Command::ReplayTo(replay) => replay.execute(),
            Command::Fit(fit) => fit.execute(),
            Command::Query(query) => query.execute(),
            Command::Load(load) => load.execute(),
            Command::List(list) => list.execute(),
            Command::Broker(broker) => broker.execute(),
        }
    }
}
