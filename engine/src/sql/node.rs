//! The plan nodes SQL has and DataFusion has not: streams, watermarks, time windows.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use datafusion::common::{Column, DFSchema, DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, TableSource, UserDefinedLogicalNodeCore};

use super::function::window;
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
        let schema = with_window_column(&input, name)?;
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
        last_column(&self.schema)
    }

    /// The window as a function of the input's columns, where a row has exactly one.
    pub fn only_window(&self) -> Option<Expr> {
        let sizes = (self.duration_us, self.slide_us, self.start_us);
        let window = (self.duration_us == self.slide_us).then(|| window::window(sizes, 0, Self::window_type()))?;
        Some(window.call(vec![self.time.clone()]))
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

/// `session_window(time, gap)`: adds one struct column with the session a row opens; rows whose time is NULL leave.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionWindowNode {
    /// What it stands on.
    pub input: LogicalPlan,
    /// The time, an expression of type [`timestamp_type`] over the input.
    pub time: Expr,
    /// How long a session lasts after its last row: text as Spark spells intervals.
    pub gap: Expr,
    /// The input's columns, then the session column: `struct<start: timestamp, end: timestamp>`, not null.
    pub schema: DFSchemaRef,
}

impl SessionWindowNode {
    /// A node whose session column is called `name` (no qualifier).
    pub fn try_new(input: LogicalPlan, time: Expr, gap: Expr, name: &str) -> Result<Self> {
        let schema = with_window_column(&input, name)?;
        Ok(Self {
            input,
            time,
            gap,
            schema,
        })
    }

    /// The name of the session column, the last of the schema.
    pub fn window_column(&self) -> Column {
        last_column(&self.schema)
    }
}

impl PartialOrd for SessionWindowNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.time).partial_cmp(&(&other.input, &other.time))
    }
}

impl UserDefinedLogicalNodeCore for SessionWindowNode {
    fn name(&self) -> &str {
        "SessionWindow"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone(), self.gap.clone()]
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SessionWindow: {}, gap {}", self.time, self.gap)
    }
    fn with_exprs_and_inputs(&self, mut exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let name = self.window_column().name;
        let (time, gap) = (exprs.swap_remove(0), exprs.swap_remove(0));
        Self::try_new(inputs.swap_remove(0), time, gap, &name)
    }
}

/// ROLLUP, CUBE and GROUPING SETS: each row once for every set, with the keys of the set and NULL for the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupingSetsNode {
    /// What it stands on.
    pub input: LogicalPlan,
    /// What is grouped by, over the input.
    pub keys: Vec<Expr>,
    /// For each set, the positions of its keys.
    pub sets: Vec<Vec<usize>>,
    /// The input's columns; the keys; the grouping id, a `bigint` whose bits are 1 for keys the set has not, the first
    /// key's the highest; the position of the set, a `bigint`.
    pub schema: DFSchemaRef,
}

impl GroupingSetsNode {
    /// A node over `input`.
    pub fn try_new(input: LogicalPlan, keys: Vec<Expr>, sets: Vec<Vec<usize>>) -> Result<Self> {
        let mut fields = vec![];
        for (number, key) in keys.iter().enumerate() {
            let (_, field) = key.to_field(input.schema())?;
            let (data_type, metadata) = (field.data_type().clone(), field.metadata().clone());
            fields.push(Field::new(format!("__key{number}"), data_type, true).with_metadata(metadata));
        }
        fields.push(Field::new("__grouping_id", DataType::Int64, false));
        fields.push(Field::new("__grouping_set", DataType::Int64, false));
        let added = DFSchema::from_unqualified_fields(fields.into(), Default::default())?;
        let schema = Arc::new(input.schema().join(&added)?);
        Ok(Self {
            input,
            keys,
            sets,
            schema,
        })
    }

    /// The columns it adds: keys, grouping id, position of the set.
    pub fn added(&self) -> Vec<Column> {
        self.schema.columns().split_off(self.input.schema().fields().len())
    }

    /// The grouping id of a set.
    pub fn grouping_id(&self, set: usize) -> i64 {
        let bit = |key: usize| i64::from(!self.sets[set].contains(&key));
        (0..self.keys.len()).fold(0, |id, key| id << 1 | bit(key))
    }
}

impl PartialOrd for GroupingSetsNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.keys).partial_cmp(&(&other.input, &other.keys))
    }
}

impl UserDefinedLogicalNodeCore for GroupingSetsNode {
    fn name(&self) -> &str {
        "GroupingSets"
    }
    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }
    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }
    fn expressions(&self) -> Vec<Expr> {
        self.keys.clone()
    }
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema().fields().iter().map(|f| f.name().clone()).collect()
    }
    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "GroupingSets: {:?} of {:?}", self.sets, self.keys)
    }
    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Self::try_new(inputs.swap_remove(0), exprs, self.sets.clone())
    }
}

/// The columns of `input`, and a window column behind them.
fn with_window_column(input: &LogicalPlan, name: &str) -> Result<DFSchemaRef> {
    let window = DFSchema::from_unqualified_fields(
        vec![Field::new(name, TimeWindowNode::window_type(), false)].into(),
        Default::default(),
    )?;
    Ok(Arc::new(input.schema().join(&window)?))
}

fn last_column(schema: &DFSchemaRef) -> Column {
    let (qualifier, field) = schema.qualified_field(schema.fields().len() - 1);
    Column::new(qualifier.cloned(), field.name())
}

impl Hash for StreamTable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}
