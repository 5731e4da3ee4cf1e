//! Work on the chunks of a batch by all cores, results in the order of the chunks.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;

use crate::Result;

/// Rows of a chunk: a larger batch is cut, whatever the number of cores, so that partial sums are always the same.
pub(super) const CHUNK_ROWS: usize = 1 << 15;

/// Below so many rows a second thread costs more than it brings.
const PARALLEL_ROWS: usize = 1 << 17;

/// `f` of each chunk, in order.
///
/// # Errors
/// The first chunk's error, in order.
pub(super) fn map<T: Send>(rows: Vec<RecordBatch>, f: impl Fn(RecordBatch) -> Result<T> + Sync) -> Result<Vec<T>> {
    let total: usize = rows.iter().map(RecordBatch::num_rows).sum();
    let chunks: Vec<RecordBatch> = rows.into_iter().flat_map(chunks).collect();
    let threads = std::thread::available_parallelism()
        .map_or(1, |n| n.get())
        .min(chunks.len());
    if total < PARALLEL_ROWS || threads < 2 {
        return chunks.into_iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<Result<T>>>> = chunks.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = chunks.get(index) else { break };
            let result = f(chunk.clone());
            *done[index].lock().expect("a chunk is worked on once") = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    done.into_iter()
        .map(|slot| {
            slot.into_inner()
                .expect("no worker panicked")
                .expect("every chunk was worked on")
        })
        .collect()
}

fn chunks(batch: RecordBatch) -> Vec<RecordBatch> {
    if batch.num_rows() <= CHUNK_ROWS {
        return vec![batch];
    }
    let starts = (0..batch.num_rows()).step_by(CHUNK_ROWS);
    starts
        .map(|start| batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))
        .collect()
}
