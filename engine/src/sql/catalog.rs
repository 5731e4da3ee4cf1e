//! The names a query can read, and the door from SQL to a plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::LogicalPlan;

use crate::Result;

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
}
impl Catalog { // TEMP until the sql branch lands
  pub fn new(conf: BTreeMap<String,String>)->Self{Self{conf,batch_time:Default::default(),relations:Default::default()}}
  pub fn conf(&self)->&BTreeMap<String,String>{&self.conf}
  pub fn batch_time(&self)->&BatchTime{&self.batch_time}
  pub fn add_stream(&mut self,_:&str,_:SchemaRef)->Result<()>{todo!()}
  pub fn add_table(&mut self,_:&str,_:RecordBatch)->Result<()>{todo!()}
  pub fn create_view(&mut self,_:&str,_:&str,_:Option<&WatermarkSpec>)->Result<()>{todo!()}
  pub fn plan(&self,_:&str)->Result<LogicalPlan>{todo!()}
  pub fn query_table(&self,_:&str)->Result<RecordBatch>{todo!()}
}
