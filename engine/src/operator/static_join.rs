//! A stream meeting a static relation: stateless, so DataFusion runs it as a batch join of each micro-batch.
//!
//! The join is planned once per query; its stream side is a [`Leaf`] whose rows are swapped for every micro-batch.

use std::sync::{Arc, LazyLock, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::provider_as_source;
use datafusion::execution::context::{SessionState, TaskContext};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, collect};
use datafusion::prelude::SessionConfig;

use super::step;
use crate::{Error, Result, sql};

/// The place of a stream's rows in a batch plan.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    schema: SchemaRef,
    rows: Arc<Mutex<Vec<RecordBatch>>>,
}

impl Leaf {
    /// A leaf for rows of `schema`, and the plan that reads it under the names of `schema`.
    ///
    /// # Errors
    /// A schema DataFusion cannot scan.
    pub(crate) fn of(schema: &DFSchema) -> Result<(Leaf, LogicalPlan)> {
        // A scan has one qualifier and unique names; the columns of a stream may have neither.
        let fields = schema.fields().iter().enumerate();
        let fields = fields
            .map(|(i, f)| Field::new(format!("c{i}"), f.data_type().clone(), true))
            .collect::<Vec<_>>();
        let leaf = Leaf {
            schema: Arc::new(Schema::new(fields)),
            rows: Arc::default(),
        };
        let table = StreamingTable::try_new(Arc::clone(&leaf.schema), vec![Arc::new(leaf.clone())])?;
        let names = schema.iter().enumerate().map(|(i, (qualifier, field))| {
            Expr::Column(Column::new(Some("leaf"), format!("c{i}"))).alias_qualified(qualifier.cloned(), field.name())
        });
        let plan = LogicalPlanBuilder::scan("leaf", provider_as_source(Arc::new(table)), None)?
            .project(names)?
            .build()?;
        Ok((leaf, plan))
    }
}

impl PartitionStream for Leaf {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.lock().expect("a leaf is read after it is filled").clone();
        let stream = MemoryStream::try_new(rows, Arc::clone(&self.schema), None);
        Box::pin(stream.expect("without a projection nothing can fail"))
    }
}

/// One thread, no plan that remembers an earlier run.
static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new().with_target_partitions(1);
    let options = config.options_mut();
    options.optimizer.enable_dynamic_filter_pushdown = false; // such plans cannot be run twice
    SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .build()
});

/// A batch plan over a micro-batch's rows.
pub(crate) struct StaticJoin {
    leaf: Leaf,
    plan: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    runtime: tokio::runtime::Runtime,
}

impl StaticJoin {
    /// Plans `join`, whose stream side reads `leaf`.
    ///
    /// # Errors
    /// A plan DataFusion cannot run.
    pub(crate) fn new(join: &LogicalPlan, leaf: Leaf) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| Error::Invalid(format!("cannot start a runtime for the static join: {e}")))?;
        let optimized = sql::with_short_circuits(SESSION.optimize(join)?)?;
        let plan = runtime.block_on(SESSION.query_planner().create_physical_plan(&optimized, &*SESSION))?;
        Ok(Self {
            leaf,
            plan,
            schema: Arc::clone(join.schema().inner()),
            runtime,
        })
    }

    /// The micro-batch's rows joined.
    pub(crate) fn run(&self, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(vec![]); // no allowed join emits anything for an empty stream side
        }
        let rows = rows
            .into_iter()
            .map(|batch| step::under_schema(batch, &self.leaf.schema))
            .collect::<Result<_>>()?;
        *self.leaf.rows.lock().expect("a leaf is filled before it is read") = rows;
        let plan = reset_plan_states(Arc::clone(&self.plan))?;
        let joined = self.runtime.block_on(collect(plan, SESSION.task_ctx()))?;
        self.leaf
            .rows
            .lock()
            .expect("a leaf is emptied after it was read")
            .clear();
        joined
            .into_iter()
            .map(|batch| step::under_schema(batch, &self.schema))
            .collect()
    }
}
