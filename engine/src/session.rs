//! A session: the streams, tables and views queries can read, and the queries that run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;

use crate::query::StreamWriter;
use crate::source::Source;
use crate::sql::{Catalog, WatermarkSpec};
use crate::{Error, Result};

/// Makes a source for each query that reads a stream.
pub(crate) type SourceMaker = Arc<dyn Fn() -> Result<Box<dyn Source>> + Send + Sync>;

/// Names of the queries that run.
pub(crate) type ActiveNames = Arc<Mutex<BTreeSet<String>>>;

/// Streams, tables and views by name.
pub struct Session {
    catalog: Catalog,
    sources: BTreeMap<String, SourceMaker>,
    active: ActiveNames,
}

impl Session {
    /// A session with Spark settings by Spark's names (`spark.sql.ansi.enabled`).
    pub fn new(conf: BTreeMap<String, String>) -> Self {
        Self {
            catalog: Catalog::new(conf),
            sources: BTreeMap::new(),
            active: ActiveNames::default(),
        }
    }

    /// The names queries can read.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Names a stream. Every query that reads it makes a source of its own.
    ///
    /// # Errors
    /// A schema SQL cannot read.
    pub fn read_stream(
        &mut self,
        name: &str,
        schema: SchemaRef,
        make: impl Fn() -> Result<Box<dyn Source>> + Send + Sync + 'static,
    ) -> Result<()> {
        self.catalog.add_stream(name, schema)?;
        self.sources.insert(name.to_string(), Arc::new(make));
        Ok(())
    }

    /// Names a static table; an older one of the name is replaced.
    ///
    /// # Errors
    /// Rows SQL cannot read.
    pub fn add_table(&mut self, name: &str, rows: RecordBatch) -> Result<()> {
        self.catalog.add_table(name, rows)
    }

    /// Names a view, with a watermark if it has one. Nothing runs.
    ///
    /// # Errors
    /// SQL or a watermark Spark refuses.
    pub fn create_view(&mut self, name: &str, sql: &str, watermark: Option<&WatermarkSpec>) -> Result<()> {
        self.catalog.create_view(name, sql, watermark)
    }

    /// A streaming query, ready to be told its mode, sink and trigger.
    ///
    /// # Errors
    /// SQL Spark refuses.
    pub fn write_stream(&self, sql: &str) -> Result<StreamWriter<'_>> {
        let plan = self.catalog.plan(sql)?;
        Ok(StreamWriter::new(self, sql, plan))
    }

    /// The answer of a batch query over static tables, memory sinks' among them.
    ///
    /// # Errors
    /// SQL Spark refuses, or a query over a stream.
    pub fn query(&self, sql: &str) -> Result<RecordBatch> {
        self.catalog.query_table(sql)
    }

    pub(crate) fn source(&self, stream: &str) -> Result<Box<dyn Source>> {
        let make = self.sources.get(stream);
        make.ok_or_else(|| Error::Invalid(format!("stream `{stream}` has a schema and no source")))?()
    }

    pub(crate) fn active(&self) -> &ActiveNames {
        &self.active
    }

    /// The plan of a query, for those who want to look at it.
    ///
    /// # Errors
    /// SQL Spark refuses.
    pub fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        self.catalog.plan(sql)
    }
}

/// A query's hold on its name; the name is free again when it is dropped.
pub(crate) struct NameHold {
    name: String,
    active: ActiveNames,
}

impl NameHold {
    pub(crate) fn take(name: &str, active: &ActiveNames) -> Result<Self> {
        let mut names = active.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.insert(name.to_string()) {
            return Err(Error::nameless(format!(
                "Cannot start query with name {name} as a query with that name is already active in this SparkSession"
            )));
        }
        Ok(Self {
            name: name.to_string(),
            active: Arc::clone(active),
        })
    }
}

impl Drop for NameHold {
    fn drop(&mut self) {
        self.active
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.name);
    }
}
