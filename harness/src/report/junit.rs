//! The report a build server reads: JUnit's XML, without times, so that it repeats.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{Entry, Report};
use crate::check::Verdict;
use crate::judge::{Outcome, Status};

/// The report as JUnit's XML.
pub fn render(report: &Report) -> String {
    let mut suite = TestSuite::new("skirl");
    for entry in &report.entries {
        suite.add_test_case(case_of(entry));
    }
    let mut junit = quick_junit::Report::new("skirl");
    junit.add_test_suite(suite);
    junit.to_string().expect("a report in memory can be written")
}

fn case_of(entry: &Entry) -> TestCase {
    match entry {
        Entry::Ran { outcome, again } => {
            let mut case = TestCase::new(outcome.name.as_str(), status_of(outcome));
            let story = story(outcome, again.as_deref());
            if !story.is_empty() {
                case.set_system_out(story);
            }
            case
        }
        Entry::NotRun { name, reason } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(reason.as_str());
            TestCase::new(name.as_str(), status)
        }
    }
}

fn status_of(outcome: &Outcome) -> TestCaseStatus {
    let kind = match outcome.status {
        Status::Passed => return TestCaseStatus::success(),
        Status::Failed => NonSuccessKind::Failure,
        Status::CouldNotRun => NonSuccessKind::Error,
    };
    let mut status = TestCaseStatus::non_success(kind);
    let claims = outcome.verdicts.iter().flat_map(|(check, verdict)| match verdict {
        Verdict::Failed(findings) => findings
            .iter()
            .map(|finding| format!("{check}: {}", finding.claim))
            .collect(),
        _ => Vec::new(),
    });
    let failure = outcome.run.error.iter().map(|failure| failure.message.clone());
    let unjudged = outcome.verdicts.iter().filter_map(|(_, verdict)| match verdict {
        Verdict::NotJudged(reason) => Some(reason.clone()),
        _ => None,
    });
    let message = match outcome.status {
        Status::CouldNotRun => failure.chain(unjudged).next(),
        _ => claims.chain(failure).next(),
    };
    status.set_message(message.unwrap_or_default());
    status
}

fn story(outcome: &Outcome, again: Option<&str>) -> String {
    let mut lines = Vec::new();
    for (check, verdict) in &outcome.verdicts {
        let Verdict::Failed(findings) = verdict else { continue };
        for finding in findings {
            lines.push(finding.headline(check));
            lines.extend(finding.story.iter().map(|line| format!("  {line}")));
        }
    }
    lines.extend(outcome.advice.iter().map(|advice| format!("advice: {advice}")));
    lines.extend(again.map(|again| format!("again: {again}")));
    lines.join("\n")
}
