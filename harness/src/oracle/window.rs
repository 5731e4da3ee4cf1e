//! Which windows a time belongs to, derived from the rule alone.

use std::any::Any;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::array::{Array, ArrayRef, StructArray, TimestampMicrosecondArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use skirl_engine::sql::{TimeWindowNode, timestamp_type};

use super::tree::Sizes;

/// The starts of the windows of `time`, latest first.
///
/// Windows are aligned to `sizes.start` after 1970-01-01T00:00:00 UTC, begin every `sizes.slide` and do not hold their
/// end.
pub(super) fn starts(time: i64, sizes: Sizes) -> impl Iterator<Item = i64> {
    let latest = time.wrapping_sub(time.wrapping_sub(sizes.start).rem_euclid(sizes.slide));
    let at_most = sizes.duration.div_euclid(sizes.slide) + i64::from(sizes.duration % sizes.slide != 0);
    (0..at_most)
        .map(move |i| latest.wrapping_sub(i.wrapping_mul(sizes.slide)))
        .filter(move |start| time < start.wrapping_add(sizes.duration))
}

/// Windows by their starts, as Arrow structs.
pub(super) fn windows(starts: Vec<i64>, nulls: Option<NullBuffer>, duration: i64) -> ArrayRef {
    let ends: Vec<i64> = starts.iter().map(|start| start.wrapping_add(duration)).collect();
    let times = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values).with_data_type(timestamp_type()))
    };
    let DataType::Struct(fields) = TimeWindowNode::window_type() else {
        unreachable!("a window is a struct")
    };
    Arc::new(StructArray::new(fields, vec![times(starts), times(ends)], nulls))
}

/// The expression for the one window of a time; windows do not overlap.
pub(super) fn tumbling_window(time: Expr, sizes: Sizes) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::from(TumblingWindow::new(sizes))),
        vec![time],
    ))
}

/// The time expression, if the expression is a [`tumbling_window`].
pub(super) fn time_of_window(expr: &Expr) -> Option<&Expr> {
    Some(window_call(expr)?.0)
}

/// The length of its windows, if the expression is a [`tumbling_window`].
pub(super) fn duration_of_window(expr: &Expr) -> Option<i64> {
    Some(window_call(expr)?.1.duration)
}

fn window_call(expr: &Expr) -> Option<(&Expr, Sizes)> {
    match expr {
        Expr::ScalarFunction(call) => {
            let window = (call.func.inner().as_ref() as &dyn Any).downcast_ref::<TumblingWindow>()?;
            Some((call.args.first()?, window.sizes))
        }
        Expr::Alias(alias) => window_call(&alias.expr),
        _ => None,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TumblingWindow {
    sizes: Sizes,
    signature: Signature,
}

impl TumblingWindow {
    fn new(sizes: Sizes) -> Self {
        Self {
            sizes,
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl ScalarUDFImpl for TumblingWindow {
    fn name(&self) -> &str {
        "tumbling_window"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(TimeWindowNode::window_type())
    }
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let start_of = |time: &i64| starts(*time, self.sizes).next().unwrap_or(*time);
        let starts = times.values().iter().map(start_of).collect();
        Ok(ColumnarValue::Array(windows(
            starts,
            times.nulls().cloned(),
            self.sizes.duration,
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_belongs_to_the_windows_that_hold_it() {
        let minute = 60_000_000;
        for (time, (duration, slide, start), want) in [
            (0, (10, 10, 0), vec![0]),
            (9, (10, 10, 0), vec![0]),
            (10, (10, 10, 0), vec![10]),
            (-1, (10, 10, 0), vec![-10]),
            (5, (10, 10, 7), vec![-3]),
            (12, (10, 5, 0), vec![10, 5]),
            // Twelve minutes every five: the third candidate ends before the time.
            (725, (12, 5, 2), vec![722, 717]),
            (723, (12, 5, 2), vec![722, 717, 712]),
        ] {
            let sizes = Sizes {
                duration: duration * minute,
                slide: slide * minute,
                start: start * minute,
            };
            let want: Vec<i64> = want.into_iter().map(|m: i64| m * minute).collect();
            assert_eq!(
                starts(time * minute, sizes).collect::<Vec<_>>(),
                want,
                "windows of minute {time}"
            );
        }
    }
}
