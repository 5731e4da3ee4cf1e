//! `skirl load`: the honest load test of a Kafka setup.

mod ask;
mod capacity;
mod merge;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};

use crate::cli::kafka::Interrupt;
use crate::cli::out;
use crate::load::live::{Exporter, Line};
use crate::load::plan::{Part, Plan};
use crate::load::report::{self, Report};
use crate::load::{Outcome, Slo, Verdict, View, process};
use crate::report::Paint;

/// What follows the options: the doc comments of flattened arguments would replace a longer text before them.
const EXAMPLES: &str = "\
The load is open: every row has its time, which nothing moves, and its latency counts from then.

skirl load --bootstrap localhost:9092 --rate 50k/s --duration 60s --slo 'p99 < 20ms' --slo 'lost == 0'
skirl load scenario.toml --bootstrap localhost:9092 --topic '{stream}' --allow-existing --rate ramp,0s=1k,60s=50k
skirl load --bootstrap localhost:9092 --rate 10k/s --size 1KiB --duration 10s --slo 'p99 < 20ms' --find-capacity
skirl load merge one.json other.json --slo 'p99 < 20ms'

Exit code: 0 every objective was kept, 1 one was missed, 2 it could not run, 3 the rate could not be offered, or no row was
written, and the run is invalid, whatever the objectives say. A row that is not written takes forever: a quantile it reaches
into is `never`.";

/// Load brokers at a rate and judge them by objectives.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, after_long_help = EXAMPLES)]
pub struct Load {
    #[command(subcommand)]
    command: Option<LoadCommand>,

    #[command(flatten)]
    test: ask::Ask,

    #[command(flatten)]
    outputs: Outputs,

    /// Search for the highest rate that keeps the objectives, from --rate on: each step is a run of its own.
    #[arg(long, help_heading = "Capacity", requires = "slo")]
    find_capacity: bool,

    #[command(flatten)]
    search: capacity::SearchArgs,

    /// One of the processes of a run with several workers.
    #[arg(long, hide = true, value_parser = part)]
    as_worker: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Make one run of those of several machines.
    Merge(merge::Merge),
}

/// Objectives, and where a report goes.
#[derive(Debug, Args)]
struct Outputs {
    /// An objective, such as 'p99 < 20ms', 'end_to_end.p99.9 < 1s', 'lost == 0', 'duplicates == 0', 'throughput >= 49k/s' or
    /// 'p99 < 1.2 * baseline'; may be given more than once.
    #[arg(long, value_name = "OBJECTIVE", value_parser = Slo::parse)]
    slo: Vec<Slo>,

    /// A stored run (--json of an earlier one) to compare with.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write the report as JSON: what --baseline and `skirl load merge` read.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    json: Option<PathBuf>,

    /// Write the objectives as JUnit's XML.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    junit: Option<PathBuf>,

    /// Write the histograms as an HDR log, in microseconds.
    #[arg(long, value_name = "FILE", help_heading = "Reports")]
    hdr: Option<PathBuf>,
}

impl Load {
    /// Runs the load test and prints what it came to.
    pub fn execute(self) -> Result<ExitCode> {
        if let Some(LoadCommand::Merge(merge)) = self.command {
            return merge.execute();
        }
        let plan = self.test.plan()?;
        // A terminal's Ctrl-C reaches workers too; theirs is to wait for the run's word.
        let interrupt = Interrupt::listen()?;
        if let Some(part) = self.as_worker {
            process::serve(plan, part)?;
            return Ok(ExitCode::SUCCESS);
        }
        self.outputs.check(plan.receive.is_some())?;
        let mut screen = Screen::open(self.test.prometheus())?;
        if self.find_capacity {
            return capacity::execute(&plan, &self.search, &self.outputs, &interrupt, &mut screen);
        }
        let baseline = self.outputs.baseline()?;
        let outcome = screen.run(&plan, &interrupt)?;
        drop(screen);
        self.outputs.judge(outcome, baseline.as_ref())
    }
}

/// What a person and Prometheus see while a run lasts.
struct Screen {
    line: Line,
    exporter: Option<Exporter>,
}

impl Screen {
    fn open(prometheus: Option<&str>) -> Result<Screen> {
        let exporter = prometheus
            .map(Exporter::listen)
            .transpose()
            .map_err(|message| anyhow!(message))?;
        if let Some(exporter) = &exporter {
            out::remark(format_args!(
                "figures for Prometheus at http://{}/metrics\n",
                exporter.address()
            ));
        }
        Ok(Screen {
            line: Line::default(),
            exporter,
        })
    }

    fn run(&mut self, plan: &Plan, interrupt: &Interrupt) -> Result<Outcome> {
        let mut watch = |view: &View| {
            self.line.show(view);
            if let Some(exporter) = &self.exporter {
                exporter.show(view);
            }
        };
        let outcome = crate::load::run(plan, interrupt.flag(), &mut watch);
        self.line.finish();
        Ok(outcome?)
    }
}

impl Outputs {
    /// Refuses objectives that nothing could tell, before a run is wasted on them.
    fn check(&self, reads_back: bool) -> Result<()> {
        if let Some(slo) = self
            .slo
            .iter()
            .find(|slo| slo.needs_baseline() && self.baseline.is_none())
        {
            bail!("the objective `{slo}` compares with a stored run; name it with `--baseline run.json`");
        }
        if let Some(slo) = self.slo.iter().find(|slo| slo.figure().needs_consumer() && !reads_back) {
            bail!("the objective `{slo}` is about rows that are read back; leave `--no-consumer` out");
        }
        Ok(())
    }

    fn baseline(&self) -> Result<Option<Outcome>> {
        self.baseline.as_deref().map(stored).transpose()
    }

    /// Judges a run, prints the report and writes it where it is wanted.
    fn judge(&self, outcome: Outcome, baseline: Option<&Outcome>) -> Result<ExitCode> {
        let verdict = Verdict::of(&outcome, &self.slo, baseline);
        let ending = verdict.ending();
        let report = Report { outcome, verdict };
        let printed = out::print(report::text::render(&report, Paint::of(&std::io::stdout())));
        if let Some(path) = &self.json {
            write(path, &report::json::render(&report))?;
        }
        if let Some(path) = &self.junit {
            write(path, &report::junit::render(&report))?;
        }
        if let Some(path) = &self.hdr {
            write(
                path,
                &report::hdr::render(&report.outcome).map_err(|message| anyhow!(message))?,
            )?;
        }
        // A long run is stored even where nobody reads of it.
        printed?;
        Ok(ExitCode::from(ending.exit_code()))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A run that was stored.
fn stored(path: &Path) -> Result<Outcome> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    report::json::read(&text).map_err(|message| anyhow!("{}: {message}", path.display()))
}

/// `2/3`: the second of three.
fn part(text: &str) -> Result<Part, String> {
    let numbers = text
        .split_once('/')
        .and_then(|(index, of)| Some((index.parse::<u32>().ok()?, of.parse::<u32>().ok()?)));
    match numbers {
        Some((index, of)) if (1..=of).contains(&index) => Ok(Part { index: index - 1, of }),
        _ => Err(format!("`{text}` is no part; write for example 2/3")),
    }
}
