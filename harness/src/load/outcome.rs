//! What a run came to: everything that was measured, as it is stored, compared and merged.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::baseline::PARTS;
use super::cost::Ceiling;
use super::figure::Figure;
use super::latency::{LatencyLog, Span};
use super::ledger::{Comparison, ReceivedCounts};
use super::tally::Counts;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was run.
    pub setup: Setup,
    /// What became of the rows on their way out.
    pub rows: RowCounts,
    /// What became of them after that; `None` if nobody read them back.
    pub received: Option<ReceivedRows>,
    /// Latencies by interval.
    pub spans: BTreeMap<Span, LatencyLog>,
    /// How long an interval is, in seconds.
    pub interval_seconds: u64,
    /// The counts at the end of each interval.
    pub timeline: Vec<Sample>,
    /// What each worker of the tool cost, and could do.
    pub workers: Vec<Ceiling>,
    /// What to know before one believes the figures.
    pub remarks: Vec<String>,
}

/// What was run, with every setting that matters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// The run's id; several for runs that were merged.
    pub runs: Vec<String>,
    /// When the measured part began: nanoseconds since 1970-01-01T00:00:00 UTC.
    pub start_wall_ns: i64,
    /// The brokers first asked.
    pub bootstrap: String,
    /// How many brokers there were.
    pub brokers: usize,
    /// The topics, with their partitions and settings.
    pub topics: Vec<TopicSetup>,
    /// What the rows were.
    pub row_kind: String,
    /// How fast they were to be sent, in words.
    pub pace: String,
    /// The same in rows per second, on average.
    pub rate: f64,
    /// Seconds of warm-up, in which nothing is measured.
    pub warm_up_seconds: f64,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Processes that sent.
    pub workers: u32,
    /// Properties of the producer that decide about its speed and its promises.
    pub producer: BTreeMap<String, String>,
    /// By how much the clocks that end-to-end latencies were taken with may differ, in microseconds; 0 for one clock.
    pub clock_error_us: u64,
    /// Versions of Skirl and librdkafka.
    pub versions: String,
}

/// A topic of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSetup {
    /// Its name.
    pub name: String,
    /// Whether the run made it.
    pub made: bool,
    /// Its partitions.
    pub partitions: usize,
    /// Brokers that hold each.
    pub replicas: usize,
    /// Its settings that matter here.
    pub settings: BTreeMap<String, String>,
}

/// What became of the rows on their way out. Of the measured part, unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowCounts {
    /// Rows that were due.
    pub offered: u64,
    /// Those of them that were queued before the measured part ended.
    pub in_time: u64,
    /// Those of them that were never queued.
    pub unsent: u64,
    /// All rows that were queued, those of the warm-up too.
    pub queued: u64,
    /// Bytes of their keys and values.
    pub queued_bytes: u64,
    /// All rows that were acknowledged, those of the warm-up too.
    pub acknowledged: u64,
    /// Rows that were acknowledged while the measured part lasted.
    pub acknowledged_in_window: u64,
    /// Rows that could not be written, by the reason; those of the warm-up too.
    pub failed: BTreeMap<String, u64>,
    /// How long senders waited for room in a queue, in nanoseconds.
    pub queue_full_ns: i64,
    /// How long senders waited for rows to be made, in nanoseconds.
    pub rows_awaited_ns: i64,
}

impl RowCounts {
    /// Adds those of another worker, or another run.
    pub fn add(&mut self, other: &RowCounts) {
        self.offered += other.offered;
        self.in_time += other.in_time;
        self.unsent += other.unsent;
        self.queued += other.queued;
        self.queued_bytes += other.queued_bytes;
        self.acknowledged += other.acknowledged;
        self.acknowledged_in_window += other.acknowledged_in_window;
        self.queue_full_ns += other.queue_full_ns;
        self.rows_awaited_ns += other.rows_awaited_ns;
        for (reason, count) in &other.failed {
            *self.failed.entry(reason.clone()).or_default() += count;
        }
    }

    /// Rows that could not be written.
    pub fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Bytes of a row on average.
    pub fn bytes_per_row(&self) -> f64 {
        if self.queued == 0 {
            0.0
        } else {
            self.queued_bytes as f64 / self.queued as f64
        }
    }
}

/// What a consumer found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedRows {
    /// What it counted.
    pub counts: ReceivedCounts,
    /// The acknowledged rows compared with those it found.
    pub comparison: Comparison,
    /// The most rows that were acknowledged and that it did not have.
    pub lag_max: u64,
    /// Such rows when the measured part ended.
    pub lag_at_end: u64,
    /// Why not everything could be read, if so: what is missing then is not known to be lost.
    pub incomplete: Option<String>,
}

/// The counts of a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The number of the interval it ends.
    pub interval: u64,
    /// All counts since the run began, warm-up included.
    pub counts: Counts,
}

impl Outcome {
    /// A figure. A row that was due in the measured part and has no value of a span took forever: figures it reaches into
    /// are infinite. Leaving it out would make a broker look the better the fewer rows it takes.
    ///
    /// # Errors
    /// A sentence that says why it is not known.
    pub fn figure(&self, figure: Figure) -> Result<f64, String> {
        if figure.needs_consumer() && self.received.is_none() {
            return Err("rows were not read back".into());
        }
        match figure {
            Figure::Quantile(span, _) | Figure::Max(span) | Figure::Mean(span) => {
                let values = self.span(span)?.total()?;
                if values.is_empty() && self.rows.offered == 0 {
                    return Err(no_value(span));
                }
                Ok(value_of(&values, self.rows.offered, figure))
            }
            Figure::Throughput => Ok(self.rows.acknowledged_in_window as f64 / self.setup.seconds.max(f64::EPSILON)),
            Figure::Failed => Ok((self.rows.failed() + self.rows.unsent) as f64),
            Figure::Lost => match &self.readback().incomplete {
                Some(why) => Err(format!("not all rows could be read back: {why}")),
                None => Ok(self.readback().comparison.lost as f64),
            },
            Figure::Duplicates => Ok(self.readback().counts.duplicates as f64),
            Figure::Reordered => Ok(self.readback().counts.reordered as f64),
            Figure::Lag => Ok(self.readback().lag_max as f64),
        }
    }

    fn readback(&self) -> &ReceivedRows {
        self.received
            .as_ref()
            .expect("figures that need it were refused without")
    }

    fn span(&self, span: Span) -> Result<&LatencyLog, String> {
        self.spans.get(&span).ok_or_else(|| no_value(span))
    }

    /// The figure of each tenth of the measured part, of the rows that have a value; nothing where it has none.
    pub fn parts(&self, figure: Figure) -> Vec<f64> {
        let Ok(log) = (match figure {
            Figure::Quantile(span, _) | Figure::Max(span) | Figure::Mean(span) => self.span(span),
            _ => return Vec::new(),
        }) else {
            return Vec::new();
        };
        let intervals = (self.setup.seconds / self.interval_seconds.max(1) as f64).ceil() as u64;
        let part_of = |index: u64| (index * PARTS as u64 / intervals.max(1)).min(PARTS as u64 - 1);
        let part = |part: u64| {
            let values = log.sum(|index| part_of(index) == part).ok()?;
            (!values.is_empty()).then(|| value_of(&values, values.len(), figure))
        };
        (0..PARTS as u64).map_while(part).collect()
    }
}

fn no_value(span: Span) -> String {
    format!("no row has a value of `{}`", span.name())
}

/// A figure of so many rows, of which those without a value took forever.
fn value_of(values: &hdrhistogram::Histogram<u64>, rows: u64, figure: Figure) -> f64 {
    let have = values.len();
    if rows <= have {
        return match figure {
            Figure::Quantile(_, percent) => values.value_at_quantile(percent / 100.0) as f64,
            Figure::Mean(_) => values.mean(),
            _ => values.max() as f64,
        };
    }
    match figure {
        Figure::Quantile(_, percent) => {
            let rank = (percent / 100.0 * rows as f64).ceil().max(1.0);
            if rank > have as f64 {
                return f64::INFINITY;
            }
            values.value_at_quantile(rank / have as f64) as f64
        }
        _ => f64::INFINITY,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::clock::Moment;
    use crate::load::latency::Recorder;

    /// A run of so many seconds at 100 rows/s, in which the rows of second `s` took `latency_ms(s)`.
    pub fn outcome(seconds: u64, latency_ms: impl Fn(u64) -> i64) -> Outcome {
        let mut latency = Recorder::new(Duration::from_secs(1));
        for row in 0..seconds * 100 {
            latency.record(Moment(row as i64 * 10_000_000), latency_ms(row / 100) * 1_000_000);
        }
        let offered = seconds * 100;
        Outcome {
            setup: Setup {
                runs: vec!["7".into()],
                rate: 100.0,
                seconds: seconds as f64,
                workers: 1,
                ..Setup::default()
            },
            rows: RowCounts {
                offered,
                in_time: offered,
                queued: offered,
                queued_bytes: offered * 100,
                acknowledged: offered,
                acknowledged_in_window: offered,
                ..RowCounts::default()
            },
            received: Some(ReceivedRows {
                counts: ReceivedCounts {
                    rows: offered,
                    ..ReceivedCounts::default()
                },
                ..ReceivedRows::default()
            }),
            spans: BTreeMap::from([(Span::Latency, latency.finish())]),
            interval_seconds: 1,
            timeline: vec![],
            workers: vec![],
            remarks: vec![],
        }
    }

    #[test]
    fn figures_are_of_all_rows() {
        let outcome = outcome(20, |second| if second == 7 { 900 } else { 10 });
        let figure = |text: &str| outcome.figure(Figure::parse(text).unwrap());
        assert_eq!(
            (figure("throughput"), figure("lost"), figure("failed")),
            (Ok(100.0), Ok(0.0), Ok(0.0))
        );
        let (p50, p99) = (figure("p50").unwrap(), figure("p99").unwrap());
        assert!(
            (9_990.0..10_020.0).contains(&p50) && (899_000.0..901_000.0).contains(&p99),
            "{p50} {p99}"
        );
        assert_eq!(
            figure("end_to_end.p99"),
            Err("no row has a value of `end_to_end`".into())
        );
    }

    #[test]
    fn rows_that_were_not_written_took_forever() {
        let mut outcome = outcome(10, |second| second as i64 + 1);
        // A hundred more were due: 90.9 % have a value.
        outcome.rows.offered += 100;
        let figure = |text: &str| outcome.figure(Figure::parse(text).unwrap()).unwrap();
        let ms = |text: &str| (figure(text) / 1_000.0).round();
        assert_eq!((ms("p50"), ms("p90"), ms("p90.9")), (6.0, 10.0, 10.0));
        for text in ["p91", "p99", "max", "mean"] {
            assert_eq!(figure(text), f64::INFINITY, "{text}");
        }
        outcome.spans = BTreeMap::from([(Span::Latency, LatencyLog::default())]);
        assert_eq!(outcome.figure(Figure::Quantile(Span::Latency, 0.0)), Ok(f64::INFINITY));
    }

    #[test]
    fn parts_are_tenths_of_the_run() {
        let parts = outcome(20, |second| second as i64 / 2 + 1).parts(Figure::Max(Span::Latency));
        let ms: Vec<i64> = parts.iter().map(|us| (us / 1_000.0).round() as i64).collect();
        assert_eq!(ms, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert!(outcome(5, |_| 1).parts(Figure::Max(Span::Latency)).len() < PARTS);
    }

    #[test]
    fn an_outcome_reads_back() {
        let outcome = outcome(3, |_| 5);
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }
}
