//! What the commands that talk to Kafka have in common: addresses, properties, the machine's clock, Ctrl-C.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use skirl_generator::target::kafka::{Clock, Ending};
use skirl_kafka::{Address, Outcome, Properties};

use super::out::quoted;

/// The address a place is, if it is one of Kafka's.
pub fn address_of(place: &str) -> Result<Option<Address>> {
    if !place.starts_with("kafka://") {
        return Ok(None);
    }
    place.parse().map(Some).map_err(|message: String| anyhow!(message))
}

/// What a place is that is no address of Kafka's: a directory or a file, if it names no other scheme, such as a mistyped one.
pub fn path_of(place: &str) -> Result<PathBuf> {
    if place.contains("://") || place.starts_with("kafka:") {
        bail!(
            "`{}` is no path and no Kafka address; write `kafka://host:port/topic`",
            skirl_kafka::address::shown(place)
        );
    }
    Ok(PathBuf::from(place))
}

/// Brokers, and a topic perhaps: `host:port`, `kafka://host:port` or `kafka://host:port/topic`.
pub fn brokers_and_topic(text: &str) -> Result<Address, String> {
    match text.starts_with("kafka://") {
        true => text.parse(),
        false => format!("kafka://{text}").parse(),
    }
}

/// Brokers alone, as `host:port` or `kafka://host:port`.
pub fn brokers(text: &str) -> Result<Address, String> {
    let address = brokers_and_topic(text)?;
    match address.topic {
        None => Ok(address),
        Some(topic) => Err(format!("leave the topic `{topic}` out: topics are made for the run")),
    }
}

/// How to reach brokers.
#[derive(Debug, Clone, Default, Args)]
pub struct KafkaArgs {
    /// A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into
    /// the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are
    /// supported; OAUTHBEARER and Kerberos are not.
    #[arg(long, value_name = "FILE", help_heading = "Kafka")]
    kafka_properties: Option<PathBuf>,
}

impl KafkaArgs {
    /// Whether a file was named.
    pub fn is_given(&self) -> bool {
        self.kafka_properties.is_some()
    }

    /// The argument that names the file again, with a space before it; nothing if none was named.
    pub fn again(&self) -> String {
        let again = |file: &PathBuf| format!(" --kafka-properties {}", quoted(&file.to_string_lossy()));
        self.kafka_properties.as_ref().map_or_else(String::new, again)
    }

    /// The properties for these brokers: from the environment, and over it from the file.
    pub fn properties(&self, bootstrap: &str) -> Result<Properties> {
        let mut properties = Properties::new(bootstrap);
        properties.add_environment(std::env::vars())?;
        if let Some(file) = &self.kafka_properties {
            properties.add_file(file)?;
        }
        // Whoever names brokers on the command line means those.
        properties.set("bootstrap.servers", bootstrap)?;
        Ok(properties)
    }
}

/// `name=value` arguments as settings of a topic.
pub fn settings(arguments: &[String]) -> Result<BTreeMap<String, String>> {
    let mut settings = BTreeMap::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some((name, value)) if !name.is_empty() => settings.insert(name.to_string(), value.to_string()),
            _ => bail!("`{argument}` has no name and value; write for example `--topic-setting retention.ms=-1`"),
        };
    }
    Ok(settings)
}

/// What became of rows that took `lasted_us` microseconds to send and ended so, as lines.
pub fn achieved(outcome: &Outcome, ending: &Ending, lasted_us: i64) -> String {
    let seconds = (lasted_us as f64 / 1e6).max(1e-6);
    let rate = outcome.acknowledged as f64 / seconds;
    let mut text = format!(
        "{} rows acknowledged in {seconds:.2} s: {rate:.0} rows/s\n",
        outcome.acknowledged
    );
    for (reason, rows) in &outcome.failed {
        text += &format!("{rows} rows not written: {reason}\n");
    }
    if outcome.unknown > 0 {
        text += &format!(
            "{} rows neither acknowledged nor refused: they may be there or not; is the broker up?\n",
            outcome.unknown
        );
    }
    match ending {
        Ending::Complete => {}
        Ending::Interrupted => text += "interrupted before the last row\n",
        Ending::Trouble(trouble) => text += &format!("could not go on: {trouble}\n"),
    }
    text
}

/// The machine's clock: its time of day at the start, and from there on its steady clock, which nobody sets back.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock {
    started: Instant,
    started_us: i64,
}

impl MachineClock {
    /// The clock, from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "rates and spans of a recording are the machine's"
    )]
    pub fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        MachineClock {
            started: Instant::now(),
            started_us: i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX),
        }
    }
}

impl Clock for MachineClock {
    fn now_us(&self) -> i64 {
        self.started_us + i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// Whether somebody has pressed Ctrl-C. The first time asks for an end, the second ends the process.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let interrupt = Interrupt::default();
        let flag = Arc::clone(&interrupt.0);
        let end = move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        ctrlc::set_handler(end).context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// What says whether it was.
    pub fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// What says whether it was, for somebody else to keep.
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether it was.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
