//! The rows of a source in a micro-batch: all of them, or on their way while operators work on those before.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;

use crate::Result;
use crate::source::{Offset, Place, Source};

/// Batches that wait for an operator: enough to bridge a pause, few enough to stay small.
const WAITING_BATCHES: usize = 4;

/// The rows of a source.
#[derive(Clone)]
pub(crate) enum Input<'a> {
    /// All of them.
    Here(Vec<RecordBatch>),
    /// As they come; whoever takes them first has them.
    Coming(&'a Incoming),
}

impl Input<'_> {
    /// All rows, in their order.
    pub(crate) fn all(&self) -> Result<Vec<RecordBatch>> {
        let incoming = match self {
            Input::Here(rows) => return Ok(rows.clone()),
            Input::Coming(incoming) => incoming,
        };
        let mut rows = std::iter::from_fn(|| incoming.next()).collect::<Result<Vec<_>>>()?;
        rows.sort_by_key(|(place, _)| *place);
        Ok(rows.into_iter().map(|(_, rows)| rows).collect())
    }
}

/// Rows and their place in the micro-batch, or why there are no more.
type Placed = Result<(Place, RecordBatch)>;

/// Rows on their way from a source.
pub(crate) struct Incoming {
    /// None once nobody wants more.
    batches: Mutex<Option<Receiver<Placed>>>,
    rows: AtomicU64,
}

impl Incoming {
    /// A way for the rows of a source, and its beginning.
    pub(crate) fn new() -> (Pump, Incoming) {
        let (sender, receiver) = sync_channel(WAITING_BATCHES);
        let incoming = Incoming {
            batches: Mutex::new(Some(receiver)),
            rows: AtomicU64::new(0),
        };
        (Pump(sender), incoming)
    }

    /// The batch that comes next; `None` after the last.
    pub(crate) fn next(&self) -> Option<Placed> {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let next = batches.as_ref()?.recv().ok()?;
        if let Ok((_, rows)) = &next {
            self.rows.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
        }
        Some(next)
    }

    /// Lets the source know that no more rows are wanted.
    pub(crate) fn close(&self) {
        *self.batches.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Rows taken so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }
}

/// Where a source puts its rows.
pub(crate) struct Pump(SyncSender<Placed>);

impl Pump {
    /// Reads the rows after `start` up to and with `end`; an error goes the way of the rows.
    pub(crate) fn run(self, source: &mut dyn Source, start: Option<&Offset>, end: &Offset) {
        let mut give = |place, rows| match self.0.send(Ok((place, rows))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        if let Err(error) = source.pour(start, end, &mut give) {
            let _ = self.0.send(Err(error)); // nobody listens where an operator failed first
        }
    }
}
