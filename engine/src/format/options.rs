//! Reader and writer options by Spark's names.

use std::collections::BTreeMap;

use super::time::{Pattern, PatternError};
use crate::spelling::closest;
use crate::{Error, Result};

/// What to do with a row that does not fit its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParseMode {
    /// What cannot be read is NULL; the row stays.
    #[default]
    Permissive,
    /// The row goes.
    DropMalformed,
    /// The query fails.
    FailFast,
}

/// Options as a user gives them: names are case-insensitive.
///
/// Remembers which were asked for, so that the rest can be remarked on: Spark ignores an unknown option silently.
#[derive(Debug, Clone)]
pub struct Options {
    given: BTreeMap<String, String>,
    /// The names as written, by their lower-case form.
    spelling: BTreeMap<String, String>,
    /// The names that were asked for, in the same way.
    known: BTreeMap<String, String>,
    remarks: Vec<String>,
}

impl Options {
    /// Options by name.
    pub fn new(given: &BTreeMap<String, String>) -> Options {
        let lower = |name: &String| name.to_ascii_lowercase();
        Options {
            given: given.iter().map(|(name, value)| (lower(name), value.clone())).collect(),
            spelling: given.keys().map(|name| (lower(name), name.clone())).collect(),
            known: Default::default(),
            remarks: Vec::new(),
        }
    }

    /// The value of an option.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let lower = name.to_ascii_lowercase();
        let value = self.given.get(&lower).cloned();
        self.known.insert(lower, name.to_owned());
        value
    }

    /// The value of an option, or its default.
    pub fn text_or(&mut self, name: &str, default: &str) -> String {
        self.text(name).unwrap_or_else(|| default.to_owned())
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.text(name).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(Error::nameless(format!(
                "{name} flag can be true or false, found `{other}`"
            ))),
        }
    }

    /// One character, or none for an empty value.
    pub fn character(&mut self, name: &str, default: char) -> Result<Option<char>> {
        let Some(value) = self.text(name) else {
            return Ok(Some(default).filter(|c| *c != '\0'));
        };
        let mut chars = value.chars();
        let first = chars.next();
        if chars.next().is_some() {
            return Err(Error::spark(
                "OPTION_VALUE_EXCEEDS_ONE_CHARACTER",
                format!("the value of `{name}` cannot be more than one character, but got `{value}`"),
            ));
        }
        Ok(first.filter(|c| *c != '\0'))
    }

    /// A whole number of at least 1.
    pub fn positive(&mut self, name: &str) -> Result<Option<u64>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        match value.trim().parse() {
            Ok(number) if number > 0 => Ok(Some(number)),
            _ => Err(Error::Invalid(format!(
                "invalid value `{value}` for option `{name}`, it must be a positive integer"
            ))),
        }
    }

    /// `mode`; Spark takes an unknown one for PERMISSIVE.
    pub fn parse_mode(&mut self) -> ParseMode {
        match self.text_or("mode", "PERMISSIVE").to_ascii_uppercase().as_str() {
            "PERMISSIVE" => ParseMode::Permissive,
            "DROPMALFORMED" => ParseMode::DropMalformed,
            "FAILFAST" => ParseMode::FailFast,
            other => {
                self.remarks
                    .push(format!("mode `{other}` is not known, PERMISSIVE is used instead"));
                ParseMode::Permissive
            }
        }
    }

    /// A date or timestamp pattern.
    pub fn pattern(&mut self, name: &str) -> Result<Option<TimeFormat>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match Pattern::compile(&text) {
            Ok(pattern) => Ok(Some(TimeFormat::Pattern(pattern))),
            Err(PatternError::Legacy(letter)) => Err(Error::spark(
                "INCONSISTENT_BEHAVIOR_CROSS_VERSION.DATETIME_PATTERN_RECOGNITION",
                format!(
                    "`{name}` is `{text}`, and Spark 3 and later reads no `{letter}`; write the pattern without it"
                ),
            )),
            Err(PatternError::Unknown(letter)) => {
                self.remarks.push(format!(
                    "`{name}` is `{text}`, `{letter}` means nothing there: every value is NULL"
                ));
                Ok(Some(TimeFormat::Nothing))
            }
        }
    }

    /// Refuses options that mean something to Spark and nothing here, except with values that change nothing: `names` has
    /// both, values in lower case.
    ///
    /// # Errors
    /// `SKIRL_UNSUPPORTED` for the first such option.
    pub(crate) fn refuse_unread(&mut self, names: &[(&str, &[&str])]) -> Result<()> {
        for (name, harmless) in names {
            let Some(value) = self.text(name) else { continue };
            if !harmless.contains(&value.to_ascii_lowercase().as_str()) {
                return Err(Error::unsupported(format!(
                    "option `{name}` is `{value}`, which means something to Spark that Skirl does not do yet; remove it"
                )));
            }
        }
        Ok(())
    }

    /// Remarks on what was given: options nobody reads, values replaced by their default.
    pub fn remarks(&self) -> Vec<String> {
        let ignored = self.given.keys().filter(|name| !self.known.contains_key(*name));
        let ignored = ignored.map(|name| {
            let meant = closest(name, self.known.values().map(String::as_str));
            let meant = meant
                .map(|meant| format!("; did you mean `{meant}`?"))
                .unwrap_or_default();
            format!(
                "option `{}` is not known and changes nothing{meant}",
                self.spelling[name]
            )
        });
        self.remarks.iter().cloned().chain(ignored).collect()
    }
}

/// A `timestampFormat` or `dateFormat`.
#[derive(Debug, Clone)]
pub enum TimeFormat {
    /// A pattern that means something.
    Pattern(Pattern),
    /// A pattern no text fits.
    Nothing,
}

impl TimeFormat {
    /// The microseconds a text means.
    pub fn parse_timestamp(&self, text: &[u8]) -> Option<i64> {
        match self {
            TimeFormat::Pattern(pattern) => pattern.parse_timestamp(text),
            TimeFormat::Nothing => None,
        }
    }

    /// The microseconds a text without zone means.
    pub fn parse_timestamp_ntz(&self, text: &[u8]) -> Option<i64> {
        match self {
            TimeFormat::Pattern(pattern) => pattern.parse_timestamp_ntz(text),
            TimeFormat::Nothing => None,
        }
    }

    /// The days a text means.
    pub fn parse_date(&self, text: &[u8]) -> Option<i32> {
        match self {
            TimeFormat::Pattern(pattern) => pattern.parse_date(text),
            TimeFormat::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_unknown_ones_are_remarked_on() {
        let given = [("HEADER", "True"), ("maxFilesPerTriger", "1"), ("mode", "weird")];
        let given = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let mut options = Options::new(&given);
        assert!(options.flag("header", false).unwrap());
        assert_eq!(options.parse_mode(), ParseMode::Permissive);
        insta::assert_snapshot!(options.remarks().join("\n"), @r"
        mode `WEIRD` is not known, PERMISSIVE is used instead
        option `maxFilesPerTriger` is not known and changes nothing
        ");
    }

    #[test]
    fn wrong_values_say_what_was_wanted() {
        let given = BTreeMap::from([
            ("header".to_owned(), "yes".to_owned()),
            ("n".to_owned(), "0".to_owned()),
        ]);
        let mut options = Options::new(&given);
        insta::assert_snapshot!(options.flag("header", false).unwrap_err(), @"header flag can be true or false, found `yes`");
        insta::assert_snapshot!(options.positive("n").unwrap_err(), @"invalid value `0` for option `n`, it must be a positive integer");
    }
}
