//! Where Jackson goes on behind a syntax error inside a member.
//!
//! Spark gives up the member and asks for the next token, whatever Jackson's state. So an error where the value of an inner
//! object's member should be ends the row there, with the members before it kept; behind any other error in an inner object
//! that object's members count as the row's, up to its end; and behind one in an array the array is passed over.

use super::token::{Parse, Stop, Tokens};

/// What stands before the place of the error, in the innermost object or array.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Before {
    /// The bracket that opens it, or a comma.
    Start,
    /// A comma behind something.
    Comma,
    /// A name.
    Name,
    /// A colon.
    Colon,
    /// A value.
    Value,
    /// What began as a value or a name, at a place, and is none; `true` behind a colon.
    Broken(usize, bool),
}

impl Tokens<'_> {
    /// Goes on behind a syntax error in the value that began at `start`; whether there are members to read.
    ///
    /// # Errors
    /// Malformed, if Jackson meets another error on its way, or the end of the text.
    pub fn recover(&mut self, start: usize) -> Parse<bool> {
        let (open, before) = self.opened_since(start)?;
        let in_object = *open.last().ok_or(Stop::Malformed)? == b'{';
        let at_end = self.at >= self.text.len();
        let (next, ends) = match before {
            Before::Broken(at, after_colon) if in_object && !after_colon => (at + 1, false),
            Before::Broken(at, _) => (self.behind_no_value(at), in_object),
            Before::Colon => (self.behind_no_value(self.at), true),
            Before::Name => (self.at + 1, true),
            _ if at_end => return Err(Stop::Malformed),
            Before::Comma if !in_object && self.text[self.at] == b']' => return Err(Stop::Malformed),
            Before::Start | Before::Comma if !in_object => (self.behind_no_value(self.at), false),
            Before::Start | Before::Comma | Before::Value => (self.at + 1, false),
        };
        self.at = next.min(self.text.len());
        for _ in open.iter().rev().take_while(|bracket| **bracket == b'[') {
            while self.next_element(false)? {
                self.skip_value()?;
            }
        }
        Ok(!ends)
    }

    /// The brackets that are open here and were not at `start`, and what stands before this place.
    fn opened_since(&self, start: usize) -> Parse<(Vec<u8>, Before)> {
        let mut open = Vec::new();
        let mut before = Before::Start;
        let mut at = start;
        while at < self.at {
            let byte = self.text[at];
            let is_name = open.last() == Some(&b'{') && matches!(before, Before::Start | Before::Comma);
            at += 1;
            before = match byte {
                b' ' | b'\n' | b'\t' | b'\r' => before,
                b'{' | b'[' => {
                    open.push(byte);
                    Before::Start
                }
                b'}' | b']' => {
                    open.pop();
                    Before::Value
                }
                b',' => Before::Comma,
                b':' => Before::Colon,
                b'"' | b'\'' => {
                    at = self
                        .behind_string(at, byte)
                        .filter(|end| *end <= self.at)
                        .ok_or(Stop::Malformed)?;
                    if is_name { Before::Name } else { Before::Value }
                }
                _ => {
                    let word = at - 1;
                    let ends = |b: &u8| b" \n\t\r,:{}[]\"".contains(b);
                    at += self.text[at..self.at].iter().position(ends).unwrap_or(self.at - at);
                    let mut alone = Tokens::new(&self.text[word..at], self.lenient);
                    match alone.skip_value().is_ok() && alone.at == at - word {
                        true => Before::Value,
                        false => Before::Broken(word, before == Before::Colon),
                    }
                }
            };
        }
        Ok((open, before))
    }

    /// The place behind a string whose text begins at `at`.
    fn behind_string(&self, mut at: usize, quote: u8) -> Option<usize> {
        loop {
            match *self.text.get(at)? {
                b'\\' => at += 2,
                byte if byte == quote => return Some(at + 1),
                _ => at += 1,
            }
        }
    }

    /// How far Jackson reads of what should be a value, before it says that it is none.
    fn behind_no_value(&self, at: usize) -> usize {
        let rest = &self.text[at.min(self.text.len())..];
        let is_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$') || *b >= 0x80;
        at + match rest.first() {
            Some(b'+' | b'-') => 2,
            Some(b'0') => 1,
            Some(b'1'..=b'9') => rest
                .iter()
                .position(|b| matches!(b, b'.' | b'e' | b'E'))
                .map_or(1, |point| point + 1),
            Some(b) if b.is_ascii_alphabetic() || matches!(b, b'_' | b'$') => {
                rest.iter().take_while(|b| is_word(b)).count()
            }
            Some(b) if *b >= 0x80 => 1 + rest[1..].iter().take_while(|b| **b & 0xC0 == 0x80).count(),
            _ => 1,
        }
    }
}
