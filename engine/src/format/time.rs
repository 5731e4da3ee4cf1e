//! Timestamps and dates between text and Arrow's integers, as Spark reads and prints them.
//!
//! Three readers: [`parse_timestamp`] is what a cast does and what CSV and JSON do without a format, [`Pattern`] is
//! `timestampFormat` and `dateFormat`, and [`parse_date`] is the cast to a date. Timestamps are microseconds and dates
//! days since 1970-01-01; the session's time zone is UTC.

mod pattern;
mod zone;

pub use pattern::{Pattern, PatternError};
pub use zone::Zone;

use super::number::trim_java;

/// Microseconds of a day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Reads a timestamp as Spark's cast does; `None` if it is none.
///
/// Takes `2024`, `2024-01`, `2024-1-1`, a time after a blank or `T`, a fraction cut to microseconds and a zone.
/// A bare time (`10:00:00`) means `today`, in days since 1970-01-01.
pub fn parse_timestamp(text: &[u8], today: i32) -> Option<i64> {
    if let Some(micros) = parse_iso(text) {
        return Some(micros);
    }
    let parts = TimestampParts::read(text)?;
    let days = if parts.just_time {
        i64::from(today)
    } else {
        parts.days()?
    };
    let local = local_micros(days, parts.time()?)?;
    match parts.zone {
        Some(zone) => zone.to_utc(local),
        None => Some(local),
    }
}

/// Reads a timestamp without time zone; one that names a zone, or no date, is none.
pub fn parse_timestamp_ntz(text: &[u8]) -> Option<i64> {
    let parts = TimestampParts::read(text)?;
    if parts.just_time || parts.zone.is_some() {
        return None;
    }
    local_micros(parts.days()?, parts.time()?)
}

/// Reads a timestamp as Spark's CSV and JSON readers do without a format: as a cast, else without the word `GMT`.
pub fn parse_timestamp_lenient(text: &[u8], today: i32) -> Option<i64> {
    parse_timestamp(text, today).or_else(|| parse_timestamp(&without_gmt(text)?, today))
}

/// Reads a date as Spark's CSV and JSON readers do without a format: as a cast, else without the word `GMT`.
pub fn parse_date_lenient(text: &[u8]) -> Option<i32> {
    parse_date(text).or_else(|| parse_date(&without_gmt(text)?))
}

/// Spark 2 wrote `GMT` into its timestamps; its readers still look past it.
fn without_gmt(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    text.contains("GMT").then(|| text.replace("GMT", "").into_bytes())
}

/// Reads a date as Spark's cast does: `2024`, `2024-1`, `2024-01-01`, whatever follows a blank or `T` ignored.
pub fn parse_date(text: &[u8]) -> Option<i32> {
    let text = trim_java(text);
    let (sign, mut rest) = match text.first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let mut parts = [1i64; 3];
    for (index, part) in parts.iter_mut().enumerate() {
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let valid = if index == 0 {
            (4..=7).contains(&digits)
        } else {
            (1..=2).contains(&digits)
        };
        if !valid {
            return None;
        }
        *part = digits_value(&rest[..digits]);
        rest = &rest[digits..];
        match (index, rest.first()) {
            (_, None) => break,
            (0 | 1, Some(b'-')) => rest = &rest[1..],
            (2, Some(b' ' | b'T')) => break,
            _ => return None,
        }
    }
    let days = days_from_civil(sign * parts[0], parts[1], parts[2])?;
    i32::try_from(days).ok()
}

/// The common case without a detour: `2024-12-03T10:00:00`, maybe a fraction, maybe `Z`.
#[inline]
pub(crate) fn parse_iso(text: &[u8]) -> Option<i64> {
    let (date, time) = (text.get(..10)?, text.get(11..19)?);
    if date[4] != b'-' || date[7] != b'-' || !matches!(text[10], b'T' | b' ') || time[2] != b':' || time[5] != b':' {
        return None;
    }
    let two = |pair: &[u8]| -> Option<i64> {
        let (high, low) = (pair[0].wrapping_sub(b'0'), pair[1].wrapping_sub(b'0'));
        (high <= 9 && low <= 9).then_some(i64::from(high) * 10 + i64::from(low))
    };
    let year = two(&date[0..2])? * 100 + two(&date[2..4])?;
    let (hour, minute, second) = (two(&time[0..2])?, two(&time[3..5])?, two(&time[6..8])?);
    let mut micros = time_micros(hour, minute, second, 0)?;
    let mut rest = &text[19..];
    if let Some((b'.', fraction)) = rest.split_first() {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        micros += fraction_micros(&fraction[..digits]);
        rest = &fraction[digits..];
    }
    if !matches!(rest, b"" | b"Z") {
        return None;
    }
    local_micros(days_from_civil(year, two(&date[5..7])?, two(&date[8..10])?)?, micros)
}

/// The parts of a timestamp as written.
struct TimestampParts {
    /// Year, month, day, hour, minute, second, microsecond.
    parts: [i64; 7],
    zone: Option<Zone>,
    just_time: bool,
}

impl TimestampParts {
    fn read(text: &[u8]) -> Option<Self> {
        let text = trim_java(text);
        let (sign, mut rest) = match text.first()? {
            b'-' => (-1, &text[1..]),
            b'+' => (1, &text[1..]),
            _ => (1, text),
        };
        let signed = rest.len() < text.len();
        let mut read = TimestampParts {
            parts: [1, 1, 1, 0, 0, 0, 0],
            zone: None,
            just_time: false,
        };
        let mut index = 0;
        if !signed && rest.first() == Some(&b'T') {
            read.just_time = true;
            index = 3;
            rest = &rest[1..];
        }
        loop {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let separator = rest.get(digits).copied();
            if index == 0 && separator == Some(b':') && !signed {
                read.just_time = true;
                index = 3;
            }
            if index == 6 {
                read.parts[6] = fraction_micros(&rest[..digits]);
            } else {
                let valid = if index == 0 {
                    (4..=6).contains(&digits)
                } else {
                    (1..=2).contains(&digits)
                };
                if !valid {
                    return None;
                }
                read.parts[index] = digits_value(&rest[..digits]);
            }
            rest = &rest[digits..];
            match (index, separator) {
                (_, None) => break,
                (0 | 1, Some(b'-')) | (2, Some(b' ' | b'T')) | (3 | 4, Some(b':')) | (5, Some(b'.')) => {
                    rest = &rest[1..];
                    index += 1;
                }
                (5 | 6, Some(_)) => {
                    read.zone = Some(Zone::parse(std::str::from_utf8(rest).ok()?.trim())?);
                    break;
                }
                _ => return None,
            }
        }
        read.parts[0] *= sign;
        Some(read)
    }

    fn days(&self) -> Option<i64> {
        days_from_civil(self.parts[0], self.parts[1], self.parts[2])
    }

    fn time(&self) -> Option<i64> {
        time_micros(self.parts[3], self.parts[4], self.parts[5], self.parts[6])
    }
}

fn digits_value(digits: &[u8]) -> i64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + i64::from(digit - b'0'))
}

/// Microseconds of a fraction; digits beyond the sixth are cut.
fn fraction_micros(digits: &[u8]) -> i64 {
    let kept = &digits[..digits.len().min(6)];
    digits_value(kept) * 10i64.pow(6 - kept.len() as u32)
}

fn time_micros(hour: i64, minute: i64, second: i64, micro: i64) -> Option<i64> {
    let in_range = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    in_range.then(|| ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micro)
}

fn local_micros(days: i64, time: i64) -> Option<i64> {
    days.checked_mul(MICROS_PER_DAY)?.checked_add(time)
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; `None` if the calendar has no such day.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    // Years start in March here, so that the leap day is the last of its year.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Year, month and day of a number of days since 1970-01-01.
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Appends a date as a cast prints it: `2024-12-03`.
pub fn write_date(days: i32, out: &mut String) {
    let (year, month, day) = civil_from_days(i64::from(days));
    write_year(year, out);
    out.push('-');
    write_two(month, out);
    out.push('-');
    write_two(day, out);
}

/// Appends a timestamp as a cast prints it: `2024-12-03 10:00:00`, and a fraction without trailing zeros if there is one.
pub fn write_timestamp(micros: i64, out: &mut String) {
    write_date(micros.div_euclid(MICROS_PER_DAY) as i32, out);
    out.push(' ');
    let time = micros.rem_euclid(MICROS_PER_DAY);
    write_time(time, out);
    let fraction = time % MICROS_PER_SECOND;
    if fraction != 0 {
        out.push('.');
        let digits = format_six(fraction);
        let kept = digits.iter().rposition(|&b| b != b'0').map_or(0, |at| at + 1);
        digits[..kept].iter().for_each(|&b| out.push(char::from(b)));
    }
}

/// Appends a timestamp as `to_json` prints it: `2024-12-03T10:00:00.000Z`, cut to milliseconds.
pub fn write_timestamp_iso(micros: i64, out: &mut String) {
    write_timestamp_ntz_iso(micros, out);
    out.push('Z');
}

/// Appends a timestamp without time zone as `to_json` prints it: `2024-12-03T10:00:00.000`.
pub fn write_timestamp_ntz_iso(micros: i64, out: &mut String) {
    write_date(micros.div_euclid(MICROS_PER_DAY) as i32, out);
    out.push('T');
    let time = micros.rem_euclid(MICROS_PER_DAY);
    write_time(time, out);
    out.push('.');
    format_six(time % MICROS_PER_SECOND)[..3]
        .iter()
        .for_each(|&b| out.push(char::from(b)));
}

/// Appends `10:00:00` of the microseconds of a day.
fn write_time(micros_of_day: i64, out: &mut String) {
    let seconds = (micros_of_day / MICROS_PER_SECOND) as u32;
    write_two(seconds / 3600, out);
    out.push(':');
    write_two(seconds / 60 % 60, out);
    out.push(':');
    write_two(seconds % 60, out);
}

/// Java's `uuuu`: four digits, a sign for years before 0 and after 9999.
fn write_year(year: i64, out: &mut String) {
    if year < 0 {
        out.push('-');
    } else if year > 9999 {
        out.push('+');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(year.unsigned_abs());
    (digits.len()..4).for_each(|_| out.push('0'));
    out.push_str(digits);
}

fn write_two(value: u32, out: &mut String) {
    out.push(char::from(b'0' + (value / 10) as u8));
    out.push(char::from(b'0' + (value % 10) as u8));
}

fn format_six(mut value: i64) -> [u8; 6] {
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-12-03.
    const TODAY: i32 = 20_060;

    #[track_caller]
    fn check(text: &str, wanted: Option<&str>) {
        let got = parse_timestamp_lenient(text.as_bytes(), TODAY).map(printed);
        assert_eq!(got.as_deref(), wanted, "{text:?}");
    }

    fn printed(micros: i64) -> String {
        let mut out = String::new();
        write_timestamp(micros, &mut out);
        out
    }

    #[test]
    fn timestamps_are_read_as_spark_casts_them() {
        for (text, wanted) in [
            ("2024-12-03 10:00:00", "2024-12-03 10:00:00"),
            ("2024-12-03T10:00:00.123456789Z", "2024-12-03 10:00:00.123456"),
            ("2024-12-03T10:00:00.", "2024-12-03 10:00:00"),
            ("2024", "2024-01-01 00:00:00"),
            ("2024-12", "2024-12-01 00:00:00"),
            ("2024-12-1 1:2:3", "2024-12-01 01:02:03"),
            ("2024-12-03T10", "2024-12-03 10:00:00"),
            (" 2024-12-03 10:00 ", "2024-12-03 10:00:00"),
            ("10:00:00", "2024-12-03 10:00:00"),
            ("T10:00", "2024-12-03 10:00:00"),
            ("2024-12-03T10:00:00+01:00", "2024-12-03 09:00:00"),
            ("2024-12-03T10:00:00+0130", "2024-12-03 08:30:00"),
            ("2024-12-03T10:00:00+1", "2024-12-03 09:00:00"),
            ("2024-12-03T10:00:00+1:5", "2024-12-03 08:55:00"),
            ("2024-12-03T10:00:00UTC+1", "2024-12-03 09:00:00"),
            ("2024-12-03T10:00:00 EST", "2024-12-03 15:00:00"),
            ("2024-12-03 10:00:00.5 PST", "2024-12-03 18:00:00.5"),
            ("2024-07-01 10:00:00 Europe/Lisbon", "2024-07-01 09:00:00"),
            ("2024-01-01T10:00GMT", "2024-01-01 10:00:00"),
            ("GMT2024-01-01", "2024-01-01 00:00:00"),
            ("+2024-12-03T10:00:00Z", "2024-12-03 10:00:00"),
            ("-0001-12-03", "-0001-12-03 00:00:00"),
            ("12024-12-03", "+12024-12-03 00:00:00"),
        ] {
            check(text, Some(wanted));
        }
        for text in [
            "",
            " ",
            "1733220000",
            "12/03/2024",
            "2024-02-30",
            "2024-13-01",
            "2024-12-03T24:00:00",
            "2024-12-03T10:00:60",
            "2024-12-03T10:00:00,5Z",
            "2024-12-03T10:00:00[Europe/Lisbon]",
            "2024-12-03T10:00:00+19:00",
            "2024-12-03T10:00:00 Nowhere/X",
            "2024-12-03T10:00:00 utc",
            "2024-12-03T10:00:00-",
            "2024-12-03T",
            "2024-12-03T10:",
            "2024-12-03T10:00Z",
            "2024-12-03Z",
            "294248-01-01",
            "now",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_timestamp_without_zone_must_not_name_one() {
        assert_eq!(
            parse_timestamp_ntz(b"2024-01-01T10:00:00").map(printed).as_deref(),
            Some("2024-01-01 10:00:00")
        );
        assert_eq!(parse_timestamp_ntz(b"2024-01-01T10:00:00Z"), None);
        assert_eq!(parse_timestamp_ntz(b"10:00"), None);
    }

    #[test]
    fn dates_are_read_as_spark_casts_them() {
        for (text, wanted) in [
            ("2024-12-03T10:00:00Z", Some("2024-12-03")),
            ("2024-12-03 junk", Some("2024-12-03")),
            ("2024", Some("2024-01-01")),
            ("2024-1-1", Some("2024-01-01")),
            ("2024-02-30", None),
            ("2024-01-01junk", None),
            ("03/12/2024", None),
            ("1-1-2024", None),
            ("today", None),
        ] {
            let got = parse_date(text.as_bytes()).map(|days| {
                let mut out = String::new();
                write_date(days, &mut out);
                out
            });
            assert_eq!(got.as_deref(), wanted, "{text:?}");
        }
    }

    #[test]
    fn json_has_milliseconds_cut_not_rounded() {
        let mut out = String::new();
        write_timestamp_iso(-1, &mut out);
        assert_eq!(out, "1969-12-31T23:59:59.999Z");
    }

    proptest::proptest! {
        /// Printing and reading a timestamp gives it back.
        #[test]
        fn a_printed_timestamp_reads_back(micros in -62_135_596_800_000_000i64..253_402_300_800_000_000) {
            proptest::prop_assert_eq!(parse_timestamp(printed(micros).as_bytes(), 0), Some(micros));
        }
    }
}
