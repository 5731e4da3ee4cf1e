//! What is run: a query with the streams, tables and views it reads, and how it is driven.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use skirl_engine::sql::{Catalog, WatermarkSpec};

use crate::scenario::{WrongSchema, parse_schema};

/// A query and everything that decides its answer, except the rows of its streams.
#[derive(Debug, Clone)]
pub struct Job {
    /// Streams by name, in the order of their offsets; rows are in the trace.
    pub streams: Vec<(String, SchemaRef)>,
    /// Static tables by name.
    pub tables: Vec<(String, RecordBatch)>,
    /// Views in the order they are made.
    pub views: Vec<View>,
    /// The query.
    pub sql: String,
    /// Append, update or complete.
    pub output_mode: OutputMode,
    /// Spark's settings that change results, by Spark's names.
    pub conf: BTreeMap<String, String>,
    /// How micro-batches become visible.
    pub feed: Feed,
    /// What `current_timestamp()` is in each executed batch.
    pub clock: BatchClock,
    /// When a batch runs.
    pub trigger: Trigger,
    /// Where the rows go; never decides the answer, but may refuse the query.
    pub sink: Sink,
}

impl Job {
    /// A query over streams, each a name and a schema such as `district STRING, timestamp TIMESTAMP`. Append mode, a
    /// backlog, and nothing else.
    ///
    /// # Errors
    /// A schema that cannot be read.
    pub fn new(streams: &[(&str, &str)], sql: &str) -> Result<Job, WrongSchema> {
        let stream = |(name, ddl): &(&str, &str)| Ok((name.to_string(), parse_schema(ddl)?));
        Ok(Job {
            streams: streams.iter().map(stream).collect::<Result<_, WrongSchema>>()?,
            tables: Vec::new(),
            views: Vec::new(),
            sql: sql.to_string(),
            output_mode: OutputMode::Append,
            conf: BTreeMap::new(),
            feed: Feed::Backlog,
            clock: BatchClock::default(),
            trigger: Trigger::AvailableNow,
            sink: Sink::default(),
        })
    }

    /// What the query may read: streams, tables and views.
    ///
    /// # Errors
    /// Two of one name, a view that cannot be planned.
    pub fn catalog(&self) -> skirl_engine::Result<Catalog> {
        let mut catalog = Catalog::new(self.conf.clone());
        for (name, schema) in &self.streams {
            catalog.add_stream(name, schema.clone())?;
        }
        for (name, rows) in &self.tables {
            catalog.add_table(name, rows.clone())?;
        }
        for view in &self.views {
            catalog.create_view(&view.name, &view.sql, view.watermark.as_ref())?;
        }
        Ok(catalog)
    }

    /// Adds a view; `watermark` is a column and a delay.
    pub fn add_view(&mut self, name: &str, sql: &str, watermark: Option<(&str, &str)>) {
        let watermark = watermark.map(|(column, delay)| WatermarkSpec {
            column: column.to_string(),
            delay: delay.to_string(),
        });
        self.views.push(View {
            name: name.to_string(),
            sql: sql.to_string(),
            watermark,
            drop_duplicates: None,
        });
    }

    /// Adds a static table whose rows are texts that can be read as the types of `ddl`.
    ///
    /// # Errors
    /// A schema that cannot be read, or a value its type cannot.
    pub fn add_table<const N: usize>(
        &mut self,
        name: &str,
        ddl: &str,
        rows: &[[String; N]],
    ) -> Result<(), WrongSchema> {
        let schema = parse_schema(ddl)?;
        let strict = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let columns = schema.fields().iter().enumerate().map(|(n, field)| {
            let texts: StringArray = rows.iter().map(|row| Some(row[n].as_str())).collect();
            cast_with_options(&texts, field.data_type(), &strict)
        });
        let table = columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new(schema, columns))
            .map_err(|error| WrongSchema {
                message: format!("table `{name}`: {error}"),
                help: "correct its rows".to_string(),
            })?;
        self.tables.push((name.to_string(), table));
        Ok(())
    }
}

/// Where the rows of a query go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// What kind of place.
    pub format: SinkFormat,
    /// The query's name; a memory sink's table has it.
    pub name: Option<String>,
    /// Options of the sink, by Spark's names.
    pub options: BTreeMap<String, String>,
    /// Whether the query is given a checkpoint where it needs one.
    pub checkpoint: bool,
}

impl Default for Sink {
    fn default() -> Self {
        Sink {
            format: SinkFormat::default(),
            name: None,
            options: BTreeMap::new(),
            checkpoint: true,
        }
    }
}

/// What kind of place the rows of a query go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkFormat {
    /// A callback gets every batch.
    #[default]
    ForeachBatch,
    /// A table that SQL can ask, called as the query.
    Memory,
    /// Spark's table layout on standard output.
    Console,
    /// Files of JSON lines.
    Json,
    /// Files of comma-separated values.
    Csv,
    /// Parquet files.
    Parquet,
}

impl SinkFormat {
    /// Every format under the name a user writes.
    pub const ALL: &[(&str, SinkFormat)] = &[
        ("foreach-batch", SinkFormat::ForeachBatch),
        ("memory", SinkFormat::Memory),
        ("console", SinkFormat::Console),
        ("json", SinkFormat::Json),
        ("csv", SinkFormat::Csv),
        ("parquet", SinkFormat::Parquet),
    ];

    /// The name a user writes.
    pub fn name(self) -> &'static str {
        let named = SinkFormat::ALL.iter().find(|(_, format)| *format == self);
        named.map(|(name, _)| *name).expect("every format has a name")
    }

    /// Whether rows go to files of a directory.
    pub fn is_files(self) -> bool {
        matches!(self, SinkFormat::Json | SinkFormat::Csv | SinkFormat::Parquet)
    }
}

/// A view: `sql`, then a watermark, then deduplication.
#[derive(Debug, Clone)]
pub struct View {
    /// Its name.
    pub name: String,
    /// What it selects.
    pub sql: String,
    /// `withWatermark`, if it has one.
    pub watermark: Option<WatermarkSpec>,
    /// `dropDuplicates` on these columns (all if empty), if it has one.
    pub drop_duplicates: Option<DropDuplicates>,
}

/// `dropDuplicates` or `dropDuplicatesWithinWatermark` of a view.
#[derive(Debug, Clone)]
pub struct DropDuplicates {
    /// The columns that make a duplicate; empty for all.
    pub columns: Vec<String>,
    /// `dropDuplicatesWithinWatermark`.
    pub within_watermark: bool,
}

/// Output modes and triggers by Spark's names.
pub use skirl_engine::{OutputMode, Trigger};

/// How micro-batches become visible to the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// All are there before the query starts; it runs AvailableNow.
    Backlog,
    /// One is put there, the query runs AvailableNow until it ends, and starts again from its checkpoint with the next.
    Drip,
    /// Backlog pieces, the query restarting from its checkpoint before each of these micro-batches (ascending).
    RestartBefore(Vec<usize>),
}

/// The time of executed batch `n`: `start_ms + n * step_ms`, so that a run can be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchClock {
    /// Time of batch 0 in milliseconds since 1970-01-01T00:00:00 UTC.
    pub start_ms: i64,
    /// Milliseconds from one executed batch to the next.
    pub step_ms: i64,
}

impl Default for BatchClock {
    /// A second a batch, from 2024-12-03T10:00:00Z, the day of Skirl's examples.
    fn default() -> Self {
        BatchClock {
            start_ms: 1_733_220_000_000,
            step_ms: 1_000,
        }
    }
}

impl BatchClock {
    /// The time of batch `batch_id` in milliseconds.
    pub fn at(&self, batch_id: u64) -> i64 {
        self.start_ms + batch_id as i64 * self.step_ms
    }
}
