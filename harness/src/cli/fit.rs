//! `skirl fit`: from a trace to a scenario whose streams look like it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::cli::out;
use crate::fit::{FitRequest, fit, look_alikes, scenario_text};
use crate::scenario::parse_schema;

/// Write a scenario whose generated streams look like a trace.
#[derive(Debug, Args)]
pub struct Fit {
    /// The directory of the trace.
    trace: PathBuf,

    /// The file to write; without, the scenario goes to standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,

    /// The columns of a stream, instead of those the trace says.
    #[arg(long, value_name = "STREAM=DDL")]
    schema: Vec<String>,

    /// The column with the event time of a stream; without, the TIMESTAMP column that follows the order of arrival best.
    #[arg(long, value_name = "STREAM=COLUMN")]
    event_time: Vec<String>,
}

impl Fit {
    /// Fits, writes, and shows how close it came.
    pub fn execute(self) -> Result<ExitCode> {
        if let Some(path) = self.to.as_ref().filter(|path| path.exists()) {
            bail!("{} is there already; choose another name, or remove it", path.display());
        }
        let mut request = FitRequest {
            trace: self.trace.clone(),
            schemas: Default::default(),
            event_times: Default::default(),
        };
        for schema in &self.schema {
            let (stream, ddl) = split("--schema", schema, "scotsmen='district STRING, timestamp TIMESTAMP'")?;
            let parsed = parse_schema(ddl).map_err(|wrong| anyhow!("schema of `{stream}`: {wrong}"))?;
            request.schemas.insert(stream.to_string(), parsed);
        }
        for event_time in &self.event_time {
            let (stream, column) = split("--event-time", event_time, "scotsmen=timestamp")?;
            request.event_times.insert(stream.to_string(), column.to_string());
        }
        let fitted = fit(&request)?;
        let text = scenario_text(&self.trace.display().to_string(), &fitted);
        for (stream, card) in fitted.iter().zip(look_alikes(&fitted, 0)?) {
            out::remark(format_args!(
                "{0}, measured:\n{1}\n{0}, the look-alike:\n{card}\n",
                stream.name, stream.measured
            ));
            for remark in &stream.remarks {
                out::remark(format_args!("{}: {remark}\n", stream.name));
            }
        }
        match &self.to {
            None => out::print(text)?,
            Some(path) => std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn split<'a>(option: &str, argument: &'a str, example: &str) -> Result<(&'a str, &'a str)> {
    match argument.split_once('=') {
        Some((name, rest)) if !name.is_empty() && !rest.is_empty() => Ok((name, rest)),
        _ => bail!("`{option} {argument}` names no stream and value; write `{option} {example}`"),
    }
}
