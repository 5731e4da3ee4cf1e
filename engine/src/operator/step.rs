//! Steps that need no memory: filter, project, assign windows, watch event time.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{filter_record_batch, is_not_null, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use datafusion::physical_expr::PhysicalExpr;

use super::expand::Expand;
use crate::watermark::Observed;
use crate::{Error, Result};

/// One thing done to every row.
#[derive(Debug)]
pub(crate) enum Step {
    /// Keeps rows for which a boolean expression is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Evaluates expressions that are needed twice, for the errors they raise.
    Evaluate(Vec<Arc<dyn PhysicalExpr>>),
    /// Makes new columns.
    Project {
        exprs: Vec<Arc<dyn PhysicalExpr>>,
        schema: SchemaRef,
    },
    /// Adds the column of time windows.
    Window(WindowStep),
    /// Repeats rows for grouping sets.
    Expand(Expand),
    /// Watches the event time for the watermark.
    Observe(Observe),
}

/// `window(time, duration, slide, start)`; lengths in microseconds.
#[derive(Debug)]
pub(crate) struct WindowStep {
    pub time: Arc<dyn PhysicalExpr>,
    pub duration_us: i64,
    pub slide_us: i64,
    pub start_us: i64,
    /// Input columns, then the window.
    pub schema: SchemaRef,
}

/// A watermark node: which one, and the column it watches.
#[derive(Debug)]
pub(crate) struct Observe {
    pub watermark: usize,
    pub column: usize,
}

/// Runs `steps` over a batch; also says what event times were seen.
pub(super) fn run_steps(steps: &[Step], mut rows: RecordBatch) -> Result<(RecordBatch, Observed)> {
    let mut observed = Observed::default();
    for step in steps {
        rows = match step {
            Step::Filter(predicate) => filter(predicate, rows)?,
            Step::Evaluate(exprs) => {
                exprs.iter().try_for_each(|e| e.evaluate(&rows).map(drop))?;
                rows
            }
            Step::Project { exprs, schema } => project(exprs, schema, &rows)?,
            Step::Window(window) => window.assign(rows)?,
            Step::Expand(expand) => expand.expand(&rows)?,
            Step::Observe(observe) => {
                observed.observe(observe.watermark, rows.column(observe.column));
                rows
            }
        };
    }
    Ok((rows, observed))
}

fn filter(predicate: &Arc<dyn PhysicalExpr>, rows: RecordBatch) -> Result<RecordBatch> {
    let kept = predicate.evaluate(&rows)?.into_array(rows.num_rows())?;
    let kept = kept
        .as_boolean_opt()
        .ok_or_else(|| Error::Invalid(format!("{predicate} is no condition")))?;
    if kept.null_count() == 0 && kept.true_count() == kept.len() {
        return Ok(rows);
    }
    Ok(filter_record_batch(&rows, kept)?)
}

fn project(exprs: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = exprs.iter().map(|e| Ok(e.evaluate(rows)?.into_array(rows.num_rows())?));
    with_schema(columns.collect::<Result<_>>()?, schema, rows.num_rows())
}

/// The same rows under another schema of the same types.
pub(super) fn under_schema(rows: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let count = rows.num_rows();
    with_schema(rows.columns().to_vec(), schema, count)
}

pub(super) fn with_schema(columns: Vec<ArrayRef>, schema: &SchemaRef, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The error of `withWatermark` above `withWatermark`, which Spark raises only once the watermark has moved.
pub(super) fn redefined_watermark() -> Error {
    Error::spark(
        "_LEGACY_ERROR_TEMP_3076",
        "Redefining watermark is disallowed. You can set the config \
         'spark.sql.streaming.statefulOperator.allowMultiple' to 'false' to restore the previous behavior. Note that \
         multiple stateful operators will be disallowed.",
    )
}

impl WindowStep {
    /// One row per window of each row; rows without a time leave.
    fn assign(&self, rows: RecordBatch) -> Result<RecordBatch> {
        let times = self.time.evaluate(&rows)?.into_array(rows.num_rows())?;
        let (rows, times) = if times.null_count() > 0 {
            let known = is_not_null(&times)?;
            (
                filter_record_batch(&rows, &known)?,
                arrow::compute::filter(&times, &known)?,
            )
        } else {
            (rows, times)
        };
        let times = times
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| Error::Invalid(format!("window() needs a timestamp, not {}", times.data_type())))?;
        if self.duration_us == self.slide_us {
            let starts = self.tumble(times.values());
            return self.with_windows(&rows, starts);
        }
        let mut starts = Vec::new();
        let mut origin = Vec::new();
        for (row, time) in times.values().iter().enumerate() {
            for start in window_starts(*time, self.duration_us, self.slide_us, self.start_us) {
                starts.push(start);
                origin.push(row as u32);
            }
        }
        let rows = take_record_batch(&rows, &UInt32Array::from(origin))?;
        self.with_windows(&rows, starts)
    }

    /// The only window of each time. Times come nearly in order, so the window before is tried first.
    fn tumble(&self, times: &[i64]) -> Vec<i64> {
        let mut start = i64::MIN;
        let mut end = i64::MIN;
        let assign = |time: &i64| {
            if *time < start || *time >= end {
                start = time.wrapping_sub(time.wrapping_sub(self.start_us).rem_euclid(self.slide_us));
                end = start.wrapping_add(self.duration_us);
            }
            start
        };
        times.iter().map(assign).collect()
    }

    fn with_windows(&self, rows: &RecordBatch, starts: Vec<i64>) -> Result<RecordBatch> {
        let DataType::Struct(fields) = self.schema.field(self.schema.fields().len() - 1).data_type() else {
            unreachable!("the last column of a window step is the window");
        };
        let ends: Vec<i64> = starts.iter().map(|s| s.wrapping_add(self.duration_us)).collect();
        let times = |values: Vec<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(values).with_data_type(fields[0].data_type().clone()))
        };
        let count = starts.len();
        let windows = StructArray::try_new_with_length(fields.clone(), vec![times(starts), times(ends)], None, count)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(windows));
        with_schema(columns, &self.schema, count)
    }
}

/// The starts of the windows `time` falls into, latest first; all in microseconds (spark-semantics 4.1).
pub(crate) fn window_starts(time: i64, duration: i64, slide: i64, offset: i64) -> impl Iterator<Item = i64> {
    // `%` rounds towards zero and would put times before the epoch one window too late.
    let last = time.wrapping_sub(time.wrapping_sub(offset).rem_euclid(slide));
    let windows = duration.div_euclid(slide) + i64::from(duration.rem_euclid(slide) != 0);
    let starts = (0..windows).map(move |i| last.wrapping_sub(i.wrapping_mul(slide)));
    starts.filter(move |start| *start <= time && time < start.wrapping_add(duration))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_every_window_that_spans_it() {
        for (time, duration, slide, offset, starts) in [
            (0, 10, 10, 0, vec![0]),
            (9, 10, 10, 0, vec![0]),
            (10, 10, 10, 0, vec![10]),
            (-1, 10, 10, 0, vec![-10]),
            (725, 12, 5, 2, vec![722, 717]),
            (7, 60, 10, 0, vec![0, -10, -20, -30, -40, -50]),
            (24, 25, 10, 0, vec![20, 10, 0]),
            (25, 25, 10, 0, vec![20, 10]),
        ] {
            let found: Vec<i64> = window_starts(time, duration, slide, offset).collect();
            assert_eq!(found, starts, "time {time}");
        }
    }
}
