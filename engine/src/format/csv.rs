//! CSV as Spark reads and writes it.
//!
//! Columns are bound by position, lines are read one by one, a value that does not fit its column is NULL. `token` cuts a
//! line the way Spark's parser does, down to its handling of stray quotes; [`read`] and [`write`] are the two ends.

mod read;
mod token;
mod write;

use std::collections::BTreeMap;

pub use read::read_csv;
pub(crate) use read::{CsvFile, read_csv_columns};
pub use write::write_csv;

use super::encoding::Encoding;
use super::options::{Options, ParseMode, TimeFormat};
use crate::{Error, Result};

/// How CSV is read and written.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// The first line holds the names of the columns.
    pub header: bool,
    /// Ignore those names; else they must be the schema's.
    pub enforce_schema: bool,
    /// Find types, not only names, when there is no schema.
    pub infer_schema: bool,
    /// What to do with a row that does not fit.
    pub mode: ParseMode,
    /// The column that takes the text of such a row, if the schema has it.
    pub corrupt_column: String,
    /// Between two values; one or more characters.
    pub separator: String,
    /// Around a value that holds separators.
    pub quote: Option<char>,
    /// Before a quote that belongs to the value.
    pub escape: Option<char>,
    /// Before an escape that belongs to the value; none: the escape itself, where it differs from the quote.
    pub escape_escape: Option<char>,
    /// Starts a line that is no row.
    pub comment: Option<char>,
    /// The text that means NULL.
    pub null_value: String,
    /// What an empty quoted value means when reading, and is written as.
    pub empty_value: Option<String>,
    /// The text that means NaN.
    pub nan_value: String,
    /// The text that means infinity.
    pub positive_inf: String,
    /// The text that means minus infinity.
    pub negative_inf: String,
    /// Blanks before a value are not part of it; none: kept when reading, cut when writing.
    pub ignore_leading_white_space: Option<bool>,
    /// Blanks after a value are not part of it; none: kept when reading, cut when writing.
    pub ignore_trailing_white_space: Option<bool>,
    /// `timestampFormat`; none: as a cast.
    pub timestamp_format: Option<TimeFormat>,
    /// `timestampNTZFormat`; none: as a cast.
    pub timestamp_ntz_format: Option<TimeFormat>,
    /// `dateFormat`; none: as a cast.
    pub date_format: Option<TimeFormat>,
    /// Dates are inferred as DATE rather than TIMESTAMP.
    pub prefer_date: bool,
    /// A quoted value may go on in the next line.
    pub multi_line: bool,
    /// Ends a line instead of a line feed, a carriage return or both.
    pub line_separator: Option<String>,
    /// Put quotes around everything written.
    pub quote_all: bool,
    /// Put quotes around what holds a quote.
    pub escape_quotes: bool,
    /// How the bytes of a file are text.
    pub encoding: Encoding,
    /// Values of columns that nobody reads are not looked at, and how many a line has does not count then.
    pub column_pruning: bool,
    /// The day a bare time of day means, in days since 1970-01-01.
    pub today: i32,
    remarks: Vec<String>,
}

impl CsvOptions {
    /// Options by Spark's names; `today`, in days since 1970-01-01, is the day a bare time of day means.
    ///
    /// # Errors
    /// A value Spark refuses too: a flag that is neither true nor false, a quote of two characters, an empty separator.
    pub fn new(given: &BTreeMap<String, String>, today: i32) -> Result<CsvOptions> {
        let mut options = Options::new(given);
        let mut read = Self::from_options(&mut options, today)?;
        read.remarks = options.remarks();
        Ok(read)
    }

    pub(crate) fn from_options(options: &mut Options, today: i32) -> Result<CsvOptions> {
        let quote = ascii(options, "quote", '"')?;
        let escape = ascii(options, "escape", '\\')?;
        let explicit = ascii(options, "charToEscapeQuoteEscaping", '\0')?;
        let encoding = Encoding::from_options(options)?.unwrap_or(Encoding::Utf8);
        let multi_line = options.flag("multiLine", false)?;
        let line_separator = options.text("lineSep").filter(|separator| !separator.is_empty());
        if !multi_line {
            encoding.check_csv_lines(line_separator.is_some())?;
        }
        Ok(CsvOptions {
            header: options.flag("header", false)?,
            enforce_schema: options.flag("enforceSchema", true)?,
            infer_schema: options.flag("inferSchema", false)?,
            mode: options.parse_mode(),
            corrupt_column: options.text_or("columnNameOfCorruptRecord", "_corrupt_record"),
            separator: separator(options)?,
            quote,
            escape,
            escape_escape: explicit.or(escape.filter(|escape| Some(*escape) != quote)),
            comment: options.character("comment", '\0')?,
            null_value: options.text_or("nullValue", ""),
            empty_value: options.text("emptyValue"),
            nan_value: options.text_or("nanValue", "NaN"),
            positive_inf: options.text_or("positiveInf", "Inf"),
            negative_inf: options.text_or("negativeInf", "-Inf"),
            ignore_leading_white_space: optional_flag(options, "ignoreLeadingWhiteSpace")?,
            ignore_trailing_white_space: optional_flag(options, "ignoreTrailingWhiteSpace")?,
            timestamp_format: options.pattern("timestampFormat")?,
            timestamp_ntz_format: options.pattern("timestampNTZFormat")?,
            date_format: options.pattern("dateFormat")?,
            prefer_date: options.flag("preferDate", true)?,
            multi_line,
            line_separator,
            quote_all: options.flag("quoteAll", false)?,
            escape_quotes: options.flag("escapeQuotes", true)?,
            encoding,
            column_pruning: options.flag("columnPruning", !multi_line)?,
            today,
            remarks: Vec::new(),
        })
    }

    /// What was given and has no effect.
    pub fn remarks(&self) -> &[String] {
        &self.remarks
    }
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions::new(&BTreeMap::new(), 0).expect("no options are valid options")
    }
}

/// One character that is a byte in every text.
fn ascii(options: &mut Options, name: &str, default: char) -> Result<Option<char>> {
    match options.character(name, default)? {
        Some(other) if !other.is_ascii() => Err(Error::unsupported(format!(
            "`{name}` is `{other}`, and Skirl takes an ASCII character there only"
        ))),
        character => Ok(character),
    }
}

fn optional_flag(options: &mut Options, name: &str) -> Result<Option<bool>> {
    match options.text(name) {
        Some(_) => options.flag(name, false).map(Some),
        None => Ok(None),
    }
}

/// `sep` or `delimiter`, with `\t` for a tab.
fn separator(options: &mut Options) -> Result<String> {
    let given = options.text("sep").or_else(|| options.text("delimiter"));
    let text = given
        .unwrap_or(",".to_owned())
        .replace("\\t", "\t")
        .replace("\\\\", "\\");
    if text.is_empty() {
        return Err(Error::Invalid(
            "the separator of a CSV file cannot be empty; give `sep` a character".to_owned(),
        ));
    }
    Ok(text)
}
