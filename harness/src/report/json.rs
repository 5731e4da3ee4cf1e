//! The report a program reads: one JSON document.

use serde_json::{Value, json};

use super::{Entry, Report};
use crate::check::{Finding, Verdict};
use crate::judge::{Outcome, Status};

/// The report as JSON.
pub fn render(report: &Report) -> String {
    let document = json!({
        "passed": report.count(Status::Passed),
        "failed": report.count(Status::Failed),
        "could_not_run": report.count(Status::CouldNotRun),
        "scenarios": report.entries.iter().map(entry).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&document).expect("JSON values can be written") + "\n"
}

fn entry(entry: &Entry) -> Value {
    match entry {
        Entry::Ran { outcome, again } => ran(outcome, again.as_deref()),
        Entry::NotRun { name, reason } => {
            json!({ "scenario": name, "status": status(Status::CouldNotRun), "error": { "condition": null, "message": reason } })
        }
    }
}

fn ran(outcome: &Outcome, again: Option<&str>) -> Value {
    let error = outcome.run.error.as_ref();
    json!({
        "scenario": outcome.name,
        "title": outcome.title,
        "seed": outcome.seed,
        "status": status(outcome.status),
        "batches": outcome.run.batches.len(),
        "output_rows": outcome.run.batches.iter().map(|batch| batch.rows.num_rows()).sum::<usize>(),
        "error": error.map(|failure| json!({ "condition": failure.condition, "message": failure.message })),
        "checks": outcome.verdicts.iter().map(|(check, verdict)| verdict_of(check, verdict)).collect::<Vec<_>>(),
        "advice": outcome.advice,
        "again": again,
    })
}

fn verdict_of(check: &str, verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Passed => json!({ "check": check, "verdict": "passed" }),
        Verdict::NotJudged(reason) => json!({ "check": check, "verdict": "not judged", "reason": reason }),
        Verdict::Failed(findings) => {
            json!({ "check": check, "verdict": "failed", "findings": findings.iter().map(finding_of).collect::<Vec<_>>() })
        }
    }
}

fn finding_of(finding: &Finding) -> Value {
    json!({ "batch_id": finding.batch_id, "claim": finding.claim, "story": finding.story })
}

/// A status in one word.
fn status(status: Status) -> &'static str {
    match status {
        Status::Passed => "passed",
        Status::Failed => "failed",
        Status::CouldNotRun => "could not run",
    }
}
