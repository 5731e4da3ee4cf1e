//! Expressions that are ready to be evaluated.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use skirl_engine::{Result, sql};

use super::tree::{Attribute, asks_for_time, df_schema_of};

/// An expression compiled against the columns it stands on.
#[derive(Debug, Clone)]
pub(super) struct Scalar(Arc<dyn PhysicalExpr>);

impl Scalar {
    pub fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        Ok(self.0.evaluate(rows)?.into_array(rows.num_rows())?)
    }
}

/// Compiles expressions and notices what the answer depends on besides the rows.
#[derive(Default)]
pub(super) struct Compiler {
    /// Whether an expression asks for the time of the batch.
    pub asks_for_time: bool,
    /// A subquery or a constant that fails; it does so as soon as the query runs.
    pub failure: Option<skirl_engine::Error>,
}

impl Compiler {
    pub fn schema(&self, columns: &[Attribute]) -> DFSchema {
        df_schema_of(columns)
    }

    pub fn scalar(&mut self, expr: &Expr, schema: &DFSchema) -> Result<Scalar> {
        self.asks_for_time |= asks_for_time(expr);
        let has_subquery = expr
            .exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_))))
            .expect("the walk does not fail");
        let resolved = match has_subquery {
            true => sql::resolve_scalar_subqueries(expr.clone()),
            false => Ok(expr.clone()),
        };
        match resolved.and_then(|expr| sql::physical_expr(&expr, schema)) {
            Ok(physical) => Ok(Scalar(physical)),
            Err(error) => {
                self.failure.get_or_insert(error);
                Ok(Scalar(datafusion::physical_expr::expressions::lit(
                    datafusion::common::ScalarValue::Null,
                )))
            }
        }
    }

    pub fn scalars(&mut self, exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Scalar>> {
        exprs.iter().map(|e| self.scalar(e, schema)).collect()
    }
}
