//! `skirl run`: scenarios and cases, from file to report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use skirl_engine::error::in_full;

use crate::case;
use crate::cli::kafka::{Interrupt, KafkaArgs, brokers};
use crate::cli::out;
use crate::cli::trials::{Broker, Planned, run_all};
use crate::judge::Trial;
use crate::report::{self, Paint, Report};
use crate::scenario::{ReadError, Scenario, find};

/// Run scenarios and check what comes out.
#[derive(Debug, Args)]
pub struct Run {
    /// Scenario files, or directories of them.
    #[arg(required_unless_present = "case")]
    paths: Vec<PathBuf>,

    /// Run only scenarios whose name or title contains this text; mistakes in other files do not matter.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Make random rows from this seed instead of each scenario's own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,

    /// Write a JSON line for every batch that was executed.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,

    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Run the streams over topics of Kafka at these brokers: made for the run, deleted after it. Micro-batches are then
    /// cut by the query, so guards that count them are left out.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Kafka")]
    kafka: Option<String>,

    #[command(flatten)]
    properties: KafkaArgs,

    /// How the report on standard output is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    report: Format,

    /// Run vector cases instead of scenarios: a JSON file or a directory of them.
    #[arg(long, value_name = "PATH", conflicts_with = "paths")]
    case: Option<PathBuf>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Run {
    /// Runs what the paths name and reports.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        // A parser of clap's would repeat the text, and with it a password.
        let address = self.kafka.as_deref().map(brokers).transpose();
        let address = address.map_err(|message| anyhow!("--kafka: {message}"))?;
        let planned = match &self.case {
            Some(path) => plan_cases(path, self.filter.as_deref())?,
            None => plan_scenarios(&self.paths, self.filter.as_deref(), self.seed)?,
        };
        if planned.is_empty() {
            bail!(
                "no scenario's name or title contains `{}`; `skirl list` shows them",
                self.filter.unwrap_or_default()
            );
        }
        let over_topics = planned.iter().any(|planned| planned.is_over_topics(address.as_ref()));
        let interrupt = match over_topics {
            true => Interrupt::listen()?,
            false => Interrupt::default(),
        };
        let broker = Broker {
            address,
            properties: self.properties.clone(),
            interrupt,
        };
        let report = run_all(planned, &broker);
        if let Some(path) = &self.results {
            write(path, &report::results::render(&report))?;
        }
        if let Some(path) = &self.junit {
            write(path, &report::junit::render(&report))?;
        }
        out::print(rendered(&report, self.report))?;
        Ok(ExitCode::from(report.exit_code()))
    }
}

/// Reads every scenario; a wrong one is reported and the others run.
fn plan_scenarios(paths: &[PathBuf], filter: Option<&str>, seed: Option<u64>) -> anyhow::Result<Vec<Planned>> {
    let colours = Paint::of(&std::io::stderr());
    let mut planned = Vec::new();
    for path in find(paths, "toml")? {
        match Scenario::read(&path) {
            Ok(scenario) if is_wanted(&scenario.name, &scenario.title, filter) => {
                planned.push(Planned::Scenario {
                    seed: seed.unwrap_or(scenario.seed),
                    scenario: Box::new(scenario),
                });
            }
            Ok(_) => {}
            Err(error) => planned.extend(not_run(&path, error, filter, colours)),
        }
    }
    Ok(planned)
}

/// A file that cannot be read as a scenario, if one of its name and title is wanted.
fn not_run(path: &Path, error: ReadError, filter: Option<&str>, colours: Paint) -> Option<Planned> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let title = match &error {
        ReadError::Wrong(wrong) => wrong.title(),
        ReadError::Io { .. } => None,
    };
    if !is_wanted(&name, &title.unwrap_or_default(), filter) {
        return None;
    }
    let reason = match &error {
        ReadError::Wrong(wrong) => {
            out::remark(wrong.render(colours.has_colours()));
            wrong.summary()
        }
        error => in_full(error),
    };
    Some(Planned::NotRun { name, reason })
}

fn plan_cases(path: &Path, filter: Option<&str>) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for path in find(&[path.to_path_buf()], "json")? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !is_wanted(&name, "", filter) {
            continue;
        }
        planned.push(match case::read_case(&path) {
            Ok(case) => Planned::Case {
                trial: Box::new(Trial::of_case(&name, case.job, case.trace)),
                path,
            },
            Err(error) => Planned::NotRun {
                name,
                reason: error.to_string(),
            },
        });
    }
    Ok(planned)
}

fn is_wanted(name: &str, title: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|text| name.contains(text) || title.contains(text))
}

fn rendered(report: &Report, format: Format) -> String {
    match format {
        Format::Text => report::terminal::render(report, Paint::of(&std::io::stdout())),
        Format::Json => report::json::render(report),
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
