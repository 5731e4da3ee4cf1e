//! The names a query can read, and the door from SQL to a plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, TableScanBuilder};

use super::execute;
use super::interval::parse_delay_ms;
use super::node::StreamTable;
use super::parse::{parse_query, too_complex};
use super::plan::{Env, Planner, attrs_of, watermark_node};
use super::scope::{Rel, Scope};
use super::settings;
use crate::{Error, Result};

/// How tall a plan may be, so that no chain of views, CTEs or joins can exhaust the stack of what goes through it.
const HEIGHT_MAX: usize = 1_000;

/// The event-time column and delay of a view's `withWatermark`, as a user writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkSpec {
    /// A top-level column of the view.
    pub column: String,
    /// A duration as Spark spells it: `30 seconds`.
    pub delay: String,
}

/// The time `current_timestamp()` answers, in milliseconds since 1970-01-01T00:00:00 UTC: the time of the batch.
///
/// Clones share the value, so whoever runs a plan sets it before each batch.
#[derive(Debug, Clone, Default)]
pub struct BatchTime(Arc<AtomicI64>);

impl BatchTime {
    /// Sets the time of the batch that runs next.
    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::Relaxed);
    }
    /// The time of the batch that runs, in milliseconds.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Streams, static tables and views by name, and the settings that change what SQL means.
///
/// Names are case-insensitive. Views are lazy: they are plans.
pub struct Catalog {
    conf: BTreeMap<String, String>,
    batch_time: BatchTime,
    relations: BTreeMap<String, LogicalPlan>,
    tables: BTreeMap<String, Arc<MemTable>>,
    /// How many watermarks were defined so far.
    definitions: AtomicUsize,
}

impl Catalog {
    /// An empty catalog; of `conf`, the front end itself reads `spark.sql.ansi.enabled` (on by default).
    pub fn new(conf: BTreeMap<String, String>) -> Self {
        Self {
            conf,
            batch_time: BatchTime::default(),
            relations: BTreeMap::new(),
            tables: BTreeMap::new(),
            definitions: AtomicUsize::new(0),
        }
    }

    /// The settings the catalog was made with.
    pub fn conf(&self) -> &BTreeMap<String, String> {
        &self.conf
    }

    /// The clock of every plan of this catalog.
    pub fn batch_time(&self) -> &BatchTime {
        &self.batch_time
    }

    /// Whether overflow, division by zero and malformed casts are errors.
    pub(super) fn ansi(&self) -> bool {
        self.conf
            .get("spark.sql.ansi.enabled")
            .is_none_or(|value| !value.eq_ignore_ascii_case("false"))
    }

    /// The number of the watermark that is defined next.
    pub(super) fn new_definition(&self) -> usize {
        self.definitions.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn relation(&self, name: &str) -> Option<&LogicalPlan> {
        self.relations.get(&name.to_lowercase())
    }

    /// Adds a stream, or replaces what has its name.
    ///
    /// # Errors
    /// If two columns have one name.
    pub fn add_stream(&mut self, name: &str, schema: SchemaRef) -> Result<()> {
        // Whatever a source says, a row of a stream may miss any value.
        let fields = schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let key = name.to_lowercase();
        let source = Arc::new(StreamTable {
            name: name.to_string(),
            schema,
        });
        let scan = TableScanBuilder::new(TableReference::bare(key.clone()), source).build()?;
        self.tables.remove(&key);
        self.relations.insert(key, LogicalPlan::TableScan(scan));
        Ok(())
    }

    /// Adds a static table, or replaces what has its name.
    ///
    /// # Errors
    /// If two columns have one name.
    pub fn add_table(&mut self, name: &str, rows: RecordBatch) -> Result<()> {
        let key = name.to_lowercase();
        let table = Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?);
        let source = provider_as_source(Arc::clone(&table) as _);
        let scan = TableScanBuilder::new(TableReference::bare(key.clone()), source).build()?;
        self.tables.insert(key.clone(), table);
        self.relations.insert(key, LogicalPlan::TableScan(scan));
        Ok(())
    }

    /// Adds a view, or replaces what has its name; with a watermark, the view is `withWatermark` over its query.
    ///
    /// # Errors
    /// What [`Catalog::plan`] refuses; a watermark on no column, on no timestamp, or with a delay that is negative or no
    /// interval.
    pub fn create_view(&mut self, name: &str, sql: &str, watermark: Option<&WatermarkSpec>) -> Result<()> {
        let mut rel = self.rel(sql)?;
        if let Some(WatermarkSpec { column, delay }) = watermark {
            // PySpark's own check, before Spark is asked: an empty text is none.
            for (argument, text) in [("eventTime", column), ("delayThreshold", delay)] {
                if text.is_empty() {
                    let message = format!("Argument `{argument}` should be str, got str.");
                    return Err(Error::spark("NOT_EXPECTED_TYPE", message));
                }
            }
            let delay_ms = parse_delay_ms(delay)?;
            let attr = {
                let scope = Scope::new(&rel, None);
                let column = column.trim();
                let quoted = column.starts_with('`') && column.ends_with('`');
                if column.contains('.') && !quoted {
                    return Err(Error::spark(
                        "EVENT_TIME_MUST_BE_TOP_LEVEL_COLUMN",
                        format!(
                            "The event time in withWatermark must be a top-level column, but '{column}' is a nested field. \
                             To use it, alias the nested field to a top-level column first."
                        ),
                    ));
                }
                let parts = [column.trim_matches('`').to_string()];
                let found = scope.find(&parts)?.map(|(attr, _)| attr.clone());
                found.ok_or_else(|| scope.unresolved(&parts))?
            };
            rel.plan = watermark_node(rel.plan, &attr, delay_ms, self.new_definition())?;
        }
        let key = name.to_lowercase();
        self.tables.remove(&key);
        self.relations.insert(key, rel.plan);
        Ok(())
    }

    /// Plans a query. See [the module](super) for what the plan consists of.
    ///
    /// # Errors
    /// Spark's syntax and analysis errors, by their conditions; `SKIRL_UNSUPPORTED` for what Skirl does not plan yet.
    pub fn plan(&self, sql: &str) -> Result<LogicalPlan> {
        Ok(self.rel(sql)?.plan)
    }

    fn rel(&self, sql: &str) -> Result<Rel> {
        settings::check(&self.conf)?;
        let query = parse_query(sql)?;
        let planner = Planner::new(self);
        let rel = planner.query(&query, &Env::empty(), None)?.rel;
        check_height(&rel.plan)?;
        Ok(rel)
    }

    /// Runs a batch query on static tables; the batch's columns have Spark's names.
    ///
    /// # Errors
    /// As [`Catalog::plan`], and what a row raises; an error if the query reads a stream.
    pub fn query_table(&self, sql: &str) -> Result<RecordBatch> {
        let plan = self.plan(sql)?;
        let batches = execute::execute_static(&plan)?;
        let fields = attrs_of(&plan, None).into_iter().zip(plan.schema().fields());
        let fields = fields.map(|(attr, field)| {
            field
                .as_ref()
                .clone()
                .with_name(attr.name)
                .with_metadata(Default::default())
        });
        let schema = Arc::new(Schema::new(fields.map(|f| f.with_nullable(true)).collect::<Vec<_>>()));
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let batches = batches.into_iter().map(|batch| {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&schema),
                batch.columns().to_vec(),
                &options,
            )?)
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        debug_assert_eq!(rows, batches.iter().map(RecordBatch::num_rows).sum::<usize>());
        Ok(concat_batches(&schema, &batches)?)
    }
}

/// Refuses a plan that is too tall, without going down into it.
fn check_height(plan: &LogicalPlan) -> Result<()> {
    let mut below = vec![(plan, 1)];
    while let Some((plan, depth)) = below.pop() {
        if depth > HEIGHT_MAX {
            return Err(too_complex());
        }
        below.extend(plan.inputs().into_iter().map(|input| (input, depth + 1)));
    }
    Ok(())
}
