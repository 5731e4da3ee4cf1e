//! Windows as values: those of batch queries, and the time a window stands for.

use std::sync::Arc;

use arrow::array::{Array, AsArray, StructArray};
use arrow::compute::unary;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;

use super::datetime::timestamps;
use super::{Kernel, SparkFn, unary_opt};
use crate::Error;
use crate::sql::timestamp_type;

/// What `window_time(window)` is called in a plan.
pub const WINDOW_TIME: &str = "window_time";

/// `window_time(window)`: the last microsecond of a window. It keeps the event time of the window.
pub fn window_time() -> SparkFn {
    SparkFn::new(
        WINDOW_TIME,
        timestamp_type(),
        Kernel::Arrays(|_, arrays| {
            let windows = arrays[0].as_struct();
            let ends = windows.column(1).as_primitive::<TimestampMicrosecondType>();
            let times = unary_opt::<_, _, TimestampMicrosecondType>(ends, |us| us.checked_sub(1));
            let nulls = arrow::buffer::NullBuffer::union(times.nulls(), windows.nulls());
            Ok(timestamps(arrow::array::PrimitiveArray::new(
                times.values().clone(),
                nulls,
            )))
        }),
    )
}

/// What a window function over rows is called in a plan.
const OVER_ROWS: &str = "(over rows)";

/// A window function over rows, which is refused before anything runs.
pub fn over_rows(name: &str) -> Expr {
    let never = Kernel::Arrays(|_, _| Err(Error::Invalid("a window function over rows was not refused".into())));
    SparkFn::new(OVER_ROWS, DataType::Null, never)
        .params([ScalarValue::from(name.to_uppercase())])
        .call(vec![])
}

/// The name of a window function over rows in an expression, if there is one.
pub fn function_over_rows(expr: &Expr) -> Option<String> {
    let mut found = None;
    let _ = expr.apply(|e| {
        if let Expr::ScalarFunction(call) = e
            && let Some(function) = call.func.inner().downcast_ref::<SparkFn>()
            && function.name == OVER_ROWS
        {
            found = Some(function.text(0).to_string());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

/// The window number `place` (0 is the latest) of each time, NULL where the time is not inside.
pub fn window((duration, slide, start): (i64, i64, i64), place: i64, returns: DataType) -> SparkFn {
    let params = [duration, slide, start, place].map(ScalarValue::from);
    SparkFn::new(
        "window",
        returns,
        Kernel::Arrays(|f, arrays| {
            let [duration, slide, start, place] = [0, 1, 2, 3].map(|i| f.int(i));
            let times = arrays[0].as_primitive::<TimestampMicrosecondType>();
            let begin = |us: i64| us - (us - start).rem_euclid(slide) - place * slide;
            let starts = unary_opt::<_, _, TimestampMicrosecondType>(times, |us| {
                Some(begin(us)).filter(|begin| us < begin + duration)
            });
            let ends = unary::<_, _, TimestampMicrosecondType>(&starts, |us| us.wrapping_add(duration));
            let nulls = starts.nulls().cloned();
            let DataType::Struct(fields) = &f.returns else {
                return Err(Error::Invalid("a window is a struct".into()));
            };
            Ok(Arc::new(StructArray::try_new(
                fields.clone(),
                vec![timestamps(starts), timestamps(ends)],
                nulls,
            )?))
        }),
    )
    .params(params)
}
