//! Spark's SQL over DataFusion: from text to a resolved, typed, *unoptimised* logical plan.
//!
//! Everything here is shared by the engine and the oracle, so that the same words mean the same: the parser, Spark's
//! spellings and typing, scalar functions, output names. Window arithmetic, watermark rules and filter placement do
//! *not* live here: both sides derive them on their own. (Batch queries on static tables have no sides, so
//! [`execute_static`] assigns windows by itself.)
//!
//! The plan that [`Catalog::plan`] returns consists of these nodes only:
//! - `TableScan` over a [`StreamTable`] (a stream's leaf) or over any other provider (a static table; executable);
//! - `SubqueryAlias`, `Projection`, `Filter`, `Join`, `Aggregate`, `Union`, `Sort`, `Limit`, `EmptyRelation`, `Values`;
//!   `SELECT DISTINCT` has become an `Aggregate` over all columns without aggregate expressions;
//! - `Extension` with a [`WatermarkNode`] (`withWatermark`), a [`TimeWindowNode`] (`window(...)`) or a
//!   [`SessionWindowNode`] (`session_window(...)`), one below the node that uses it; the window column is a plain column
//!   above. A [`GroupingSetsNode`] stands right below the aggregation of a ROLLUP, CUBE or GROUPING SETS.
//!
//! Types are final: `create_physical_expr` works on every expression as it stands. IN, EXISTS and correlated scalar
//! subqueries have become joins; an uncorrelated scalar subquery is an `Expr::ScalarSubquery` over a static plan.
//! Timestamps are [`timestamp_type`], strings `Utf8`, `time ± INTERVAL` a `BinaryExpr` with a `DurationMicrosecond`
//! (or, for months, `IntervalYearMonth`) literal, `window.start` a call of `get_field`.
//!
//! A join's whole condition is its `filter`, a conjunction; `on` is empty. Besides the joins a query writes there are
//! `LeftSemi` and `LeftAnti` (IN and EXISTS at the top of WHERE), `LeftMark` (elsewhere) and `Left` (correlated scalar
//! subqueries), all with a static right side. An EXCEPT is an `Aggregate` over all columns of a `LeftAnti`, and
//! [`SetDifference`] knows it. An explicit CROSS JOIN, which Spark does not run on two streams even where
//! WHERE gives it an equality, is an inner join whose constraint is `Using`. Aggregates and their keys are bare, without
//! aliases: a projection above names them.
//!
//! Conditions stay plain conjunctions, so that they can be split; [`physical_expr`] puts Spark's short circuits back.
//!
//! Spark allows two columns of one name, DataFusion does not: [`output_names`] gives the names Spark would, by position.

mod catalog;
mod execute;
mod expr;
mod fold;
mod function;
mod interval;
mod intolerance;
mod node;
mod parse;
mod plan;
mod reads;
mod scope;
mod settings;
#[cfg(test)]
mod tests;
mod types;

pub use catalog::{BatchTime, Catalog, WatermarkSpec};
pub(crate) use execute::with_short_circuits;
pub use execute::{executable, execute_static, physical_expr, resolve_scalar_subqueries};
pub use expr::{is_domain_join, is_subquery_join};
pub use function::is_fallible;
pub use interval::{parse_delay_ms, parse_interval_us};
pub use intolerance::is_null_intolerant;
pub use node::{GroupingSetsNode, SessionWindowNode, StreamTable, TimeWindowNode, WatermarkNode};
pub use plan::SetDifference;
pub use reads::columns_read;
pub use settings::{check_setting, setting_names};
pub use types::{message_type_name, parse_schema_ddl, spark_type_name};

use crate::Error;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::Column;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan};

/// The column `expr` is the `window_time` of, if that is what it is; it carries the event time of the window.
pub fn window_of_time(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == function::window::WINDOW_TIME => match call.args.as_slice() {
            [Expr::Column(window)] => Some(window),
            _ => None,
        },
        _ => None,
    }
}

/// Spark's refusal of a window function over rows (`row_number() OVER (...)`), if an expression has one.
pub fn refused_over_rows(expr: &Expr) -> Option<Error> {
    let name = function::window::function_over_rows(expr)?;
    Some(Error::spark(
        "NON_TIME_WINDOW_NOT_SUPPORTED_IN_STREAMING",
        format!("Window function is not supported in {name}() on streaming DataFrames/Datasets."),
    ))
}

/// Whether a call is the time of the batch: to Spark (`CurrentBatchTimestamp`) it is no more deterministic than a random
/// number. `now()` is another function, and a constant.
pub fn is_batch_time(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if matches!(call.func.name(), "current_timestamp" | "current_date"))
}

/// The Arrow type of Spark's TIMESTAMP: microseconds since 1970-01-01T00:00:00 UTC.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

/// Whether a plan reads a stream.
pub fn is_streaming(plan: &LogicalPlan) -> bool {
    plan.exists(|node| Ok(StreamTable::of(node).is_some())).unwrap_or(false)
}

/// The names of a plan's columns as Spark has them: the plan's own differ where two columns have one name.
pub fn output_names(plan: &LogicalPlan) -> Vec<String> {
    plan.schema()
        .fields()
        .iter()
        .map(|field| plan::spark_name(field))
        .collect()
}
