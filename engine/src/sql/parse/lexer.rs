//! Words, numbers, strings and symbols of Spark's SQL.

use crate::{Error, Result};

/// A token and where it starts, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A bare word, as written.
    Word(String),
    /// A name in backticks.
    Quoted(String),
    Text(String),
    /// A number with its suffix, as written.
    Number(String),
    Symbol(&'static str),
    End,
}

/// Longest first.
const SYMBOLS: &[&str] = &[
    "<=>", "<<", ">>", "|>", "||", "::", "==", "!=", "<>", "<=", ">=", "->", "=>", "(", ")", "[", "]", ",", ".", ";",
    "+", "-", "*", "/", "%", "=", "<", ">", "!", "&", "|", "^", "~", ":", "?", "@", "{", "}",
];

/// Cuts `sql` into tokens; the last is [`Kind::End`].
pub fn tokens(sql: &str) -> Result<Vec<Token>> {
    let mut lexer = Lexer { sql, at: 0 };
    let mut tokens = Vec::with_capacity(sql.len() / 4);
    loop {
        lexer.skip_blanks()?;
        let start = lexer.at;
        let kind = lexer.next()?;
        let done = kind == Kind::End;
        tokens.push(Token {
            kind,
            start,
            end: lexer.at,
        });
        if done {
            return Ok(tokens);
        }
    }
}

/// Spark's PARSE_SYNTAX_ERROR at byte `at`.
pub fn syntax_error(sql: &str, at: usize, near: &str) -> Error {
    let before = &sql[..at.min(sql.len())];
    let line = before.matches('\n').count() + 1;
    let position = before
        .rfind('\n')
        .map_or(before.len(), |newline| before.len() - newline - 1);
    let near = if near.is_empty() {
        "end of input".to_string()
    } else {
        format!("'{near}'")
    };
    Error::spark(
        "PARSE_SYNTAX_ERROR",
        format!("Syntax error at or near {near} (line {line}, pos {position})"),
    )
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &str {
        let length = self.rest().find(|c| !belongs(c)).unwrap_or(self.rest().len());
        self.at += length;
        &self.sql[self.at - length..self.at]
    }

    /// Blanks, `-- comments` and `/* comments, also hints */`.
    fn skip_blanks(&mut self) -> Result<()> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest().starts_with("--") {
                self.take_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                let Some(length) = self.rest().find("*/") else {
                    return Err(Error::spark(
                        "UNCLOSED_BRACKETED_COMMENT",
                        "Found an unclosed bracketed comment. Please, append */ at the end of the comment.",
                    ));
                };
                self.at += length + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Kind> {
        let Some(first) = self.peek() else { return Ok(Kind::End) };
        let mut ahead = self.rest().chars().skip(1);
        let second = ahead.next().unwrap_or(' ');
        match first {
            '\'' | '"' => self.text(first, false),
            'r' | 'R' if second == '\'' || second == '"' => {
                self.at += 1;
                self.text(second, true)
            }
            '`' => self.quoted(),
            '0'..='9' => Ok(self.number()),
            '.' if second.is_ascii_digit() && !self.follows_name() => Ok(self.number()),
            c if c.is_alphabetic() || c == '_' => Ok(Kind::Word(
                self.take_while(|c| c.is_alphanumeric() || c == '_').to_string(),
            )),
            _ => self.symbol(),
        }
    }

    /// `t.1` is a part of a name, `.1` a number.
    fn follows_name(&self) -> bool {
        self.sql[..self.at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '`' | ')' | ']'))
    }

    fn symbol(&mut self) -> Result<Kind> {
        match SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Kind::Symbol(symbol))
            }
            None => {
                let near: String = self.rest().chars().take(1).collect();
                Err(syntax_error(self.sql, self.at, &near))
            }
        }
    }

    fn quoted(&mut self) -> Result<Kind> {
        let start = self.at;
        self.at += 1;
        let mut name = String::new();
        loop {
            name.push_str(self.take_while(|c| c != '`'));
            if self.peek().is_none() {
                return Err(syntax_error(self.sql, start, "`"));
            }
            self.at += 1;
            if self.peek() != Some('`') {
                return Ok(Kind::Quoted(name));
            }
            self.at += 1;
            name.push('`');
        }
    }

    fn number(&mut self) -> Kind {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit());
        if self.peek() == Some('.') && !self.rest()[1..].starts_with('.') {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        self.exponent();
        self.suffix();
        Kind::Number(self.sql[start..self.at].to_string())
    }

    fn exponent(&mut self) {
        let mark = self.at;
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            if self.take_while(|c| c.is_ascii_digit()).is_empty() {
                self.at = mark;
            }
        }
    }

    /// L, S, Y, F, D or BD, when no longer word follows.
    fn suffix(&mut self) {
        let mark = self.at;
        let word = self
            .take_while(|c| c.is_alphanumeric() || c == '_')
            .to_ascii_uppercase();
        if !matches!(word.as_str(), "L" | "S" | "Y" | "F" | "D" | "BD") {
            self.at = mark;
        }
    }

    fn text(&mut self, quote: char, raw: bool) -> Result<Kind> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                return Err(syntax_error(self.sql, start, &quote.to_string()));
            };
            self.at += c.len_utf8();
            if c == quote {
                if self.peek() != Some(quote) {
                    return Ok(Kind::Text(text));
                }
                self.at += 1;
                text.push(quote);
            } else if c == '\\' && !raw {
                self.escape(&mut text);
            } else {
                text.push(c);
            }
        }
    }

    /// What stands after a backslash.
    fn escape(&mut self, text: &mut String) {
        let Some(c) = self.peek() else { return };
        self.at += c.len_utf8();
        match c {
            '0' => text.push('\0'),
            'b' => text.push('\u{8}'),
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'Z' => text.push('\u{1a}'),
            // LIKE has its own use for these.
            '%' | '_' => text.extend(['\\', c]),
            'u' => match self
                .rest()
                .get(..4)
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .and_then(char::from_u32)
            {
                Some(unicode) => {
                    self.at += 4;
                    text.push(unicode);
                }
                None => text.push('u'),
            },
            other => text.push(other),
        }
    }
}
