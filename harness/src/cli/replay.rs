//! `skirl replay`: a saved failure, run again.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::out;
use crate::judge::{Trial, judge};
use crate::report::{Entry, Paint, Report, results, terminal};
use crate::scenario::{Saved, load};
use crate::system::Embedded;

/// Run a saved failure again, step for step.
#[derive(Debug, Args)]
pub struct Replay {
    /// The directory that `skirl run` named, with its trace.toml.
    dir: PathBuf,

    /// Write a JSON line for every batch that was executed.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
}

impl Replay {
    /// Runs the saved trial and reports.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let trial = match load(&self.dir)? {
            Saved::Scenario(scenario, seed) => Trial::of(&scenario, seed).map_err(anyhow::Error::msg)?,
            Saved::Case { name, job, trace } => Trial::of_case(&name, *job, trace),
        };
        let outcome = Box::new(judge(&trial, &mut Embedded::default()));
        let report = Report {
            entries: vec![Entry::Ran { outcome, again: None }],
        };
        if let Some(path) = &self.results {
            std::fs::write(path, results::render(&report))?;
        }
        out::print(terminal::render(&report, Paint::of(&std::io::stdout())))?;
        Ok(ExitCode::from(report.exit_code()))
    }
}
