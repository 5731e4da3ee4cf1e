//! LIKE and regular expressions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListBuilder, StringBuilder, new_null_array};
use arrow::compute::kernels::comparison;
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use regex::Regex;

use super::{Kernel, SparkFn, collection, columnar, datum};
use crate::sql::parse::ast::LikeKind;
use crate::{Error, Result};

/// Refuses an escape before what needs none, and one at the end (`StringUtils.escapeLikeRegex`).
pub fn check_escapes(pattern: &str, escape: char) -> Result<()> {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != escape {
            continue;
        }
        let (condition, reason) = match chars.next() {
            Some('_' | '%') => continue,
            Some(next) if next == escape => continue,
            Some(next) => ("ESC_IN_THE_MIDDLE", format!("to precede '{next}'")),
            None => ("ESC_AT_THE_END", "to end with".into()),
        };
        return Err(Error::spark(
            format!("INVALID_FORMAT.{condition}"),
            format!("The format is invalid: '{pattern}'. The escape character is not allowed {reason}."),
        ));
    }
    Ok(())
}

/// LIKE with a pattern that [`check_escapes`] refuses: it fails before there are rows.
pub fn wrong_like(escape: char) -> SparkFn {
    let kernel = |f: &SparkFn, arrays: &[ArrayRef]| {
        let escape = f.text(0).chars().next().unwrap_or('\\');
        let patterns = arrays[0].as_string::<i32>().iter();
        patterns
            .flatten()
            .try_for_each(|pattern| check_escapes(pattern, escape))?;
        Ok(new_null_array(&DataType::Boolean, arrays[0].len()))
    };
    let escape = ScalarValue::from(escape.to_string());
    SparkFn::owned("wrong_like", DataType::Boolean, kernel)
        .params([escape])
        .always_fallible()
}

/// `text LIKE pattern`, `ILIKE` and `RLIKE`.
pub fn like(kind: LikeKind, escape: char) -> SparkFn {
    let name = match kind {
        LikeKind::Like => "like",
        LikeKind::ILike => "ilike",
        LikeKind::RLike => "rlike",
    };
    SparkFn::new(name, DataType::Boolean, Kernel::Values(run_like)).params([ScalarValue::from(escape.to_string())])
}

fn run_like(f: &SparkFn, values: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
    if let ("like", "\\", ColumnarValue::Scalar(_)) = (f.name, f.text(0), &values[1]) {
        // Arrow's LIKE escapes with a backslash, and has fast paths for plain prefixes and suffixes.
        let (text, pattern) = (datum(&values[0])?, datum(&values[1])?);
        let matched = comparison::like(text.as_ref(), pattern.as_ref())?;
        return columnar(Arc::new(matched), values);
    }
    let (texts, patterns) = (values[0].to_array(rows)?, values[1].to_array(rows)?);
    let mut patterns_seen = Patterns::default();
    let escape = f.text(0).chars().next().unwrap_or('\\');
    let source = |pattern: &str| match f.name {
        "like" => like_regex(pattern, escape, ""),
        "ilike" => like_regex(pattern, escape, "i"),
        _ => pattern.to_string(),
    };
    let mut out = Vec::with_capacity(rows);
    for (text, pattern) in texts.as_string::<i32>().iter().zip(patterns.as_string::<i32>()) {
        let (Some(text), Some(pattern)) = (text, pattern) else {
            out.push(None);
            continue;
        };
        if f.name != "rlike" {
            check_escapes(pattern, escape)?;
        }
        out.push(Some(patterns_seen.get(pattern, source)?.is_match(text)));
    }
    columnar(Arc::new(BooleanArray::from(out)), values)
}

/// LIKE as a regular expression over the whole text.
fn like_regex(pattern: &str, escape: char, flags: &str) -> String {
    let mut out = format!("(?s{flags})^");
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if c == escape => out.push_str(&regex::escape(&chars.next().unwrap_or(escape).to_string())),
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            other => out.push_str(&regex::escape(&other.to_string())),
        }
    }
    out.push('$');
    out
}

/// The pattern compiled last: a pattern is nearly always a literal.
#[derive(Default)]
struct Patterns {
    last: Option<(String, Regex)>,
}

impl Patterns {
    fn get(&mut self, pattern: &str, source: impl Fn(&str) -> String) -> Result<&Regex> {
        if self.last.as_ref().is_none_or(|(last, _)| last != pattern) {
            let regex = Regex::new(&source(pattern)).map_err(|error| {
                Error::spark(
                    "INVALID_PARAMETER_VALUE.PATTERN",
                    format!("The value of parameter `regexp` is invalid: '{pattern}' ({error})."),
                )
            })?;
            self.last = Some((pattern.to_string(), regex));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => Err(Error::Invalid("no pattern".into())),
        }
    }
}

/// `regexp_replace(text, pattern, replacement)`, with `$1` for groups.
pub fn replace() -> SparkFn {
    SparkFn::new(
        "regexp_replace",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let (by, mut seen) = (arrays[2].as_string::<i32>(), Patterns::default());
            each_text(arrays, |text, pattern, row, out| {
                if by.is_null(row) {
                    return Ok(false);
                }
                let replacement = java_replacement(by.value(row));
                out.push_str(
                    &seen
                        .get(pattern, str::to_string)?
                        .replace_all(text, replacement.as_str()),
                );
                Ok(true)
            })
        }),
    )
    .always_fallible()
}

/// Java's `$1` and `\$` in the spelling of the regex crate.
fn java_replacement(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('$') => out.push_str("$$"),
                Some(other) => out.push(other),
                None => {}
            },
            '$' => {
                let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                out.push_str(&format!("${{{digits}}}"));
            }
            other => out.push(other),
        }
    }
    out
}

/// `regexp_extract(text, pattern, group)`: empty where nothing matches.
pub fn extract() -> SparkFn {
    SparkFn::new(
        "regexp_extract",
        DataType::Utf8,
        Kernel::Arrays(|_, arrays| {
            let (groups, mut seen) = (arrays[2].as_primitive::<Int32Type>(), Patterns::default());
            each_text(arrays, |text, pattern, row, out| {
                if groups.is_null(row) {
                    return Ok(false);
                }
                let (regex, group) = (seen.get(pattern, str::to_string)?, groups.value(row));
                let Some(found) = regex.captures(text) else {
                    return Ok(true);
                };
                if group < 0 || group as usize >= regex.captures_len() {
                    let most = regex.captures_len() - 1;
                    let text = format!("Expects group index between 0 and {most}, but got {group}.");
                    return Err(Error::spark("INVALID_PARAMETER_VALUE.REGEX_GROUP_INDEX", text));
                }
                if let Some(found) = found.get(group as usize) {
                    out.push_str(found.as_str());
                }
                Ok(true)
            })
        }),
    )
    .always_fallible()
}

/// `split(text, pattern, limit)`.
pub fn split() -> SparkFn {
    SparkFn::new(
        "split",
        collection::list_of(DataType::Utf8),
        Kernel::Arrays(|_, arrays| {
            let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
            let (limits, mut seen) = (arrays[2].as_primitive::<Int32Type>(), Patterns::default());
            let mut out = ListBuilder::new(StringBuilder::new());
            for row in 0..texts.len() {
                if texts.is_null(row) || patterns.is_null(row) || limits.is_null(row) {
                    out.append_null();
                    continue;
                }
                let (text, pattern, limit) = (texts.value(row), patterns.value(row), limits.value(row));
                if pattern.is_empty() {
                    // Java parts between all characters, without an empty piece at the start.
                    text.chars().for_each(|c| out.values().append_value(c.to_string()));
                } else {
                    let regex = seen.get(pattern, str::to_string)?;
                    let most = if limit > 0 { limit as usize } else { usize::MAX };
                    regex
                        .splitn(text, most)
                        .for_each(|piece| out.values().append_value(piece));
                }
                out.append(true);
            }
            Ok(Arc::new(out.finish()))
        }),
    )
    .always_fallible()
}

fn each_text(
    arrays: &[ArrayRef],
    mut write: impl FnMut(&str, &str, usize, &mut String) -> Result<bool>,
) -> Result<ArrayRef> {
    let (texts, patterns) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
    let mut out = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    let mut row_text = String::new();
    for row in 0..texts.len() {
        row_text.clear();
        let present = texts.is_valid(row) && patterns.is_valid(row);
        if present && write(texts.value(row), patterns.value(row), row, &mut row_text)? {
            out.append_value(&row_text);
        } else {
            out.append_null();
        }
    }
    Ok(Arc::new(out.finish()))
}
