//! The consumer of a run: reads the rows back, with the time each took on its way.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skirl_kafka::{Admin, Fetched, Follower, Isolation, Position, Properties};

use super::clock::{Clock, Moment};
use super::error::Result;
use super::latency::{LatencyLog, Recorder};
use super::ledger::{Received, Seen};
use super::stamp::{HEADER, RunId};
use super::tally::Tally;

/// How long one waits for rows before one looks whether to stop.
const SLICE: Duration = Duration::from_millis(20);

/// A partition and an offset in it: topic by its place among the run's, partition, offset.
pub type Place = (u16, i32, i64);

/// Where the topics end: the offset after the last row of each partition.
///
/// # Errors
/// A topic that is not there, no answer.
pub fn ends(admin: &Admin, topics: &[String]) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for (index, topic) in (0..).zip(topics) {
        let partitions = admin.topic(topic)?.partitions;
        let asked: Vec<_> = partitions
            .iter()
            .map(|part| (topic.as_str(), part.id, Position::Latest))
            .collect();
        let offsets = admin.offsets(&asked, Isolation::ReadUncommitted)?;
        let found = asked
            .iter()
            .zip(offsets)
            .map(|((_, id, _), offset)| (index, *id, offset.unwrap_or(0)));
        places.extend(found);
    }
    Ok(places)
}

/// Reads a run's rows.
pub struct Receiver<'a> {
    follower: Follower,
    topics: &'a [String],
    clock: &'a dyn Clock,
    start_wall_ns: i64,
    received: Received,
    end_to_end: Recorder,
    positions: BTreeMap<(u16, i32), i64>,
}

/// What a consumer found.
pub struct Found {
    /// The rows.
    pub received: Received,
    /// From the intended time until the consumer had a row.
    pub end_to_end: LatencyLog,
    /// Why not all rows could be read, if so: what is missing then is not known to be lost.
    pub incomplete: Option<String>,
}

/// When a consumer is through.
pub struct Until<'a> {
    /// Set once no row will come any more: where to stop.
    pub ends: &'a OnceLock<Vec<Place>>,
    /// Set when it is not to go on.
    pub stop: &'a AtomicBool,
}

/// Connects a consumer that reads on from `places`.
///
/// # Errors
/// As [`Follower::connect`].
pub fn follow(properties: &Properties, topics: &[String], places: &[Place]) -> Result<Follower> {
    let named = |(topic, id, offset): &Place| (topics[usize::from(*topic)].as_str(), *id, *offset);
    let named: Vec<_> = places.iter().map(named).collect();
    Ok(Follower::connect(properties, Isolation::ReadUncommitted, &named)?)
}

impl<'a> Receiver<'a> {
    /// Takes over a consumer that [`follow`] has put at `places`.
    pub fn new(
        follower: Follower,
        topics: &'a [String],
        places: &[Place],
        (run, start_wall_ns): (RunId, i64),
        clock: &'a dyn Clock,
        interval: Duration,
    ) -> Self {
        Receiver {
            follower,
            topics,
            clock,
            start_wall_ns,
            received: Received::new(run),
            end_to_end: Recorder::new(interval),
            positions: places
                .iter()
                .map(|(topic, id, offset)| ((*topic, *id), *offset))
                .collect(),
        }
    }

    /// Reads until the ends are reached.
    pub fn run(mut self, tally: &Tally, until: &Until) -> Found {
        let mut incomplete = None;
        loop {
            if let Err(error) = self.poll(tally) {
                incomplete = Some(error.to_string());
                break;
            }
            if until.ends.get().is_some_and(|ends| self.has_reached(ends)) {
                break;
            }
            if until.stop.load(Ordering::Relaxed) {
                let last = self
                    .follower
                    .last_trouble()
                    .map_or_else(String::new, |said| format!(" ({said})"));
                incomplete = Some(format!("the consumer did not reach the end of the topic in time{last}"));
                break;
            }
        }
        Found {
            received: self.received,
            end_to_end: self.end_to_end.finish(),
            incomplete,
        }
    }

    fn has_reached(&self, ends: &[Place]) -> bool {
        let reached = |(topic, id, end): &Place| self.positions.get(&(*topic, *id)).is_none_or(|at| at >= end);
        ends.iter().all(reached)
    }

    fn poll(&mut self, tally: &Tally) -> Result<()> {
        let Receiver {
            follower,
            topics,
            clock,
            received,
            end_to_end,
            positions,
            start_wall_ns,
        } = self;
        let index = |topic: &str| topics.iter().position(|known| known == topic).unwrap_or(0) as u16;
        // Rows that are taken from the queue together were there together.
        let mut now = None;
        let row = |row: &Fetched| {
            let now = *now.get_or_insert_with(|| clock.now());
            let (topic, partition) = (index(row.topic()), row.partition());
            positions.insert((topic, partition), row.offset() + 1);
            if let Seen::First(stamp) = received.note(topic, partition, row.header(HEADER)) {
                let intended = Moment(stamp.intended_ns.saturating_sub(*start_wall_ns));
                if intended.0 >= 0 {
                    end_to_end.record(now, now.since(intended));
                }
            }
        };
        let mut ended = Vec::new();
        follower.poll(SLICE, row, |topic, partition, offset| {
            ended.push(((index(topic), partition), offset))
        })?;
        for (place, offset) in ended {
            let at = positions.entry(place).or_insert(offset);
            *at = offset.max(*at);
        }
        let counts = received.counts();
        tally.received.store(counts.rows, Ordering::Relaxed);
        tally.duplicates.store(counts.duplicates, Ordering::Relaxed);
        tally.reordered.store(counts.reordered, Ordering::Relaxed);
        Ok(())
    }
}
