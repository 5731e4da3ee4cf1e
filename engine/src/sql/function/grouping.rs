//! `grouping(key)` and `grouping_id()`: which keys the set of a group has not.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int8Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;

use super::{Kernel, SparkFn, unary_opt};
use crate::{Error, Result};

const GROUPING: &str = "grouping";
const GROUPING_ID: &str = "grouping_id";

/// A call that stands until the groups are known.
pub fn call(name: &str, args: Vec<Expr>) -> Option<(Expr, DataType)> {
    let (name, returns) = match name {
        GROUPING => (GROUPING, DataType::Int8),
        GROUPING_ID => (GROUPING_ID, DataType::Int64),
        _ => return None,
    };
    let never = Kernel::Arrays(|f, _| {
        Err(Error::spark(
            "UNSUPPORTED_GROUPING_EXPRESSION",
            format!("{}() can only be used with GROUPING SETS, CUBE or ROLLUP.", f.name),
        ))
    });
    Some((SparkFn::new(name, returns.clone(), never).call(args), returns))
}

/// Whether an expression is such a call.
pub fn is_grouping(call: &ScalarFunction) -> bool {
    matches!(call.func.name(), GROUPING | GROUPING_ID)
}

/// The call over the grouping id, whose bits are 1 for missing keys, the first key's the highest.
///
/// # Errors
/// If the query has no sets, or does not group by the arguments.
pub fn bits(call: &ScalarFunction, keys: &[Expr], has_sets: bool, grouping_id: Expr) -> Result<Expr> {
    let name = call.func.name();
    if !has_sets {
        return Err(Error::spark(
            "UNSUPPORTED_GROUPING_EXPRESSION",
            format!("{name}() can only be used with GROUPING SETS, CUBE or ROLLUP."),
        ));
    }
    if name == GROUPING_ID {
        if !call.args.is_empty() && call.args != keys {
            return Err(Error::spark(
                "GROUPING_ID_COLUMN_MISMATCH",
                "The columns of grouping_id() are not the grouping columns; write grouping_id() for all of them.",
            ));
        }
        return Ok(grouping_id);
    }
    let Some(position) = call.args.first().and_then(|arg| keys.iter().position(|key| key == arg)) else {
        return Err(Error::spark(
            "GROUPING_COLUMN_MISMATCH",
            "The column of grouping() is no grouping column.",
        ));
    };
    let shift = (keys.len() - 1 - position) as i64;
    let bit = SparkFn::new(
        "grouping_bit",
        DataType::Int8,
        Kernel::Arrays(|f, arrays| {
            let shift = f.int(0);
            let ids = arrays[0].as_primitive::<Int64Type>();
            Ok(Arc::new(unary_opt::<_, _, Int8Type>(ids, |id| {
                Some((id >> shift & 1) as i8)
            })))
        }),
    );
    Ok(bit.params([ScalarValue::from(shift)]).call(vec![grouping_id]))
}
