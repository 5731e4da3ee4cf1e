//! Things about a query that are right and still not what its author may think.

use std::fmt;

use skirl_engine::OutputMode;

use super::derive::Derivation;
use super::tree::{JoinKind, Kind, Node};

/// A remark on a query; nothing of it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Complete mode keeps every group and counts every row, however late.
    CompleteDropsNothing,
    /// A watermark stands in the query, and no operator judges rows by it.
    WatermarkJudgesNothing,
    /// Update mode without an event time among the keys: groups are kept for ever.
    GroupsNeverEvicted,
    /// A side of a join whose rows are kept for ever.
    JoinSideNeverEvicted {
        /// The left side, or the right.
        left: bool,
    },
    /// A side of a join has an event time, but the query does not need the column, so late rows are not dropped.
    LatenessNotJudged {
        /// The left side, or the right.
        left: bool,
    },
    /// Rows that are in state at the end and can never leave: those whose event time is NULL, for example.
    StuckInState {
        /// What the operator is.
        operator: String,
        /// How many rows.
        rows: u64,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let side = |left: &bool| if *left { "left" } else { "right" };
        match self {
            Advice::CompleteDropsNothing => {
                write!(
                    f,
                    "the watermark drops nothing: complete mode counts every row, however late, and keeps every group"
                )
            }
            Advice::WatermarkJudgesNothing => {
                write!(
                    f,
                    "the watermark drops nothing: no operator of this query judges rows by it"
                )
            }
            Advice::GroupsNeverEvicted => {
                write!(
                    f,
                    "groups are kept for ever: none of the grouping keys is an event time with a watermark"
                )
            }
            Advice::JoinSideNeverEvicted { left } => write!(
                f,
                "rows of the join's {} side are kept for ever: no condition bounds them by the other side's watermark",
                side(left)
            ),
            Advice::LatenessNotJudged { left } => write!(
                f,
                "late rows of the join's {} side are not dropped: the query does not need its event time, so Spark prunes it",
                side(left)
            ),
            Advice::StuckInState { operator, rows } => {
                write!(
                    f,
                    "{rows} rows stay in the state of the {operator} whatever the watermark: their event time is NULL"
                )
            }
        }
    }
}

/// What the optimised query says by itself.
pub(super) fn of_query(root: &Node, mode: OutputMode) -> Vec<Advice> {
    let nodes = root.walk();
    let has_watermark = nodes.iter().any(|n| matches!(n.kind, Kind::Watermark { .. }));
    let mut advice = vec![];
    let mut judged = false;
    for node in nodes.iter().filter(|n| n.is_stateful()) {
        match &node.kind {
            Kind::Aggregate { .. } if mode == OutputMode::Complete => {}
            Kind::Aggregate { keys, .. } if node.tagged().is_empty() => {
                if !keys.is_empty() {
                    advice.push(Advice::GroupsNeverEvicted);
                }
            }
            Kind::Join {
                kind: JoinKind::Inner, ..
            } => judged |= of_join(node, &mut advice),
            _ => judged = true,
        }
    }
    if has_watermark && mode == OutputMode::Complete {
        advice.push(Advice::CompleteDropsNothing);
    } else if has_watermark && !judged {
        advice.push(Advice::WatermarkJudgesNothing);
    }
    advice
}

/// Adds what there is to say about a join; whether it judges rows at all.
fn of_join(node: &Node, advice: &mut Vec<Advice>) -> bool {
    let Kind::Join { left, right, .. } = &node.kind else {
        return false;
    };
    let (left_tags, right_tags) = node.event_times_of_sides();
    for (side, tags, is_left) in [(left, &left_tags, true), (right, &right_tags, false)] {
        if tags.is_empty() && !side.tagged().is_empty() {
            advice.push(Advice::LatenessNotJudged { left: is_left });
        }
    }
    let sides = super::step::evicting_sides(node);
    for (evicts, left) in [(sides.0, true), (sides.1, false)] {
        if !evicts {
            advice.push(Advice::JoinSideNeverEvicted { left });
        }
    }
    !left_tags.is_empty() || !right_tags.is_empty()
}

/// What the state at the end of a derivation says.
pub(super) fn of_state(d: &Derivation, operators: &[String]) -> Vec<Advice> {
    let facts = d
        .operators
        .iter()
        .zip(operators)
        .filter(|(facts, _)| facts.null_times > 0);
    facts
        .map(|(facts, operator)| Advice::StuckInState {
            operator: operator.clone(),
            rows: facts.null_times,
        })
        .collect()
}
