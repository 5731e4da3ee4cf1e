//! `skirl load merge`: the runs of several machines as one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;

use super::{Outputs, stored};
use crate::load::merge::merge;

/// Make one run of those of several machines, and judge it.
///
/// Histograms are added up without loss. Start the machines together with --start-at.
///
/// skirl load merge one.json other.json --slo 'p99 < 20ms' --json both.json
#[derive(Debug, Args)]
pub(super) struct Merge {
    /// Stored runs: what --json wrote.
    #[arg(required = true, num_args = 1.., value_name = "FILE")]
    runs: Vec<PathBuf>,

    #[command(flatten)]
    outputs: Outputs,
}

impl Merge {
    pub fn execute(self) -> Result<ExitCode> {
        let read = |path: &PathBuf| Ok((path.display().to_string(), stored(path)?));
        let runs = self.runs.iter().map(read).collect::<Result<Vec<_>>>()?;
        let merged = merge(&runs).map_err(|message| anyhow!(message))?;
        self.outputs.check(merged.received.is_some())?;
        let baseline = self.outputs.baseline()?;
        self.outputs.judge(merged, baseline.as_ref())
    }
}
