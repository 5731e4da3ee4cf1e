//! What to record, and where each partition begins and ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use skirl_generator::spec::Cut;
use skirl_kafka::{Admin, Isolation, Position, Properties, Topic};

use super::{Error, Result};

/// Offsets by topic and partition; -1 is the end and -2 the beginning, as in Spark's options.
pub type Offsets = BTreeMap<String, BTreeMap<i32, i64>>;

/// What to record.
#[derive(Debug, Clone)]
pub struct RecordRequest {
    /// Where the brokers are, and how to read from them; `isolation.level` says whether uncommitted records are.
    pub properties: Properties,
    /// The topics, in the order of the streams.
    pub topics: Vec<String>,
    /// Where to begin.
    pub start: Start,
    /// When to end.
    pub until: Until,
    /// The directory of the trace: empty, or not yet there.
    pub directory: PathBuf,
    /// Where micro-batches end: by timestamps, or after so many records of all topics together.
    pub cut: Cut,
    /// The columns of topics; those of others are inferred.
    pub schemas: BTreeMap<String, SchemaRef>,
    /// Keep values as bytes and read none as rows.
    pub bytes_only: bool,
}

/// Where a recording begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the first record there is.
    Earliest,
    /// With the first record that comes.
    Latest,
    /// With the first record of that time (milliseconds since 1970) or later.
    AtTime(i64),
    /// With these offsets.
    Offsets(Offsets),
}

/// When a recording ends: as soon as one of these is so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Until {
    /// After so many microseconds.
    pub lasts_us: Option<i64>,
    /// After so many records.
    pub records: Option<u64>,
    /// Before these offsets; partitions that are not named: before their end as it is at the start.
    pub offsets: Option<Offsets>,
}

pub(super) fn refuse_misfits(request: &RecordRequest) -> Result<()> {
    let refuse = |message: String| Err(Error::Request(message));
    if request.topics.is_empty() {
        return refuse("there is no topic to record; name some: `--topics scotsmen,bagpipe`".into());
    }
    let mut names = BTreeMap::new();
    for topic in &request.topics {
        if let Some(other) = names.insert(stream_name(topic), topic) {
            return refuse(format!(
                "the topics `{other}` and `{topic}` would both be the stream `{}`; record them into two traces",
                stream_name(topic)
            ));
        }
    }
    if let Some(topic) = request.schemas.keys().find(|topic| !request.topics.contains(topic)) {
        return refuse(format!(
            "`--schema {topic}=...` names no topic that is recorded; those are {}",
            request.topics.join(", ")
        ));
    }
    match fs::read_dir(&request.directory).map(|mut entries| entries.next().is_some()) {
        Ok(true) => refuse(format!(
            "{} already holds files; choose an empty directory, or remove it",
            request.directory.display()
        )),
        _ => Ok(()),
    }
}

/// A topic's name as that of a stream, which has no dots.
pub(super) fn stream_name(topic: &str) -> String {
    topic.replace('.', "_")
}

/// The topics as the cluster has them.
pub(super) fn found_topics(admin: &Admin, names: &[String]) -> Result<Vec<Topic>> {
    let asked: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut found = admin.describe(&asked)?;
    let topic = |name: &String| {
        found
            .remove(name)
            .flatten()
            .ok_or_else(|| Error::from(admin.no_such_topic(name)))
    };
    names.iter().map(topic).collect()
}

/// A topic's name, a partition, and an offset.
pub(super) type Place<'a> = (&'a str, i32, i64);

/// Where each partition begins, and before which offset it ends, if at one.
pub(super) fn places<'a>(
    request: &'a RecordRequest,
    admin: &Admin,
    isolation: Isolation,
    topics: &[Topic],
) -> Result<(Vec<Place<'a>>, Vec<Option<i64>>)> {
    let all: Vec<(&str, i32)> = request
        .topics
        .iter()
        .zip(topics)
        .flat_map(|(name, topic)| topic.partitions.iter().map(|partition| (name.as_str(), partition.id)))
        .collect();
    let at = |position: Position| {
        let asked: Vec<_> = all
            .iter()
            .map(|(topic, partition)| (*topic, *partition, position))
            .collect();
        admin.offsets(&asked, isolation)
    };
    let (earliest, latest) = (at(Position::Earliest)?, at(Position::Latest)?);
    let known = |offsets: &[Option<i64>], index: usize| offsets[index].unwrap_or(0);
    let named = |offsets: &Offsets, index: usize, unnamed: i64| {
        let (topic, partition) = all[index];
        let offset = offsets
            .get(topic)
            .and_then(|topic| topic.get(&partition))
            .copied()
            .unwrap_or(unnamed);
        match offset {
            -2 => known(&earliest, index),
            -1 => known(&latest, index),
            offset => offset,
        }
    };
    let starts: Vec<i64> = match &request.start {
        Start::Earliest => (0..all.len()).map(|index| known(&earliest, index)).collect(),
        Start::Latest => (0..all.len()).map(|index| known(&latest, index)).collect(),
        Start::AtTime(ms) => {
            let found = at(Position::AtTime(*ms))?;
            (0..all.len())
                .map(|index| found[index].unwrap_or(known(&latest, index)))
                .collect()
        }
        Start::Offsets(offsets) => {
            check_offsets(offsets, &all)?;
            (0..all.len()).map(|index| named(offsets, index, -2)).collect()
        }
    };
    let ends = match &request.until.offsets {
        None => vec![None; all.len()],
        Some(offsets) => {
            check_offsets(offsets, &all)?;
            (0..all.len()).map(|index| Some(named(offsets, index, -1))).collect()
        }
    };
    let place = |((topic, partition), start)| (topic, partition, start);
    Ok((all.iter().copied().zip(starts).map(place).collect(), ends))
}

fn check_offsets(offsets: &Offsets, all: &[(&str, i32)]) -> Result<()> {
    for (topic, partitions) in offsets {
        for partition in partitions.keys() {
            if !all.contains(&(topic.as_str(), *partition)) {
                return Err(Error::Request(format!(
                    "the offsets name partition {partition} of `{topic}`, which is not recorded"
                )));
            }
        }
    }
    Ok(())
}
