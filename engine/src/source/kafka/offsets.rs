//! How far partitions are read, as Spark's offset log says it: `{"scotsmen":{"0":12,"1":7}}`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::super::Offset;
use crate::{Error, Result};

/// A partition of a topic; shown as Kafka's tools show it, `scotsmen-0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: String,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Partition `partition` of `topic`.
    pub fn new(topic: &str, partition: i32) -> Self {
        TopicPartition {
            topic: topic.to_string(),
            partition,
        }
    }

    pub(super) fn is_of(&self, span: &skirl_kafka::Span) -> bool {
        self.partition == span.partition && self.topic == span.topic
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// For each partition the offset of the row that comes next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<TopicPartition, i64>);

impl Offsets {
    /// The offset of a partition.
    pub fn get(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Partitions and offsets, by topic and number.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.0.iter().map(|(partition, offset)| (partition, *offset))
    }

    /// The partitions of one topic, by number.
    pub fn of_topic(&self, topic: &str) -> BTreeMap<i32, i64> {
        let of_topic = self.iter().filter(|(partition, _)| partition.topic == topic);
        of_topic
            .map(|(partition, offset)| (partition.partition, offset))
            .collect()
    }

    /// The topics, by name.
    pub fn topics(&self) -> std::collections::BTreeSet<&str> {
        self.0.keys().map(|partition| partition.topic.as_str()).collect()
    }

    /// Reads what an offset log or an option says; `None` if it is something else.
    pub fn from_json(value: &Value) -> Option<Offsets> {
        let mut offsets = BTreeMap::new();
        for (topic, partitions) in value.as_object()? {
            for (partition, offset) in partitions.as_object()? {
                let partition = TopicPartition::new(topic, partition.parse().ok()?);
                offsets.insert(partition, offset.as_i64()?);
            }
        }
        Some(Offsets(offsets))
    }

    /// The offsets as the offset log has them, partitions in the order of their numbers.
    pub fn to_json(&self) -> Value {
        let mut topics = Map::new();
        for (partition, offset) in self.iter() {
            let topic = topics
                .entry(partition.topic.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(partitions) = topic {
                partitions.insert(partition.partition.to_string(), offset.into());
            }
        }
        Value::Object(topics)
    }

    pub(super) fn of(offset: &Offset) -> Result<Offsets> {
        Offsets::from_json(&offset.0).ok_or_else(|| {
            Error::Invalid(format!(
                "an offset of Kafka is like {{\"topic\":{{\"0\":12}}}}, found `{}`; the checkpoint is of another source",
                offset.0
            ))
        })
    }
}

impl FromIterator<(TopicPartition, i64)> for Offsets {
    fn from_iter<T: IntoIterator<Item = (TopicPartition, i64)>>(offsets: T) -> Self {
        Offsets(offsets.into_iter().collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// `"scotsmen-0 12, scotsmen-1 7"`, for tests.
    pub(in super::super) fn offsets(text: &str) -> Offsets {
        let each = |part: &str| {
            let (name, offset) = part.trim().split_once(' ').expect("a partition and an offset");
            let (topic, partition) = name.rsplit_once('-').expect("a topic and a number");
            (
                TopicPartition::new(topic, partition.parse().unwrap()),
                offset.parse().unwrap(),
            )
        };
        text.split(',')
            .filter(|part| !part.trim().is_empty())
            .map(each)
            .collect()
    }

    #[test]
    fn offsets_are_written_as_spark_writes_them_and_read_back() {
        let known = offsets("b-0 5, a-10 1, a-2 -2");
        let json = known.to_json();
        assert_eq!(json.to_string(), r#"{"a":{"2":-2,"10":1},"b":{"0":5}}"#);
        assert_eq!(Offsets::from_json(&json), Some(known));
    }

    #[test]
    fn what_is_no_offset_of_kafka_is_told_apart() {
        for value in [
            json!({"logOffset": 3}),
            json!(5),
            json!({"a": {"x": 1}}),
            json!({"a": {"0": 1.5}}),
        ] {
            assert_eq!(Offsets::from_json(&value), None, "{value}");
        }
        let error = Offsets::of(&Offset(json!({"logOffset": 3}))).unwrap_err();
        insta::assert_snapshot!(error, @r#"an offset of Kafka is like {"topic":{"0":12}}, found `{"logOffset":3}`; the checkpoint is of another source"#);
    }
}
