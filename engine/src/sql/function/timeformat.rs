//! Timestamps as text of a pattern, and back.

use std::sync::Arc;

use arrow::array::{AsArray, StringBuilder};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use chrono::Datelike;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

use super::datetime::{calendar, timestamps};
use super::{Kernel, SparkFn, columnar};
use crate::format::time::{Pattern, PatternError};
use crate::sql::timestamp_type;
use crate::{Error, Result};

/// `date_format(time, pattern)`.
pub fn date_format() -> SparkFn {
    SparkFn::new(
        "date_format",
        DataType::Utf8,
        Kernel::Values(|_, values, rows| {
            let times = values[0].to_array(rows)?;
            let patterns = values[1].to_array(rows)?;
            let (times, patterns) = (
                times.as_primitive::<TimestampMicrosecondType>(),
                patterns.as_string::<i32>(),
            );
            // A pattern written into the query is read even if there is no time to be written with it.
            let mut last: Option<(&str, Vec<Piece>)> = match &values[1] {
                ColumnarValue::Scalar(ScalarValue::Utf8(Some(pattern))) if rows > 0 => {
                    Some((pattern, pieces(pattern)?))
                }
                _ => None,
            };
            let mut out = StringBuilder::with_capacity(rows, rows * 20);
            let mut text = String::new();
            for (time, pattern) in times.iter().zip(patterns) {
                let (Some(time), Some(pattern)) = (time, pattern) else {
                    out.append_null();
                    continue;
                };
                if last.as_ref().is_none_or(|(text, _)| *text != pattern) {
                    last = Some((pattern, pieces(pattern)?));
                }
                text.clear();
                last.iter()
                    .flat_map(|(_, pieces)| pieces)
                    .for_each(|piece| piece.write(time, &mut text));
                out.append_value(&text);
            }
            columnar(Arc::new(out.finish()), values)
        }),
    )
    .always_fallible()
}

/// `to_timestamp(text, pattern)`.
pub fn parse(ansi: bool) -> SparkFn {
    SparkFn::new("parse_timestamp", timestamp_type(), Kernel::Arrays(|f, arrays| {
        let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let mut last: Option<(&str, Pattern)> = None;
        let each = texts.iter().zip(patterns).map(|(text, pattern)| {
            let (Some(text), Some(pattern)) = (text, pattern) else { return Ok(None) };
            if last.as_ref().is_none_or(|(seen, _)| *seen != pattern) {
                last = Some((pattern, compiled(pattern)?));
            }
            match last.as_ref().and_then(|(_, compiled)| compiled.parse_timestamp(text.as_bytes())) {
                None if f.ansi => Err(Error::spark(
                    "CANNOT_PARSE_TIMESTAMP",
                    format!(
                        "Text '{text}' could not be parsed with '{pattern}'. Use `try_to_timestamp` to tolerate invalid \
                         input string and return NULL instead."
                    ),
                )),
                micros => Ok(micros),
            }
        });
        Ok(timestamps(each.collect::<Result<_>>()?))
    }))
    .fallible(ansi)
}

/// A piece of a pattern for writing: letters that only writing knows stand apart.
enum Piece {
    Pattern(Pattern),
    /// The day of the week, short or in full.
    Weekday(bool),
    /// The quarter, with so many digits; three are `Q4`.
    Quarter(usize),
    /// The era.
    Era,
    /// The day of the month within its weeks.
    DayOfWeekInMonth,
    /// The year, with at least so many digits.
    Year(usize),
    /// The time zone in full.
    Zone,
}

impl Piece {
    fn write(&self, time: i64, out: &mut String) {
        const DAYS: [&str; 7] = [
            "Monday",
            "Tuesday",
            "Wednesday",
            "Thursday",
            "Friday",
            "Saturday",
            "Sunday",
        ];
        let Some(date) = calendar(time).map(|t| t.date()) else {
            return;
        };
        match self {
            Piece::Pattern(pattern) => pattern.write_timestamp(time, out),
            Piece::Weekday(full) => {
                let day = DAYS[date.weekday().num_days_from_monday() as usize];
                out.push_str(if *full { day } else { &day[..3] });
            }
            Piece::Quarter(3) => out.push_str(&format!("Q{}", date.month0() / 3 + 1)),
            Piece::Quarter(digits) => out.push_str(&format!("{:0digits$}", date.month0() / 3 + 1)),
            Piece::Era => out.push_str(if date.year() > 0 { "AD" } else { "BC" }),
            Piece::DayOfWeekInMonth => out.push_str(&(date.day0() % 7 + 1).to_string()),
            Piece::Year(digits) => out.push_str(&format!("{:0digits$}", date.year())),
            Piece::Zone => out.push_str("Coordinated Universal Time"),
        }
    }
}

/// Cuts a pattern at the letters only writing knows, outside quotes.
fn pieces(pattern: &str) -> Result<Vec<Piece>> {
    let mut pieces = vec![];
    let (mut plain, mut quoted) = (String::new(), false);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        quoted ^= c == '\'';
        if quoted || !matches!(c, 'E' | 'Q' | 'q' | 'G' | 'F' | 'y' | 'z') {
            plain.push(c);
            continue;
        }
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        if matches!((c, count), ('y', ..=4 | 7..) | ('z', ..=3 | 5..)) {
            plain.extend(std::iter::repeat_n(c, count));
            continue;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Pattern(compiled(&std::mem::take(&mut plain))?));
        }
        match (c, count) {
            ('E', 1..=4) => pieces.push(Piece::Weekday(count == 4)),
            ('Q' | 'q', 1..=3) => pieces.push(Piece::Quarter(count)),
            ('G', 1..=3) => pieces.push(Piece::Era),
            ('F', 1) => pieces.push(Piece::DayOfWeekInMonth),
            ('y', 5..=6) => pieces.push(Piece::Year(count)),
            ('z', 4) => pieces.push(Piece::Zone),
            // Refused, as Spark does.
            _ => return compiled(&c.to_string().repeat(count)).map(|_| vec![]),
        }
    }
    if !plain.is_empty() {
        pieces.push(Piece::Pattern(compiled(&plain)?));
    }
    Ok(pieces)
}

fn compiled(pattern: &str) -> Result<Pattern> {
    Pattern::compile(pattern).map_err(|error| match error {
        PatternError::Legacy(letter) => Error::spark(
            "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
            format!(
                "You may get a different result due to the upgrading to Spark >= 3.0: the letter `{letter}` of the pattern \
                 '{pattern}' is not recognized."
            ),
        ),
        PatternError::Unknown(letter) => {
            Error::spark("INVALID_DATETIME_PATTERN.ILLEGAL_CHARACTER", format!("Unrecognized datetime pattern: {pattern} has the letter `{letter}`."))
        }
    })
}
