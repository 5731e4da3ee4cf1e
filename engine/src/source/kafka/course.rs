//! Where a batch begins in each partition, from what was read before and what is there now; and what is not there any more.
//!
//! Offsets alone do not tell a topic from another that took its name: the ids do. What is lost is a [`Loss`], which ends
//! the query or is skipped; either way it is said, and what is done instead is always the same.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Jump, Known};
use super::offsets::{Offsets, TopicPartition};
use super::topics::Topics;

/// What is there at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    /// The id of each topic.
    pub ids: BTreeMap<String, String>,
    /// The end of each partition.
    pub latest: Offsets,
    /// The first offset of each partition that is new, or of a topic that is new.
    pub earliest: Offsets,
}

/// Where a batch begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// The first offset of each partition of the snapshot.
    pub from: Offsets,
    /// What to know of topics from now on.
    pub known: BTreeMap<String, Known>,
    pub losses: Vec<Loss>,
}

/// Rows that cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loss {
    /// A topic was deleted, and another has its name.
    Recreated {
        topic: String,
        reached: String,
        was: String,
        is: String,
    },
    /// Partitions are not there any more.
    Deleted { partitions: Vec<TopicPartition> },
    /// The query does not ask for partitions any more that it has read.
    Unasked { partitions: Vec<TopicPartition> },
    /// A partition that came while the query ran has lost its beginning.
    StartsLate { partition: TopicPartition, earliest: i64 },
    /// A log ends before what was read of it.
    WentBack {
        partition: TopicPartition,
        read_to: i64,
        latest: i64,
    },
    /// A log ends before the rows that are to be read.
    Beyond {
        partition: TopicPartition,
        end: i64,
        latest: i64,
    },
    /// Rows between what was read and what is left are gone.
    Truncated {
        partition: TopicPartition,
        from: i64,
        end: i64,
        earliest: i64,
    },
}

impl Loss {
    /// Spark's name for it.
    pub(super) fn condition(&self) -> &'static str {
        match self {
            Loss::Recreated { .. } => "KAFKA_DATA_LOSS.START_OFFSET_RESET",
            Loss::Deleted { .. } | Loss::Unasked { .. } => "KAFKA_DATA_LOSS.PARTITIONS_DELETED",
            Loss::StartsLate { .. } => "KAFKA_DATA_LOSS.ADDED_PARTITION_DOES_NOT_START_FROM_OFFSET_ZERO",
            Loss::WentBack { .. } => "KAFKA_DATA_LOSS.PARTITION_OFFSET_CHANGED",
            Loss::Beyond { .. } | Loss::Truncated { .. } => "KAFKA_DATA_LOSS.COULD_NOT_READ_OFFSET_RANGE",
        }
    }

    /// What was found.
    pub(super) fn what(&self) -> String {
        match self {
            Loss::Recreated {
                topic,
                reached,
                was,
                is,
            } => format!(
                "topic `{topic}` was deleted and made again: it was read up to {reached} when its id was {was}, and now its \
                 id is {is}"
            ),
            Loss::Deleted { partitions } => format!("{} deleted", are(partitions)),
            Loss::Unasked { partitions } => {
                format!(
                    "{} in the checkpoint, and the query does not ask for them any more",
                    are(partitions)
                )
            }
            Loss::StartsLate { partition, earliest } => {
                format!("partition {partition} is new and begins at offset {earliest}: the rows before are gone")
            }
            Loss::WentBack {
                partition,
                read_to,
                latest,
            } => format!(
                "partition {partition} was read up to offset {read_to}, and now it ends at {latest}: its log was cut off, or \
                 the query was told to start too far on"
            ),
            Loss::Beyond { partition, end, latest } => {
                format!("partition {partition} is to be read up to offset {end}, and it ends at {latest}")
            }
            Loss::Truncated {
                partition,
                from,
                end,
                earliest,
            } => format!(
                "offsets {from} to {} of partition {partition} are gone: its log begins at {earliest}, rows before that were \
                 deleted or expired",
                earliest.min(end)
            ),
        }
    }

    /// What is done where such a loss does not end the query.
    pub(super) fn instead(&self) -> String {
        match self {
            Loss::Recreated { .. } => "reading goes on at the beginning of the new topic".to_string(),
            Loss::Deleted { .. } | Loss::Unasked { .. } => "reading goes on without them".to_string(),
            Loss::StartsLate { earliest, .. } => format!("reading begins at {earliest}"),
            Loss::WentBack { latest, .. } => format!("reading goes on at {latest}"),
            Loss::Beyond { latest, .. } => format!("it is read up to {latest}"),
            Loss::Truncated { end, earliest, .. } if earliest < end => format!("reading goes on at {earliest}"),
            Loss::Truncated { end, .. } => format!("reading goes on at {end}"),
        }
    }
}

/// `partitions t-0, t-1 are` or `partition t-0 is`.
fn are(partitions: &[TopicPartition]) -> String {
    let names = partitions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    match partitions {
        [_] => format!("partition {names} is"),
        _ => format!("partitions {names} are"),
    }
}

/// Where each partition of `there` is read from after `start`, by what was `known` of its topics.
pub(super) fn course(start: &Offsets, known: &BTreeMap<String, Known>, there: &Snapshot, topics: &Topics) -> Course {
    let mut course = Course::default();
    for (topic, id) in &there.ids {
        let now = successor(topic, id, known.get(topic), start, there, &mut course.losses);
        course.known.insert(topic.clone(), now);
    }
    // A topic that is gone is remembered, so that one that takes its name is known for another.
    for (topic, old) in known {
        course.known.entry(topic.clone()).or_insert_with(|| old.clone());
    }
    for (partition, latest) in there.latest.iter() {
        let from = begin(partition, start, &course.known).unwrap_or_else(|| {
            let earliest = there.earliest.get(partition).unwrap_or(0);
            if earliest > 0 {
                let partition = partition.clone();
                course.losses.push(Loss::StartsLate { partition, earliest });
            }
            earliest
        });
        if latest < from {
            let partition = partition.clone();
            course.losses.push(Loss::WentBack {
                partition,
                read_to: from,
                latest,
            });
        }
        course.from.0.insert(partition.clone(), from);
    }
    course.losses.extend(gone(start, there, topics));
    course
}

/// What is known of a topic from now on; a loss if it took the place of another.
fn successor(
    topic: &str,
    id: &str,
    known: Option<&Known>,
    start: &Offsets,
    there: &Snapshot,
    losses: &mut Vec<Loss>,
) -> Known {
    let id = id.to_string();
    let read = start.of_topic(topic);
    match known {
        Some(old) if old.id != id && !read.is_empty() => {
            losses.push(Loss::Recreated {
                topic: topic.to_string(),
                reached: serde_json::to_string(&read).expect("numbers are JSON"),
                was: old.id.clone(),
                is: id.clone(),
            });
            let to = there.earliest.of_topic(topic);
            let jump = Some(Jump { from: read, to });
            Known { id, jump }
        }
        // The jump holds until a batch beyond it is done.
        Some(old) if old.id == id && old.jump.as_ref().is_some_and(|jump| jump.from == read) => old.clone(),
        _ => Known { id, jump: None },
    }
}

/// Where a partition is read from, if anything is known of it.
pub(super) fn begin(partition: &TopicPartition, start: &Offsets, known: &BTreeMap<String, Known>) -> Option<i64> {
    let jump = known.get(&partition.topic).and_then(|known| known.jump.as_ref());
    match jump.filter(|jump| jump.from == start.of_topic(&partition.topic)) {
        Some(jump) => jump.to.get(&partition.partition).copied(),
        None => start.get(partition),
    }
}

/// Partitions that were read and are not there. Those of a topic that was made again are no loss of their own.
fn gone(start: &Offsets, there: &Snapshot, topics: &Topics) -> Vec<Loss> {
    let is_gone = |partition: &&TopicPartition| !there.latest.0.contains_key(partition);
    let (asked, unasked): (Vec<_>, Vec<_>) = start
        .0
        .keys()
        .filter(is_gone)
        .cloned()
        .partition(|partition| topics.has(partition));
    let deleted = asked
        .into_iter()
        .filter(|partition| !there.ids.contains_key(&partition.topic));
    let deleted: Vec<_> = deleted.collect();
    let mut losses = Vec::new();
    if !deleted.is_empty() {
        losses.push(Loss::Deleted { partitions: deleted });
    }
    if !unasked.is_empty() {
        losses.push(Loss::Unasked { partitions: unasked });
    }
    losses
}

/// Partitions whose first offset has to be known before their course can be told: of topics that are new or other topics
/// than before, and new ones of known topics.
pub(super) fn uncertain(
    start: &Offsets,
    known: &BTreeMap<String, Known>,
    ids: &BTreeMap<String, String>,
    latest: &Offsets,
) -> BTreeSet<TopicPartition> {
    let is_uncertain = |partition: &&TopicPartition| {
        let topic = &partition.topic;
        let is_another = known.get(topic).is_some_and(|known| ids.get(topic) != Some(&known.id));
        is_another || begin(partition, start, known).is_none()
    };
    latest.0.keys().filter(is_uncertain).cloned().collect()
}

/// Ends that differ from `start` wherever a topic was made again: else nobody could tell from the offset log whether the
/// new topic's first rows were read.
pub(super) fn told_apart(mut end: Offsets, start: &Offsets, course: &Course) -> Offsets {
    for (topic, known) in &course.known {
        let read = start.of_topic(topic);
        let jumps = known.jump.as_ref().is_some_and(|jump| jump.from == read);
        if !jumps || end.of_topic(topic) != read {
            continue;
        }
        let with_rows = end.0.iter_mut().find(|(partition, end)| {
            partition.topic == *topic && course.from.get(partition).is_some_and(|from| from < **end)
        });
        if let Some((_, end)) = with_rows {
            *end -= 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::offsets::tests::offsets;
    use super::*;

    /// `"t A"`: topics and ids.
    fn ids(text: &str) -> BTreeMap<String, String> {
        let each = |part: &str| {
            part.trim()
                .split_once(' ')
                .map(|(topic, id)| (topic.to_string(), id.to_string()))
        };
        text.split(',').filter_map(each).collect()
    }

    fn known(text: &str) -> BTreeMap<String, Known> {
        ids(text)
            .into_iter()
            .map(|(topic, id)| (topic, Known { id, jump: None }))
            .collect()
    }

    fn there(topics: &str, latest: &str, earliest: &str) -> Snapshot {
        Snapshot {
            ids: ids(topics),
            latest: offsets(latest),
            earliest: offsets(earliest),
        }
    }

    fn subscribed() -> Topics {
        Topics::Subscribed(["t", "u"].map(str::to_string).into())
    }

    #[track_caller]
    fn check(start: &str, was: &str, there: Snapshot, from: &str, losses: &[&str]) -> Course {
        let course = course(&offsets(start), &known(was), &there, &subscribed());
        assert_eq!(course.from, offsets(from));
        let found: Vec<String> = course
            .losses
            .iter()
            .map(|loss| format!("{}; {}", loss.what(), loss.instead()))
            .collect();
        assert_eq!(found, losses);
        course
    }

    #[test]
    fn partitions_go_on_where_they_were_and_new_ones_begin_at_their_beginning() {
        check(
            "t-0 5",
            "t A",
            there("t A", "t-0 9, t-1 3", "t-1 0"),
            "t-0 5, t-1 0",
            &[],
        );
        check(
            "t-0 5",
            "t A",
            there("t A, u B", "t-0 9, u-0 3", "u-0 0"),
            "t-0 5, u-0 0",
            &[],
        );
        check(
            "t-0 5",
            "t A",
            there("t A", "t-0 9, t-1 3", "t-1 2"),
            "t-0 5, t-1 2",
            &["partition t-1 is new and begins at offset 2: the rows before are gone; reading begins at 2"],
        );
    }

    #[test]
    fn a_topic_made_again_is_another_topic_also_when_it_has_more_rows() {
        for latest in ["t-0 3", "t-0 5", "t-0 900"] {
            let course = check(
                "t-0 5",
                "t A",
                there("t B", latest, "t-0 0"),
                "t-0 0",
                &[
                    "topic `t` was deleted and made again: it was read up to {\"0\":5} when its id was A, and now its id is B; \
                   reading goes on at the beginning of the new topic",
                ],
            );
            assert_eq!(course.known["t"].id, "B");
        }
        check(
            "t-0 5, t-1 6",
            "t A",
            there("t B", "t-0 9", "t-0 0"),
            "t-0 0",
            &[
                "topic `t` was deleted and made again: it was read up to {\"0\":5,\"1\":6} when its id was A, and now its id is \
               B; reading goes on at the beginning of the new topic",
            ],
        );
    }

    #[test]
    fn a_jump_holds_until_a_batch_beyond_it_is_done() {
        let start = offsets("t-0 5");
        let made_again = there("t B", "t-0 9", "t-0 0");
        let first = course(&start, &known("t A"), &made_again, &subscribed());
        // A restart before the batch is done: the same course, and no second loss.
        let second = course(&start, &first.known, &made_again, &subscribed());
        assert_eq!((second.from, second.losses.len()), (offsets("t-0 0"), 0));
        let after = course(
            &offsets("t-0 9"),
            &first.known,
            &there("t B", "t-0 12", ""),
            &subscribed(),
        );
        assert_eq!((after.from, after.known["t"].jump.clone()), (offsets("t-0 9"), None));
    }

    #[test]
    fn the_first_batch_after_a_jump_never_ends_where_the_old_topic_was_left() {
        let start = offsets("t-0 5, u-0 1");
        let there = there("t B, u U", "t-0 5, u-0 1", "t-0 0");
        let course = course(&start, &known("t A, u U"), &there, &subscribed());
        assert_eq!(
            told_apart(there.latest.clone(), &start, &course),
            offsets("t-0 4, u-0 1")
        );
        // Nothing was read and nothing is there: the two cannot be told apart, and need not be.
        let nothing = offsets("t-0 0");
        let empty = self::there("t B", "t-0 0", "t-0 0");
        let course = self::course(&nothing, &known("t A"), &empty, &subscribed());
        assert_eq!(told_apart(empty.latest.clone(), &nothing, &course), nothing);
    }

    #[test]
    fn what_is_gone_is_told_and_left_out() {
        check(
            "t-0 5, t-1 6, u-0 1",
            "t A, u B",
            there("u B", "u-0 2", ""),
            "u-0 1",
            &["partitions t-0, t-1 are deleted; reading goes on without them"],
        );
        check(
            "old-0 5, t-0 1",
            "old O, t A",
            there("t A", "t-0 2", ""),
            "t-0 1",
            &[
                "partition old-0 is in the checkpoint, and the query does not ask for them any more; reading goes on without \
               them",
            ],
        );
    }

    #[test]
    fn a_log_that_ends_earlier_goes_on_at_its_end() {
        check(
            "t-0 5",
            "t A",
            there("t A", "t-0 3", ""),
            "t-0 5",
            &[
                "partition t-0 was read up to offset 5, and now it ends at 3: its log was cut off, or the query was told to start \
               too far on; reading goes on at 3",
            ],
        );
    }

    #[test]
    fn first_offsets_are_asked_for_only_where_they_matter() {
        let asked = |start: &str, was: &str, is: &str, latest: &str| -> Vec<String> {
            let found = uncertain(&offsets(start), &known(was), &ids(is), &offsets(latest));
            found.iter().map(ToString::to_string).collect()
        };
        assert!(asked("t-0 5", "t A", "t A", "t-0 9").is_empty());
        assert_eq!(asked("t-0 5", "t A", "t A", "t-0 9, t-1 2"), ["t-1"]);
        assert_eq!(asked("t-0 5", "t A", "t B", "t-0 9"), ["t-0"]);
        assert_eq!(asked("t-0 5", "t A", "t A, u U", "t-0 9, u-0 2"), ["u-0"]);
        assert!(
            asked("t-0 5", "", "t A", "t-0 9").is_empty(),
            "a checkpoint of Spark's has no ids"
        );
    }
}
