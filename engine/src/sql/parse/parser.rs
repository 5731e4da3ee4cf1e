//! Recursive descent over Spark's query grammar; binary operators by precedence climbing.
//!
//! Here stand the entrances and how tokens are taken; each file parses what it is named for.

mod call;
mod expression;
mod grouping;
mod query;
mod relation;
mod special_form;
mod types;

use arrow::datatypes::{DataType, Schema};

use super::ast::*;
use super::lexer::{self, Kind, Token};
use crate::{Error, Result};

/// Parses one query; a semicolon may end it.
pub fn parse_query(sql: &str) -> Result<Query> {
    let mut parser = Parser::new(sql)?;
    parser.refuse_no_query()?;
    let query = parser.query()?;
    parser.accept(";");
    parser.end()?;
    Ok(query)
}

/// Parses one expression.
pub fn parse_expression(text: &str) -> Result<Ast> {
    let mut parser = Parser::new(text)?;
    let expr = parser.expr()?;
    parser.end()?;
    Ok(expr)
}

/// Parses a type as DDL writes it.
pub fn parse_data_type(text: &str) -> Result<DataType> {
    let mut parser = Parser::new(text)?;
    let data_type = parser.data_type()?;
    parser.end()?;
    Ok(data_type)
}

/// Parses `a INT, b STRUCT<c: STRING>`; a colon after a name, NOT NULL and COMMENT are allowed.
pub fn parse_schema(ddl: &str) -> Result<Schema> {
    let mut parser = Parser::new(ddl)?;
    let fields = parser.fields(Kind::End)?;
    Ok(Schema::new(fields))
}

/// What Spark says where a text takes more stack than there is.
pub fn too_complex() -> Error {
    Error::spark(
        "FAILED_TO_PARSE_TOO_COMPLEX",
        "The statement, including potential SQL functions and referenced views, was too complex to parse.",
    )
}

struct Parser<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// How tall the trees are, at most, that were parsed since a tree or an operand was begun.
    height: usize,
    /// Names of windows over rows in the SELECT that is being parsed.
    row_windows: Vec<String>,
}

/// How deep expressions and queries may nest, so that no text can exhaust the stack.
const DEPTH_MAX: usize = 100;
/// How tall trees of operators may grow, for the same reason: `a + b + c` nests nothing, and each operator stands above
/// those before it.
const HEIGHT_MAX: usize = 500;

impl<'a> Parser<'a> {
    fn new(sql: &'a str) -> Result<Self> {
        Ok(Self {
            sql,
            tokens: lexer::tokens(sql)?,
            at: 0,
            depth: 0,
            height: 0,
            row_windows: vec![],
        })
    }

    /// What is no query: nothing at all, or a command, whose result is no stream.
    fn refuse_no_query(&self) -> Result<()> {
        if self.sql.trim().is_empty() {
            return Err(Error::spark(
                "PARSE_EMPTY_STATEMENT",
                "Syntax error, unexpected empty statement (line 1, pos 0)",
            ));
        }
        let commands = [
            "SHOW", "DESCRIBE", "DESC", "CREATE", "DROP", "EXPLAIN", "SET", "USE", "REFRESH",
        ];
        if self.is_any(&commands) && !matches!(self.kind_at(1), Kind::End) {
            return Err(Error::spark(
                "WRITE_STREAM_NOT_ALLOWED",
                "`writeStream` can be called only on streaming Dataset/DataFrame.",
            ));
        }
        Ok(())
    }

    fn kind(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    fn kind_at(&self, ahead: usize) -> &Kind {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].kind
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn error<T>(&self) -> Result<T> {
        let token = &self.tokens[self.at];
        Err(lexer::syntax_error(
            self.sql,
            token.start,
            &self.sql[token.start..token.end],
        ))
    }

    fn end(&self) -> Result<()> {
        if *self.kind() == Kind::End {
            Ok(())
        } else {
            self.error()
        }
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.kind(), Kind::Symbol(s) if *s == symbol)
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.accept(symbol) { Ok(()) } else { self.error() }
    }

    fn is_word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.kind_at(ahead), Kind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn is_word(&self, word: &str) -> bool {
        self.is_word_at(0, word)
    }

    fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn accept_words(&mut self, words: &[&str]) -> bool {
        let found = words
            .iter()
            .enumerate()
            .all(|(ahead, word)| self.is_word_at(ahead, word));
        if found {
            self.at += words.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.accept_word(word) { Ok(()) } else { self.error() }
    }

    fn name(&mut self) -> Result<String> {
        let name = match self.kind() {
            Kind::Word(name) | Kind::Quoted(name) => name.clone(),
            _ => return self.error(),
        };
        self.advance();
        Ok(name)
    }

    fn comma_list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut list = vec![one(self)?];
        while self.accept(",") {
            list.push(one(self)?);
        }
        Ok(list)
    }

    fn deeper<T>(&mut self, one: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(too_complex());
        }
        self.depth += 1;
        let beside = std::mem::take(&mut self.height);
        let result = one(self);
        self.height = beside.max(self.height + 1);
        self.depth -= 1;
        result
    }

    /// Parses what follows an operator: what the operator makes of it stands above all that was parsed before it.
    fn operand<T>(&mut self, one: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = std::mem::take(&mut self.height);
        let operand = one(self)?;
        self.height = before.max(self.height) + 1;
        match self.height > HEIGHT_MAX {
            true => Err(too_complex()),
            false => Ok(operand),
        }
    }

    /// Strings side by side are one.
    fn text(&mut self) -> String {
        let mut all = String::new();
        while let Kind::Text(text) = self.kind() {
            all.push_str(text);
            self.advance();
        }
        all
    }
}
