//! Arrivals: which row comes when, in order, cut into micro-batches.
//!
//! Rows happen in the order of their event times and never arrive before they happen. So once the next row to happen is
//! known, everything due earlier is final: rows stream through in pieces, and memory holds the rows under way (a long
//! delay costs the rows it holds back, not a sort of the whole stream).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::error::{Error, Result};
use crate::lateness::{Fault, Layer};
use crate::pace::Pace;
use crate::spec::Cut;

/// The event time of a row that says none.
pub const NULL_TIME: i64 = i64::MIN;

/// The most micro-batches of a stream: their files have six digits.
pub const MICRO_BATCHES_MAX: u64 = 1_000_000;

/// One arrival of a row. Times are microseconds since 1970-01-01T00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives.
    pub time: i64,
    /// The number of the row, in the order rows happen.
    pub row: u64,
    /// 0 for the row itself, another number for a duplicate.
    pub copy: u32,
    /// When the row really happened.
    pub event_time: i64,
    /// The event time the row says; [`NULL_TIME`] if it says none.
    pub stamp: i64,
    /// How it is spoilt, if it is.
    pub fault: Option<Fault>,
    /// Is the event time lost by the fault?
    pub hidden_time: bool,
}

impl Arrival {
    /// A row that arrives when it happens.
    pub fn of(row: u64, time: i64) -> Arrival {
        Arrival {
            time,
            row,
            copy: 0,
            event_time: time,
            stamp: time,
            fault: None,
            hidden_time: false,
        }
    }

    /// The event time a reader finds in the row.
    pub fn seen_time(&self) -> Option<i64> {
        (self.stamp != NULL_TIME && !self.hidden_time).then_some(self.stamp)
    }

    fn order(&self) -> (i64, u64, u32) {
        (self.time, self.row, self.copy)
    }
}

/// The arrivals of a micro-batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrived {
    /// Rows that nothing delayed or changed: consecutive numbers, each arriving when it happens.
    InOrder {
        /// The number of the first row.
        first_row: u64,
        /// When each happens.
        times: Vec<i64>,
    },
    /// Any arrivals, in order.
    Mixed(Vec<Arrival>),
}

impl Arrived {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Arrived::InOrder { times, .. } => times.len(),
            Arrived::Mixed(arrivals) => arrivals.len(),
        }
    }

    /// Is the micro-batch empty?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of `range`.
    pub(crate) fn part(&self, range: Range<usize>) -> Arrived {
        match self {
            Arrived::InOrder { first_row, times } => Arrived::InOrder {
                first_row: first_row + range.start as u64,
                times: times[range].to_vec(),
            },
            Arrived::Mixed(arrivals) => Arrived::Mixed(arrivals[range].to_vec()),
        }
    }

    /// When each arrives, ascending.
    pub(crate) fn times(&self) -> Vec<i64> {
        match self {
            Arrived::InOrder { times, .. } => times.clone(),
            Arrived::Mixed(arrivals) => arrivals.iter().map(|arrival| arrival.time).collect(),
        }
    }

    /// When the first and the last arrive.
    pub(crate) fn between(&self) -> Option<(i64, i64)> {
        match self {
            Arrived::InOrder { times, .. } => Some((*times.first()?, *times.last()?)),
            Arrived::Mixed(arrivals) => Some((arrivals.first()?.time, arrivals.last()?.time)),
        }
    }

    /// Each arrival by itself.
    pub fn into_arrivals(self) -> Vec<Arrival> {
        match self {
            Arrived::InOrder { first_row, times } => (first_row..)
                .zip(times)
                .map(|(row, time)| Arrival::of(row, time))
                .collect(),
            Arrived::Mixed(arrivals) => arrivals,
        }
    }
}

/// A row that waits for its arrival, the earliest on top of a heap.
#[derive(Debug)]
struct UnderWay(Reverse<(i64, u64, u32)>, Arrival);

impl PartialEq for UnderWay {
    fn eq(&self, other: &UnderWay) -> bool {
        self.0 == other.0
    }
}
impl Eq for UnderWay {}
impl PartialOrd for UnderWay {
    fn partial_cmp(&self, other: &UnderWay) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for UnderWay {
    fn cmp(&self, other: &UnderWay) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// Rows are made in pieces of this many.
const PIECE: u64 = 8_192;

/// Moves event times away from the pace, for kinds whose rows follow others.
pub type Shift = Box<dyn FnMut(&mut [Arrival]) + Send>;

/// A stream's arrivals, micro-batch by micro-batch.
pub struct Arrivals {
    stream: String,
    pace: Pace,
    shift: Option<Shift>,
    layers: Vec<Box<dyn Layer>>,
    rows: u64,
    next_row: u64,
    /// When the next row happens; later than anything once all have.
    horizon: i64,
    under_way: BinaryHeap<UnderWay>,
    /// Final arrivals in order, from `taken` on not yet given out.
    ready: Vec<Arrival>,
    taken: usize,
    cut: Cut,
    /// The end of the next micro-batch, when cutting by time.
    batch_end: i64,
    batches: u64,
}

impl Arrivals {
    /// The arrivals of `rows` rows; `batches_from` is the arrival time at which micro-batch 0 begins.
    pub fn new(
        stream: &str,
        rows: u64,
        mut pace: Pace,
        layers: Vec<Box<dyn Layer>>,
        cut: Cut,
        batches_from: i64,
    ) -> Self {
        let batch_end = match cut {
            Cut::Every(span) => batches_from + span.0,
            Cut::Rows(_) => i64::MAX,
        };
        Arrivals {
            stream: stream.to_owned(),
            horizon: if rows == 0 { i64::MAX } else { pace.time(0) },
            pace,
            shift: None,
            layers,
            rows,
            next_row: 0,
            under_way: BinaryHeap::new(),
            ready: vec![],
            taken: 0,
            cut,
            batch_end,
            batches: 0,
        }
    }

    /// The same with event times moved before any layer works.
    pub fn shifted(self, shift: Option<Shift>) -> Self {
        Arrivals { shift, ..self }
    }

    /// Rows that have happened so far.
    pub fn rows_made(&self) -> u64 {
        self.next_row
    }

    /// The arrivals of the next micro-batch, in order; `None` after the last row has arrived.
    ///
    /// # Errors
    /// When the stream would need more than [`MICRO_BATCHES_MAX`] micro-batches.
    pub fn next_micro_batch(&mut self) -> Result<Option<Arrived>> {
        if self.is_over() {
            return Ok(None);
        }
        if self.batches == MICRO_BATCHES_MAX {
            return Err(Error::TooManyMicroBatches {
                stream: self.stream.clone(),
            });
        }
        self.batches += 1;
        if self.layers.is_empty() && self.shift.is_none() {
            return Ok(Some(self.next_in_order()));
        }
        let end = match self.cut {
            Cut::Every(span) => self.fill_to(self.batch_end, span.0),
            Cut::Rows(rows) => self.fill_rows(rows as usize),
        };
        let mut micro_batch = self.take(end);
        for layer in &mut self.layers {
            layer.at_cut(&mut micro_batch);
        }
        // Layers may have lost all that was left.
        if micro_batch.is_empty() && self.is_over() {
            return Ok(None);
        }
        Ok(Some(Arrived::Mixed(micro_batch)))
    }

    /// The short way of rows that nothing delays.
    fn next_in_order(&mut self) -> Arrived {
        let first_row = self.next_row;
        let mut times = Vec::new();
        let (last_row, end) = match self.cut {
            Cut::Every(span) => {
                let end = self.batch_end;
                self.batch_end += span.0;
                (self.rows, end)
            }
            Cut::Rows(rows) => (self.rows.min(first_row.saturating_add(rows)), i64::MAX),
        };
        if end == i64::MAX {
            times.reserve_exact((last_row - first_row) as usize);
        }
        while self.next_row < last_row && self.horizon < end {
            times.push(self.horizon);
            self.next_row += 1;
            self.horizon = if self.next_row == self.rows {
                i64::MAX
            } else {
                self.pace.time(self.next_row)
            };
        }
        Arrived::InOrder { first_row, times }
    }

    fn is_over(&self) -> bool {
        self.next_row == self.rows && self.under_way.is_empty() && self.taken == self.ready.len()
    }

    /// Makes everything ready that arrives before `end`; gives its end in `ready` and moves on by `span`.
    fn fill_to(&mut self, end: i64, span: i64) -> usize {
        while self.horizon < end && self.next_row < self.rows {
            self.advance();
        }
        self.batch_end += span;
        self.taken + self.ready[self.taken..].partition_point(|arrival| arrival.time < end)
    }

    /// Makes `rows` arrivals ready if there are so many; gives their end in `ready`.
    fn fill_rows(&mut self, rows: usize) -> usize {
        while self.ready.len() - self.taken < rows && self.next_row < self.rows {
            self.advance();
        }
        self.ready.len().min(self.taken + rows)
    }

    /// Lets the next piece of rows happen.
    fn advance(&mut self) {
        self.ready.drain(..self.taken);
        self.taken = 0;
        let settled = self.ready.len();
        let end = self.rows.min(self.next_row + PIECE);
        let piece = self.happen(end);
        self.next_row = end;
        self.horizon = if end == self.rows {
            i64::MAX
        } else {
            self.pace.time(end)
        };
        // Most rows keep their order; those that arrive after a later row are put aside and merged in.
        let mut late = vec![];
        let mut latest = (i64::MIN, 0, 0);
        for arrival in piece {
            if arrival.time > self.horizon {
                self.under_way.push(UnderWay(Reverse(arrival.order()), arrival));
            } else if arrival.time == arrival.event_time && arrival.order() > latest {
                latest = arrival.order();
                self.ready.push(arrival);
            } else {
                late.push(arrival);
            }
        }
        self.settle(settled, late);
    }

    fn happen(&mut self, end: u64) -> Vec<Arrival> {
        let mut piece = Vec::with_capacity((end - self.next_row) as usize);
        // The time of the first row was asked for as the horizon.
        piece.push(Arrival::of(self.next_row, self.horizon));
        for row in self.next_row + 1..end {
            piece.push(Arrival::of(row, self.pace.time(row)));
        }
        if let Some(shift) = &mut self.shift {
            shift(&mut piece);
        }
        for layer in &mut self.layers {
            layer.apply(&mut piece);
        }
        piece
    }

    /// Merges what has become due into `ready` from `settled` on; what is before has arrived before. A later row with the
    /// same arrival time has a larger number and comes after, so what is due at the horizon itself is final too.
    fn settle(&mut self, settled: usize, mut late: Vec<Arrival>) {
        while let Some(next) = self.under_way.peek()
            && next.1.time <= self.horizon
        {
            late.extend(self.under_way.pop().map(|due| due.1));
        }
        if !late.is_empty() {
            late.sort_unstable_by_key(Arrival::order);
            self.ready.append(&mut late);
            // Two ascending runs: the stable sort finds and merges them.
            self.ready[settled..].sort_by_key(Arrival::order);
        }
    }

    fn take(&mut self, end: usize) -> Vec<Arrival> {
        let micro_batch = self.ready[self.taken..end].to_vec();
        self.taken = end;
        micro_batch
    }
}
