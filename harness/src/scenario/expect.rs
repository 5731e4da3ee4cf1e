//! What must happen for a scenario to mean anything: `late_rows = "> 0"`.

use std::fmt;
use std::str::FromStr;

use toml::de::DeValue;

use super::mistake::Mistakes;
use super::section::{Section, Value, described};

/// The guards of a scenario; at least one, or it would prove nothing.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// Numbers that must come out.
    pub guards: Vec<Guard>,
    /// The refusal or failure that must come.
    pub error: Option<ExpectedError>,
    /// The micro-batches before which the query must be started again, from `restart_before`.
    pub restarts: Vec<usize>,
}

/// A number that must come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// What is counted.
    pub quantity: Quantity,
    /// What it must be.
    pub comparison: Comparison,
}

/// The refusal or failure a scenario waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedError {
    /// Spark's condition, or `SKIRL_UNSUPPORTED`; `None`: any.
    pub condition: Option<String>,
    /// A part of the message.
    pub message_contains: Option<String>,
}

/// What a guard counts, over the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Rows read from all streams.
    InputRows,
    /// Rows below the watermark when they arrived: accepted or dropped.
    LateRows,
    /// Late rows that counted all the same.
    LateAcceptedRows,
    /// Rows dropped by an operator.
    DroppedRows,
    /// Rows whose event time is NULL.
    NullTimeRows,
    /// Rows emitted.
    OutputRows,
    /// Executed batches.
    Batches,
    /// Executed batches without new input.
    NoDataBatches,
    /// Executed batches that read micro-batches without a row.
    EmptyBatches,
    /// Executed batches that emitted a row.
    EmittingBatches,
    /// Rows in state after the last batch, all operators together.
    StateRows,
    /// The most rows ever in state, all operators together.
    MaxStateRows,
}

impl Quantity {
    /// Every quantity under its name in `[expect]`.
    pub const ALL: &[(&str, Quantity)] = &[
        ("input_rows", Quantity::InputRows),
        ("late_rows", Quantity::LateRows),
        ("late_accepted_rows", Quantity::LateAcceptedRows),
        ("dropped_rows", Quantity::DroppedRows),
        ("null_time_rows", Quantity::NullTimeRows),
        ("output_rows", Quantity::OutputRows),
        ("batches", Quantity::Batches),
        ("no_data_batches", Quantity::NoDataBatches),
        ("empty_batches", Quantity::EmptyBatches),
        ("emitting_batches", Quantity::EmittingBatches),
        ("state_rows", Quantity::StateRows),
        ("max_state_rows", Quantity::MaxStateRows),
    ];

    /// Its name in `[expect]`.
    pub fn name(self) -> &'static str {
        Quantity::ALL
            .iter()
            .find(|(_, quantity)| *quantity == self)
            .expect("every quantity is listed")
            .0
    }
}

/// A comparison with a number: `> 0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    relation: Relation,
    number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    More,
}

/// Longer signs first, so that `>=` is not read as `>`.
const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("!=", Relation::NotEqual),
    ("<", Relation::Less),
    (">", Relation::More),
    ("=", Relation::Equal),
];

impl Comparison {
    /// Whether `number` is what is wanted.
    pub fn holds(self, number: u64) -> bool {
        match self.relation {
            Relation::Less => number < self.number,
            Relation::AtMost => number <= self.number,
            Relation::Equal => number == self.number,
            Relation::NotEqual => number != self.number,
            Relation::AtLeast => number >= self.number,
            Relation::More => number > self.number,
        }
    }

    /// Whether no number, or every number, is what is wanted.
    fn is_vacuous(self) -> bool {
        matches!(
            (self.relation, self.number),
            (Relation::AtLeast, 0) | (Relation::Less, 0)
        )
    }
}

impl FromStr for Comparison {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let text = text.trim();
        let (relation, number) = RELATIONS
            .iter()
            .find_map(|(sign, relation)| text.strip_prefix(sign).map(|rest| (*relation, rest)))
            .unwrap_or((Relation::Equal, text));
        let number = number.trim().replace('_', "").parse().map_err(|_| ())?;
        Ok(Comparison { relation, number })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = RELATIONS
            .iter()
            .find(|(_, relation)| *relation == self.relation)
            .expect("every relation is listed")
            .0;
        write!(f, "{sign} {}", self.number)
    }
}

impl Expect {
    /// Reads `[expect]`.
    pub(super) fn read(mut section: Section) -> Expect {
        let mut expect = Expect::default();
        if let Some(error) = section.section("error") {
            expect.error = Some(read_error(error));
        }
        for (name, quantity) in Quantity::ALL {
            if let Some(value) = section.take(name)
                && let Some(comparison) = read_comparison(name, value, section.mistakes)
            {
                expect.guards.push(Guard {
                    quantity: *quantity,
                    comparison,
                });
            }
        }
        section.finish();
        expect
    }

    /// Whether nothing is expected at all.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.error.is_none()
    }
}

fn read_error(mut section: Section) -> ExpectedError {
    let condition = section.text("condition").map(|text| text.into_inner());
    let message_contains = section.text("message_contains").map(|text| text.into_inner());
    if condition.is_none() && message_contains.is_none() {
        section.missing("condition", "\"DIVIDE_BY_ZERO\"");
    }
    section.finish();
    ExpectedError {
        condition,
        message_contains,
    }
}

fn read_comparison(name: &str, value: Value, mistakes: &Mistakes) -> Option<Comparison> {
    let span = value.span();
    let comparison: Option<Comparison> = match value.get_ref() {
        DeValue::String(text) => text.parse().ok(),
        DeValue::Integer(number) => number.to_string().parse().ok(),
        _ => None,
    };
    match comparison {
        None => {
            let message = format!("`{name}` is {}, which is no comparison", described(value.get_ref()));
            mistakes.note_with_help(
                span,
                message,
                "write a number or a comparison: 5, \"> 0\", \">= 3\", \"< 10\", \"!= 0\"",
            );
            None
        }
        Some(comparison) if comparison.is_vacuous() => {
            let message = format!("`{name} {comparison}` says nothing: a count is never negative");
            mistakes.note_with_help(span, message, "write \"> 0\"");
            None
        }
        comparison => comparison,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_says_which_numbers_it_wants() {
        for (text, wanted, unwanted) in [
            ("> 0", 1, 0),
            (">= 3", 3, 2),
            ("= 5", 5, 4),
            ("5", 5, 6),
            ("< 4", 3, 4),
            ("<=4", 4, 5),
            ("!= 0", 1, 0),
        ] {
            let comparison: Comparison = text.parse().unwrap();
            assert!(comparison.holds(wanted) && !comparison.holds(unwanted), "{text}");
        }
        assert!("many".parse::<Comparison>().is_err());
    }
}
