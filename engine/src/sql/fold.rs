//! Constants that fail.
//!
//! Spark evaluates what is constant when it plans a batch, so `1 / 0` fails even where no row would ask for it. Only
//! the branches of a CASE (and of `if` and `coalesce`, which are CASEs here) are left to the rows that reach them.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, Volatility};

use super::execute::constant;
use super::function::is_fallible;
use crate::Result;

/// The expression with the values of those constants that could fail.
///
/// # Errors
/// What evaluating a constant raises.
pub(super) fn folded(expr: Expr) -> Result<Expr> {
    if is_fallible(&expr) {
        fold(expr, false)
    } else {
        Ok(expr)
    }
}

fn fold(expr: Expr, in_branch: bool) -> Result<Expr> {
    if !is_fallible(&expr) {
        return Ok(expr);
    }
    if is_constant(&expr) {
        return match constant(&expr) {
            Ok(value) => Ok(Expr::Literal(value, None)),
            Err(_) if in_branch => Ok(expr),
            Err(error) => Err(error),
        };
    }
    let in_branch = in_branch || matches!(expr, Expr::Case(_));
    let folded = expr.map_children(|child| Ok(Transformed::yes(fold(child, in_branch)?)))?;
    Ok(folded.data)
}

/// Whether an expression has one value whatever the row, and Spark knows it when it plans.
fn is_constant(expr: &Expr) -> bool {
    let depends = |e: &Expr| match e {
        Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_) | Expr::AggregateFunction(_) => true,
        Expr::ScalarFunction(f) => f.func.signature().volatility != Volatility::Immutable,
        _ => false,
    };
    !expr.exists(|e| Ok(depends(e))).unwrap_or(true)
}
