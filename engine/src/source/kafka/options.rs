//! The options of Spark's Kafka source: read once, mistakes told as Spark tells them, with what to write instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use skirl_kafka::{Isolation, Properties};

use super::limit::Limits;
use super::offsets::{Offsets, TopicPartition};
use super::pattern::TopicPattern;
use super::topics::Topics;
use crate::format::options::Options;
use crate::{Error, Result};

/// Spark's default of `kafkaConsumer.pollTimeoutMs`: its network timeout.
const POLL_TIMEOUT_MS: u64 = 120_000;
/// Spark's default of `maxTriggerDelay`.
const MAX_TRIGGER_DELAY: &str = "15m";
/// What a consumer is called to the broker; no group is ever joined.
const GROUP_ID: &str = "skirl-kafka-source";

/// In an option, the offset that means the end of a partition.
pub(super) const LATEST: i64 = -1;
/// In an option, the offset that means its beginning.
pub(super) const EARLIEST: i64 = -2;

/// How a source over Kafka is set up.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub properties: Properties,
    pub isolation: Isolation,
    pub topics: Topics,
    pub start: Bound,
    pub limits: Limits,
    pub fail_on_data_loss: bool,
    pub include_headers: bool,
    /// How long a partition may be silent that has rows.
    pub patience: Duration,
    /// How often offsets are asked for, and how long is waited in between.
    pub attempts: u32,
    pub retry_wait: Duration,
    pub remarks: Vec<String>,
}

/// Where reading begins, or a batch query ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bound {
    Earliest,
    Latest,
    /// Offsets of all partitions, [`EARLIEST`] and [`LATEST`] among them.
    At(Offsets),
    /// The first row of a time or later, in milliseconds since 1970-01-01T00:00:00 UTC.
    Since(i64, NoMatch),
    /// The same, a time for each partition.
    SinceEach(Offsets, NoMatch),
}

/// What happens where no row is of a starting time or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMatch {
    Error,
    Latest,
}

impl Settings {
    /// The settings of a stream. `properties` hold for whatever `options` do not say as `kafka.*`.
    ///
    /// # Errors
    /// What Spark refuses, in its words; an unknown property, with the nearest that is known.
    pub(super) fn of_stream(properties: &Properties, given: &BTreeMap<String, String>) -> Result<Settings> {
        let mut options = Options::new(given);
        for (option, what) in [("endingOffsets", "offset"), ("endingOffsetsByTimestamp", "timestamp")] {
            if options.text(option).is_some() {
                return Err(Error::nameless(format!("ending {what} not valid in streaming queries")));
            }
        }
        let limits = Limits {
            min_rows: count(&mut options, "minOffsetsPerTrigger")?,
            max_delay_ms: duration_ms(&options.text_or("maxTriggerDelay", MAX_TRIGGER_DELAY))?,
            max_rows: count(&mut options, "maxOffsetsPerTrigger")?,
        };
        if let (Some(min), Some(max)) = (limits.min_rows, limits.max_rows)
            && min > max
        {
            return Err(Error::nameless(format!(
                "The value of minOffsetPerTrigger({min}) is higher than the maxOffsetsPerTrigger({max})."
            )));
        }
        let start = bound(&mut options, "starting", Bound::Latest)?;
        Settings::read(properties, options, start, limits)
    }

    /// The settings of a batch query, and where it ends.
    ///
    /// # Errors
    /// As [`Settings::of_stream`].
    pub(super) fn of_batch(properties: &Properties, given: &BTreeMap<String, String>) -> Result<(Settings, Bound)> {
        let mut options = Options::new(given);
        let start = bound(&mut options, "starting", Bound::Earliest)?;
        let end = bound(&mut options, "ending", Bound::Latest)?;
        check_batch(&start, &end)?;
        let mut ignored = Vec::new();
        for option in ["maxOffsetsPerTrigger", "minOffsetsPerTrigger", "maxTriggerDelay"] {
            if options.text(option).is_some() {
                ignored.push(format!("{option} option ignored in batch queries"));
            }
        }
        let limits = Limits {
            min_rows: None,
            max_delay_ms: 0,
            max_rows: None,
        };
        let mut settings = Settings::read(properties, options, start, limits)?;
        settings.remarks.extend(ignored);
        Ok((settings, end))
    }

    fn read(properties: &Properties, mut options: Options, start: Bound, limits: Limits) -> Result<Settings> {
        let topics = topics(&mut options)?;
        for option in ["minPartitions", "maxRecordsPerPartition"] {
            options.positive(option)?; // they cut Spark's tasks, and change no result
        }
        let mut remarks = Vec::new();
        let (properties, isolation) = client(properties, &mut options, &mut remarks)?;
        let number = |text: Option<String>, name: &str, default: u64| match text.as_deref().map(str::trim) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                Error::nameless(format!(
                    "option `{name}` is `{text}`; write a whole number of 0 or more"
                ))
            }),
        };
        let poll_timeout_ms = number(
            options.text("kafkaConsumer.pollTimeoutMs"),
            "kafkaConsumer.pollTimeoutMs",
            POLL_TIMEOUT_MS,
        )?;
        let attempts = number(options.text("fetchOffset.numRetries"), "fetchOffset.numRetries", 3)?;
        let wait_ms = number(
            options.text("fetchOffset.retryIntervalMs"),
            "fetchOffset.retryIntervalMs",
            1_000,
        )?;
        let settings = Settings {
            properties,
            isolation,
            topics,
            start,
            limits,
            fail_on_data_loss: options.flag("failOnDataLoss", true)?,
            include_headers: options.flag("includeHeaders", false)?,
            patience: Duration::from_millis(poll_timeout_ms),
            attempts: u32::try_from(attempts).unwrap_or(u32::MAX).max(1),
            retry_wait: Duration::from_millis(wait_ms),
            remarks,
        };
        Ok(Settings {
            remarks: [settings.remarks, options.remarks()].concat(),
            ..settings
        })
    }
}

/// Which topics are read: exactly one of three options says.
fn topics(options: &mut Options) -> Result<Topics> {
    let assign = options.text("assign");
    let subscribe = options.text("subscribe");
    let pattern = options.text("subscribePattern");
    const ALL: &str = "subscribe, subscribepattern, assign. See the docs for more details.";
    match (assign, subscribe, pattern) {
        (Some(text), None, None) => assigned(&text),
        (None, Some(text), None) => {
            let topics: BTreeSet<String> = text
                .split(',')
                .map(str::trim)
                .filter(|topic| !topic.is_empty())
                .map(str::to_string)
                .collect();
            if topics.is_empty() {
                return Err(Error::nameless(format!(
                    "No topics to subscribe to as specified value for option 'subscribe' is '{text}'"
                )));
            }
            for topic in &topics {
                skirl_kafka::address::check_topic(topic).map_err(Error::Invalid)?;
            }
            Ok(Topics::Subscribed(topics))
        }
        (None, None, Some(text)) => {
            if text.trim().is_empty() {
                return Err(Error::nameless(format!(
                    "Pattern to subscribe is empty as specified value for option 'subscribePattern' is '{text}'"
                )));
            }
            Ok(Topics::Pattern(TopicPattern::new(text.trim())?))
        }
        (None, None, None) => Err(Error::nameless(format!(
            "One of the following options must be specified for Kafka source: {ALL}"
        ))),
        _ => Err(Error::nameless(format!(
            "Only one of the following options can be specified for Kafka source: {ALL}"
        ))),
    }
}

fn assigned(text: &str) -> Result<Topics> {
    if !text.trim().starts_with('{') {
        return Err(Error::nameless(format!(
            "No topicpartitions to assign as specified value for option 'assign' is '{text}'"
        )));
    }
    let read = || -> Option<BTreeSet<TopicPartition>> {
        let value: Value = serde_json::from_str(text).ok()?;
        let mut partitions = BTreeSet::new();
        for (topic, numbers) in value.as_object()? {
            for number in numbers.as_array()? {
                let number = i32::try_from(number.as_i64()?).ok()?;
                partitions.insert(TopicPartition::new(topic, number));
            }
        }
        Some(partitions)
    };
    let wrong = || {
        Error::nameless(format!(
            "Expected e.g. {{\"topicA\":[0,1],\"topicB\":[0,1]}}, got {text}"
        ))
    };
    read().map(Topics::Assigned).ok_or_else(wrong)
}

/// What `startingTimestamp`, `startingOffsetsByTimestamp` and `startingOffsets` say, the first of them that is given; the
/// same for `ending`.
fn bound(options: &mut Options, which: &str, default: Bound) -> Result<Bound> {
    let strategy = options.text("startingOffsetsByTimestampStrategy");
    let no_match = match strategy.map(|text| text.to_ascii_lowercase()).as_deref() {
        None | Some("error") => NoMatch::Error,
        Some("latest") => NoMatch::Latest,
        Some(other) => {
            return Err(Error::nameless(format!(
                "startingOffsetsByTimestampStrategy is `{other}`; write `error` or `latest`"
            )));
        }
    };
    // All are asked for, so that none counts as unknown.
    let time = options.text(&format!("{which}Timestamp"));
    let times = options.text(&format!("{which}OffsetsByTimestamp"));
    let offsets = options.text(&format!("{which}Offsets"));
    if let Some(time) = time {
        let wrong = || Error::nameless(format!("Expected a single long value, got {}", time.trim()));
        return Ok(Bound::Since(time.trim().parse().map_err(|_| wrong())?, no_match));
    }
    if let Some(times) = times {
        let example =
            "{\"topicA\": {\"0\": 123456789, \"1\": 123456789}, \"topicB\": {\"0\": 123456789, \"1\": 123456789}}";
        return Ok(Bound::SinceEach(by_partition(times.trim(), example)?, no_match));
    }
    match offsets.as_deref().map(str::trim) {
        None => Ok(default),
        Some(text) if text.eq_ignore_ascii_case("latest") => Ok(Bound::Latest),
        Some(text) if text.eq_ignore_ascii_case("earliest") => Ok(Bound::Earliest),
        Some(text) => {
            let example = "{\"topicA\":{\"0\":23,\"1\":-1},\"topicB\":{\"0\":-2}}";
            Ok(Bound::At(by_partition(text, example)?))
        }
    }
}

fn by_partition(text: &str, example: &str) -> Result<Offsets> {
    let value: Option<Value> = serde_json::from_str(text).ok();
    let offsets = value.and_then(|value| Offsets::from_json(&value));
    offsets.ok_or_else(|| Error::nameless(format!("Expected e.g. {example}, got {text}")))
}

/// What a batch query may not begin or end with.
fn check_batch(start: &Bound, end: &Bound) -> Result<()> {
    let any_at = |bound: &Bound, place: i64| match bound {
        Bound::At(offsets) => offsets
            .iter()
            .find(|(_, offset)| *offset == place)
            .map(|(p, _)| p.clone()),
        _ => None,
    };
    if *start == Bound::Latest {
        return Err(Error::nameless(
            "starting offset can't be latest for batch queries on Kafka",
        ));
    }
    if let Some(partition) = any_at(start, LATEST) {
        return Err(Error::nameless(format!(
            "startingOffsets for {partition} can't be latest for batch queries on Kafka"
        )));
    }
    if *end == Bound::Earliest {
        return Err(Error::nameless(
            "ending offset can't be earliest for batch queries on Kafka",
        ));
    }
    if let Some(partition) = any_at(end, EARLIEST) {
        return Err(Error::nameless(format!(
            "ending offset for {partition} can't be earliest for batch queries on Kafka"
        )));
    }
    match (start, end) {
        (Bound::At(start), Bound::At(end)) => check_order(start, end, "offset"),
        (Bound::SinceEach(start, _), Bound::SinceEach(end, _)) => check_order(start, end, "timestamp"),
        _ => Ok(()),
    }
}

fn check_order(start: &Offsets, end: &Offsets, what: &str) -> Result<()> {
    if !start.0.keys().eq(end.0.keys()) {
        let names = |offsets: &Offsets| offsets.0.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(Error::spark(
            "MISMATCHED_TOPIC_PARTITIONS_BETWEEN_START_OFFSET_AND_END_OFFSET",
            format!(
                "The specified start offset and end offset should have the same topic-partitions: start has {}, end has {}",
                names(start),
                names(end)
            ),
        ));
    }
    for ((partition, start), (_, end)) in start.iter().zip(end.iter()) {
        if start > end && start >= 0 && end >= 0 {
            return Err(Error::spark(
                "UNRESOLVED_START_OFFSET_GREATER_THAN_END_OFFSET",
                format!(
                    "The specified start {what} {start} is greater than the end {what} {end} for topic {} partition {}.",
                    partition.topic, partition.partition
                ),
            ));
        }
    }
    Ok(())
}

/// The properties of the clients, and what is read of transactions.
fn client(
    properties: &Properties,
    options: &mut Options,
    remarks: &mut Vec<String>,
) -> Result<(Properties, Isolation)> {
    let mut properties = properties.clone();
    let prefix = options.text("groupIdPrefix");
    let mut isolation = properties.get("isolation.level").map(str::to_string);
    for (name, value) in options.with_prefix("kafka.") {
        refuse_managed(&name)?;
        match name.as_str() {
            "isolation.level" => isolation = Some(value),
            _ => properties.set(&name, value)?,
        }
        if name == "group.id" {
            remarks.push(
                "kafka.group.id is what the broker knows the reader by, for its rights and quotas; no group is joined, and no \
                 offset is committed to it"
                    .to_string(),
            );
            if prefix.is_some() {
                remarks.push("groupIdPrefix is ignored, as kafka.group.id has been set".to_string());
            }
        }
    }
    if properties.bootstrap().is_empty() {
        return Err(Error::nameless(
            "Option 'kafka.bootstrap.servers' must be specified for configuring Kafka consumer",
        ));
    }
    properties.set_default("group.id", &prefix.unwrap_or_else(|| GROUP_ID.to_string()))?;
    // A topic that is deleted shows in seconds, not after half a minute.
    properties.set_default("topic.metadata.refresh.interval.ms", "1000")?;
    properties.set_default("topic.metadata.propagation.max.ms", "2000")?;
    // librdkafka waits a second before it fetches on once its queues were full; with many rows that second shows.
    properties.set_default("fetch.queue.backoff.ms", "20")?;
    properties.set_default("queued.min.messages", "400000")?;
    let isolation = match isolation {
        Some(text) => Isolation::parse(&text.to_ascii_lowercase()).map_err(Error::Invalid)?,
        None => Isolation::ReadUncommitted,
    };
    Ok((properties, isolation))
}

/// Properties of Kafka's consumer that are the source's own business.
fn refuse_managed(name: &str) -> Result<()> {
    let sentence = match name {
        "auto.offset.reset" => {
            "Kafka option 'auto.offset.reset' is not supported. Instead set the source option 'startingoffsets' to 'earliest' \
             or 'latest' to specify where to start; it only applies when a new query is started, and a resumed one goes on \
             from where it left off"
        }
        "key.deserializer" => {
            "Kafka option 'key.deserializer' is not supported as keys are deserialized as byte arrays; deserialize them in SQL"
        }
        "value.deserializer" => {
            "Kafka option 'value.deserializer' is not supported as values are deserialized as byte arrays; deserialize them in \
             SQL"
        }
        "enable.auto.commit" => "Kafka option 'enable.auto.commit' is not supported",
        "interceptor.classes" => "Kafka option 'interceptor.classes' is not supported",
        _ => return Ok(()),
    };
    Err(Error::nameless(sentence))
}

fn count(options: &mut Options, name: &str) -> Result<Option<i64>> {
    let count = options.positive(name)?;
    Ok(count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)))
}

/// Milliseconds of a duration as Spark's options have it: `15m`, `200ms`, a bare number for milliseconds.
fn duration_ms(text: &str) -> Result<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let (times, divided_by) = match unit.trim() {
        "" | "ms" => (1, 1),
        "us" => (1, 1_000),
        "s" => (1_000, 1),
        "m" | "min" => (60_000, 1),
        "h" => (3_600_000, 1),
        "d" => (86_400_000, 1),
        _ => (0, 1),
    };
    match number.parse::<i64>() {
        Ok(number) if times > 0 => Ok(number.saturating_mul(times) / divided_by),
        _ => Err(Error::nameless(format!(
            "option `maxTriggerDelay` is `{text}`; write a number and one of us, ms, s, m, min, h, d, as in `15m`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::offsets::tests::offsets;
    use super::*;

    fn given(options: &[(&str, &str)]) -> BTreeMap<String, String> {
        options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn stream(options: &[(&str, &str)]) -> Result<Settings> {
        Settings::of_stream(&Properties::new("h:1"), &given(options))
    }

    fn refused(options: &[(&str, &str)]) -> String {
        stream(options).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_those_of_spark() {
        let settings = stream(&[("subscribe", "scotsmen, bagpipe,")]).unwrap();
        assert_eq!(settings.start, Bound::Latest);
        assert_eq!(settings.isolation, Isolation::ReadUncommitted);
        assert!(settings.fail_on_data_loss && !settings.include_headers);
        assert_eq!(settings.limits.max_delay_ms, 15 * 60 * 1_000);
        assert_eq!((settings.attempts, settings.retry_wait.as_millis()), (3, 1_000));
        assert_eq!(settings.patience.as_secs(), 120);
        assert_eq!(settings.properties.get("group.id"), Some("skirl-kafka-source"));
        let (batch, end) = Settings::of_batch(&Properties::new("h:1"), &given(&[("subscribe", "t")])).unwrap();
        assert_eq!((batch.start, end), (Bound::Earliest, Bound::Latest));
    }

    #[test]
    fn of_several_starts_the_time_counts_first_and_offsets_last() {
        let all = [
            ("subscribe", "t"),
            ("startingOffsets", r#"{"t":{"0":-2,"1":7}}"#),
            ("startingOffsetsByTimestamp", r#"{"t":{"0":5,"1":6}}"#),
            ("startingTimestamp", " 4 "),
            ("startingOffsetsByTimestampStrategy", "Latest"),
        ];
        assert_eq!(stream(&all).unwrap().start, Bound::Since(4, NoMatch::Latest));
        let without_time: Vec<_> = [&all[..3], &all[4..]].concat();
        assert_eq!(
            stream(&without_time).unwrap().start,
            Bound::SinceEach(offsets("t-0 5, t-1 6"), NoMatch::Latest)
        );
        assert_eq!(stream(&all[..2]).unwrap().start, Bound::At(offsets("t-0 -2, t-1 7")));
        assert_eq!(
            stream(&[("subscribe", "t"), ("STARTINGOFFSETS", " Earliest ")])
                .unwrap()
                .start,
            Bound::Earliest
        );
    }

    #[test]
    fn kafka_s_properties_are_handed_on_and_secrets_stay_out_of_sight() {
        let settings = stream(&[
            ("subscribe", "t"),
            ("kafka.bootstrap.servers", "other:2"),
            ("kafka.isolation.level", "READ_COMMITTED"),
            ("kafka.sasl.password", "alice-pw"),
            ("kafka.fetch.max.wait.ms", "5"),
            ("groupIdPrefix", "mine"),
        ])
        .unwrap();
        assert_eq!(settings.properties.bootstrap(), "other:2");
        assert_eq!(settings.isolation, Isolation::ReadCommitted);
        assert_eq!(settings.properties.get("fetch.wait.max.ms"), Some("5"));
        assert_eq!(settings.properties.get("group.id"), Some("mine"));
        assert!(!format!("{settings:?}").contains("alice-pw"));
    }

    #[test]
    fn options_that_change_nothing_are_remarked_on() {
        let settings = stream(&[
            ("subscribe", "t"),
            ("kafka.group.id", "g"),
            ("groupIdPrefix", "p"),
            ("minPartitions", "8"),
            ("maxOffsetPerTrigger", "5"),
        ])
        .unwrap();
        insta::assert_snapshot!(settings.remarks.join("\n"), @r"
        kafka.group.id is what the broker knows the reader by, for its rights and quotas; no group is joined, and no offset is committed to it
        groupIdPrefix is ignored, as kafka.group.id has been set
        option `maxOffsetPerTrigger` is not known and changes nothing; did you mean `maxOffsetsPerTrigger`?
        ");
    }

    #[test]
    fn what_spark_refuses_is_refused_in_its_words() {
        let messages: Vec<String> = [
            vec![],
            vec![("subscribe", "t"), ("assign", "{}")],
            vec![("subscribe", " , ")],
            vec![("subscribePattern", " ")],
            vec![("assign", "t")],
            vec![("assign", r#"{"t":0}"#)],
            vec![("subscribe", "a b")],
            vec![("subscribe", "t"), ("startingOffsets", "lates")],
            vec![("subscribe", "t"), ("startingTimestamp", "soon")],
            vec![("subscribe", "t"), ("startingOffsetsByTimestamp", "5")],
            vec![("subscribe", "t"), ("startingOffsetsByTimestampStrategy", "x")],
            vec![("subscribe", "t"), ("endingOffsets", "latest")],
            vec![("subscribe", "t"), ("endingOffsetsByTimestamp", "{}")],
            vec![
                ("subscribe", "t"),
                ("minOffsetsPerTrigger", "9"),
                ("maxOffsetsPerTrigger", "8"),
            ],
            vec![("subscribe", "t"), ("maxOffsetsPerTrigger", "0")],
            vec![("subscribe", "t"), ("maxTriggerDelay", "a while")],
            vec![("subscribe", "t"), ("failOnDataLoss", "maybe")],
            vec![("subscribe", "t"), ("fetchOffset.numRetries", "-1")],
            vec![("subscribe", "t"), ("kafka.auto.offset.reset", "earliest")],
            vec![("subscribe", "t"), ("kafka.value.deserializer", "x")],
            vec![("subscribe", "t"), ("kafka.enable.auto.commit", "true")],
            vec![("subscribe", "t"), ("kafka.isolation.level", "serializable")],
            vec![("subscribe", "t"), ("kafka.sasl.pasword", "alice-pw")],
        ]
        .iter()
        .map(|options| refused(options))
        .collect();
        assert!(messages.iter().all(|message| !message.contains("alice-pw")));
        insta::assert_snapshot!(messages.join("\n"), @r##"
        One of the following options must be specified for Kafka source: subscribe, subscribepattern, assign. See the docs for more details.
        Only one of the following options can be specified for Kafka source: subscribe, subscribepattern, assign. See the docs for more details.
        No topics to subscribe to as specified value for option 'subscribe' is ' , '
        Pattern to subscribe is empty as specified value for option 'subscribePattern' is ' '
        No topicpartitions to assign as specified value for option 'assign' is 't'
        Expected e.g. {"topicA":[0,1],"topicB":[0,1]}, got {"t":0}
        `a b` is no topic name; it takes up to 249 letters, digits, `.`, `_` and `-`
        Expected e.g. {"topicA":{"0":23,"1":-1},"topicB":{"0":-2}}, got lates
        Expected a single long value, got soon
        Expected e.g. {"topicA": {"0": 123456789, "1": 123456789}, "topicB": {"0": 123456789, "1": 123456789}}, got 5
        startingOffsetsByTimestampStrategy is `x`; write `error` or `latest`
        ending offset not valid in streaming queries
        ending timestamp not valid in streaming queries
        The value of minOffsetPerTrigger(9) is higher than the maxOffsetsPerTrigger(8).
        invalid value `0` for option `maxOffsetsPerTrigger`, it must be a positive integer
        option `maxTriggerDelay` is `a while`; write a number and one of us, ms, s, m, min, h, d, as in `15m`
        failOnDataLoss flag can be true or false, found `maybe`
        option `fetchOffset.numRetries` is `-1`; write a whole number of 0 or more
        Kafka option 'auto.offset.reset' is not supported. Instead set the source option 'startingoffsets' to 'earliest' or 'latest' to specify where to start; it only applies when a new query is started, and a resumed one goes on from where it left off
        Kafka option 'value.deserializer' is not supported as values are deserialized as byte arrays; deserialize them in SQL
        Kafka option 'enable.auto.commit' is not supported
        `serializable` is no isolation level; write `read_uncommitted` or `read_committed`
        there is no property `sasl.pasword`; did you mean `sasl.password`?
        "##);
    }

    #[test]
    fn a_batch_query_begins_and_ends_where_it_can() {
        let refused = |options: &[(&str, &str)]| {
            let options = [&[("subscribe", "t")], options].concat();
            Settings::of_batch(&Properties::new("h:1"), &given(&options))
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        let messages = [
            refused(&[("startingOffsets", "latest")]),
            refused(&[("startingOffsets", r#"{"t":{"0":-1}}"#)]),
            refused(&[("endingOffsets", "earliest")]),
            refused(&[("endingOffsets", r#"{"t":{"0":-2}}"#)]),
            refused(&[
                ("startingOffsets", r#"{"t":{"0":5}}"#),
                ("endingOffsets", r#"{"t":{"0":4}}"#),
            ]),
            refused(&[
                ("startingOffsets", r#"{"t":{"0":5}}"#),
                ("endingOffsets", r#"{"t":{"1":9}}"#),
            ]),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r##"
        starting offset can't be latest for batch queries on Kafka
        startingOffsets for t-0 can't be latest for batch queries on Kafka
        ending offset can't be earliest for batch queries on Kafka
        ending offset for t-0 can't be earliest for batch queries on Kafka
        The specified start offset 5 is greater than the end offset 4 for topic t partition 0.
        The specified start offset and end offset should have the same topic-partitions: start has t-0, end has t-1
        "##);
    }
}
