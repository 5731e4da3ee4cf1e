//! Queries over topics of tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use libtest_mimic::Failed;
use skirl_engine::error::in_full;
use skirl_engine::sink::ForeachBatchSink;
use skirl_engine::source::Source;
use skirl_engine::source::kafka::{KafkaSource, KafkaTable};
use skirl_engine::storage::DirStorage;
use skirl_engine::{OutputMode, Session, StreamingQuery, Trigger, read_offset_log};
use skirl_kafka::Properties;

use crate::topic::Topic;

/// A query over topics, with a checkpoint of its own.
pub struct Query {
    properties: Properties,
    pub options: BTreeMap<String, String>,
    pub sql: String,
    mode: OutputMode,
    checkpoint: tempfile::TempDir,
}

/// What a run of a query brought.
#[derive(Debug, Default)]
pub struct Read {
    /// The rows of each batch, as `partition@offset value`.
    pub batches: Vec<Vec<String>>,
    pub warnings: Vec<String>,
}

impl Read {
    /// All rows, in the order of partitions and offsets.
    pub fn rows(&self) -> Vec<String> {
        self.batches.concat()
    }
}

/// What the rows of a query look like.
pub const SQL: &str = "SELECT partition, offset, CAST(value AS STRING) AS v FROM t";

impl Query {
    /// A query over all rows of a topic, from its beginning.
    pub fn new(topic: &Topic) -> Result<Query, Failed> {
        Ok(Query::of(&topic.properties)?
            .with("subscribe", &topic.name)
            .with("startingOffsets", "earliest"))
    }

    /// A query without any option.
    pub fn of(properties: &Properties) -> Result<Query, Failed> {
        Ok(Query {
            properties: properties.clone(),
            options: BTreeMap::new(),
            sql: SQL.to_string(),
            mode: OutputMode::Append,
            checkpoint: tempfile::tempdir()?,
        })
    }

    pub fn with(mut self, option: &str, value: &str) -> Query {
        self.options.insert(option.to_string(), value.to_string());
        self
    }

    pub fn without(mut self, option: &str) -> Query {
        self.options.remove(option);
        self
    }

    pub fn sql(mut self, sql: &str) -> Query {
        self.sql = sql.to_string();
        self
    }

    /// Emits the whole result with each batch.
    pub fn complete(mut self) -> Query {
        self.mode = OutputMode::Complete;
        self
    }

    pub fn dir(&self) -> &std::path::Path {
        self.checkpoint.path()
    }

    /// Starts the query, or goes on from its checkpoint.
    pub fn start(&self) -> Result<Started, Failed> {
        let mut session = Session::new(BTreeMap::new());
        let source = KafkaSource::new(&self.properties, &self.options)?;
        let (properties, options) = (self.properties.clone(), self.options.clone());
        session.read_stream("t", source.schema(), move || {
            Ok(Box::new(KafkaSource::new(&properties, &options)?))
        })?;
        let emitted = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&emitted);
        let sink = ForeachBatchSink::new(move |_, rows| {
            kept.lock().expect("no batch panics").push(rows.clone());
            Ok(())
        });
        let writer = session
            .write_stream(&self.sql)?
            .output_mode(self.mode)
            .checkpoint(DirStorage::new(self.dir())?);
        Ok(Started {
            query: writer.start(Box::new(sink))?,
            emitted,
        })
    }

    /// Runs everything that is available now.
    pub fn run(&self) -> Result<Read, String> {
        self.start()
            .map_err(|error| format!("{error:?}"))?
            .run(Trigger::AvailableNow)
    }

    /// Why the query fails.
    pub fn fails(&self) -> String {
        match self.run() {
            Err(message) => message,
            Ok(read) => panic!("the query ran: {read:?}"),
        }
    }

    /// Where the batches ended, by the offset log.
    pub fn logged(&self) -> Result<Vec<String>, Failed> {
        let log = read_offset_log(self.dir())?;
        Ok(log
            .iter()
            .map(|batch| batch.ends[0].as_ref().map_or(String::new(), |end| end.0.to_string()))
            .collect())
    }

    /// What a batch query with the same options reads.
    pub fn table(&self) -> Result<KafkaTable, skirl_engine::Error> {
        KafkaTable::read(&self.properties, &self.options)
    }
}

/// A query that was started.
pub struct Started {
    pub query: StreamingQuery,
    emitted: Arc<Mutex<Vec<RecordBatch>>>,
}

impl Started {
    /// Runs by a trigger until it ends by itself.
    pub fn run(&mut self, trigger: Trigger) -> Result<Read, String> {
        let mut warnings = Vec::new();
        self.query
            .run(trigger, |batch| warnings.extend(batch.warnings))
            .map_err(|error| in_full(&error))?;
        Ok(self.taken(warnings))
    }

    /// Runs one batch, if there is anything to do.
    pub fn step(&mut self) -> Result<Read, String> {
        let batch = self.query.run_next().map_err(|error| in_full(&error))?;
        Ok(self.taken(batch.map(|batch| batch.warnings).unwrap_or_default()))
    }

    /// The rows that were emitted since the last time.
    fn taken(&self, warnings: Vec<String>) -> Read {
        let emitted = std::mem::take(&mut *self.emitted.lock().expect("no batch panics"));
        Read {
            batches: emitted.iter().map(lines).collect(),
            warnings,
        }
    }

    /// The batches that were emitted since the last time, as they are.
    pub fn emitted(&self) -> Vec<RecordBatch> {
        std::mem::take(&mut *self.emitted.lock().expect("no batch panics"))
    }
}

/// Rows of [`SQL`] as `partition@offset value`.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let column = |name: &str| rows.column_by_name(name);
    let (Some(partitions), Some(offsets)) = (column("partition"), column("offset")) else {
        return Vec::new();
    };
    let (partitions, offsets) = (
        partitions.as_primitive::<Int32Type>(),
        offsets.as_primitive::<Int64Type>(),
    );
    let values = column("v").map(|values| values.as_string::<i32>());
    let line = |row: usize| {
        let value = match values {
            Some(values) if values.is_valid(row) => values.value(row),
            _ => "NULL",
        };
        format!("{}@{} {value}", partitions.value(row), offsets.value(row))
    };
    (0..rows.num_rows()).map(line).collect()
}
