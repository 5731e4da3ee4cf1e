//! One JSON value into its column.

use std::borrow::Cow;

use arrow::datatypes::Fields;

use super::JsonOptions;
use super::base64::decode_base64;
use super::token::{Number, Parse, Stop, Tokens, double_of};
use crate::Result;
use crate::format::column::{Column, Values, last};
use crate::format::number::{parse_decimal, parse_grouped_decimal, parse_integer};
use crate::format::time::{parse_date_lenient, parse_timestamp_lenient, parse_timestamp_ntz};

/// How a value went into its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is; one value was appended.
    Whole,
    /// Some of what it holds became NULL; one value was appended.
    Partly,
    /// Not at all; nothing was appended, the text is passed.
    Not,
}

/// Puts the values of one text into columns.
pub(super) struct ValueReader<'a> {
    pub tokens: Tokens<'a>,
    options: &'a JsonOptions,
    raw: bool,
    /// How many of the arrays this is in have an element that does not fit. Spark has given those up, and with them the
    /// patience for what is no JSON.
    spoilt: usize,
}

impl<'a> ValueReader<'a> {
    pub fn new(text: &'a [u8], options: &'a JsonOptions, raw: bool) -> Self {
        ValueReader {
            tokens: Tokens::new(text, options.lenient),
            options,
            raw,
            spoilt: 0,
        }
    }

    /// The whole text as one array or map; `None` if it is blank.
    pub fn root(&mut self, column: &mut Column) -> Parse<Option<Fit>> {
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
    pub fn object(&mut self, fields: &Fields, columns: &mut [Column], skip: Option<usize>, row: usize) -> Parse<Fit> {
        self.tokens.enter()?;
        let inside = self.tokens.depth;
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
            let column = &mut columns[index];
            let (start, before) = (self.tokens.at, column.len());
            match self.member(column, row) {
                Ok(Fit::Whole) => {}
                Ok(Fit::Partly | Fit::Not) => all = Fit::Partly,
                Err(Stop::Malformed) if self.spoilt == 0 && self.is_inside(column, start) => {
                    column.truncate(before);
                    all = Fit::Partly;
                    let goes_on = self.tokens.recover(start)?;
                    self.tokens.depth = inside;
                    if !goes_on {
                        break;
                    }
                }
                Err(stop) => return Err(stop),
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

    /// Whether a syntax error in the value at `start` is one inside a value the column takes.
    fn is_inside(&self, column: &Column, start: usize) -> bool {
        let value = self.tokens.text[start..].trim_ascii_start().first();
        match column.values {
            Values::Struct(..) | Values::Map(..) => value == Some(&b'{'),
            Values::List(..) => value == Some(&b'['),
            Values::Bytes(_, is_text) => is_text && matches!(value, Some(b'{' | b'[')),
            _ => false,
        }
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
                self.spoilt += usize::from(all == Fit::Not);
            }
        }
        self.tokens.leave();
        if all == Fit::Not {
            self.spoilt -= 1;
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
    fn word(&mut self, next: u8) -> Parse<Option<Cow<'a, [u8]>>> {
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

pub(super) fn push_text(column: &mut Column, text: &[u8]) -> Result<()> {
    if let Values::Bytes(bytes, _) = &mut column.values {
        bytes.data.extend_from_slice(text);
        bytes.end()?;
        column.push_valid();
    }
    Ok(())
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
