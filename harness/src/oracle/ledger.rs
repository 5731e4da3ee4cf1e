//! What became of every input row.

use super::table::Lineage;

/// All rows of a trace that a query reads, in the order of streams, micro-batches and rows.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// One entry per input row.
    pub rows: Vec<LedgerRow>,
    /// Every time an operator dropped rows as late; a pair that a join made counts as both of its rows.
    pub drops: Vec<Drop>,
}

/// An input row and its fate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The stream, as a position in [`crate::job::Job::streams`].
    pub stream: usize,
    /// The micro-batch of the trace, from 0.
    pub micro_batch: usize,
    /// The row's position in its micro-batch, from 0.
    pub row: usize,
    /// The executed batch that read it; `None` if the query ended before.
    pub batch_id: Option<u64>,
    /// What its watermark looked at, in microseconds since 1970-01-01T00:00:00 UTC; `None` if it is NULL, if the row did
    /// not get as far as a watermark, or if the query has none.
    pub event_time: Option<i64>,
    /// What became of it.
    pub admission: Admission,
}

/// What became of an input row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Its event time was above the watermark.
    OnTime,
    /// Its event time was not above the watermark, but what it belongs to was still open, or nobody judges.
    LateAccepted,
    /// An operator dropped it as late: the position of the first drop in [`Ledger::drops`].
    Dropped(usize),
    /// A condition of the query left it out, or it found no partner in a table.
    Filtered,
    /// The query was refused or failed before.
    NotRead,
}

/// An operator dropped a row, or something made of rows, as late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The operator with state, topmost first, from 0.
    pub operator: usize,
    /// The batch.
    pub batch_id: u64,
    /// The watermark it was judged by, in milliseconds since 1970-01-01T00:00:00 UTC.
    pub watermark: i64,
    /// The event time that was judged, in microseconds; of a window its end.
    pub event_time: i64,
    /// Positions in [`Ledger::rows`]: one row, or the rows of a pair.
    pub rows: Vec<usize>,
}

impl Drop {
    /// By how much the row was late, in microseconds; 0 is late too.
    pub fn late_by(&self) -> i64 {
        self.watermark.saturating_mul(1000).saturating_sub(self.event_time)
    }
}

impl Ledger {
    /// Rows with an admission.
    pub fn count(&self, wanted: impl Fn(Admission) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(row.admission)).count()
    }

    pub(super) fn len(&self) -> u32 {
        self.rows.len() as u32
    }

    pub(super) fn read(&mut self, stream: usize, micro_batch: usize, rows: usize) {
        self.rows.extend((0..rows).map(|row| LedgerRow {
            stream,
            micro_batch,
            row,
            batch_id: None,
            event_time: None,
            admission: Admission::Filtered,
        }));
    }

    /// Forgets fates, for another derivation of the same rows.
    pub(super) fn clear(&mut self) {
        self.drops.clear();
        for row in &mut self.rows {
            row.admission = Admission::Filtered;
        }
    }

    pub(super) fn set_event_time(&mut self, row: u32, time: Option<i64>) {
        if let Some(row) = self.rows.get_mut(row as usize) {
            row.event_time = time;
        }
    }

    /// Rows that an operator with state, or the sink, takes in.
    pub(super) fn enter(&mut self, lineage: &Lineage) {
        for parent in &lineage.parents {
            if let Some(row) = self.rows.get_mut(*parent as usize) {
                row.admission = Admission::OnTime;
            }
        }
    }

    pub(super) fn drop_row(
        &mut self,
        rows: impl Iterator<Item = u32>,
        operator: usize,
        batch: u32,
        watermark: i64,
        event_time: i64,
    ) {
        let rows = rows
            .map(|row| row as usize)
            .filter(|row| *row < self.rows.len())
            .collect();
        self.drops.push(Drop {
            operator,
            batch_id: u64::from(batch),
            watermark,
            event_time,
            rows,
        });
    }

    /// Settles the fates once everything is derived: `late_ms` is the watermark by which a row of a batch is late, and
    /// `kept` says which rows got past the operators that dropped parts of them.
    pub(super) fn settle(
        &mut self,
        batch_of: impl Fn(usize) -> Option<u64>,
        late_ms: impl Fn(u64) -> i64,
        kept: &[bool],
    ) {
        for row in &mut self.rows {
            row.batch_id = batch_of(row.micro_batch);
            let Some(batch) = row.batch_id else {
                row.admission = Admission::NotRead;
                continue;
            };
            let is_late = row
                .event_time
                .is_some_and(|time| time <= late_ms(batch).saturating_mul(1000));
            if row.admission == Admission::OnTime && is_late {
                row.admission = Admission::LateAccepted;
            }
        }
        let judged = |row: &LedgerRow| matches!(row.admission, Admission::OnTime | Admission::LateAccepted);
        for (number, drop) in self.drops.iter().enumerate() {
            if let [row] = drop.rows[..]
                && !kept[row]
                && judged(&self.rows[row])
            {
                self.rows[row].admission = Admission::Dropped(number);
            }
        }
    }
}
