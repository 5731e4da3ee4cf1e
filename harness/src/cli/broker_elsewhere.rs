//! `skirl broker` where there are no signals to freeze and kill a broker with.

use std::process::ExitCode;

use clap::Args;

/// Start and stop a throwaway Apache Kafka on this machine: only on Unix.
#[derive(Debug, Args)]
pub struct Broker {
    /// Whatever it is told elsewhere.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _arguments: Vec<String>,
}

impl Broker {
    /// Says what to use instead.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("`skirl broker` needs Unix; with Docker, `docker compose up` starts the broker of compose.yaml")
    }
}
