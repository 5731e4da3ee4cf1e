//! The topics of a run: made with a bound on what they keep, or there before, and with room enough either way.

use std::collections::BTreeMap;

use skirl_kafka::{Admin, NewTopic, Topic, Topics};

use super::disk::{Demand, ROW_OVERHEAD, visible_log_dirs};
use super::error::{Error, Result};
use super::figure::shown_bytes;
use super::outcome::TopicSetup;
use super::plan::{Plan, RowPlan};

/// Partitions of a topic that is made.
const PARTITIONS: i32 = 4;
/// The largest segment of a topic that is made, and how soon its deleted segments leave the disk.
const SEGMENT_BYTES: u64 = 64 << 20;
const FILE_DELETE_DELAY_MS: u64 = 1_000;
/// The smallest segment Kafka 4 takes.
const SMALLEST_SEGMENT: u64 = 1 << 20;
/// Bytes of a generated row, where they are not known before they are made.
const ROW_BYTES: u64 = 300;
/// Kafka's default of `log.retention.check.interval.ms`.
const CHECK_INTERVAL_MS: f64 = 300_000.0;

/// Settings of a topic that are reported.
const REPORTED: [&str; 7] = [
    "cleanup.policy",
    "compression.type",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "retention.bytes",
    "segment.bytes",
];

/// Topics that are ready for a run.
pub struct Opened {
    /// What they are.
    pub topics: Vec<TopicSetup>,
    /// What is to be known of the room they have.
    pub remarks: Vec<String>,
}

/// Opens the topics of a run, once it is known that its rows fit on the brokers' disks.
///
/// # Errors
/// A topic that is there and not allowed, rows that do not fit, no answer.
pub fn open(plan: &Plan, topics: &mut Topics) -> Result<Opened> {
    let mut opened = Vec::new();
    for name in &plan.topics {
        let settings = made_settings(plan.topic.retention_bytes);
        let new = NewTopic {
            name: name.clone(),
            partitions: PARTITIONS,
            replication: plan.topic.replication,
            settings,
        };
        let topic = topics.open(&new, plan.topic.partitions, plan.topic.existing)?;
        opened.push(setup_of(topics, name, &topic)?);
    }
    let remarks = check_room(plan, topics.admin(), &opened)?;
    Ok(Opened {
        topics: opened,
        remarks,
    })
}

fn made_settings(retention_bytes: u64) -> BTreeMap<String, String> {
    let segment = (retention_bytes / 4).clamp(SMALLEST_SEGMENT, SEGMENT_BYTES);
    let settings = [
        ("cleanup.policy", "delete".to_string()),
        ("retention.bytes", retention_bytes.to_string()),
        ("segment.bytes", segment.to_string()),
        ("file.delete.delay.ms", FILE_DELETE_DELAY_MS.to_string()),
    ];
    settings
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}

fn setup_of(topics: &Topics, name: &str, topic: &Topic) -> Result<TopicSetup> {
    let mut settings = topics.admin().settings(name)?;
    settings.retain(|setting, _| REPORTED.contains(&setting.as_str()) || setting == "file.delete.delay.ms");
    Ok(TopicSetup {
        name: name.to_string(),
        made: topics.made().iter().any(|made| made == name),
        partitions: topic.partitions.len(),
        replicas: topic
            .partitions
            .iter()
            .map(|part| part.replicas.len())
            .max()
            .unwrap_or(1),
        settings,
    })
}

/// Refuses a run whose rows do not fit; says what is not known.
fn check_room(plan: &Plan, admin: &Admin, topics: &[TopicSetup]) -> Result<Vec<String>> {
    let demand = demand(plan, admin, topics)?;
    if let Some(bound) = plan.topic.disk_bound {
        if demand.kept() > bound as f64 {
            return Err(Error::Disk(format!(
                "the rows may take {} on each broker, and `--disk` allows {}; send fewer or for less time, lower `--retention`, \
                 or allow more",
                shown_bytes(demand.kept()),
                shown_bytes(bound as f64)
            )));
        }
        return Ok(vec![]);
    }
    let dirs = visible_log_dirs(admin)?;
    for dir in &dirs {
        demand.check(&dir.path, dir.free as f64)?;
    }
    Ok(if dirs.is_empty() {
        vec![format!(
            "the brokers' disks cannot be seen from here: the rows may take up to {} on each broker; `--disk` bounds that",
            shown_bytes(demand.kept())
        )]
    } else {
        vec![]
    })
}

fn demand(plan: &Plan, admin: &Admin, topics: &[TopicSetup]) -> Result<Demand> {
    let brokers = admin.brokers()?;
    let settings = brokers
        .first()
        .map(|broker| admin.broker_settings(*broker))
        .transpose()?
        .unwrap_or_default();
    let check_ms = settings
        .get("log.retention.check.interval.ms")
        .and_then(|ms| ms.parse().ok())
        .unwrap_or(CHECK_INTERVAL_MS);
    let number = |topic: &TopicSetup, name: &str| topic.settings.get(name).and_then(|value| value.parse::<f64>().ok());
    // Of several topics, the bounds that allow most.
    let largest = |name: &str| {
        topics
            .iter()
            .filter_map(|topic| number(topic, name))
            .fold(0.0, f64::max)
    };
    let is_bounded = topics
        .iter()
        .all(|topic| number(topic, "retention.bytes").is_some_and(|bytes| bytes >= 0.0));
    let row_bytes = match plan.rows {
        RowPlan::Synthetic { size, .. } => size as u64,
        RowPlan::Streams { .. } => ROW_BYTES,
    };
    Ok(Demand {
        rows_per_second: plan.timing.mean_rate(),
        seconds: (plan.timing.warm_up + plan.timing.duration).as_secs_f64(),
        bytes_per_row: row_bytes + ROW_OVERHEAD,
        partitions: topics.iter().map(|topic| topic.partitions as u64).sum(),
        replicas: topics.iter().map(|topic| topic.replicas as u64).max().unwrap_or(1),
        brokers: brokers.len() as u64,
        retention_bytes: is_bounded.then(|| largest("retention.bytes") as u64),
        segment_bytes: largest("segment.bytes") as u64,
        deleted_after: (check_ms + largest("file.delete.delay.ms")) / 1e3,
    })
}
