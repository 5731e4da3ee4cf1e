//! The report a person reads.

use std::fmt::Write;

use super::{Entry, Paint, Report};
use crate::check::{Finding, Verdict};
use crate::judge::{Outcome, Status};

/// A report shows so many findings of a check in full.
const FINDINGS_SHOWN: usize = 5;

/// The report as text.
pub fn render(report: &Report, paint: Paint) -> String {
    let mut text = String::new();
    for entry in &report.entries {
        match entry {
            Entry::Ran { outcome, again } => render_outcome(outcome, again.as_deref(), paint, &mut text),
            Entry::NotRun { name, reason } => {
                line(&mut text, &format!("{} {name}: could not run", paint.bad("ERROR")));
                reason
                    .lines()
                    .for_each(|reason| line(&mut text, &format!("      {reason}")));
            }
        }
    }
    line(&mut text, &summary(report));
    text
}

/// `41 scenarios: 40 passed, 1 failed`.
pub fn summary(report: &Report) -> String {
    let total = report.entries.len();
    let mut summary = format!("{total} scenario{}", if total == 1 { "" } else { "s" });
    let counts = [
        (Status::Passed, "passed"),
        (Status::Failed, "failed"),
        (Status::CouldNotRun, "could not run"),
    ];
    let parts: Vec<String> = counts
        .into_iter()
        .map(|(status, word)| (report.count(status), word))
        .filter(|(count, word)| *count > 0 || *word == "passed")
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    write!(summary, ": {}", parts.join(", ")).expect("writing to a string cannot fail");
    summary
}

fn render_outcome(outcome: &Outcome, again: Option<&str>, paint: Paint, text: &mut String) {
    let (word, note) = match outcome.status {
        Status::Passed => (paint.good("ok   "), String::new()),
        Status::Failed => (paint.bad("FAIL "), format!(" (seed {})", outcome.seed)),
        Status::CouldNotRun => (paint.bad("ERROR"), ": could not run".to_string()),
    };
    let title = if outcome.title.is_empty() {
        String::new()
    } else {
        format!(": {}", outcome.title)
    };
    line(text, &format!("{word} {}{title}{note}", outcome.name));
    if outcome.status == Status::CouldNotRun
        && let Some(failure) = &outcome.run.error
    {
        line(text, &format!("      {}", failure.message));
    }
    for (check, verdict) in &outcome.verdicts {
        match verdict {
            Verdict::Failed(findings) => render_findings(check, findings, text),
            Verdict::NotJudged(reason) if outcome.status == Status::CouldNotRun && *check == "output" => {
                line(text, &format!("      {reason}"));
            }
            _ => {}
        }
    }
    for advice in &outcome.advice {
        line(text, &format!("      {} {advice}", paint.notable("advice:")));
    }
    if let Some(again) = again {
        line(text, &format!("      again: {again}"));
    }
}

fn render_findings(check: &str, findings: &[Finding], text: &mut String) {
    for finding in findings.iter().take(FINDINGS_SHOWN) {
        line(text, &format!("      {}", finding.headline(check)));
        finding
            .story
            .iter()
            .for_each(|told| line(text, &format!("        {told}")));
    }
    if findings.len() > FINDINGS_SHOWN {
        line(
            text,
            &format!("      {check}: and {} more", findings.len() - FINDINGS_SHOWN),
        );
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
