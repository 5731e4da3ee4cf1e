//! Queries on the memory table answer what the scenario, or the oracle's table, says.

use serde_json::Value;

use super::{Check, Evidence, Finding, Verdict};
use crate::rows::{Row, compact, same_row, shown};
use crate::run::Failure;

/// What a follow-up query was answered, and what it must be.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The query.
    pub sql: String,
    /// The batch after which it was asked; `None`: at the end.
    pub after_batch: Option<u64>,
    /// What the system answered.
    pub actual: Result<Vec<Row>, Failure>,
    /// What it must answer; in this order if `ordered`.
    pub expected: Result<Vec<Row>, Failure>,
    /// Whether the query sorts.
    pub ordered: bool,
}

/// Compares answers.
pub(super) struct FollowUps;

impl Check for FollowUps {
    fn name(&self) -> &'static str {
        "follow-up"
    }

    fn judge(&self, evidence: &Evidence) -> Verdict {
        let last = evidence.expectation.run.batches.last().map(|batch| batch.batch_id);
        let judge = |answer: &Answer| match answer.after_batch {
            // At the end the table may hold the same rows by chance.
            Some(after) if Some(after) > last && evidence.incomparable().is_none() => {
                let last = last.map_or("none ran".to_string(), |last| format!("the last one is {last}"));
                Some(Finding::of_run(format!(
                    "a question is asked after batch {after}, and {last}"
                )))
            }
            _ => judge_answer(answer),
        };
        Verdict::of(evidence.answers.iter().filter_map(judge).collect())
    }
}

fn judge_answer(answer: &Answer) -> Option<Finding> {
    let (actual, expected) = match (&answer.actual, &answer.expected) {
        (Ok(actual), Ok(expected)) => (sorted(actual, answer.ordered), sorted(expected, answer.ordered)),
        (Err(actual), Err(expected)) if actual.condition == expected.condition => return None,
        (Err(failure), _) => return Some(finding(answer, format!("the answer is an error: {}", failure.message))),
        (Ok(_), Err(failure)) => {
            return Some(finding(
                answer,
                format!("the answer must be an error: {}", failure.message),
            ));
        }
    };
    let same = actual.len() == expected.len() && actual.iter().zip(&expected).all(|(a, b)| same_row(a, b));
    if same {
        return None;
    }
    let claim = match (actual.len(), expected.len()) {
        (actual, expected) if actual == expected => "the answer is wrong".to_string(),
        (1, expected) => format!("1 row answers, and it must be {expected}"),
        (actual, expected) => format!("{actual} rows answer, and it must be {expected}"),
    };
    let mut finding = finding(answer, claim);
    finding.story.push(format!(
        "query     {}",
        answer.sql.split_whitespace().collect::<Vec<_>>().join(" ")
    ));
    finding
        .story
        .extend(expected.iter().map(|row| format!("expected  {}", line(row))));
    finding
        .story
        .extend(actual.iter().map(|row| format!("actual    {}", line(row))));
    Some(finding)
}

fn finding(answer: &Answer, claim: String) -> Finding {
    Finding {
        batch_id: answer.after_batch,
        claim,
        story: Vec::new(),
    }
}

fn sorted(rows: &[Row], ordered: bool) -> Vec<Row> {
    let mut rows = rows.to_vec();
    if !ordered {
        rows.sort_by_cached_key(compact);
    }
    rows
}

fn line(row: &[Value]) -> String {
    row.iter().map(shown).collect::<Vec<_>>().join(", ")
}
