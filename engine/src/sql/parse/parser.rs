//! Recursive descent over Spark's query grammar; binary operators by precedence climbing.

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};

use super::ast::*;
use super::lexer::{self, Kind, Token};
use crate::sql::interval;
use crate::sql::timestamp_type;
use crate::{Error, Result};

/// Parses one query; a semicolon may end it.
pub fn parse_query(sql: &str) -> Result<Query> {
    let mut parser = Parser::new(sql)?;
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

/// Words that end a relation or an item and so cannot be an alias without AS.
const NO_ALIAS: &[&str] = &[
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

struct Parser<'a> {
    sql: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

/// How deep expressions and queries may nest, so that no text can exhaust the stack.
const DEPTH_MAX: usize = 100;

impl<'a> Parser<'a> {
    fn new(sql: &'a str) -> Result<Self> {
        Ok(Self {
            sql,
            tokens: lexer::tokens(sql)?,
            at: 0,
            depth: 0,
        })
    }

    // ---- tokens

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
            return Err(Error::spark(
                "FAILED_TO_PARSE_TOO_COMPLEX",
                "The statement, including potential SQL functions and referenced views, was too complex to parse.",
            ));
        }
        self.depth += 1;
        let result = one(self);
        self.depth -= 1;
        result
    }

    // ---- queries

    fn query(&mut self) -> Result<Query> {
        self.deeper(|parser| {
            let ctes = if parser.accept_word("WITH") {
                parser.comma_list(Self::cte)?
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

    fn cte(&mut self) -> Result<Cte> {
        let name = self.name()?;
        let columns = if self.is("(") { self.names()? } else { vec![] };
        self.accept_word("AS");
        self.expect("(")?;
        let query = self.query()?;
        self.expect(")")?;
        Ok(Cte { name, columns, query })
    }

    fn names(&mut self) -> Result<Vec<String>> {
        self.expect("(")?;
        let names = self.comma_list(Self::name)?;
        self.expect(")")?;
        Ok(names)
    }

    fn order_by(&mut self) -> Result<Vec<Order>> {
        // SORT BY, CLUSTER BY and DISTRIBUTE BY arrange partitions; a result has no other order than ORDER BY's.
        if self.accept_words(&["DISTRIBUTE", "BY"]) || self.accept_words(&["CLUSTER", "BY"]) {
            self.comma_list(Self::expr)?;
        }
        if self.accept_words(&["ORDER", "BY"]) || self.accept_words(&["SORT", "BY"]) {
            return self.comma_list(Self::order);
        }
        Ok(vec![])
    }

    fn order(&mut self) -> Result<Order> {
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
            let right = if level == 0 {
                self.body(1)?
            } else {
                self.primary_body()?
            };
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

    fn values(&mut self) -> Result<Vec<Vec<Ast>>> {
        self.expect_word("VALUES")?;
        let rows = self.comma_list(Self::expr)?;
        Ok(rows
            .into_iter()
            .map(|row| if let Ast::Tuple(row) = row { row } else { vec![row] })
            .collect())
    }

    fn select(&mut self) -> Result<Select> {
        self.expect_word("SELECT")?;
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
        Ok(Select {
            distinct,
            items,
            from,
            filter,
            group_by,
            having,
        })
    }

    /// Clauses that Spark runs and Skirl does not yet.
    fn refuse_unsupported(&self) -> Result<()> {
        for (clause, follows) in [
            ("LATERAL", "VIEW"),
            ("PIVOT", ""),
            ("UNPIVOT", ""),
            ("TABLESAMPLE", ""),
            ("QUALIFY", ""),
            ("WINDOW", ""),
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
    fn alias_name(&mut self) -> Result<Option<String>> {
        if self.accept_word("AS") {
            return self.name().map(Some);
        }
        match self.kind() {
            Kind::Quoted(_) => self.name().map(Some),
            Kind::Word(word) if !NO_ALIAS.iter().any(|w| w.eq_ignore_ascii_case(word)) => self.name().map(Some),
            _ => Ok(None),
        }
    }

    fn group_by(&mut self) -> Result<GroupBy> {
        if !self.accept_words(&["GROUP", "BY"]) {
            return Ok(GroupBy::None);
        }
        if self.is_word("ALL") && !matches!(self.kind_at(1), Kind::Symbol("," | "." | "(")) {
            self.advance();
            return Ok(GroupBy::All);
        }
        let mut grouping = Grouping::default();
        loop {
            grouping.add(self.grouping_part()?);
            if !self.accept(",") {
                break;
            }
        }
        if self.accept_word("WITH") {
            let rollup = self.accept_word("ROLLUP");
            if !rollup {
                self.expect_word("CUBE")?;
            }
            let parts: Vec<Vec<Ast>> = grouping.by.iter().map(|ast| vec![ast.clone()]).collect();
            grouping.sets = vec![vec![]];
            grouping.add(if rollup { rollup_sets(&parts) } else { cube_sets(&parts) });
        } else if self.accept_words(&["GROUPING", "SETS"]) {
            let sets = self.grouping_groups()?;
            grouping.sets = vec![vec![]];
            grouping.add(sets);
        }
        Ok(grouping.group_by())
    }

    /// What one part of a GROUP BY groups by: an expression, or the sets of ROLLUP, CUBE or GROUPING SETS.
    fn grouping_part(&mut self) -> Result<Vec<Vec<Ast>>> {
        let follows = |parser: &Self| matches!(parser.kind_at(1), Kind::Symbol("("));
        if self.is_word("ROLLUP") && follows(self) {
            self.advance();
            return Ok(rollup_sets(&self.grouping_groups()?));
        }
        if self.is_word("CUBE") && follows(self) {
            self.advance();
            return Ok(cube_sets(&self.grouping_groups()?));
        }
        if self.accept_words(&["GROUPING", "SETS"]) {
            return self.grouping_groups();
        }
        Ok(vec![vec![self.expr()?]])
    }

    /// `((a, b), c, ())`.
    fn grouping_groups(&mut self) -> Result<Vec<Vec<Ast>>> {
        self.expect("(")?;
        let groups = self.comma_list(|parser| {
            if parser.is("(") && matches!(parser.kind_at(1), Kind::Symbol(")")) {
                parser.advance();
                parser.advance();
                return Ok(vec![]);
            }
            Ok(match parser.expr()? {
                Ast::Tuple(group) => group,
                one => vec![one],
            })
        })?;
        self.expect(")")?;
        Ok(groups)
    }

    fn relation(&mut self) -> Result<Relation> {
        self.deeper(|parser| {
            let mut left = parser.primary_relation()?;
            while let Some((kind, natural)) = parser.join_kind()? {
                let right = parser.primary_relation()?;
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

    fn table_alias(&mut self) -> Result<Alias> {
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

    fn dotted_name(&mut self) -> Result<Vec<String>> {
        let mut name = vec![self.name()?];
        while self.accept(".") {
            name.push(self.name()?);
        }
        Ok(name)
    }

    // ---- expressions

    fn expr(&mut self) -> Result<Ast> {
        self.deeper(|parser| parser.or())
    }

    fn or(&mut self) -> Result<Ast> {
        let mut left = self.and()?;
        while self.accept_word("OR") {
            left = binary(BinaryOp::Or, left, self.and()?);
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Ast> {
        let mut left = self.not()?;
        while self.accept_word("AND") {
            left = binary(BinaryOp::And, left, self.not()?);
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Ast> {
        if self.accept_word("NOT") || self.accept("!") {
            let negated = self.deeper(Self::not)?;
            return Ok(Ast::Unary(UnaryOp::Not, Box::new(negated)));
        }
        self.predicate()
    }

    /// A value and what is asked of it: a comparison, IN, BETWEEN, LIKE, IS.
    fn predicate(&mut self) -> Result<Ast> {
        let mut left = self.value(0)?;
        loop {
            let comparison = match self.kind() {
                Kind::Symbol("=" | "==") => Some(BinaryOp::Eq),
                Kind::Symbol("<=>") => Some(BinaryOp::NullSafeEq),
                Kind::Symbol("<>" | "!=") => Some(BinaryOp::NotEq),
                Kind::Symbol("<") => Some(BinaryOp::Lt),
                Kind::Symbol("<=") => Some(BinaryOp::LtEq),
                Kind::Symbol(">") => Some(BinaryOp::Gt),
                Kind::Symbol(">=") => Some(BinaryOp::GtEq),
                _ => None,
            };
            if let Some(op) = comparison {
                self.advance();
                left = binary(op, left, self.value(0)?);
                continue;
            }
            if self.accept_word("IS") {
                left = self.is_predicate(left)?;
                continue;
            }
            let negated = self.is_word("NOT")
                && ["IN", "BETWEEN", "LIKE", "ILIKE", "RLIKE", "REGEXP"]
                    .iter()
                    .any(|w| self.is_word_at(1, w));
            if negated {
                self.advance();
            }
            let Some(predicate) = self.worded_predicate(&left)? else {
                return Ok(left);
            };
            left = if negated { not(predicate) } else { predicate };
        }
    }

    fn is_predicate(&mut self, left: Ast) -> Result<Ast> {
        let negated = self.accept_word("NOT");
        let tested = if self.accept_word("NULL") || self.accept_word("UNKNOWN") {
            return Ok(Ast::IsNull(Box::new(left), negated));
        } else if self.accept_words(&["DISTINCT", "FROM"]) {
            not(binary(BinaryOp::NullSafeEq, left, self.value(0)?))
        } else {
            let truth = self.is_word("TRUE");
            if !self.is_any(&["TRUE", "FALSE"]) {
                return self.error();
            }
            self.advance();
            binary(BinaryOp::NullSafeEq, left, Ast::Bool(truth))
        };
        Ok(match tested {
            Ast::Unary(UnaryOp::Not, inner) if negated => *inner,
            tested if negated => not(tested),
            tested => tested,
        })
    }

    fn worded_predicate(&mut self, left: &Ast) -> Result<Option<Ast>> {
        let expr = || Box::new(left.clone());
        if self.accept_word("BETWEEN") {
            let low = self.value(0)?;
            self.expect_word("AND")?;
            let high = self.value(0)?;
            return Ok(Some(Ast::Between(expr(), Box::new(low), Box::new(high))));
        }
        if self.accept_word("IN") {
            self.expect("(")?;
            // Spark takes `IN (SELECT 'x')` for a list with a typed literal, as in `IN (DATE '2024-01-01')`.
            if self.is_word("SELECT")
                && matches!(self.kind_at(1), Kind::Text(_))
                && matches!(self.kind_at(2), Kind::Symbol(")" | ","))
            {
                return Err(Error::spark(
                    "UNSUPPORTED_TYPED_LITERAL",
                    "Literals of the type \"SELECT\" are not supported; write a list without SELECT.",
                ));
            }
            let found = if self.is_any(&["SELECT", "WITH", "VALUES", "FROM"]) {
                Ast::InQuery(expr(), Box::new(self.query()?))
            } else {
                Ast::In(expr(), self.comma_list(Self::expr)?)
            };
            self.expect(")")?;
            return Ok(Some(found));
        }
        let kind = match () {
            _ if self.accept_word("LIKE") => LikeKind::Like,
            _ if self.accept_word("ILIKE") => LikeKind::ILike,
            _ if self.accept_word("RLIKE") || self.accept_word("REGEXP") => LikeKind::RLike,
            _ => return Ok(None),
        };
        let pattern = self.value(0)?;
        let mut escape = None;
        if self.accept_word("ESCAPE") {
            let Kind::Text(text) = self.kind() else {
                return self.error();
            };
            escape = text.chars().next();
            self.advance();
        }
        Ok(Some(Ast::Like {
            kind,
            expr: expr(),
            pattern: Box::new(pattern),
            escape,
        }))
    }

    /// Arithmetic, from `|` (0) to `*` (5).
    fn value(&mut self, level: u8) -> Result<Ast> {
        if level == 6 {
            return self.unary();
        }
        let mut left = self.value(level + 1)?;
        while let Some(op) = self.value_op(level) {
            self.advance();
            left = binary(op, left, self.value(level + 1)?);
        }
        Ok(left)
    }

    fn value_op(&self, level: u8) -> Option<BinaryOp> {
        let symbol = match self.kind() {
            Kind::Symbol(symbol) => symbol,
            Kind::Word(word) if word.eq_ignore_ascii_case("DIV") => "div",
            _ => return None,
        };
        match (level, symbol) {
            (0, "|") => Some(BinaryOp::BitOr),
            (1, "^") => Some(BinaryOp::BitXor),
            (2, "&") => Some(BinaryOp::BitAnd),
            (3, "<<") => Some(BinaryOp::ShiftLeft),
            (3, ">>") => Some(BinaryOp::ShiftRight),
            (4, "+") => Some(BinaryOp::Plus),
            (4, "-") => Some(BinaryOp::Minus),
            (4, "||") => Some(BinaryOp::Concat),
            (5, "*") => Some(BinaryOp::Multiply),
            (5, "/") => Some(BinaryOp::Divide),
            (5, "%") => Some(BinaryOp::Modulo),
            (5, "div") => Some(BinaryOp::IntDivide),
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Ast> {
        let op = match self.kind() {
            Kind::Symbol("-") => {
                // A minus and a number are one literal: -2147483648 is an int.
                if let Kind::Number(number) = self.kind_at(1) {
                    let number = format!("-{number}");
                    self.at += 2;
                    return self.postfix(Ast::Number(number));
                }
                UnaryOp::Minus
            }
            Kind::Symbol("+") => UnaryOp::Plus,
            Kind::Symbol("~") => UnaryOp::BitNot,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        self.advance();
        let operand = self.deeper(Self::unary)?;
        Ok(Ast::Unary(op, Box::new(operand)))
    }

    /// `.field`, `[key]` and `::type` after a value.
    fn postfix(&mut self, mut expr: Ast) -> Result<Ast> {
        loop {
            if self.is(".") && !matches!(expr, Ast::Number(_)) {
                self.advance();
                if self.accept("*") {
                    let Ast::Name(name) = expr else { return self.error() };
                    return Ok(Ast::Star(name));
                }
                let field = self.name()?;
                expr = match expr {
                    Ast::Name(mut name) => {
                        name.push(field);
                        Ast::Name(name)
                    }
                    other => Ast::Field(Box::new(other), field),
                };
            } else if self.accept("[") {
                let key = self.expr()?;
                self.expect("]")?;
                expr = Ast::Element(Box::new(expr), Box::new(key));
            } else if self.accept("::") {
                expr = Ast::Cast {
                    expr: Box::new(expr),
                    to: self.type_text()?,
                    forgiving: false,
                };
            } else {
                return Ok(expr);
            }
        }
    }

    fn primary(&mut self) -> Result<Ast> {
        match self.kind().clone() {
            Kind::Number(number) => {
                self.advance();
                Ok(Ast::Number(number))
            }
            Kind::Text(_) => Ok(Ast::Text(self.text())),
            Kind::Symbol("*") => {
                self.advance();
                Ok(Ast::Star(vec![]))
            }
            Kind::Symbol("(") => self.parentheses(),
            Kind::Quoted(_) => {
                let name = self.name()?;
                self.name_or_call(name, true)
            }
            Kind::Word(word) => self.worded(word),
            _ => self.error(),
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

    fn parentheses(&mut self) -> Result<Ast> {
        self.expect("(")?;
        if self.begins_query(0) {
            let query = self.query()?;
            self.expect(")")?;
            return Ok(Ast::Scalar(Box::new(query)));
        }
        let mut list = self.comma_list(Self::expr)?;
        self.expect(")")?;
        Ok(if list.len() == 1 {
            list.remove(0)
        } else {
            Ast::Tuple(list)
        })
    }

    /// Whether a query without parentheses begins `ahead` tokens from here.
    fn begins_query(&self, ahead: usize) -> bool {
        let queries = ["SELECT", "WITH", "FROM"];
        queries.iter().any(|word| self.is_word_at(ahead, word))
            || self.is_word_at(ahead, "VALUES") && matches!(self.kind_at(ahead + 1), Kind::Symbol("("))
    }

    /// Whether a query begins `ahead` tokens from here, in whatever parentheses.
    fn opens_query(&self, ahead: usize) -> bool {
        self.begins_query(ahead) || matches!(self.kind_at(ahead), Kind::Symbol("(")) && self.opens_query(ahead + 1)
    }

    /// A value that begins with a word: a literal, a special form, a call or a name.
    fn worded(&mut self, word: String) -> Result<Ast> {
        let upper = word.to_ascii_uppercase();
        let next = self.kind_at(1).clone();
        let opens = next == Kind::Symbol("(");
        self.advance();
        match upper.as_str() {
            "NULL" => Ok(Ast::Null),
            "TRUE" => Ok(Ast::Bool(true)),
            "FALSE" => Ok(Ast::Bool(false)),
            "CASE" if !matches!(next, Kind::Symbol(_) | Kind::End) || opens => self.case(),
            "CAST" | "TRY_CAST" if opens => self.cast(upper == "TRY_CAST"),
            "EXISTS" if opens && self.opens_query(1) => {
                self.expect("(")?;
                let query = self.query()?;
                self.expect(")")?;
                Ok(Ast::Exists(Box::new(query)))
            }
            "EXTRACT" if opens => self.extract(),
            "TRIM" if opens => self.trim(word),
            "SUBSTRING" | "SUBSTR" if opens => self.substring(word),
            "POSITION" if opens => self.position(word),
            "INTERVAL" if matches!(next, Kind::Number(_) | Kind::Text(_) | Kind::Symbol("-" | "+")) => {
                Ok(Ast::Interval(self.interval()?))
            }
            "TIMESTAMP" | "DATE" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "X" if matches!(next, Kind::Text(_)) => {
                let kind = match upper.as_str() {
                    "DATE" => "DATE",
                    "TIMESTAMP_NTZ" => "TIMESTAMP_NTZ",
                    "X" => "X",
                    _ => "TIMESTAMP",
                };
                Ok(Ast::Typed(kind, self.text()))
            }
            "CURRENT_TIMESTAMP" | "CURRENT_DATE" | "LOCALTIMESTAMP" if !opens => {
                Ok(call(upper.to_ascii_lowercase(), vec![]))
            }
            _ if matches!(next, Kind::Text(_)) && !upper.is_empty() && !NO_ALIAS.contains(&upper.as_str()) => {
                Err(Error::spark(
                    "UNSUPPORTED_TYPED_LITERAL",
                    format!(
                        "Literals of the type \"{upper}\" are not supported. Supported types are \"DATE\", \
                         \"TIMESTAMP_NTZ\", \"TIMESTAMP_LTZ\", \"TIMESTAMP\", \"INTERVAL\", \"X\"."
                    ),
                ))
            }
            _ => self.name_or_call(word, false),
        }
    }

    fn name_or_call(&mut self, name: String, quoted: bool) -> Result<Ast> {
        if !self.is("(") {
            return Ok(Ast::Name(vec![name]));
        }
        let upper = name.to_ascii_uppercase();
        let with_unit = [
            "TIMESTAMPADD",
            "DATEADD",
            "DATE_ADD",
            "TIMESTAMPDIFF",
            "DATEDIFF",
            "DATE_DIFF",
        ];
        if !quoted
            && with_unit.contains(&upper.as_str())
            && let Some(call) = self.unit_call(&name)?
        {
            return Ok(call);
        }
        self.expect("(")?;
        let distinct = self.accept_word("DISTINCT");
        if !distinct && self.is_word("ALL") && !matches!(self.kind_at(1), Kind::Symbol(_)) {
            self.advance();
        }
        let args = if self.is(")") {
            vec![]
        } else {
            self.comma_list(Self::argument)?
        };
        let mut ignore_nulls = self.nulls_treatment();
        self.expect(")")?;
        ignore_nulls |= self.nulls_treatment();
        let mut filter = None;
        if self.is_word("FILTER") && matches!(self.kind_at(1), Kind::Symbol("(")) {
            self.advance();
            self.expect("(")?;
            self.expect_word("WHERE")?;
            filter = Some(self.expr()?);
            self.expect(")")?;
        }
        let over = self.is_word("OVER") && !matches!(self.kind_at(1), Kind::Symbol("," | ")") | Kind::End);
        if over {
            self.advance();
            self.skip_over()?;
        }
        Ok(Ast::Call(Box::new(Call {
            name,
            args,
            distinct,
            filter,
            over,
            ignore_nulls,
        })))
    }

    fn nulls_treatment(&mut self) -> bool {
        self.accept_words(&["RESPECT", "NULLS"]);
        self.accept_words(&["IGNORE", "NULLS"])
    }

    /// `OVER name` or `OVER ( ... )`: windows over rows are recognised, not planned.
    fn skip_over(&mut self) -> Result<()> {
        if !self.accept("(") {
            return self.name().map(|_| ());
        }
        let mut open = 1;
        while open > 0 {
            match self.kind() {
                Kind::Symbol("(") => open += 1,
                Kind::Symbol(")") => open -= 1,
                Kind::End => return self.error(),
                _ => {}
            }
            self.advance();
        }
        Ok(())
    }

    fn argument(&mut self) -> Result<Ast> {
        self.refuse_lambda()?;
        let expr = self.expr()?;
        if self.accept_word("AS") {
            return Ok(Ast::Named(Box::new(expr), self.name()?));
        }
        Ok(expr)
    }

    /// `x -> ...`, `(x, y) -> ...`.
    fn refuse_lambda(&self) -> Result<()> {
        let mut ahead = 0;
        if matches!(self.kind_at(0), Kind::Symbol("(")) {
            while matches!(
                self.kind_at(ahead),
                Kind::Word(_) | Kind::Quoted(_) | Kind::Symbol("(" | ",")
            ) {
                ahead += 1;
            }
        }
        if matches!(self.kind_at(ahead + 1), Kind::Symbol("->")) {
            return Err(Error::unsupported(
                "functions of functions (x -> ...) are not supported yet",
            ));
        }
        Ok(())
    }

    /// `timestampadd(MINUTE, ...)`: the unit is a bare word.
    fn unit_call(&mut self, name: &str) -> Result<Option<Ast>> {
        let (Kind::Word(unit), Kind::Symbol(",")) = (self.kind_at(1).clone(), self.kind_at(2)) else {
            return Ok(None);
        };
        let units = [
            "MICROSECOND",
            "MILLISECOND",
            "SECOND",
            "MINUTE",
            "HOUR",
            "DAY",
            "DAYOFYEAR",
            "WEEK",
            "MONTH",
            "QUARTER",
            "YEAR",
        ];
        if !units.contains(&unit.to_ascii_uppercase().as_str()) {
            return Ok(None);
        }
        self.expect("(")?;
        self.at += 2;
        let mut args = vec![Ast::Text(unit.to_ascii_uppercase())];
        args.extend(self.comma_list(Self::expr)?);
        self.expect(")")?;
        let name = if name.to_ascii_uppercase().ends_with("ADD") {
            "timestampadd"
        } else {
            "timestampdiff"
        };
        Ok(Some(call(name.into(), args)))
    }

    fn case(&mut self) -> Result<Ast> {
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

    fn cast(&mut self, forgiving: bool) -> Result<Ast> {
        self.expect("(")?;
        let expr = Box::new(self.expr()?);
        self.expect_word("AS")?;
        let to = self.type_text()?;
        self.expect(")")?;
        Ok(Ast::Cast { expr, to, forgiving })
    }

    /// A type, checked here, kept as text.
    fn type_text(&mut self) -> Result<String> {
        let start = self.tokens[self.at].start;
        self.data_type()?;
        Ok(self.sql[start..self.tokens[self.at - 1].end].to_string())
    }

    fn extract(&mut self) -> Result<Ast> {
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

    fn trim(&mut self, word: String) -> Result<Ast> {
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

    fn substring(&mut self, word: String) -> Result<Ast> {
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

    fn position(&mut self, word: String) -> Result<Ast> {
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
    fn interval(&mut self) -> Result<Interval> {
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

    // ---- types

    fn data_type(&mut self) -> Result<DataType> {
        let word = self.name()?;
        let upper = word.to_ascii_uppercase();
        Ok(match upper.as_str() {
            "BOOLEAN" => DataType::Boolean,
            "TINYINT" | "BYTE" => DataType::Int8,
            "SMALLINT" | "SHORT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" | "LONG" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => DataType::Float64,
            "DATE" => DataType::Date32,
            "TIMESTAMP" | "TIMESTAMP_LTZ" => timestamp_type(),
            "TIMESTAMP_NTZ" => DataType::Timestamp(TimeUnit::Microsecond, None),
            "STRING" => DataType::Utf8,
            "VARCHAR" | "CHAR" | "CHARACTER" => {
                self.lengths()?;
                DataType::Utf8
            }
            "BINARY" => DataType::Binary,
            "VOID" => DataType::Null,
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal()?,
            "INTERVAL" => {
                while self.is_any(&["DAY", "HOUR", "MINUTE", "SECOND", "TO"]) {
                    self.advance();
                }
                DataType::Duration(TimeUnit::Microsecond)
            }
            "ARRAY" => {
                self.expect("<")?;
                let element = self.data_type()?;
                self.close_angle()?;
                DataType::List(Field::new_list_field(element, true).into())
            }
            "MAP" => self.map_type()?,
            "STRUCT" => {
                self.expect("<")?;
                let fields = if self.is(">") || self.is(">>") {
                    Fields::empty()
                } else {
                    self.fields(Kind::Symbol(">"))?
                };
                self.close_angle()?;
                DataType::Struct(fields)
            }
            _ => {
                return Err(Error::spark(
                    "UNSUPPORTED_DATATYPE",
                    format!("Unsupported data type \"{upper}\"."),
                ));
            }
        })
    }

    fn lengths(&mut self) -> Result<Vec<u32>> {
        if !self.accept("(") {
            return Ok(vec![]);
        }
        let lengths = self.comma_list(|parser| {
            let length = match parser.kind() {
                Kind::Number(number) => number.parse().ok(),
                _ => None,
            };
            let Some(length) = length else { return parser.error() };
            parser.advance();
            Ok(length)
        })?;
        self.expect(")")?;
        Ok(lengths)
    }

    fn decimal(&mut self) -> Result<DataType> {
        let (precision, scale) = match self.lengths()?.as_slice() {
            [] => (10, 0),
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return self.error(),
        };
        if precision > 38 || scale > precision {
            return Err(Error::spark(
                "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION",
                format!("Decimal precision {precision} exceeds max precision 38."),
            ));
        }
        Ok(DataType::Decimal128(precision as u8, scale as i8))
    }

    fn map_type(&mut self) -> Result<DataType> {
        self.expect("<")?;
        let key = self.data_type()?;
        self.expect(",")?;
        let value = self.data_type()?;
        self.close_angle()?;
        Ok(crate::sql::types::map_of(key, value))
    }

    /// `>`; of `>>` the half.
    fn close_angle(&mut self) -> Result<()> {
        if self.is(">>") {
            self.tokens[self.at].kind = Kind::Symbol(">");
            self.tokens[self.at].start += 1;
            return Ok(());
        }
        self.expect(">")
    }

    fn fields(&mut self, end: Kind) -> Result<Fields> {
        let fields = self.comma_list(|parser| {
            let name = parser.name()?;
            parser.accept(":");
            let data_type = parser.data_type()?;
            let nullable = !parser.accept_words(&["NOT", "NULL"]);
            if parser.accept_word("COMMENT") {
                parser.text();
            }
            Ok(Field::new(name, data_type, nullable))
        })?;
        let closes = *self.kind() == end || end == Kind::Symbol(">") && self.is(">>");
        if closes { Ok(fields.into()) } else { self.error() }
    }
}

fn binary(op: BinaryOp, left: Ast, right: Ast) -> Ast {
    Ast::Binary(op, Box::new(left), Box::new(right))
}

fn not(expr: Ast) -> Ast {
    Ast::Unary(UnaryOp::Not, Box::new(expr))
}

fn call(name: String, args: Vec<Ast>) -> Ast {
    Ast::Call(Box::new(Call {
        name,
        args,
        distinct: false,
        filter: None,
        over: false,
        ignore_nulls: false,
    }))
}

fn plain_query(body: Body) -> Query {
    Query {
        ctes: vec![],
        body,
        order_by: vec![],
        limit: None,
        offset: None,
    }
}

fn star_select(from: Vec<Relation>) -> Select {
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

/// The sets of a GROUP BY, while its parts are read: each part multiplies them by its own.
struct Grouping {
    by: Vec<Ast>,
    sets: Vec<Vec<usize>>,
    plain: bool,
}

impl Default for Grouping {
    fn default() -> Self {
        Self {
            by: vec![],
            sets: vec![vec![]],
            plain: true,
        }
    }
}

impl Grouping {
    fn add(&mut self, sets: Vec<Vec<Ast>>) {
        self.plain &= matches!(sets.as_slice(), [set] if set.len() == 1);
        let mut numbered = vec![];
        for set in sets {
            numbered.push(set.into_iter().map(|ast| self.number(ast)).collect::<Vec<usize>>());
        }
        let all = self.sets.iter().flat_map(|left| {
            numbered.iter().map(|right| {
                let new = right.iter().filter(|number| !left.contains(number));
                left.iter().chain(new).copied().collect()
            })
        });
        self.sets = all.collect();
    }

    fn number(&mut self, ast: Ast) -> usize {
        self.by.iter().position(|known| *known == ast).unwrap_or_else(|| {
            self.by.push(ast);
            self.by.len() - 1
        })
    }

    fn group_by(self) -> GroupBy {
        match self.plain {
            true => GroupBy::By(self.by),
            false => GroupBy::Sets {
                by: self.by,
                sets: self.sets,
            },
        }
    }
}

/// `(a, b), (a), ()`.
fn rollup_sets(groups: &[Vec<Ast>]) -> Vec<Vec<Ast>> {
    (0..=groups.len()).rev().map(|kept| groups[..kept].concat()).collect()
}

/// Every choice of groups, larger ones first.
fn cube_sets(groups: &[Vec<Ast>]) -> Vec<Vec<Ast>> {
    match groups.split_first() {
        None => vec![vec![]],
        Some((first, rest)) => {
            let rest = cube_sets(rest);
            let with = rest.iter().map(|set| [first.clone(), set.clone()].concat());
            with.chain(rest.iter().cloned()).collect()
        }
    }
}
