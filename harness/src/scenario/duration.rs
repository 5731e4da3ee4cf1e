//! Durations and times as a scenario file says them: `10 seconds`, `5s`, `2024-12-03T10:00:00Z`.

use chrono::{DateTime, NaiveDate, NaiveDateTime};

/// The milliseconds of `10 seconds`, `1 hour 30 minutes` or `5s`; `None` if the text is no duration.
pub fn parse_duration_ms(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = None;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let part = number.checked_mul(unit_ms(&rest[..letters])?)?;
        total = Some(i64::checked_add(total.unwrap_or(0), part)?);
        rest = rest[letters..].trim_start();
    }
    total
}

fn unit_ms(unit: &str) -> Option<i64> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "week" | "weeks" => 604_800_000,
        _ => return None,
    })
}

/// The milliseconds since 1970-01-01T00:00:00 UTC of a time, rounded down; one without a zone is in UTC.
pub fn parse_time_ms(text: &str) -> Option<i64> {
    parse_time_us(text).map(|us| us.div_euclid(1_000))
}

/// The microseconds since 1970-01-01T00:00:00 UTC of a time; one without a zone is in UTC.
pub fn parse_time_us(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let without_zone = text.replace('T', " ");
    let time = NaiveDateTime::parse_from_str(&without_zone, "%Y-%m-%d %H:%M:%S%.f").ok();
    let midnight = || NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0);
    time.or_else(midnight).map(|time| time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_sum_of_numbers_with_units() {
        for (text, ms) in [
            ("10 seconds", Some(10_000)),
            ("5s", Some(5_000)),
            ("1 hour 30 minutes", Some(5_400_000)),
            ("250ms", Some(250)),
            ("", None),
            ("ten seconds", None),
            ("-5 seconds", None),
            ("5 fortnights", None),
        ] {
            assert_eq!(parse_duration_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_in_utc() {
        for text in [
            "1970-01-01T00:00:01Z",
            "1970-01-01 00:00:01",
            "1970-01-01T01:00:01+01:00",
        ] {
            assert_eq!(parse_time_ms(text), Some(1_000), "{text}");
        }
        assert_eq!(parse_time_ms("1970-01-02"), Some(86_400_000));
        assert_eq!(parse_time_ms("yesterday"), None);
    }
}
