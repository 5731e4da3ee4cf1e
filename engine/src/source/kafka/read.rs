//! Reading the rows of a batch: exactly those of its offsets, and only of the topics they were logged for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use skirl_kafka::{Error as KafkaError, Position, Reader, Span};

use super::course::{self, Loss};
use super::offsets::{Offsets, TopicPartition};
use super::rows::Chunk;
use super::{KafkaSource, span};
use crate::source::{Give, Place};
use crate::{Error, Result};

impl KafkaSource {
    /// What is read after `start` up to `end`, of partitions that have anything, in their order.
    pub(super) fn spans(&mut self, start: &Offsets, end: &Offsets) -> Result<Vec<Span>> {
        let is_seen = self.chosen.as_ref() == Some(end);
        // An end that was logged by an earlier run may be of a topic that is gone by now.
        let end = if is_seen { end.clone() } else { self.still_there(end)? };
        let known = self.journal.topics();
        let begun = end.0.keys().map(|partition| course::begin(partition, start, known));
        let begun: Vec<Option<i64>> = begun.collect();
        let new: BTreeSet<TopicPartition> = end
            .0
            .keys()
            .zip(&begun)
            .filter(|(_, from)| from.is_none())
            .map(|(partition, _)| partition.clone())
            .collect();
        let earliest = self.cluster.ends(&*self.clock, &new, Position::Earliest)?;
        let spans = end.iter().zip(begun).map(|((partition, end), from)| {
            let from = from.or_else(|| earliest.get(partition)).unwrap_or(end);
            span(partition, from, end)
        });
        Ok(spans.filter(|span| span.start < span.end).collect())
    }

    /// The part of `end` that can be read now; the rest is reported.
    fn still_there(&mut self, end: &Offsets) -> Result<Offsets> {
        let ids = self.ids(end.topics().into_iter().map(str::to_string).collect())?;
        let mut losses = Vec::new();
        let mut readable = BTreeSet::new();
        for topic in end.topics() {
            let known = self.journal.topics().get(topic).map(|known| &known.id);
            match (known, ids.get(topic)) {
                (Some(was), Some(is)) if was != is => losses.push(Loss::Recreated {
                    topic: topic.to_string(),
                    reached: serde_json::to_string(&end.of_topic(topic)).expect("numbers are JSON"),
                    was: was.clone(),
                    is: is.clone(),
                }),
                (_, None) => losses.push(Loss::Deleted {
                    partitions: end
                        .0
                        .keys()
                        .filter(|partition| partition.topic == topic)
                        .cloned()
                        .collect(),
                }),
                _ => readable.extend(end.0.keys().filter(|partition| partition.topic == topic).cloned()),
            }
        }
        let latest = self.cluster.ends(&*self.clock, &readable, Position::Latest)?;
        let mut there = Offsets::default();
        for (partition, latest) in latest.iter() {
            let end = end.get(partition).unwrap_or(latest);
            if latest < end {
                let partition = partition.clone();
                losses.push(Loss::Beyond { partition, end, latest });
            }
            there.0.insert(partition.clone(), end.min(latest));
        }
        self.report(&losses)?;
        Ok(there)
    }

    /// The ids under which the topics of `spans` are known.
    pub(super) fn ids_of(&self, spans: &[Span]) -> BTreeMap<String, String> {
        let topics: BTreeSet<&str> = spans.iter().map(|span| span.topic.as_str()).collect();
        let known = self
            .journal
            .topics()
            .iter()
            .filter(|(topic, _)| topics.contains(topic.as_str()));
        known.map(|(topic, known)| (topic.clone(), known.id.clone())).collect()
    }

    /// That rows which were just read are of the topics they were meant to be: an id is never given twice, so if it is the
    /// same now, it was all the time.
    pub(super) fn check_ids(&mut self, ids: &BTreeMap<String, String>) -> Result<()> {
        let now = self.ids(ids.keys().cloned().collect())?;
        let changed = ids
            .iter()
            .find(|(topic, id)| now.get(*topic).is_some_and(|now| now != *id));
        match changed {
            None => Ok(()),
            Some((topic, _)) => Err(Error::spark(
                "KAFKA_DATA_LOSS.START_OFFSET_RESET",
                format!("topic `{topic}` was deleted and made again while its rows were read; start the query again"),
            )),
        }
    }

    /// The ids topics have now; those that are gone have none.
    fn ids(&mut self, topics: BTreeSet<String>) -> Result<BTreeMap<String, String>> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let found = self.cluster.ask(&*self.clock, |admin| admin.describe(&names))?;
        Ok(found
            .into_iter()
            .filter_map(|(name, topic)| Some((name, topic?.id.0)))
            .collect())
    }

    /// Reads `spans` and gives their rows by chunks. Rows that turn out to be gone are reported and skipped.
    pub(super) fn read_spans(&mut self, spans: Vec<Span>, give: &mut Give) -> Result<()> {
        let layout = self.layout.clone();
        let mut left: Vec<Reading> = spans
            .iter()
            .enumerate()
            .map(|(part, span)| Reading {
                span: span.clone(),
                chunk: Chunk::new(&layout, &span.topic, span.partition),
                place: Place { part, number: 0 },
            })
            .collect();
        let mut attempt = 1;
        while !left.is_empty() {
            match self.read_on(&mut left, give) {
                Ok(ControlFlow::Break(())) => return Ok(()),
                Ok(ControlFlow::Continue(())) => break,
                Err(error) if attempt < self.cluster.attempts() && self.is_mistaken(&error)? => {
                    self.reader = None;
                    attempt += 1;
                }
                Err(error) => self.skip_lost(error, &mut left)?,
            }
        }
        for mut reading in left {
            if reading.finish(give)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads on in every span, to its end or to an error.
    fn read_on(&mut self, left: &mut [Reading], give: &mut Give) -> Result<ControlFlow<()>> {
        let mut left: Vec<&mut Reading> = left.iter_mut().filter(|reading| !reading.is_done()).collect();
        let spans: Vec<Span> = left.iter().map(|reading| reading.span.clone()).collect();
        if self.reader.is_none() {
            self.reader = Some(Reader::connect(&self.settings.properties, self.settings.isolation)?);
        }
        let reader = self.reader.as_mut().expect("it was just connected");
        let mut outcome = Ok(ControlFlow::Continue(()));
        reader.read_while(&spans, self.settings.patience, |index, row| {
            let reading = &mut left[index];
            reading.span.start = row.offset() + 1;
            if !reading.chunk.push(row) {
                return ControlFlow::Continue(());
            }
            outcome = reading.finish(give);
            match outcome {
                Ok(flow) => flow,
                Err(_) => ControlFlow::Break(()),
            }
        })?;
        outcome
    }

    /// Whether a reader takes a topic for deleted that is there: one that has not heard of it for a while does.
    fn is_mistaken(&mut self, error: &Error) -> Result<bool> {
        let Error::Kafka(KafkaError::NoSuchTopic { topic, .. }) = error else {
            return Ok(false);
        };
        let now = self.ids(BTreeSet::from([topic.clone()]))?;
        let known = self.journal.topics().get(topic).map(|known| &known.id);
        Ok(known.is_some() && known == now.get(topic))
    }

    /// Goes on behind rows that are gone, if the error is about such rows.
    fn skip_lost(&mut self, error: Error, left: &mut [Reading]) -> Result<()> {
        match &error {
            Error::Kafka(KafkaError::OffsetOutOfRange {
                topic,
                partition,
                earliest,
                latest,
                ..
            }) => {
                let lost = TopicPartition::new(topic, *partition);
                let span = left
                    .iter_mut()
                    .map(|reading| &mut reading.span)
                    .find(|span| lost.is_of(span));
                let Some((span, loss)) =
                    span.and_then(|span| lost_of(span, *earliest, *latest).map(|loss| (span, loss)))
                else {
                    return Err(error);
                };
                span.end = span.end.min(*latest).max(span.start);
                span.start = span.start.max(*earliest).min(span.end);
                self.report(&[loss])
            }
            Error::Kafka(KafkaError::NoSuchTopic { topic, .. }) => {
                self.reader = None;
                let gone = left
                    .iter_mut()
                    .map(|reading| &mut reading.span)
                    .filter(|span| span.topic == *topic);
                let mut partitions = Vec::new();
                for span in gone {
                    partitions.push(TopicPartition::new(topic, span.partition));
                    span.end = span.start; // what was read of it before is kept
                }
                self.report(&[Loss::Deleted { partitions }])
            }
            _ => Err(error),
        }
    }
}

/// What of a span is not in a log from `earliest` to `latest`; nothing if all of it is.
fn lost_of(span: &Span, earliest: i64, latest: i64) -> Option<Loss> {
    let partition = TopicPartition::new(&span.topic, span.partition);
    let (from, end) = (span.start, span.end);
    if earliest > from {
        return Some(Loss::Truncated {
            partition,
            from,
            end,
            earliest,
        });
    }
    (0..end)
        .contains(&latest)
        .then_some(Loss::Beyond { partition, end, latest })
}

/// A span that is being read.
struct Reading<'a> {
    /// What is left of it.
    span: Span,
    chunk: Chunk<'a>,
    place: Place,
}

impl Reading<'_> {
    fn is_done(&self) -> bool {
        self.span.start >= self.span.end
    }

    /// Gives the rows that have gathered.
    fn finish(&mut self, give: &mut Give) -> Result<ControlFlow<()>> {
        if self.chunk.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let rows = self.chunk.take()?;
        let place = self.place;
        self.place.number += 1;
        Ok(give(place, rows))
    }
}
