//! What can go wrong between Skirl and a broker, each with what to do about it.
//!
//! No message repeats the value of a property: a mistyped name may well carry a password.

use rdkafka::types::RDKafkaErrorCode;

/// The result of talking to Kafka.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why Kafka could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A property librdkafka does not know or take.
    #[error("{0}")]
    Property(String),

    /// TLS or SCRAM asked of a build that has neither.
    #[error(
        "`{property}` needs TLS, which this build of skirl does not have; build it with `--features tls`, or take a released binary"
    )]
    NoTls {
        /// The property that asks for it, with its value (never a secret one).
        property: String,
    },

    /// The broker does not take the credentials or the certificate, or the client does not take the broker's.
    #[error("{bootstrap} does not let us in: {reason}; check {}", .check.join(", "))]
    Refused {
        /// The brokers asked.
        bootstrap: String,
        /// What librdkafka says.
        reason: String,
        /// The properties to look at.
        check: Vec<&'static str>,
    },

    /// No broker answered.
    #[error("no broker answers at {bootstrap} within {seconds} s{}; is one running there, and is the port that of its listener?", reason_of(.reason))]
    Unreachable {
        /// The brokers asked.
        bootstrap: String,
        /// How long it was tried.
        seconds: u64,
        /// What librdkafka said last, if anything.
        reason: Option<String>,
    },

    /// A topic that is not there.
    #[error("there is no topic `{topic}` at {bootstrap}{}", suggestion_of(.near))]
    NoSuchTopic {
        /// The topic asked for.
        topic: String,
        /// The brokers asked.
        bootstrap: String,
        /// A topic of a similar name.
        near: Option<String>,
    },

    /// A topic that was to be made, and is there.
    #[error(
        "topic `{topic}` is there already at {bootstrap}; choose another name, or add to it with `--allow-existing`"
    )]
    TopicExists {
        /// The topic.
        topic: String,
        /// The brokers asked.
        bootstrap: String,
    },

    /// A topic that does not keep rows of the timestamps they are to have.
    #[error(
        "`{setting}` of topic `{topic}` is {value}: {why}; send the rows with the time of sending, or to a topic with \
         another `{setting}`"
    )]
    Timestamps {
        /// The topic.
        topic: String,
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What would become of the rows.
        why: String,
    },

    /// An offset that is not in the log (any more).
    #[error(
        "offset {offset} of `{topic}`, partition {partition}, is not there any more: the log goes from {earliest} to {latest}"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
        /// The first offset there is.
        earliest: i64,
        /// The offset the next row will get.
        latest: i64,
    },

    /// A partition that stayed silent although it has rows.
    #[error("`{topic}`, partition {partition}, gave no row from offset {offset} on within {seconds} s{}", reason_of(.reason))]
    Silent {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset wanted.
        offset: i64,
        /// How long it was tried.
        seconds: u64,
        /// What librdkafka said last, if anything.
        reason: Option<String>,
    },

    /// Another producer took over the transactional id.
    #[error(
        "another producer has taken over the transactional id `{transactional_id}`: the same query seems to run twice; stop the \
         other one, or give this one a checkpoint of its own"
    )]
    Fenced {
        /// The transactional id.
        transactional_id: String,
    },

    /// A row that is larger than client or topic take.
    #[error(
        "a row of {bytes} bytes for `{topic}` is larger than is taken; raise `message.max.bytes` of the client and \
         `max.message.bytes` of the topic, or make rows smaller"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// Key and value together.
        bytes: usize,
    },

    /// Anything else.
    #[error("cannot {doing}: {reason}")]
    Kafka {
        /// What was tried.
        doing: String,
        /// librdkafka's code.
        code: RDKafkaErrorCode,
        /// What librdkafka says.
        reason: String,
    },
}

impl Error {
    pub(crate) fn new(doing: impl Into<String>, code: RDKafkaErrorCode, reason: impl Into<String>) -> Self {
        Error::Kafka {
            doing: doing.into(),
            code,
            reason: reason.into(),
        }
    }

    /// librdkafka's code, for errors that are nothing else.
    pub fn code(&self) -> Option<RDKafkaErrorCode> {
        match self {
            Error::Kafka { code, .. } => Some(*code),
            _ => None,
        }
    }
}

fn reason_of(reason: &Option<String>) -> String {
    reason
        .as_ref()
        .map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn suggestion_of(near: &Option<String>) -> String {
    near.as_ref()
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}
