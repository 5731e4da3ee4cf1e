//! Rows into topics of Apache Kafka, with the columns, options and errors of Spark's sink (spark-semantics 12).
//!
//! At least once, as Spark: a batch is done when the brokers have acknowledged all its rows, and one that comes again after
//! a crash is written again. With `deliveryGuarantee` as `exactly-once`, each batch is a transaction, and the number of the
//! batch is committed with it (a [`Mark`]): after a crash the sink knows whether the batch is there, and readers of
//! committed rows see it once. The transactional id is the checkpoint's, so a second run of the same query shuts the first
//! one out.

mod columns;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use skirl_kafka::{Admin, Mark, Properties, Reports, Row, TopicHandle, Transactions, Writer};

use super::Sink;
use crate::format::options::Options;
use crate::{Error, OutputMode, Result};
use columns::{Batch, Columns};

/// Rows handed over by one call.
const ROWS_AT_ONCE: usize = 4096;
/// How long room in the producer's queue is waited for at a time.
const SLICE: Duration = Duration::from_millis(5);
/// librdkafka's default of `message.timeout.ms`: so long a row may take.
const ROW_TIMEOUT_MS: u64 = 300_000;

/// Writes batches to topics.
pub struct KafkaSink {
    properties: Properties,
    /// Where all rows go, if the rows do not say.
    topic: Option<String>,
    guarantee: Guarantee,
    /// The topic whose partition 0 the number of the last batch is kept for.
    mark_topic: Option<String>,
    id_prefix: String,
    remarks: Vec<String>,
    out: Out,
}

/// What becomes of a batch that is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guarantee {
    AtLeastOnce,
    ExactlyOnce,
}

/// The way out.
enum Out {
    /// Nobody is connected to before there are rows.
    Closed,
    Rows(Box<Writer>),
    Batches(Box<Ledger>),
}

/// Transactions, and the last batch that was committed by one.
struct Ledger {
    transactions: Transactions,
    mark: Mark,
    last_batch: Option<u64>,
}

impl KafkaSink {
    /// A sink to topics. `properties` are those of the client, and hold for whatever `options` do not say as `kafka.*`.
    /// Options are Spark's `topic`, and `deliveryGuarantee` (`at-least-once` or `exactly-once`), `markTopic` and
    /// `transactionalIdPrefix`.
    ///
    /// # Errors
    /// What Spark refuses, in its words; a property nobody knows, with the nearest one that is known.
    pub fn new(properties: &Properties, options: &BTreeMap<String, String>) -> Result<KafkaSink> {
        let mut options = Options::new(options);
        let topic = options.text("topic").map(|topic| topic.trim().to_string());
        let guarantee = match options
            .text("deliveryGuarantee")
            .map(|text| text.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("at-least-once") => Guarantee::AtLeastOnce,
            Some("exactly-once") => Guarantee::ExactlyOnce,
            Some(other) => {
                return Err(Error::Invalid(format!(
                    "`{other}` is no deliveryGuarantee; write `at-least-once` or `exactly-once`"
                )));
            }
        };
        let mark_topic = options.text("markTopic").or_else(|| topic.clone());
        if guarantee == Guarantee::ExactlyOnce && mark_topic.is_none() {
            return Err(Error::Invalid(
                "an exactly-once sink keeps the number of its last batch as a group's offset of a topic, and here each row \
                 names its own; give option `markTopic` a topic that stays"
                    .to_string(),
            ));
        }
        for topic in topic.iter().chain(&mark_topic) {
            skirl_kafka::address::check_topic(topic).map_err(Error::Invalid)?;
        }
        Ok(KafkaSink {
            properties: client(properties, &mut options)?,
            id_prefix: options.text_or("transactionalIdPrefix", "skirl"),
            topic,
            guarantee,
            mark_topic,
            remarks: options.remarks(),
            out: Out::Closed,
        })
    }

    /// Takes up transactions under the id of a checkpoint, and finds out which batch was the last.
    fn open_ledger(&self, checkpoint_id: &str) -> Result<Ledger> {
        let mark_topic = self.mark_topic.as_deref().expect("an exactly-once sink has one");
        let id = format!("{}-{checkpoint_id}", self.id_prefix);
        let mark = Mark {
            group: id.clone(),
            topic: mark_topic.to_string(),
            partition: 0,
        };
        let admin = Admin::connect(&self.properties)?;
        admin.topic(mark_topic)?;
        // In this order: a batch another run has left open is given up before the mark is read.
        let transactions = Transactions::connect(&self.properties, &id)?;
        let next_batch = admin.committed(&mark.group, &mark.topic, mark.partition)?;
        Ok(Ledger {
            transactions,
            mark,
            last_batch: next_batch.and_then(|(next, _)| u64::try_from(next - 1).ok()),
        })
    }

    fn write_rows(&mut self, rows: &RecordBatch, columns: &Columns) -> Result<()> {
        if matches!(self.out, Out::Closed) {
            self.out = Out::Rows(Box::new(Writer::connect(&self.properties, Reports::Failures)?));
        }
        let Out::Rows(writer) = &mut self.out else {
            return Ok(());
        };
        let mut topics = Topics::default();
        let mut failed = None;
        each_run(rows, columns, self.topic.as_deref(), |topic, rows| {
            let topic = topics.get(topic, |name| Ok(writer.topic(name)?))?;
            let mut left = rows;
            while !left.is_empty() {
                left = &left[writer.queue(topic, left)?..];
                let wait = if left.is_empty() { Duration::ZERO } else { SLICE };
                writer.poll(wait, |report| failed = failed.take().or(report.error))?;
            }
            failed.take().map_or(Ok(()), |error| Err(error.into()))
        })?;
        let timeout_ms = self.properties.get("message.timeout.ms").and_then(|ms| ms.parse().ok());
        let patience = Duration::from_millis(timeout_ms.unwrap_or(ROW_TIMEOUT_MS)) + Duration::from_secs(10);
        writer.finish(patience, |report| failed = failed.take().or(report.error))?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Ledger {
    fn write(&mut self, batch_id: u64, rows: &RecordBatch, columns: &Columns, topic: Option<&str>) -> Result<()> {
        let transactions = &mut self.transactions;
        let mut topics = Topics::default();
        transactions.begin()?;
        each_run(rows, columns, topic, |topic, rows| {
            let topic = topics.get(topic, |name| Ok(transactions.topic(name)?))?;
            Ok(transactions.write(topic, rows)?)
        })?;
        let next = i64::try_from(batch_id + 1).unwrap_or(i64::MAX);
        transactions.commit(&self.mark, next)?;
        self.last_batch = Some(batch_id);
        Ok(())
    }
}

impl Sink for KafkaSink {
    fn check_columns(&self, schema: &Schema) -> Result<()> {
        Columns::of(schema, self.topic.is_some()).map(drop)
    }

    fn open(&mut self, checkpoint_id: Option<&str>) -> Result<()> {
        if self.guarantee == Guarantee::ExactlyOnce {
            let id = checkpoint_id.ok_or_else(|| {
                Error::Invalid("an exactly-once sink needs a checkpoint: its transactions are told by it".to_string())
            })?;
            self.out = Out::Batches(Box::new(self.open_ledger(id)?));
        }
        Ok(())
    }

    fn write(&mut self, batch_id: u64, rows: &RecordBatch, _mode: OutputMode) -> Result<()> {
        let columns = Columns::of(rows.schema_ref(), self.topic.is_some())?;
        match &mut self.out {
            _ if rows.num_rows() == 0 => Ok(()),
            Out::Batches(ledger) if ledger.last_batch.is_some_and(|last| batch_id <= last) => Ok(()),
            Out::Batches(ledger) => ledger.write(batch_id, rows, &columns, self.topic.as_deref()),
            _ => self.write_rows(rows, &columns),
        }
    }

    fn needs_checkpoint(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        match &self.topic {
            Some(topic) => format!("KafkaSink[{topic}]"),
            None => "KafkaSink".to_string(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

/// Handles of topics by name.
#[derive(Default)]
struct Topics(BTreeMap<String, TopicHandle>);

impl Topics {
    fn get(&mut self, name: &str, make: impl FnOnce(&str) -> Result<TopicHandle>) -> Result<&TopicHandle> {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_string(), make(name)?);
        }
        Ok(&self.0[name])
    }
}

/// Hands `send` the rows in order, some at once, each time those of one topic.
fn each_run(
    rows: &RecordBatch,
    columns: &Columns,
    topic: Option<&str>,
    mut send: impl FnMut(&str, &[Row]) -> Result<()>,
) -> Result<()> {
    let batch = Batch::of(rows, columns);
    let mut start = 0;
    while start < rows.num_rows() {
        let named = batch.topic(start)?;
        let mut end = start + 1;
        while end < rows.num_rows().min(start + ROWS_AT_ONCE) && batch.topic(end)? == named {
            end += 1;
        }
        let mut headers = Vec::new();
        let ranges = (start..end)
            .map(|row| batch.headers(row, &mut headers))
            .collect::<Result<Vec<_>>>()?;
        let run = (start..end)
            .zip(ranges)
            .map(|(row, range)| batch.row(row, &headers[range]));
        send(named.or(topic).unwrap_or_default(), &run.collect::<Vec<_>>())?;
        start = end;
    }
    Ok(())
}

/// The properties of the producer: Java's defaults where they differ, so that nothing is doubled or reordered on the way.
fn client(properties: &Properties, options: &mut Options) -> Result<Properties> {
    let mut properties = properties.clone();
    for (name, value) in options.with_prefix("kafka.") {
        if let "key.serializer" | "value.serializer" = name.as_str() {
            let what = if name.starts_with("key") { "keys" } else { "value" };
            return Err(Error::nameless(format!(
                "Kafka option '{name}' is not supported as {what} are serialized with ByteArraySerializer."
            )));
        }
        if name == "transactional.id" {
            return Err(Error::Invalid(
                "`kafka.transactional.id` is the checkpoint's; write `deliveryGuarantee` as `exactly-once`, and \
                 `transactionalIdPrefix` if the id must begin in some way"
                    .to_string(),
            ));
        }
        properties.set(&name, value)?;
    }
    if properties.bootstrap().is_empty() {
        return Err(Error::nameless(
            "Option 'kafka.bootstrap.servers' must be specified for configuring Kafka producer",
        ));
    }
    properties.set_default("enable.idempotence", "true")?;
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(options: &[(&str, &str)]) -> Result<KafkaSink> {
        let options = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        KafkaSink::new(&Properties::new("h:1"), &options)
    }

    #[test]
    fn wrong_options_say_what_to_write() {
        let refused = |options: &[(&str, &str)]| sink(options).map(|_| ()).unwrap_err().to_string();
        let messages = [
            refused(&[("deliveryGuarantee", "twice")]),
            refused(&[("deliveryGuarantee", "exactly-once")]),
            refused(&[("topic", "a b")]),
            refused(&[("topic", "t"), ("kafka.value.serializer", "x")]),
            refused(&[("topic", "t"), ("kafka.transactional.id", "x")]),
            refused(&[("topic", "t"), ("kafka.sasl.pasword", "alice-pw")]),
        ];
        insta::assert_snapshot!(messages.join("\n"), @r##"
        `twice` is no deliveryGuarantee; write `at-least-once` or `exactly-once`
        an exactly-once sink keeps the number of its last batch as a group's offset of a topic, and here each row names its own; give option `markTopic` a topic that stays
        `a b` is no topic name; it takes up to 249 letters, digits, `.`, `_` and `-`
        Kafka option 'value.serializer' is not supported as value are serialized with ByteArraySerializer.
        `kafka.transactional.id` is the checkpoint's; write `deliveryGuarantee` as `exactly-once`, and `transactionalIdPrefix` if the id must begin in some way
        there is no property `sasl.pasword`; did you mean `sasl.password`?
        "##);
    }

    #[test]
    fn java_s_defaults_hold_and_options_of_the_source_are_remarked_on() {
        let sink = sink(&[
            ("topic", " t "),
            ("startingOffsets", "earliest"),
            ("kafka.linger.ms", "7"),
        ])
        .unwrap();
        assert_eq!(sink.describe(), "KafkaSink[t]");
        assert_eq!(sink.properties.get("enable.idempotence"), Some("true"));
        assert_eq!(sink.properties.get("linger.ms"), Some("7"));
        assert_eq!(
            sink.remarks(),
            ["option `startingOffsets` is not known and changes nothing"]
        );
    }

    #[test]
    fn an_exactly_once_sink_needs_a_checkpoint() {
        let mut sink = sink(&[("topic", "t"), ("deliveryGuarantee", "Exactly-Once")]).unwrap();
        let error = sink.open(None).unwrap_err();
        insta::assert_snapshot!(error, @"an exactly-once sink needs a checkpoint: its transactions are told by it");
    }
}
