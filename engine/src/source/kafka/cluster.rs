//! Questions to the cluster, asked again where an answer may come later (`fetchOffset.numRetries`).

use std::collections::BTreeSet;
use std::time::Duration;

use skirl_kafka::{Admin, Error as KafkaError, Isolation, Position, Properties};

use super::offsets::{Offsets, TopicPartition};
use crate::clock::{Clock, StopSignal};
use crate::{Error, Result};

/// A client that is connected when it is first needed.
pub(super) struct Cluster {
    properties: Properties,
    isolation: Isolation,
    attempts: u32,
    retry_wait: Duration,
    admin: Option<Admin>,
    /// A broker that was there once may come back.
    was_there: bool,
}

impl Cluster {
    pub(super) fn new(properties: &Properties, isolation: Isolation, attempts: u32, retry_wait: Duration) -> Cluster {
        Cluster {
            properties: properties.clone(),
            isolation,
            attempts,
            retry_wait,
            admin: None,
            was_there: false,
        }
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// The last error; at once where asking again cannot help.
    pub(super) fn ask<T>(
        &mut self,
        clock: &dyn Clock,
        question: impl Fn(&Admin) -> skirl_kafka::Result<T>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let error = match self.admin().and_then(&question) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if attempt >= self.attempts || self.is_final(&error) {
                return Err(error.into());
            }
            if !matches!(error, KafkaError::NoSuchTopic { .. }) {
                self.admin = None;
            }
            self.wait(clock);
            attempt += 1;
        }
    }

    /// How often a question is asked.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Waits before a question is asked again.
    pub(super) fn wait(&self, clock: &dyn Clock) {
        let wait_ms = i64::try_from(self.retry_wait.as_millis()).unwrap_or(i64::MAX);
        clock.wait_until(clock.now_ms().saturating_add(wait_ms), &StopSignal::default());
    }

    fn admin(&mut self) -> skirl_kafka::Result<&Admin> {
        if self.admin.is_none() {
            self.admin = Some(Admin::connect(&self.properties)?);
            self.was_there = true;
        }
        Ok(self.admin.as_ref().expect("it was just connected"))
    }

    fn is_final(&self, error: &KafkaError) -> bool {
        match error {
            KafkaError::Property(_) | KafkaError::NoTls { .. } | KafkaError::Refused { .. } => true,
            KafkaError::Unreachable { .. } => !self.was_there,
            _ => false,
        }
    }

    /// Where a position is in each partition; none where no row is of the time asked for.
    ///
    /// # Errors
    /// A partition that is not there, no answer.
    pub(super) fn positions(
        &mut self,
        clock: &dyn Clock,
        partitions: &[(TopicPartition, Position)],
    ) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Ok(vec![]);
        }
        let isolation = self.isolation;
        self.ask(clock, |admin| {
            let places: Vec<(&str, i32, Position)> = partitions
                .iter()
                .map(|(partition, position)| (partition.topic.as_str(), partition.partition, *position))
                .collect();
            admin.offsets(&places, isolation)
        })
    }

    /// The beginnings or ends of partitions.
    ///
    /// # Errors
    /// As [`Cluster::positions`].
    pub(super) fn ends(
        &mut self,
        clock: &dyn Clock,
        partitions: &BTreeSet<TopicPartition>,
        end: Position,
    ) -> Result<Offsets> {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), end)).collect();
        let found = self.positions(clock, &asked)?;
        let end = |(partition, offset): (&TopicPartition, Option<i64>)| match offset {
            Some(offset) => Ok((partition.clone(), offset)),
            // An end that is not known is none: rows would be taken for lost.
            None => Err(Error::Invalid(format!(
                "{partition} has no {}, says its broker; start the query again",
                if end == Position::Latest { "end" } else { "beginning" }
            ))),
        };
        partitions.iter().zip(found).map(end).collect()
    }
}
