//! What is asked for on the command line, as a plan.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use skirl_generator::pace::{PaceSpec, parse_rate};
use skirl_generator::parse_rows;
use skirl_generator::spec::{Micros, Time};
use skirl_generator::target::kafka::KeyColumn;
use skirl_kafka::{Address, Existing, Properties};

use crate::cli::generate::of_scenario;
use crate::cli::kafka::{KafkaArgs, brokers_and_topic};
use crate::load::clock::Waiting;
use crate::load::plan::{Plan, RowPlan, TopicPlan, WorkerCommand};
use crate::load::schedule::Timing;
use crate::load::stamp::RunId;

/// A tenth of the measured time is warm-up unless asked otherwise, but no more than this.
const WARM_UP_AT_MOST: Duration = Duration::from_secs(10);

/// A load test as it is asked for.
#[derive(Debug, Args)]
pub(super) struct Ask {
    /// A scenario whose generated streams are sent; without, rows of random letters.
    scenario: Option<PathBuf>,

    /// Brokers to ask first: host:port, several separated by commas, or kafka://host:port/topic.
    #[arg(long, value_name = "HOST:PORT|kafka://...", required = true)]
    bootstrap: Option<String>,

    /// The topic, with {stream} for the stream's name; without, a new one that is deleted afterwards.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Rows a second, such as 50k/s, or a pace: poisson,rate=50k, bursts,burst_rate=50k,every=10s,lasts=1s,
    /// ramp,0s=1k,30s=50k, steps,..., daily,...
    #[arg(long, value_name = "RATE", required = true, value_parser = pace)]
    rate: Option<Pace>,

    /// How long rows are sent and measured.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, allow_hyphen_values = true)]
    duration: Duration,

    /// How long rows are sent before they are measured; without, a tenth of the duration, at most 10s.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    warm_up: Option<Duration>,

    /// Bytes of a row of random letters, such as 100B or 1KiB.
    #[arg(long, value_name = "SIZE", default_value = "100B", value_parser = bytes, conflicts_with = "scenario")]
    size: u64,

    /// Different keys of rows of random letters; 0: none, and rows go to any partition.
    #[arg(long, value_name = "N", default_value = "0", value_parser = parse_rows, conflicts_with = "scenario")]
    keys: u64,

    /// The column of a scenario's rows they are partitioned by; without, `district`, else the first column of texts.
    #[arg(long, value_name = "COLUMN", conflicts_with = "no_key", requires = "scenario")]
    key: Option<String>,

    /// A scenario's rows have no key and go to any partition.
    #[arg(long, requires = "scenario")]
    no_key: bool,

    /// What rows and random paces are drawn from.
    #[arg(long, value_name = "N", default_value = "0")]
    seed: u64,

    /// A property of the clients, such as acks=1, linger.ms=5 or compression.type=lz4; may be given more than once.
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Kafka")]
    property: Vec<String>,

    #[command(flatten)]
    kafka: KafkaArgs,

    /// Partitions of a topic that is made (4 unless said); a topic that is there must have as many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Topics")]
    partitions: Option<i32>,

    /// Brokers that hold each partition of a topic that is made; without, the cluster's default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..), help_heading = "Topics")]
    replication: Option<i32>,

    /// Bytes a partition of a topic that is made keeps (`retention.bytes`).
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = bytes, help_heading = "Topics")]
    retention: u64,

    /// Bytes the rows may take on each broker; without, what is free where that can be seen.
    #[arg(long, value_name = "SIZE", value_parser = bytes, help_heading = "Topics")]
    disk: Option<u64>,

    /// Send to topics that are there already.
    #[arg(long, help_heading = "Topics")]
    allow_existing: bool,

    /// Leave topics that were made.
    #[arg(long, help_heading = "Topics")]
    keep_topic: bool,

    /// Processes that send, which share the rate.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Tool")]
    workers: u32,

    /// When the measured part begins, for machines that are to load brokers together.
    #[arg(long, value_name = "TIME", value_parser = Time::parse, help_heading = "Tool")]
    start_at: Option<Time>,

    /// Do not read rows back: nothing is known about lost ones then, and the tool costs less.
    #[arg(long, help_heading = "Tool")]
    no_consumer: bool,

    /// Read rows back from another topic: the output of a job that copies headers.
    #[arg(long, value_name = "TOPIC", conflicts_with = "no_consumer", help_heading = "Tool")]
    receive_from: Option<String>,

    /// How long rows are waited for at the end: to be queued, acknowledged and read back, each.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, help_heading = "Tool")]
    patience: Duration,

    /// Rows that are due within such a time are queued together: shorter is more exact, longer costs less.
    #[arg(long, value_name = "TIME", default_value = "200us", value_parser = duration, help_heading = "Tool")]
    quantum: Duration,

    /// Wait by looking at the clock all the time: on time within a microsecond, at the price of a core.
    #[arg(long, help_heading = "Tool")]
    spin: bool,

    /// Serve live figures for Prometheus at an address such as 127.0.0.1:9400.
    #[arg(long, value_name = "HOST:PORT", help_heading = "Reports")]
    prometheus: Option<String>,
}

/// A pace and the words it was asked for in.
#[derive(Debug, Clone)]
struct Pace {
    text: String,
    spec: PaceSpec,
}

impl Ask {
    pub fn prometheus(&self) -> Option<&str> {
        self.prometheus.as_deref()
    }

    /// The plan.
    ///
    /// # Errors
    /// What does not go together, with what to write.
    pub fn plan(&self) -> Result<Plan> {
        let address = self.address()?;
        let (rows, streams) = self.rows()?;
        let pace = self
            .rate
            .clone()
            .ok_or_else(|| anyhow!("give a rate, such as `--rate 50k/s`"))?;
        let topics = self.topics(&address, &streams)?;
        let plan = Plan {
            client: self.client(&address.bootstrap)?,
            receive: match (&self.receive_from, self.no_consumer) {
                (Some(topic), _) => Some(vec![topic.clone()]),
                (None, true) => None,
                (None, false) => Some(topics.clone()),
            },
            topics,
            topic: TopicPlan {
                existing: if self.allow_existing {
                    Existing::Allow
                } else {
                    Existing::Refuse
                },
                partitions: self.partitions,
                replication: self.replication,
                retention_bytes: self.retention,
                keep: self.keep_topic,
                disk_bound: self.disk,
            },
            rows,
            timing: Timing {
                pace: pace.spec,
                seed: self.seed,
                warm_up: self.warm_up.unwrap_or((self.duration / 10).min(WARM_UP_AT_MOST)),
                duration: self.duration,
            },
            pace: pace.text,
            rate_factor: 1.0,
            workers: self.workers,
            worker_command: Some(this_program()?),
            patience: self.patience,
            quantum: self.quantum,
            waiting: if self.spin { Waiting::Spin } else { Waiting::Sleep },
            start_at: self.start_at.map(|time| time.0.saturating_mul(1_000)),
        };
        plan.check()?;
        Ok(plan)
    }

    fn address(&self) -> Result<Address> {
        let text = self.bootstrap.as_deref().unwrap_or_default();
        brokers_and_topic(text).map_err(|message| anyhow!("--bootstrap: {message}"))
    }

    fn client(&self, bootstrap: &str) -> Result<Properties> {
        let mut client = self.kafka.properties(bootstrap)?;
        for property in &self.property {
            // The value may be a secret, so a mistake does not repeat it.
            let Some((name, value)) = property.split_once('=') else {
                bail!("a `--property` has no `=`; write for example `--property acks=1`");
            };
            client.set(name.trim(), value.trim())?;
        }
        Ok(client)
    }

    /// The rows, and the names of their streams.
    fn rows(&self) -> Result<(RowPlan, Vec<String>)> {
        let Some(scenario) = &self.scenario else {
            let size = usize::try_from(self.size).unwrap_or(usize::MAX);
            return Ok((RowPlan::Synthetic { size, keys: self.keys }, vec!["rows".into()]));
        };
        let (specs, _) = of_scenario(scenario)?;
        let streams = specs.iter().map(|(name, _)| name.clone()).collect();
        let key = match (&self.key, self.no_key) {
            (Some(column), _) => KeyColumn::Named(column.clone()),
            (None, true) => KeyColumn::None,
            (None, false) => KeyColumn::Usual,
        };
        Ok((RowPlan::Streams { specs, key }, streams))
    }

    /// The topic of each stream: as named, or new ones.
    fn topics(&self, address: &Address, streams: &[String]) -> Result<Vec<String>> {
        let named = match (&self.topic, &address.topic) {
            (Some(_), Some(_)) => bail!("`--bootstrap` names a topic and `--topic` does too; keep one of them"),
            (Some(topic), None) | (None, Some(topic)) => topic.clone(),
            (None, None) if streams.len() > 1 => format!("skirl-load-{}-{{stream}}", RunId::fresh()),
            (None, None) => format!("skirl-load-{}", RunId::fresh()),
        };
        Ok(streams.iter().map(|stream| named.replace("{stream}", stream)).collect())
    }
}

/// What starts a worker: this program with the same arguments.
fn this_program() -> Result<WorkerCommand> {
    Ok(WorkerCommand {
        program: std::env::current_exe()?,
        arguments: std::env::args_os().skip(1).collect(),
    })
}

fn pace(text: &str) -> Result<Pace, String> {
    let spec = parse_rate(text)?;
    Ok(Pace {
        text: text.to_string(),
        spec,
    })
}

/// A length of time, down to microseconds.
fn duration(text: &str) -> Result<Duration, String> {
    let micros = Micros::parse(text)?;
    let micros = u64::try_from(micros.0).map_err(|_| format!("`{text}` is negative; write for example 60s"))?;
    Ok(Duration::from_micros(micros))
}

/// A size: `100`, `100B`, `1KiB`, `1.5MB`, `2GiB`.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, f64); 8] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("kB", 1e3),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("B", 1.0),
    ];
    let text = text.trim();
    let unit = UNITS
        .iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (number, size) = unit.unwrap_or((text, 1.0));
    match number.trim().parse::<f64>() {
        Ok(number) if number >= 0.0 && number * size < 1e18 => Ok((number * size).round() as u64),
        _ => Err(format!("`{text}` is no size; write for example 100B, 1KiB or 256MiB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, size) in [
            ("100", 100),
            ("100B", 100),
            ("1KiB", 1_024),
            ("1.5MB", 1_500_000),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "much", "-1B", "1TiB"] {
            assert!(bytes(text).unwrap_err().contains("write for example"), "{text}");
        }
    }
}
