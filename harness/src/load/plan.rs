//! What is asked of a load test.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use skirl_generator::StreamSpec;
use skirl_generator::target::kafka::KeyColumn;
use skirl_kafka::{Existing, Properties};

use super::clock::Waiting;
use super::error::{Error, Result};
use super::schedule::Timing;

/// A load test.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the brokers are, and how to talk to them.
    pub client: Properties,
    /// The topic of each stream, in the order of the streams.
    pub topics: Vec<String>,
    /// What becomes of topics that are there, and how others are made.
    pub topic: TopicPlan,
    /// What the rows are.
    pub rows: RowPlan,
    /// When they are due.
    pub timing: Timing,
    /// The pace in the words it was asked for in.
    pub pace: String,
    /// How many times that pace the one of `timing` is: a step of a search is another than 1.
    pub rate_factor: f64,
    /// Processes that send: 1 sends from this one, more are started by [`Plan::worker_command`].
    pub workers: u32,
    /// What starts a worker process.
    pub worker_command: Option<WorkerCommand>,
    /// The topics that are read back; `None` if nobody reads.
    pub receive: Option<Vec<String>>,
    /// How long rows are waited for after the measured part: to be queued, acknowledged and read back, each.
    pub patience: Duration,
    /// Time between two wakings of a sender, at least.
    pub quantum: Duration,
    /// How a sender waits.
    pub waiting: Waiting,
    /// When the measured part begins, in nanoseconds since 1970-01-01T00:00:00 UTC; `None`: as soon as may be.
    pub start_at: Option<i64>,
}

/// Topics of a load test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// What becomes of a topic that is there.
    pub existing: Existing,
    /// Partitions; `None`: 4 for a topic that is made, else whatever it has.
    pub partitions: Option<i32>,
    /// Brokers that hold each partition; `None`: the cluster's default.
    pub replication: Option<i32>,
    /// `retention.bytes` of a topic that is made.
    pub retention_bytes: u64,
    /// Whether topics that were made stay.
    pub keep: bool,
    /// Bytes the rows may take on a broker; `None`: what is free, where that can be seen.
    pub disk_bound: Option<u64>,
}

/// The rows of a load test.
#[derive(Debug, Clone, PartialEq)]
pub enum RowPlan {
    /// Random letters.
    Synthetic {
        /// Bytes of a value.
        size: usize,
        /// How many different keys; 0 for none.
        keys: u64,
    },
    /// Those of generated streams, as JSON; however many are needed.
    Streams {
        /// The streams by name.
        specs: Vec<(String, StreamSpec)>,
        /// Which column holds the keys.
        key: KeyColumn,
    },
}

/// What starts a worker process: this program once more, told to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, to which `--as-worker K/N` is added.
    pub arguments: Vec<OsString>,
}

/// Which of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// From 0.
    pub index: u32,
    /// All of them.
    pub of: u32,
}

impl RowPlan {
    /// Streams it has.
    pub fn streams(&self) -> usize {
        match self {
            RowPlan::Synthetic { .. } => 1,
            RowPlan::Streams { specs, .. } => specs.len(),
        }
    }

    /// What the rows are, in words.
    pub fn describe(&self) -> String {
        match self {
            RowPlan::Synthetic { size, keys: 0 } => format!("random letters, {size} bytes, without keys"),
            RowPlan::Synthetic { size, keys } => format!("random letters, {size} bytes, {keys} keys"),
            RowPlan::Streams { specs, key } => {
                let names: Vec<&str> = specs.iter().map(|(name, _)| name.as_str()).collect();
                let key = match key {
                    KeyColumn::Usual => "the usual key".to_string(),
                    KeyColumn::Named(column) => format!("key `{column}`"),
                    KeyColumn::None => "no key".to_string(),
                };
                format!("{} as JSON, {key}", names.join(" and "))
            }
        }
    }
}

impl Plan {
    /// Refuses what does not go together.
    ///
    /// # Errors
    /// What it is, and what to write.
    pub fn check(&self) -> Result<()> {
        let refuse = |message: String| Err(Error::Plan(message));
        if self.topics.len() != self.rows.streams() {
            return refuse(format!(
                "{} streams need a topic each, found {}",
                self.rows.streams(),
                self.topics.len()
            ));
        }
        for (index, topic) in self.topics.iter().enumerate() {
            skirl_kafka::address::check_topic(topic).map_err(Error::Plan)?;
            if self.topics[..index].contains(topic) {
                return refuse(format!(
                    "two streams would go to topic `{topic}`; write `{{stream}}` into the topic's name"
                ));
            }
        }
        if self.timing.duration < Duration::from_secs(1) {
            return refuse("a run measures at least a second; give a longer `--duration`".into());
        }
        if self.workers > 1 && self.worker_command.is_none() {
            return refuse("several workers are processes of the command line; nothing says how to start them".into());
        }
        if let RowPlan::Synthetic { size: 0, .. } = self.rows {
            return refuse("a row has at least one byte".into());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use skirl_generator::pace::PaceSpec;

    use super::*;

    /// A second at 1,000 rows/s.
    pub fn plan() -> Plan {
        Plan {
            client: Properties::new("localhost:9092"),
            topics: vec!["orders".into()],
            topic: TopicPlan {
                existing: Existing::Refuse,
                partitions: None,
                replication: None,
                retention_bytes: 1 << 28,
                keep: false,
                disk_bound: None,
            },
            rows: RowPlan::Synthetic { size: 100, keys: 0 },
            timing: Timing {
                pace: PaceSpec::Constant { rate: 1_000.0 },
                seed: 1,
                warm_up: Duration::ZERO,
                duration: Duration::from_secs(1),
            },
            pace: "1k/s".into(),
            rate_factor: 1.0,
            workers: 1,
            worker_command: None,
            receive: Some(vec!["orders".into()]),
            patience: Duration::from_secs(30),
            quantum: Duration::from_micros(200),
            waiting: Waiting::Sleep,
            start_at: None,
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        assert!(plan().check().is_ok());
        for (spoil, said) in [
            (
                (|plan| plan.topics = vec![]) as fn(&mut Plan),
                "1 streams need a topic each",
            ),
            (|plan| plan.topics = vec!["a b".into()], "is no topic name"),
            (
                |plan| plan.timing.duration = Duration::from_millis(500),
                "at least a second",
            ),
            (|plan| plan.workers = 2, "nothing says how to start them"),
            (
                |plan| plan.rows = RowPlan::Synthetic { size: 0, keys: 0 },
                "at least one byte",
            ),
        ] {
            let mut plan = plan();
            spoil(&mut plan);
            let message = plan.check().unwrap_err().to_string();
            assert!(message.contains(said), "{message}");
        }
    }
}
