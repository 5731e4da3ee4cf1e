//! The command line: one subcommand a file.

#[cfg(unix)]
mod broker;
#[cfg(not(unix))]
#[path = "broker_elsewhere.rs"]
mod broker;
mod generate;
mod kafka;
mod list;
mod query;
mod replay;
mod run;
mod trials;

use std::process::ExitCode;

use clap::Parser;

/// Test stream processors against scenarios.
#[derive(Debug, Parser)]
#[command(name = "skirl", version, arg_required_else_help = true)]
pub enum Command {
    /// Run scenarios and check what comes out.
    Run(run::Run),
    /// Run a saved failure again, step for step.
    Replay(replay::Replay),
    /// Make streams with rows that come late, twice or never.
    Generate(generate::Generate),
    /// Run a streaming query on directories, sockets or topics and print its batches.
    Query(Box<query::Query>),
    /// List scenarios with their titles.
    List(list::List),
    /// Start and stop a throwaway Apache Kafka on this machine.
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
            Command::Query(query) => query.execute(),
            Command::List(list) => list.execute(),
            Command::Broker(broker) => broker.execute(),
        }
    }
}
