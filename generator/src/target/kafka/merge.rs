//! Several streams as one: their rows in the order they arrive.

use std::ops::Range;

use super::schedule::Due;

/// Consecutive rows of a stream.
pub trait Timed {
    /// When each arrives, ascending, in the stream's own time: microseconds since 1970. At least one.
    fn times(&self) -> &[i64];
}

/// The streams that are being sent, each piece by piece; `E` is what can go wrong with a piece.
pub struct Lanes<P, E> {
    lanes: Vec<Lane<P, E>>,
}

/// The pieces of a stream, in order.
pub type Pieces<P, E> = Box<dyn Iterator<Item = Result<P, E>> + Send>;

struct Lane<P, E> {
    pieces: Pieces<P, E>,
    piece: Option<P>,
    /// The next row of the piece.
    at: usize,
}

impl<P: Timed, E> Lanes<P, E> {
    /// These streams; of rows that arrive at the same time those of the first come first.
    pub fn new(pieces: Vec<Pieces<P, E>>) -> Self {
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
    /// A piece that cannot be had.
    pub fn next_arrival(&mut self) -> Result<Option<i64>, E> {
        for lane in &mut self.lanes {
            lane.load()?;
        }
        Ok(self.lanes.iter().filter_map(Lane::next_arrival).min())
    }

    /// Takes the next rows, as many as are due, in order of arrival: for each stream those of one piece. Ends with the
    /// first piece that is through, since its stream's next row is not known yet.
    pub fn take(&mut self, due: Due) -> Vec<(usize, Range<usize>)> {
        let mut taken: Vec<Range<usize>> = self.lanes.iter().map(|lane| lane.at..lane.at).collect();
        match self.lanes.as_mut_slice() {
            [only] => {
                let times = only.piece.as_ref().map_or(&[][..], |piece| &piece.times()[only.at..]);
                let room = times.len().min(due.rows);
                let reached = times[..room].partition_point(|time| *time <= due.until);
                only.at += reached;
                taken[0].end += reached;
            }
            lanes => {
                for _ in 0..due.rows {
                    let arrivals = lanes.iter().enumerate();
                    let next = arrivals
                        .filter_map(|(index, lane)| Some((lane.next_arrival()?, index)))
                        .min();
                    let Some((_, index)) = next.filter(|(time, _)| *time <= due.until) else {
                        break;
                    };
                    lanes[index].at += 1;
                    taken[index].end += 1;
                    if lanes[index].is_through() {
                        break;
                    }
                }
            }
        }
        let filled = taken.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        filled.collect()
    }

    /// The piece rows of a stream were taken from.
    pub fn piece(&self, stream: usize) -> &P {
        self.lanes[stream].piece.as_ref().expect("rows were taken from it")
    }
}

impl<P: Timed, E> Lane<P, E> {
    fn load(&mut self) -> Result<(), E> {
        if self.is_through() {
            self.piece = self.pieces.next().transpose()?;
            self.at = 0;
        }
        Ok(())
    }

    fn is_through(&self) -> bool {
        self.piece.as_ref().is_none_or(|piece| self.at == piece.times().len())
    }

    fn next_arrival(&self) -> Option<i64> {
        self.piece.as_ref()?.times().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    impl Timed for Vec<i64> {
        fn times(&self) -> &[i64] {
            self
        }
    }

    /// Takes everything in steps of `rows`, and tells which row of which stream came.
    fn order(streams: &[&[&[i64]]], rows: usize) -> Vec<(usize, i64)> {
        let pieces = |stream: &&[&[i64]]| -> Pieces<Vec<i64>, Infallible> {
            let pieces: Vec<_> = stream.iter().map(|piece| Ok(piece.to_vec())).collect();
            Box::new(pieces.into_iter())
        };
        let mut lanes = Lanes::new(streams.iter().map(pieces).collect());
        let mut order = vec![];
        while let Ok(Some(_)) = lanes.next_arrival() {
            for (stream, range) in lanes.take(Due { rows, until: i64::MAX }) {
                order.extend(lanes.piece(stream)[range].iter().map(|time| (stream, *time)));
            }
        }
        order
    }

    #[test]
    fn rows_of_several_streams_come_in_order_of_arrival() {
        let streams: [&[&[i64]]; 2] = [&[&[1, 4], &[5, 9]], &[&[2, 5, 6]]];
        let one_by_one = order(&streams, 1);
        assert_eq!(one_by_one, [(0, 1), (1, 2), (0, 4), (0, 5), (1, 5), (1, 6), (0, 9)]);
        let mut together = order(&streams, 100);
        together.sort_by_key(|(stream, time)| (*time, *stream));
        assert_eq!(together, one_by_one);
    }

    #[test]
    fn only_rows_that_are_due_are_taken() {
        let pieces: Pieces<Vec<i64>, Infallible> = Box::new([Ok(vec![1, 2, 3, 4])].into_iter());
        let mut lanes = Lanes::new(vec![pieces]);
        assert_eq!(lanes.next_arrival(), Ok(Some(1)));
        assert_eq!(lanes.take(Due { rows: 10, until: 2 }), [(0, 0..2)]);
        assert_eq!(lanes.next_arrival(), Ok(Some(3)));
        assert_eq!(lanes.take(Due { rows: 1, until: 9 }), [(0, 2..3)]);
        assert_eq!(lanes.take(Due { rows: 0, until: 9 }), []);
    }
}
