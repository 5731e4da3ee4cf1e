//! `skirl generate`: streams with rows that come late, twice or never.

pub(crate) mod kafka;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use skirl_generator::spec::Cut;
use skirl_generator::{Bars, Format, GenerateRequest, Kind, Shard, StreamSpec, Target};

use super::kafka::path_of;
use super::out;
use crate::scenario::{Scenario, StreamSource};

/// Make streams with rows that come late, twice or never.
#[derive(Debug, Args)]
pub struct Generate {
    /// What the rows are: scotsmen, bagpipe or weather.
    #[arg(required_unless_present = "scenario")]
    kind: Option<String>,

    /// Make the streams of a scenario file instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kind", "rows", "lateness", "batch", "start"])]
    scenario: Option<PathBuf>,

    /// How many rows: 2000, 50k, 1M.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = skirl_generator::parse_rows, allow_hyphen_values = true)]
    rows: u64,

    /// How rows are late: layers such as `pareto,share=5%,max=2m`, joined by `+`.
    #[arg(long, value_name = "LAYERS")]
    lateness: Option<String>,

    /// A micro-batch for every such span of arrival time, or for so many rows.
    #[arg(long, value_name = "SPAN|N", allow_hyphen_values = true, value_parser = Cut::parse)]
    batch: Option<Cut>,

    /// Event time of the first row.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<String>,

    /// What the rows are made from: the same seed, the same bytes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,

    /// The directory the trace is written to, or a topic for each stream: kafka://HOST:PORT/ and a name, with {stream} for
    /// the stream's; without, rows go to standard output.
    #[arg(long, value_name = "DIR|kafka://...")]
    to: Option<String>,

    /// json, csv or parquet (to Kafka: json or csv).
    #[arg(long, default_value = "json", value_parser = Format::parse)]
    format: Format,

    /// Write only every n-th micro-batch, such as 1/4 for the first of four machines.
    #[arg(long, value_name = "K/N", value_parser = Shard::parse)]
    shard: Option<Shard>,

    #[command(flatten)]
    to_kafka: kafka::ToKafka,
}

impl Generate {
    /// Makes the rows and prints their disorder cards.
    pub fn execute(self) -> Result<ExitCode> {
        let (specs, seed) = match &self.scenario {
            Some(path) => of_scenario(path)?,
            None => (vec![self.spec()?], 0),
        };
        let seed = self.seed.unwrap_or(seed);
        if let Some(to) = self.to.as_deref().filter(|to| to.starts_with("kafka:")) {
            if self.shard.is_some() {
                bail!("`--shard` shares the files of a trace among machines; leave it out for Kafka");
            }
            return self.to_kafka.execute(to, specs, seed, self.format);
        }
        if let Some(option) = self.to_kafka.given() {
            bail!("`{option}` is about Kafka; give the brokers too: `--to kafka://host:port/topic`");
        }
        let target = match &self.to {
            Some(to) => Target::Directory(path_of(to)?),
            None => Target::Stdout,
        };
        let is_file = matches!(target, Target::Directory(_));
        let request = GenerateRequest {
            specs,
            seed,
            format: self.format,
            target,
            shard: self.shard,
        };
        let summary = skirl_generator::run(&request, &mut Bars::default())?;
        for stream in &summary.streams {
            let files = if stream.written == 1 { "file" } else { "files" };
            let card = format!(
                "{}: {} bytes in {} {files}\n{}",
                stream.name, stream.bytes, stream.written, stream.card
            );
            // Standard output may be taken by the rows.
            if is_file {
                out::print(format_args!("{card}\n"))?;
            } else {
                out::remark(format_args!("{card}\n"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The stream the arguments describe, read as a scenario's table is, so that both know the same words.
    fn spec(&self) -> Result<(String, StreamSpec)> {
        let kind = self.kind.clone().unwrap_or_default();
        Kind::parse(&kind).map_err(anyhow::Error::msg)?;
        let mut table = format!("kind = {kind:?}\nrows = {}\n", self.rows);
        match self.batch {
            Some(Cut::Rows(rows)) => table += &format!("batch_rows = {rows}\n"),
            Some(Cut::Every(span)) => table += &format!("batch = \"{span}\"\n"),
            None => {}
        }
        if let Some(start) = &self.start {
            table += &format!("start = {start:?}\n");
        }
        let mut spec = StreamSpec::from_toml(&table)
            .map_err(|mistakes| anyhow!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        if let Some(lateness) = &self.lateness {
            spec.lateness =
                skirl_generator::parse_lateness(lateness).map_err(|error| anyhow!("--lateness: {error}"))?;
        }
        Ok((kind, spec))
    }
}

/// The generated streams of the scenario at `path`, and its seed.
pub(super) fn of_scenario(path: &std::path::Path) -> Result<(Vec<(String, StreamSpec)>, u64)> {
    let scenario = Scenario::read(path)?;
    let spec = |stream: &crate::scenario::Stream| match &stream.source {
        StreamSource::Generated(generated) => Some((stream.name.clone(), generated.spec.clone())),
        StreamSource::Given(_) => None,
    };
    let specs: Vec<_> = scenario.streams.iter().filter_map(spec).collect();
    if specs.is_empty() {
        bail!("{} has no generated stream", path.display());
    }
    Ok((specs, scenario.seed))
}
