//! What bytes mean as text: the option `encoding`, or `charset`, of CSV and JSON files.
//!
//! Spark knows seven encodings by these names. Where it would cut lines in the middle of a character, and read nonsense,
//! there is an error here.

use std::borrow::Cow;

use super::options::Options;
use crate::{Error, Result};

/// An encoding Spark reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8
    Utf8,
    /// US-ASCII
    Ascii,
    /// ISO-8859-1
    Latin1,
    /// UTF-16 with a byte order mark, big-endian without
    Utf16,
    /// UTF-16LE
    Utf16Le,
    /// UTF-16BE
    Utf16Be,
    /// UTF-32 with a byte order mark, big-endian without
    Utf32,
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Big,
    Little,
}

impl Encoding {
    const NAMES: [(&'static str, Encoding); 7] = [
        ("ISO-8859-1", Encoding::Latin1),
        ("US-ASCII", Encoding::Ascii),
        ("UTF-16", Encoding::Utf16),
        ("UTF-16BE", Encoding::Utf16Be),
        ("UTF-16LE", Encoding::Utf16Le),
        ("UTF-32", Encoding::Utf32),
        ("UTF-8", Encoding::Utf8),
    ];

    /// The encoding that is asked for, if one is.
    ///
    /// # Errors
    /// `INVALID_PARAMETER_VALUE.CHARSET` for a name Spark does not know.
    pub(crate) fn from_options(options: &mut Options) -> Result<Option<Encoding>> {
        let charset = options.text("charset");
        let Some(name) = options.text("encoding").or(charset) else {
            return Ok(None);
        };
        let known = Encoding::NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name));
        match known {
            Some((_, encoding)) => Ok(Some(*encoding)),
            None => Err(Error::spark(
                "INVALID_PARAMETER_VALUE.CHARSET",
                format!(
                    "encoding `{name}` is not known; write one of {}",
                    Encoding::NAMES.map(|(name, _)| name).join(", ")
                ),
            )),
        }
    }

    fn name(self) -> &'static str {
        let named = Encoding::NAMES.iter().find(|(_, encoding)| *encoding == self);
        named.map_or("", |(name, _)| name)
    }

    /// Refuses a CSV file read line by line in an encoding whose line ends Spark does not find.
    ///
    /// # Errors
    /// What to write instead.
    pub(crate) fn check_csv_lines(self, line_separator: bool) -> Result<()> {
        let finds_lines = match self {
            Encoding::Utf8 | Encoding::Ascii | Encoding::Latin1 => true,
            Encoding::Utf16Le | Encoding::Utf16Be => line_separator,
            Encoding::Utf16 | Encoding::Utf32 => false,
        };
        if finds_lines {
            return Ok(());
        }
        let or_separator = match self {
            Encoding::Utf16Le | Encoding::Utf16Be => ", or `lineSep`",
            _ => "",
        };
        Err(Error::Invalid(format!(
            "Spark finds no line ends in {} and would read nonsense; set `multiLine` to true{or_separator}",
            self.name()
        )))
    }

    /// Refuses a JSON file read line by line where Spark does.
    ///
    /// # Errors
    /// Spark's requirements.
    pub(crate) fn check_json_lines(self, line_separator: bool) -> Result<()> {
        let name = self.name();
        match self {
            Encoding::Utf16 | Encoding::Utf32 => Err(Error::nameless(format!(
                "the {name} encoding must not be included in the denyList when multiLine is disabled; set `multiLine` to \
                 true"
            ))),
            Encoding::Utf8 => Ok(()),
            _ if line_separator => Ok(()),
            _ => Err(Error::nameless(format!(
                "the lineSep option must be specified for the {name} encoding; set it, or set `multiLine` to true"
            ))),
        }
    }

    /// The text as UTF-8, without a byte order mark. What is no character becomes a replacement character, except in
    /// UTF-8, where it is left as it is.
    fn decode(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Encoding::Utf8 => Cow::Borrowed(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)),
            Encoding::Ascii => owned(bytes.iter().map(|byte| match byte.is_ascii() {
                true => char::from(*byte),
                false => char::REPLACEMENT_CHARACTER,
            })),
            Encoding::Latin1 => owned(bytes.iter().map(|byte| char::from(*byte))),
            Encoding::Utf16Le => utf16(bytes, Order::Little),
            Encoding::Utf16Be => utf16(bytes, Order::Big),
            Encoding::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => utf16(rest, Order::Little),
                _ => utf16(bytes, Order::Big),
            },
            Encoding::Utf32 => match bytes {
                [0xff, 0xfe, 0, 0, rest @ ..] => utf32(rest, Order::Little),
                _ => utf32(bytes, Order::Big),
            },
        }
    }
}

/// The text of a JSON file as UTF-8; without an encoding, a file read as a whole shows its own.
///
/// # Errors
/// A file read line by line that is in UTF-16 or UTF-32 and does not say so.
pub(super) fn decoded(bytes: &[u8], encoding: Option<Encoding>, multi_line: bool) -> Result<Cow<'_, [u8]>> {
    match encoding {
        // A line with what ASCII does not have is malformed, so it has to stay so.
        Some(Encoding::Ascii) if !multi_line && !bytes.is_ascii() => {
            let malformed = |byte: &u8| if byte.is_ascii() { *byte } else { 0xff };
            Ok(Cow::Owned(bytes.iter().map(malformed).collect()))
        }
        Some(encoding) => Ok(encoding.decode(bytes)),
        None if multi_line => Ok(shown_by(bytes).decode(bytes)),
        None => {
            refuse_wide(bytes)?;
            Ok(Encoding::Utf8.decode(bytes))
        }
    }
}

/// The text of a CSV file as UTF-8, what is no character replaced.
///
/// # Errors
/// A file that is in UTF-16 or UTF-32 where UTF-8 is expected.
pub(super) fn decoded_lossy(bytes: &[u8], encoding: Encoding) -> Result<Cow<'_, [u8]>> {
    if encoding == Encoding::Utf8 {
        refuse_wide(bytes)?;
    }
    Ok(match encoding.decode(bytes) {
        Cow::Borrowed(text) => match String::from_utf8_lossy(text) {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        },
        text => text,
    })
}

/// Spark would read the bytes of other encodings as UTF-8 and find nonsense.
fn refuse_wide(bytes: &[u8]) -> Result<()> {
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => Err(Error::Invalid(
            "the file begins with the byte order mark of another encoding than UTF-8; set `encoding` to UTF-16 or UTF-32, \
             and `multiLine` to true"
                .to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The encoding that the first bytes of a JSON text show, as Jackson goes by its zeros.
fn shown_by(bytes: &[u8]) -> Encoding {
    match bytes {
        [0, 0, 0xfe, 0xff, ..] | [0xff, 0xfe, 0, 0, ..] | [0, 0, 0, _, ..] => Encoding::Utf32,
        [0xfe, 0xff, ..] | [0xff, 0xfe, ..] => Encoding::Utf16,
        [0, _, ..] => Encoding::Utf16Be,
        [_, 0, ..] => Encoding::Utf16Le,
        _ => Encoding::Utf8,
    }
}

fn owned(text: impl Iterator<Item = char>) -> Cow<'static, [u8]> {
    Cow::Owned(text.collect::<String>().into_bytes())
}

fn utf16(bytes: &[u8], order: Order) -> Cow<'static, [u8]> {
    let units = bytes.chunks(2).map(|unit| match (unit, order) {
        ([first, second], Order::Big) => u16::from_be_bytes([*first, *second]),
        ([first, second], Order::Little) => u16::from_le_bytes([*first, *second]),
        _ => 0xfffd, // half a unit
    });
    let text = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    owned(without_mark(text))
}

fn utf32(bytes: &[u8], order: Order) -> Cow<'static, [u8]> {
    let text = bytes.chunks(4).map(|unit| {
        let number = match (<[u8; 4]>::try_from(unit), order) {
            (Ok(unit), Order::Big) => u32::from_be_bytes(unit),
            (Ok(unit), Order::Little) => u32::from_le_bytes(unit),
            (Err(_), _) => 0xfffd,
        };
        char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
    });
    owned(without_mark(text))
}

/// The text behind its byte order mark.
fn without_mark(text: impl Iterator<Item = char>) -> impl Iterator<Item = char> {
    let mut is_first = true;
    text.filter(move |letter| !(std::mem::take(&mut is_first) && *letter == '\u{feff}'))
}
