//! GROUP BY: expressions, ROLLUP, CUBE and GROUPING SETS.

use super::Parser;
use crate::Result;
use crate::sql::parse::ast::*;
use crate::sql::parse::lexer::Kind;

impl Parser<'_> {
    pub(super) fn group_by(&mut self) -> Result<GroupBy> {
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
