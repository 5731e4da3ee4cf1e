//! Several runs as one: those of machines that loaded the same brokers at the same time.
//!
//! Histograms are added interval by interval, which loses nothing. Each machine reads back the rows it sent itself, so an
//! end-to-end latency is taken with one machine's clock, and the clocks of different machines are never compared.

use std::collections::BTreeMap;

use super::figure::shown_count;
use super::latency::{LatencyLog, Span};
use super::outcome::{Outcome, ReceivedRows, RowCounts, Sample, Setup};
use super::tally::Counts;

/// Runs that began further apart than this share of their length did not load the brokers together.
const APART: f64 = 0.1;

/// The runs as one. Each comes with what it is called in messages, usually its file.
///
/// # Errors
/// Runs that cannot be added up: of different lengths, or of the same id.
pub fn merge(runs: &[(String, Outcome)]) -> Result<Outcome, String> {
    let Some((_, first)) = runs.first() else {
        return Err("there is no run to merge".into());
    };
    refuse_misfits(runs)?;
    let outcomes: Vec<&Outcome> = runs.iter().map(|(_, outcome)| outcome).collect();
    let mut spans = BTreeMap::new();
    for span in Span::ALL {
        let logs: Vec<&LatencyLog> = outcomes.iter().filter_map(|outcome| outcome.spans.get(&span)).collect();
        if !logs.is_empty() {
            spans.insert(span, LatencyLog::merged(&logs)?);
        }
    }
    let mut rows = RowCounts::default();
    outcomes.iter().for_each(|outcome| rows.add(&outcome.rows));
    Ok(Outcome {
        setup: setup(&outcomes),
        rows,
        received: received(&outcomes),
        spans,
        interval_seconds: first.interval_seconds,
        timeline: timeline(&outcomes),
        workers: outcomes.iter().flat_map(|outcome| outcome.workers.clone()).collect(),
        remarks: remarks(runs),
    })
}

fn refuse_misfits(runs: &[(String, Outcome)]) -> Result<(), String> {
    let (first_name, first) = &runs[0];
    for (index, (name, run)) in runs.iter().enumerate().skip(1) {
        if run.setup.seconds.round() != first.setup.seconds.round() || run.interval_seconds != first.interval_seconds {
            return Err(format!(
                "{first_name} measured {} s and {name} {} s; merge runs of one length",
                first.setup.seconds, run.setup.seconds
            ));
        }
        let twice = runs[..index]
            .iter()
            .find(|(_, other)| other.setup.runs.iter().any(|id| run.setup.runs.contains(id)));
        if let Some((other, _)) = twice {
            return Err(format!("{other} and {name} hold the same run; name each run once"));
        }
    }
    Ok(())
}

fn setup(outcomes: &[&Outcome]) -> Setup {
    let first = &outcomes[0].setup;
    let all = || outcomes.iter().map(|outcome| &outcome.setup);
    let mut topics = first.topics.clone();
    for topic in all().flat_map(|setup| &setup.topics) {
        if !topics.iter().any(|known| known.name == topic.name) {
            topics.push(topic.clone());
        }
    }
    Setup {
        runs: all().flat_map(|setup| setup.runs.clone()).collect(),
        topics,
        pace: together(all().map(|setup| &setup.pace)),
        row_kind: together(all().map(|setup| &setup.row_kind)),
        rate: all().map(|setup| setup.rate).sum(),
        workers: all().map(|setup| setup.workers).sum(),
        clock_error_us: all().map(|setup| setup.clock_error_us).max().unwrap_or(0),
        ..first.clone()
    }
}

/// Different words, each once, with how often it was said.
fn together<'a>(words: impl Iterator<Item = &'a String>) -> String {
    let mut counts: Vec<(&String, usize)> = Vec::new();
    for word in words {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => counts.push((word, 1)),
        }
    }
    let said = counts.into_iter().map(|(word, count)| {
        if count > 1 {
            format!("{count} x {word}")
        } else {
            word.clone()
        }
    });
    said.collect::<Vec<_>>().join(", ")
}

/// What all consumers found; nothing unless every run had one.
fn received(outcomes: &[&Outcome]) -> Option<ReceivedRows> {
    let all: Option<Vec<&ReceivedRows>> = outcomes.iter().map(|outcome| outcome.received.as_ref()).collect();
    let mut sum = ReceivedRows::default();
    for received in all? {
        sum.counts.rows += received.counts.rows;
        sum.counts.duplicates += received.counts.duplicates;
        sum.counts.reordered += received.counts.reordered;
        sum.counts.foreign += received.counts.foreign;
        sum.comparison.lost += received.comparison.lost;
        sum.comparison.examples.extend(&received.comparison.examples);
        sum.comparison.failed_but_there += received.comparison.failed_but_there;
        sum.lag_max += received.lag_max;
        sum.lag_at_end += received.lag_at_end;
        sum.incomplete = sum.incomplete.or_else(|| received.incomplete.clone());
    }
    Some(sum)
}

fn timeline(outcomes: &[&Outcome]) -> Vec<Sample> {
    let mut intervals: BTreeMap<u64, Vec<Counts>> = BTreeMap::new();
    for sample in outcomes.iter().flat_map(|outcome| &outcome.timeline) {
        intervals.entry(sample.interval).or_default().push(sample.counts);
    }
    let sample = |(interval, counts)| Sample {
        interval,
        counts: Counts::together(counts),
    };
    intervals.into_iter().map(sample).collect()
}

fn remarks(runs: &[(String, Outcome)]) -> Vec<String> {
    let mut remarks: Vec<String> = runs
        .iter()
        .flat_map(|(name, run)| run.remarks.iter().map(move |remark| format!("{name}: {remark}")))
        .collect();
    let starts = || runs.iter().map(|(_, run)| run.setup.start_wall_ns);
    let apart_s = (starts().max().unwrap_or(0) - starts().min().unwrap_or(0)) as f64 / 1e9;
    if apart_s > runs[0].1.setup.seconds * APART {
        remarks.push(format!(
            "the runs began {apart_s:.1} s apart by their machines' clocks, so they did not load the brokers together all \
             the time; `--start-at` gives them a common start"
        ));
    }
    let first = &runs[0].1.setup.producer;
    for (name, run) in &runs[1..] {
        let other = &run.setup.producer;
        let differing = first
            .iter()
            .filter(|(property, value)| other.get(*property) != Some(value));
        let differing: Vec<&str> = differing.map(|(property, _)| property.as_str()).collect();
        if !differing.is_empty() {
            remarks.push(format!(
                "{name} was run with another {} than {}",
                differing.join(", "),
                runs[0].0
            ));
        }
    }
    if runs.iter().any(|(_, run)| run.received.is_none()) && runs.iter().any(|(_, run)| run.received.is_some()) {
        let reading = runs.iter().filter(|(_, run)| run.received.is_some()).count();
        remarks.push(format!(
            "{} of {} runs read their rows back: nothing is said about lost rows",
            shown_count(reading as f64),
            runs.len()
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::figure::Figure;
    use crate::load::outcome::tests::outcome;

    fn named(name: &str, id: &str, latency_ms: i64) -> (String, Outcome) {
        let mut outcome = outcome(10, |_| latency_ms);
        outcome.setup.runs = vec![id.into()];
        (name.into(), outcome)
    }

    #[test]
    fn merged_runs_have_the_rows_and_latencies_of_both() {
        let (one, other) = (named("a.json", "1", 10), named("b.json", "2", 30));
        let merged = merge(&[one.clone(), other.clone()]).unwrap();
        assert_eq!(
            (merged.rows.offered, merged.setup.rate, merged.setup.workers),
            (2_000, 200.0, 2)
        );
        assert_eq!(merged.figure(Figure::Throughput), Ok(200.0));
        let mut both = one.1.spans[&Span::Latency].total().unwrap();
        both.add(other.1.spans[&Span::Latency].total().unwrap()).unwrap();
        assert_eq!(merged.spans[&Span::Latency].total().unwrap(), both);
        assert_eq!(merged.received.unwrap().counts.rows, 2_000);
    }

    #[test]
    fn runs_that_cannot_be_added_up_are_refused() {
        let (one, other) = (named("a.json", "1", 10), ("b.json".to_string(), outcome(5, |_| 1)));
        let message = merge(&[one.clone(), other]).unwrap_err();
        assert_eq!(message, "a.json measured 10 s and b.json 5 s; merge runs of one length");
        let twice = merge(&[one.clone(), ("c.json".into(), one.1)]).unwrap_err();
        assert_eq!(twice, "a.json and c.json hold the same run; name each run once");
    }

    #[test]
    fn what_makes_runs_differ_is_said() {
        let (one, mut other) = (named("a.json", "1", 10), named("b.json", "2", 30));
        other.1.setup.start_wall_ns = 5_000_000_000;
        other.1.setup.producer.insert("acks".into(), "1".into());
        let mut one = one;
        one.1.setup.producer.insert("acks".into(), "-1".into());
        other.1.received = None;
        let merged = merge(&[one, other]).unwrap();
        assert_eq!(merged.received, None);
        insta::assert_snapshot!(merged.remarks.join("\n"), @r#"
        the runs began 5.0 s apart by their machines' clocks, so they did not load the brokers together all the time; `--start-at` gives them a common start
        b.json was run with another acks than a.json
        1 of 2 runs read their rows back: nothing is said about lost rows
        "#);
    }
}
