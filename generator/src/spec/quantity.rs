//! Quantities as people write them: durations, shares, instants, row counts.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use serde::{Serialize, Serializer};

/// A length of time in microseconds; may be negative where a clock can run behind.
///
/// Written `10s`, `1h30m`, `250ms`, `-5s`, or as Spark does: `30 seconds`, `1 hour 30 minutes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Micros(pub i64);

/// Units with their microseconds, the longest first; the first name of each is the one printed.
const UNITS: [(i64, &[&str]); 7] = [
    (604_800_000_000, &["w", "week", "weeks"]),
    (86_400_000_000, &["d", "day", "days"]),
    (3_600_000_000, &["h", "hr", "hour", "hours"]),
    (60_000_000, &["m", "min", "mins", "minute", "minutes"]),
    (1_000_000, &["s", "sec", "secs", "second", "seconds"]),
    (1_000, &["ms", "millisecond", "milliseconds"]),
    (1, &["us", "µs", "microsecond", "microseconds"]),
];

impl Micros {
    /// So many seconds.
    pub const fn seconds(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    /// Reads a duration.
    ///
    /// # Errors
    /// A sentence that says what was found and what to write instead.
    pub fn parse(text: &str) -> Result<Micros, String> {
        let wrong = || format!("`{text}` is not a duration; write for example \"10s\", \"2m\", \"1h30m\" or \"250ms\"");
        let mut rest = text.trim();
        let negative = rest.starts_with('-');
        rest = rest.trim_start_matches(['-', '+']).trim_start();
        let mut total = 0f64;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
            let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = rest[digits..].trim_start();
            let end = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let unit = rest[..end].to_lowercase();
            let (size, _) = UNITS
                .iter()
                .find(|(_, names)| names.contains(&unit.as_str()))
                .ok_or_else(wrong)?;
            total += number * *size as f64;
            rest = rest[end..].trim_start();
        }
        if total >= 9e15 {
            return Err(format!(
                "`{text}` is too long a duration; the longest is about 285 years"
            ));
        }
        let total = total.round() as i64;
        Ok(Micros(if negative { -total } else { total }))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest = self.0.unsigned_abs();
        for (size, names) in UNITS.iter().skip(1) {
            let count = rest / *size as u64;
            if count > 0 {
                write!(f, "{count}{}", names[0])?;
            }
            rest %= *size as u64;
        }
        Ok(())
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A part of a whole, 0 to 1; written `0.05` or `"5%"`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize)]
pub struct Share(pub f64);

impl Share {
    /// Everything.
    pub const ALL: Share = Share(1.0);

    /// Reads `5%` or `0.05`.
    ///
    /// # Errors
    /// A sentence that says what was found and what to write instead.
    pub fn parse(text: &str) -> Result<Share, String> {
        let wrong = || format!("`{text}` is not a share; write for example 0.05 or \"5%\"");
        let text = text.trim();
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().map_err(|_| wrong())? / 100.0,
            None => text.parse().map_err(|_| wrong())?,
        };
        Share::of(share)
    }

    /// A checked share.
    ///
    /// # Errors
    /// A sentence for numbers outside 0 to 1.
    pub fn of(share: f64) -> Result<Share, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Share(share))
        } else {
            Err(format!(
                "a share lies between 0 and 1 (or \"0%\" and \"100%\"), found {share}"
            ))
        }
    }
}

/// An instant in microseconds since 1970-01-01T00:00:00 UTC; written ISO-8601, UTC unless it names another offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub i64);

impl Time {
    /// Reads an instant.
    ///
    /// # Errors
    /// A sentence that says what was found and what to write instead.
    pub fn parse(text: &str) -> Result<Time, String> {
        let trimmed = text.trim();
        if let Ok(time) = DateTime::parse_from_rfc3339(&trimmed.replacen(' ', "T", 1)) {
            return Ok(Time(time.timestamp_micros()));
        }
        let local = trimmed.replacen('T', " ", 1);
        for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(&local, format) {
                return Ok(Time(time.and_utc().timestamp_micros()));
            }
        }
        match parse_date(trimmed) {
            Ok(days) => Ok(Time(i64::from(days) * 86_400_000_000)),
            Err(_) => Err(format!(
                "`{text}` is not a time; write for example \"2024-01-01T10:00:00Z\""
            )),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(32);
        crate::encode::TimeText::default().write(self.0, &mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Days since 1970-01-01 of a date such as `2024-02-29`.
///
/// # Errors
/// A sentence that says what was found and what to write instead.
pub(crate) fn parse_date(text: &str) -> Result<i32, String> {
    let date = NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d")
        .map_err(|_| format!("`{text}` is not a date; write for example \"2024-01-31\""))?;
    Ok(date.signed_duration_since(NaiveDate::default()).num_days() as i32)
}

/// Reads a number of rows: `2000`, `2_000`, `50k`, `1M`, `1.5M`, `1G`.
///
/// # Errors
/// A sentence that says what was found and what to write instead.
pub fn parse_rows(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of rows; write for example 2000, 50k, 1M or 1.5M");
    let plain = text.trim().replace('_', "");
    let (number, factor) = match plain.char_indices().last() {
        Some((at, 'k' | 'K')) => (&plain[..at], 1e3),
        Some((at, 'm' | 'M')) => (&plain[..at], 1e6),
        Some((at, 'g' | 'G')) => (&plain[..at], 1e9),
        _ => return plain.parse().map_err(|_| wrong()),
    };
    let rows = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if rows < 0.0 || rows > super::ROWS_MAX as f64 || rows.fract() != 0.0 {
        Err(wrong())
    } else {
        Ok(rows as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, micros) in [
            ("10s", 10_000_000),
            ("2m", 120_000_000),
            ("1h30m", 5_400_000_000),
            ("250ms", 250_000),
            ("30 seconds", 30_000_000),
            ("1 hour 30 minutes", 5_400_000_000),
            ("1.5s", 1_500_000),
            ("-5s", -5_000_000),
            ("7us", 7),
            ("1 day", 86_400_000_000),
        ] {
            assert_eq!(Micros::parse(text), Ok(Micros(micros)), "{text}");
        }
        for text in ["", "10", "s", "10 parsecs", "1h-3m", "1e3s"] {
            assert!(Micros::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_rows_and_times_are_read() {
        assert_eq!(Share::parse("5%"), Ok(Share(0.05)));
        assert_eq!(Share::parse("0.25"), Ok(Share(0.25)));
        assert!(Share::parse("120%").is_err());
        assert_eq!(parse_rows("1M"), Ok(1_000_000));
        assert_eq!(parse_rows("2_000"), Ok(2_000));
        assert_eq!(parse_rows("1.5k"), Ok(1_500));
        assert!(parse_rows("many").is_err());
        let noon = Time(1_704_110_400_000_000);
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01 12:00:00",
            "2024-01-01T13:00:00+01:00",
            "2024-01-01 12:00",
        ] {
            assert_eq!(Time::parse(text), Ok(noon), "{text}");
        }
        assert_eq!(noon.to_string(), "2024-01-01T12:00:00Z");
    }

    proptest! {
        /// What is printed reads back as the same duration.
        #[test]
        fn a_printed_duration_reads_back(micros in -1_000_000_000_000i64..1_000_000_000_000) {
            prop_assert_eq!(Micros::parse(&Micros(micros).to_string()), Ok(Micros(micros)));
        }
    }
}
