//! Whether a run means anything, and whether it kept what was asked for.
//!
//! A run whose rows could not be offered as intended is *invalid*: it says nothing about the rate it was to test, however
//! good its latencies look. What makes figures doubtful without spoiling them is a remark.

use super::baseline::Change;
use super::cost::{MACHINE_BUSY, NEAR_CEILING};
use super::figure::{Figure, shown_count, shown_micros, shown_short};
use super::latency::Span;
use super::outcome::Outcome;
use super::slo::{Kept, Slo};

/// The share of the rows due that must be queued before the measured part ends.
const IN_TIME: f64 = 0.99;
/// From this share of a latency on, the tool's own lateness is worth a remark.
const OWN_SHARE: f64 = 0.1;
/// Lateness below this is none, in microseconds.
const OWN_LATENESS_US: f64 = 1_000.0;

/// What is to be said of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Why it means nothing, if so.
    pub invalid: Option<String>,
    /// What became of the objectives.
    pub slos: Vec<(Slo, Kept)>,
    /// What to know before one believes the figures.
    pub remarks: Vec<String>,
    /// Comparison with a stored run.
    pub changes: Vec<Change>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every objective was kept.
    Passed,
    /// An objective was missed.
    Failed,
    /// The rate was not offered, or no row was written; whatever the objectives say.
    Invalid,
}

impl Ending {
    /// 0 passed, 1 an objective was missed, 3 invalid; 2 is kept for what could not run.
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Passed => 0,
            Ending::Failed => 1,
            Ending::Invalid => 3,
        }
    }
}

/// Figures that are compared with a stored run's.
const COMPARED: [Figure; 6] = [
    Figure::Quantile(Span::Latency, 50.0),
    Figure::Quantile(Span::Latency, 99.0),
    Figure::Quantile(Span::Latency, 99.9),
    Figure::Max(Span::Latency),
    Figure::Quantile(Span::EndToEnd, 99.0),
    Figure::Throughput,
];

impl Verdict {
    /// Judges a run, and compares it with a stored one.
    pub fn of(outcome: &Outcome, slos: &[Slo], baseline: Option<&Outcome>) -> Verdict {
        let stored =
            |figure: Figure| baseline.map_or_else(|| Err("there is no stored run".into()), |run| run.figure(figure));
        let judge = |slo: &Slo| (slo.clone(), slo.judge(|figure| outcome.figure(figure), stored));
        let mut remarks = outcome.remarks.clone();
        remarks.extend(remarks_on(outcome));
        Verdict {
            invalid: nothing_written(outcome).or_else(|| missed_rate(outcome)),
            slos: slos.iter().map(judge).collect(),
            remarks,
            changes: baseline.map_or_else(Vec::new, |baseline| changes(outcome, baseline)),
        }
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        match self {
            _ if self.invalid.is_some() => Ending::Invalid,
            _ if self.slos.iter().any(|(_, kept)| !matches!(kept, Kept::Yes(_))) => Ending::Failed,
            _ => Ending::Passed,
        }
    }
}

fn changes(outcome: &Outcome, baseline: &Outcome) -> Vec<Change> {
    let change = |figure: Figure| {
        let finite = |run: &Outcome| run.figure(figure).ok().filter(|value| value.is_finite());
        let (now, then) = (finite(outcome)?, finite(baseline)?);
        Some(Change::of(
            figure,
            now,
            then,
            &outcome.parts(figure),
            &baseline.parts(figure),
        ))
    };
    COMPARED.into_iter().filter_map(change).collect()
}

/// Why no row was written, if so.
fn nothing_written(outcome: &Outcome) -> Option<String> {
    let rows = &outcome.rows;
    (rows.acknowledged == 0 && rows.offered > 0).then(|| {
        let most = rows.failed.iter().max_by_key(|(_, count)| **count);
        let why = most.map_or_else(String::new, |(reason, _)| format!(": {reason}"));
        format!("no row was written{why}")
    })
}

/// Why rows were not offered as intended, if so.
fn missed_rate(outcome: &Outcome) -> Option<String> {
    let rows = &outcome.rows;
    if rows.offered == 0 {
        return Some("no row was due in the measured part".into());
    }
    let share = rows.in_time as f64 / rows.offered as f64;
    (share < IN_TIME).then(|| {
        format!(
            "{} of {} rows were queued in time, {:.1} %: {}; nothing is known about {} rows/s",
            shown_count(rows.in_time as f64),
            shown_count(rows.offered as f64),
            share * 100.0,
            cause(outcome),
            shown_short(outcome.setup.rate)
        )
    })
}

/// What kept rows from being queued.
fn cause(outcome: &Outcome) -> String {
    let run_ns = outcome.setup.seconds * 1e9 * f64::from(outcome.setup.workers.max(1));
    let share = |ns: i64| ns as f64 / run_ns * 100.0;
    let (full, awaited) = (share(outcome.rows.queue_full_ns), share(outcome.rows.rows_awaited_ns));
    let throughput = outcome.figure(Figure::Throughput).unwrap_or(0.0);
    if full >= 5.0 && full >= awaited {
        return format!(
            "the producer's queue was full {full:.0} % of the time, since {} rows/s were acknowledged",
            shown_short(throughput)
        );
    }
    if awaited >= 50.0 {
        return format!("making rows took {awaited:.0} % of the time; take more workers, or simpler rows");
    }
    let nearest = outcome
        .workers
        .iter()
        .max_by(|a, b| a.nearness().total_cmp(&b.nearness()));
    let Some((name, share)) = nearest.and_then(|worker| worker.cost.busiest()) else {
        return "the tool could not keep up; take more workers".into();
    };
    let machine = nearest.and_then(|worker| worker.cost.machine_busy).unwrap_or(0.0);
    if machine >= MACHINE_BUSY && share < NEAR_CEILING {
        return format!(
            "this machine's cores were {:.0} % in use, and left the tool's busiest thread, {name}, {:.0} % of one; run the tool \
             elsewhere than the brokers",
            machine * 100.0,
            share * 100.0
        );
    }
    format!(
        "the tool could not keep up, its busiest thread {name} ran {:.0} % of the time; take more workers",
        share * 100.0
    )
}

fn remarks_on(outcome: &Outcome) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(near_ceiling(outcome));
    remarks.extend(own_lateness(outcome));
    if outcome.rows.failed() + outcome.rows.unsent > 0 {
        remarks.push("rows that failed or were never queued count in the latencies as if they took forever".into());
    }
    if let Some(received) = &outcome.received {
        if received.comparison.failed_but_there > 0 {
            remarks.push(format!(
                "{} rows are there although their producer was not told so: it gave them up before their acknowledgement came",
                shown_count(received.comparison.failed_but_there as f64)
            ));
        }
        remarks.extend(
            received
                .incomplete
                .iter()
                .map(|why| format!("not all rows could be read back: {why}")),
        );
    }
    remarks
}

fn near_ceiling(outcome: &Outcome) -> Vec<String> {
    let mut remarks = Vec::new();
    for worker in outcome
        .workers
        .iter()
        .filter(|worker| worker.nearness() >= NEAR_CEILING)
    {
        let ceiling = worker.rows_per_second().unwrap_or(0.0);
        let thread = worker
            .cost
            .busiest()
            .map_or_else(String::new, |(name, _)| format!(", at thread {name}"));
        remarks.push(format!(
            "near the tool's own ceiling: {:.0} % of {} rows/s a worker{thread}; figures may be the tool's, take more workers",
            worker.nearness() * 100.0,
            shown_short(ceiling)
        ));
    }
    let busy = outcome
        .workers
        .iter()
        .filter_map(|worker| worker.cost.machine_busy)
        .fold(0.0, f64::max);
    if busy >= MACHINE_BUSY {
        remarks.push(format!(
            "this machine's cores were {:.0} % in use: what runs here, the tool and perhaps the broker, waited for them",
            busy * 100.0
        ));
    }
    remarks
}

fn own_lateness(outcome: &Outcome) -> Option<String> {
    let p99 = |span| outcome.figure(Figure::Quantile(span, 99.0)).ok();
    let (own, latency) = (p99(Span::Schedule)?, p99(Span::Latency)?);
    (own.is_finite() && own >= OWN_LATENESS_US && own >= latency * OWN_SHARE).then(|| {
        format!(
            "one row in a hundred was queued {} late or more: of the p99 of {}, so much is the wait before the send",
            shown_micros(own),
            shown_micros(latency)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::cost::{Cost, ThreadCost};
    use crate::load::outcome::tests::outcome;

    fn verdict(outcome: &Outcome, slos: &[&str]) -> Verdict {
        let slos: Vec<Slo> = slos.iter().map(|slo| Slo::parse(slo).unwrap()).collect();
        Verdict::of(outcome, &slos, None)
    }

    #[test]
    fn a_run_that_wrote_nothing_is_invalid_and_says_why() {
        let mut outcome = outcome(10, |_| 5);
        outcome.rows.acknowledged = 0;
        outcome.rows.failed.insert("no room".into(), 1_000);
        let verdict = verdict(&outcome, &["lost == 0"]);
        assert_eq!(verdict.ending(), Ending::Invalid);
        assert_eq!(verdict.invalid.as_deref(), Some("no row was written: no room"));
    }

    #[test]
    fn objectives_decide_the_ending() {
        let outcome = outcome(10, |_| 5);
        for (slos, ending, code) in [
            (vec![], Ending::Passed, 0),
            (vec!["p99 < 20ms", "lost == 0"], Ending::Passed, 0),
            (vec!["p99 < 20ms", "p50 < 1ms"], Ending::Failed, 1),
            (vec!["end_to_end.p99 < 1s"], Ending::Failed, 1),
        ] {
            let verdict = verdict(&outcome, &slos);
            assert_eq!(
                (verdict.ending(), verdict.ending().exit_code()),
                (ending, code),
                "{slos:?}"
            );
        }
    }

    #[test]
    fn a_missed_rate_is_invalid_whatever_the_objectives_say() {
        let mut outcome = outcome(10, |_| 5);
        outcome.rows.in_time = 989;
        outcome.rows.queue_full_ns = 6_000_000_000;
        outcome.rows.acknowledged_in_window = 500;
        let verdict = verdict(&outcome, &["p99 < 20ms"]);
        assert_eq!((verdict.ending(), verdict.ending().exit_code()), (Ending::Invalid, 3));
        insta::assert_snapshot!(verdict.invalid.unwrap(), @"989 of 1,000 rows were queued in time, 98.9 %: the producer's queue was full 60 % of the time, since 50 rows/s were acknowledged; nothing is known about 100 rows/s");
        outcome.rows.in_time = 990;
        assert_eq!(missed_rate(&outcome), None);
    }

    #[test]
    fn an_invalid_run_says_whether_rows_or_the_tool_were_too_slow() {
        let mut slow = outcome(10, |_| 5);
        slow.rows.in_time = 500;
        slow.rows.rows_awaited_ns = 8_000_000_000;
        let made = missed_rate(&slow).unwrap();
        assert!(made.contains("making rows took 80 % of the time"), "{made}");
        slow.rows.rows_awaited_ns = 0;
        slow.workers = vec![near()];
        let tool = missed_rate(&slow).unwrap();
        slow.workers[0].cost.threads[0].cpu_seconds = 3.0;
        let machine = missed_rate(&slow).unwrap();
        assert!(machine.contains("cores were 95 % in use, and left"), "{machine}");
        assert!(
            tool.contains("its busiest thread skirl-send ran 90 % of the time"),
            "{tool}"
        );
    }

    fn near() -> crate::load::cost::Ceiling {
        let threads = vec![ThreadCost {
            name: "skirl-send".into(),
            cpu_seconds: 9.0,
        }];
        crate::load::cost::Ceiling {
            alone: 1e6,
            rows: 9_000,
            cost: Cost {
                seconds: 10.0,
                threads,
                machine_busy: Some(0.95),
            },
        }
    }

    #[test]
    fn a_run_near_the_tools_ceiling_is_marked() {
        let mut outcome = outcome(10, |_| 5);
        assert_eq!(verdict(&outcome, &[]).remarks, Vec::<String>::new());
        outcome.workers = vec![near()];
        insta::assert_snapshot!(verdict(&outcome, &[]).remarks.join("\n"), @r#"
        near the tool's own ceiling: 90 % of 1.0 k rows/s a worker, at thread skirl-send; figures may be the tool's, take more workers
        this machine's cores were 95 % in use: what runs here, the tool and perhaps the broker, waited for them
        "#);
    }

    #[test]
    fn rows_that_could_not_be_read_back_are_not_called_lost() {
        let mut outcome = outcome(10, |_| 5);
        outcome.received.as_mut().unwrap().incomplete = Some("the log begins at 500".into());
        let verdict = verdict(&outcome, &["lost == 0"]);
        assert_eq!(verdict.ending(), Ending::Failed);
        assert!(matches!(&verdict.slos[0].1, Kept::Unknown(why) if why.contains("the log begins at 500")));
    }

    #[test]
    fn a_slower_run_is_beyond_noise_and_a_like_one_is_not() {
        let then = outcome(20, |second| 10 + (second as i64 * 7) % 3);
        let like = Verdict::of(&outcome(20, |second| 10 + (second as i64 * 5) % 3), &[], Some(&then));
        let slower = Verdict::of(&outcome(20, |second| 14 + (second as i64 * 7) % 3), &[], Some(&then));
        let p50 = |verdict: &Verdict| verdict.changes[0].beyond_noise;
        assert_eq!((p50(&like), p50(&slower)), (Some(false), Some(true)));
    }
}
