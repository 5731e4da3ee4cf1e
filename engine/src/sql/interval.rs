//! Intervals in Spark's spellings: `5 minutes`, `1 hour -30 minutes`, `INTERVAL '1 02:03:04' DAY TO SECOND`.

use super::parse::ast::{Ast, Interval, Unit};
use super::parse::parse_expression;
use crate::{Error, Result};

const SECOND_US: i64 = 1_000_000;
const MINUTE_US: i64 = 60 * SECOND_US;
const HOUR_US: i64 = 60 * MINUTE_US;
const DAY_US: i64 = 24 * HOUR_US;
const MONTH_DAYS: i64 = 31;

/// An interval as text says it: months stand apart, because they have no fixed length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// Years and months, in months.
    pub months: i64,
    /// Weeks and days, in days.
    pub days: i64,
    /// Everything smaller, in microseconds.
    pub micros: i64,
}

/// Parses the delay of a watermark into milliseconds; a month counts 31 days, as in Spark.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL` for what is no interval, a nameless error for a negative one.
pub fn parse_delay_ms(text: &str) -> Result<i64> {
    let parts = duration(text).ok_or_else(|| cannot_parse(text))?;
    let days = parts
        .months
        .checked_mul(MONTH_DAYS)
        .and_then(|days| days.checked_add(parts.days));
    let micros = days
        .and_then(|days| days.checked_mul(DAY_US))
        .and_then(|us| us.checked_add(parts.micros));
    let Some(micros) = micros else {
        return Err(cannot_parse(text));
    };
    let ms = micros.div_euclid(1000);
    if ms < 0 || micros < 0 {
        return Err(Error::nameless(format!(
            "requirement failed: delay threshold ({text}) should not be negative."
        )));
    }
    Ok(ms)
}

/// Parses the duration of a window into microseconds.
///
/// # Errors
/// `CANNOT_PARSE_INTERVAL` for what is no interval, `_LEGACY_ERROR_TEMP_3231` for months and years.
pub fn parse_interval_us(text: &str) -> Result<i64> {
    let parts = duration(text).ok_or_else(|| cannot_parse(text))?;
    if parts.months != 0 {
        let message = format!("Intervals greater than a month is not supported ({text}).");
        return Err(Error::spark("_LEGACY_ERROR_TEMP_3231", message));
    }
    let days = parts.days.checked_mul(DAY_US);
    days.and_then(|days| days.checked_add(parts.micros))
        .ok_or_else(|| cannot_parse(text))
}

/// A delay or a duration: what begins with `interval` is read as SQL reads it.
fn duration(text: &str) -> Option<Parts> {
    let is_sql = text
        .trim_start()
        .get(..8)
        .is_some_and(|word| word.eq_ignore_ascii_case("interval"));
    if !is_sql {
        return parse_parts(text);
    }
    match parse_expression(text).ok()? {
        Ast::Interval(Interval::DayTime { micros, .. }) => Some(Parts {
            micros,
            ..Parts::default()
        }),
        Ast::Interval(Interval::YearMonth { months, .. }) => Some(Parts {
            months: months.into(),
            ..Parts::default()
        }),
        _ => None,
    }
}

/// `[interval] (<signed number> <unit>)+`, where only seconds may have a fraction.
pub fn parse_parts(text: &str) -> Option<Parts> {
    let lower = text.trim().to_ascii_lowercase();
    let mut words = lower.split_whitespace().peekable();
    if words.peek() == Some(&"interval") {
        words.next();
    }
    let mut parts = Parts::default();
    let mut some = false;
    while let Some(number) = words.next() {
        // A sign may stand apart from its number.
        let number = if matches!(number, "+" | "-") {
            format!("{number}{}", words.next()?)
        } else {
            number.to_string()
        };
        add(&mut parts, &number, words.next()?)?;
        some = true;
    }
    some.then_some(parts)
}

fn add(parts: &mut Parts, number: &str, unit: &str) -> Option<()> {
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    if unit == "second" {
        parts.micros = parts.micros.checked_add(decimal_seconds(number)?)?;
        return Some(());
    }
    let number: i64 = number.strip_prefix('+').unwrap_or(number).parse().ok()?;
    let (field, size) = match unit {
        "year" => (&mut parts.months, 12),
        "month" => (&mut parts.months, 1),
        "week" => (&mut parts.days, 7),
        "day" => (&mut parts.days, 1),
        "hour" => (&mut parts.micros, HOUR_US),
        "minute" => (&mut parts.micros, MINUTE_US),
        "millisecond" => (&mut parts.micros, 1000),
        "microsecond" => (&mut parts.micros, 1),
        _ => return None,
    };
    *field = field.checked_add(number.checked_mul(size)?)?;
    Some(())
}

/// Seconds with up to nine decimals, in microseconds.
fn decimal_seconds(number: &str) -> Option<i64> {
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let micros: i64 = format!("{:0<6}", &fraction[..fraction.len().min(6)]).parse().ok()?;
    let sum = whole.checked_mul(SECOND_US)?.checked_add(micros)?;
    Some(if negative { -sum } else { sum })
}

fn cannot_parse(text: &str) -> Error {
    Error::spark(
        "CANNOT_PARSE_INTERVAL",
        format!(
            "Unable to parse '{text}'. Please ensure that the value provided is in a valid format for defining an \
             interval, such as `5 minutes` or `1 hour 30 minutes`."
        ),
    )
}

/// The unit a word names, singular or plural; weeks, milliseconds and microseconds count as the unit they fall into.
pub fn unit(word: &str) -> Option<Unit> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.strip_suffix('s').unwrap_or(&lower) {
        "year" => Unit::Year,
        "month" => Unit::Month,
        "week" | "day" => Unit::Day,
        "hour" => Unit::Hour,
        "minute" => Unit::Minute,
        "second" | "millisecond" | "microsecond" => Unit::Second,
        _ => return None,
    })
}

/// The literal `INTERVAL '<text>'`.
///
/// # Errors
/// `INVALID_TYPED_LITERAL` for what is no interval.
pub fn literal(text: &str) -> Result<Interval> {
    let invalid = || {
        Error::spark(
            "INVALID_TYPED_LITERAL",
            format!("The value of the typed literal \"INTERVAL\" is invalid: '{text}'."),
        )
    };
    let parts = parse_parts(text).ok_or_else(invalid)?;
    let mut units: Vec<Unit> = text.split_whitespace().filter_map(unit).collect();
    units.sort();
    let (Some(from), Some(to)) = (units.first().copied(), units.last().copied()) else {
        return Err(invalid());
    };
    if to <= Unit::Month {
        let months = i32::try_from(parts.months).map_err(|_| invalid())?;
        return Ok(Interval::YearMonth { months, from, to });
    }
    if from <= Unit::Month {
        return Err(Error::unsupported(format!(
            "INTERVAL '{text}' mixes months with days or smaller units, which is not supported; write two intervals"
        )));
    }
    let micros = parts
        .days
        .checked_mul(DAY_US)
        .and_then(|us| us.checked_add(parts.micros))
        .ok_or_else(invalid)?;
    Ok(Interval::DayTime { micros, from, to })
}

/// The literal `INTERVAL '<text>' <from> TO <to>`.
///
/// # Errors
/// `INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING` when the text has not the fields the units ask for.
pub fn range(text: &str, negative: bool, from: &str, to: &str) -> Result<Interval> {
    let unmatched = || {
        Error::spark(
            "INVALID_INTERVAL_FORMAT.UNMATCHED_FORMAT_STRING",
            format!("Error parsing '{text}' to interval: it does not match {from} TO {to}."),
        )
    };
    let (from, to) = match (unit(from), unit(to)) {
        (Some(from), Some(to)) if from < to && (from <= Unit::Month) == (to <= Unit::Month) => (from, to),
        _ => return Err(unmatched()),
    };
    let (minus, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.trim()),
    };
    let sign = if negative != minus { -1 } else { 1 };
    let fields: Vec<&str> = digits.split([' ', ':', '-']).collect();
    let units = [
        Unit::Year,
        Unit::Month,
        Unit::Day,
        Unit::Hour,
        Unit::Minute,
        Unit::Second,
    ];
    let units: Vec<Unit> = units.into_iter().filter(|unit| (from..=to).contains(unit)).collect();
    if fields.len() != units.len() {
        return Err(unmatched());
    }
    let mut total = 0i64;
    for (field, unit) in fields.iter().zip(units) {
        let value = match unit {
            Unit::Second => decimal_seconds(field),
            _ => field.parse().ok().and_then(|n: i64| n.checked_mul(size(unit))),
        };
        total = value.and_then(|value| total.checked_add(value)).ok_or_else(unmatched)?;
    }
    let total = sign * total;
    if to == Unit::Month {
        return Ok(Interval::YearMonth {
            months: i32::try_from(total).map_err(|_| unmatched())?,
            from,
            to,
        });
    }
    Ok(Interval::DayTime {
        micros: total,
        from,
        to,
    })
}

/// Months of a year or month, microseconds of the rest.
fn size(unit: Unit) -> i64 {
    match unit {
        Unit::Year => 12,
        Unit::Month => 1,
        Unit::Day => DAY_US,
        Unit::Hour => HOUR_US,
        Unit::Minute => MINUTE_US,
        Unit::Second => SECOND_US,
    }
}

/// The literal as Spark prints it: `INTERVAL '05' MINUTE`, `INTERVAL '1 02' DAY TO HOUR`.
pub fn sql(interval: &Interval) -> String {
    let (text, from, to) = match *interval {
        Interval::YearMonth { months, from, to } => (year_month(months, from, to), from, to),
        Interval::DayTime { micros, from, to } => (day_time(micros, from, to), from, to),
    };
    let units = if from == to {
        from.name().to_string()
    } else {
        format!("{} TO {}", from.name(), to.name())
    };
    format!("INTERVAL '{text}' {units}")
}

fn year_month(months: i32, from: Unit, to: Unit) -> String {
    let sign = if months < 0 { "-" } else { "" };
    let size = months.unsigned_abs();
    match (from, to) {
        (Unit::Year, Unit::Year) => format!("{sign}{}", size / 12),
        (Unit::Month, _) => format!("{sign}{size}"),
        _ => format!("{sign}{}-{}", size / 12, size % 12),
    }
}

/// The fields from `from` to `to`: the first carries all that is larger, days are not padded.
pub fn day_time(micros: i64, from: Unit, to: Unit) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.unsigned_abs();
    let [day, hour, minute, second] = [DAY_US, HOUR_US, MINUTE_US, SECOND_US].map(|us| us as u64);
    let mut text = String::from(sign);
    for (unit, length, whole) in [
        (Unit::Day, day, u64::MAX),
        (Unit::Hour, hour, day),
        (Unit::Minute, minute, hour),
        (Unit::Second, second, minute),
    ] {
        if unit < from || unit > to {
            continue;
        }
        let value = if unit == from {
            size / length
        } else {
            size % whole / length
        };
        let separator = match unit {
            _ if unit == from => "",
            Unit::Hour => " ",
            _ => ":",
        };
        text.push_str(separator);
        text.push_str(&if unit == Unit::Day {
            value.to_string()
        } else {
            format!("{value:02}")
        });
        if unit == Unit::Second && !size.is_multiple_of(second) {
            let fraction = format!("{:06}", size % second);
            text.push('.');
            text.push_str(fraction.trim_end_matches('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_in_all_of_sparks_spellings() {
        for (text, micros) in [
            ("5 minutes", 5 * MINUTE_US),
            ("5 MINUTE", 5 * MINUTE_US),
            ("interval 1 hour -30 minutes", 30 * MINUTE_US),
            ("  5 days 2 hours ", 5 * DAY_US + 2 * HOUR_US),
            ("1.5 seconds", 1_500_000),
            ("1 week", 7 * DAY_US),
            ("100 milliseconds", 100_000),
            ("-5 seconds", -5 * SECOND_US),
        ] {
            assert_eq!(parse_interval_us(text).ok(), Some(micros), "{text}");
        }
    }

    #[test]
    fn what_spark_does_not_read_as_an_interval_is_refused() {
        for text in [
            "5m",
            "5 min",
            "100 ms",
            "PT5M",
            "01:00",
            "90",
            "0.5 hours",
            "5minutes",
            "",
            "minutes",
        ] {
            let error = parse_interval_us(text).unwrap_err();
            assert_eq!(error.condition(), Some("CANNOT_PARSE_INTERVAL"), "{text}");
        }
    }

    #[test]
    fn months_are_31_days_in_a_delay_and_refused_in_a_window() {
        assert_eq!(parse_delay_ms("1 month").unwrap(), 31 * 24 * 3_600_000);
        let error = parse_interval_us("1 month").unwrap_err();
        assert_eq!(error.condition(), Some("_LEGACY_ERROR_TEMP_3231"));
        assert_eq!(
            error.to_string(),
            "Intervals greater than a month is not supported (1 month)."
        );
    }

    #[test]
    fn a_negative_delay_is_refused_without_a_condition() {
        let error = parse_delay_ms("-1 minute").unwrap_err();
        assert_eq!(error.condition(), None);
        assert_eq!(
            error.to_string(),
            "requirement failed: delay threshold (-1 minute) should not be negative."
        );
    }

    #[test]
    fn literals_print_as_spark_prints_them() {
        for (text, printed) in [
            ("5 minutes", "INTERVAL '05' MINUTE"),
            ("5 seconds", "INTERVAL '05' SECOND"),
            ("1 month", "INTERVAL '1' MONTH"),
            ("1 day 2 hours", "INTERVAL '1 02' DAY TO HOUR"),
            ("1 day", "INTERVAL '1' DAY"),
        ] {
            assert_eq!(sql(&literal(text).unwrap()), printed);
        }
        let long = range("1 02:03:04.5", false, "day", "second").unwrap();
        assert_eq!(sql(&long), "INTERVAL '1 02:03:04.5' DAY TO SECOND");
    }
}
