//! `skirl record`: Kafka topics into a trace.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use arrow::datatypes::SchemaRef;
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressBar};
use skirl_generator::parse_rows;
use skirl_generator::spec::{Cut, Micros, Time};
use skirl_kafka::Address;

use super::kafka::{Interrupt, KafkaArgs, MachineClock};
use super::out;
use crate::recording::{Ended, Offsets, RecordRequest, Recorded, Start, Until, record};
use crate::scenario::{format_schema, parse_schema};

/// Record Kafka topics into a trace.
#[derive(Debug, Args)]
pub struct Record {
    /// The brokers, and perhaps the one topic.
    #[arg(long, value_name = "kafka://HOST:PORT")]
    from: String,

    /// The topics; each becomes a stream.
    #[arg(long, value_name = "TOPIC,...", value_delimiter = ',')]
    topics: Vec<String>,

    /// The directory of the trace.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Where to begin: earliest, latest, a time, or offsets as Spark writes them, {"scotsmen":{"0":12,"1":-2}}; without,
    /// latest, or earliest where `--until-end` or `--until-offsets` says where to end.
    #[arg(long, value_name = "WHERE")]
    start: Option<String>,

    /// End after this time.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    lasts: Option<Micros>,

    /// End after so many records.
    #[arg(long, value_name = "N", value_parser = parse_rows)]
    rows: Option<u64>,

    /// End where the topics end when the recording begins.
    #[arg(long, conflicts_with = "until_offsets")]
    until_end: bool,

    /// End before these offsets, as Spark writes them; partitions that are not named, where they end now.
    #[arg(long, value_name = "JSON", value_parser = offsets)]
    until_offsets: Option<Offsets>,

    /// A micro-batch for every such span of timestamps, or for so many records of all topics together.
    #[arg(long, value_name = "SPAN|N", default_value = "1s", value_parser = Cut::parse)]
    batch: Cut,

    /// The columns of a topic's values; without, they are inferred from the first 10,000 and shown.
    #[arg(long, value_name = "TOPIC=DDL")]
    schema: Vec<String>,

    /// Keep values as bytes and read none as rows.
    #[arg(long, conflicts_with = "schema")]
    bytes_only: bool,

    #[command(flatten)]
    kafka: KafkaArgs,
}

impl Record {
    /// Records, and says what came. 0: ended as asked; 1: it could not go on, and kept what there was.
    pub fn execute(self) -> Result<ExitCode> {
        let request = self.into_request()?;
        let (clock, interrupt) = (MachineClock::start(), Interrupt::listen()?);
        let bar = ProgressBar::new_spinner();
        let recorded = record(&request, &clock, &|| interrupt.is_raised(), &mut |records, bytes| {
            bar.set_message(format!("{} records, {}", HumanCount(records), HumanBytes(bytes)));
            bar.tick();
        });
        bar.finish_and_clear();
        let recorded = recorded?;
        out::print(described(&recorded, &request))?;
        Ok(ExitCode::from(u8::from(matches!(recorded.ended, Ended::Trouble(_)))))
    }

    fn into_request(self) -> Result<RecordRequest> {
        let address: Address = self.from.parse().map_err(|message: String| anyhow!(message))?;
        let topics = match (address.topic, self.topics) {
            (None, topics) => topics,
            (Some(topic), topics) if topics.is_empty() => vec![topic],
            (Some(topic), _) => bail!("`--from` names the topic `{topic}` and `--topics` others; name all there"),
        };
        let bounded = self.until_end || self.until_offsets.is_some();
        let start = match self.start.as_deref() {
            Some(start) => start_of(start)?,
            None if bounded => Start::Earliest,
            None => Start::Latest,
        };
        Ok(RecordRequest {
            properties: self.kafka.properties(&address.bootstrap)?,
            schemas: self
                .schema
                .iter()
                .map(|schema| schema_of(schema))
                .collect::<Result<_>>()?,
            topics,
            start,
            until: Until {
                lasts_us: self.lasts.map(|lasts| lasts.0),
                records: self.rows,
                offsets: self.until_offsets.or(self.until_end.then(Offsets::new)),
            },
            directory: self.to,
            cut: self.batch,
            bytes_only: self.bytes_only,
        })
    }
}

fn start_of(text: &str) -> Result<Start> {
    Ok(match text {
        "earliest" => Start::Earliest,
        "latest" => Start::Latest,
        json if json.starts_with('{') => {
            Start::Offsets(offsets(json).map_err(|message| anyhow!("--start: {message}"))?)
        }
        time => match Time::parse(time) {
            Ok(time) => Start::AtTime(time.0.div_euclid(1_000)),
            Err(_) => bail!(
                "`{time}` is no place to begin; write `earliest`, `latest`, a time such as 2024-12-03T10:00:00Z, or offsets \
                 such as {{\"scotsmen\":{{\"0\":12}}}}"
            ),
        },
    })
}

/// Offsets by topic and partition, as Spark's options and offset log have them.
fn offsets(json: &str) -> Result<Offsets, String> {
    let wrong = |why: &str| {
        format!("`{json}` holds no offsets: {why}; write for example {{\"scotsmen\":{{\"0\":12,\"1\":-1}}}}")
    };
    let parsed: BTreeMap<String, BTreeMap<String, i64>> =
        serde_json::from_str(json).map_err(|error| wrong(&error.to_string()))?;
    let mut offsets = Offsets::new();
    for (topic, partitions) in parsed {
        let of_topic = offsets.entry(topic).or_default();
        for (partition, offset) in partitions {
            let number = partition
                .parse()
                .map_err(|_| wrong(&format!("`{partition}` is no partition")))?;
            if offset < -2 {
                return Err(wrong(&format!("{offset} is no offset")));
            }
            of_topic.insert(number, offset);
        }
    }
    Ok(offsets)
}

fn span(text: &str) -> Result<Micros, String> {
    match Micros::parse(text)? {
        span if span.0 > 0 => Ok(span),
        _ => Err(format!("`{text}` is not longer than nothing")),
    }
}

fn schema_of(argument: &str) -> Result<(String, SchemaRef)> {
    let Some((topic, ddl)) = argument.split_once('=') else {
        bail!("`--schema {argument}` has no topic and columns; write `--schema scotsmen='district STRING, n INT'`");
    };
    let schema =
        parse_schema(ddl).map_err(|wrong| anyhow!("schema of `{topic}`: {}; {}", wrong.message, wrong.help))?;
    Ok((topic.to_string(), schema))
}

/// What was recorded, and how a scenario reads it.
fn described(recorded: &Recorded, request: &RecordRequest) -> String {
    let mut text = String::new();
    for stream in &recorded.streams {
        text += &format!(
            "topic {} ({} partitions) -> stream {}: {} records\n",
            stream.topic, stream.partitions, stream.name, stream.records
        );
        match (&stream.schema, &stream.remark) {
            (Some((schema, true)), _) => {
                text += &format!(
                    "  columns inferred; to fix them: --schema {}='{}'\n",
                    stream.topic,
                    format_schema(schema)
                );
            }
            (_, Some(remark)) => text += &format!("  {remark}\n"),
            _ => {}
        }
    }
    text += &format!(
        "{} micro-batch{} in {}\n",
        recorded.micro_batches,
        if recorded.micro_batches == 1 { "" } else { "es" },
        request.directory.display()
    );
    match &recorded.ended {
        Ended::Interrupted => text += "interrupted; the trace is complete up to there\n",
        Ended::Trouble(trouble) => text += &format!("could not go on: {trouble}\nthe trace is complete up to there\n"),
        Ended::Time | Ended::Records | Ended::Offsets => {}
    }
    if let Some(trouble) = &recorded.trouble {
        text += &format!("heard on the way: {trouble}\n");
    }
    text
}
