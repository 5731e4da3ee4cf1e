//! The topics a query reads, and what is there of them.

use std::collections::{BTreeMap, BTreeSet};

use skirl_kafka::{Admin, TopicId};

use super::offsets::TopicPartition;
use super::pattern::TopicPattern;

/// Topics of Kafka's own, which nobody subscribes to.
const INTERNAL: &[&str] = &["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Which topics and partitions are read.
#[derive(Debug, Clone)]
pub(super) enum Topics {
    /// `subscribe`: all partitions of some topics.
    Subscribed(BTreeSet<String>),
    /// `subscribePattern`: all partitions of topics with such names.
    Pattern(TopicPattern),
    /// `assign`: some partitions.
    Assigned(BTreeSet<TopicPartition>),
}

/// Topics that were wanted, as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The id of each topic that is there.
    pub ids: BTreeMap<String, TopicId>,
    /// Its partitions, as far as they are wanted.
    pub partitions: BTreeSet<TopicPartition>,
    /// What was asked for by name and is not there: topics, and partitions that were assigned.
    pub missing: Vec<String>,
}

impl Topics {
    /// Looks for the topics.
    ///
    /// # Errors
    /// No answer, no right to see one of them.
    pub(super) fn find(&self, admin: &Admin) -> skirl_kafka::Result<Found> {
        let names: BTreeSet<String> = match self {
            Topics::Subscribed(names) => names.clone(),
            Topics::Pattern(pattern) => {
                let names = admin.topic_names()?.into_iter();
                names.filter(|name| pattern.is_in(name)).collect()
            }
            Topics::Assigned(partitions) => partitions.iter().map(|partition| partition.topic.clone()).collect(),
        };
        let asked: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| !INTERNAL.contains(name))
            .collect();
        let mut found = Found::default();
        for (name, topic) in admin.describe(&asked)? {
            let Some(topic) = topic else {
                found.missing.push(name);
                continue;
            };
            let numbers = topic.partitions.iter().map(|partition| partition.id);
            let partitions = numbers.map(|number| TopicPartition::new(&name, number));
            found
                .partitions
                .extend(partitions.filter(|partition| self.has(partition)));
            found.ids.insert(name, topic.id);
        }
        if let Topics::Assigned(partitions) = self {
            let unknown = partitions
                .iter()
                .filter(|p| found.ids.contains_key(&p.topic) && !found.partitions.contains(p));
            found.missing.extend(unknown.map(ToString::to_string));
        }
        // A topic of a pattern may go between the two questions.
        if matches!(self, Topics::Pattern(_)) {
            found.missing.clear();
        }
        Ok(found)
    }

    /// Whether a partition is wanted, if it is there.
    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        match self {
            Topics::Subscribed(names) => names.contains(&partition.topic),
            Topics::Pattern(pattern) => pattern.is_in(&partition.topic),
            Topics::Assigned(partitions) => partitions.contains(partition),
        }
    }

    /// Whether a partition of this name, `scotsmen-0`, is assigned.
    pub(super) fn has_partition_named(&self, name: &str) -> bool {
        matches!(self, Topics::Assigned(partitions) if partitions.iter().any(|partition| partition.to_string() == name))
    }

    /// As Spark's progress calls it: `Subscribe[scotsmen, bagpipe]`.
    pub(super) fn describe(&self) -> String {
        let list = |names: Vec<String>| names.join(", ");
        match self {
            Topics::Subscribed(names) => format!("Subscribe[{}]", list(names.iter().cloned().collect())),
            Topics::Pattern(pattern) => format!("SubscribePattern[{}]", pattern.text()),
            Topics::Assigned(partitions) => {
                format!("Assign[{}]", list(partitions.iter().map(ToString::to_string).collect()))
            }
        }
    }
}
