//! Latencies by interval, without clipping: HDR histograms in microseconds, three significant digits.
//!
//! A finished interval is kept as it is written to a file: compressed. Whatever is asked later, a quantile of the whole
//! run, of a tenth of it or of several workers together, is the sum of such intervals, and so exact.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use super::clock::{Moment, nanos};

/// Digits that are kept of a value.
const DIGITS: u8 = 3;
/// Intervals of a run, at most, before its end: a long run has longer ones.
const INTERVALS: u64 = 120;

/// What is measured of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// From the intended time to the acknowledgement: what a client would have waited.
    Latency,
    /// From the actual send to the acknowledgement.
    Service,
    /// From the intended time to the actual send.
    Schedule,
    /// From the intended time until a consumer had it.
    EndToEnd,
}

impl Span {
    /// All of them, in the order of a report.
    pub const ALL: [Span; 4] = [Span::Latency, Span::Service, Span::Schedule, Span::EndToEnd];

    /// Its name in SLOs and files.
    pub fn name(self) -> &'static str {
        match self {
            Span::Latency => "latency",
            Span::Service => "service",
            Span::Schedule => "schedule",
            Span::EndToEnd => "end_to_end",
        }
    }
}

/// Collects the values of one span, interval by interval.
pub struct Recorder {
    current: Histogram<u64>,
    index: u64,
    interval: Duration,
    log: LatencyLog,
}

/// How long the intervals of a run are: whole seconds, so that there are not too many.
pub fn interval_of(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs().div_ceil(INTERVALS).max(1))
}

fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("three digits are allowed")
}

impl Recorder {
    /// Nothing yet; `interval` as [`interval_of`] says.
    pub fn new(interval: Duration) -> Recorder {
        Recorder {
            current: empty(),
            index: 0,
            interval,
            log: LatencyLog::default(),
        }
    }

    /// Notes a value of so many nanoseconds, at a moment of the measured part; moments must not go back by an interval.
    #[inline]
    pub fn record(&mut self, at: Moment, span_ns: i64) {
        if at.0 >= self.current_end() {
            self.close((at.0 / nanos(self.interval)).unsigned_abs());
        }
        // Grows as needed: no value is too large. Rounded to the nearest microsecond.
        let micros = span_ns.max(0).unsigned_abs().saturating_add(500) / 1_000;
        self.current
            .record(micros)
            .expect("a histogram that grows takes any value");
    }

    fn current_end(&self) -> i64 {
        (self.index as i64 + 1) * nanos(self.interval)
    }

    fn close(&mut self, next: u64) {
        if !self.current.is_empty() {
            self.log.intervals.push(Interval::of(self.index, &self.current));
            self.current.reset();
        }
        self.index = next;
    }

    /// A quantile of the interval that is under way, in microseconds; `None` without values.
    pub fn recent(&self, quantile: f64) -> Option<u64> {
        (!self.current.is_empty()).then(|| self.current.value_at_quantile(quantile))
    }

    /// The largest value of the interval that is under way, in microseconds.
    pub fn recent_max(&self) -> u64 {
        self.current.max()
    }

    /// Everything that was noted.
    pub fn finish(mut self) -> LatencyLog {
        self.close(0);
        self.log
    }
}

/// Latencies of a run, interval by interval.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LatencyLog {
    intervals: Vec<Interval>,
}

/// The values of one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its number since moment 0.
    pub index: u64,
    /// The histogram, as a line of an HDR log has it: V2, deflated, base64.
    pub hdr: String,
}

impl Interval {
    fn of(index: u64, histogram: &Histogram<u64>) -> Interval {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
        written.expect("a histogram in memory can be written");
        Interval {
            index,
            hdr: BASE64.encode(bytes),
        }
    }

    /// The histogram.
    ///
    /// # Errors
    /// A file somebody changed.
    pub fn histogram(&self) -> Result<Histogram<u64>, String> {
        let wrong = || format!("interval {} holds no HDR histogram", self.index);
        let bytes = BASE64.decode(&self.hdr).map_err(|_| wrong())?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|_| wrong())
    }
}

impl LatencyLog {
    /// The intervals that have values, in order.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// All values together.
    ///
    /// # Errors
    /// A file somebody changed.
    pub fn total(&self) -> Result<Histogram<u64>, String> {
        self.sum(|_| true)
    }

    /// The values of the intervals whose number is wanted.
    ///
    /// # Errors
    /// A file somebody changed.
    pub fn sum(&self, is_wanted: impl Fn(u64) -> bool) -> Result<Histogram<u64>, String> {
        let mut sum = empty();
        for interval in self.intervals.iter().filter(|interval| is_wanted(interval.index)) {
            sum.add(interval.histogram()?)
                .expect("a histogram that grows takes any other");
        }
        Ok(sum)
    }

    /// The values of this log and of others, interval by interval.
    ///
    /// # Errors
    /// A file somebody changed.
    pub fn merged(logs: &[&LatencyLog]) -> Result<LatencyLog, String> {
        let all = logs.iter().flat_map(|log| &log.intervals);
        let mut numbers: Vec<u64> = all.map(|interval| interval.index).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let merge = |index: u64| {
            let mut sum = empty();
            for log in logs {
                sum.add(log.sum(|number| number == index)?)
                    .expect("a histogram that grows takes any other");
            }
            Ok(Interval::of(index, &sum))
        };
        Ok(LatencyLog {
            intervals: numbers.into_iter().map(merge).collect::<Result<_, String>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    fn log(values: &[(i64, i64)]) -> LatencyLog {
        let mut recorder = Recorder::new(Duration::from_secs(1));
        for (at, span) in values {
            recorder.record(Moment(*at), *span);
        }
        recorder.finish()
    }

    #[test]
    fn no_value_is_clipped() {
        let hour = 3_600 * SECOND;
        let total = log(&[(0, hour), (1, 1_499), (2, 100)]).total().unwrap();
        assert!(total.equivalent(total.max(), 3_600_000_000), "{}", total.max());
        assert_eq!((total.min(), total.len()), (0, 3));
    }

    #[test]
    fn intervals_without_values_are_left_out_and_keep_their_numbers() {
        let log = log(&[(0, MS), (SECOND - 1, MS), (5 * SECOND, MS), (7 * SECOND + 1, MS)]);
        let numbers: Vec<u64> = log.intervals().iter().map(|interval| interval.index).collect();
        assert_eq!(numbers, [0, 5, 7]);
        assert_eq!(log.sum(|index| index < 6).unwrap().len(), 3);
    }

    #[test]
    fn the_merge_of_two_logs_is_the_histogram_of_both() {
        let one: Vec<(i64, i64)> = (0..5_000).map(|row| (row * MS, row * 37 % 90 * MS)).collect();
        let other: Vec<(i64, i64)> = (0..3_000)
            .map(|row| (row * 3 * MS, row * 91 % 4_000 * MS / 7))
            .collect();
        let mut both = [one.clone(), other.clone()].concat();
        both.sort_unstable();
        let merged = LatencyLog::merged(&[&log(&one), &log(&other)]).unwrap();
        assert_eq!(merged.total().unwrap(), log(&both).total().unwrap());
        for index in 0..9 {
            let of_interval = |log: &LatencyLog| log.sum(|number| number == index).unwrap();
            assert_eq!(of_interval(&merged), of_interval(&log(&both)), "interval {index}");
        }
    }

    #[test]
    fn a_long_run_has_longer_intervals() {
        for (duration, interval) in [(1, 1), (60, 1), (120, 1), (121, 2), (3_600, 30)] {
            assert_eq!(
                interval_of(Duration::from_secs(duration)),
                Duration::from_secs(interval)
            );
        }
    }
}
