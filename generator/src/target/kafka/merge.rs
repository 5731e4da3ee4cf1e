//! Several streams as one: their rows in the order they arrive.

use std::ops::Range;
use std::sync::mpsc::Receiver;

use super::rows::Piece;
use super::schedule::Due;
use crate::error::Result;

/// The streams that are being sent.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
}

/// A stream that is being sent.
struct Lane {
    pieces: Receiver<Result<Piece>>,
    piece: Option<Piece>,
    /// The next row of the piece.
    at: usize,
}

impl Lanes {
    pub fn new(pieces: Vec<Receiver<Result<Piece>>>) -> Lanes {
        let lane = |pieces| Lane {
            pieces,
            piece: None,
            at: 0,
        };
        Lanes {
            lanes: pieces.into_iter().map(lane).collect(),
        }
    }

    /// When the next row arrives; `None` after the last. Waits for rows that are still being made.
    ///
    /// # Errors
    /// Rows that cannot be made.
    pub fn next_arrival(&mut self) -> Result<Option<i64>> {
        for lane in &mut self.lanes {
            lane.load()?;
        }
        Ok(self.lanes.iter().filter_map(Lane::next_arrival).min())
    }

    /// Takes the next rows, as many as are due, in order of arrival: for each stream those of one piece. Ends with the
    /// first piece, whose stream's next row is not known yet.
    pub fn take(&mut self, due: Due) -> Vec<(usize, Range<usize>)> {
        let mut taken: Vec<Range<usize>> = self.lanes.iter().map(|lane| lane.at..lane.at).collect();
        if let [only] = self.lanes.as_mut_slice() {
            let room = only.piece.as_ref().map_or(0, Piece::len) - only.at;
            let times = only.piece.as_ref().map_or(&[][..], |piece| &piece.times[only.at..]);
            let reached = times[..room.min(due.rows)].partition_point(|time| *time <= due.until);
            only.at += reached;
            taken[0].end += reached;
        } else {
            for _ in 0..due.rows {
                let arrivals = self.lanes.iter().enumerate();
                let next = arrivals.filter_map(|(index, lane)| Some((lane.next_arrival()?, index))).min();
                let Some((_, index)) = next.filter(|(time, _)| *time <= due.until) else {
                    break;
                };
                let lane = &mut self.lanes[index];
                lane.at += 1;
                taken[index].end += 1;
                if lane.is_through() {
                    break;
                }
            }
        }
        let filled = taken.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        filled.collect()
    }

    /// The piece rows of a stream were taken from.
    pub fn piece(&self, stream: usize) -> &Piece {
        self.lanes[stream].piece.as_ref().expect("rows were taken from it")
    }
}

impl Lane {
    fn load(&mut self) -> Result<()> {
        while self.is_through() {
            // A maker that has ended has hung up.
            self.piece = self.pieces.recv().ok().transpose()?;
            self.at = 0;
            if self.piece.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn is_through(&self) -> bool {
        self.piece.as_ref().is_none_or(|piece| self.at == piece.len())
    }

    fn next_arrival(&self) -> Option<i64> {
        self.piece.as_ref()?.times.get(self.at).copied()
    }
}
