//! `skirl replay-to`: a recorded trace, put back to Kafka.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use skirl_generator::target::kafka::{SendPace, Timestamps};
use skirl_generator::trace::{TRACE_FILE, TraceFile};
use skirl_kafka::{Address, Existing};

use super::generate::kafka::{positive, timestamps};
use super::kafka::{Interrupt, KafkaArgs, MachineClock, achieved, settings};
use super::out;
use crate::recording::{PutBack, PutBackRequest, Repartition, put_back};

/// Put a recorded trace back to Kafka, byte for byte.
#[derive(Debug, Args)]
pub struct ReplayTo {
    /// The brokers, and perhaps a topic, with {stream} for each stream's name; without, topics are named as they were.
    #[arg(value_name = "kafka://HOST:PORT")]
    to: String,

    /// The directory of the trace.
    trace: PathBuf,

    /// How many times as fast as it was recorded, or max for as fast as it goes.
    #[arg(long, value_name = "FACTOR|max", default_value = "1", value_parser = speed)]
    speed: SendPace,

    /// Where records go if a topic has not as many partitions as the recorded one: where their keys lead (key), or to
    /// their partition's number modulo how many there are (modulo).
    #[arg(long, value_name = "HOW", value_parser = repartition)]
    repartition: Option<Repartition>,

    /// The time Kafka keeps with a record: of sending (now), or as it was recorded (original).
    #[arg(long, value_name = "WHICH", default_value = "now", value_parser = timestamps)]
    timestamps: Timestamps,

    /// Partitions of a topic that is made; without, as many as the recorded one had.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// A setting of a topic that is made, such as retention.ms=-1.
    #[arg(long, value_name = "NAME=VALUE")]
    topic_setting: Vec<String>,

    /// Add records to topics that are there already.
    #[arg(long)]
    allow_existing: bool,

    #[command(flatten)]
    kafka: KafkaArgs,
}

impl ReplayTo {
    /// Puts the trace back, and says what became of it. 0: every record was acknowledged; 1: not all were.
    pub fn execute(self) -> Result<ExitCode> {
        let request = self.into_request()?;
        let (clock, interrupt) = (MachineClock::start(), Interrupt::listen()?);
        let style = ProgressStyle::with_template("{wide_bar} {human_pos}/{human_len} records {per_sec} {eta}")?;
        let bar = ProgressBar::new(0).with_style(style);
        let done = put_back(&request, &clock, &|| interrupt.is_raised(), &mut |records, all| {
            bar.set_length(all);
            bar.set_position(records);
        });
        bar.finish_and_clear();
        let done = done?;
        out::print(described(&done, &request))?;
        Ok(ExitCode::from(u8::from(!done.is_complete())))
    }

    fn into_request(self) -> Result<PutBackRequest> {
        let parse = |text: &str| text.parse::<Address>().map_err(|message| anyhow!(message));
        let bootstrap = parse(&self.to.replace("{stream}", "stream"))?.bootstrap;
        let mut topics = BTreeMap::new();
        for stream in streams_of(&self.trace) {
            if let Some(topic) = parse(&self.to.replace("{stream}", &stream))?.topic {
                topics.insert(stream, topic);
            }
        }
        Ok(PutBackRequest {
            properties: self.kafka.properties(&bootstrap)?,
            trace: self.trace,
            topics,
            partitions: self.partitions,
            settings: settings(&self.topic_setting)?,
            existing: if self.allow_existing {
                Existing::Allow
            } else {
                Existing::Refuse
            },
            repartition: self.repartition.unwrap_or_default(),
            pace: self.speed,
            timestamps: self.timestamps,
        })
    }
}

/// The streams of the trace; none if it cannot be read, which is told when it is put back.
fn streams_of(trace: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(trace.join(TRACE_FILE)).unwrap_or_default();
    let trace = TraceFile::from_toml(&text);
    trace.map_or(vec![], |trace| {
        trace.streams.into_iter().map(|stream| stream.name).collect()
    })
}

fn speed(text: &str) -> Result<SendPace, String> {
    match text {
        "max" => Ok(SendPace::Unlimited),
        factor => positive(factor).map(|speed| SendPace::Own { speed }),
    }
}

fn repartition(text: &str) -> Result<Repartition, String> {
    match text {
        "key" => Ok(Repartition::Key),
        "modulo" => Ok(Repartition::Modulo),
        _ => Err(format!("`{text}` is neither `key` nor `modulo`")),
    }
}

/// What was put back, and what became of it.
fn described(done: &PutBack, request: &PutBackRequest) -> String {
    let mut text = String::new();
    for stream in &done.streams {
        let partitions = match (stream.recorded_partitions, stream.partitions, request.repartition) {
            (recorded, now, _) if recorded == now => format!("{now} partitions"),
            (recorded, now, Repartition::Modulo) => format!("{recorded} partitions as {now}, by number modulo {now}"),
            (recorded, now, _) => format!("{recorded} partitions as {now}, by key"),
        };
        text += &format!(
            "{} -> topic {} ({partitions}): {} records\n",
            stream.name, stream.topic, stream.records
        );
    }
    text += &achieved(&done.outcome, &done.ending, done.lasted_us);
    if request.pace != SendPace::Unlimited {
        text += &format!(
            "at most {:.1} ms behind the recorded pace\n",
            done.behind_us as f64 / 1e3
        );
    }
    text
}
