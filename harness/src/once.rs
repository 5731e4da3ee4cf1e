//! What a trigger `Once` makes of a trace: each start of the query runs one batch of everything that is there.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::job::{Feed, Job, Trigger};
use crate::replay::legs;
use crate::trace::{MicroBatch, Trace};

/// Spark's setting for batches without data.
const NO_DATA_BATCHES: &str = "spark.sql.streaming.noDataMicroBatches.enabled";

/// The job and the trace that execute under [`Trigger::AvailableNow`] what `job` executes over `trace` under
/// [`Trigger::Once`].
///
/// Once ignores read limits, so that the micro-batches between two starts are one; and it ends after its batch, so that
/// none without data follows.
pub fn as_available_now(job: &Job, trace: &Trace) -> (Job, Trace) {
    let runs: Vec<_> = legs(&job.feed, trace.micro_batches.len())
        .into_iter()
        .filter(|leg| !leg.is_empty())
        .map(|leg| together(&trace.micro_batches[leg]))
        .collect();
    let mut job = job.clone();
    job.trigger = Trigger::AvailableNow;
    job.feed = if runs.len() > 1 { Feed::Drip } else { Feed::Backlog };
    job.conf.insert(NO_DATA_BATCHES.to_string(), "false".to_string());
    (job, Trace { micro_batches: runs })
}

/// One micro-batch of all rows of several.
fn together(micro_batches: &[MicroBatch]) -> MicroBatch {
    let streams = micro_batches.first().map_or(0, |micro_batch| micro_batch.rows.len());
    let of_stream = |stream: usize| {
        let rows: Vec<&RecordBatch> = micro_batches
            .iter()
            .filter_map(|micro_batch| micro_batch.rows[stream].as_ref())
            .collect();
        let schema = rows.first()?.schema();
        Some(concat_batches(&schema, rows).expect("a stream has one schema"))
    };
    MicroBatch {
        rows: (0..streams).map(of_stream).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};

    use super::*;

    #[test]
    fn every_start_reads_all_that_is_there_as_one_batch() {
        for (feed, wanted_feed, wanted) in [
            (Feed::Backlog, Feed::Backlog, vec![6]),
            (Feed::Drip, Feed::Drip, vec![1, 2, 3]),
            (Feed::RestartBefore(vec![2]), Feed::Drip, vec![3, 3]),
        ] {
            let mut job = Job::new(&[("s", "n INT")], "SELECT n FROM s").unwrap();
            job.trigger = Trigger::Once;
            job.feed = feed;
            let trace = Trace {
                micro_batches: (1..4).map(|rows| micro_batch(rows)).collect(),
            };
            let (same, trace) = as_available_now(&job, &trace);
            let rows = |micro_batch: &MicroBatch| micro_batch.rows[0].as_ref().map_or(0, RecordBatch::num_rows);
            assert_eq!(trace.micro_batches.iter().map(rows).collect::<Vec<_>>(), wanted);
            assert_eq!((same.trigger, same.feed), (Trigger::AvailableNow, wanted_feed));
        }
    }

    fn micro_batch(rows: i32) -> MicroBatch {
        let numbers = Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef;
        MicroBatch {
            rows: vec![Some(RecordBatch::try_from_iter([("n", numbers)]).unwrap())],
        }
    }
}
