//! A run as a build server reads it: a test case for the run itself, and one for each objective.

use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};

use super::Report;
use crate::load::slo::Kept;

/// The report as JUnit's XML.
pub fn render(report: &Report) -> String {
    let mut suite = TestSuite::new("skirl load");
    let text = super::text::render(report, crate::report::Paint::PLAIN);
    let mut offered = match &report.verdict.invalid {
        None => TestCase::new("the rate was offered", TestCaseStatus::success()),
        Some(why) => TestCase::new("the rate was offered", failure(NonSuccessKind::Error, why)),
    };
    offered.set_system_out(text);
    suite.add_test_case(offered);
    for (slo, kept) in &report.verdict.slos {
        let status = match kept {
            Kept::Yes(_) => TestCaseStatus::success(),
            Kept::No(found) => failure(NonSuccessKind::Failure, found),
            Kept::Unknown(why) => failure(NonSuccessKind::Failure, &format!("not known: {why}")),
        };
        suite.add_test_case(TestCase::new(slo.to_string(), status));
    }
    let mut junit = JUnit::new("skirl load");
    junit.add_test_suite(suite);
    junit.to_string().expect("a report in memory can be written")
}

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::outcome::tests::outcome;
    use crate::load::slo::Slo;
    use crate::load::verdict::Verdict;

    #[test]
    fn objectives_are_test_cases_and_an_invalid_run_is_an_error() {
        let mut outcome = outcome(3, |_| 5);
        outcome.rows.in_time = 10;
        let slos = [Slo::parse("p99 < 20ms").unwrap(), Slo::parse("p50 < 1ms").unwrap()];
        let verdict = Verdict::of(&outcome, &slos, None);
        let xml = render(&Report { outcome, verdict });
        assert!(
            xml.contains(r#"tests="3""#) && xml.contains(r#"errors="1""#) && xml.contains(r#"failures="1""#),
            "{xml}"
        );
        assert!(
            xml.contains("p99 &lt; 20ms") && xml.contains("10 of 300 rows were queued in time"),
            "{xml}"
        );
    }
}
