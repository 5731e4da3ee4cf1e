//! Times as text, fast where one row's minute is the next row's.

/// Writes instants and dates; remembers the minute it wrote last.
#[derive(Debug, Clone)]
pub struct TimeText {
    minute: i64,
    prefix: Vec<u8>,
}

const MINUTE: i64 = 60_000_000;

impl Default for TimeText {
    fn default() -> TimeText {
        TimeText {
            minute: i64::MIN,
            prefix: Vec::with_capacity(24),
        }
    }
}

impl TimeText {
    /// Appends an instant (microseconds since 1970) in ISO-8601 with `Z` and no more decimals than it needs: none, three
    /// or six.
    #[inline]
    pub fn write(&mut self, micros: i64, out: &mut Vec<u8>) {
        let minute = micros.div_euclid(MINUTE);
        if minute != self.minute {
            self.remember(minute);
        }
        let in_minute = (micros - minute * MINUTE) as u32;
        let (second, part) = (in_minute / 1_000_000, in_minute % 1_000_000);
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(&two_digits(second));
        if part == 0 {
            return out.push(b'Z');
        }
        out.push(b'.');
        let (millis, micros) = (part / 1_000, part % 1_000);
        out.extend_from_slice(&three_digits(millis));
        if micros > 0 {
            out.extend_from_slice(&three_digits(micros));
        }
        out.push(b'Z');
    }

    #[cold]
    fn remember(&mut self, minute: i64) {
        self.minute = minute;
        self.prefix.clear();
        write_date(minute.div_euclid(1_440), &mut self.prefix);
        let of_day = minute.rem_euclid(1_440) as u32;
        self.prefix.push(b'T');
        self.prefix.extend_from_slice(&two_digits(of_day / 60));
        self.prefix.push(b':');
        self.prefix.extend_from_slice(&two_digits(of_day % 60));
        self.prefix.push(b':');
    }
}

/// Appends a date (days since 1970) as `2024-01-31`.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    let text = if (0..=9_999).contains(&year) {
        format!("{year:04}")
    } else {
        format!("{year:+05}")
    };
    out.extend_from_slice(text.as_bytes());
    out.push(b'-');
    out.extend_from_slice(&two_digits(month));
    out.push(b'-');
    out.extend_from_slice(&two_digits(day));
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[inline]
fn two_digits(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

#[inline]
fn three_digits(number: u32) -> [u8; 3] {
    [
        b'0' + (number / 100) as u8,
        b'0' + (number / 10 % 10) as u8,
        b'0' + (number % 10) as u8,
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::Time;

    #[test]
    fn decimals_are_written_as_needed() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (1_704_110_400_000_000, "2024-01-01T12:00:00Z"),
            (1_709_210_096_120_000, "2024-02-29T12:34:56.120Z"),
            (1_709_210_096_000_007, "2024-02-29T12:34:56.000007Z"),
        ] {
            assert_eq!(Time(micros).to_string(), text);
        }
    }

    proptest! {
        /// Text reads back as the same instant, whatever was written before.
        #[test]
        fn times_read_back(times in prop::collection::vec(-60_000_000_000_000_000i64..250_000_000_000_000_000, 1..5)) {
            let mut text = TimeText::default();
            for time in times {
                let mut out = vec![];
                text.write(time, &mut out);
                prop_assert_eq!(Time::parse(std::str::from_utf8(&out).unwrap()), Ok(Time(time)));
            }
        }
    }
}
