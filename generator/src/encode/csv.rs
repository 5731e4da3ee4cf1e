//! CSV with a header, in Spark's dialect: quotes and backslashes are escaped by a backslash, NULL is nothing.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Cells, TimeText, columns, time::write_date, write_decimal, write_double};
use crate::error::{Error, Result};

/// Writes rows of one schema as CSV.
#[derive(Debug)]
pub struct CsvEncoder {
    schema: SchemaRef,
}

impl CsvEncoder {
    /// An encoder for rows of this schema.
    pub fn new(schema: &SchemaRef) -> CsvEncoder {
        CsvEncoder { schema: schema.clone() }
    }

    /// Appends a header line and one line for each row.
    ///
    /// # Errors
    /// For a column type that text cannot carry, and for line breaks, which Spark reads as the end of a row.
    pub fn encode(&self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let columns = columns(rows)?;
        for (index, field) in self.schema.fields().iter().enumerate() {
            separate(index, out);
            write_text(field.name(), field.name(), out)?;
        }
        out.push(b'\n');
        let mut time = TimeText::default();
        for row in 0..rows.num_rows() {
            let start = out.len();
            for (index, (cells, nulls)) in columns.iter().enumerate() {
                separate(index, out);
                if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                    self.write_cell(cells, index, row, &mut time, out)?;
                }
            }
            if out.len() == start {
                // A blank line would be no row; quotes around nothing are read as NULL too.
                out.extend_from_slice(b"\"\"");
            }
            out.push(b'\n');
        }
        Ok(())
    }

    fn write_cell(
        &self,
        cells: &Cells,
        index: usize,
        row: usize,
        time: &mut TimeText,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match cells {
            Cells::Text(texts) => write_text(texts.value(row), self.schema.field(index).name(), out)?,
            Cells::Int(numbers) => out.extend_from_slice(itoa::Buffer::new().format(numbers.value(row)).as_bytes()),
            Cells::Bigint(numbers) => out.extend_from_slice(itoa::Buffer::new().format(numbers.value(row)).as_bytes()),
            Cells::Double(numbers) => write_double(numbers.value(row), b"", out),
            Cells::Boolean(truths) => out.extend_from_slice(if truths.value(row) { b"true" } else { b"false" }),
            Cells::Timestamp(times) => time.write(times.value(row), out),
            Cells::Date(days) => write_date(i64::from(days.value(row)), out),
            Cells::Decimal(units, scale) => write_decimal(units.value(row), *scale, out),
        }
        Ok(())
    }
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

fn write_text(text: &str, column: &str, out: &mut Vec<u8>) -> Result<()> {
    let bytes = text.as_bytes();
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\\' | b'\n' | b'\r');
    let blank = |byte: Option<&u8>| byte.is_some_and(|byte| *byte <= b' ');
    if !bytes.iter().any(special) && !blank(bytes.first()) && !blank(bytes.last()) {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    out.push(b'"');
    for &byte in bytes {
        if matches!(byte, b'\n' | b'\r') {
            return Err(Error::LineBreakInCsv {
                column: column.to_owned(),
            });
        }
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    fn csv(texts: Vec<Option<&str>>) -> Result<String> {
        let numbers = Int32Array::from_iter((0..texts.len()).map(|n| (n > 0).then_some(n as i32)));
        let rows = RecordBatch::try_from_iter([
            ("text", Arc::new(StringArray::from(texts)) as ArrayRef),
            ("n", Arc::new(numbers) as ArrayRef),
        ]);
        let rows = rows.unwrap();
        let mut out = vec![];
        CsvEncoder::new(&rows.schema()).encode(&rows, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn texts_are_quoted_where_needed() {
        insta::assert_snapshot!(csv(vec![Some("plain"), None, Some("a,b"), Some("a \"b\" \\")]).unwrap(), @"");
    }

    #[test]
    fn a_line_break_is_refused() {
        insta::assert_snapshot!(csv(vec![Some("a\nb")]).unwrap_err(), @"");
    }
}
