//! JSON as Spark reads and writes it: `from_json`, `to_json`, and files of one object a line.
//!
//! A value that does not fit its column is NULL, the rest of the row stays; text that is no JSON makes a row of NULLs.
//! `token` walks over the text, `value` puts what it meets straight into columns, `flat` does both at once for plain rows,
//! `read` makes rows of them, `recover` goes on behind errors as
//! Jackson does, `write` prints columns.

mod base64;
mod flat;
mod read;
mod recover;
mod token;
mod value;
mod write;

use std::collections::BTreeMap;

use arrow::array::{Array, StringArray};

pub(crate) use read::read_json_columns;
pub use read::{from_json, parse_json_column, read_json_lines};
pub(crate) use token::{Number, Parse, Tokens, simple_double};
pub use write::{to_json, write_json_lines};

use super::encoding::Encoding;
use super::options::{Options, ParseMode, TimeFormat};
use super::time::Pattern;
use crate::{Error, Result};

/// How JSON is read and written.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    /// What to do with a row that does not fit.
    pub mode: ParseMode,
    /// The column that takes the text of such a row, if the schema has it.
    pub corrupt_column: String,
    /// `timestampFormat`; none: as a cast.
    pub timestamp_format: Option<TimeFormat>,
    /// `timestampNTZFormat`; none: as a cast.
    pub timestamp_ntz_format: Option<TimeFormat>,
    /// `dateFormat`; none: as a cast.
    pub date_format: Option<TimeFormat>,
    /// The day a bare time of day means, in days since 1970-01-01.
    pub today: i32,
    /// Write `"b":null` instead of leaving `b` out.
    pub write_nulls: bool,
    /// Read a whole file as one value.
    pub multi_line: bool,
    /// Ends a record instead of a line feed, a carriage return or both.
    pub line_separator: Option<String>,
    /// Numbers and booleans are inferred as STRING.
    pub primitives_as_string: bool,
    /// What looks like a timestamp is inferred as TIMESTAMP.
    pub infer_timestamp: bool,
    /// How the bytes of a file are text; none: UTF-8, or what a file read as a whole shows.
    pub encoding: Option<Encoding>,
    /// What is allowed beyond JSON.
    pub(crate) lenient: Lenient,
    remarks: Vec<String>,
}

/// Jackson's `allow...` options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lenient {
    pub comments: bool,
    pub unquoted_names: bool,
    pub single_quotes: bool,
    pub leading_zeros: bool,
    pub non_numeric_numbers: bool,
    pub any_escape: bool,
    pub control_chars: bool,
}

impl JsonOptions {
    /// Options by Spark's names; `today`, in days since 1970-01-01, is the day a bare time of day means.
    ///
    /// # Errors
    /// A value Spark refuses too: a flag that is neither true nor false, a pattern of Spark 2.
    pub fn new(given: &BTreeMap<String, String>, today: i32) -> Result<JsonOptions> {
        let mut options = Options::new(given);
        let mut read = Self::from_options(&mut options, today)?;
        read.remarks = options.remarks();
        Ok(read)
    }

    pub(crate) fn from_options(options: &mut Options, today: i32) -> Result<JsonOptions> {
        let encoding = Encoding::from_options(options)?;
        let multi_line = options.flag("multiLine", false)?;
        let line_separator = options.text("lineSep").filter(|separator| !separator.is_empty());
        if let (Some(encoding), false) = (encoding, multi_line) {
            encoding.check_json_lines(line_separator.is_some())?;
        }
        Ok(JsonOptions {
            mode: options.parse_mode(),
            corrupt_column: options.text_or("columnNameOfCorruptRecord", "_corrupt_record"),
            timestamp_format: options.pattern("timestampFormat")?,
            timestamp_ntz_format: options.pattern("timestampNTZFormat")?,
            date_format: options.pattern("dateFormat")?,
            today,
            write_nulls: !options.flag("ignoreNullFields", true)?,
            multi_line,
            line_separator,
            encoding,
            primitives_as_string: options.flag("primitivesAsString", false)?,
            infer_timestamp: options.flag("inferTimestamp", false)?,
            lenient: Lenient {
                comments: options.flag("allowComments", false)?,
                unquoted_names: options.flag("allowUnquotedFieldNames", false)?,
                single_quotes: options.flag("allowSingleQuotes", true)?,
                leading_zeros: options.flag("allowNumericLeadingZeros", false)?,
                non_numeric_numbers: options.flag("allowNonNumericNumbers", true)?,
                any_escape: options.flag("allowBackslashEscapingAnyCharacter", false)?,
                control_chars: options.flag("allowUnquotedControlChars", false)?,
            },
            remarks: Vec::new(),
        })
    }

    /// What was given and has no effect.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }

    /// Refuses what `from_json` does not do but a file reader does; Spark notices with the first text it reads.
    ///
    /// # Errors
    /// `PARSE_MODE_UNSUPPORTED` for DROPMALFORMED.
    fn check_from_json(&self, texts: &StringArray) -> Result<()> {
        if self.mode == ParseMode::DropMalformed && texts.null_count() < texts.len() {
            return Err(Error::spark(
                "PARSE_MODE_UNSUPPORTED",
                "The function `from_json` doesn't support the DROPMALFORMED mode. Acceptable modes are PERMISSIVE and \
                 FAILFAST.",
            ));
        }
        Ok(())
    }

    fn timestamp_pattern(&self) -> Option<&Pattern> {
        pattern_of(&self.timestamp_format)
    }
    fn timestamp_ntz_pattern(&self) -> Option<&Pattern> {
        pattern_of(&self.timestamp_ntz_format)
    }
    fn date_pattern(&self) -> Option<&Pattern> {
        pattern_of(&self.date_format)
    }
}

impl Default for JsonOptions {
    fn default() -> Self {
        JsonOptions::new(&BTreeMap::new(), 0).expect("no options are valid options")
    }
}

fn pattern_of(format: &Option<TimeFormat>) -> Option<&Pattern> {
    match format {
        Some(TimeFormat::Pattern(pattern)) => Some(pattern),
        _ => None,
    }
}
