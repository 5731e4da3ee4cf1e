//! Topics of tests: made, filled, read and thrown away.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Failed;
use skirl_kafka::{Admin, Isolation, NewTopic, Position, Properties, Reader, Reports, Row, Span, Writer};

use crate::needs::{SOON, shared, unique};

/// A topic, deleted when it is dropped.
pub struct Topic {
    pub name: String,
    pub properties: Properties,
    pub admin: Admin,
}

/// A row as a test looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Topic {
    /// An empty topic of so many partitions at the broker that tests share, under a name of its own.
    pub fn new(name: &str, partitions: i32) -> Result<Topic, Failed> {
        Topic::with(name, partitions, &[])
    }

    /// The same, with settings of its own.
    pub fn with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<Topic, Failed> {
        Topic::named(&unique(name), partitions, settings)
    }

    /// The same, under exactly this name.
    pub fn named(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<Topic, Failed> {
        let topic = Topic::at(&shared()?, name)?;
        topic.make(partitions, settings)?;
        Ok(topic)
    }

    /// A name of its own at the broker that tests share, for a topic that somebody else makes.
    pub fn later(name: &str) -> Result<Topic, Failed> {
        Topic::at(&shared()?, &unique(name))
    }

    /// The same at any broker, under exactly this name.
    pub fn at(bootstrap: &str, name: &str) -> Result<Topic, Failed> {
        let properties = Properties::new(bootstrap);
        Ok(Topic {
            name: name.to_string(),
            admin: Admin::connect(&properties)?,
            properties,
        })
    }

    /// Makes it, and waits until its brokers know it.
    pub fn make(&self, partitions: i32, settings: &[(&str, &str)]) -> Result<(), Failed> {
        let settings = settings
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        self.admin.create(&NewTopic {
            name: self.name.clone(),
            partitions,
            replication: None,
            settings: settings.collect(),
        })?;
        let is_there = || self.admin.topic(&self.name).ok();
        skirl::broker::until(SOON, is_there).ok_or("the topic does not come")?;
        Ok(())
    }

    /// Deletes it, and waits until its brokers have forgotten it.
    pub fn delete(&self) -> Result<(), Failed> {
        self.admin.delete(&self.name)?;
        self.wait_until_gone()
    }

    /// Deletes the topic and makes another of its name.
    pub fn make_again(&self, partitions: i32) -> Result<(), Failed> {
        self.delete()?;
        let again = || self.make(partitions, &[]).ok();
        skirl::broker::until(SOON, again).ok_or("the topic cannot be made again")?;
        Ok(())
    }

    /// Waits until there is no topic of its name.
    pub fn wait_until_gone(&self) -> Result<(), Failed> {
        let is_gone = || self.is_there().ok().filter(|there| !there);
        skirl::broker::until(SOON, is_gone).ok_or("the topic stays")?;
        Ok(())
    }

    pub fn is_there(&self) -> Result<bool, Failed> {
        let mut found = self.admin.describe(&[&self.name])?;
        Ok(found.remove(&self.name).flatten().is_some())
    }

    /// Its address on the command line.
    pub fn address(&self) -> String {
        format!("kafka://{}/{}", self.properties.bootstrap(), self.name)
    }

    /// Appends rows in order and waits for their acknowledgements.
    pub fn send(&self, rows: &[Row]) -> Result<(), Failed> {
        self.send_with(&[], rows)
    }

    /// The same, by a producer with these properties.
    pub fn send_with(&self, properties: &[(&str, &str)], rows: &[Row]) -> Result<(), Failed> {
        let mut of_producer = self.properties.clone();
        of_producer.set("enable.idempotence", "true")?;
        for (name, value) in properties {
            of_producer.set(name, *value)?;
        }
        let mut writer = Writer::connect(&of_producer, Reports::Failures)?;
        let topic = writer.topic(&self.name)?;
        let mut failed = None;
        let mut left = rows;
        while !left.is_empty() {
            left = &left[writer.queue(&topic, left)?..];
            writer.poll(Duration::from_millis(1), |report| {
                failed = failed.take().or(report.error)
            })?;
        }
        writer.finish(SOON, |report| failed = failed.take().or(report.error))?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Appends values to a partition.
    pub fn put(&self, partition: i32, values: &[&'static str]) -> Result<(), Failed> {
        let row = |value: &&'static str| Row {
            partition: Some(partition),
            value: Some(value.as_bytes()),
            ..Row::default()
        };
        let rows: Vec<Row> = values.iter().map(row).collect();
        self.send(&rows)
    }

    /// The offset the next row of a partition will get, transactions or not.
    pub fn end(&self, partition: i32) -> Result<i64, Failed> {
        let place = [(self.name.as_str(), partition, Position::Latest)];
        let end = self.admin.offsets(&place, Isolation::ReadUncommitted)?;
        Ok(end[0].ok_or("the topic has no such partition")?)
    }

    /// All rows, partition by partition.
    pub fn rows(&self) -> Result<Vec<Found>, Failed> {
        let mut found: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
        let mut reader = Reader::connect(&self.properties, Isolation::ReadUncommitted)?;
        reader.read(&self.spans()?, SOON, |span, row| {
            let owned = |bytes: &[u8]| bytes.to_vec();
            found.entry(span).or_default().push(Found {
                partition: row.partition(),
                offset: row.offset(),
                timestamp_ms: row.timestamp_ms().0,
                key: row.key().map(owned),
                value: row.value().map(owned),
                headers: row
                    .headers()
                    .map(|(name, value)| (name.to_string(), value.map(owned)))
                    .collect(),
            });
        })?;
        Ok(found.into_values().flatten().collect())
    }

    /// What each partition holds now.
    fn spans(&self) -> Result<Vec<Span>, Failed> {
        let topic = self.admin.topic(&self.name)?;
        let offsets = |position| {
            let place = |part: &skirl_kafka::Partition| (self.name.as_str(), part.id, position);
            let places: Vec<_> = topic.partitions.iter().map(place).collect();
            self.admin.offsets(&places, Isolation::ReadUncommitted)
        };
        let (starts, ends) = (offsets(Position::Earliest)?, offsets(Position::Latest)?);
        let span = |((part, start), end): ((&skirl_kafka::Partition, &Option<i64>), &Option<i64>)| Span {
            topic: self.name.clone(),
            partition: part.id,
            start: start.unwrap_or(0),
            end: end.unwrap_or(0),
        };
        Ok(topic.partitions.iter().zip(&starts).zip(&ends).map(span).collect())
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        // A topic that was never made, that the test deleted, or whose broker was killed cannot be deleted.
        let _ = self.admin.delete(&self.name);
    }
}
