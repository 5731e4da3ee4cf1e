//! Time zones as Java names them.

use arrow::array::timezone::Tz;
use chrono::{DateTime, Duration, LocalResult, NaiveDateTime, Offset, TimeZone};

/// A time zone: a fixed offset or a region with its own history.
#[derive(Debug, Clone, Copy)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A region such as `Europe/Lisbon`.
    Region(Tz),
}

impl Zone {
    /// The zone Java's `ZoneId.of` gives a name: `Z`, `+01:00`, `+1`, `UTC+1`, `EST`, `Europe/Lisbon`.
    pub fn parse(name: &str) -> Option<Zone> {
        if matches!(name, "Z" | "UTC" | "GMT" | "UT") {
            return Some(Zone::Fixed(0));
        }
        if name.starts_with(['+', '-']) {
            return parse_offset(name).map(Zone::Fixed);
        }
        let prefixed = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix));
        if let Some(offset) = prefixed.filter(|rest| rest.starts_with(['+', '-'])) {
            return parse_offset(offset).map(Zone::Fixed);
        }
        if let Some((_, zone)) = SHORT_IDS.iter().find(|(short, _)| *short == name) {
            return Zone::parse(zone);
        }
        name.parse().ok().map(Zone::Region)
    }

    /// The instant, in microseconds, at which clocks of this zone show `local`; a time a clock change skips moves
    /// forward, one it repeats means the first.
    pub fn to_utc(self, local: i64) -> Option<i64> {
        match self {
            Zone::Fixed(seconds) => local.checked_sub(i64::from(seconds) * 1_000_000),
            Zone::Region(region) => {
                let naive = DateTime::from_timestamp_micros(local)?.naive_utc();
                local.checked_sub(i64::from(region_offset(&region, &naive)) * 1_000_000)
            }
        }
    }
}

fn region_offset(region: &Tz, local: &NaiveDateTime) -> i32 {
    match region.offset_from_local_datetime(local) {
        LocalResult::Single(offset) => offset.fix().local_minus_utc(),
        LocalResult::Ambiguous(first, _) => first.fix().local_minus_utc(),
        // Inside a gap the offset from before it counts, which moves the time forward.
        LocalResult::None => region
            .offset_from_utc_datetime(&(*local - Duration::days(1)))
            .fix()
            .local_minus_utc(),
    }
}

/// `+h`, `+hh`, `+h:m`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+hhmmss`, at most 18 hours, in seconds.
fn parse_offset(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = &text[1..];
    let parts: Vec<&str> = if digits.contains(':') {
        let parts: Vec<&str> = digits.split(':').collect();
        // Only `h:m` may be short: with seconds, two digits are the rule.
        if parts.len() == 3 && parts.iter().skip(1).any(|part| part.len() != 2) {
            return None;
        }
        parts
    } else {
        match digits.len() {
            1 | 2 => vec![digits],
            4 => vec![&digits[..2], digits.get(2..)?],
            6 => vec![&digits[..2], digits.get(2..4)?, digits.get(4..)?],
            _ => return None,
        }
    };
    let mut seconds = 0;
    for (part, unit) in parts.iter().zip([3600, 60, 1]) {
        let valid = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value: i32 = part
            .parse()
            .ok()
            .filter(|value| valid && (unit == 3600 || *value < 60))?;
        seconds += value * unit;
    }
    (parts.len() <= 3 && seconds <= 18 * 3600).then_some(sign * seconds)
}

/// Java's `ZoneId.SHORT_IDS`.
const SHORT_IDS: [(&str, &str); 28] = [
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AGT", "America/Argentina/Buenos_Aires"),
    ("ART", "Africa/Cairo"),
    ("AST", "America/Anchorage"),
    ("BET", "America/Sao_Paulo"),
    ("BST", "Asia/Dhaka"),
    ("CAT", "Africa/Harare"),
    ("CNT", "America/St_Johns"),
    ("CST", "America/Chicago"),
    ("CTT", "Asia/Shanghai"),
    ("EAT", "Africa/Addis_Ababa"),
    ("ECT", "Europe/Paris"),
    ("EST", "-05:00"),
    ("HST", "-10:00"),
    ("IET", "America/Indiana/Indianapolis"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("MIT", "Pacific/Apia"),
    ("MST", "-07:00"),
    ("NET", "Asia/Yerevan"),
    ("NST", "Pacific/Auckland"),
    ("PLT", "Asia/Karachi"),
    ("PNT", "America/Phoenix"),
    ("PRT", "America/Puerto_Rico"),
    ("PST", "America/Los_Angeles"),
    ("SST", "Pacific/Guadalcanal"),
    ("VST", "Asia/Ho_Chi_Minh"),
];
