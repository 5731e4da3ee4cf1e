//! `skirl generate`: streams with rows that come late, twice or never.

use std::process::ExitCode;

use clap::Args;

/// Make streams with rows that come late, twice or never.
#[derive(Debug, Args)]
pub struct Generate {}

impl Generate {
    /// Makes the rows and prints their disorder card.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        anyhow::bail!("not yet")
    }
}
