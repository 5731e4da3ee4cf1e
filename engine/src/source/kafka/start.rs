//! Where a query over Kafka begins, and a batch query ends.

use std::collections::BTreeSet;

use skirl_kafka::Position;

use super::cluster::Cluster;
use super::offsets::{Offsets, TopicPartition};
use super::options::{Bound, EARLIEST, LATEST, NoMatch};
use crate::clock::Clock;
use crate::{Error, Result};

/// Whether a bound is the first row or the row after the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Starting,
    Ending,
}

/// The offset a bound means in each of `partitions`.
///
/// # Errors
/// A bound that does not name these partitions, a starting time after the last row, no answer.
pub(super) fn resolve(
    bound: &Bound,
    side: Side,
    partitions: &BTreeSet<TopicPartition>,
    cluster: &mut Cluster,
    clock: &dyn Clock,
) -> Result<Offsets> {
    let strategy = |no_match: NoMatch| match side {
        Side::Starting => no_match,
        Side::Ending => NoMatch::Latest,
    };
    match bound {
        Bound::Earliest => cluster.ends(clock, partitions, Position::Earliest),
        Bound::Latest => cluster.ends(clock, partitions, Position::Latest),
        Bound::At(offsets) => {
            if !offsets.0.keys().eq(partitions) {
                return Err(unmatched(
                    "KAFKA_START_OFFSET_DOES_NOT_MATCH_ASSIGNED",
                    side,
                    offsets,
                    partitions,
                ));
            }
            with_ends(offsets, cluster, clock)
        }
        Bound::Since(time_ms, no_match) => {
            let times = partitions
                .iter()
                .map(|partition| (partition.clone(), *time_ms))
                .collect();
            since(&times, strategy(*no_match), cluster, clock)
        }
        Bound::SinceEach(times, no_match) => {
            if !times.0.keys().eq(partitions) {
                return Err(unmatched(
                    "KAFKA_TIMESTAMP_OFFSET_DOES_NOT_MATCH_ASSIGNED",
                    side,
                    times,
                    partitions,
                ));
            }
            since(times, strategy(*no_match), cluster, clock)
        }
    }
}

/// The first offset of each time or later.
fn since(times: &Offsets, no_match: NoMatch, cluster: &mut Cluster, clock: &dyn Clock) -> Result<Offsets> {
    let asked: Vec<_> = times
        .iter()
        .map(|(partition, ms)| (partition.clone(), Position::AtTime(ms)))
        .collect();
    let found = cluster.positions(clock, &asked)?;
    // Kafka takes times before 1970 for signs, and Spark for times no row has.
    let found = found
        .into_iter()
        .zip(times.iter())
        .map(|(found, (_, ms))| found.filter(|_| ms >= 0));
    let mut offsets = Offsets::default();
    for ((partition, time_ms), found) in times.iter().zip(found) {
        let offset = match (found, no_match) {
            (Some(offset), _) => offset,
            (None, NoMatch::Latest) => LATEST,
            (None, NoMatch::Error) => {
                return Err(Error::nameless(format!(
                    "No offset matched from request of topic-partition {partition} and timestamp {time_ms}: no row is as late; \
                     option `startingOffsetsByTimestampStrategy` as `latest` starts at the end there"
                )));
            }
        };
        offsets.0.insert(partition.clone(), offset);
    }
    with_ends(&offsets, cluster, clock)
}

/// The same offsets with `-1` and `-2` as what they stand for.
fn with_ends(offsets: &Offsets, cluster: &mut Cluster, clock: &dyn Clock) -> Result<Offsets> {
    let mut resolved = offsets.clone();
    for (sign, end) in [(EARLIEST, Position::Earliest), (LATEST, Position::Latest)] {
        let asked = offsets
            .iter()
            .filter(|(_, offset)| *offset == sign)
            .map(|(partition, _)| partition.clone());
        resolved.0.extend(cluster.ends(clock, &asked.collect(), end)?.0);
    }
    Ok(resolved)
}

fn unmatched(condition: &'static str, side: Side, given: &Offsets, partitions: &BTreeSet<TopicPartition>) -> Error {
    let list = |names: Vec<String>| names.join(", ");
    let side = match side {
        Side::Starting => "starting",
        Side::Ending => "ending",
    };
    Error::spark(
        condition,
        format!(
            "the {side} offsets must name all partitions that are read, -1 for latest and -2 for earliest; specified: {}; \
             assigned: {}",
            list(given.0.keys().map(ToString::to_string).collect()),
            list(partitions.iter().map(ToString::to_string).collect())
        ),
    )
}
