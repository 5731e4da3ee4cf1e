//! A run as a person reads it: latencies first, then what became of the rows, then what to know before one believes it.

use std::fmt::Write;

use super::Report;
use crate::load::baseline::Change;
use crate::load::cost::Ceiling;
use crate::load::figure::{Figure, shown, shown_bytes, shown_count, shown_micros, shown_short};
use crate::load::latency::Span;
use crate::load::outcome::{Outcome, Setup};
use crate::load::slo::Kept;
use crate::load::verdict::{Ending, Verdict};
use crate::report::Paint;

/// Reasons for failed rows that are named.
const REASONS: usize = 3;

/// The report as text.
pub fn render(report: &Report, paint: Paint) -> String {
    let (outcome, verdict) = (&report.outcome, &report.verdict);
    let mut text = head(&outcome.setup);
    text.push_str(&latencies(outcome));
    text.push_str(&rows(outcome));
    text.push_str(&tool(outcome));
    text.push_str(&setup(&outcome.setup));
    for change in &verdict.changes {
        let _ = writeln!(text, "{}", compared(change, paint));
    }
    for remark in &verdict.remarks {
        let _ = writeln!(text, "{} {remark}", paint.notable("note"));
    }
    text.push_str(&objectives(verdict, paint));
    text
}

fn head(setup: &Setup) -> String {
    let topics: Vec<&str> = setup.topics.iter().map(|topic| topic.name.as_str()).collect();
    let workers = if setup.workers > 1 {
        format!(", {} workers", setup.workers)
    } else {
        String::new()
    };
    let warm_up = match setup.warm_up_seconds {
        0.0 => "without warm-up".to_string(),
        seconds => format!("after {} of warm-up", shown_seconds(seconds)),
    };
    format!(
        "run {} to {} at {}: {}, {} rows/s on average for {} {warm_up}{workers}\n\n",
        setup.runs.join(" + "),
        topics.join(", "),
        setup.bootstrap,
        setup.pace,
        shown_short(setup.rate),
        shown_seconds(setup.seconds),
    )
}

/// Seconds to the millisecond: `60 s`, `0.3 s`.
fn shown_seconds(seconds: f64) -> String {
    format!("{} s", (seconds * 1e3).round() / 1e3)
}

fn latencies(outcome: &Outcome) -> String {
    const PERCENTS: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 99.99];
    let mut text = format!("{:<12}", "");
    for percent in PERCENTS {
        let _ = write!(text, "{:>10}", format!("p{percent}"));
    }
    let _ = writeln!(text, "{:>10}{:>10}", "max", "mean");
    for (span, name, meaning) in [
        (
            Span::Latency,
            "latency",
            "from the intended time to the acknowledgement",
        ),
        (Span::Service, "service", "from the actual send to the acknowledgement"),
        (Span::Schedule, "schedule", "from the intended time to the actual send"),
        (Span::EndToEnd, "end to end", "from the intended time to the consumer"),
    ] {
        let value = |figure: Figure| outcome.figure(figure).map_or_else(|_| "-".into(), shown_micros);
        if outcome.figure(Figure::Max(span)).is_err() {
            continue;
        }
        let _ = write!(text, "{name:<12}");
        for percent in PERCENTS {
            let _ = write!(text, "{:>10}", value(Figure::Quantile(span, percent)));
        }
        let _ = writeln!(
            text,
            "{:>10}{:>10}  {meaning}",
            value(Figure::Max(span)),
            value(Figure::Mean(span))
        );
    }
    if outcome.spans.contains_key(&Span::EndToEnd) {
        text.push_str(&clocks(&outcome.setup));
    }
    text.push('\n');
    text
}

fn clocks(setup: &Setup) -> String {
    match (setup.runs.len(), setup.clock_error_us) {
        (1, 0) => "            end to end: sent and received by one clock\n".into(),
        (1, error) => {
            format!("            end to end: by one machine's clock, read by several processes within {error} us\n")
        }
        (_, error) => format!(
            "            end to end: each machine received the rows it sent, so no two machines' clocks are compared; within \
             {error} us\n"
        ),
    }
}

fn rows(outcome: &Outcome) -> String {
    let rows = &outcome.rows;
    let count = |count: u64| shown_count(count as f64);
    let mut text = format!(
        "rows        {} offered, {} queued in time, {} never queued; {} queued in all, {} acknowledged, {} failed\n",
        count(rows.offered),
        count(rows.in_time),
        count(rows.unsent),
        count(rows.queued),
        count(rows.acknowledged),
        count(rows.failed())
    );
    let mut reasons: Vec<(&String, &u64)> = rows.failed.iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (reason, failed) in reasons.into_iter().take(REASONS) {
        let _ = writeln!(text, "            {} failed: {reason}", count(*failed));
    }
    match &outcome.received {
        None => text.push_str("received    not read back: nothing is known about lost, doubled and reordered rows\n"),
        Some(received) => {
            let lost = match &received.incomplete {
                None => format!("{} lost", count(received.comparison.lost)),
                Some(_) => "lost rows not known".into(),
            };
            let counts = &received.counts;
            let _ = writeln!(
                text,
                "received    {}; {lost}, {} duplicates, {} reordered, {} of other producers; lag at most {} rows, {} at the end",
                count(counts.rows),
                count(counts.duplicates),
                count(counts.reordered),
                count(counts.foreign),
                count(received.lag_max),
                count(received.lag_at_end)
            );
            let examples: Vec<String> = received
                .comparison
                .examples
                .iter()
                .map(|(worker, row)| format!("{worker}/{row}"))
                .collect();
            if !examples.is_empty() && received.incomplete.is_none() {
                let _ = writeln!(text, "            lost (worker/row): {}", examples.join(", "));
            }
        }
    }
    let throughput = outcome.figure(Figure::Throughput).unwrap_or(0.0);
    let _ = writeln!(
        text,
        "throughput  {} rows/s, {}/s acknowledged",
        shown_short(throughput),
        shown_bytes(throughput * rows.bytes_per_row())
    );
    text
}

fn tool(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (index, worker) in outcome.workers.iter().enumerate() {
        let name = if outcome.workers.len() > 1 {
            format!("tool {index}")
        } else {
            "tool".to_string()
        };
        let _ = writeln!(text, "{name:<12}{}", ceiling(worker));
    }
    text
}

fn ceiling(worker: &Ceiling) -> String {
    let mut parts = Vec::new();
    if let (Some((name, share)), Some(ceiling)) = (worker.cost.busiest(), worker.rows_per_second()) {
        parts.push(format!(
            "busiest thread {name} {:.0} % of a core, ceiling at least {} rows/s",
            share * 100.0,
            shown_short(ceiling)
        ));
    }
    if let Some(cpu) = worker.cpu_us_per_row() {
        parts.push(format!("{cpu:.2} us of CPU a row"));
    }
    parts.push(format!("without a broker {} rows/s", shown_short(worker.alone)));
    if let Some(busy) = worker.cost.machine_busy {
        parts.push(format!("machine {:.0} % busy", busy * 100.0));
    }
    parts.join("; ")
}

fn setup(setup: &Setup) -> String {
    let pairs = |settings: &std::collections::BTreeMap<String, String>| {
        settings
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut text = format!("row         {}\n", setup.row_kind);
    for topic in &setup.topics {
        let made = if topic.made {
            ", made for the run"
        } else {
            ", there before"
        };
        let _ = writeln!(
            text,
            "topic       {}: {} partitions on {} of {} brokers{made}; {}",
            topic.name,
            topic.partitions,
            topic.replicas,
            setup.brokers,
            pairs(&topic.settings)
        );
    }
    let _ = writeln!(
        text,
        "producer    {}\nversions    {}",
        pairs(&setup.producer),
        setup.versions
    );
    text
}

fn compared(change: &Change, paint: Paint) -> String {
    let unit = change.figure.unit();
    let ratio = change
        .ratio()
        .map_or_else(|| "-".into(), |ratio| format!("{ratio:.2} x"));
    let worse = if change.figure.is_better_high() {
        change.now < change.then
    } else {
        change.now > change.then
    };
    let noise = match change.beyond_noise {
        Some(true) if worse => paint.bad("worse, beyond noise"),
        Some(true) => paint.good("better, beyond noise"),
        Some(false) => "within noise".into(),
        None => "noise not known".into(),
    };
    format!(
        "compared    {} {} was {}: {ratio}, {noise}",
        change.figure,
        shown(change.now, unit),
        shown(change.then, unit)
    )
}

fn objectives(verdict: &Verdict, paint: Paint) -> String {
    let mut text = String::new();
    for (slo, kept) in &verdict.slos {
        let line = match kept {
            Kept::Yes(found) => format!("{}  {slo}: {found}", paint.good("PASS")),
            Kept::No(found) => format!("{}  {slo}: {found}", paint.bad("FAIL")),
            Kept::Unknown(why) => format!("{}  {slo}: not known, {why}", paint.bad("FAIL")),
        };
        let _ = writeln!(text, "{line}");
    }
    match verdict.ending() {
        Ending::Invalid => {
            let why = verdict.invalid.as_deref().unwrap_or_default();
            let _ = writeln!(text, "{}  {why}", paint.bad("INVALID"));
        }
        Ending::Passed if verdict.slos.is_empty() => text.push_str("no objective was given; see --slo\n"),
        Ending::Passed | Ending::Failed => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::TopicSetup;
    use crate::load::outcome::tests::outcome;
    use crate::load::slo::Slo;

    #[test]
    fn a_report_says_what_was_measured_and_how_far_to_believe_it() {
        let then = outcome(20, |_| 2);
        let mut outcome = outcome(20, |second| if second == 7 { 900 } else { 4 });
        outcome.setup.bootstrap = "localhost:9092".into();
        outcome.setup.brokers = 1;
        outcome.setup.warm_up_seconds = 0.3;
        outcome.setup.pace = "100/s".into();
        outcome.setup.row_kind = "random letters, 100 bytes, without keys".into();
        outcome.setup.producer.insert("acks".into(), "-1".into());
        outcome.setup.versions = "skirl 0.1.0, librdkafka 2.12.1".into();
        outcome.setup.topics = vec![TopicSetup {
            name: "orders".into(),
            made: true,
            partitions: 4,
            replicas: 1,
            settings: [("retention.bytes".into(), "268435456".into())].into(),
        }];
        let received = outcome.received.as_mut().unwrap();
        received.comparison.lost = 2;
        received.comparison.examples = vec![(0, 17), (0, 18)];
        let slos = [Slo::parse("p50 < 20ms").unwrap(), Slo::parse("lost == 0").unwrap()];
        let verdict = Verdict::of(&outcome, &slos, Some(&then));
        insta::assert_snapshot!(render(&Report { outcome, verdict }, Paint::PLAIN), @r#"
        run 7 to orders at localhost:9092: 100/s, 100 rows/s on average for 20 s after 0.3 s of warm-up

                           p50       p90       p99     p99.9    p99.99       max      mean
        latency        4.00 ms   4.00 ms    900 ms    900 ms    900 ms    900 ms   48.8 ms  from the intended time to the acknowledgement

        rows        2,000 offered, 2,000 queued in time, 0 never queued; 2,000 queued in all, 2,000 acknowledged, 0 failed
        received    2,000; 2 lost, 0 duplicates, 0 reordered, 0 of other producers; lag at most 0 rows, 0 at the end
                    lost (worker/row): 0/17, 0/18
        throughput  100 rows/s, 10.0 kB/s acknowledged
        row         random letters, 100 bytes, without keys
        topic       orders: 4 partitions on 1 of 1 brokers, made for the run; retention.bytes=268435456
        producer    acks=-1
        versions    skirl 0.1.0, librdkafka 2.12.1
        compared    p50 4.00 ms was 2.00 ms: 2.00 x, worse, beyond noise
        compared    p99 900 ms was 2.00 ms: 450.05 x, worse, beyond noise
        compared    p99.9 900 ms was 2.00 ms: 450.05 x, worse, beyond noise
        compared    max 900 ms was 2.00 ms: 450.05 x, worse, beyond noise
        compared    throughput 100 rows/s was 100 rows/s: 1.00 x, noise not known
        PASS  p50 < 20ms: 4.00 ms
        FAIL  lost == 0: 2
        "#);
    }
}
