//! Calls of functions, with their DISTINCT, FILTER and OVER.

use super::Parser;
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;
use crate::{Error, Result};

impl Parser<'_> {
    pub(super) fn name_or_call(&mut self, name: String, quoted: bool) -> Result<Ast> {
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
        if self.is_word("PLACING") {
            return Err(Error::unsupported("overlay(... PLACING ...) is not supported yet"));
        }
        let mut ignore_nulls = self.nulls_treatment();
        self.expect(")")?;
        ignore_nulls |= self.nulls_treatment();
        if self.is_word("WITHIN") && self.is_word_at(1, "GROUP") {
            return Err(Error::unsupported("WITHIN GROUP is not supported yet"));
        }
        let mut filter = None;
        if self.is_word("FILTER") && matches!(self.kind_at(1), Kind::Symbol("(")) {
            self.advance();
            self.expect("(")?;
            self.expect_word("WHERE")?;
            filter = Some(self.expr()?);
            self.expect(")")?;
        }
        let mut over = None;
        if self.is_word("OVER") && !matches!(self.kind_at(1), Kind::Symbol("," | ")") | Kind::End) {
            self.advance();
            over = Some(self.row_window()?);
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
    fn row_window(&mut self) -> Result<RowWindow> {
        if !self.accept("(") {
            let name = self.name()?;
            self.row_windows.push(name);
            return Ok(RowWindow {
                by: vec![],
                has_order: true,
            });
        }
        self.row_window_rest()
    }

    /// A window over rows after its parenthesis.
    pub(super) fn row_window_rest(&mut self) -> Result<RowWindow> {
        let mut by = vec![];
        if self.accept_words(&["PARTITION", "BY"]) || self.accept_words(&["DISTRIBUTE", "BY"]) {
            by = self.comma_list(Self::expr)?;
        }
        let has_order = self.accept_words(&["ORDER", "BY"]) || self.accept_words(&["SORT", "BY"]);
        if has_order {
            by.extend(self.comma_list(Self::order)?.into_iter().map(|order| order.expr));
        }
        // The frame.
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
        Ok(RowWindow { by, has_order })
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
}

pub(super) fn call(name: String, args: Vec<Ast>) -> Ast {
    Ast::Call(Box::new(Call {
        name,
        args,
        distinct: false,
        filter: None,
        over: None,
        ignore_nulls: false,
    }))
}
