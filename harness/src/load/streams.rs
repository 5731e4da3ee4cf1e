//! Rows of generated streams, made ahead by threads of their own, several streams in the order of their rows' arrival.

use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

use skirl_generator::spec::ROWS_MAX;
use skirl_generator::target::kafka::{Due, KeyColumn, Lanes, Maker, Piece, Pieces};
use skirl_generator::{Error as RowError, Format, Stream, StreamSpec};

use super::error::{Error, Result};
use super::rows::{RowSource, SourceRow};

/// Pieces of rows that may wait to be sent.
const PIECES_AHEAD: usize = 8;
/// Rows made in one go.
const PIECE_ROWS: u64 = 1_000;

/// Rows of streams without end.
pub struct StreamRows {
    lanes: Lanes<Piece, RowError>,
    taken: Vec<(usize, Range<usize>)>,
}

impl StreamRows {
    /// Streams that go on for as long as rows are taken; how late their rows are and what they hold is as specified.
    ///
    /// # Errors
    /// Specifications that do not go together, a key column that is not there.
    pub fn start(specs: &[(String, StreamSpec)], key: &KeyColumn, seed: u64) -> Result<StreamRows> {
        let endless: Vec<_> = specs.iter().map(|(name, spec)| (name.clone(), endless(spec))).collect();
        let mut pieces: Vec<Pieces<Piece, RowError>> = Vec::new();
        for (name, _) in &endless {
            let maker = Maker::new(name, Stream::new(name, &endless, seed)?, Format::Json, key)?;
            let (give, take) = sync_channel(PIECES_AHEAD);
            let thread = thread::Builder::new().name("skirl-rows".into());
            // It ends once nobody takes its pieces any more.
            let started = thread.spawn(move || maker.run(ROWS_MAX, &give));
            started.map_err(|error| Error::Plan(format!("cannot start a thread that makes rows: {error}")))?;
            pieces.push(Box::new(take.into_iter()));
        }
        Ok(StreamRows {
            lanes: Lanes::new(pieces),
            taken: Vec::new(),
        })
    }
}

fn endless(spec: &StreamSpec) -> StreamSpec {
    let mut endless = spec.clone();
    endless.rows = ROWS_MAX;
    endless.batch = None;
    endless.batch_rows = Some(PIECE_ROWS);
    endless.trailing_batches = 0;
    endless
}

impl RowSource for StreamRows {
    fn take(&mut self, most: usize) -> Result<usize> {
        if self.lanes.next_arrival()?.is_none() {
            let what = "the streams have no more rows: all of them are lost on their way".to_string();
            return Err(Error::Rows(RowError::Unsupported(what)));
        }
        self.taken = self.lanes.take(Due {
            rows: most,
            until: i64::MAX,
        });
        Ok(self.taken.iter().map(|(_, rows)| rows.len()).sum())
    }

    fn row(&self, mut index: usize) -> SourceRow<'_> {
        for (stream, rows) in &self.taken {
            if index < rows.len() {
                let row = self.lanes.piece(*stream).row(rows.start + index, 0);
                return SourceRow {
                    stream: *stream,
                    key: row.key,
                    value: row.value.unwrap_or_default(),
                };
            }
            index -= rows.len();
        }
        unreachable!("only rows that were taken are looked at")
    }
}
