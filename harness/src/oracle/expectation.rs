//! What a query must emit for a trace, and what each row of it was made of.

use super::advice::Advice;
use super::derive::Group;
use super::ledger::Ledger;
use super::table::GROUP;
use crate::run::{Failure, Run};

/// What a query must emit, and why.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The batches, as the query must emit them, and the error it must end with.
    pub run: Run,
    /// What became of every input row.
    pub ledger: Ledger,
    /// What each operator with state is, topmost first: `join`, `3-minute aggregation`.
    pub operators: Vec<String>,
    /// What the author of the query may want to know.
    pub advice: Vec<Advice>,
    /// What the semantics leave open in this query.
    pub freedoms: Vec<Freedom>,
    /// Per batch and output row: what it was made of.
    pub(super) origins: Vec<Vec<Vec<u32>>>,
    pub(super) groups: Vec<Group>,
}

/// Something the semantics leave open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freedom {
    /// `LIMIT` without an order: how many rows is fixed, which ones is not.
    AnyRowsOfLimit,
    /// Rows that an order does not tell apart may come in any order, and a `LIMIT` may take any of them.
    TiesOfOrder,
}

/// An input row that had to do with an output row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The row's position in [`Ledger::rows`].
    pub row: usize,
    /// Whether it counted; a row of the same group that was dropped as late did not.
    pub counted: bool,
}

impl Expectation {
    pub(super) fn refused(failure: Failure) -> Self {
        Expectation {
            run: Run {
                batches: vec![],
                error: Some(failure),
            },
            ledger: Ledger::default(),
            operators: vec![],
            advice: vec![],
            freedoms: vec![],
            origins: vec![],
            groups: vec![],
        }
    }

    /// The input rows behind row `row` of batch `batch_id`, in the order of the ledger: those that made it, and of an
    /// aggregation also those of its group that came too late. Empty if there is no such row.
    pub fn explain(&self, batch_id: u64, row: usize) -> Vec<Part> {
        let Some(parents) = self.origins.get(batch_id as usize).and_then(|rows| rows.get(row)) else {
            return vec![];
        };
        let mut parts = vec![];
        self.parts_of(parents, batch_id, true, &mut parts);
        parts.sort_unstable();
        parts.dedup();
        parts
    }

    fn parts_of(&self, parents: &[u32], until: u64, counted: bool, parts: &mut Vec<Part>) {
        for parent in parents {
            if parent & GROUP == 0 {
                parts.push(Part {
                    row: *parent as usize,
                    counted,
                });
                continue;
            }
            let Some(group) = self.groups.get((parent & !GROUP) as usize) else {
                continue;
            };
            let of = |told: &[(u32, Vec<u32>)], counted: bool, parts: &mut Vec<Part>| {
                for (_, parents) in told.iter().filter(|(batch, _)| u64::from(*batch) <= until) {
                    self.parts_of(parents, until, counted, parts);
                }
            };
            of(&group.members, counted, parts);
            of(&group.dropped, false, parts);
        }
    }
}
