//! CSV into columns.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, SchemaRef};

use super::token::{Token, Tokenizer};
use super::{CsvOptions, ParseMode};
use crate::format::column::{Column, Values};
use crate::format::columns::{Columns, widened};
use crate::format::encoding::decoded_lossy;
use crate::format::malformed::{corrupt_column, describe_row, malformed};
use crate::format::number::{parse_double, parse_float, parse_grouped_decimal, parse_integer};
use crate::format::text::lines;
use crate::format::time::{parse_date_lenient, parse_timestamp_lenient, parse_timestamp_ntz};
use crate::{Error, Result};

/// Reads a CSV file; columns are bound by position.
///
/// # Errors
/// In FAILFAST mode a row that does not fit, naming its line; with `enforceSchema` false a header that is not the
/// schema's; a column type text cannot be read into.
pub fn read_csv(bytes: &[u8], schema: &SchemaRef, options: &CsvOptions) -> Result<RecordBatch> {
    read_csv_columns(bytes, schema, &Columns::All, options)
}

/// As [`read_csv`], but only the `needed` columns: what is wrong with the others is not noticed.
///
/// # Errors
/// As [`read_csv`].
pub(crate) fn read_csv_columns(
    bytes: &[u8],
    schema: &SchemaRef,
    needed: &Columns,
    options: &CsvOptions,
) -> Result<RecordBatch> {
    let file = CsvFile::new(bytes, options)?;
    let mut rows = CsvRows::new(schema, needed, options, file.bytes.len() / 32)?;
    let mut records = file.records();
    if options.header
        && let Some((line, header)) = records.next()
        && !options.enforce_schema
    {
        rows.check_header(&header_names(header, options), line)?;
    }
    for (line, record) in records {
        rows.push(record, line)?;
    }
    rows.finish()
}

/// A file cut into the lines that may be rows: neither blank nor comments.
pub(crate) struct CsvFile<'a> {
    bytes: Cow<'a, [u8]>,
    options: &'a CsvOptions,
    tokenizer: Tokenizer,
}

impl<'a> CsvFile<'a> {
    pub fn new(bytes: &'a [u8], options: &'a CsvOptions) -> Result<CsvFile<'a>> {
        Ok(CsvFile {
            bytes: decoded_lossy(bytes, options.encoding)?,
            options,
            tokenizer: Tokenizer::new(options),
        })
    }

    /// The lines with their numbers, which start at 1.
    pub fn records(&self) -> Box<dyn Iterator<Item = (usize, &[u8])> + '_> {
        let comment = self.options.comment;
        let is_row = move |line: &[u8]| {
            let first = std::str::from_utf8(&line[..line.len().min(4)])
                .ok()
                .and_then(|text| text.chars().next());
            line.iter().any(|b| *b > b' ') && (comment.is_none() || first != comment)
        };
        if self.options.multi_line {
            return Box::new(self.multi_line_records().filter(move |(_, line)| is_row(line)));
        }
        let lines = lines(&self.bytes, self.options.line_separator.as_deref()).enumerate();
        Box::new(
            lines
                .map(|(index, line)| (index + 1, line))
                .filter(move |(_, line)| is_row(line)),
        )
    }

    fn multi_line_records(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let (mut at, mut line) = (0, 1);
        std::iter::from_fn(move || {
            if at >= self.bytes.len() {
                return None;
            }
            let end = self.tokenizer.row_end(&self.bytes, at);
            let record = (line, &self.bytes[at..end]);
            line += record.1.iter().filter(|b| **b == b'\n').count() + 1;
            at = end + if self.bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
            Some(record)
        })
    }

    /// The values of a line as text; `None` for an empty one.
    pub fn values(&self, record: &[u8]) -> Vec<Option<String>> {
        let mut tokens = Vec::new();
        self.tokenizer.split(record, &mut tokens);
        let text = |token: &Token| String::from_utf8_lossy(token.bytes(record)).into_owned();
        tokens
            .iter()
            .map(|token| Some(text(token)).filter(|text| !text.is_empty()))
            .collect()
    }
}

/// The names in a header line.
fn header_names(header: &[u8], options: &CsvOptions) -> Vec<String> {
    let mut tokens = Vec::new();
    Tokenizer::new(options).split(header, &mut tokens);
    tokens
        .iter()
        .map(|token| String::from_utf8_lossy(token.bytes(header)).into_owned())
        .collect()
}

/// Rows under construction.
struct CsvRows<'o> {
    schema: SchemaRef,
    /// The columns that are read.
    columns: Vec<Column>,
    /// Their places in the schema.
    kept: Vec<usize>,
    /// Which value of a line belongs to each; none: the corrupt column.
    positions: Vec<Option<usize>>,
    /// How many values a line must have; none: it does not matter.
    width: Option<usize>,
    corrupt: Option<usize>,
    rows: usize,
    options: &'o CsvOptions,
    tokenizer: Tokenizer,
    tokens: Vec<Token>,
}

impl<'o> CsvRows<'o> {
    fn new(schema: &SchemaRef, needed: &Columns, options: &'o CsvOptions, capacity: usize) -> Result<Self> {
        for field in schema.fields() {
            if field.data_type().is_nested() {
                return Err(Error::spark(
                    "UNSUPPORTED_DATA_TYPE_FOR_DATASOURCE",
                    format!(
                        "the CSV data source doesn't support the column `{}` of type {}",
                        field.name(),
                        field.data_type()
                    ),
                ));
            }
        }
        let corrupt = corrupt_column(schema.fields(), &options.corrupt_column)?;
        let kept = needed.of(schema);
        let fields: Fields = kept.iter().map(|index| Arc::clone(&schema.fields()[*index])).collect();
        // The corrupt column is in no line; those behind it move up.
        let position = |index: &usize| {
            let behind = corrupt.is_some_and(|corrupt| corrupt < *index);
            (Some(*index) != corrupt).then_some(*index - usize::from(behind))
        };
        let width = schema.fields().len() - usize::from(corrupt.is_some());
        let positions: Vec<Option<usize>> = kept.iter().map(position).collect();
        let reads_all = positions.iter().flatten().count() == width;
        Ok(CsvRows {
            schema: Arc::clone(schema),
            columns: Column::for_fields(&fields, capacity)?,
            width: (reads_all || !options.column_pruning).then_some(width),
            corrupt: positions.iter().position(Option::is_none),
            kept,
            positions,
            rows: 0,
            options,
            tokenizer: Tokenizer::new(options),
            tokens: Vec::new(),
        })
    }

    /// Refuses a header whose names are not those of the schema's columns, as far as they are read.
    fn check_header(&self, names: &[String], line: usize) -> Result<()> {
        if let Some(width) = self.width.filter(|width| names.len() != *width) {
            return Err(Error::nameless(format!(
                "number of column in CSV header is not equal to number of fields in the schema: line {line} has {}, the \
                 schema has {width}",
                names.len(),
            )));
        }
        let wanted = self.kept.iter().map(|index| self.schema.field(*index).name());
        let pairs = wanted
            .zip(&self.positions)
            .filter_map(|(wanted, at)| Some((names.get((*at)?)?, wanted)));
        let mut others = pairs.filter(|(name, wanted)| !name.eq_ignore_ascii_case(wanted));
        match others.next() {
            Some((name, wanted)) => Err(Error::nameless(format!(
                "CSV header does not conform to the schema: line {line} has `{name}` where the schema has `{wanted}`; \
                 enforceSchema true would ignore the header"
            ))),
            None => Ok(()),
        }
    }

    /// Appends the row of a line.
    fn push(&mut self, record: &[u8], line: usize) -> Result<()> {
        let fits = if self.corrupt.is_none() && self.tokenizer.is_plain(record) {
            self.push_plain(record)?
        } else {
            self.push_tokens(record)?
        };
        if let Some(corrupt) = self.corrupt {
            self.push_corrupt(corrupt, (!fits).then_some(record))?;
        }
        self.rows += 1;
        match self.options.mode {
            _ if fits => Ok(()),
            ParseMode::Permissive => Ok(()),
            ParseMode::DropMalformed => {
                self.rows -= 1;
                self.columns.iter_mut().for_each(|column| column.truncate(self.rows));
                Ok(())
            }
            ParseMode::FailFast => {
                let row = describe_row(&self.columns, self.rows - 1);
                Err(malformed(&format!("{row} in line {line}")))
            }
        }
    }

    /// A line without quotes: its values stand between separators.
    fn push_plain(&mut self, record: &[u8]) -> Result<bool> {
        let separator = self.tokenizer.separator_byte();
        let mut values = PlainValues {
            rest: Some(record),
            at: 0,
            separator,
        };
        let mut fits = true;
        for (column, position) in self.columns.iter_mut().zip(&self.positions) {
            let Some(position) = position else { continue };
            let value = values.nth(*position);
            fits &= push_value(column, value.filter(|text| !text.is_empty()), self.options)?;
        }
        Ok(fits && self.width.is_none_or(|width| values.count() == width))
    }

    fn push_tokens(&mut self, record: &[u8]) -> Result<bool> {
        self.tokenizer.split(record, &mut self.tokens);
        let mut fits = self.width.is_none_or(|width| self.tokens.len() == width);
        for (column, position) in self.columns.iter_mut().zip(&self.positions) {
            let Some(position) = position else { continue };
            let value = self.tokens.get(*position).and_then(|token| match token {
                Token::Plain(range) => (!range.is_empty()).then(|| &record[range.clone()]),
                Token::Quoted(bytes) if bytes.is_empty() => {
                    Some(self.options.empty_value.as_deref().unwrap_or("").as_bytes())
                }
                Token::Quoted(bytes) => Some(bytes.as_slice()),
            });
            fits &= push_value(column, value, self.options)?;
        }
        Ok(fits)
    }

    fn push_corrupt(&mut self, corrupt: usize, record: Option<&[u8]>) -> Result<()> {
        let column = &mut self.columns[corrupt];
        match (record, &mut column.values) {
            (Some(record), Values::Bytes(bytes, _)) => {
                bytes.data.extend_from_slice(record);
                bytes.end()?;
                column.push_valid();
            }
            _ => column.push_null(),
        }
        Ok(())
    }

    fn finish(self) -> Result<RecordBatch> {
        let columns = self
            .columns
            .into_iter()
            .map(Column::finish)
            .collect::<Result<Vec<_>>>()?;
        widened(columns, &self.kept, self.rows, &self.schema)
    }
}

/// The values of a line without quotes, asked for in order.
struct PlainValues<'a> {
    rest: Option<&'a [u8]>,
    /// The place of the value that comes next.
    at: usize,
    separator: u8,
}

impl<'a> PlainValues<'a> {
    /// The value at a place, which is not before the last that was asked for.
    #[inline]
    fn nth(&mut self, place: usize) -> Option<&'a [u8]> {
        loop {
            let value = self.next()?;
            if self.at > place {
                return Some(value);
            }
        }
    }

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.at += 1;
        match memchr::memchr(self.separator, rest) {
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Some(&rest[..end])
            }
            None => {
                self.rest = None;
                Some(rest)
            }
        }
    }

    /// How many values the line has.
    fn count(mut self) -> usize {
        while self.next().is_some() {}
        self.at
    }
}

/// Appends a value, or NULL if there is none or it does not fit; whether it fits.
#[inline]
fn push_value(column: &mut Column, value: Option<&[u8]>, options: &CsvOptions) -> Result<bool> {
    let Some(text) = value.filter(|text| *text != options.null_value.as_bytes()) else {
        column.push_null();
        return Ok(true);
    };
    let fits = match &mut column.values {
        Values::Bytes(bytes, _) => {
            bytes.data.extend_from_slice(text);
            bytes.end()?;
            Some(())
        }
        Values::Int32(values) => parse_integer(text)
            .and_then(|v| i32::try_from(v).ok())
            .map(|v| values.push(v)),
        Values::Int64(values) => parse_integer(text).map(|v| values.push(v)),
        Values::Int16(values) => parse_integer(text)
            .and_then(|v| i16::try_from(v).ok())
            .map(|v| values.push(v)),
        Values::Int8(values) => parse_integer(text)
            .and_then(|v| i8::try_from(v).ok())
            .map(|v| values.push(v)),
        Values::Float64(values) => infinite(text, options)
            .or_else(|| csv_double(text))
            .map(|v| values.push(v)),
        Values::Float32(values) => infinite(text, options)
            .map(|v| v as f32)
            .or_else(|| parse_float(text))
            .map(|v| values.push(v)),
        Values::Boolean(values) => parse_boolean(text).map(|v| values.push(v)),
        Values::Decimal(values, precision, scale) => {
            parse_grouped_decimal(text, *precision, *scale).map(|v| values.push(v))
        }
        Values::Timestamp(values, true) => match &options.timestamp_format {
            Some(format) => format.parse_timestamp(text),
            None => parse_timestamp_lenient(text, options.today),
        }
        .map(|v| values.push(v)),
        Values::Timestamp(values, false) => match &options.timestamp_ntz_format {
            Some(format) => format.parse_timestamp_ntz(text),
            None => parse_timestamp_ntz(text),
        }
        .map(|v| values.push(v)),
        Values::Date(values) => match &options.date_format {
            Some(format) => format.parse_date(text),
            None => parse_date_lenient(text),
        }
        .map(|v| values.push(v)),
        Values::Struct(..) | Values::List(..) | Values::Map(..) | Values::Null => None,
    };
    match fits {
        Some(()) => column.push_valid(),
        None => column.push_null(),
    }
    Ok(fits.is_some())
}

fn infinite(text: &[u8], options: &CsvOptions) -> Option<f64> {
    if text == options.nan_value.as_bytes() {
        Some(f64::NAN)
    } else if text == options.positive_inf.as_bytes() {
        Some(f64::INFINITY)
    } else if text == options.negative_inf.as_bytes() {
        Some(f64::NEG_INFINITY)
    } else {
        None
    }
}

/// A double, quickly if it is short: up to 15 digits and a point are exact in one division.
#[inline]
fn csv_double(text: &[u8]) -> Option<f64> {
    crate::format::json::simple_double(text).or_else(|| parse_double(text))
}

fn parse_boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else {
        text.eq_ignore_ascii_case(b"false").then_some(false)
    }
}
