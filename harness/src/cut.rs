//! How a system cut the rows it was fed into micro-batches, where that is its own business.
//!
//! Topics of Kafka have no micro-batches: a query takes what is there, as far as its limits allow. The offset log says
//! afterwards where each batch ended, and the oracle is asked about the rows cut that way.

use std::collections::BTreeSet;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;

use crate::job::{Feed, Job};
use crate::trace::{MicroBatch, Trace};

/// Micro-batches by their rows, and where the query was started again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// For each micro-batch and each stream of the job the numbers of its rows, from 0 on in the order they were fed;
    /// `None` where the stream had nothing new.
    pub micro_batches: Vec<Vec<Option<Vec<usize>>>>,
    /// The micro-batches before which the query was started again, ascending.
    pub restarts: Vec<usize>,
    /// For each stream of the job whether the query reads it.
    pub reads: Vec<bool>,
}

impl Cut {
    /// `job` as it was run: started again where it was.
    pub fn job(&self, job: &Job) -> Job {
        let mut restarts = self.restarts.clone();
        restarts.dedup();
        Job {
            feed: if restarts.is_empty() {
                Feed::Backlog
            } else {
                Feed::RestartBefore(restarts)
            },
            ..job.clone()
        }
    }

    /// The rows of `trace`, cut like this. What a stream that is read has beyond is the last micro-batch: the query ended
    /// before, or it lost rows.
    pub fn trace(&self, job: &Job, trace: &Trace) -> Trace {
        let streams: Vec<RecordBatch> = job
            .streams
            .iter()
            .enumerate()
            .map(|(stream, (_, schema))| together(trace, stream, schema))
            .collect();
        let cut = |rows: &Vec<Option<Vec<usize>>>| {
            let taken = rows
                .iter()
                .zip(&streams)
                .map(|(rows, stream)| Some(take(stream, rows.as_ref()?)));
            MicroBatch { rows: taken.collect() }
        };
        let left = self.left_over(&streams);
        let has_left = left.iter().flatten().any(|rows| !rows.is_empty());
        Trace {
            micro_batches: self
                .micro_batches
                .iter()
                .chain(has_left.then_some(&left))
                .map(cut)
                .collect(),
        }
    }

    /// Rows of streams that are read and in no micro-batch.
    fn left_over(&self, streams: &[RecordBatch]) -> Vec<Option<Vec<usize>>> {
        let of_stream = |(stream, rows): (usize, &RecordBatch)| {
            let batches = self
                .micro_batches
                .iter()
                .filter_map(|micro_batch| micro_batch[stream].as_ref());
            let read: BTreeSet<usize> = batches.flatten().copied().collect();
            let is_read = self.reads.get(stream).copied().unwrap_or(true);
            is_read.then(|| (0..rows.num_rows()).filter(|number| !read.contains(number)).collect())
        };
        streams.iter().enumerate().map(of_stream).collect()
    }
}

/// All rows of one stream.
fn together(trace: &Trace, stream: usize, schema: &SchemaRef) -> RecordBatch {
    let rows = trace
        .micro_batches
        .iter()
        .filter_map(|micro_batch| micro_batch.rows[stream].as_ref());
    concat_batches(schema, rows).expect("a stream has one schema")
}

fn take(rows: &RecordBatch, numbers: &[usize]) -> RecordBatch {
    let numbers: UInt32Array = numbers.iter().map(|number| *number as u32).collect();
    take_record_batch(rows, &numbers).expect("rows that were fed are there")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    fn rows(numbers: &[i32]) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from(numbers.to_vec()));
        RecordBatch::try_from_iter([("n", numbers)]).unwrap()
    }

    #[test]
    fn rows_are_cut_anew_and_restarts_are_told_once() {
        let job = Job::new(&[("a", "n INT"), ("b", "n INT")], "SELECT * FROM a").unwrap();
        let schema = &job.streams[0].1;
        let batch = |a: Option<&[i32]>, b: Option<&[i32]>| MicroBatch {
            rows: [a, b]
                .map(|n| n.map(|n| rows(n).with_schema(Arc::clone(schema)).unwrap()))
                .to_vec(),
        };
        let trace = Trace {
            micro_batches: vec![
                batch(Some(&[10, 11]), None),
                batch(Some(&[]), Some(&[20])),
                batch(Some(&[12, 13]), Some(&[21])),
            ],
        };
        let cut = Cut {
            micro_batches: vec![vec![Some(vec![1, 2]), Some(vec![])], vec![Some(vec![0]), Some(vec![0])]],
            restarts: vec![1, 1],
            reads: vec![true, false],
        };
        let found: Vec<Vec<i32>> = cut
            .trace(&job, &trace)
            .micro_batches
            .iter()
            .flat_map(|micro_batch| micro_batch.rows.iter().flatten())
            .map(|rows| rows.column(0).as_primitive::<Int32Type>().values().to_vec())
            .collect();
        // Row 13 is in no micro-batch and comes last; stream `b` is not read.
        assert_eq!(found, [vec![11, 12], vec![], vec![10], vec![20], vec![13]]);
        assert_eq!(cut.job(&job).feed, Feed::RestartBefore(vec![1]));
        assert_eq!(Cut::default().job(&job).feed, Feed::Backlog);
    }
}
