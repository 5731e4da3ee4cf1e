//! Topics, their ids and settings, and offsets by name or time.
//!
//! What is asked of a cluster stands here; how each request is put to librdkafka, in `native/request.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::native::{Handle, Role, key_of};
use crate::properties::Properties;
use crate::reader::Isolation;

/// How long a request may take before it is given up.
pub(crate) const REQUEST_WAIT: Duration = Duration::from_secs(15);
/// How long one wait may block before refusals are looked for.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// A client for topics and offsets.
pub struct Admin {
    pub(crate) handle: Handle,
    properties: Properties,
}

/// A topic as the cluster has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What tells it from another topic that had the name before.
    pub id: TopicId,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number, from 0.
    pub id: i32,
    /// The broker that leads it; none while an election is under way.
    pub leader: Option<i32>,
    /// The brokers that hold it; the first is the preferred leader.
    pub replicas: Vec<i32>,
}

/// A topic's id: another one each time a topic is made. Shown as Kafka shows it, in base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub String);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions, at least 1.
    pub partitions: i32,
    /// On how many brokers each; `None`: the cluster's default.
    pub replication: Option<i32>,
    /// Its settings, by Kafka's names (`retention.bytes`).
    pub settings: BTreeMap<String, String>,
}

/// A place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The first row there is.
    Earliest,
    /// After the last row a reader of the isolation level may see.
    Latest,
    /// The first row with a timestamp of so many milliseconds since 1970-01-01T00:00:00 UTC, or later.
    AtTime(i64),
}

impl Admin {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// No answer, refused credentials or certificates, properties that are not taken.
    pub fn connect(properties: &Properties) -> Result<Self> {
        Ok(Admin {
            handle: Handle::connect(properties, Role::Producer)?,
            properties: properties.clone(),
        })
    }

    /// The same as a reader of `group`, which it never joins.
    ///
    /// Where a broker answers that it does not coordinate a group, librdkafka looks for the one that does on behalf of the
    /// client's own group; without one it dereferences a null pointer (rd_kafka_handle_OffsetFetch, in 2.12).
    fn of_group(&self, group: &str) -> Result<Self> {
        let mut properties = self.properties.clone();
        properties.set("group.id", group)?;
        properties.set("enable.auto.commit", "false")?;
        Ok(Admin {
            handle: Handle::connect(&properties, Role::Consumer)?,
            properties,
        })
    }

    /// The brokers first asked.
    pub fn bootstrap(&self) -> &str {
        self.handle.bootstrap()
    }

    /// One topic that must be there.
    ///
    /// # Errors
    /// As [`Admin::describe`]; a topic that is not there, with the nearest name that is.
    pub fn topic(&self, name: &str) -> Result<Topic> {
        match self.describe(&[name])?.remove(name).flatten() {
            Some(topic) => Ok(topic),
            None => Err(self.no_such_topic(name)),
        }
    }

    /// The error for a topic that is not there.
    pub fn no_such_topic(&self, name: &str) -> Error {
        let known = self.topic_names().unwrap_or_default();
        let nearest = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(known, name), known))
            .filter(|(distance, _)| *distance <= 1 + name.len() / 4)
            .min();
        Error::NoSuchTopic {
            topic: name.to_string(),
            bootstrap: self.bootstrap().to_string(),
            near: nearest.map(|(_, known)| known.clone()),
        }
    }

    /// Where places are: an offset for each, in the order asked. A time after the last row has none.
    ///
    /// # Errors
    /// A partition that is not there, no answer.
    pub fn offsets(&self, places: &[(&str, i32, Position)], isolation: Isolation) -> Result<Vec<Option<i64>>> {
        let mut found = BTreeMap::new();
        // A request takes each partition once; places of one partition go to requests of their own.
        let mut left: Vec<&(&str, i32, Position)> = places.iter().collect();
        while !left.is_empty() {
            let mut seen = BTreeSet::new();
            let (now, later): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(topic, id, _)| seen.insert((*topic, *id)));
            for (topic, id, offset) in self.settled(|| self.all_offsets(&now, isolation))? {
                let asked = now.iter().find(|(t, p, _)| *t == topic && *p == id);
                let (topic, id, position) = asked.expect("only what was asked for is answered");
                found.insert((*topic, *id, key_of(*position)), offset);
            }
            left = later;
        }
        let offset = |(topic, id, position): &(&str, i32, Position)| {
            let offset = found.get(&(*topic, *id, key_of(*position))).copied();
            offset.filter(|offset| *offset >= 0)
        };
        Ok(places.iter().map(offset).collect())
    }

    /// An offset of each place, or an error: of a partition without a leader there may be no word in an answer.
    fn all_offsets(&self, places: &[&(&str, i32, Position)], isolation: Isolation) -> Result<Vec<(String, i32, i64)>> {
        let found = self.list_offsets(places, isolation)?;
        if found.len() < places.len() {
            return Err(Error::new(
                "look up offsets",
                RDKafkaErrorCode::LeaderNotAvailable,
                format!("of {} partitions {} were answered", places.len(), found.len()),
            ));
        }
        Ok(found)
    }

    /// What `request` answers once the partitions have the leaders the client takes for theirs: after an election or a
    /// broker's restart that takes a moment.
    fn settled<T>(&self, request: impl Fn() -> Result<T>) -> Result<T> {
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            match request() {
                Err(error) if awaits_leader(&error) && !deadline.has_passed() => {
                    self.brokers()?; // asks for the cluster's metadata, and so learns of new leaders
                    self.handle.serve(SLICE, |_| ());
                }
                answer => return answer,
            }
        }
    }

    /// The offset a group has committed for a partition, and the note kept with it; transactions that are under way are
    /// waited for.
    ///
    /// # Errors
    /// No answer.
    pub fn committed(&self, group: &str, topic: &str, partition: i32) -> Result<Option<(i64, String)>> {
        let asking = self.of_group(group)?;
        let deadline = Deadline::after(REQUEST_WAIT);
        loop {
            let found = asking.ask_committed(group, topic, partition);
            let code = found.as_ref().err().and_then(Error::code);
            // Groups that were not asked for lately take the cluster a moment to find.
            let is_looking = code.is_some_and(|code| {
                use RDKafkaErrorCode::*;
                matches!(
                    code,
                    CoordinatorLoadInProgress | CoordinatorNotAvailable | NotCoordinator
                )
            });
            if !is_looking || deadline.has_passed() {
                return found;
            }
            asking.handle.serve(SLICE, |_| ());
        }
    }
}

/// Whether a request went to a broker that does not lead a partition yet, or any more.
fn awaits_leader(error: &Error) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        error.code(),
        Some(FencedLeaderEpoch | UnknownLeaderEpoch | NotLeaderForPartition | LeaderNotAvailable | OffsetNotAvailable)
    )
}
