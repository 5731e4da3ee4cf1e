//! JSON into columns, value by value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields, SchemaRef};

use super::flat::Flat;
use super::token::{Number, Parse, Stop, Tokens, double_of};
use super::{JsonOptions, ParseMode};
use crate::format::column::{Column, Values, last};
use crate::format::number::{parse_decimal, parse_integer};
use crate::format::time::{parse_date_lenient, parse_timestamp_lenient, parse_timestamp_ntz};
use crate::{Error, Result};

/// How a value went into its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// As it is; one value was appended.
    Whole,
    /// Some of what it holds became NULL; one value was appended.
    Partly,
    /// Not at all; nothing was appended, the text is passed.
    Not,
}

/// `from_json` into a struct: NULL and blank text give NULL, what is no object a struct of NULLs.
///
/// # Errors
/// In FAILFAST mode a row that does not fit, with Spark's condition; a field type text cannot be read into.
pub fn parse_json_column(texts: &StringArray, fields: &Fields, options: &JsonOptions) -> Result<StructArray> {
    options.check_from_json()?;
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
    options.check_from_json()?;
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
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = RowReader::new(schema.fields(), options, bytes.len() / 64, true)?;
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
    let with_rows = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &with_rows,
    )?)
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

/// The index of the corrupt column, if the schema has it.
///
/// # Errors
/// `INVALID_CORRUPT_RECORD_TYPE` if it is no nullable string.
pub(crate) fn corrupt_column(fields: &Fields, name: &str) -> Result<Option<usize>> {
    let Some(index) = fields.iter().position(|field| field.name() == name) else {
        return Ok(None);
    };
    if fields[index].data_type() != &DataType::Utf8 {
        return Err(Error::spark(
            "INVALID_CORRUPT_RECORD_TYPE",
            format!(
                "the column `{name}` for corrupt records must have the nullable STRING type, but got {}",
                fields[index].data_type()
            ),
        ));
    }
    Ok(Some(index))
}

pub(crate) fn malformed(record: &str) -> Error {
    Error::spark(
        "MALFORMED_RECORD_IN_PARSING.WITHOUT_SUGGESTION",
        format!("malformed records are detected in record parsing: {record}; mode PERMISSIVE would make them NULL"),
    )
}

fn push_text(column: &mut Column, text: &[u8]) -> Result<()> {
    if let Values::Bytes(bytes, _) = &mut column.values {
        bytes.data.extend_from_slice(text);
        bytes.end()?;
        column.push_valid();
    }
    Ok(())
}

/// A row as Spark prints it in messages: `[null,x,5]`.
pub(crate) fn describe_row(columns: &[Column], row: usize) -> String {
    let values: Vec<String> = columns.iter().map(|column| describe(column, row)).collect();
    format!("[{}]", values.join(","))
}

fn describe(column: &Column, row: usize) -> String {
    if row >= column.len() || !column.is_valid(row) {
        return "null".to_owned();
    }
    match &column.values {
        Values::Boolean(values) => values[row].to_string(),
        Values::Int8(values) => values[row].to_string(),
        Values::Int16(values) => values[row].to_string(),
        Values::Int32(values) | Values::Date(values) => values[row].to_string(),
        Values::Int64(values) | Values::Timestamp(values, _) => values[row].to_string(),
        Values::Float32(values) => crate::format::number::float_to_string(values[row]),
        Values::Float64(values) => crate::format::number::double_to_string(values[row]),
        Values::Decimal(values, _, scale) => {
            let mut text = String::new();
            crate::format::number::write_decimal(values[row], *scale, &mut text);
            text
        }
        Values::Bytes(bytes, _) => {
            let range = bytes.offsets[row] as usize..bytes.offsets[row + 1] as usize;
            String::from_utf8_lossy(&bytes.data[range]).into_owned()
        }
        Values::Struct(_, columns) => describe_row(columns, row),
        Values::List(..) | Values::Map(..) => "...".to_owned(),
        Values::Null => "null".to_owned(),
    }
}

/// Puts the values of one text into columns.
struct ValueReader<'a> {
    tokens: Tokens<'a>,
    options: &'a JsonOptions,
    raw: bool,
}

impl<'a> ValueReader<'a> {
    fn new(text: &'a [u8], options: &'a JsonOptions, raw: bool) -> Self {
        ValueReader {
            tokens: Tokens::new(text, options.lenient),
            options,
            raw,
        }
    }

    /// The whole text as one array or map; `None` if it is blank.
    fn root(&mut self, column: &mut Column) -> Parse<Option<Fit>> {
        let Some(next) = self.tokens.peek()? else {
            return Ok(None);
        };
        // A single object stands for an array of one.
        if let (b'{', Values::List(_, offsets, elements)) = (next, &mut column.values) {
            let fit = self.value(elements)?;
            if fit != Fit::Not {
                offsets.push(elements.len() as i32);
                column.push_valid();
            }
            return Ok(Some(fit));
        }
        if next == b'n' {
            return Ok(Some(Fit::Not));
        }
        self.value(column).map(Some)
    }

    /// Reads an object into `columns`, one value a column, except the one to skip, which gets none.
    #[inline]
    fn object(&mut self, fields: &Fields, columns: &mut [Column], skip: Option<usize>, row: usize) -> Parse<Fit> {
        self.tokens.enter()?;
        let mut all = Fit::Whole;
        let mut expected = 0;
        let mut first = true;
        while let Some(name) = self.tokens.next_name(first)? {
            first = false;
            let Some(index) = field_index(fields, &name, expected).filter(|index| Some(*index) != skip) else {
                self.tokens.skip_value()?;
                continue;
            };
            expected = index + 1;
            if self.member(&mut columns[index], row)? != Fit::Whole {
                all = Fit::Partly;
            }
        }
        self.tokens.leave();
        for (index, column) in columns.iter_mut().enumerate() {
            if column.len() == row && Some(index) != skip {
                column.push_null();
            }
        }
        Ok(all)
    }

    /// Reads a member; the last of the same name counts, unless it does not fit.
    #[inline]
    fn member(&mut self, column: &mut Column, row: usize) -> Parse<Fit> {
        let before = column.len();
        let fit = self.value(column)?;
        if before > row && fit != Fit::Not {
            column.remove(row..before);
        }
        Ok(fit)
    }

    /// Reads a value into its column.
    #[inline]
    fn value(&mut self, column: &mut Column) -> Parse<Fit> {
        let next = self.tokens.peek_some()?;
        if next == b'n' {
            self.tokens.literal(b"null")?;
            column.push_null();
            return Ok(Fit::Whole);
        }
        let fits = match &mut column.values {
            Values::Int32(values) => self
                .integer(next, |value| i32::try_from(value).ok())?
                .map(|v| values.push(v)),
            Values::Int64(values) => self.integer(next, Some)?.map(|v| values.push(v)),
            Values::Int16(values) => self
                .integer(next, |value| i16::try_from(value).ok())?
                .map(|v| values.push(v)),
            // Jackson takes bytes up to 255 and lets them wrap.
            Values::Int8(values) => self
                .integer(next, |value| (-128..=255).contains(&value).then_some(value as i8))?
                .map(|v| values.push(v)),
            Values::Float64(values) => self.double(next)?.map(|v| values.push(v)),
            Values::Float32(values) => self.float(next)?.map(|v| values.push(v)),
            Values::Boolean(values) => self.boolean(next)?.map(|v| values.push(v)),
            Values::Decimal(values, precision, scale) => {
                self.decimal(next, *precision, *scale)?.map(|v| values.push(v))
            }
            Values::Date(values) => self.date(next)?.map(|v| values.push(v)),
            Values::Timestamp(values, zoned) => self.timestamp(next, *zoned)?.map(|v| values.push(v)),
            Values::Bytes(bytes, true) => {
                self.text(next, &mut bytes.data)?;
                bytes.end()?;
                Some(())
            }
            Values::Bytes(bytes, false) => match self.binary(next, &mut bytes.data)? {
                true => Some(bytes.end()?),
                false => {
                    bytes.rewind();
                    None
                }
            },
            Values::Struct(..) | Values::List(..) | Values::Map(..) => return self.nested(next, column),
            Values::Null => {
                self.tokens.skip_value()?;
                column.push_null();
                return Ok(Fit::Whole);
            }
        };
        Ok(match fits {
            Some(()) => {
                column.push_valid();
                Fit::Whole
            }
            None => Fit::Not,
        })
    }

    fn nested(&mut self, next: u8, column: &mut Column) -> Parse<Fit> {
        let row = column.len();
        let fit = match (&mut column.values, next) {
            (Values::Struct(fields, columns), b'{') => self.object(fields, columns, None, row)?,
            (Values::List(_, offsets, elements), b'[') => self.list(offsets, elements)?,
            (Values::Map(_, offsets, keys, values), b'{') => self.map(offsets, keys, values)?,
            _ => {
                self.tokens.skip_value()?;
                Fit::Not
            }
        };
        if fit != Fit::Not {
            column.push_valid();
        }
        Ok(fit)
    }

    /// An array; one element that does not fit spoils it.
    fn list(&mut self, offsets: &mut Vec<i32>, elements: &mut Column) -> Parse<Fit> {
        self.tokens.enter()?;
        let start = elements.len();
        let mut all = Fit::Whole;
        let mut first = true;
        while self.tokens.next_element(first)? {
            first = false;
            if all == Fit::Not {
                self.tokens.skip_value()?;
            } else {
                all = worst(all, self.value(elements)?);
            }
        }
        self.tokens.leave();
        if all == Fit::Not {
            elements.truncate(start);
        } else {
            offsets.push(elements.len() as i32);
        }
        Ok(all)
    }

    /// A map; one value that does not fit spoils it, the last of equal keys counts.
    fn map(&mut self, offsets: &mut Vec<i32>, keys: &mut Column, values: &mut Column) -> Parse<Fit> {
        self.tokens.enter()?;
        let start = last(offsets);
        let mut all = Fit::Whole;
        let mut first = true;
        while let Some(name) = self.tokens.next_name(first)? {
            first = false;
            let fit = self.value(values)?;
            all = worst(all, fit);
            if fit == Fit::Not {
                continue;
            }
            if let Some(earlier) = find_key(keys, start, &name) {
                keys.remove(earlier..earlier + 1);
                values.remove(earlier..earlier + 1);
            }
            push_text(keys, &name)?;
        }
        self.tokens.leave();
        if all == Fit::Not {
            keys.truncate(start);
            values.truncate(start);
        } else {
            offsets.push(keys.len() as i32);
        }
        Ok(all)
    }

    #[inline]
    fn integer<T>(&mut self, next: u8, convert: impl Fn(i64) -> Option<T>) -> Parse<Option<T>> {
        if !starts_number(next) {
            self.tokens.skip_value()?;
            return Ok(None);
        }
        Ok(match self.tokens.number()? {
            Number::Small(value) => convert(value),
            _ => None,
        })
    }

    fn double(&mut self, next: u8) -> Parse<Option<f64>> {
        if starts_number(next) {
            let start = self.tokens.at;
            return Ok(Some(match self.tokens.number()? {
                Number::Small(value) => value as f64,
                Number::NotFinite(value) => value,
                Number::Big | Number::Fraction => double_of(&self.tokens.text[start..self.tokens.at]),
            }));
        }
        let Some(word) = self.word(next)? else { return Ok(None) };
        Ok(match &*word {
            _ if !self.options.lenient.non_numeric_numbers => None,
            b"NaN" => Some(f64::NAN),
            b"Infinity" | b"+Infinity" | b"+INF" => Some(f64::INFINITY),
            b"-Infinity" | b"-INF" => Some(f64::NEG_INFINITY),
            _ => None,
        })
    }

    fn float(&mut self, next: u8) -> Parse<Option<f32>> {
        let start = self.tokens.at;
        let Some(value) = self.double(next)? else {
            return Ok(None);
        };
        let text = &self.tokens.text[start..self.tokens.at];
        // Rounded once, from the text, where it is a plain number.
        let exact = std::str::from_utf8(text)
            .ok()
            .filter(|_| value.is_finite())
            .and_then(|text| text.parse().ok());
        Ok(Some(exact.unwrap_or(value as f32)))
    }

    fn boolean(&mut self, next: u8) -> Parse<Option<bool>> {
        match next {
            b't' => self.tokens.literal(b"true").map(|()| Some(true)),
            b'f' => self.tokens.literal(b"false").map(|()| Some(false)),
            _ => self.tokens.skip_value().map(|()| None),
        }
    }

    fn decimal(&mut self, next: u8, precision: u8, scale: i8) -> Parse<Option<i128>> {
        if starts_number(next) {
            let start = self.tokens.at;
            return Ok(match self.tokens.number()? {
                Number::NotFinite(_) => None,
                _ => parse_decimal(&self.tokens.text[start..self.tokens.at], precision, scale),
            });
        }
        let Some(word) = self.word(next)? else { return Ok(None) };
        Ok(parse_grouped_decimal(&word, precision, scale))
    }

    fn date(&mut self, next: u8) -> Parse<Option<i32>> {
        let Some(word) = self.word(next)? else { return Ok(None) };
        Ok(match &self.options.date_format {
            Some(format) => format.parse_date(&word),
            // Spark 1.5 wrote days as a number in a string; its readers still take it.
            None => {
                parse_date_lenient(&word).or_else(|| parse_integer(&word).and_then(|days| i32::try_from(days).ok()))
            }
        })
    }

    #[inline]
    fn timestamp(&mut self, next: u8, zoned: bool) -> Parse<Option<i64>> {
        if zoned && starts_number(next) {
            return Ok(match self.tokens.number()? {
                Number::Small(seconds) => Some(seconds.wrapping_mul(1_000_000)),
                _ => None,
            });
        }
        let Some(word) = self.word(next)? else { return Ok(None) };
        let options = self.options;
        Ok(
            match (zoned, &options.timestamp_format, &options.timestamp_ntz_format) {
                (true, Some(format), _) => format.parse_timestamp(&word),
                (true, None, _) => parse_timestamp_lenient(&word, options.today),
                (false, _, Some(format)) => format.parse_timestamp_ntz(&word),
                (false, _, None) => parse_timestamp_ntz(&word),
            },
        )
    }

    /// A string that is not empty; anything else is passed over.
    #[inline]
    fn word(&mut self, next: u8) -> Parse<Option<std::borrow::Cow<'a, [u8]>>> {
        if next == b'"' || (next == b'\'' && self.options.lenient.single_quotes) {
            return Ok(Some(self.tokens.string()?).filter(|word| !word.is_empty()));
        }
        self.tokens.skip_value()?;
        Ok(None)
    }

    /// Appends a string, or the JSON text of anything else.
    #[inline]
    fn text(&mut self, next: u8, out: &mut Vec<u8>) -> Parse<()> {
        if next == b'"' || (next == b'\'' && self.options.lenient.single_quotes) {
            return self.tokens.string_into(out);
        }
        if !self.raw {
            return self.tokens.copy_value(out);
        }
        let start = self.tokens.at;
        self.tokens.skip_value()?;
        out.extend_from_slice(&self.tokens.text[start..self.tokens.at]);
        Ok(())
    }

    fn binary(&mut self, next: u8, out: &mut Vec<u8>) -> Parse<bool> {
        if next == b'"' || (next == b'\'' && self.options.lenient.single_quotes) {
            let text = self.tokens.string()?;
            return Ok(decode_base64(&text, out).is_some());
        }
        self.tokens.skip_value()?;
        Ok(false)
    }
}

fn worst(left: Fit, right: Fit) -> Fit {
    match (left, right) {
        (Fit::Not, _) | (_, Fit::Not) => Fit::Not,
        (Fit::Partly, _) | (_, Fit::Partly) => Fit::Partly,
        _ => Fit::Whole,
    }
}

#[inline]
fn starts_number(next: u8) -> bool {
    matches!(next, b'0'..=b'9' | b'-' | b'+' | b'N' | b'I')
}

/// Rows mostly name their fields in the order of the schema: look there first.
#[inline]
fn field_index(fields: &Fields, name: &[u8], expected: usize) -> Option<usize> {
    if fields
        .get(expected)
        .is_some_and(|field| field.name().as_bytes() == name)
    {
        return Some(expected);
    }
    fields.iter().position(|field| field.name().as_bytes() == name)
}

fn find_key(keys: &Column, start: usize, name: &[u8]) -> Option<usize> {
    let Values::Bytes(bytes, _) = &keys.values else {
        return None;
    };
    (start..keys.len()).find(|key| &bytes.data[bytes.offsets[*key] as usize..bytes.offsets[*key + 1] as usize] == name)
}

/// A decimal in text; commas between digits are ignored, as Spark's default locale has it.
pub(crate) fn parse_grouped_decimal(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    if !text.contains(&b',') {
        return parse_decimal(text, precision, scale);
    }
    let plain: Vec<u8> = text.iter().copied().filter(|b| *b != b',').collect();
    parse_decimal(&plain, precision, scale)
}

/// Base64 with its padding and without blanks.
fn decode_base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    for (index, group) in text.chunks_exact(4).enumerate() {
        let is_last = (index + 1) * 4 == text.len();
        let padding = if is_last {
            group.iter().rev().take_while(|b| **b == b'=').count()
        } else {
            0
        };
        if padding > 2 {
            return None;
        }
        let mut bits = 0u32;
        for &letter in &group[..4 - padding] {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'a'..=b'z' => letter - b'a' + 26,
                b'0'..=b'9' => letter - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * padding;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(())
}
