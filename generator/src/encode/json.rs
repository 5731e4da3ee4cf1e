//! JSON lines: one object a row, NULL as `null`, timestamps in ISO-8601.
//!
//! Written by hand, a row at a time over columns of known type: no value tree, no formatting machinery.

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
        self.encode_spoilt(rows, |_| None, out)
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
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        write_escaped(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
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
            field.resize(field.len() + fault.oversize_bytes as usize, b'x');
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
        let fault = fault.map(|kind| Fault {
            kind,
            column,
            bits: 20,
            oversize_bytes: 5,
        });
        let mut out = vec![];
        JsonEncoder::new(&rows.schema())
            .encode_spoilt(&rows, |row| fault.filter(|_| row == 0), &mut out)
            .unwrap();
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn rows_become_lines() {
        insta::assert_snapshot!(text(None, 0), @"");
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
        insta::assert_snapshot!(lines.join("\n"), @"");
    }
}
