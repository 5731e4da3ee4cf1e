//! Other programs that the test program can be, so that a test can kill one or see one print.

use std::env;
use std::io::{self, Write};
use std::process::{Command, ExitCode};
use std::thread;

use clap::Parser;
use skirl::broker::{Cluster, Options};

const ROLE: &str = "SKIRL_TEST_ROLE";

/// What the test program is asked to be.
#[derive(Debug, Clone, Copy)]
pub enum Role {
    /// The command `skirl`.
    Skirl,
    /// One who starts a cluster, freezes its last node, tells the processes, and waits.
    Owner,
}

impl Role {
    /// The test program in this role.
    pub fn command(self) -> Command {
        let mut command = Command::new(env::current_exe().expect("a running program has a file"));
        command.env(ROLE, format!("{self:?}"));
        command
    }
}

/// Plays the role that is asked for; `None` without one.
pub fn play() -> Option<ExitCode> {
    match env::var(ROLE).ok()?.as_str() {
        "Skirl" => Some(skirl::cli::Command::parse().execute().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        })),
        "Owner" => Some(own()),
        role => panic!("no role is called {role}"),
    }
}

fn own() -> ExitCode {
    let nodes = env::args()
        .nth(1)
        .and_then(|nodes| nodes.parse().ok())
        .expect("a number of nodes");
    let mut cluster = Cluster::start(Options {
        nodes,
        ..Options::default()
    })
    .expect("a cluster");
    cluster.freeze(nodes).expect("a frozen node");
    let pids: Vec<String> = cluster
        .states()
        .expect("states")
        .iter()
        .map(|(_, pid, _)| pid.to_string())
        .collect();
    writeln!(io::stdout(), "{}", pids.join(" ")).expect("a reader");
    loop {
        thread::park();
    }
}
