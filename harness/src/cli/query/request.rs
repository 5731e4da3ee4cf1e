//! A query as the arguments ask for it, found sound. Options may hold passwords, so none of this is ever printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::datatypes::SchemaRef;
use skirl_engine::sql::WatermarkSpec;
use skirl_kafka::Address;

use crate::cli::kafka::KafkaArgs;
use crate::job::{OutputMode, SinkFormat, Trigger, View};

/// A streaming query, where its rows come from and where they go.
#[derive(Clone)]
pub struct Request {
    /// Spark's SQL.
    pub sql: String,
    /// Streams in the order of the arguments.
    pub streams: Vec<StreamRequest>,
    /// Static tables.
    pub tables: Vec<TableRequest>,
    /// Views in the order of the arguments.
    pub views: Vec<View>,
    /// What a batch emits.
    pub output_mode: OutputMode,
    /// When a batch runs; `None`: as soon as there are rows.
    pub trigger: Option<Trigger>,
    /// Where rows go.
    pub sink: SinkRequest,
    /// Where progress and state are kept.
    pub checkpoint: Option<PathBuf>,
    /// How brokers are reached.
    pub kafka: KafkaArgs,
    /// Spark's settings.
    pub conf: BTreeMap<String, String>,
    /// The query's name.
    pub name: Option<String>,
}

/// A static table as the arguments describe it.
#[derive(Clone)]
pub struct TableRequest {
    /// Its name in SQL.
    pub name: String,
    /// Where its rows come from.
    pub source: TableSource,
    /// Its columns, where values are JSON objects.
    pub schema: Option<SchemaRef>,
    /// Options of a table of Kafka's, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// Where the rows of a static table come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableSource {
    /// A file.
    File(PathBuf),
    /// A topic of Kafka, as it is at the start.
    Topic(Address),
}

/// A stream as the arguments describe it.
#[derive(Clone)]
pub struct StreamRequest {
    /// Its name in SQL.
    pub name: String,
    /// Where its rows come from.
    pub source: SourceRequest,
    /// Its columns; `None`: inferred from its files, or `value STRING` of a socket.
    pub schema: Option<SchemaRef>,
    /// The format of its files; `None`: their extension says it.
    pub format: Option<String>,
    /// A watermark on the stream itself.
    pub watermark: Option<WatermarkSpec>,
    /// Options of the source, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// Where the rows of a stream come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceRequest {
    /// The files of a directory.
    Directory(PathBuf),
    /// The lines a socket sends.
    Socket {
        /// The host to connect to.
        host: String,
        /// The port to connect to.
        port: u16,
    },
    /// A topic of Kafka; without one, options say which.
    Topic(Address),
}

/// Where rows go.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkRequest {
    /// The place.
    pub place: SinkPlace,
    /// Options of the sink, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// The place rows go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkPlace {
    /// Standard output.
    Console,
    /// A table that is shown at the end.
    Memory,
    /// Nowhere, as Spark's `noop`: for what a query costs by itself.
    Noop,
    /// Files of a format in a directory.
    Files(SinkFormat, PathBuf),
    /// A topic of Kafka; without one, rows name theirs.
    Topic(Address),
}
