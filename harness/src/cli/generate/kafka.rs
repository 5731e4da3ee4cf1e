//! `skirl generate --to kafka://...`: streams as topics.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use skirl_generator::pace::PaceSpec;
use skirl_generator::target::kafka::{KeyColumn, SendPace, SendRequest, Sent, Timestamps, send};
use skirl_generator::{Bars, Format, StreamSpec};
use skirl_kafka::{Address, Existing};

use crate::cli::kafka::{Interrupt, KafkaArgs, MachineClock, achieved};
use crate::cli::out;

/// How streams become topics.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kafka")]
pub struct ToKafka {
    /// The column rows are partitioned by; without, `district`, else the first column of texts.
    #[arg(long, value_name = "COLUMN", conflicts_with = "no_key")]
    key: Option<String>,

    /// Rows have no key and go to any partition.
    #[arg(long)]
    no_key: bool,

    /// Partitions of a topic that is made; a topic that is there must have as many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// A setting of a topic that is made, such as retention.ms=-1.
    #[arg(long, value_name = "NAME=VALUE")]
    topic_setting: Vec<String>,

    /// Rows a second, such as 50k/s, or a pace: bursts,burst_rate=50k,every=10s,lasts=1s or ramp,0s=1k,30s=50k; without,
    /// as fast as it goes.
    #[arg(long, value_name = "RATE", value_parser = skirl_generator::pace::parse_rate, conflicts_with = "speed")]
    rate: Option<PaceSpec>,

    /// Send rows when they arrive in the stream's own time, so many times as fast.
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    speed: Option<f64>,

    /// The time Kafka keeps with a row: of sending (now), or of its arrival in the stream's own time (original).
    #[arg(long, value_name = "WHICH", default_value = "now", value_parser = timestamps)]
    timestamps: Timestamps,

    /// Add rows to topics that are there already.
    #[arg(long)]
    allow_existing: bool,

    #[command(flatten)]
    kafka: KafkaArgs,
}

impl ToKafka {
    /// An option that was given, if one was: they all say something about Kafka.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            (self.key.is_some(), "--key"),
            (self.no_key, "--no-key"),
            (self.partitions.is_some(), "--partitions"),
            (!self.topic_setting.is_empty(), "--topic-setting"),
            (self.rate.is_some(), "--rate"),
            (self.speed.is_some(), "--speed"),
            (self.timestamps != Timestamps::Now, "--timestamps"),
            (self.allow_existing, "--allow-existing"),
            (self.kafka.is_given(), "--kafka-properties"),
        ];
        given.into_iter().find_map(|(given, option)| given.then_some(option))
    }

    /// Sends the streams to the topics that `to` names, and says what became of them.
    pub(super) fn execute(
        self,
        to: &str,
        specs: Vec<(String, StreamSpec)>,
        seed: u64,
        format: Format,
    ) -> Result<ExitCode> {
        let (bootstrap, topics) = topics_of(to, &specs)?;
        let request = SendRequest {
            topics,
            seed,
            format,
            properties: self.kafka.properties(&bootstrap)?,
            partitions: self.partitions,
            settings: crate::cli::kafka::settings(&self.topic_setting)?,
            existing: if self.allow_existing {
                Existing::Allow
            } else {
                Existing::Refuse
            },
            key: match (self.key, self.no_key) {
                (Some(column), _) => KeyColumn::Named(column),
                (None, true) => KeyColumn::None,
                (None, false) => KeyColumn::Usual,
            },
            pace: match (&self.rate, self.speed) {
                (Some(rate), _) => SendPace::Rate(rate.clone()),
                (None, Some(speed)) => SendPace::Own { speed },
                (None, None) => SendPace::Unlimited,
            },
            timestamps: self.timestamps,
            specs,
        };
        let (clock, interrupt) = (MachineClock::start(), Interrupt::listen()?);
        let sent = send(&request, &clock, &|| interrupt.is_raised(), &mut Bars::default())?;
        out::print(described(&sent, &request.pace))?;
        Ok(ExitCode::from(u8::from(!sent.is_complete())))
    }
}

/// Brokers, and the topic of each stream: the one `to` names, with the stream's name for `{stream}` or where it names none.
fn topics_of(to: &str, specs: &[(String, StreamSpec)]) -> Result<(String, Vec<String>)> {
    let mut bootstrap = String::new();
    let mut topics = vec![];
    for (stream, _) in specs {
        let address: Address = to
            .replace("{stream}", stream)
            .parse()
            .map_err(|message: String| anyhow!(message))?;
        bootstrap = address.bootstrap;
        let topic = address.topic.unwrap_or_else(|| stream.clone());
        skirl_kafka::address::check_topic(&topic).map_err(|message| anyhow!("stream `{stream}`: {message}"))?;
        topics.push(topic);
    }
    Ok((bootstrap, topics))
}

pub(crate) fn timestamps(text: &str) -> Result<Timestamps, String> {
    match text {
        "now" => Ok(Timestamps::Now),
        "original" => Ok(Timestamps::Original),
        _ => Err(format!("`{text}` is neither `now` nor `original`")),
    }
}

pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!("`{text}` is no number above 0; write for example 10 or 0.5")),
    }
}

/// What was sent, what became of it, and how fast.
fn described(sent: &Sent, pace: &SendPace) -> String {
    let mut text = String::new();
    for stream in &sent.streams {
        text += &format!(
            "{} -> topic {} ({} partitions): {} rows, {} bytes\n{}\n",
            stream.name, stream.topic, stream.partitions, stream.rows, stream.bytes, stream.card
        );
    }
    text += &achieved(&sent.outcome, &sent.ending, sent.lasted_us);
    if *pace != SendPace::Unlimited {
        text += &format!("at most {:.1} ms behind the pace\n", sent.behind_us as f64 / 1e3);
    }
    text
}
