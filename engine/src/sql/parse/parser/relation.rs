//! FROM: tables, subqueries, joins, watermarks.

use super::Parser;
use super::query::{plain_query, star_select};
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;
use crate::{Error, Result};

impl Parser<'_> {
    pub(super) fn relation(&mut self) -> Result<Relation> {
        self.deeper(|parser| {
            let mut left = parser.primary_relation()?;
            while let Some((kind, natural)) = parser.join_kind()? {
                let right = parser.operand(Self::primary_relation)?;
                let on = if natural {
                    JoinOn::Natural
                } else if parser.accept_word("ON") {
                    JoinOn::Condition(parser.expr()?)
                } else if parser.accept_word("USING") {
                    JoinOn::Using(parser.names()?)
                } else {
                    JoinOn::Nothing
                };
                left = Relation::Join {
                    left: Box::new(left),
                    right: Box::new(right),
                    kind,
                    on,
                };
            }
            Ok(left)
        })
    }

    fn join_kind(&mut self) -> Result<Option<(JoinKind, bool)>> {
        let natural = self.accept_word("NATURAL");
        let kind = match self.kind() {
            Kind::Word(word) => word.to_ascii_uppercase(),
            _ => String::new(),
        };
        let kind = match kind.as_str() {
            "JOIN" => JoinKind::Inner,
            "INNER" => JoinKind::Inner,
            "CROSS" => JoinKind::Cross,
            "SEMI" => JoinKind::Semi,
            "ANTI" => JoinKind::Anti,
            "LEFT" if self.is_word_at(1, "SEMI") => JoinKind::Semi,
            "LEFT" if self.is_word_at(1, "ANTI") => JoinKind::Anti,
            "LEFT" => JoinKind::Left,
            "RIGHT" => JoinKind::Right,
            "FULL" => JoinKind::Full,
            _ if natural => return self.error(),
            _ => return Ok(None),
        };
        while self.is_any(&["INNER", "CROSS", "SEMI", "ANTI", "LEFT", "RIGHT", "FULL", "OUTER"]) {
            self.advance();
        }
        self.expect_word("JOIN")?;
        if self.is_word("LATERAL") {
            return Err(Error::unsupported("LATERAL joins are not supported yet"));
        }
        Ok(Some((kind, natural)))
    }

    fn primary_relation(&mut self) -> Result<Relation> {
        if self.is_word("LATERAL") {
            return Err(Error::unsupported("LATERAL subqueries are not supported yet"));
        }
        if self.is_word("VALUES") && matches!(self.kind_at(1), Kind::Symbol("(") | Kind::Number(_) | Kind::Text(_)) {
            let body = Body::Values(self.values()?);
            return self.derived(plain_query(body));
        }
        if self.is("(") {
            return self.parenthesized();
        }
        self.accept_word("STREAM");
        let name = self.dotted_name()?;
        if self.is("(") {
            return Err(Error::unsupported(format!(
                "the table function `{}` is not supported yet",
                name.join(".")
            )));
        }
        let watermark = self.watermark()?;
        let alias = self.table_alias()?;
        Ok(Relation::Table { name, alias, watermark })
    }

    /// `(query) alias` or `(relation)`.
    fn parenthesized(&mut self) -> Result<Relation> {
        let mut ahead = 1;
        while matches!(self.kind_at(ahead), Kind::Symbol("(")) {
            ahead += 1;
        }
        let starts_query = ["SELECT", "WITH", "VALUES", "FROM", "TABLE"]
            .iter()
            .any(|w| self.is_word_at(ahead, w));
        self.expect("(")?;
        if starts_query {
            let query = self.query()?;
            self.expect(")")?;
            return self.derived(query);
        }
        let relation = self.relation()?;
        self.expect(")")?;
        let alias = self.table_alias()?;
        if alias == Alias::default() {
            return Ok(relation);
        }
        let query = plain_query(Body::Select(Box::new(star_select(vec![relation]))));
        Ok(Relation::Derived {
            query: Box::new(query),
            alias,
            watermark: None,
        })
    }

    fn derived(&mut self, query: Query) -> Result<Relation> {
        let watermark = self.watermark()?;
        let alias = self.table_alias()?;
        Ok(Relation::Derived {
            query: Box::new(query),
            alias,
            watermark,
        })
    }

    pub(super) fn table_alias(&mut self) -> Result<Alias> {
        let name = self.alias_name()?;
        let columns = if name.is_some() && self.is("(") {
            self.names()?
        } else {
            vec![]
        };
        Ok(Alias { name, columns })
    }

    fn watermark(&mut self) -> Result<Option<Box<Watermark>>> {
        if !self.accept_word("WATERMARK") {
            return Ok(None);
        }
        let expr = self.expr()?;
        let alias = if self.accept_word("AS") {
            Some(self.name()?)
        } else {
            None
        };
        self.expect_word("DELAY")?;
        self.expect_word("OF")?;
        let delay = self.expr()?;
        Ok(Some(Box::new(Watermark { expr, alias, delay })))
    }

    pub(super) fn dotted_name(&mut self) -> Result<Vec<String>> {
        let mut name = vec![self.name()?];
        while self.accept(".") {
            name.push(self.name()?);
        }
        Ok(name)
    }
}
