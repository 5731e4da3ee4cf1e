//! Corrupt rows: spoilt on the way, with the row a parser must make of them.
//!
//! Truth is Spark's reading of JSON lines in PERMISSIVE mode: a line that is no JSON is a row of NULLs, a bad field is NULL
//! by itself, an unknown field is ignored.

use serde::Serialize;

use super::{Layer, Scene};
use crate::arrival::Arrival;
use crate::seed::{Draws, unit};
use crate::spec::{Node, Read, Share, Table, listed, suggestion};

/// A share of the arrivals is spoilt.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Corrupt {
    /// Spoilt arrivals.
    pub share: Share,
    /// In which ways, each equally often.
    pub kinds: Vec<FaultKind>,
    /// Bytes that an oversize row is longer.
    pub oversize_bytes: u64,
}

/// A way to spoil a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The line ends too early: all NULL.
    Truncated,
    /// The line is no JSON: all NULL.
    BadJson,
    /// A field holds a text where a number or time belongs: that field is NULL.
    WrongType,
    /// A field is not there: that field is NULL.
    MissingField,
    /// A field is null.
    Null,
    /// A field nobody knows: no difference.
    UnknownField,
    /// A byte that is no UTF-8: all NULL.
    BadUtf8,
    /// A very long line, through a field nobody knows: no difference.
    Oversize,
}

const KINDS: [(&str, FaultKind); 8] = [
    ("truncated", FaultKind::Truncated),
    ("bad-json", FaultKind::BadJson),
    ("wrong-type", FaultKind::WrongType),
    ("missing-field", FaultKind::MissingField),
    ("null", FaultKind::Null),
    ("unknown-field", FaultKind::UnknownField),
    ("bad-utf8", FaultKind::BadUtf8),
    ("oversize", FaultKind::Oversize),
];

impl Read for FaultKind {
    fn read(node: &Node) -> Result<FaultKind, String> {
        let name = String::read(node)?;
        let names = KINDS.map(|(name, _)| name);
        let found = KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        found.ok_or_else(|| {
            format!(
                "unknown kind `{name}`{}; the kinds are {}",
                suggestion(&name, &names),
                listed(&names)
            )
        })
    }
}

/// How one arrival is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The way.
    pub kind: FaultKind,
    /// The column it hits, where it hits one.
    pub column: u16,
    /// Bits for further choices, such as where a line is cut.
    pub bits: u32,
    /// Bytes that an oversize row is longer.
    pub oversize_bytes: u32,
}

impl Fault {
    /// Does the parsed row have NULL in this column because of the fault?
    pub fn hides(&self, column: usize) -> bool {
        match self.kind {
            FaultKind::Truncated | FaultKind::BadJson | FaultKind::BadUtf8 => true,
            FaultKind::WrongType | FaultKind::MissingField | FaultKind::Null => usize::from(self.column) == column,
            FaultKind::UnknownField | FaultKind::Oversize => false,
        }
    }
}

impl Corrupt {
    pub(super) fn read(table: &mut Table) -> Corrupt {
        let kinds = table.or("kinds", KINDS.map(|(_, kind)| kind).to_vec());
        table.demand(!kinds.is_empty(), "kinds", || {
            "`kinds` is empty; leave it out to use all kinds".into()
        });
        let oversize_bytes = table.or("oversize_bytes", 65_536);
        table.demand(oversize_bytes <= 1 << 24, "oversize_bytes", || {
            format!("`oversize_bytes` is at most {}, found {oversize_bytes}", 1 << 24)
        });
        Corrupt {
            share: table.or("share", Share(0.01)),
            kinds,
            oversize_bytes,
        }
    }

    pub(super) fn layer(&self, scene: &Scene) -> Box<dyn Layer> {
        let columns = |wanted: &dyn Fn(bool) -> bool| -> Vec<u16> {
            let fitting = scene.text_columns.iter().enumerate().filter(|(_, text)| wanted(**text));
            fitting.map(|(column, _)| column as u16).collect()
        };
        Box::new(Spoiling {
            spec: self.clone(),
            time_column: scene.time_column,
            columns: columns(&|_| true),
            typed_columns: columns(&|text| !text),
            share: scene.seed.draws("share"),
            choice: scene.seed.draws("choice"),
        })
    }
}

#[derive(Debug)]
struct Spoiling {
    spec: Corrupt,
    time_column: Option<usize>,
    columns: Vec<u16>,
    /// Columns that are no texts: only those can have a wrong type, as JSON reads everything as text.
    typed_columns: Vec<u16>,
    share: Draws,
    choice: Draws,
}

impl Spoiling {
    fn fault(&self, bits: u64) -> Fault {
        let kinds = &self.spec.kinds;
        let mut kind = kinds[(bits & 0xffff) as usize % kinds.len()];
        if kind == FaultKind::WrongType && self.typed_columns.is_empty() {
            kind = FaultKind::MissingField;
        }
        let columns = if kind == FaultKind::WrongType {
            &self.typed_columns
        } else {
            &self.columns
        };
        let column = columns[((bits >> 16) & 0xffff) as usize % columns.len()];
        Fault {
            kind,
            column,
            bits: (bits >> 32) as u32,
            oversize_bytes: self.spec.oversize_bytes as u32,
        }
    }
}

impl Layer for Spoiling {
    fn apply(&mut self, arrivals: &mut Vec<Arrival>) {
        for arrival in arrivals {
            if unit(self.share.turn_at(arrival.row, arrival.copy)) < self.spec.share.0 {
                let bits = self.choice.turn_at(arrival.row, arrival.copy);
                let fault = self.fault(bits);
                arrival.fault = Some(fault);
                arrival.hidden_time = self.time_column.is_some_and(|column| fault.hides(column));
            }
        }
    }
}
