//! JSON lines: one object a row, NULL as `null`, timestamps in ISO-8601.
//!
//! Written by hand, a row at a time over columns of known type: no value tree, no formatting machinery. Short pieces are
//! copied at a fixed width and overwritten by what follows, so that no length decides a branch.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Cells, TimeText, columns, time::write_date, write_decimal, write_double};
use crate::error::Result;
use crate::lateness::{Fault, FaultKind};

/// Writes rows of one schema as JSON lines.
#[derive(Debug)]
pub struct JsonEncoder {
    /// What stands before each value: `{"first":` or `,"next":`.
    keys: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// An encoder for rows of this schema.
    pub fn new(schema: &SchemaRef) -> JsonEncoder {
        let key = |(index, field): (usize, &arrow::datatypes::FieldRef)| {
            let mut key = vec![if index == 0 { b'{' } else { b',' }];
            write_text(field.name(), &mut key);
            key.push(b':');
            key
        };
        JsonEncoder {
            keys: schema.fields().iter().enumerate().map(key).collect(),
        }
    }

    /// Appends one line for each row.
    ///
    /// # Errors
    /// For a column type that text cannot carry.
    pub fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns = columns(rows)?;
        let fast: Option<Vec<FastColumn>> = self
            .keys
            .iter()
            .zip(&columns)
            .map(|(key, (cells, nulls))| FastColumn::new(key, cells, nulls.is_some()))
            .collect();
        match fast {
            Some(mut fast) => write_fast(&mut fast, rows.num_rows(), out),
            None => self.encode_spoilt(rows, |_| None, out)?,
        }
        Ok(())
    }

    /// Appends one line for each row, spoilt where `fault` says so.
    ///
    /// # Errors
    /// For a column type that text cannot carry.
    pub fn encode_spoilt(
        &self,
        rows: &RecordBatch,
        fault: impl Fn(usize) -> Option<Fault>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let columns = columns(rows)?;
        let mut time = TimeText::default();
        out.reserve(rows.num_rows() * (16 + self.keys.iter().map(|key| key.len() + 16).sum::<usize>()));
        for row in 0..rows.num_rows() {
            let start = out.len();
            let fault = fault(row);
            for (index, (key, (cells, nulls))) in self.keys.iter().zip(&columns).enumerate() {
                let hit = fault
                    .filter(|fault| usize::from(fault.column) == index)
                    .map(|fault| fault.kind);
                match hit {
                    Some(FaultKind::MissingField) => continue,
                    Some(FaultKind::WrongType) => {
                        out.extend_from_slice(key);
                        out.extend_from_slice(b"\"wrong\"");
                        continue;
                    }
                    _ => out.extend_from_slice(key),
                }
                let null = hit == Some(FaultKind::Null) || nulls.is_some_and(|nulls| nulls.is_null(row));
                if null {
                    out.extend_from_slice(b"null")
                } else {
                    write_cell(cells, row, &mut time, out)
                }
            }
            out.extend_from_slice(b"}\n");
            if let Some(fault) = fault {
                spoil(fault, start, out);
            }
        }
        Ok(())
    }
}

/// Bytes that a piece is copied at once.
const WIDE: usize = 32;

/// A short text with padding, copied at full width.
struct Piece {
    bytes: [u8; WIDE],
    length: usize,
}

impl Piece {
    fn new(text: &[u8]) -> Option<Piece> {
        let mut bytes = [0; WIDE];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Piece {
            bytes,
            length: text.len(),
        })
    }
}

/// A column without NULLs of one of the types that make up most streams, and what stands before its values.
struct FastColumn<'a> {
    key: Piece,
    cells: FastCells<'a>,
}

enum FastCells<'a> {
    /// Offsets and bytes of texts of which none needs an escape.
    Text(&'a [i32], &'a [u8]),
    Int(&'a [i32]),
    Time(&'a [i64], TimeText),
}

impl<'a> FastColumn<'a> {
    fn new(key: &[u8], cells: &Cells<'a>, has_nulls: bool) -> Option<FastColumn<'a>> {
        if has_nulls {
            return None;
        }
        let quoted = |key: &[u8]| Piece::new(&[key, b"\""].concat());
        Some(match cells {
            Cells::Text(texts) => {
                let (offsets, bytes) = (texts.value_offsets(), texts.values().as_slice());
                let from = *offsets.first()? as usize;
                let to = *offsets.last()? as usize;
                // Without an early end the loop is done many bytes at a time.
                let plain = bytes[from..to].iter().fold(true, |plain, byte| plain & is_plain(*byte));
                plain.then_some(FastColumn {
                    key: quoted(key)?,
                    cells: FastCells::Text(offsets, bytes),
                })?
            }
            Cells::Int(numbers) => FastColumn {
                key: Piece::new(key)?,
                cells: FastCells::Int(numbers.values()),
            },
            Cells::Timestamp(times) => FastColumn {
                key: quoted(key)?,
                cells: FastCells::Time(times.values(), TimeText::default()),
            },
            _ => return None,
        })
    }

    /// The most bytes that rows `from..to` take, keys included.
    fn room(&self, from: usize, to: usize) -> usize {
        let values = match &self.cells {
            FastCells::Text(offsets, _) => (offsets[to] - offsets[from]) as usize,
            FastCells::Int(_) => (to - from) * 11,
            FastCells::Time(..) => (to - from) * TimeText::LONGEST,
        };
        values + (to - from) * (self.key.length + 1)
    }
}

/// Rows for which room is made at once.
const PIECE_ROWS: usize = 1_024;

fn write_fast(columns: &mut [FastColumn], rows: usize, out: &mut Vec<u8>) {
    for from in (0..rows).step_by(PIECE_ROWS) {
        let to = rows.min(from + PIECE_ROWS);
        let room: usize = columns.iter().map(|column| column.room(from, to)).sum();
        let start = out.len();
        out.resize(start + room + 2 * (to - from) + WIDE, 0);
        let mut line = Line {
            bytes: &mut out[start..],
            at: 0,
        };
        for row in from..to {
            columns.iter_mut().for_each(|column| line.put_field(column, row));
            line.put_wide(b"}\n", 2);
        }
        let end = start + line.at;
        out.truncate(end);
    }
}

/// Where the next bytes of a line go; the room has been made.
struct Line<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Line<'_> {
    #[inline]
    fn put_field(&mut self, column: &mut FastColumn, row: usize) {
        self.put_wide(&column.key.bytes, column.key.length);
        match &mut column.cells {
            FastCells::Text(offsets, bytes) => {
                let (from, to) = (offsets[row] as usize, offsets[row + 1] as usize);
                match bytes.get(from..from + WIDE) {
                    Some(wide) if to - from <= WIDE => {
                        let wide: &[u8; WIDE] = wide.try_into().expect("a slice of that length");
                        self.put_wide(wide, to - from);
                    }
                    _ => self.put(&bytes[from..to]),
                }
                self.put_wide(b"\"", 1);
            }
            FastCells::Int(numbers) => self.put_int(numbers[row]),
            FastCells::Time(times, text) => {
                let (bytes, length) = text.padded(times[row]);
                self.put_wide(bytes, length);
                self.put_wide(b"\"", 1);
            }
        }
    }

    /// Copies all of `bytes`, of which `length` count.
    #[inline]
    fn put_wide<const N: usize>(&mut self, bytes: &[u8; N], length: usize) {
        self.bytes[self.at..self.at + N].copy_from_slice(bytes);
        self.at += length;
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    #[inline]
    fn put_int(&mut self, number: i32) {
        match number {
            0..10 => self.put_wide(&[b'0' + number as u8], 1),
            10..100 => self.put_wide(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8], 2),
            _ => self.put(itoa::Buffer::new().format(number).as_bytes()),
        }
    }
}

/// Stands in JSON as it is.
#[inline]
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

#[inline]
fn write_cell(cells: &Cells, row: usize, time: &mut TimeText, out: &mut Vec<u8>) {
    match cells {
        Cells::Text(texts) => write_text(texts.value(row), out),
        Cells::Int(numbers) => out.extend_from_slice(itoa::Buffer::new().format(numbers.value(row)).as_bytes()),
        Cells::Bigint(numbers) => out.extend_from_slice(itoa::Buffer::new().format(numbers.value(row)).as_bytes()),
        Cells::Double(numbers) => write_double(numbers.value(row), b"\"", out),
        Cells::Boolean(truths) => out.extend_from_slice(if truths.value(row) { b"true" } else { b"false" }),
        Cells::Timestamp(times) => {
            out.push(b'"');
            time.write(times.value(row), out);
            out.push(b'"');
        }
        Cells::Date(days) => {
            out.push(b'"');
            write_date(i64::from(days.value(row)), out);
            out.push(b'"');
        }
        Cells::Decimal(units, scale) => write_decimal(units.value(row), *scale, out),
    }
}

/// A text in quotes, escaped only where JSON asks for it.
#[inline]
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    // Block by block, without a way out within one, so that a block is a few instructions.
    let mut blocks = text.as_bytes().chunks(32);
    if blocks.all(|block| block.iter().fold(true, |plain, byte| plain & is_plain(*byte))) {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_escaped(text, out);
    }
    out.push(b'"');
}

#[cold]
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
}

/// Spoils the line from `start` on, where the fault is one of the line and not of a field.
fn spoil(fault: Fault, start: usize, out: &mut Vec<u8>) {
    let line_end = out.len() - 1;
    match fault.kind {
        FaultKind::Truncated => {
            // At least the brace stays (a blank line would be no row), at most all but the last brace.
            let mut end = start + 1 + fault.bits as usize % (line_end - start - 1);
            while out[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            out.truncate(end);
            out.push(b'\n');
        }
        FaultKind::BadJson => out[start] = b'(',
        FaultKind::BadUtf8 => {
            let quotes: Vec<usize> = (start..line_end).filter(|at| out[*at] == b'"').collect();
            // Inside the last text of the line, which ends with the last quote.
            let at = quotes.last().copied().unwrap_or(line_end - 1);
            out.insert(at, 0xff);
        }
        FaultKind::UnknownField => insert_field(b"\"unknown\":\"x\"", line_end, start, out),
        FaultKind::Oversize => {
            let mut field = b"\"padding\":\"".to_vec();
            field.resize(field.len() + fault.bits as usize, b'x');
            field.push(b'"');
            insert_field(&field, line_end, start, out);
        }
        FaultKind::MissingField if out[start] == b',' => out[start] = b'{',
        FaultKind::MissingField if out[start] == b'}' => out.insert(start, b'{'),
        FaultKind::MissingField | FaultKind::WrongType | FaultKind::Null => {}
    }
}

/// Adds a field before the closing brace.
fn insert_field(field: &[u8], line_end: usize, start: usize, out: &mut Vec<u8>) {
    out.truncate(line_end - 1);
    if out.len() > start + 1 {
        out.push(b',');
    }
    out.extend_from_slice(field);
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int32Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter([
            (
                "name",
                Arc::new(StringArray::from(vec![Some("a \"b\"\n"), None])) as ArrayRef,
            ),
            ("n", Arc::new(Int32Array::from(vec![-7, 8]))),
            ("x", Arc::new(Float64Array::from(vec![1.5, f64::NAN]))),
            (
                "t",
                Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("+00:00")),
            ),
            (
                "d",
                Arc::new(
                    Decimal128Array::from(vec![-5, 1234])
                        .with_precision_and_scale(10, 2)
                        .unwrap(),
                ) as ArrayRef,
            ),
        ])
        .unwrap()
    }

    fn text(fault: Option<FaultKind>, column: u16) -> String {
        let rows = batch();
        let fault = fault.map(|kind| Fault { kind, column, bits: 20 });
        let mut out = vec![];
        JsonEncoder::new(&rows.schema())
            .encode_spoilt(&rows, |row| fault.filter(|_| row == 0), &mut out)
            .unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_fast_way_writes_what_the_other_does() {
        let many = |text| vec![text; 2_000];
        for text in [
            "",
            "Lisboa",
            "São João da Madeira",
            "a text that is longer than the widest copy at once",
            "a \"b\"",
        ] {
            let numbers = Int32Array::from_iter_values((0..2_000).map(|n| (n - 1_000) * (n - 1_000) * (n - 1_000)));
            let times =
                TimestampMicrosecondArray::from_iter_values((0..2_000).map(|n| (n - 1_000) * 12_345_000 + n % 3));
            let rows = RecordBatch::try_from_iter([
                ("text", Arc::new(StringArray::from(many(text))) as ArrayRef),
                ("n", Arc::new(numbers)),
                ("t", Arc::new(times.with_timezone("+00:00"))),
            ]);
            let rows = rows.unwrap().slice(3, 1_900);
            let (mut fast, mut slow) = (vec![], vec![]);
            JsonEncoder::new(&rows.schema()).encode(&rows, &mut fast).unwrap();
            JsonEncoder::new(&rows.schema())
                .encode_spoilt(&rows, |_| None, &mut slow)
                .unwrap();
            assert_eq!(String::from_utf8(fast).unwrap(), String::from_utf8(slow).unwrap());
        }
    }

    #[test]
    fn rows_become_lines() {
        insta::assert_snapshot!(text(None, 0), @r#"
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05}
        {"name":null,"n":8,"x":"NaN","t":"1970-01-01T00:00:01.500Z","d":12.34}
        "#);
    }

    #[test]
    fn faults_spoil_the_line_they_hit() {
        let first = |kind, column| text(Some(kind), column).lines().next().unwrap().to_owned();
        let lines = [
            first(FaultKind::Truncated, 0),
            first(FaultKind::BadJson, 0),
            first(FaultKind::WrongType, 1),
            first(FaultKind::MissingField, 0),
            first(FaultKind::MissingField, 4),
            first(FaultKind::Null, 3),
            first(FaultKind::UnknownField, 0),
            first(FaultKind::BadUtf8, 0),
            first(FaultKind::Oversize, 0),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"name":"a \"b\"\n","
        ("name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05}
        {"name":"a \"b\"\n","n":"wrong","x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05}
        {"n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05}
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z"}
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":null,"d":-0.05}
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05,"unknown":"x"}
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d�":-0.05}
        {"name":"a \"b\"\n","n":-7,"x":1.5,"t":"1970-01-01T00:00:00Z","d":-0.05,"padding":"xxxxxxxxxxxxxxxxxxxx"}
        "#);
    }
}
