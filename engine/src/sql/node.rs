//! The plan nodes SQL has and DataFusion has not: streams, watermarks, time windows.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, UserDefinedLogicalNodeCore};

use super::timestamp_type;

/// The leaf of a stream: a name and a schema; rows come from whoever runs the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTable {
    /// The stream's name in the catalog.
    pub name: String,
    /// Its columns, all nullable.
    pub schema: SchemaRef,
}

impl TableSource for StreamTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl StreamTable {
    /// The stream a plan node reads, if it is a stream's leaf.
    pub fn of(plan: &LogicalPlan) -> Option<&StreamTable> {
        match plan {
            LogicalPlan::TableScan(scan) => (scan.source.as_ref() as &dyn std::any::Any).downcast_ref::<StreamTable>(),
            _ => None,
        }
    }
}

/// `withWatermark(column, delay)`; rows pass unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WatermarkNode {
    /// What it stands on.
    pub input: LogicalPlan,
    /// The event-time column of the input: a timestamp, or a window struct (whose `end` counts).
    pub column: Column,
    /// The delay in milliseconds, not negative.
    pub delay_ms: i64,
    /// Which definition of a watermark this is. A view read twice is one definition, and has one watermark.
    pub definition: usize,
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "EventTimeWatermark"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![Expr::Column(self.column.clone())]
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EventTimeWatermark: {}, delay {} ms", self.column, self.delay_ms)
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(Expr::Column(column)) = exprs.pop() else {
            return datafusion::common::plan_err!("the event time of a watermark must stay a column");
        };
        Ok(Self {
            input: inputs.swap_remove(0),
            column,
            delay_ms: self.delay_ms,
            definition: self.definition,
        })
    }
}

/// `window(time, duration, slide, start)`: adds one struct column with the window(s) of each row, one output row per
/// window; rows whose time is NULL leave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimeWindowNode {
    /// What it stands on.
    pub input: LogicalPlan,
    /// The time, an expression of type [`timestamp_type`] over the input.
    pub time: Expr,
    /// Length of a window in microseconds, positive.
    pub duration_us: i64,
    /// Distance between two starts in microseconds, positive and at most the duration.
    pub slide_us: i64,
    /// Offset of the first window from 1970-01-01T00:00:00 UTC in microseconds, less than the slide in size.
    pub start_us: i64,
    /// The input's columns, then the window column: `struct<start: timestamp, end: timestamp>`, not null.
    pub schema: DFSchemaRef,
}

impl TimeWindowNode {
    /// The type of a window column.
    pub fn window_type() -> DataType {
        DataType::Struct(Fields::from(vec![
            Field::new("start", timestamp_type(), true),
            Field::new("end", timestamp_type(), true),
        ]))
    }

    /// A node whose window column is called `name` (no qualifier).
    pub fn try_new(
        input: LogicalPlan,
        time: Expr,
        (duration_us, slide_us, start_us): (i64, i64, i64),
        name: &str,
    ) -> Result<Self> {
        let window = DFSchema::from_unqualified_fields(
            vec![Field::new(name, Self::window_type(), false)].into(),
            Default::default(),
        )?;
        let schema = Arc::new(input.schema().join(&window)?);
        Ok(Self {
            input,
            time,
            duration_us,
            slide_us,
            start_us,
            schema,
        })
    }

    /// The name of the window column, the last of the schema.
    pub fn window_column(&self) -> Column {
        let (qualifier, field) = self.schema.qualified_field(self.schema.fields().len() - 1);
        Column::new(qualifier.cloned(), field.name())
    }
}

impl PartialOrd for TimeWindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.time).partial_cmp(&(&other.input, &other.time))
    }
}

impl UserDefinedLogicalNodeCore for TimeWindowNode {
    fn name(&self) -> &str {
        "TimeWindow"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "TimeWindow: {} AS {}, duration {} us, slide {} us, start {} us",
            self.time,
            self.window_column(),
            self.duration_us,
            self.slide_us,
            self.start_us
        )
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let name = self.window_column().name;
        let sizes = (self.duration_us, self.slide_us, self.start_us);
        Self::try_new(inputs.swap_remove(0), exprs.swap_remove(0), sizes, &name)
    }
}

impl Hash for StreamTable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
