//! `timestampFormat` and `dateFormat`: the letters of Java's `DateTimeFormatter` that Spark 3 and later takes.

use super::zone::Zone;
use super::{MICROS_PER_DAY, civil_from_days, days_from_civil, local_micros, time_micros, write_year};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// A compiled pattern such as `yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]`.
#[derive(Debug, Clone)]
pub struct Pattern {
    items: Vec<Item>,
    /// Letters directly behind one another: their digits are counted, not searched for.
    text: String,
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternError {
    /// Spark 2 took the letter and Spark 3 does not: Spark fails the query.
    Legacy(char),
    /// No formatter knows it: Spark makes every value NULL.
    Unknown(char),
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
    Optional(Vec<Item>),
}

/// What a text says about a time.
#[derive(Debug, Clone, Copy, Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    /// Hour of the half day, 0 to 11.
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    micro: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// Compiles a pattern.
    pub fn compile(text: &str) -> Result<Pattern, PatternError> {
        let mut chars = text.chars().peekable();
        let items = compile_items(&mut chars, false)?;
        Ok(Pattern {
            items,
            text: text.to_owned(),
        })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The microseconds since 1970-01-01 UTC a text means; what the pattern does not say is 1970-01-01 00:00 UTC.
    pub fn parse_timestamp(&self, text: &[u8]) -> Option<i64> {
        let fields = self.parse(text)?;
        let local = local_micros(fields.days()?, fields.time()?)?;
        match fields.zone {
            Some(zone) => zone.to_utc(local),
            None => Some(local),
        }
    }

    /// As [`Pattern::parse_timestamp`], without time zone; a zone in the text makes it no such timestamp.
    pub fn parse_timestamp_ntz(&self, text: &[u8]) -> Option<i64> {
        let fields = self.parse(text)?;
        if fields.zone.is_some() {
            return None;
        }
        local_micros(fields.days()?, fields.time()?)
    }

    /// The days since 1970-01-01 a text means.
    pub fn parse_date(&self, text: &[u8]) -> Option<i32> {
        let fields = self.parse(text)?;
        fields.time()?;
        i32::try_from(fields.days()?).ok()
    }

    /// Appends a timestamp, in UTC.
    pub fn write_timestamp(&self, micros: i64, out: &mut String) {
        write_items(&self.items, micros, out);
    }

    /// Appends a date.
    pub fn write_date(&self, days: i32, out: &mut String) {
        write_items(&self.items, i64::from(days) * MICROS_PER_DAY, out);
    }

    fn parse(&self, text: &[u8]) -> Option<Fields> {
        let mut fields = Fields::default();
        let rest = parse_items(&self.items, std::str::from_utf8(text).ok()?, &mut fields)?;
        rest.is_empty().then_some(fields)
    }
}

fn compile_items(chars: &mut std::iter::Peekable<std::str::Chars>, optional: bool) -> Result<Vec<Item>, PatternError> {
    let mut items = Vec::new();
    while let Some(letter) = chars.next() {
        match letter {
            '[' => items.push(Item::Optional(compile_items(chars, true)?)),
            ']' if optional => return Ok(items),
            ']' | '{' | '}' | '#' => return Err(PatternError::Unknown(letter)),
            '\'' => push_literal(&mut items, &quoted(chars)?),
            _ if letter.is_ascii_alphabetic() => {
                let mut count = 1;
                while chars.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                items.push(field(letter, count)?);
            }
            _ => push_literal(&mut items, letter.encode_utf8(&mut [0; 4])),
        }
    }
    Ok(items)
}

/// Text between quotes; two quotes are one.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars>) -> Result<String, PatternError> {
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('\'') if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            Some('\'') if text.is_empty() => return Ok("'".to_owned()),
            Some('\'') => return Ok(text),
            Some(letter) => text.push(letter),
            None => return Err(PatternError::Unknown('\'')),
        }
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(literal)) => literal.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

fn field(letter: char, count: usize) -> Result<Item, PatternError> {
    let most = match letter {
        'y' => 6,
        'M' | 'L' => 4,
        'd' | 'H' | 'h' | 'k' | 'K' | 'm' | 's' | 'V' => 2,
        'D' | 'X' | 'x' | 'Z' => 5,
        'S' => 9,
        'a' => 1,
        'z' | 'O' => 4,
        'E' | 'F' | 'Y' | 'w' | 'W' | 'u' => return Err(PatternError::Legacy(letter)),
        _ => return Err(PatternError::Unknown(letter)),
    };
    let wrong_count = count > most || (letter == 'V' && count != 2);
    if wrong_count {
        Err(PatternError::Unknown(letter))
    } else {
        Ok(Item::Field(letter, count))
    }
}

/// Reads `items` off the front of `text`; what is left, or `None` if they are not there.
fn parse_items<'a>(items: &[Item], mut text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    for (index, item) in items.iter().enumerate() {
        text = match item {
            Item::Literal(literal) => strip_literal(text, literal)?,
            Item::Optional(inner) => {
                let mut tried = *fields;
                match parse_items(inner, text, &mut tried) {
                    Some(rest) => {
                        *fields = tried;
                        rest
                    }
                    None => text,
                }
            }
            Item::Field(letter, count) => {
                let adjacent = adjacent_digits(&items[index + 1..]);
                parse_field(*letter, *count, adjacent, text, fields)?
            }
        };
    }
    Some(text)
}

/// Spark's formatters ignore case, in literals too.
fn strip_literal<'a>(text: &'a str, literal: &str) -> Option<&'a str> {
    let start = text.get(..literal.len())?;
    start.eq_ignore_ascii_case(literal).then(|| &text[literal.len()..])
}

/// How many digits the numeric fields directly behind this one take.
fn adjacent_digits(items: &[Item]) -> usize {
    items
        .iter()
        .map_while(|item| match item {
            Item::Field('M' | 'L' | 'd' | 'H' | 'h' | 'k' | 'K' | 'm' | 's', 2) => Some(2),
            Item::Field('D', 3) => Some(3),
            Item::Field('S', count) => Some(*count),
            _ => None,
        })
        .sum()
}

fn parse_field<'a>(letter: char, count: usize, adjacent: usize, text: &'a str, fields: &mut Fields) -> Option<&'a str> {
    if matches!(letter, 'M' | 'L') && count >= 3 {
        let (month, rest) = parse_name(text, &MONTHS, count)?;
        return set(&mut fields.month, month + 1).then_some(rest);
    }
    match letter {
        'a' => {
            let half = text.get(..2)?;
            let afternoon = half.eq_ignore_ascii_case("PM");
            if !afternoon && !half.eq_ignore_ascii_case("AM") {
                return None;
            }
            fields.afternoon = Some(afternoon);
            return Some(&text[2..]);
        }
        'X' | 'x' | 'Z' | 'z' | 'V' | 'O' => {
            let (zone, rest) = parse_zone(letter, text)?;
            fields.zone = Some(zone);
            return Some(rest);
        }
        _ => {}
    }
    let (negative, digits, rest) = take_number(letter, count, adjacent, text)?;
    let value: i64 = digits.parse().ok()?;
    let value = if negative { -value } else { value };
    let taken = match letter {
        'y' if count == 2 => set(&mut fields.year, 2000 + value),
        'y' => set(&mut fields.year, value),
        'M' | 'L' => set(&mut fields.month, value),
        'd' => set(&mut fields.day, value),
        'D' => set(&mut fields.day_of_year, value),
        'H' => value < 24 && set(&mut fields.hour, value),
        'k' => (1..=24).contains(&value) && set(&mut fields.hour, value % 24),
        'h' => (1..=12).contains(&value) && set(&mut fields.half_hour, value % 12),
        'K' => value < 12 && set(&mut fields.half_hour, value),
        'm' => set(&mut fields.minute, value),
        's' => set(&mut fields.second, value),
        'S' => set(&mut fields.micro, super::fraction_micros(digits.as_bytes())),
        _ => false,
    };
    taken.then_some(rest)
}

/// Sets a field; one said twice must say the same.
fn set(field: &mut Option<i64>, value: i64) -> bool {
    *field.get_or_insert(value) == value
}

/// The digits of a numeric field: their sign, themselves, the text after them.
fn take_number(letter: char, count: usize, adjacent: usize, text: &str) -> Option<(bool, &str, &str)> {
    let (signed, unsigned) = match text.as_bytes().first()? {
        sign @ (b'+' | b'-') if letter == 'y' && count != 2 => (Some(*sign), &text[1..]),
        _ => (None, text),
    };
    let available = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (least, most) = match (letter, count) {
        ('S', _) => (1, count),
        ('y', 2) => (2, 2),
        ('y', 4) if signed == Some(b'+') => (5, 10),
        ('y', 4) => (4, 4),
        ('y', _) => (count, 10),
        ('D', 1) => (1, 3),
        (_, 1) => (1, if letter == 'D' { 3 } else { 2 }),
        _ => (count, count),
    };
    let taken = available.saturating_sub(adjacent).min(most);
    if taken < least {
        return None;
    }
    Some((signed == Some(b'-'), &unsigned[..taken], &unsigned[taken..]))
}

/// The index of the name a text starts with; three letters up to a count of 3, the full name above.
fn parse_name<'a>(text: &'a str, names: &[&str], count: usize) -> Option<(i64, &'a str)> {
    names.iter().enumerate().find_map(|(index, name)| {
        let name = if count <= 3 { &name[..3] } else { name };
        let start = text.get(..name.len())?;
        start
            .eq_ignore_ascii_case(name)
            .then(|| (index as i64, &text[name.len()..]))
    })
}

fn parse_zone(letter: char, text: &str) -> Option<(Zone, &str)> {
    if letter == 'X' && text.starts_with(['Z', 'z']) {
        return Some((Zone::Fixed(0), &text[1..]));
    }
    let is_part = |c: char| match letter {
        'X' | 'x' | 'Z' => c.is_ascii_digit() || matches!(c, '+' | '-' | ':'),
        _ => c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':' | '/' | '_'),
    };
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    Some((Zone::parse(&text[..end])?, &text[end..]))
}

impl Fields {
    fn days(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        if let Some(day_of_year) = self.day_of_year {
            let days = days_from_civil(year, 1, 1)? + day_of_year - 1;
            let (found, ..) = civil_from_days(days);
            return (found == year && day_of_year >= 1).then_some(days);
        }
        days_from_civil(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    fn time(&self) -> Option<i64> {
        let from_half = self
            .half_hour
            .map(|hour| hour + if self.afternoon == Some(true) { 12 } else { 0 });
        let hour = self.hour.or(from_half).unwrap_or(0);
        time_micros(
            hour,
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            self.micro.unwrap_or(0),
        )
    }
}

fn write_items(items: &[Item], micros: i64, out: &mut String) {
    for item in items {
        match item {
            Item::Literal(literal) => out.push_str(literal),
            Item::Optional(inner) => write_items(inner, micros, out),
            Item::Field(letter, count) => write_field(*letter, *count, micros, out),
        }
    }
}

fn write_field(letter: char, count: usize, micros: i64, out: &mut String) {
    let days = micros.div_euclid(MICROS_PER_DAY);
    let time = micros.rem_euclid(MICROS_PER_DAY);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (time / 3_600_000_000, time / 60_000_000 % 60, time / 1_000_000 % 60);
    match letter {
        'y' if count == 2 => padded(year.rem_euclid(100), 2, out),
        'y' if count >= 4 => write_year(year, out),
        'y' => padded(year, count, out),
        'M' | 'L' if count == 4 => out.push_str(MONTHS[month as usize - 1]),
        'M' | 'L' if count == 3 => out.push_str(&MONTHS[month as usize - 1][..3]),
        'M' | 'L' => padded(i64::from(month), count, out),
        'd' => padded(i64::from(day), count, out),
        'D' => padded(
            days - days_from_civil(year, 1, 1).expect("every year has a first day") + 1,
            count,
            out,
        ),
        'E' => out.push_str(&WEEKDAYS[days.rem_euclid(7) as usize][..3]),
        'H' => padded(hour, count, out),
        'k' => padded(if hour == 0 { 24 } else { hour }, count, out),
        'h' => padded(if hour % 12 == 0 { 12 } else { hour % 12 }, count, out),
        'K' => padded(hour % 12, count, out),
        'm' => padded(minute, count, out),
        's' => padded(second, count, out),
        'S' => {
            let nanos = format!("{:09}", time % 1_000_000 * 1000);
            out.push_str(&nanos[..count.min(9)]);
        }
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'X' => out.push('Z'),
        'x' => out.push_str(["+00", "+0000", "+00:00", "+0000", "+00:00"][count - 1]),
        'Z' => out.push_str(match count {
            4 => "GMT",
            5 => "Z",
            _ => "+0000",
        }),
        'O' => out.push_str("GMT"),
        _ => out.push_str("UTC"),
    }
}

fn padded(value: i64, width: usize, out: &mut String) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    (digits.len()..width).for_each(|_| out.push('0'));
    out.push_str(digits);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_what_spark_reads() {
        for (pattern, text, wanted) in [
            (
                "yyyy-MM-dd HH:mm:ss",
                "2024-12-03 10:00:00",
                Some("2024-12-03 10:00:00"),
            ),
            ("yyyy-MM-dd HH:mm:ss", "2024-12-3 10:00:00", None),
            ("yyyy-MM-dd HH:mm:ss", "2024-12-03 10:00:00 ", None),
            ("yyyy-MM-dd HH:mm:ss", "12024-12-03 10:00:00", None),
            ("yyyy-MM-dd HH:mm:ss", "2024-12-03 24:00:00", None),
            ("yyyy-MM-dd HH:mm:ss", "2024-02-30 10:00:00", None),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2024-12-03T10:00:00",
                Some("2024-12-03 10:00:00"),
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2024-12-03T10:00:00.1Z",
                Some("2024-12-03 10:00:00.1"),
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]",
                "2024-12-03T10:00:00.123+02:00",
                Some("2024-12-03 08:00:00.123"),
            ),
            ("dd/MM/yyyy HH:mm", "03/12/2024 10:00", Some("2024-12-03 10:00:00")),
            ("dd/MM/yyyy HH:mm", "3/12/2024 10:00", None),
            ("d/M/yy H:m", "13/12/70 19:55", Some("2070-12-13 19:55:00")),
            ("yyyyMMddHHmmss", "20241203100000", Some("2024-12-03 10:00:00")),
            ("yyyyMMddHHmmss", "2024120310000", None),
            (
                "yyyy-MM-dd hh:mm:ss a",
                "2024-12-03 10:00:00 pm",
                Some("2024-12-03 22:00:00"),
            ),
            (
                "yyyy-MM-dd hh:mm:ss a",
                "2024-12-03 12:00:00 AM",
                Some("2024-12-03 00:00:00"),
            ),
            ("yyyy-MM-dd hh:mm:ss a", "2024-12-03 13:00:00 PM", None),
            ("MMM dd, yyyy HH:mm", "dec 03, 2024 10:00", Some("2024-12-03 10:00:00")),
            ("MMM dd, yyyy HH:mm", "December 03, 2024 10:00", None),
            ("dd-MMMM-yyyy", "03-December-2024", Some("2024-12-03 00:00:00")),
            (
                "yyyy-MM-dd HH:mm:ss.SSSSSS",
                "2024-12-03 10:00:00.123",
                Some("2024-12-03 10:00:00.123"),
            ),
            ("yyyy-MM-dd HH:mm:ss.S", "2024-12-03 10:00:00.12", None),
            (
                "yyyy-MM-dd HH:mm:ss VV",
                "2024-12-03 10:00:00 Europe/Lisbon",
                Some("2024-12-03 10:00:00"),
            ),
            (
                "yyyy-MM-dd HH:mm:ss z",
                "2024-12-03 10:00:00 PST",
                Some("2024-12-03 18:00:00"),
            ),
            (
                "yyyy-MM-dd'T'HH:mm:ssX",
                "2024-12-03T10:00:00+0130",
                Some("2024-12-03 08:30:00"),
            ),
            ("yyyy-MM-dd'T'HH:mm:ssx", "2024-12-03T10:00:00Z", None),
            ("yyyy-MM-dd O", "2024-12-03 GMT+1", Some("2024-12-02 23:00:00")),
            ("y-M-d", "2024-12-13", Some("2024-12-13 00:00:00")),
            ("yyyy-DDD", "2024-033", Some("2024-02-02 00:00:00")),
            ("kk:mm yyyy-MM-dd", "24:00 2024-12-03", Some("2024-12-03 00:00:00")),
            ("HH:mm", "10:00", Some("1970-01-01 10:00:00")),
            ("yyyy", "2024", Some("2024-01-01 00:00:00")),
        ] {
            let got = Pattern::compile(pattern)
                .unwrap()
                .parse_timestamp(text.as_bytes())
                .map(|micros| {
                    let mut out = String::new();
                    super::super::write_timestamp(micros, &mut out);
                    out
                });
            assert_eq!(got.as_deref(), wanted, "{text:?} as {pattern}");
        }
    }

    #[test]
    fn patterns_print_timestamps() {
        for (pattern, wanted) in [
            ("yyyy/MM/dd HH:mm:ss.SSSSSS", "2024/12/03 22:05:09.123456"),
            ("d.M.yy h:mm a", "3.12.24 10:05 PM"),
            ("dd MMM yyyy'T'HH:mm:ssXXX", "03 Dec 2024T22:05:09Z"),
        ] {
            let mut out = String::new();
            Pattern::compile(pattern)
                .unwrap()
                .write_timestamp(1_733_263_509_123_456, &mut out);
            assert_eq!(out, wanted);
        }
    }

    #[test]
    fn letters_of_spark_2_and_of_nobody_are_told_apart() {
        assert_eq!(Pattern::compile("uuuu-MM").unwrap_err(), PatternError::Legacy('u'));
        assert_eq!(Pattern::compile("EEE dd").unwrap_err(), PatternError::Legacy('E'));
        assert_eq!(
            Pattern::compile("bad pattern q!").unwrap_err(),
            PatternError::Unknown('b')
        );
    }
}
