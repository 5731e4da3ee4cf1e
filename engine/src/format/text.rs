//! Plain text: a line is a row with one column `value`.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::options::Options;
use crate::Result;

/// How text is read and written.
#[derive(Debug, Clone, Default)]
pub struct TextOptions {
    /// Ends a line instead of a line feed, a carriage return or both.
    pub line_separator: Option<String>,
    /// A file is one row.
    pub whole_text: bool,
}

impl TextOptions {
    pub(crate) fn from_options(options: &mut Options) -> Result<TextOptions> {
        Ok(TextOptions {
            line_separator: options.text("lineSep").filter(|separator| !separator.is_empty()),
            whole_text: options.flag("wholetext", false)?,
        })
    }
}

/// The schema of text: `value STRING`.
pub fn text_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, true)]))
}

/// Reads lines, one a row; bytes that are no UTF-8 become replacement characters.
///
/// # Errors
/// More than 2 GiB of text.
pub fn read_text(bytes: &[u8], line_separator: Option<&str>) -> Result<RecordBatch> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = String::from_utf8_lossy(bytes);
    let lines = lines(text.as_bytes(), line_separator);
    let values: StringArray = lines
        .map(|line| Some(std::str::from_utf8(line).unwrap_or_default()))
        .collect();
    Ok(RecordBatch::try_new(text_schema(), vec![Arc::new(values)])?)
}

/// Reads a file as one row.
///
/// # Errors
/// More than 2 GiB of text.
pub fn read_whole_text(bytes: &[u8]) -> Result<RecordBatch> {
    let value = StringArray::from_iter_values([String::from_utf8_lossy(bytes)]);
    Ok(RecordBatch::try_new(text_schema(), vec![Arc::new(value)])?)
}

/// The lines of a file: ended by a line feed, a carriage return or both, or by `separator` if one is given.
pub(crate) fn lines<'a>(bytes: &'a [u8], separator: Option<&str>) -> impl Iterator<Item = &'a [u8]> {
    let separator = separator.map(|text| text.as_bytes().to_vec());
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (end, next) = match &separator {
            Some(separator) => {
                let end = rest
                    .windows(separator.len())
                    .position(|window| window == separator.as_slice());
                end.map_or((rest.len(), rest.len()), |end| (end, end + separator.len()))
            }
            None => line_end(rest),
        };
        let line = &rest[..end];
        rest = &rest[next..];
        Some(line)
    })
}

/// Where the first line ends and the next one starts.
#[inline]
fn line_end(bytes: &[u8]) -> (usize, usize) {
    let Some(feed) = memchr::memchr2(b'\n', b'\r', bytes) else {
        return (bytes.len(), bytes.len());
    };
    let both = bytes[feed] == b'\r' && bytes.get(feed + 1) == Some(&b'\n');
    (feed, feed + 1 + usize::from(both))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_row_and_so_is_a_whole_file() {
        let rows = read_text(b"\xef\xbb\xbfPorto\r\n\xff\n", None).unwrap();
        let wanted = StringArray::from(vec!["Porto", "\u{fffd}"]);
        assert_eq!(rows.column(0).as_ref(), &wanted as &dyn arrow::array::Array);
        let rows = read_whole_text(b"a\nb\n").unwrap();
        let wanted = StringArray::from(vec!["a\nb\n"]);
        assert_eq!(rows.column(0).as_ref(), &wanted as &dyn arrow::array::Array);
    }

    #[test]
    fn lines_end_with_any_line_end() {
        for (text, separator, wanted) in [
            ("a\nb\r\nc\rd", None, vec!["a", "b", "c", "d"]),
            ("a\n\n", None, vec!["a", ""]),
            ("", None, vec![]),
            ("a|b\nc|", Some("|"), vec!["a", "b\nc"]),
        ] {
            let got: Vec<&[u8]> = lines(text.as_bytes(), separator).collect();
            let wanted: Vec<&[u8]> = wanted.into_iter().map(str::as_bytes).collect();
            assert_eq!(got, wanted, "{text:?}");
        }
    }
}
