//! Queries: WITH, set operations, SELECT and its clauses.

use std::collections::BTreeSet;

use super::Parser;
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;
use crate::{Error, Result};

/// Words that end a relation or an item and so cannot be an alias without AS.
pub(super) const NO_ALIAS: &[&str] = &[
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "SORT",
    "CLUSTER",
    "DISTRIBUTE",
    "LIMIT",
    "OFFSET",
    "UNION",
    "EXCEPT",
    "MINUS",
    "INTERSECT",
    "ON",
    "USING",
    "JOIN",
    "INNER",
    "LEFT",
    "RIGHT",
    "FULL",
    "CROSS",
    "SEMI",
    "ANTI",
    "NATURAL",
    "AS",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "AND",
    "OR",
    "NOT",
    "IN",
    "IS",
    "LIKE",
    "ILIKE",
    "RLIKE",
    "REGEXP",
    "BETWEEN",
    "DIV",
    "LATERAL",
    "PIVOT",
    "UNPIVOT",
    "TABLESAMPLE",
    "WINDOW",
    "QUALIFY",
    "WATERMARK",
    "DESC",
    "ASC",
    "NULLS",
    "SELECT",
    "DELAY",
    "FILTER",
    "OVER",
    "WITH",
];

impl Parser<'_> {
    pub(super) fn query(&mut self) -> Result<Query> {
        self.deeper(|parser| {
            let ctes = if parser.accept_word("WITH") {
                parser.ctes()?
            } else {
                vec![]
            };
            let body = parser.body(0)?;
            let order_by = parser.order_by()?;
            let (mut limit, mut offset) = (None, None);
            loop {
                if limit.is_none() && parser.accept_word("LIMIT") {
                    limit = if parser.accept_word("ALL") {
                        None
                    } else {
                        Some(parser.expr()?)
                    };
                } else if offset.is_none() && parser.accept_word("OFFSET") {
                    offset = Some(parser.expr()?);
                } else if parser.is("|>") {
                    return Err(Error::unsupported("the pipe operator `|>` is not supported yet"));
                } else {
                    return Ok(Query {
                        ctes,
                        body,
                        order_by,
                        limit,
                        offset,
                    });
                }
            }
        })
    }

    fn ctes(&mut self) -> Result<Vec<Cte>> {
        let named_so = self.is_word_at(1, "AS") || matches!(self.kind_at(1), Kind::Symbol(_));
        if self.is_word("RECURSIVE") && !named_so {
            return Err(Error::unsupported("WITH RECURSIVE is not supported yet"));
        }
        let ctes = self.comma_list(Self::cte)?;
        let mut names = BTreeSet::new();
        match ctes.iter().find(|cte| !names.insert(cte.name.to_lowercase())) {
            Some(cte) => Err(Error::spark(
                "DUPLICATED_CTE_NAMES",
                format!("CTE definition can't have duplicate names: `{}`.", cte.name),
            )),
            None => Ok(ctes),
        }
    }

    fn cte(&mut self) -> Result<Cte> {
        let name = self.name()?;
        let columns = if self.is("(") { self.names()? } else { vec![] };
        self.accept_word("AS");
        self.expect("(")?;
        let query = self.query()?;
        self.expect(")")?;
        Ok(Cte { name, columns, query })
    }

    pub(super) fn names(&mut self) -> Result<Vec<String>> {
        self.expect("(")?;
        let names = self.comma_list(Self::name)?;
        self.expect(")")?;
        Ok(names)
    }

    fn order_by(&mut self) -> Result<Vec<Order>> {
        // SORT BY, CLUSTER BY and DISTRIBUTE BY arrange partitions; a result has no other order than ORDER BY's. To cluster
        // is to distribute and to sort.
        let in_partitions = |order| Order {
            in_partitions: true,
            ..order
        };
        if self.accept_words(&["CLUSTER", "BY"]) {
            let orders = self.comma_list(Self::ascending)?;
            return Ok(orders.into_iter().map(in_partitions).collect());
        }
        if self.accept_words(&["DISTRIBUTE", "BY"]) {
            self.comma_list(Self::expr)?;
        }
        if self.accept_words(&["ORDER", "BY"]) {
            return self.comma_list(Self::order);
        }
        if self.accept_words(&["SORT", "BY"]) {
            let orders = self.comma_list(Self::order)?;
            return Ok(orders.into_iter().map(in_partitions).collect());
        }
        Ok(vec![])
    }

    fn ascending(&mut self) -> Result<Order> {
        Ok(Order {
            expr: self.expr()?,
            ascending: true,
            nulls_first: true,
            in_partitions: false,
        })
    }

    pub(super) fn order(&mut self) -> Result<Order> {
        let expr = self.expr()?;
        let ascending = !self.accept_word("DESC");
        self.accept_word("ASC");
        let nulls_first = match self.accept_word("NULLS") {
            true if self.accept_word("FIRST") => true,
            true => {
                self.expect_word("LAST")?;
                false
            }
            false => ascending,
        };
        Ok(Order {
            expr,
            in_partitions: false,
            ascending,
            nulls_first,
        })
    }

    /// Set operations: INTERSECT binds tighter than UNION and EXCEPT.
    fn body(&mut self, level: u8) -> Result<Body> {
        let mut left = if level == 0 {
            self.body(1)?
        } else {
            self.primary_body()?
        };
        loop {
            let op = match level {
                0 if self.accept_word("UNION") => SetOp::Union,
                0 if self.accept_word("EXCEPT") || self.accept_word("MINUS") => SetOp::Except,
                1 if self.accept_word("INTERSECT") => SetOp::Intersect,
                _ => return Ok(left),
            };
            let all = self.accept_word("ALL");
            self.accept_word("DISTINCT");
            let right = self.operand(|parser| match level {
                0 => parser.body(1),
                _ => parser.primary_body(),
            })?;
            left = Body::Set {
                op,
                all,
                left: Box::new(left),
                right: Box::new(right),
            };
        }
    }

    fn primary_body(&mut self) -> Result<Body> {
        if self.accept("(") {
            let query = self.query()?;
            self.expect(")")?;
            Ok(Body::Query(Box::new(query)))
        } else if self.is_word("VALUES") {
            let body = Body::Values(self.values()?);
            let alias = self.table_alias()?;
            if alias == Alias::default() {
                return Ok(body);
            }
            let named = Relation::Derived {
                query: Box::new(plain_query(body)),
                alias,
                watermark: None,
            };
            Ok(Body::Select(Box::new(star_select(vec![named]))))
        } else if self.accept_word("TABLE") {
            let name = self.dotted_name()?;
            let from = vec![Relation::Table {
                name,
                alias: Alias::default(),
                watermark: None,
            }];
            Ok(Body::Select(Box::new(star_select(from))))
        } else if self.accept_word("FROM") {
            let from = self.comma_list(Self::relation)?;
            if self.is_word("SELECT") {
                let mut select = self.select()?;
                select.from = from;
                return Ok(Body::Select(Box::new(select)));
            }
            Ok(Body::Select(Box::new(star_select(from))))
        } else {
            Ok(Body::Select(Box::new(self.select()?)))
        }
    }

    pub(super) fn values(&mut self) -> Result<Vec<Vec<Ast>>> {
        self.expect_word("VALUES")?;
        let rows = self.comma_list(Self::expr)?;
        Ok(rows
            .into_iter()
            .map(|row| if let Ast::Tuple(row) = row { row } else { vec![row] })
            .collect())
    }

    fn select(&mut self) -> Result<Select> {
        self.expect_word("SELECT")?;
        let around = std::mem::take(&mut self.row_windows);
        let distinct = self.accept_word("DISTINCT");
        if !distinct && self.is_word("ALL") && !matches!(self.kind_at(1), Kind::Symbol("," | ".")) {
            self.advance();
        }
        let items = self.comma_list(Self::item)?;
        let from = if self.accept_word("FROM") {
            self.comma_list(Self::relation)?
        } else {
            vec![]
        };
        self.refuse_unsupported()?;
        let filter = if self.accept_word("WHERE") {
            Some(self.expr()?)
        } else {
            None
        };
        let group_by = self.group_by()?;
        let having = if self.accept_word("HAVING") {
            Some(self.expr()?)
        } else {
            None
        };
        self.refuse_unsupported()?;
        self.window_clause()?;
        self.row_windows = around;
        Ok(Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
        })
    }

    /// `WINDOW name AS (...), ...`: where the names of windows over rows are defined.
    fn window_clause(&mut self) -> Result<()> {
        let mut defined = vec![];
        if self.accept_word("WINDOW") {
            defined = self.comma_list(|parser| {
                let name = parser.name()?;
                parser.expect_word("AS")?;
                if parser.accept("(") {
                    parser.row_window_rest()?;
                } else {
                    parser.name()?;
                }
                Ok(name)
            })?;
        }
        let is_defined = |name: &String| defined.iter().any(|known: &String| known.eq_ignore_ascii_case(name));
        match self.row_windows.iter().find(|name| !is_defined(name)) {
            Some(name) => Err(Error::spark(
                "MISSING_WINDOW_SPECIFICATION",
                format!("Window specification is not defined in the WINDOW clause for {name}."),
            )),
            None => Ok(()),
        }
    }

    /// Clauses that Spark runs and Skirl does not yet.
    fn refuse_unsupported(&self) -> Result<()> {
        for (clause, follows) in [
            ("LATERAL", "VIEW"),
            ("PIVOT", ""),
            ("UNPIVOT", ""),
            ("TABLESAMPLE", ""),
            ("QUALIFY", ""),
        ] {
            if self.is_word(clause) && (follows.is_empty() || self.is_word_at(1, follows)) {
                return Err(Error::unsupported(format!("{clause} clauses are not supported yet")));
            }
        }
        Ok(())
    }

    fn item(&mut self) -> Result<Item> {
        if self.is_word("FROM") && !matches!(self.kind_at(1), Kind::Symbol(_) | Kind::End) && self.at > 0 {
            let comma = matches!(self.tokens[self.at - 1].kind, Kind::Symbol(","));
            if comma {
                return Err(Error::spark(
                    "TRAILING_COMMA_IN_SELECT",
                    "Trailing comma detected in SELECT clause. Remove the trailing comma before the FROM clause.",
                ));
            }
        }
        let expr = self.expr()?;
        if matches!(expr, Ast::Star(_)) && self.is_word("EXCEPT") && matches!(self.kind_at(1), Kind::Symbol("(")) {
            return Err(Error::unsupported(
                "`* EXCEPT (...)` is not supported yet; name the columns",
            ));
        }
        let alias = self.alias_name()?;
        Ok(Item { expr, alias })
    }

    /// `AS name`, or a bare name that no clause begins with.
    pub(super) fn alias_name(&mut self) -> Result<Option<String>> {
        if self.accept_word("AS") {
            return self.name().map(Some);
        }
        match self.kind() {
            Kind::Quoted(_) => self.name().map(Some),
            Kind::Word(word) if !NO_ALIAS.iter().any(|w| w.eq_ignore_ascii_case(word)) => self.name().map(Some),
            _ => Ok(None),
        }
    }
}

pub(super) fn plain_query(body: Body) -> Query {
    Query {
        ctes: vec![],
        body,
        order_by: vec![],
        limit: None,
        offset: None,
    }
}

pub(super) fn star_select(from: Vec<Relation>) -> Select {
    let items = vec![Item {
        expr: Ast::Star(vec![]),
        alias: None,
    }];
    Select {
        distinct: false,
        items,
        from,
        filter: None,
        group_by: GroupBy::None,
        having: None,
    }
}
