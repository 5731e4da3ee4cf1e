//! JSON into rows: the columns of `from_json` and of files.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, SchemaRef};

use super::flat::Flat;
use super::token::{Parse, Stop};
use super::value::{Fit, ValueReader, push_text};
use super::{JsonOptions, ParseMode};
use crate::format::column::Column;
use crate::format::columns::{Columns, widened};
use crate::format::encoding::decoded;
use crate::format::malformed::{corrupt_column, describe_row, malformed};
use crate::{Error, Result};

/// `from_json` into a struct: NULL and blank text give NULL, what is no object a struct of NULLs.
///
/// # Errors
/// In FAILFAST mode a row that does not fit, with Spark's condition; a field type text cannot be read into.
pub fn parse_json_column(texts: &StringArray, fields: &Fields, options: &JsonOptions) -> Result<StructArray> {
    options.check_from_json(texts)?;
    let rows = texts.len();
    let mut reader = RowReader::new(fields, options, rows, false)?;
    let mut valid = Vec::with_capacity(rows);
    for text in texts {
        let text = text.unwrap_or("").as_bytes();
        valid.push(reader.read_one(text)?);
    }
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    if fields.is_empty() {
        return Ok(StructArray::new_empty_fields(rows, nulls));
    }
    let columns = reader
        .columns
        .into_iter()
        .map(Column::finish)
        .collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new(fields.clone(), columns, nulls)?)
}

/// `from_json` into a struct, an array or a map.
///
/// # Errors
/// As [`parse_json_column`]; `INVALID_SCHEMA.NON_STRUCT_TYPE` for any other type.
pub fn from_json(texts: &StringArray, data_type: &DataType, options: &JsonOptions) -> Result<ArrayRef> {
    match data_type {
        DataType::Struct(fields) => Ok(Arc::new(parse_json_column(texts, fields, options)?)),
        DataType::List(_) | DataType::Map(..) => values_from_json(texts, data_type, options),
        other => Err(Error::spark(
            "INVALID_SCHEMA.NON_STRUCT_TYPE",
            format!("the schema of `from_json` must be a struct, an array or a map, found {other}"),
        )),
    }
}

/// Arrays and maps: what does not fit as a whole is NULL.
fn values_from_json(texts: &StringArray, data_type: &DataType, options: &JsonOptions) -> Result<ArrayRef> {
    options.check_from_json(texts)?;
    let mut column = Column::new(data_type, texts.len())?;
    for text in texts {
        let row = column.len();
        let mut reader = ValueReader::new(text.unwrap_or("").as_bytes(), options, false);
        let fit = match reader.root(&mut column) {
            Ok(fit) => fit,
            Err(Stop::Malformed) => Some(Fit::Not),
            Err(Stop::Failed(error)) => return Err(error),
        };
        if options.mode == ParseMode::FailFast && matches!(fit, Some(Fit::Partly | Fit::Not)) {
            return Err(malformed(text.unwrap_or("")));
        }
        if !matches!(fit, Some(Fit::Whole | Fit::Partly)) {
            column.truncate(row);
            column.push_null();
        }
    }
    column.finish()
}

/// Reads a file of one JSON object a line; an array of objects gives a row an element, blank lines none.
///
/// # Errors
/// In FAILFAST mode a row that does not fit, naming its line.
pub fn read_json_lines(bytes: &[u8], schema: &SchemaRef, options: &JsonOptions) -> Result<RecordBatch> {
    read_json_columns(bytes, schema, &Columns::All, options)
}

/// As [`read_json_lines`], but only the `needed` columns: what is wrong with the others is not noticed.
///
/// # Errors
/// As [`read_json_lines`].
pub(crate) fn read_json_columns(
    bytes: &[u8],
    schema: &SchemaRef,
    needed: &Columns,
    options: &JsonOptions,
) -> Result<RecordBatch> {
    let text = decoded(bytes, options.encoding, options.multi_line)?;
    let bytes = text.as_ref();
    let kept = needed.of(schema);
    let fields: Fields = kept.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect();
    let mut reader = RowReader::new(&fields, options, bytes.len() / 64, true)?;
    if options.multi_line {
        reader.read_line(bytes, 1)?;
    } else {
        let all_utf8 = std::str::from_utf8(bytes).is_ok();
        for (index, line) in crate::format::text::lines(bytes, options.line_separator.as_deref()).enumerate() {
            if all_utf8 || std::str::from_utf8(line).is_ok() {
                reader.read_line(line, index + 1)?;
            } else {
                reader.push_corrupt(&String::from_utf8_lossy(line), index + 1)?;
            }
        }
    }
    let rows = reader.rows;
    let columns = reader
        .columns
        .into_iter()
        .map(Column::finish)
        .collect::<Result<Vec<_>>>()?;
    widened(columns, &kept, rows, schema)
}

/// Rows of a schema under construction.
struct RowReader<'o> {
    fields: Fields,
    columns: Vec<Column>,
    rows: usize,
    /// The quick way, if the schema allows one.
    flat: Option<Flat>,
    /// The column that takes the text of rows that do not fit.
    corrupt: Option<usize>,
    options: &'o JsonOptions,
    /// Values that are no strings keep their spelling in STRING columns: files do, `from_json` does not.
    raw: bool,
}

impl<'o> RowReader<'o> {
    fn new(fields: &Fields, options: &'o JsonOptions, rows: usize, raw: bool) -> Result<Self> {
        let corrupt = corrupt_column(fields, &options.corrupt_column)?;
        let columns = Column::for_fields(fields, rows)?;
        Ok(RowReader {
            fields: fields.clone(),
            columns,
            rows: 0,
            flat: corrupt.is_none().then(|| Flat::of(fields, options)).flatten(),
            corrupt,
            options,
            raw,
        })
    }

    /// Appends the row of a text the quick way, or nothing.
    #[inline]
    fn read_quickly(&mut self, text: &[u8]) -> bool {
        let Some(flat) = &self.flat else { return false };
        if flat.read(text, &mut self.columns).is_some() {
            self.rows += 1;
            return true;
        }
        let rows = self.rows;
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        false
    }

    /// Appends the row a text means; a row of NULLs and `false` for blank text.
    #[inline]
    fn read_one(&mut self, text: &[u8]) -> Result<bool> {
        if self.read_quickly(text) {
            return Ok(true);
        }
        self.read_in_full(text)
    }

    fn read_in_full(&mut self, text: &[u8]) -> Result<bool> {
        let row = self.rows;
        self.rows += 1;
        let mut reader = ValueReader::new(text, self.options, self.raw);
        let fit = match reader.tokens.peek() {
            Ok(None) => {
                self.columns.iter_mut().for_each(Column::push_null);
                return Ok(false);
            }
            Ok(Some(b'{')) => reader.object(&self.fields, &mut self.columns, self.corrupt, row),
            Ok(Some(b'[')) if self.options.mode == ParseMode::FailFast => {
                return Err(Error::spark(
                    "MALFORMED_RECORD_IN_PARSING.CANNOT_PARSE_JSON_ARRAYS_AS_STRUCTS",
                    format!(
                        "malformed records are detected in record parsing: {}",
                        String::from_utf8_lossy(text)
                    ),
                ));
            }
            Ok(Some(_)) => Ok(Fit::Not),
            Err(stop) => Err(stop),
        };
        match fit {
            Ok(Fit::Whole) => self.fill_corrupt(row, None),
            Ok(Fit::Partly) => {
                self.fill_corrupt(row, Some(text))?;
                self.fail_fast(row)
            }
            Err(Stop::Failed(error)) => Err(error),
            Ok(Fit::Not) | Err(Stop::Malformed) => {
                self.null_row(row, text)?;
                self.fail_fast(row)
            }
        }?;
        Ok(true)
    }

    fn fail_fast(&self, row: usize) -> Result<()> {
        match self.options.mode {
            ParseMode::FailFast => Err(malformed(&describe_row(&self.columns, row))),
            _ => Ok(()),
        }
    }

    /// Appends the rows of a line of a file.
    fn read_line(&mut self, line: &[u8], number: usize) -> Result<()> {
        if self.read_quickly(line) {
            return Ok(());
        }
        let start = self.rows;
        let fit = match self.line_rows(line) {
            Ok(fit) => fit,
            Err(Stop::Malformed) => Fit::Not,
            Err(Stop::Failed(error)) => return Err(error),
        };
        match (fit, self.options.mode) {
            (Fit::Whole, _) => (start..self.rows).try_for_each(|row| self.fill_corrupt(row, None)),
            (_, ParseMode::DropMalformed) => {
                self.truncate(start);
                Ok(())
            }
            (Fit::Partly, mode) => {
                (start..self.rows).try_for_each(|row| self.fill_corrupt(row, Some(line)))?;
                if mode == ParseMode::FailFast {
                    Err(self.malformed_line(start, number))
                } else {
                    Ok(())
                }
            }
            (Fit::Not, _) => self.push_corrupt(&String::from_utf8_lossy(line), number),
        }
    }

    /// The rows of a line, without their corrupt column.
    fn line_rows(&mut self, line: &[u8]) -> Parse<Fit> {
        let start = self.rows;
        let mut reader = ValueReader::new(line, self.options, self.raw);
        let fit = match reader.tokens.peek()? {
            None => Ok(Fit::Whole),
            Some(b'{') => {
                self.rows += 1;
                reader.object(&self.fields, &mut self.columns, self.corrupt, start)
            }
            Some(b'[') => self.array_rows(&mut reader),
            Some(_) => Ok(Fit::Not),
        };
        if !matches!(fit, Ok(Fit::Whole | Fit::Partly)) {
            self.truncate(start);
        }
        fit
    }

    fn array_rows(&mut self, reader: &mut ValueReader) -> Parse<Fit> {
        reader.tokens.enter()?;
        let mut all = Fit::Whole;
        let mut first = true;
        while reader.tokens.next_element(first)? {
            first = false;
            if reader.tokens.peek_some()? != b'{' {
                return Ok(Fit::Not);
            }
            let row = self.rows;
            self.rows += 1;
            if reader.object(&self.fields, &mut self.columns, self.corrupt, row)? == Fit::Partly {
                all = Fit::Partly;
            }
        }
        reader.tokens.leave();
        Ok(all)
    }

    /// Appends a row of NULLs that holds the text, or drops or refuses it.
    fn push_corrupt(&mut self, text: &str, line: usize) -> Result<()> {
        let row = self.rows;
        match self.options.mode {
            ParseMode::DropMalformed => Ok(()),
            mode => {
                self.null_row(row, text.as_bytes())?;
                self.rows += 1;
                if mode == ParseMode::FailFast {
                    Err(self.malformed_line(row, line))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn malformed_line(&self, row: usize, line: usize) -> Error {
        malformed(&format!("{} in line {line}", describe_row(&self.columns, row)))
    }

    fn null_row(&mut self, row: usize, text: &[u8]) -> Result<()> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            column.truncate(row);
            if Some(index) != self.corrupt {
                column.push_null();
            }
        }
        self.fill_corrupt(row, Some(text))
    }

    /// Sets the corrupt column of `row`.
    fn fill_corrupt(&mut self, row: usize, text: Option<&[u8]>) -> Result<()> {
        let Some(index) = self.corrupt else { return Ok(()) };
        let column = &mut self.columns[index];
        column.truncate(row);
        match text {
            None => column.push_null(),
            Some(text) => push_text(column, text)?,
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        self.rows = rows;
    }
}
