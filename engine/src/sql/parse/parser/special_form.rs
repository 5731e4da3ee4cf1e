//! What looks like a call but has a grammar of its own: CASE, CAST, EXTRACT, TRIM, SUBSTRING, POSITION, INTERVAL.

use super::Parser;
use super::call::call;
use crate::Result;
use crate::sql::interval;
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;

impl Parser<'_> {
    pub(super) fn case(&mut self) -> Result<Ast> {
        let operand = if self.is_word("WHEN") {
            None
        } else {
            Some(Box::new(self.expr()?))
        };
        let mut whens = vec![];
        while self.accept_word("WHEN") {
            let when = self.expr()?;
            self.expect_word("THEN")?;
            whens.push((when, self.expr()?));
        }
        let otherwise = if self.accept_word("ELSE") {
            Some(Box::new(self.expr()?))
        } else {
            None
        };
        self.expect_word("END")?;
        if whens.is_empty() {
            self.error()
        } else {
            Ok(Ast::Case {
                operand,
                whens,
                otherwise,
            })
        }
    }

    pub(super) fn cast(&mut self, forgiving: bool) -> Result<Ast> {
        self.expect("(")?;
        let expr = Box::new(self.expr()?);
        self.expect_word("AS")?;
        let to = self.type_text()?;
        self.expect(")")?;
        Ok(Ast::Cast { expr, to, forgiving })
    }

    pub(super) fn extract(&mut self) -> Result<Ast> {
        self.expect("(")?;
        let field = match self.kind() {
            Kind::Text(_) => self.text(),
            _ => self.name()?,
        };
        self.expect_word("FROM")?;
        let from = self.expr()?;
        self.expect(")")?;
        Ok(Ast::Extract(field, Box::new(from)))
    }

    pub(super) fn trim(&mut self, word: String) -> Result<Ast> {
        let side = ["BOTH", "LEADING", "TRAILING"]
            .into_iter()
            .find(|w| self.is_word_at(1, w));
        let Some(side) = side else {
            let mark = self.at;
            self.expect("(")?;
            let first = self.expr()?;
            if self.accept_word("FROM") {
                let from = self.expr()?;
                self.expect(")")?;
                return Ok(call("trim".into(), vec![first, from]));
            }
            self.at = mark;
            return self.name_or_call(word, false);
        };
        self.expect("(")?;
        self.advance();
        let characters = if self.is_word("FROM") { None } else { Some(self.expr()?) };
        self.expect_word("FROM")?;
        let from = self.expr()?;
        self.expect(")")?;
        let name = match side {
            "LEADING" => "ltrim",
            "TRAILING" => "rtrim",
            _ => "trim",
        };
        Ok(call(name.into(), characters.into_iter().chain([from]).collect()))
    }

    pub(super) fn substring(&mut self, word: String) -> Result<Ast> {
        let mark = self.at;
        self.expect("(")?;
        let text = self.expr()?;
        if !self.accept_word("FROM") {
            self.at = mark;
            return self.name_or_call(word, false);
        }
        let mut args = vec![text, self.expr()?];
        if self.accept_word("FOR") {
            args.push(self.expr()?);
        }
        self.expect(")")?;
        Ok(call(word, args))
    }

    pub(super) fn position(&mut self, word: String) -> Result<Ast> {
        let mark = self.at;
        self.expect("(")?;
        let wanted = self.value(0)?;
        if !self.accept_word("IN") {
            self.at = mark;
            return self.name_or_call(word, false);
        }
        let text = self.value(0)?;
        self.expect(")")?;
        Ok(call("locate".into(), vec![wanted, text]))
    }

    /// What follows INTERVAL.
    pub(super) fn interval(&mut self) -> Result<Interval> {
        if let Kind::Text(text) = self.kind().clone() {
            let has_unit = matches!(self.kind_at(1), Kind::Word(word) if interval::unit(word).is_some());
            if !has_unit {
                self.advance();
                return interval::literal(&text);
            }
        }
        let mut parts = vec![];
        loop {
            let negative = self.accept("-");
            self.accept("+");
            let value = match self.kind().clone() {
                Kind::Number(number) => number,
                Kind::Text(text) => text,
                _ => return self.error(),
            };
            self.advance();
            let Kind::Word(word) = self.kind().clone() else {
                return self.error();
            };
            if interval::unit(&word).is_none() {
                return self.error();
            }
            self.advance();
            if self.accept_word("TO") {
                let to = self.name()?;
                return interval::range(&value, negative, &word, &to);
            }
            let sign = if negative { "-" } else { "" };
            parts.push(format!("{sign}{} {word}", value.trim()));
            if !self.is_part_of_interval() {
                return interval::literal(&parts.join(" "));
            }
        }
    }

    /// Whether another value with its unit comes: `30 minutes`, `- '30' minutes`.
    fn is_part_of_interval(&self) -> bool {
        let sign = usize::from(matches!(self.kind(), Kind::Symbol("-" | "+")));
        matches!(self.kind_at(sign), Kind::Number(_) | Kind::Text(_))
            && matches!(self.kind_at(sign + 1), Kind::Word(word) if interval::unit(word).is_some())
    }
}
