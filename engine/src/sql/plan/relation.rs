//! FROM: tables, views, subqueries, watermarks and joins.

use super::*;

impl Planner<'_> {
    pub(super) fn from(&self, relations: &[Relation], env: &Env) -> Result<Rel> {
        let mut relations = relations.iter();
        let Some(first) = relations.next() else {
            return Ok(one_row());
        };
        let mut rel = self.relation(first, env)?;
        for relation in relations {
            let right = self.relation(relation, env)?;
            rel = self.join(rel, right, JoinKind::Inner, &JoinOn::Nothing, env)?;
        }
        Ok(rel)
    }

    pub(super) fn relation(&self, relation: &Relation, env: &Env) -> Result<Rel> {
        match relation {
            Relation::Table { name, alias, watermark } => {
                let rel = self.table(name, alias, env)?;
                self.watermark(rel, watermark.as_deref(), env)
            }
            Relation::Derived {
                query,
                alias,
                watermark,
            } => {
                let rel = self.query(query, env, None)?.rel;
                let rel = rename_columns(rel, &alias.columns)?;
                let rel = self.alias(rel, alias.name.as_deref())?;
                self.watermark(rel, watermark.as_deref(), env)
            }
            Relation::Join { left, right, kind, on } => {
                let (left, right) = (self.relation(left, env)?, self.relation(right, env)?);
                self.join(left, right, *kind, on, env)
            }
        }
    }

    pub(super) fn table(&self, name: &[String], alias: &Alias, env: &Env) -> Result<Rel> {
        let last = name.last().map_or("", String::as_str);
        let shown = alias.name.as_deref().unwrap_or(last);
        let plain = match name {
            [_] => true,
            [schema, _] => schema.eq_ignore_ascii_case("default"),
            [catalog, schema, _] => {
                catalog.eq_ignore_ascii_case("spark_catalog") && schema.eq_ignore_ascii_case("default")
            }
            _ => false,
        };
        if let ([one], Some(cte)) = (name, env.find(last)) {
            let rel = rename_columns(cte.clone(), &alias.columns)?;
            return self.alias(rel, Some(alias.name.as_deref().unwrap_or(one)));
        }
        let Some(plan) = self.catalog.relation(last).filter(|_| plain) else {
            let quoted: Vec<_> = name.iter().map(|part| format!("`{part}`")).collect();
            return Err(Error::spark(
                "TABLE_OR_VIEW_NOT_FOUND",
                format!(
                    "The table or view {} cannot be found. Verify the spelling and correctness of the schema and catalog.",
                    quoted.join(".")
                ),
            ));
        };
        let is_scan = matches!(plan, LogicalPlan::TableScan(_));
        if is_scan && shown.eq_ignore_ascii_case(last) && alias.columns.is_empty() {
            let unique = self.qualifier(&last.to_lowercase());
            if scan_name(plan) == Some(&unique) {
                let attrs = attrs_of(plan, Some(shown.to_string()));
                return Ok(Rel {
                    plan: plan.clone(),
                    attrs,
                });
            }
            return aliased(plain_rel(plan.clone()), unique, Some(shown.to_string()));
        }
        let rel = rename_columns(plain_rel(plan.clone()), &alias.columns)?;
        self.alias(rel, Some(shown))
    }

    /// Puts a relation under an alias; without one its columns have no qualifier.
    pub fn alias(&self, rel: Rel, name: Option<&str>) -> Result<Rel> {
        let unique = self.qualifier(&name.unwrap_or("__auto_generated_subquery_name").to_lowercase());
        aliased(rel, unique, name.map(str::to_string))
    }

    /// `WATERMARK expr [AS name] DELAY OF INTERVAL ...`.
    pub(super) fn watermark(&self, rel: Rel, watermark: Option<&Watermark>, env: &Env) -> Result<Rel> {
        let Some(Watermark { expr, alias, delay }) = watermark else {
            return Ok(rel);
        };
        let Ast::Interval(delay) = delay else {
            return Err(Error::spark(
                "PARSE_SYNTAX_ERROR",
                "the delay of a WATERMARK must be an INTERVAL",
            ));
        };
        let delay_ms = match *delay {
            Interval::DayTime { micros, .. } => micros.div_euclid(1000),
            Interval::YearMonth { months, .. } => months as i64 * 31 * 86_400_000,
        };
        if delay_ms < 0 {
            let text = interval::sql(delay);
            return Err(Error::nameless(format!(
                "requirement failed: delay threshold ({text}) should not be negative."
            )));
        }
        let (rel, column) = self.event_time(rel, expr, alias.as_deref(), env)?;
        Ok(Rel {
            plan: watermark_node(rel.plan, &column, delay_ms, self.catalog.new_definition())?,
            attrs: rel.attrs,
        })
    }

    /// The event-time column of a WATERMARK clause: a column, or a new one at the end.
    pub(super) fn event_time(&self, rel: Rel, expr: &Ast, alias: Option<&str>, env: &Env) -> Result<(Rel, Attr)> {
        let scope = Scope::new(&rel, None);
        let typed = Exprs::new(self, env, &scope).plan(expr)?;
        if let (Expr::Column(column), None) = (&typed.expr, alias) {
            let attr = rel.attrs.iter().find(|a| a.column == *column).cloned();
            let attr = attr.ok_or_else(|| scope.unresolved(std::slice::from_ref(&column.name)))?;
            return Ok((rel, attr));
        }
        let Some(alias) = alias else {
            return Err(Error::spark(
                "REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE",
                "name the expression with AS",
            ));
        };
        let qualifier = rel.attrs.iter().find_map(|a| a.qualifier.clone());
        let mut items: Vec<Typed> = rel
            .attrs
            .iter()
            .map(|a| Typed::new(a.expr(), a.data_type.clone(), &a.name))
            .collect();
        items.push(Typed::new(typed.expr, typed.data_type, alias));
        let rel = self.alias(project(rel.plan.clone(), items)?, qualifier.as_deref())?;
        let attr = rel.attrs[rel.attrs.len() - 1].clone();
        Ok((rel, attr))
    }

    pub(super) fn join(&self, left: Rel, right: Rel, kind: JoinKind, on: &JoinOn, env: &Env) -> Result<Rel> {
        let join_type = match kind {
            JoinKind::Inner | JoinKind::Cross => JoinType::Inner,
            JoinKind::Left => JoinType::Left,
            JoinKind::Right => JoinType::Right,
            JoinKind::Full => JoinType::Full,
            JoinKind::Semi => JoinType::LeftSemi,
            JoinKind::Anti => JoinType::LeftAnti,
        };
        let keys = match on {
            JoinOn::Using(keys) => keys.clone(),
            JoinOn::Natural if matches!(kind, JoinKind::Semi | JoinKind::Anti) => {
                let name = if kind == JoinKind::Semi { "LeftSemi" } else { "LeftAnti" };
                return Err(Error::nameless(format!(
                    "requirement failed: Unsupported natural join type {name}"
                )));
            }
            JoinOn::Natural => {
                let shared = |a: &&Attr| {
                    a.is_everywhere()
                        && right
                            .attrs
                            .iter()
                            .any(|r| r.is_everywhere() && r.name.eq_ignore_ascii_case(&a.name))
                };
                left.attrs.iter().filter(shared).map(|a| a.name.clone()).collect()
            }
            _ => vec![],
        };
        if !keys.is_empty() {
            return self.join_using(left, right, join_type, &keys);
        }
        let both = Rel {
            plan: left.plan.clone(),
            attrs: left.attrs.iter().chain(&right.attrs).cloned().collect(),
        };
        let condition = match on {
            JoinOn::Condition(ast) => {
                let scope = Scope::new(&both, None);
                let exprs = Exprs::new(self, env, &scope);
                if window::has_rows_window(ast) {
                    return Err(window::unsupported_in("Join"));
                }
                let condition = match exprs.condition(ast) {
                    Err(error) if error.condition() == Some("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN") => {
                        let text = error.to_string();
                        return Err(Error::spark("JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE", text));
                    }
                    other => other?,
                };
                if !exprs.joins.borrow().is_empty() {
                    return Err(Error::unsupported(
                        "IN and EXISTS subqueries in a join condition are not supported yet",
                    ));
                }
                if contains_aggregate(&condition) {
                    return Err(window::unsupported_in("Join"));
                }
                if condition.is_volatile() {
                    return Err(Error::spark(
                        "INVALID_NON_DETERMINISTIC_EXPRESSIONS",
                        format!(
                            "The operator expects a deterministic expression, but the actual expression is \"{}\".",
                            exprs.plan(ast)?.name
                        ),
                    ));
                }
                Some(condition)
            }
            _ => None,
        };
        let mut plan = join(left.plan, right.plan, condition, join_type)?;
        if let (JoinKind::Cross, LogicalPlan::Join(cross)) = (kind, &mut plan) {
            cross.join_constraint = JoinConstraint::Using;
        }
        let attrs = match join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left.attrs,
            _ => both.attrs,
        };
        Ok(Rel { plan, attrs })
    }

    /// A join on columns of one name: each is once in the result, first.
    pub(super) fn join_using(&self, left: Rel, right: Rel, kind: JoinType, keys: &[String]) -> Result<Rel> {
        let mut pairs = vec![];
        let mut conditions = vec![];
        for key in keys {
            let (l, r) = (using_key(&left, key, "left")?, using_key(&right, key, "right")?);
            let none = one_row();
            let scope = Scope::new(&none, None);
            let env = Env::empty();
            let exprs = Exprs::new(self, &env, &scope);
            let typed = |a: &Attr| Typed::new(a.expr(), a.data_type.clone(), a.name.clone());
            conditions.push(exprs.comparison(BinaryOp::Eq, typed(&l), typed(&r))?.expr);
            pairs.push((l, r));
        }
        let condition = conditions.into_iter().reduce(|l, r| l.and(r));
        let plan = join(left.plan, right.plan, condition, kind)?;
        let is_key = |a: &Attr, side: fn(&(Attr, Attr)) -> &Attr| pairs.iter().any(|p| side(p).column == a.column);
        let rest = |attrs: Vec<Attr>, side: fn(&(Attr, Attr)) -> &Attr| -> (Vec<Attr>, Vec<Attr>) {
            attrs.into_iter().partition(|a| !is_key(a, side))
        };
        let (left_rest, left_keys) = rest(left.attrs, |p| &p.0);
        let (right_rest, right_keys) = rest(right.attrs, |p| &p.1);
        let hide = |attrs: Vec<Attr>| {
            attrs
                .into_iter()
                .map(|a| Attr {
                    reach: Reach::ByQualifier,
                    ..a
                })
                .collect::<Vec<_>>()
        };
        if matches!(kind, JoinType::LeftSemi | JoinType::LeftAnti) {
            let keys = pairs.into_iter().map(|p| p.0);
            return Ok(Rel {
                plan,
                attrs: keys.chain(left_rest).collect(),
            });
        }
        if kind == JoinType::Full {
            return self.full_using(
                plan,
                pairs,
                [left_rest, right_rest].concat(),
                [left_keys, right_keys].concat(),
            );
        }
        let (shown, hidden) = match kind {
            JoinType::Right => (pairs.iter().map(|p| p.1.clone()).collect::<Vec<_>>(), hide(left_keys)),
            _ => (pairs.iter().map(|p| p.0.clone()).collect(), hide(right_keys)),
        };
        Ok(Rel {
            plan,
            attrs: [shown, left_rest, right_rest, hidden].concat(),
        })
    }

    /// FULL JOIN USING: the key is whichever side has one.
    pub(super) fn full_using(
        &self,
        plan: LogicalPlan,
        pairs: Vec<(Attr, Attr)>,
        rest: Vec<Attr>,
        keys: Vec<Attr>,
    ) -> Result<Rel> {
        let merged = pairs.iter().map(|(l, r)| {
            let common = common_type(&l.data_type, &r.data_type, self.ansi, Meeting::Value).unwrap_or(DataType::Null);
            let typed = |a: &Attr| Typed::new(a.expr(), a.data_type.clone(), a.name.clone());
            let (lv, rv) = (self.cast(&typed(l), &common), self.cast(&typed(r), &common));
            let present = vec![(Box::new(Expr::IsNotNull(Box::new(lv.clone()))), Box::new(lv))];
            let case = datafusion::logical_expr::Case {
                expr: None,
                when_then_expr: present,
                else_expr: Some(Box::new(rv)),
            };
            Typed::new(Expr::Case(case), common, l.name.clone())
        });
        let number = pairs.len();
        let mut items: Vec<Typed> = merged.collect();
        let others: Vec<Attr> = rest.iter().chain(&keys).cloned().collect();
        items.extend(
            others
                .iter()
                .map(|a| Typed::new(a.expr(), a.data_type.clone(), a.name.clone())),
        );
        let mut rel = self.alias(project(plan, items)?, None)?;
        for (i, attr) in rel.attrs.iter_mut().enumerate().skip(number) {
            attr.qualifier = others[i - number].qualifier.clone();
            if i >= number + rest.len() {
                attr.reach = Reach::ByQualifier;
            }
        }
        Ok(rel)
    }
}

fn using_key(rel: &Rel, key: &str, side: &str) -> Result<Attr> {
    let mut found = rel
        .attrs
        .iter()
        .filter(|a| a.reach != Reach::ByQualifier && a.name.eq_ignore_ascii_case(key));
    match (found.next(), found.next()) {
        (Some(attr), None) => Ok(attr.clone()),
        (Some(_), Some(_)) => Err(Error::spark(
            "AMBIGUOUS_REFERENCE",
            format!("Reference `{key}` is ambiguous."),
        )),
        _ => {
            let names: Vec<_> = rel.attrs.iter().map(|a| format!("`{}`", a.name)).collect();
            Err(Error::spark(
                "UNRESOLVED_USING_COLUMN_FOR_JOIN",
                format!(
                    "USING column `{key}` cannot be resolved on the {side} side of the join. The {side}-side columns: [{}].",
                    names.join(", ")
                ),
            ))
        }
    }
}

fn scan_name(plan: &LogicalPlan) -> Option<&TableReference> {
    if let LogicalPlan::TableScan(scan) = plan {
        Some(&scan.table_name)
    } else {
        None
    }
}
