//! An HDR log: what HdrHistogram's own tools read, in every language they are written in. A line for each interval and
//! span, tagged `latency`, `service`, `schedule` and `end_to_end`; values in microseconds, maxima in milliseconds.

use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::load::latency::Interval;
use crate::load::outcome::Outcome;

/// The log of a run.
///
/// # Errors
/// A stored run somebody changed.
pub fn render(outcome: &Outcome) -> Result<String, String> {
    let wrong = |error: &dyn Display| format!("cannot write the HDR log: {error}");
    let start = Duration::from_nanos(u64::try_from(outcome.setup.start_wall_ns).unwrap_or(0));
    let (mut log, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment(&format!(
            "skirl load, run {}, microseconds",
            outcome.setup.runs.join(" ")
        ))
        .with_start_time(UNIX_EPOCH + start)
        .with_base_time(UNIX_EPOCH + start)
        .with_max_value_divisor(1_000.0)
        .begin_log_with(&mut log, &mut serializer)
        .map_err(|error| wrong(&error))?;
    let length = Duration::from_secs(outcome.interval_seconds);
    for (tag, interval) in by_time(outcome) {
        let begins = length * u32::try_from(interval.index).unwrap_or(u32::MAX);
        let values = interval.histogram()?;
        writer
            .write_histogram(&values, begins, length, Tag::new(tag))
            .map_err(|_| wrong(&"an interval cannot be written"))?;
    }
    String::from_utf8(log).map_err(|error| wrong(&error))
}

/// All intervals with their spans' names, by time.
fn by_time(outcome: &Outcome) -> Vec<(&'static str, &Interval)> {
    let mut all = Vec::new();
    for (span, log) in &outcome.spans {
        all.extend(log.intervals().iter().map(|interval| (span.name(), interval)));
    }
    all.sort_by_key(|(_, interval)| interval.index);
    all
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::load::latency::Span;
    use crate::load::outcome::tests::outcome;

    #[test]
    fn the_log_holds_every_interval_as_others_read_it() {
        let outcome = outcome(3, |second| 10 + second as i64);
        let log = render(&outcome).unwrap();
        let mut total: Histogram<u64> = Histogram::new(3).unwrap();
        let mut begins = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                assert_eq!(
                    interval.tag().map(|tag| tag.as_str().to_string()),
                    Some("latency".into())
                );
                begins.push(interval.start_timestamp().as_secs());
                let bytes =
                    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, interval.encoded_histogram());
                let values: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.unwrap().as_slice()).unwrap();
                total.add(values).unwrap();
            }
        }
        assert_eq!(begins, [0, 1, 2]);
        assert_eq!(total, outcome.spans[&Span::Latency].total().unwrap());
    }
}
