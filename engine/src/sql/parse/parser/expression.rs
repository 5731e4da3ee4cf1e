//! Expressions: operators by precedence, predicates, and the values they stand between.

use super::Parser;
use super::call::call;
use super::query::NO_ALIAS;
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;
use crate::{Error, Result};

/// What predicates of words begin with, after NOT perhaps.
const PREDICATES: [&str; 6] = ["IN", "BETWEEN", "LIKE", "ILIKE", "RLIKE", "REGEXP"];

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Ast> {
        self.deeper(|parser| parser.or())
    }

    fn or(&mut self) -> Result<Ast> {
        let mut left = self.and()?;
        while self.accept_word("OR") {
            left = binary(BinaryOp::Or, left, self.operand(Self::and)?);
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Ast> {
        let mut left = self.not()?;
        while self.accept_word("AND") {
            left = binary(BinaryOp::And, left, self.operand(Self::not)?);
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
                left = binary(op, left, self.operand(|parser| parser.value(0))?);
                continue;
            }
            if self.accept_word("IS") {
                left = self.operand(|parser| parser.is_predicate(left))?;
                continue;
            }
            let negated = self.is_word("NOT") && PREDICATES.iter().any(|word| self.is_word_at(1, word));
            if negated {
                self.advance();
            }
            if !self.is_any(&PREDICATES) {
                return Ok(left);
            }
            if self.is_quantified_like() {
                left = self.operand(|parser| parser.quantified_like(&left, negated))?;
                continue;
            }
            let predicate = self.operand(|parser| parser.worded_predicate(&left))?;
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

    fn is_quantified_like(&self) -> bool {
        let quantifiers = ["ANY", "SOME", "ALL"];
        self.is_any(&["LIKE", "ILIKE"])
            && quantifiers.iter().any(|word| self.is_word_at(1, word))
            && matches!(self.kind_at(2), Kind::Symbol("("))
    }

    /// `LIKE ANY (...)`, `LIKE ALL (...)`: each pattern is asked for, and NOT belongs to each.
    fn quantified_like(&mut self, left: &Ast, negated: bool) -> Result<Ast> {
        let kind = match self.accept_word("LIKE") {
            true => LikeKind::Like,
            false => {
                self.expect_word("ILIKE")?;
                LikeKind::ILike
            }
        };
        let op = match self.accept_word("ALL") {
            true => BinaryOp::And,
            false => BinaryOp::Or,
        };
        if op == BinaryOp::Or {
            self.advance();
        }
        self.expect("(")?;
        let patterns = self.comma_list(Self::expr)?;
        self.expect(")")?;
        // One stands above the other.
        self.height += patterns.len();
        let likes = patterns.into_iter().map(|pattern| {
            let like = Ast::Like {
                kind,
                expr: Box::new(left.clone()),
                pattern: Box::new(pattern),
                escape: None,
            };
            if negated { not(like) } else { like }
        });
        let all = likes.reduce(|l, r| binary(op, l, r));
        all.map_or_else(|| self.error(), Ok)
    }

    fn worded_predicate(&mut self, left: &Ast) -> Result<Ast> {
        let expr = || Box::new(left.clone());
        if self.accept_word("BETWEEN") {
            let low = self.value(0)?;
            self.expect_word("AND")?;
            let high = self.value(0)?;
            return Ok(Ast::Between(expr(), Box::new(low), Box::new(high)));
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
            return Ok(found);
        }
        let kind = match () {
            _ if self.accept_word("LIKE") => LikeKind::Like,
            _ if self.accept_word("ILIKE") => LikeKind::ILike,
            _ if self.accept_word("RLIKE") || self.accept_word("REGEXP") => LikeKind::RLike,
            _ => return self.error(),
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
        Ok(Ast::Like {
            kind,
            expr: expr(),
            pattern: Box::new(pattern),
            escape,
        })
    }

    /// Arithmetic, from `|` (0) to `*` (5).
    pub(super) fn value(&mut self, level: u8) -> Result<Ast> {
        if level == 6 {
            return self.unary();
        }
        let mut left = self.value(level + 1)?;
        while let Some(op) = self.value_op(level) {
            self.advance();
            left = binary(op, left, self.operand(|parser| parser.value(level + 1))?);
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
                let field = self.operand(Self::name)?;
                expr = match expr {
                    Ast::Name(mut name) => {
                        name.push(field);
                        Ast::Name(name)
                    }
                    other => Ast::Field(Box::new(other), field),
                };
            } else if self.accept("[") {
                let key = self.operand(Self::expr)?;
                self.expect("]")?;
                expr = Ast::Element(Box::new(expr), Box::new(key));
            } else if self.accept("::") {
                expr = Ast::Cast {
                    expr: Box::new(expr),
                    to: self.operand(Self::type_text)?,
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
            Kind::Symbol("?") => Err(unbound("?")),
            Kind::Symbol(":") => match self.kind_at(1) {
                Kind::Word(name) => Err(unbound(name)),
                _ => self.error(),
            },
            Kind::Quoted(_) => {
                let name = self.name()?;
                self.name_or_call(name, true)
            }
            Kind::Word(word) => self.worded(word),
            _ => self.error(),
        }
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
}

/// A query here is given no parameters.
fn unbound(parameter: &str) -> Error {
    Error::spark(
        "UNBOUND_SQL_PARAMETER",
        format!("Found the unbound parameter: {parameter}. Write a SQL literal in its place."),
    )
}

fn binary(op: BinaryOp, left: Ast, right: Ast) -> Ast {
    Ast::Binary(op, Box::new(left), Box::new(right))
}

fn not(expr: Ast) -> Ast {
    Ast::Unary(UnaryOp::Not, Box::new(expr))
}
