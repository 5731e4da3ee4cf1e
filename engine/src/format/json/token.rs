//! Walks over JSON text the way Jackson does, without building anything.

use std::borrow::Cow;

use super::Lenient;
use crate::format::number::write_double;

/// Deeper nesting is malformed, as in Jackson.
const DEPTH_MAX: usize = 1000;

/// The text is no JSON, or a column is full.
#[derive(Debug)]
pub(crate) enum Stop {
    Malformed,
    Failed(crate::Error),
}

impl From<crate::Error> for Stop {
    fn from(error: crate::Error) -> Self {
        Stop::Failed(error)
    }
}

pub(crate) type Parse<T> = Result<T, Stop>;

/// A number as written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    /// A whole number that fits.
    Small(i64),
    /// A whole number that needs more than 64 bits.
    Big,
    /// With a point or an exponent, not yet read.
    Fraction,
    /// `NaN`, `Infinity`, `-INF`.
    NotFinite(f64),
}

/// A place in a text.
pub(crate) struct Tokens<'a> {
    pub text: &'a [u8],
    pub at: usize,
    pub lenient: Lenient,
    pub depth: usize,
}

impl<'a> Tokens<'a> {
    pub fn new(text: &'a [u8], lenient: Lenient) -> Self {
        Tokens {
            text,
            at: 0,
            lenient,
            depth: 0,
        }
    }

    /// The next byte that is no blank, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Parse<Option<u8>> {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                Some(b'/') if self.lenient.comments => self.skip_comment()?,
                other => return Ok(other.copied()),
            }
        }
    }

    /// The next byte that is no blank; the end of the text is malformed.
    #[inline]
    pub fn peek_some(&mut self) -> Parse<u8> {
        self.peek()?.ok_or(Stop::Malformed)
    }

    fn skip_comment(&mut self) -> Parse<()> {
        let rest = &self.text[self.at..];
        let end = match rest.get(1) {
            Some(b'*') => rest.windows(2).skip(2).position(|pair| pair == b"*/").map(|at| at + 4),
            Some(b'/') => Some(rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())),
            _ => None,
        };
        self.at += end.ok_or(Stop::Malformed)?;
        Ok(())
    }

    /// Enters an object or array; `leave` must follow.
    pub fn enter(&mut self) -> Parse<()> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            Err(Stop::Malformed)
        } else {
            Ok(())
        }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// The next member of the object this is in: its name, with the place behind the colon; `None` at the end.
    #[inline]
    pub fn next_name(&mut self, first: bool) -> Parse<Option<Cow<'a, [u8]>>> {
        let mut next = self.peek_some()?;
        if next == b'}' {
            self.at += 1;
            return Ok(None);
        }
        if !first {
            if next != b',' {
                return Err(Stop::Malformed);
            }
            self.at += 1;
            next = self.peek_some()?;
        }
        let name = match next {
            b'"' => self.string()?,
            b'\'' if self.lenient.single_quotes => self.string()?,
            _ if self.lenient.unquoted_names => Cow::Borrowed(self.unquoted_name()?),
            _ => return Err(Stop::Malformed),
        };
        if self.peek_some()? != b':' {
            return Err(Stop::Malformed);
        }
        self.at += 1;
        Ok(Some(name))
    }

    fn unquoted_name(&mut self) -> Parse<&'a [u8]> {
        let rest = &self.text[self.at..];
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'-' | b'@' | b'#') || *b >= 0x80;
        let length = rest.iter().take_while(|b| is_part(b)).count();
        if length == 0 {
            return Err(Stop::Malformed);
        }
        self.at += length;
        Ok(&rest[..length])
    }

    /// Moves to the next element of the array this is in; `false` at the end.
    pub fn next_element(&mut self, first: bool) -> Parse<bool> {
        match self.peek_some()? {
            b']' => {
                self.at += 1;
                Ok(false)
            }
            b',' if !first => {
                self.at += 1;
                if self.peek_some()? == b']' {
                    Err(Stop::Malformed)
                } else {
                    Ok(true)
                }
            }
            _ if first => Ok(true),
            _ => Err(Stop::Malformed),
        }
    }

    /// The text of a string, which starts here.
    #[inline]
    pub fn string(&mut self) -> Parse<Cow<'a, [u8]>> {
        let quote = self.text[self.at];
        let start = self.at + 1;
        let length = self.plain_length(start, quote);
        if self.text.get(start + length) == Some(&quote) {
            self.at = start + length + 1;
            return Ok(Cow::Borrowed(&self.text[start..start + length]));
        }
        let mut text = Vec::new();
        self.string_into(&mut text)?;
        Ok(Cow::Owned(text))
    }

    /// How many bytes from `start` are neither the quote nor a backslash nor a control character.
    #[inline]
    fn plain_length(&self, start: usize, quote: u8) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        if quote == b'"' && !self.lenient.control_chars {
            return plain_length(rest);
        }
        let control = if self.lenient.control_chars { 0 } else { 0x20 };
        rest.iter()
            .position(|&b| b == quote || b == b'\\' || b < control)
            .unwrap_or(rest.len())
    }

    /// Appends the text of a string, which starts here.
    #[inline]
    pub fn string_into(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let quote = self.text[self.at];
        self.at += 1;
        loop {
            let length = self.plain_length(self.at, quote);
            out.extend_from_slice(&self.text[self.at..self.at + length]);
            self.at += length;
            match self.text.get(self.at) {
                Some(&byte) if byte == quote => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape(out)?,
                _ => return Err(Stop::Malformed),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let letter = *self.text.get(self.at + 1).ok_or(Stop::Malformed)?;
        self.at += 2;
        let byte = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(out),
            b'\'' if self.lenient.single_quotes => letter,
            _ if self.lenient.any_escape => letter,
            _ => return Err(Stop::Malformed),
        };
        out.push(byte);
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let first = self.hex4()?;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hex4()?;
            if (0xDC00..0xE000).contains(&second) {
                code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            } else {
                self.at = before;
            }
        }
        // Half a surrogate pair is no character: Java's UTF-8 writes a question mark.
        let character = char::from_u32(code).unwrap_or('?');
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex4(&mut self) -> Parse<u32> {
        let digits = self.text.get(self.at..self.at + 4).ok_or(Stop::Malformed)?;
        self.at += 4;
        digits.iter().try_fold(0, |code, &digit| {
            let digit = char::from(digit).to_digit(16).ok_or(Stop::Malformed)?;
            Ok(code * 16 + digit)
        })
    }

    /// Takes a number, which starts here; its text is what was passed over.
    #[inline]
    pub fn number(&mut self) -> Parse<Number> {
        let start = self.at;
        let negative = match self.text[start] {
            b'-' => true,
            b'0'..=b'9' => false,
            _ => return self.not_finite(),
        };
        self.at += usize::from(negative);
        let digits_at = self.at;
        let mut value: u64 = 0;
        let mut overflow = false;
        while let Some(digit) = self
            .text
            .get(self.at)
            .map(|b| b.wrapping_sub(b'0'))
            .filter(|digit| *digit <= 9)
        {
            overflow |= value > (u64::MAX - 9) / 10;
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        let digits = self.at - digits_at;
        if digits == 0 {
            self.at = start;
            return self.not_finite();
        }
        if digits > 1 && self.text[digits_at] == b'0' && !self.lenient.leading_zeros {
            return Err(Stop::Malformed);
        }
        if self.fraction()? {
            return Ok(Number::Fraction);
        }
        let limit = i64::MAX as u64 + u64::from(negative);
        if overflow || value > limit {
            return Ok(Number::Big);
        }
        Ok(Number::Small(if negative {
            (value as i64).wrapping_neg()
        } else {
            value as i64
        }))
    }

    /// Takes a point with digits and an exponent, if they are there.
    fn fraction(&mut self) -> Parse<bool> {
        let start = self.at;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.at > start)
    }

    fn digits(&mut self) -> Parse<()> {
        let count = self.text[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(Stop::Malformed) } else { Ok(()) }
    }

    fn not_finite(&mut self) -> Parse<Number> {
        const WORDS: [(&[u8], f64); 6] = [
            (b"NaN", f64::NAN),
            (b"Infinity", f64::INFINITY),
            (b"+Infinity", f64::INFINITY),
            (b"+INF", f64::INFINITY),
            (b"-Infinity", f64::NEG_INFINITY),
            (b"-INF", f64::NEG_INFINITY),
        ];
        let rest = &self.text[self.at..];
        match WORDS
            .iter()
            .find(|(word, _)| self.lenient.non_numeric_numbers && rest.starts_with(word))
        {
            Some((word, value)) => {
                self.at += word.len();
                Ok(Number::NotFinite(*value))
            }
            None => Err(Stop::Malformed),
        }
    }

    /// Takes `true`, `false` or `null`.
    pub fn literal(&mut self, word: &[u8]) -> Parse<()> {
        let end = self.at + word.len();
        let cut = self
            .text
            .get(end)
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if cut || !self.text[self.at..].starts_with(word) {
            return Err(Stop::Malformed);
        }
        self.at = end;
        Ok(())
    }

    /// Passes over a value of any kind, checking that it is JSON.
    pub fn skip_value(&mut self) -> Parse<()> {
        match self.peek_some()? {
            b'{' => {
                self.enter()?;
                let mut first = true;
                while self.next_name(first)?.is_some() {
                    self.skip_value()?;
                    first = false;
                }
                self.leave();
                Ok(())
            }
            b'[' => {
                self.enter()?;
                let mut first = true;
                while self.next_element(first)? {
                    self.skip_value()?;
                    first = false;
                }
                self.leave();
                Ok(())
            }
            b'"' => self.string().map(drop),
            b'\'' if self.lenient.single_quotes => self.string().map(drop),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number().map(drop),
        }
    }

    /// Appends a value as compact JSON, its numbers as Java prints them: what `from_json` makes of a value that is no
    /// string in a STRING column.
    pub fn copy_value(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        match self.peek_some()? {
            b'{' => {
                self.enter()?;
                out.push(b'{');
                let mut first = true;
                while let Some(name) = self.next_name(first)? {
                    if !first {
                        out.push(b',');
                    }
                    super::write::escape_into(&name, out);
                    out.push(b':');
                    self.copy_value(out)?;
                    first = false;
                }
                out.push(b'}');
                self.leave();
            }
            b'[' => {
                self.enter()?;
                out.push(b'[');
                let mut first = true;
                while self.next_element(first)? {
                    if !first {
                        out.push(b',');
                    }
                    self.copy_value(out)?;
                    first = false;
                }
                out.push(b']');
                self.leave();
            }
            b'"' | b'\'' => {
                let text = self.string_or_stop()?;
                super::write::escape_into(&text, out);
            }
            b't' | b'f' | b'n' => {
                let start = self.at;
                self.skip_value()?;
                out.extend_from_slice(&self.text[start..self.at]);
            }
            _ => self.copy_number(out)?,
        }
        Ok(())
    }

    /// The text of a string in either quotes, if single ones are allowed.
    pub fn string_or_stop(&mut self) -> Parse<Cow<'a, [u8]>> {
        if self.text[self.at] == b'\'' && !self.lenient.single_quotes {
            return Err(Stop::Malformed);
        }
        self.string()
    }

    fn copy_number(&mut self, out: &mut Vec<u8>) -> Parse<()> {
        let start = self.at;
        let value = match self.number()? {
            Number::Small(value) => {
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                return Ok(());
            }
            Number::Big => {
                out.extend_from_slice(&self.text[start..self.at]);
                return Ok(());
            }
            Number::Fraction => double_of(&self.text[start..self.at]),
            Number::NotFinite(value) => value,
        };
        let mut text = String::new();
        write_double(value, &mut text);
        if value.is_finite() {
            out.extend_from_slice(text.as_bytes());
        } else {
            super::write::escape_into(text.as_bytes(), out);
        }
        Ok(())
    }
}

/// How many bytes are neither a double quote nor a backslash nor a control character, eight looked at together.
#[inline]
pub(super) fn plain_length(text: &[u8]) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = EACH << 7;
    // The lowest bit set by either is that of the first such byte; what is set above it may be a borrow.
    let below = |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & TOP;
    let equal = |word: u64, byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = equal(word, b'"') | equal(word, b'\\') | below(word, 0x20);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| **byte != b'"' && **byte != b'\\' && **byte >= 0x20;
    text.len() - rest.len() + rest.iter().take_while(is_plain).count()
}

/// The double a JSON number means.
#[inline]
pub(super) fn double_of(number: &[u8]) -> f64 {
    simple_double(number).unwrap_or_else(|| {
        let text = std::str::from_utf8(number).expect("a number is ASCII");
        text.parse().expect("a JSON number is a double")
    })
}

/// Up to 15 digits with a point: exact, because both the digits and the power of ten are doubles.
#[inline]
pub(crate) fn simple_double(number: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    if number.len() > 16 {
        return None;
    }
    let (negative, digits) = match number.first() {
        Some(b'-') => (true, &number[1..]),
        _ => (false, number),
    };
    if digits.len() > 16 || (digits.len() == 16 && !digits.contains(&b'.')) {
        return None;
    }
    let mut mantissa = 0u64;
    let mut fraction = None;
    for &byte in digits {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if fraction.is_none() => {
                fraction = Some(0);
                continue;
            }
            _ => return None,
        }
        fraction = fraction.map(|count| count + 1);
    }
    if mantissa > 999_999_999_999_999 || digits.len() == usize::from(fraction.is_some()) {
        return None;
    }
    let value = mantissa as f64 / POWERS[fraction.unwrap_or(0)];
    Some(if negative { -value } else { value })
}
