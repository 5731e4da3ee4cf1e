//! Reads specifications from TOML and collects every mistake with its place, where serde would stop at the first.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::quantity::{Micros, Share, Time, parse_rows};

/// A mistake in a specification: where it is and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// The bytes of the TOML text that are wrong, where they are known.
    pub span: Option<Range<usize>>,
    /// What was found, what was wanted, what to do.
    pub message: String,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A TOML value with the places of everything inside it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime(String),
    List(Vec<Spanned<Node>>),
    Table(Vec<(String, Spanned<Node>)>),
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Text(text) => write!(f, "\"{text}\""),
            Node::Integer(number) => write!(f, "{number}"),
            Node::Float(number) => write!(f, "{number}"),
            Node::Boolean(truth) => write!(f, "{truth}"),
            Node::Datetime(time) => write!(f, "{time}"),
            Node::List(_) => f.write_str("a list"),
            Node::Table(_) => f.write_str("a table"),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

/// How the toml crate marks a date among its maps.
const DATETIME: &str = "$__toml_private_datetime";

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a TOML value")
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::Boolean(truth))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Node, E> {
        Ok(Node::Integer(number))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Node, E> {
        Ok(i64::try_from(number).map_or(Node::Float(number as f64), Node::Integer))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Node, E> {
        Ok(Node::Float(number))
    }
    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == DATETIME {
                return Ok(Node::Datetime(map.next_value()?));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Node::Table(entries))
    }
}

/// A value that one TOML value says.
pub(crate) trait Read: Sized {
    /// Reads it, or says what was found and what was wanted.
    fn read(node: &Node) -> Result<Self, String>;
}

impl Read for Micros {
    fn read(node: &Node) -> Result<Micros, String> {
        match node {
            Node::Text(text) => Micros::parse(text),
            other => Err(format!(
                "found {other}, wanted a duration such as \"10s\", with its unit and in quotes"
            )),
        }
    }
}

impl Read for Share {
    fn read(node: &Node) -> Result<Share, String> {
        match node {
            Node::Text(text) => Share::parse(text),
            Node::Float(number) => Share::of(*number),
            Node::Integer(number) => Share::of(*number as f64),
            other => Err(format!("found {other}, wanted a share such as 0.05 or \"5%\"")),
        }
    }
}

impl Read for Time {
    fn read(node: &Node) -> Result<Time, String> {
        match node {
            Node::Text(text) | Node::Datetime(text) => Time::parse(text),
            other => Err(format!("found {other}, wanted a time such as \"2024-01-01T10:00:00Z\"")),
        }
    }
}

impl Read for f64 {
    fn read(node: &Node) -> Result<f64, String> {
        match node {
            Node::Float(number) => Ok(*number),
            Node::Integer(number) => Ok(*number as f64),
            other => Err(format!("found {other}, wanted a number")),
        }
    }
}

impl Read for u64 {
    fn read(node: &Node) -> Result<u64, String> {
        match node {
            Node::Integer(number) if *number >= 0 => Ok(*number as u64),
            Node::Text(text) => parse_rows(text),
            other => Err(format!("found {other}, wanted a whole number from 0 up")),
        }
    }
}

impl Read for bool {
    fn read(node: &Node) -> Result<bool, String> {
        match node {
            Node::Boolean(truth) => Ok(*truth),
            other => Err(format!("found {other}, wanted true or false")),
        }
    }
}

impl Read for String {
    fn read(node: &Node) -> Result<String, String> {
        match node {
            Node::Text(text) => Ok(text.clone()),
            other => Err(format!("found {other}, wanted a text in quotes")),
        }
    }
}

impl Read for Node {
    fn read(node: &Node) -> Result<Node, String> {
        Ok(node.clone())
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(node: &Node) -> Result<Vec<T>, String> {
        match node {
            Node::List(nodes) => nodes.iter().map(|node| T::read(node.get_ref())).collect(),
            other => Err(format!("found {other}, wanted a list in brackets")),
        }
    }
}

impl<A: Read, B: Read> Read for (A, B) {
    fn read(node: &Node) -> Result<(A, B), String> {
        match node {
            Node::List(nodes) if nodes.len() == 2 => Ok((A::read(nodes[0].get_ref())?, B::read(nodes[1].get_ref())?)),
            other => Err(format!("found {other}, wanted a pair in brackets")),
        }
    }
}

/// A table being read: remembers what was asked for, so that the rest is known to be a mistake.
pub(crate) struct Table<'a> {
    what: String,
    entries: &'a [(String, Spanned<Node>)],
    span: Option<Range<usize>>,
    known: Vec<&'static str>,
    errors: Vec<SpecError>,
}

impl<'a> Table<'a> {
    /// Starts reading a table; `what` names it in messages, such as "the layer `pareto`".
    pub fn new(what: impl Into<String>, node: &'a Spanned<Node>) -> Table<'a> {
        let what = what.into();
        let span = Some(node.span());
        match node.get_ref() {
            Node::Table(entries) => Table {
                what,
                entries,
                span,
                known: vec![],
                errors: vec![],
            },
            other => {
                let message = format!("found {other}, wanted a table for {what}");
                let errors = vec![SpecError {
                    span: span.clone(),
                    message,
                }];
                Table {
                    what,
                    entries: &[],
                    span,
                    known: vec![],
                    errors,
                }
            }
        }
    }

    /// Names the table more precisely, once more about it is known.
    pub fn called(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// The value of `key` with its place.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Spanned<Node>> {
        self.known.push(key);
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The value of `key`, if it is there and right.
    pub fn optional<T: Read>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key)?;
        match T::read(node.get_ref()) {
            Ok(value) => Some(value),
            Err(message) => {
                self.errors.push(SpecError {
                    span: Some(node.span()),
                    message: format!("`{key}`: {message}"),
                });
                None
            }
        }
    }

    /// The value of `key`, or `default`.
    pub fn or<T: Read>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The value of `key`; when it is missing, a mistake is noted and `stand_in` used.
    pub fn required<T: Read>(&mut self, key: &'static str, example: &str, stand_in: T) -> T {
        if !self.has(key) {
            self.known.push(key);
            let message = format!("{} needs `{key}`; write for example `{key} = {example}`", self.what);
            self.errors.push(SpecError {
                span: self.span.clone(),
                message,
            });
            return stand_in;
        }
        self.or(key, stand_in)
    }

    /// Is `key` written?
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Notes a mistake at the value of `key`, or at the whole table when it is not written.
    pub fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let place = self
            .entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node.span());
        self.errors.push(SpecError {
            span: place.or_else(|| self.span.clone()),
            message: message.into(),
        });
    }

    /// Notes a mistake at `key` unless `right`.
    pub fn demand(&mut self, right: bool, key: &str, message: impl FnOnce() -> String) {
        if !right {
            self.wrong(key, message());
        }
    }

    /// Takes over the mistakes of a part.
    pub fn absorb<T>(&mut self, (value, errors): (T, Vec<SpecError>)) -> T {
        self.errors.extend(errors);
        value
    }

    /// Ends the table: what nobody asked for is a mistake.
    pub fn finish(mut self) -> Vec<SpecError> {
        for (name, node) in self.entries {
            if !self.known.contains(&name.as_str()) {
                let hint = suggestion(name, &self.known);
                let message = format!(
                    "{} has no field `{name}`{hint}; it has {}",
                    self.what,
                    listed(&self.known)
                );
                self.errors.push(SpecError {
                    span: Some(node.span()),
                    message,
                });
            }
        }
        self.errors
    }

    /// Ends a table whose kind is not known, so that its fields cannot be judged.
    pub fn abandon(self) -> Vec<SpecError> {
        self.errors
    }
}

/// Names as a sentence lists them.
pub(crate) fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// `, did you mean ...?` for a name that is nearly one of the known.
pub(crate) fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .min();
    match near {
        Some((steps, candidate)) if steps <= 1 + name.len() / 4 => format!(" (did you mean `{candidate}`?)"),
        _ => String::new(),
    }
}

/// The letters to change, add or drop to make one word of another.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in right.iter().enumerate() {
            let step = (corner + usize::from(from != *to)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], step);
        }
    }
    row[right.len()]
}
