//! `skirl list`: what scenarios there are.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::cli::out;
use crate::scenario::{ReadError, Scenario, find};

/// List scenarios with their titles.
#[derive(Debug, Args)]
pub struct List {
    /// Scenario files, or directories of them.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
}

impl List {
    /// Prints a line for each scenario: its name and its title.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        let mut code = ExitCode::SUCCESS;
        let mut scenarios = Vec::new();
        for path in find(&self.paths, "toml")? {
            match Scenario::read(&path) {
                Ok(scenario) => scenarios.push(scenario),
                Err(ReadError::Wrong(wrong)) => {
                    out::remark(wrong.render(false));
                    code = ExitCode::from(2);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
        let line = |scenario: &Scenario| format!("{:<width$}  {}\n", scenario.name, scenario.title);
        out::print(scenarios.iter().map(line).collect::<String>())?;
        Ok(code)
    }
}
