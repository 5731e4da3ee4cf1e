//! A section of a scenario file that notices which of its keys were asked for, so that the others can be reported.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistakes, is_close, listed, suggestion};

/// A TOML value and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// A TOML table under its name. Every key must be taken before [`Section::finish`].
pub(super) struct Section<'i, 'm> {
    /// As messages call it: `[query]`.
    pub name: String,
    /// Where it stands.
    pub span: Range<usize>,
    pub mistakes: &'m Mistakes,
    entries: Vec<(Spanned<String>, Value<'i>)>,
    known: Vec<&'static str>,
}

impl<'i, 'm> Section<'i, 'm> {
    /// The section called `name` that is `table`; entries keep the order of the file.
    pub fn new(name: impl Into<String>, span: Range<usize>, table: DeTable<'i>, mistakes: &'m Mistakes) -> Self {
        let mut entries: Vec<_> = table
            .into_iter()
            .map(|(key, value)| (Spanned::new(key.span(), key.into_inner().into_owned()), value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Section {
            name: name.into(),
            span,
            mistakes,
            entries,
            known: Vec::new(),
        }
    }

    /// `value` as a section called `name`, if it is a table.
    pub fn of(name: impl Into<String>, value: Value<'i>, mistakes: &'m Mistakes) -> Option<Self> {
        let (name, span) = (name.into(), value.span());
        match value.into_inner() {
            DeValue::Table(table) => Some(Section::new(name, span, table, mistakes)),
            other => {
                let message = format!("{name} is {}, where a table is wanted", described(&other));
                mistakes.note_with_help(span, message, "write `{ key = value, ... }` or a section of its own");
                None
            }
        }
    }

    /// Whether `key` is there and nobody took it yet.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Keeps all texts of this section out of messages, but those that `is_harmless` says may be shown, by key and text.
    pub fn hide_texts(&self, is_harmless: impl Fn(&str, &str) -> bool) {
        for (key, value) in &self.entries {
            self.hide_texts_of(key.get_ref(), value, &is_harmless);
        }
    }

    fn hide_texts_of(&self, key: &str, value: &Value, is_harmless: &impl Fn(&str, &str) -> bool) {
        match value.get_ref() {
            DeValue::String(text) if !is_harmless(key, text) => self.mistakes.hide(value.span()),
            DeValue::Array(items) => items.iter().for_each(|item| self.hide_texts_of(key, item, is_harmless)),
            DeValue::Table(table) => {
                let below = table.iter();
                below.for_each(|(key, value)| self.hide_texts_of(key.get_ref(), value, is_harmless));
            }
            _ => {}
        }
    }

    /// The value of `key`, if it is there.
    pub fn take(&mut self, key: &'static str) -> Option<Value<'i>> {
        self.known.push(key);
        let position = self.entries.iter().position(|(name, _)| name.get_ref() == key)?;
        Some(self.entries.remove(position).1)
    }

    /// Every entry that is left, in the order of the file: for sections whose keys a user chooses.
    pub fn take_all(&mut self) -> Vec<(Spanned<String>, Value<'i>)> {
        std::mem::take(&mut self.entries)
    }

    /// The text of `key`.
    pub fn text(&mut self, key: &'static str) -> Option<Spanned<String>> {
        let value = self.take(key)?;
        self.as_text(key, value)
    }

    /// The text of `key`, which must be there.
    pub fn required_text(&mut self, key: &'static str, example: &str) -> Option<Spanned<String>> {
        match self.take(key) {
            Some(value) => self.as_text(key, value),
            None => {
                self.missing(key, example);
                None
            }
        }
    }

    /// The text of `key` as `parse` reads it: `what` it has to be, and an example.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        what: &str,
        example: &str,
    ) -> Option<Spanned<T>> {
        let text = self.text(key)?;
        let parsed = parse(text.get_ref());
        if parsed.is_none() {
            let message = format!("`{}` is no {what}", text.get_ref());
            self.mistakes
                .note_with_help(text.span(), message, format!("write \"{example}\""));
        }
        Some(Spanned::new(text.span(), parsed?))
    }

    /// The whole number of `key`.
    pub fn integer(&mut self, key: &'static str) -> Option<Spanned<i64>> {
        let value = self.take(key)?;
        let span = value.span();
        match value.get_ref() {
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => return Some(Spanned::new(span, number)),
                Err(_) => self
                    .mistakes
                    .note(span, format!("`{key}` is too large for a 64-bit number")),
            },
            other => self.wrong_type(key, span, other, "a whole number"),
        }
        None
    }

    /// The truth value of `key`.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            other => {
                self.wrong_type(key, value.span(), other, "true or false");
                None
            }
        }
    }

    /// The section below `key`.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'i, 'm>> {
        let value = self.take(key)?;
        Section::of(self.path(key), value, self.mistakes)
    }

    /// The sections below `key`, written `[[key]]`.
    pub fn sections(&mut self, key: &'static str) -> Vec<Section<'i, 'm>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let name = self.path(key);
        self.items(key, value)
            .into_iter()
            .filter_map(|item| Section::of(&name, item, self.mistakes))
            .collect()
    }

    /// The values of the list `key`.
    pub fn list(&mut self, key: &'static str) -> Option<Vec<Value<'i>>> {
        let value = self.take(key)?;
        Some(self.items(key, value))
    }

    /// Names and values of the section `key`; numbers and truth values are taken as their text.
    pub fn settings(&mut self, key: &'static str) -> Vec<(Spanned<String>, String)> {
        let Some(mut section) = self.section(key) else {
            return Vec::new();
        };
        let mut settings = Vec::new();
        for (name, value) in section.take_all() {
            match flattened(name, value) {
                Ok(entries) => settings.extend(entries),
                Err((name, span)) => section
                    .mistakes
                    .note(span, format!("`{name}` must be text, a number or a truth value")),
            }
        }
        settings
    }

    /// The choice among `choices` that `key` names.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(key)?;
        let chosen = choices
            .iter()
            .find(|(name, _)| name == text.get_ref())
            .map(|(_, choice)| *choice);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("`{}` is no {}", text.get_ref(), key.replace('_', " "));
            self.mistakes
                .note_with_help(text.span(), message, suggestion(text.get_ref(), &names));
        }
        chosen
    }

    /// Reports a key that must be there and is not; a misspelt one is reported for what it is.
    pub fn missing(&self, key: &str, example: &str) {
        if self.entries.iter().any(|(name, _)| is_close(name.get_ref(), key)) {
            return;
        }
        let message = format!("{} has no `{key}`", self.name);
        self.mistakes
            .note_with_help(self.span.clone(), message, format!("add `{key} = {example}`"));
    }

    /// Reports keys of which one must be there; a misspelt one is reported for what it is.
    pub fn missing_any(&self, keys: &[&str], example: &str) {
        let is_one = |(name, _): &(Spanned<String>, Value)| keys.iter().any(|key| is_close(name.get_ref(), key));
        if self.entries.iter().any(is_one) {
            return;
        }
        let message = format!("{} has neither {}", self.name, listed(keys).replace(" and ", " nor "));
        self.mistakes
            .note_with_help(self.span.clone(), message, format!("add `{} = {example}`", keys[0]));
    }

    /// Reports every key nobody asked for.
    pub fn finish(self) {
        for (key, _) in &self.entries {
            let message = format!("{} has no key `{}`", self.name, key.get_ref());
            self.mistakes
                .note_with_help(key.span(), message, suggestion(key.get_ref(), &self.known));
        }
    }

    fn path(&self, key: &str) -> String {
        match self.name.strip_suffix(']') {
            Some(outer) => format!("{outer}.{key}]"),
            None => format!("[{key}]"),
        }
    }

    fn items(&self, key: &str, value: Value<'i>) -> Vec<Value<'i>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            other => {
                self.wrong_type(key, span, &other, "a list");
                Vec::new()
            }
        }
    }

    fn as_text(&self, key: &str, value: Value<'i>) -> Option<Spanned<String>> {
        let span = value.span();
        match value.into_inner() {
            DeValue::String(text) => Some(Spanned::new(span, text.into_owned())),
            other => {
                self.wrong_type(key, span, &other, "text in quotes");
                None
            }
        }
    }

    fn wrong_type(&self, key: &str, span: Range<usize>, found: &DeValue, wanted: &str) {
        self.mistakes.note(
            span,
            format!("`{key}` is {}, where {wanted} is wanted", described(found)),
        );
    }
}

/// A setting as name and text. A dotted name (`spark.sql.x = 1`) arrives as nested tables.
#[allow(clippy::type_complexity)]
fn flattened(name: Spanned<String>, value: Value) -> Result<Vec<(Spanned<String>, String)>, (String, Range<usize>)> {
    let span = value.span();
    let text = match value.into_inner() {
        DeValue::String(text) => text.into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.into_iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let mut settings = Vec::new();
            for (key, value) in entries {
                let name = Spanned::new(key.span(), format!("{}.{}", name.get_ref(), key.get_ref()));
                settings.extend(flattened(name, value)?);
            }
            return Ok(settings);
        }
        _ => return Err((name.into_inner(), span)),
    };
    Ok(vec![(name, text)])
}

/// What a value is, for a message.
pub(super) fn described(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", skirl_kafka::address::shown(text)),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => format!("{truth}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}
