//! Cuts a line into values the way Spark's CSV parser does.
//!
//! A value that starts with a quote ends at a quote with a separator, a blank or the end behind it. A quote with
//! anything else behind it was a mistake: then the value is everything up to the next separator, quotes included.

use std::ops::Range;

use super::CsvOptions;

/// The settings that decide where a value ends.
#[derive(Debug, Clone)]
pub(super) struct Tokenizer {
    separator: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    escape_escape: Option<u8>,
    trim_start: bool,
    trim_end: bool,
    /// A quoted value may hold line ends.
    multi_line: bool,
}

/// One value of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// As it stands in the line.
    Plain(Range<usize>),
    /// Without its quotes and escapes.
    Quoted(Vec<u8>),
}

impl Token {
    pub fn bytes<'a>(&'a self, line: &'a [u8]) -> &'a [u8] {
        match self {
            Token::Plain(range) => &line[range.clone()],
            Token::Quoted(bytes) => bytes,
        }
    }
}

impl Tokenizer {
    pub fn new(options: &CsvOptions) -> Tokenizer {
        let byte = |c: Option<char>| c.and_then(|c| u8::try_from(c).ok());
        Tokenizer {
            separator: options.separator.as_bytes().to_vec(),
            quote: byte(options.quote),
            escape: byte(options.escape),
            escape_escape: byte(options.escape_escape),
            trim_start: options.ignore_leading_white_space.unwrap_or(false),
            trim_end: options.ignore_trailing_white_space.unwrap_or(false),
            multi_line: options.multi_line,
        }
    }

    /// Whether a line holds nothing that makes its values differ from what stands between separators.
    #[inline]
    pub fn is_plain(&self, line: &[u8]) -> bool {
        self.separator.len() == 1
            && !self.trim_start
            && !self.trim_end
            && self.quote.is_none_or(|quote| memchr::memchr(quote, line).is_none())
    }

    /// The separator of plain lines.
    pub fn separator_byte(&self) -> u8 {
        self.separator[0]
    }

    /// The values of a line.
    pub fn split(&self, line: &[u8], tokens: &mut Vec<Token>) {
        tokens.clear();
        let mut at = 0;
        loop {
            let (token, end) = self.next(line, at);
            tokens.push(token);
            match end {
                Some(next) => at = next,
                None => return,
            }
        }
    }

    /// The value at `at` and where the next one starts.
    fn next(&self, line: &[u8], at: usize) -> (Token, Option<usize>) {
        let start = if self.trim_start {
            self.skip_blanks(line, at)
        } else {
            at
        };
        if self.quote.is_some() && line.get(start) == self.quote.as_ref() {
            return self.quoted(line, start);
        }
        let end = self.separator_from(line, start);
        let kept = if self.trim_end {
            trimmed_end(line, start, end)
        } else {
            end
        };
        (Token::Plain(start..kept), self.after(line, end))
    }

    fn skip_blanks(&self, line: &[u8], at: usize) -> usize {
        let is_blank = |at: usize| line.get(at).is_some_and(|b| *b <= b' ') && !self.separator_at(line, at);
        (at..).find(|at| !is_blank(*at)).unwrap_or(at)
    }

    fn separator_at(&self, line: &[u8], at: usize) -> bool {
        line[at..].starts_with(&self.separator)
    }

    /// Where the next separator starts, or the end of the line.
    fn separator_from(&self, line: &[u8], start: usize) -> usize {
        let rest = &line[start.min(line.len())..];
        let found = match self.separator.as_slice() {
            [byte] => memchr::memchr(*byte, rest),
            separator => memchr::memmem::find(rest, separator),
        };
        found.map_or(line.len(), |at| start + at)
    }

    /// Where the value behind a separator starts; `None` at the end of the line.
    fn after(&self, line: &[u8], end: usize) -> Option<usize> {
        (end < line.len()).then_some(end + self.separator.len())
    }

    /// The value whose opening quote is at `start`.
    fn quoted(&self, line: &[u8], start: usize) -> (Token, Option<usize>) {
        let quote = line[start];
        let mut value = Vec::new();
        let mut previous = None;
        let mut at = start + 1;
        while let Some(&byte) = line.get(at) {
            if previous == Some(quote) {
                if byte <= b' ' || self.separator_at(line, at) {
                    return self.closed(line, value, quote, at);
                }
                if byte != quote && Some(byte) != self.escape {
                    return self.stray_quote(line, &value, quote, at);
                }
            }
            if byte != quote && Some(byte) != self.escape && Some(byte) != self.escape_escape {
                if previous.is_some() && previous == self.escape && previous != Some(quote) {
                    value.extend(self.escape);
                }
                value.push(byte);
                previous = None;
            } else {
                previous = self.special(byte, quote, previous, &mut value);
            }
            at += 1;
        }
        if previous.is_some() && previous == self.escape && previous != Some(quote) {
            value.extend(self.escape);
        }
        (Token::Quoted(value), None)
    }

    /// Takes a quote or an escape inside a quoted value; what the next byte has before it.
    fn special(&self, byte: u8, quote: u8, previous: Option<u8>, value: &mut Vec<u8>) -> Option<u8> {
        if Some(byte) == self.escape && previous.is_some() && previous == self.escape_escape {
            value.push(byte);
            return None;
        }
        if previous.is_some() && previous == self.escape {
            if byte == quote {
                value.push(quote);
                return None;
            }
            value.extend(previous);
        } else if previous == Some(quote) {
            value.push(quote);
        }
        Some(byte)
    }

    /// A closing quote with a blank or a separator behind it, at `at`.
    fn closed(&self, line: &[u8], value: Vec<u8>, quote: u8, at: usize) -> (Token, Option<usize>) {
        let next = self.skip_blanks(line, at);
        if next >= line.len() {
            return (Token::Quoted(value), None);
        }
        if self.separator_at(line, next) {
            return (Token::Quoted(value), self.after(line, next));
        }
        self.stray_quote(line, &value, quote, at)
    }

    /// A quote in the middle, before `at`: the value goes on as it stands, up to the next separator.
    fn stray_quote(&self, line: &[u8], value: &[u8], quote: u8, at: usize) -> (Token, Option<usize>) {
        let end = self.separator_from(line, at);
        let kept = if self.trim_end { trimmed_end(line, at, end) } else { end };
        let text = [&[quote], value, &[quote], &line[at..kept]].concat();
        (Token::Quoted(text), self.after(line, end))
    }

    /// Where the row that starts at `start` ends, for files whose quoted values hold line ends.
    pub fn row_end(&self, bytes: &[u8], start: usize) -> usize {
        let Some(quote) = self.quote.filter(|_| self.multi_line) else {
            return bytes.len();
        };
        let mut inside = false;
        let mut value_start = true;
        let mut at = start;
        while at < bytes.len() {
            let byte = bytes[at];
            match byte {
                _ if inside && Some(byte) == self.escape && byte != quote => at += 1,
                _ if byte == quote && (inside || value_start) => inside = !inside,
                b'\n' | b'\r' if !inside => return at,
                _ => {}
            }
            value_start = !inside && self.separator.last() == Some(&byte);
            at += 1;
        }
        bytes.len()
    }
}

fn trimmed_end(line: &[u8], start: usize, end: usize) -> usize {
    line[start..end]
        .iter()
        .rposition(|b| *b > b' ')
        .map_or(start, |at| start + at + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn check(options: &[(&str, &str)], line: &str, wanted: &[&str]) {
        let given: BTreeMap<_, _> = options.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let tokenizer = Tokenizer::new(&CsvOptions::new(&given, 0).unwrap());
        let mut tokens = Vec::new();
        tokenizer.split(line.as_bytes(), &mut tokens);
        let got: Vec<_> = tokens
            .iter()
            .map(|token| String::from_utf8_lossy(token.bytes(line.as_bytes())))
            .collect();
        assert_eq!(got, wanted, "{line}");
    }

    #[test]
    fn lines_are_cut_as_spark_cuts_them() {
        for (line, wanted) in [
            (r#""a""b",2"#, vec![r#""a""b""#, "2"]),
            (r#""ab\"c",2"#, vec![r#"ab"c"#, "2"]),
            (r#""a\\b",2"#, vec![r"a\b", "2"]),
            (r#""a\nb",2"#, vec![r"a\nb", "2"]),
            (r#""abc,2,3"#, vec!["abc,2,3"]),
            (r#"1,"2,3"#, vec!["1", "2,3"]),
            (r#"x"y,2"#, vec![r#"x"y"#, "2"]),
            (r#""a"b,2"#, vec![r#""a"b"#, "2"]),
            (r#""a"b","c",3"#, vec![r#""a"b""#, "c", "3"]),
            (r#""a" ,2"#, vec!["a", "2"]),
            (r#" "a",2"#, vec![r#" "a""#, "2"]),
            (r#""a\",2,3"#, vec![r#"a",2,3"#]),
            (r#"""",2"#, vec![r#"""#, "2"]),
            (r#""""",2"#, vec![r#""""#, "2"]),
            (r#""",\"2,"""#, vec!["", r#"\"2"#, ""]),
            (r#""a"";"b",c"#, vec![r#""a"";"b""#, "c"]),
            (r#""1"2"3",4"#, vec![r#""1"2"3""#, "4"]),
            (r#""a\,b",2"#, vec![r"a\,b", "2"]),
            (r#"a\"b,2"#, vec![r#"a\"b"#, "2"]),
            (r#""a"b"#, vec![r#""a"b"#]),
            ("1,", vec!["1", ""]),
            ("", vec![""]),
        ] {
            check(&[], line, &wanted);
        }
        check(&[("escape", "\"")], r#""a""b","ab\"c""#, &[r#"a"b"#, r#""ab\"c""#]);
        check(&[("escape", "\"")], r#""a\",2"#, &[r"a\", "2"]);
        check(&[("quote", "")], r#""a,b",2"#, &[r#""a"#, r#"b""#, "2"]);
        check(&[("sep", "||")], r#""x||y"||2"#, &["x||y", "2"]);
        let trim = [
            ("ignoreLeadingWhiteSpace", "true"),
            ("ignoreTrailingWhiteSpace", "true"),
        ];
        check(&trim, " a ,  , \" b \" ", &["a", "", " b "]);
    }
}
