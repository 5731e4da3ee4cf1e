//! Topics of tests: made, filled, read and thrown away.

use std::collections::BTreeMap;
use std::time::Duration;

use libtest_mimic::Failed;
use skirl_kafka::{Admin, Isolation, NewTopic, Position, Properties, Reader, Reports, Row, Span, Writer};

/// Long enough for any broker that is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A topic with a name of its own, deleted when it is dropped.
pub struct TestTopic {
    admin: Admin,
    pub properties: Properties,
    pub name: String,
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

impl TestTopic {
    /// A topic that will be there once somebody makes it.
    pub fn named(bootstrap: &str, name: String) -> Result<Self, Failed> {
        let properties = Properties::new(bootstrap);
        Ok(TestTopic {
            admin: Admin::connect(&properties)?,
            properties,
            name,
        })
    }

    /// A topic that is there.
    pub fn made(bootstrap: &str, name: String, partitions: i32, settings: &[(&str, &str)]) -> Result<Self, Failed> {
        let topic = TestTopic::named(bootstrap, name)?;
        topic.make(partitions, settings)?;
        Ok(topic)
    }

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
        Ok(())
    }

    pub fn delete(&self) -> Result<(), Failed> {
        Ok(self.admin.delete(&self.name)?)
    }

    pub fn is_there(&self) -> Result<bool, Failed> {
        Ok(self
            .admin
            .describe(&[&self.name])?
            .remove(&self.name)
            .flatten()
            .is_some())
    }

    /// Writes rows and waits for their acknowledgements.
    pub fn write(&self, rows: &[Row]) -> Result<(), Failed> {
        let mut writer = Writer::connect(&self.properties, Reports::All)?;
        let topic = writer.topic(&self.name)?;
        for row in rows {
            assert_eq!(writer.queue(&topic, std::slice::from_ref(row))?, 1);
        }
        let mut failed = None;
        writer.finish(PATIENCE, |delivery| failed = failed.take().or(delivery.error))?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// All rows, partition by partition.
    pub fn rows(&self) -> Result<Vec<Found>, Failed> {
        let topic = self.admin.topic(&self.name)?;
        let places = |position| {
            let place = |part: &skirl_kafka::Partition| (self.name.as_str(), part.id, position);
            topic.partitions.iter().map(place).collect::<Vec<_>>()
        };
        let starts = self
            .admin
            .offsets(&places(Position::Earliest), Isolation::ReadUncommitted)?;
        let ends = self
            .admin
            .offsets(&places(Position::Latest), Isolation::ReadUncommitted)?;
        let span = |((part, start), end): ((&skirl_kafka::Partition, &Option<i64>), &Option<i64>)| Span {
            topic: self.name.clone(),
            partition: part.id,
            start: start.unwrap_or(0),
            end: end.unwrap_or(0),
        };
        let spans: Vec<Span> = topic.partitions.iter().zip(&starts).zip(&ends).map(span).collect();
        let mut found: BTreeMap<usize, Vec<Found>> = BTreeMap::new();
        let mut reader = Reader::connect(&self.properties, Isolation::ReadUncommitted)?;
        reader.read(&spans, PATIENCE, |span, row| {
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
}

impl Drop for TestTopic {
    fn drop(&mut self) {
        // A topic that was never made, or whose broker was killed, cannot be deleted.
        let _ = self.admin.delete(&self.name);
    }
}
