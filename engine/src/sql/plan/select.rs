//! SELECT: its list, its filter, and the two shapes it has, with and without groups.

use super::*;

impl Planner<'_> {
    pub(super) fn select(
        &self,
        select: &Select,
        order_by: &[Order],
        env: &Env,
        outer: Option<&Scope>,
    ) -> Result<Planned> {
        let mut rel = self.from(&select.from, env)?;
        let mut correlated = vec![];
        if let Some(filter) = &select.filter {
            (rel, correlated) = self.filter(rel, filter, env, outer)?;
        }
        let (rel, window) = self.time_window(rel, select, order_by, env, outer)?;
        let scope = Scope::new(&rel, outer);
        let exprs = Exprs::new(self, env, &scope).with_window(window.as_ref());
        let items = self.items(select, &exprs)?;
        let grouped = select.group_by != GroupBy::None
            || items.iter().any(|item| contains_aggregate(&item.expr))
            || select.having.is_some();
        let shape = Shape {
            select,
            order_by,
            items,
            correlated,
        };
        if grouped {
            self.grouped(shape, &rel, &exprs)
        } else {
            self.ungrouped(shape, &rel, &exprs)
        }
    }

    /// WHERE: plain conjuncts become a filter, IN and EXISTS joins; what names columns around is handed back.
    fn filter(&self, rel: Rel, filter: &Ast, env: &Env, outer: Option<&Scope>) -> Result<(Rel, Vec<Expr>)> {
        let mut plain = vec![];
        let mut correlated = vec![];
        let mut semi = vec![];
        let mut below = vec![];
        window::refuse_rows_window(filter, "WHERE")?;
        let (rel, window) = self.filter_window(rel, filter, env, outer)?;
        {
            let scope = Scope::new(&rel, outer);
            for conjunct in conjuncts(filter) {
                let exprs = Exprs::new(self, env, &scope).with_window(window.as_ref());
                if let Some(join) = exprs.subquery_filter(&conjunct, false)? {
                    below.append(&mut exprs.joins.borrow_mut());
                    semi.push(join);
                    continue;
                }
                let condition = exprs.condition(&conjunct)?;
                if contains_aggregate(&condition) {
                    let name = exprs.plan(filter)?.name;
                    return Err(Error::spark(
                        "INVALID_WHERE_CONDITION",
                        format!("The WHERE condition \"{name}\" contains invalid expressions: aggregate functions."),
                    ));
                }
                below.append(&mut exprs.joins.borrow_mut());
                if contains_outer(&condition) {
                    correlated.push(condition)
                } else {
                    plain.push(condition)
                }
            }
        }
        let Rel { mut plan, attrs } = rel;
        for pending in below {
            plan = pending_join(plan, pending)?;
        }
        if let Some(predicate) = plain.into_iter().reduce(|l, r| l.and(r)) {
            plan = LogicalPlan::Filter(Filter::new(predicate, Arc::new(plan)));
        }
        for join in semi {
            plan = pending_join(plan, join)?;
        }
        Ok((Rel { plan, attrs }, correlated))
    }

    /// The SELECT list, stars expanded.
    fn items(&self, select: &Select, exprs: &Exprs) -> Result<Vec<Typed>> {
        let mut items = vec![];
        for item in &select.items {
            if let Ast::Star(qualifier) = &item.expr {
                items.extend(self.star(exprs.scope, qualifier)?);
                continue;
            }
            let mut typed = exprs.plan(&item.expr)?;
            if let Some(alias) = &item.alias {
                typed.alias = Some(alias.clone());
                exprs.scope.laterals.borrow_mut().push((alias.clone(), typed.clone()));
            }
            items.push(typed);
        }
        Ok(items)
    }

    /// `*`, `t.*` or `struct.*`.
    pub fn star(&self, scope: &Scope, qualifier: &[String]) -> Result<Vec<Typed>> {
        let typed = |a: &Attr| Typed::new(a.expr(), a.data_type.clone(), a.name.clone());
        let Some(last) = qualifier.last() else {
            return Ok(scope.attrs.iter().filter(|a| a.is_everywhere()).map(typed).collect());
        };
        let of = |a: &&Attr| a.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(last));
        let found: Vec<Typed> = scope.attrs.iter().filter(of).map(typed).collect();
        if !found.is_empty() && qualifier.len() == 1 {
            return Ok(found);
        }
        let seen = scope.find(qualifier)?.is_some_and(|(attr, _)| attr.is_everywhere());
        let base = if seen { scope.resolve_here(qualifier)? } else { None };
        let Some(base) = base else {
            let wanted: Vec<_> = qualifier.iter().map(|part| format!("`{part}`")).collect();
            let mut columns: Vec<_> = scope.attrs.iter().map(|a| format!("`{}`", a.name)).collect();
            columns.sort();
            return Err(Error::spark(
                "CANNOT_RESOLVE_STAR_EXPAND",
                format!(
                    "Cannot resolve {}.* given input columns {}. Please check that the specified table or struct exists \
                     and is accessible in the input columns.",
                    wanted.join("."),
                    columns.join(", ")
                ),
            ));
        };
        let DataType::Struct(fields) = base.data_type.clone() else {
            return Err(field_of(base, "*")
                .err()
                .unwrap_or_else(|| Error::Invalid("`*` of no struct".into())));
        };
        fields.iter().map(|f| field_of(base.clone(), f.name())).collect()
    }

    fn ungrouped(&self, shape: Shape, rel: &Rel, exprs: &Exprs) -> Result<Planned> {
        let Shape {
            select,
            order_by,
            mut items,
            correlated,
        } = shape;
        if select.distinct && !correlated.is_empty() {
            return Err(Error::unsupported(
                "DISTINCT in a correlated subquery is not supported yet",
            ));
        }
        let sort = sort_keys(order_by, &items, exprs, select.distinct)?;
        if sort.iter().filter_map(SortBy::below).any(contains_aggregate) {
            return Err(window::unsupported_in("Sort"));
        }
        let visible = items.len();
        let hidden = hidden_columns(&correlated);
        for column in &hidden {
            items.push(hidden_item(rel, column, Expr::Column(column.clone()))?);
        }
        let plan = with_joins(rel.plan.clone(), exprs)?;
        let rel = finish(plan, items, sort, select.distinct)?;
        let correlated = over_output(correlated, &hidden, &rel.attrs[visible..])?;
        Ok(Planned {
            rel,
            correlated,
            hidden: hidden.len(),
            defaults: vec![],
            is_one_row: false,
        })
    }

    fn grouped(&self, shape: Shape, rel: &Rel, exprs: &Exprs) -> Result<Planned> {
        let Shape {
            select,
            order_by,
            mut items,
            correlated,
        } = shape;
        let keys = self.keys(select, &items, exprs)?;
        window::check_windows_above_groups(select, order_by, &items)?;
        if let Some(having) = &select.having {
            window::refuse_rows_window(having, "HAVING")?;
        }
        let having = select
            .having
            .as_ref()
            .map(|ast| exprs.cast_condition(ast))
            .transpose()?;
        let nested = |e: &Expr| matches!(e, Expr::AggregateFunction(f) if f.params.args.iter().any(contains_aggregate));
        if having
            .as_ref()
            .is_some_and(|having| having.exists(|e| Ok(nested(e))).unwrap_or(false))
        {
            return Err(Error::spark(
                "MISSING_ATTRIBUTES.RESOLVED_ATTRIBUTE_MISSING_FROM_INPUT",
                "HAVING aggregates what is an aggregate already; name what stands below the groups.",
            ));
        }
        let mut sort = sort_keys(order_by, &items, exprs, select.distinct)?;
        let hidden = hidden_columns(&correlated);
        let is_global = select.group_by == GroupBy::None;
        // With GROUP BY there is no group where there are no rows.
        let counted = items.iter().filter(|_| is_global);
        let defaults = counted.map(|item| default_of(&item.expr)).collect::<Result<_>>()?;

        if !correlated.iter().all(ties_a_column) {
            return Err(Error::unsupported(
                "a correlated subquery that aggregates must compare its own columns with `=` to those around it",
            ));
        }
        let mut groups = Groups::new(keys, is_global);
        if groups.sets.is_some() && !hidden.is_empty() {
            return Err(Error::unsupported(
                "GROUPING SETS in a correlated subquery are not supported yet",
            ));
        }
        for column in hidden.iter().cloned().map(Expr::Column) {
            if !groups.keys.contains(&column) {
                groups.keys.push(column);
            }
        }
        let asked = items
            .iter()
            .map(|item| &item.expr)
            .chain(&having)
            .chain(sort.iter().filter_map(SortBy::below));
        let (below, mut above) = groups.divide(exprs.joins.take(), asked);
        for join in &mut above {
            join.condition = groups.rewrite(&join.condition)?;
        }
        for item in &mut items {
            item.expr = groups.rewrite(&item.expr)?;
        }
        let having = having
            .map(|having| groups.rewrite(&having).map_err(|e| unseen_above(e, exprs.scope)))
            .transpose()?;
        for key in &mut sort {
            if let SortKey::Below(expr) = &mut key.key {
                *expr = groups.rewrite(expr).map_err(|e| unseen_above(e, exprs.scope))?;
            }
        }
        let visible = items.len();
        for column in &hidden {
            items.push(hidden_item(
                rel,
                column,
                groups.rewrite(&Expr::Column(column.clone()))?,
            )?);
        }

        let input = below.into_iter().try_fold(rel.plan.clone(), pending_join)?;
        let mut plan = groups.plan(input)?;
        let outputs = groups.outputs(&plan);
        for mut join in above {
            join.condition = groups.resolve(join.condition, &outputs)?;
            plan = pending_join(plan, join)?;
        }
        for item in &mut items {
            item.expr = groups.resolve(item.expr.clone(), &outputs)?;
        }
        for key in &mut sort {
            if let SortKey::Below(expr) = &mut key.key {
                *expr = groups.resolve(expr.clone(), &outputs)?;
            }
        }
        if let Some(having) = having {
            let having = groups.resolve(having, &outputs)?;
            plan = LogicalPlan::Filter(Filter::new(having, Arc::new(plan)));
        }
        let rel = finish(plan, items, sort, select.distinct)?;
        let correlated = over_output(correlated, &hidden, &rel.attrs[visible..])?;
        Ok(Planned {
            rel,
            correlated,
            hidden: hidden.len(),
            defaults,
            is_one_row: is_global,
        })
    }

    /// What GROUP BY groups by.
    fn keys(&self, select: &Select, items: &[Typed], exprs: &Exprs) -> Result<Keys> {
        let plain = |exprs: Vec<Expr>| Ok(Keys { exprs, sets: None });
        let (by, sets) = match &select.group_by {
            GroupBy::None => return plain(vec![]),
            GroupBy::All => {
                let grouping = items.iter().filter(|item| !contains_aggregate(&item.expr));
                return plain(grouping.map(|item| item.expr.clone()).collect());
            }
            GroupBy::By(by) => (by, None),
            GroupBy::Sets { by, sets } => (by, Some(sets)),
        };
        let mut keys: Vec<Expr> = vec![];
        // Two spellings of one key are one key.
        let mut numbers = vec![];
        for ast in by {
            let key = match ordinal_of(ast, items.len(), "GROUP_BY_POS_OUT_OF_RANGE", "GROUP BY")? {
                Some(index) if contains_aggregate(&items[index].expr) => {
                    return Err(Error::spark(
                        "GROUP_BY_POS_AGGREGATE",
                        format!(
                            "GROUP BY {} refers to an expression {} that contains an aggregate function. Aggregate \
                             functions are not allowed in GROUP BY.",
                            index + 1,
                            items[index].name
                        ),
                    ));
                }
                Some(index) => items[index].expr.clone(),
                None if window::has_rows_window(ast) => return Err(window::unsupported_in("Aggregate")),
                None => exprs.plan(ast)?.expr,
            };
            if contains_aggregate(&key) {
                return Err(Error::spark(
                    "GROUP_BY_AGGREGATE",
                    "Aggregate functions are not allowed in GROUP BY.",
                ));
            }
            let known = keys.iter().position(|known| *known == key);
            numbers.push(known.unwrap_or(keys.len()));
            if known.is_none() {
                keys.push(key);
            }
        }
        let renumbered = |set: &Vec<usize>| set.iter().map(|number| numbers[*number]).collect();
        Ok(Keys {
            exprs: keys,
            sets: sets.map(|sets| sets.iter().map(renumbered).collect()),
        })
    }
}

/// A SELECT whose list is planned.
struct Shape<'a> {
    select: &'a Select,
    order_by: &'a [Order],
    items: Vec<Typed>,
    correlated: Vec<Expr>,
}

struct SortBy {
    key: SortKey,
    ascending: bool,
    nulls_first: bool,
}

impl SortBy {
    fn below(&self) -> Option<&Expr> {
        match &self.key {
            SortKey::Below(expr) => Some(expr),
            SortKey::Item(_) | SortKey::Above(_) => None,
        }
    }
}

enum SortKey {
    /// An item of the SELECT list.
    Item(usize),
    /// An expression over what the SELECT reads.
    Below(Expr),
    /// An expression over the items, each a place holder with its number for a name.
    Above(Expr),
}

/// HAVING and ORDER BY do not see columns below the groups: Spark says so of what it calls no key in the SELECT list.
fn unseen_above(error: Error, scope: &Scope) -> Error {
    match error.condition() {
        Some("MISSING_AGGREGATION" | "MISSING_GROUP_BY") if !scope.attrs.is_empty() => Error::spark(
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            format!("A column cannot be resolved above the groups. {error}"),
        ),
        _ => error,
    }
}

/// What an ORDER BY of a SELECT DISTINCT is over the items, its only columns.
fn over_items(expr: Expr, items: &[Typed]) -> Result<Expr> {
    let unresolved = || {
        let names: Vec<_> = items.iter().map(|item| format!("`{}`", item.column_name())).collect();
        Error::spark(
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            format!(
                "ORDER BY of a SELECT DISTINCT can only name its columns: {}.",
                names.join(", ")
            ),
        )
    };
    let rewritten = expr.transform_down(|e| match items.iter().position(|item| item.expr == e) {
        Some(index) => {
            let holder = Expr::Column(Column::new_unqualified(index.to_string()));
            Ok(Transformed::new(holder, true, TreeNodeRecursion::Jump))
        }
        None if matches!(e, Expr::Column(_)) => Err(unresolved().into()),
        None => Ok(Transformed::no(e)),
    });
    Ok(rewritten?.data)
}

fn sort_keys(order_by: &[Order], items: &[Typed], exprs: &Exprs, distinct: bool) -> Result<Vec<SortBy>> {
    if let [all] = order_by
        && matches!(&all.expr, Ast::Name(parts) if matches!(parts.as_slice(), [name] if is_all(name, items, exprs)))
    {
        let each = (0..items.len()).map(|item| SortBy {
            key: SortKey::Item(item),
            ascending: all.ascending,
            nulls_first: all.nulls_first,
        });
        return Ok(each.collect());
    }
    for order in order_by {
        if window::has_rows_window(&order.expr) {
            return Err(window::unsupported_in("Sort"));
        }
    }
    let each = order_by.iter().map(|order| {
        let key = sort_key(&order.expr, items, exprs)?;
        let key = match key {
            SortKey::Below(expr) if distinct => SortKey::Above(over_items(expr, items)?),
            key => key,
        };
        Ok(SortBy {
            key,
            ascending: order.ascending,
            nulls_first: order.nulls_first,
        })
    });
    each.collect()
}

/// `ORDER BY ALL`, if no column is called so.
fn is_all(name: &str, items: &[Typed], exprs: &Exprs) -> bool {
    let named = |known: &str| known.eq_ignore_ascii_case(name);
    named("ALL")
        && !items.iter().any(|item| named(item.column_name()))
        && !exprs.scope.attrs.iter().any(|attr| named(&attr.name))
}

/// Refuses to sort by what has no order.
fn sortable(key: &Typed) -> Result<()> {
    if !matches!(key.data_type, DataType::Map(..)) {
        return Ok(());
    }
    let shown = key.column_name();
    Err(Error::spark(
        "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
        format!(
            "Cannot resolve \"{shown}\" due to data type mismatch: The `sortorder` does not support ordering on type \
             \"{}\".",
            message_type_name(&key.data_type)
        ),
    ))
}

fn sort_key(ast: &Ast, items: &[Typed], exprs: &Exprs) -> Result<SortKey> {
    if let Some(index) = ordinal_of(ast, items.len(), "ORDER_BY_POS_OUT_OF_RANGE", "ORDER BY")? {
        sortable(&items[index])?;
        return Ok(SortKey::Item(index));
    }
    if let Ast::Name(parts) = ast
        && let [name] = parts.as_slice()
        && let Some(index) = items
            .iter()
            .position(|item| item.column_name().eq_ignore_ascii_case(name))
    {
        sortable(&items[index])?;
        return Ok(SortKey::Item(index));
    }
    let key = exprs.plan(ast)?;
    sortable(&key)?;
    let expr = key.expr;
    Ok(match items.iter().position(|item| item.expr == expr) {
        Some(index) => SortKey::Item(index),
        None => SortKey::Below(expr),
    })
}

/// What is sorted by, over the columns of the result.
enum Place {
    Column(usize),
    /// Place holders for columns: their numbers.
    Expression(Expr),
}

impl Place {
    fn expr(self, attrs: &[Attr]) -> Result<Expr> {
        let number = |column: &Column| column.name.parse::<usize>().ok().and_then(|at| attrs.get(at));
        match self {
            Place::Column(index) => Ok(attrs[index].expr()),
            Place::Expression(expr) => {
                let placed = expr.transform(|e| match &e {
                    Expr::Column(holder) => {
                        Ok(number(holder).map_or(Transformed::no(e.clone()), |attr| Transformed::yes(attr.expr())))
                    }
                    _ => Ok(Transformed::no(e)),
                });
                Ok(placed?.data)
            }
        }
    }
}

/// Projects the items, makes them distinct, sorts them.
fn finish(plan: LogicalPlan, items: Vec<Typed>, sort: Vec<SortBy>, distinct_rows: bool) -> Result<Rel> {
    let width = items.len();
    let mut all = items;
    let mut by = vec![];
    for SortBy {
        key,
        ascending,
        nulls_first,
    } in sort
    {
        let index = match key {
            SortKey::Item(index) => Place::Column(index),
            SortKey::Above(expr) => Place::Expression(expr),
            SortKey::Below(expr) => {
                let data_type = expr_type(&expr, &plan)?;
                all.push(Typed::new(expr, data_type, format!("__sort{}", all.len())));
                Place::Column(all.len() - 1)
            }
        };
        by.push((index, ascending, nulls_first));
    }
    let extra = all.len() > width;
    let mut rel = project(plan, all)?;
    if distinct_rows {
        rel = distinct(rel)?;
    }
    if by.is_empty() {
        return Ok(rel);
    }
    let keys = by
        .into_iter()
        .map(|(place, ascending, nulls)| Ok(SortExpr::new(place.expr(&rel.attrs)?, ascending, nulls)));
    let plan = LogicalPlan::Sort(Sort {
        expr: keys.collect::<Result<_>>()?,
        input: Arc::new(rel.plan),
        fetch: None,
    });
    if !extra {
        return Ok(Rel { plan, attrs: rel.attrs });
    }
    let mut attrs = rel.attrs;
    attrs.truncate(width);
    let kept = attrs.iter().map(Attr::expr).collect();
    Ok(Rel {
        plan: LogicalPlan::Projection(Projection::try_new(kept, Arc::new(plan))?),
        attrs,
    })
}

/// Whether a condition says `column = something of the query around`, so that the column can be a grouping key.
pub(in crate::sql) fn ties_a_column(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return false;
    };
    let inner = |side: &Expr| match side {
        Expr::Cast(cast) => matches!(*cast.expr, Expr::Column(_)),
        side => matches!(side, Expr::Column(_)),
    };
    let outer = |side: &Expr| !side.exists(|e| Ok(matches!(e, Expr::Column(_)))).unwrap_or(true);
    inner(left) && outer(right) || inner(right) && outer(left)
}

/// The columns of a subquery that conditions with the query around name.
fn hidden_columns(correlated: &[Expr]) -> Vec<Column> {
    let mut columns: Vec<Column> = vec![];
    for expr in correlated {
        let _ = expr.apply(|e| {
            if let Expr::Column(column) = e
                && !columns.contains(column)
            {
                columns.push(column.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    columns
}

fn hidden_item(rel: &Rel, column: &Column, expr: Expr) -> Result<Typed> {
    let data_type = rel.plan.schema().field_from_column(column)?.data_type().clone();
    Ok(Typed::new(expr, data_type, format!("__{}", column.name)))
}

/// The conditions over what the subquery returns.
fn over_output(correlated: Vec<Expr>, hidden: &[Column], attrs: &[Attr]) -> Result<Vec<Expr>> {
    let each = correlated.into_iter().map(|expr| {
        let moved = expr.transform(|e| {
            let Expr::Column(column) = &e else {
                return Ok(Transformed::no(e));
            };
            let at = hidden.iter().position(|h| h == column);
            Ok(at.map_or(Transformed::no(e.clone()), |at| Transformed::yes(attrs[at].expr())))
        });
        Ok(moved?.data)
    });
    each.collect()
}
