//! A stream's rows as Kafka takes them: values of a piece in one buffer, keys beside it.

use std::sync::mpsc::SyncSender;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef};
use skirl_kafka::Row;

use super::{KeyColumn, Timed};
use crate::arrival::Arrived;
use crate::card::{DisorderCard, DisorderCount};
use crate::encode::{Encoder, Format};
use crate::error::{Error, Result};
use crate::generate::Stream;

/// Rows of a piece, at most, and bytes of its values, about: enough to share the cost of a call, few enough to stay in a
/// core's cache.
const PIECE_ROWS: usize = 4_096;
const PIECE_BYTES: usize = 1 << 18;

/// Some consecutive rows of a stream, ready to be queued.
pub struct Piece {
    /// The values, each followed by a line feed.
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
    keys: Keys,
    times: Vec<i64>,
}

impl Timed for Piece {
    fn times(&self) -> &[i64] {
        &self.times
    }
}

/// The keys of a piece.
enum Keys {
    None,
    Text(StringArray),
    Numbers(Vec<Option<String>>),
}

impl Piece {
    fn start(&self, row: usize) -> usize {
        row.checked_sub(1).map_or(0, |before| self.ends[before] + 1)
    }

    /// A row's key.
    #[inline]
    pub fn key(&self, row: usize) -> Option<&[u8]> {
        match &self.keys {
            Keys::None => None,
            Keys::Text(texts) => texts.is_valid(row).then(|| texts.value(row).as_bytes()),
            Keys::Numbers(numbers) => numbers[row].as_ref().map(String::as_bytes),
        }
    }

    /// A row as the writer takes it, without partition and timestamp.
    #[inline]
    pub fn row(&self, row: usize, tag: usize) -> Row<'_> {
        Row {
            key: self.key(row),
            value: Some(&self.bytes[self.start(row)..self.ends[row]]),
            tag,
            ..Row::default()
        }
    }
}

/// Makes the pieces of a stream.
pub struct Maker {
    stream: Stream,
    encoder: Encoder,
    format: Format,
    key: Option<usize>,
}

impl Maker {
    /// Makes the rows of `stream`, called `name`, in a format that has a line for each row.
    ///
    /// # Errors
    /// A key column that is not there, or whose values are no keys.
    pub fn new(name: &str, stream: Stream, format: Format, key: &KeyColumn) -> Result<Maker> {
        let schema = stream.schema();
        Ok(Maker {
            encoder: Encoder::new(format, &schema),
            format,
            key: key_index(name, &schema, key)?,
            stream,
        })
    }

    /// Gives all pieces to `sender`, and the card in the end; ends early once nobody takes them.
    pub fn run(mut self, rows: u64, sender: &SyncSender<Result<Piece>>) -> DisorderCard {
        let mut count = DisorderCount::default();
        let mut piece_rows = PIECE_ROWS;
        loop {
            let arrived = match self.stream.next_arrivals() {
                Ok(Some(arrived)) => arrived,
                Ok(None) => return count.card(rows),
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return count.card(rows);
                }
            };
            count.add(&arrived);
            let mut start = 0;
            while start < arrived.len() {
                let end = arrived.len().min(start + piece_rows);
                let piece = self.piece(&arrived.part(start..end));
                if let Ok(piece) = &piece {
                    piece_rows = (PIECE_BYTES * (end - start) / piece.bytes.len().max(1)).clamp(1, PIECE_ROWS);
                }
                if sender.send(piece).is_err() {
                    return count.card(self.stream.rows_made());
                }
                start = end;
            }
        }
    }

    fn piece(&self, arrived: &Arrived) -> Result<Piece> {
        let rows = self.stream.rows(arrived)?;
        let mut bytes = Vec::with_capacity(rows.num_rows() * 96);
        self.stream.encode_rows(&rows, arrived, &self.encoder, &mut bytes)?;
        if self.format == Format::Csv {
            // A message is one row: the header says nothing there.
            let header = memchr::memchr(b'\n', &bytes).map_or(bytes.len(), |end| end + 1);
            bytes.drain(..header);
        }
        let mut ends = Vec::with_capacity(rows.num_rows());
        ends.extend(memchr::memchr_iter(b'\n', &bytes));
        debug_assert_eq!(ends.len(), rows.num_rows(), "a line for each row");
        Ok(Piece {
            bytes,
            ends,
            keys: self.key.map_or(Keys::None, |column| keys(&rows, column)),
            times: arrived.times(),
        })
    }
}

/// Which column holds the keys.
fn key_index(stream: &str, schema: &SchemaRef, key: &KeyColumn) -> Result<Option<usize>> {
    let is_text = |index: &usize| *schema.field(*index).data_type() == DataType::Utf8;
    let index = match key {
        KeyColumn::None => return Ok(None),
        KeyColumn::Usual => {
            let district = schema.index_of("district").ok().filter(is_text);
            return Ok(district.or_else(|| (0..schema.fields().len()).find(is_text)));
        }
        KeyColumn::Named(name) => schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::Unsupported(format!(
                "stream `{stream}` has no column `{name}` for its keys; it has {}",
                names.join(", ")
            ))
        })?,
    };
    match schema.field(index).data_type() {
        DataType::Utf8 | DataType::Int32 | DataType::Int64 => Ok(Some(index)),
        other => Err(Error::Unsupported(format!(
            "column `{}` of stream `{stream}` has type {other}, which makes no keys; take a string, int or bigint column",
            schema.field(index).name()
        ))),
    }
}

fn keys(rows: &RecordBatch, column: usize) -> Keys {
    let column = rows.column(column);
    match column.data_type() {
        DataType::Int32 => Keys::Numbers(numbers(column.as_primitive::<Int32Type>().iter())),
        DataType::Int64 => Keys::Numbers(numbers(column.as_primitive::<Int64Type>().iter())),
        _ => Keys::Text(column.as_string().clone()),
    }
}

fn numbers<T: std::fmt::Display>(values: impl Iterator<Item = Option<T>>) -> Vec<Option<String>> {
    values.map(|value| value.map(|value| value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::spec::StreamSpec;

    #[test]
    fn long_rows_come_in_small_pieces() {
        let long = format!(
            "kind = \"custom\"\nrows = 6000\ncolumns = [{{ name = \"x\", type = \"string\", template = \"{}\" }}]",
            "a".repeat(10_000)
        );
        let specs = [("s".to_string(), StreamSpec::from_toml(&long).unwrap())];
        let stream = Stream::new("s", &specs, 7).unwrap();
        let maker = Maker::new("s", stream, Format::Json, &KeyColumn::None).unwrap();
        let (give, take) = sync_channel(10_000);
        maker.run(6_000, &give);
        drop(give);
        let pieces: Vec<Piece> = take.into_iter().map(Result::unwrap).collect();
        assert_eq!(pieces.iter().map(|piece| piece.ends.len()).sum::<usize>(), 6_000);
        // The first piece shows how long rows are.
        assert!(pieces[1..].iter().all(|piece| piece.bytes.len() <= PIECE_BYTES));
    }
}
