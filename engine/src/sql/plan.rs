//! Queries: from syntax to plan, clause by clause, in the order Spark's analyzer resolves them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, JoinType, NullEquality, ScalarValue, TableReference};
use datafusion::logical_expr::expr::Alias as AliasExpr;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, EmptyRelation, Expr, Extension, Filter, Join, JoinConstraint, Limit, LogicalPlan, Operator,
    Projection, Sort, SortExpr, SubqueryAlias, Union, Values, lit,
};

use super::catalog::{BatchTime, Catalog};
use super::expr::{Exprs, PendingJoin};
use super::function::cast::{Mode, cast_expr};
use super::node::{TimeWindowNode, WatermarkNode};
use super::parse::ast::*;
use super::scope::{Attr, Reach, Rel, SPARK_NAME, Scope, Typed, field_of};
use super::types::*;
use super::{interval, is_streaming, timestamp_type};
use crate::{Error, Result};

/// Plans queries against a catalog.
pub(super) struct Planner<'a> {
    catalog: &'a Catalog,
    pub ansi: bool,
    /// Qualifiers in use: each stands for one relation of the whole plan.
    qualifiers: RefCell<BTreeSet<String>>,
    windows: Cell<usize>,
}

/// Common table expressions in reach.
pub(super) struct Env<'a> {
    ctes: BTreeMap<String, Rel>,
    parent: Option<&'a Env<'a>>,
}

impl Env<'_> {
    /// No common table expressions.
    pub fn empty() -> Env<'static> {
        Env {
            ctes: BTreeMap::new(),
            parent: None,
        }
    }

    fn find(&self, name: &str) -> Option<&Rel> {
        self.ctes.get(&name.to_lowercase()).or_else(|| self.parent?.find(name))
    }
}

/// A planned query, and what ties it to the query around it.
pub(super) struct Planned {
    pub rel: Rel,
    /// Conditions that name columns of the query around, over the output of `rel`.
    pub correlated: Vec<Expr>,
    /// How many of the last attributes exist for those conditions only.
    pub hidden: usize,
    /// What each value is over no rows, if that is not NULL.
    pub defaults: Vec<Option<ScalarValue>>,
    /// Whether it aggregates, so that it has one row per combination of hidden attributes.
    pub aggregates: bool,
}

impl Planned {
    fn plain(rel: Rel) -> Self {
        Self {
            rel,
            correlated: vec![],
            hidden: 0,
            defaults: vec![],
            aggregates: false,
        }
    }
}

/// The window column a SELECT put below itself.
pub(super) struct WindowColumn {
    pub attr: Attr,
}

/// A call of `window`, understood.
#[derive(PartialEq)]
struct WindowSpec {
    time: Expr,
    sizes: (i64, i64, i64),
}

impl<'a> Planner<'a> {
    pub fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            ansi: catalog.ansi(),
            qualifiers: RefCell::default(),
            windows: Cell::new(0),
        }
    }

    /// The same without ANSI's errors, for `try_` functions.
    pub fn without_ansi(&self) -> Planner<'a> {
        Planner {
            catalog: self.catalog,
            ansi: false,
            qualifiers: RefCell::default(),
            windows: Cell::new(0),
        }
    }

    pub fn clock(&self) -> &BatchTime {
        self.catalog.batch_time()
    }

    /// A qualifier that no other relation of the plan has.
    fn qualifier(&self, name: &str) -> TableReference {
        let mut taken = self.qualifiers.borrow_mut();
        let mut unique = name.to_string();
        let mut number = 2;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}#{number}");
            number += 1;
        }
        TableReference::bare(unique)
    }

    // ---- queries

    pub fn query(&self, query: &Query, env: &Env, outer: Option<&Scope>) -> Result<Planned> {
        let mut inner = Env {
            ctes: BTreeMap::new(),
            parent: Some(env),
        };
        for cte in &query.ctes {
            let planned = self.query(&cte.query, &inner, None)?;
            let rel = rename_columns(planned.rel, &cte.columns)?;
            inner.ctes.insert(cte.name.to_lowercase(), rel);
        }
        let mut planned = match &query.body {
            Body::Select(select) => self.select(select, &query.order_by, &inner, outer)?,
            body => {
                let planned = self.body(body, &inner, outer)?;
                let rel = self.order_output(planned.rel, &query.order_by, &inner)?;
                Planned { rel, ..planned }
            }
        };
        if query.limit.is_some() || query.offset.is_some() {
            if !planned.correlated.is_empty() {
                return Err(Error::unsupported(
                    "LIMIT in a correlated subquery is not supported yet",
                ));
            }
            planned.rel = self.limit(planned.rel, query, &inner)?;
        }
        Ok(planned)
    }

    fn body(&self, body: &Body, env: &Env, outer: Option<&Scope>) -> Result<Planned> {
        match body {
            Body::Select(select) => self.select(select, &[], env, outer),
            Body::Query(query) => self.query(query, env, outer),
            Body::Values(rows) => Ok(Planned::plain(self.values(rows, env)?)),
            Body::Set { op, all, left, right } => {
                let (left, right) = (self.body(left, env, None)?.rel, self.body(right, env, None)?.rel);
                Ok(Planned::plain(self.set(*op, *all, left, right)?))
            }
        }
    }

    fn values(&self, rows: &[Vec<Ast>], env: &Env) -> Result<Rel> {
        let none = one_row();
        let scope = Scope::new(&none, None);
        let exprs = Exprs::new(self, env, &scope);
        let rows = rows.iter().map(|row| exprs.plan_all(row)).collect::<Result<Vec<_>>>()?;
        let width = rows[0].len();
        if let Some(row) = rows.iter().find(|row| row.len() != width) {
            return Err(Error::spark(
                "INVALID_INLINE_TABLE.NUM_COLUMNS_MISMATCH",
                format!(
                    "Invalid inline table. Inline table expected {width} columns but found {} columns.",
                    row.len()
                ),
            ));
        }
        let types = (0..width).map(|i| {
            let mut types = rows.iter().map(|row| row[i].data_type.clone());
            let first = types.next().unwrap_or(DataType::Null);
            types
                .try_fold(first, |l, r| common_type(&l, &r, self.ansi, Meeting::Value))
                .ok_or_else(|| {
                    let text = format!(
                        "Invalid inline table. Found incompatible types in the column `col{}`.",
                        i + 1
                    );
                    Error::spark("INVALID_INLINE_TABLE.INCOMPATIBLE_TYPES_IN_INLINE_TABLE", text)
                })
        });
        let types = types.collect::<Result<Vec<_>>>()?;
        let values = rows
            .iter()
            .map(|row| row.iter().zip(&types).map(|(v, t)| self.cast(v, t)).collect())
            .collect();
        let fields = types
            .iter()
            .enumerate()
            .map(|(i, t)| Field::new(format!("col{}", i + 1), t.clone(), true));
        let schema = datafusion::common::DFSchema::from_unqualified_fields(fields.collect(), Default::default())?;
        Ok(plain_rel(LogicalPlan::Values(Values {
            schema: Arc::new(schema),
            values,
        })))
    }

    fn cast(&self, value: &Typed, to: &DataType) -> Expr {
        let mode = if self.ansi { Mode::Ansi } else { Mode::Java };
        cast_expr(value.expr.clone(), &value.data_type, to, mode)
    }

    // ---- set operations

    fn set(&self, op: SetOp, all: bool, left: Rel, right: Rel) -> Result<Rel> {
        let widths = (left.attrs.len(), right.attrs.len());
        if widths.0 != widths.1 {
            return Err(Error::spark(
                "NUM_COLUMNS_MISMATCH",
                format!(
                    "{} can only be performed on inputs with the same number of columns, but the first input has {} \
                     columns and the second input has {} columns.",
                    op.name(),
                    widths.0,
                    widths.1
                ),
            ));
        }
        let types = self.set_types(op, &left, &right)?;
        if op != SetOp::Union && (is_streaming(&left.plan) || is_streaming(&right.plan)) {
            let (word, rest) = match op {
                SetOp::Intersect => ("Intersect of", ""),
                _ => ("Except on", " on the right"),
            };
            return Err(Error::spark(
                "_LEGACY_ERROR_TEMP_3102",
                format!("{word} streaming DataFrames/Datasets{rest} is not supported;"),
            ));
        }
        let names: Vec<String> = left.attrs.iter().map(|a| a.name.clone()).collect();
        let (left, right) = (
            self.typed_as(left, &names, &types)?,
            self.typed_as(right, &names, &types)?,
        );
        if op != SetOp::Union {
            return self.set_join(op, all, left, right);
        }
        let union = Union::try_new_with_loose_types(vec![Arc::new(left.plan), Arc::new(right.plan)])?;
        let rel = with_attrs(LogicalPlan::Union(union), left.attrs);
        if all { Ok(rel) } else { distinct(rel) }
    }

    fn set_types(&self, op: SetOp, left: &Rel, right: &Rel) -> Result<Vec<DataType>> {
        let each = left.attrs.iter().zip(&right.attrs).enumerate();
        let each = each.map(|(i, (l, r))| {
            common_type(&l.data_type, &r.data_type, self.ansi, Meeting::Value).ok_or_else(|| {
                Error::spark(
                    "INCOMPATIBLE_COLUMN_TYPE",
                    format!(
                        "{} can only be performed on tables with compatible column types. The {} column of the second \
                         table is \"{}\" type which is not compatible with \"{}\" at the same column of the first table.",
                        op.name(),
                        ordinal(i),
                        message_type_name(&r.data_type),
                        message_type_name(&l.data_type)
                    ),
                )
            })
        });
        each.collect()
    }

    /// A projection that gives the columns these names and types.
    fn typed_as(&self, rel: Rel, names: &[String], types: &[DataType]) -> Result<Rel> {
        let items = rel.attrs.iter().zip(names).zip(types).map(|((attr, name), to)| {
            let value = Typed::new(attr.expr(), attr.data_type.clone(), name.clone());
            Typed::new(self.cast(&value, to), to.clone(), name.clone())
        });
        project_as(rel.plan, items.collect(), true)
    }

    /// INTERSECT and EXCEPT: distinct rows with or without an equal row on the other side.
    fn set_join(&self, op: SetOp, all: bool, left: Rel, right: Rel) -> Result<Rel> {
        if all {
            return Err(Error::unsupported(format!("{} ALL is not supported yet", op.name())));
        }
        let left = distinct(self.alias(left, None)?)?;
        let right = self.alias(right, None)?;
        let equal = left
            .attrs
            .iter()
            .zip(&right.attrs)
            .map(|(l, r)| super::expr::binary_expr(l.expr(), Operator::IsNotDistinctFrom, r.expr()));
        let condition = equal.reduce(|l, r| l.and(r)).unwrap_or(lit(true));
        let kind = if op == SetOp::Intersect {
            JoinType::LeftSemi
        } else {
            JoinType::LeftAnti
        };
        let plan = join(left.plan, right.plan, Some(condition), kind)?;
        let attrs = left.attrs.into_iter().map(|a| Attr { qualifier: None, ..a }).collect();
        Ok(Rel { plan, attrs })
    }

    // ---- order and limit

    /// ORDER BY over what a query returns.
    fn order_output(&self, rel: Rel, order_by: &[Order], env: &Env) -> Result<Rel> {
        if order_by.is_empty() {
            return Ok(rel);
        }
        let scope = Scope::new(&rel, None);
        let exprs = Exprs::new(self, env, &scope);
        let sort = order_by.iter().map(|order| {
            let expr = match ordinal_of(&order.expr, rel.attrs.len(), "ORDER_BY_POS_OUT_OF_RANGE", "ORDER BY")? {
                Some(index) => rel.attrs[index].expr(),
                None => exprs.plan(&order.expr)?.expr,
            };
            Ok(SortExpr::new(expr, order.ascending, order.nulls_first))
        });
        let sort = sort.collect::<Result<Vec<_>>>()?;
        let plan = LogicalPlan::Sort(Sort {
            expr: sort,
            input: Arc::new(rel.plan.clone()),
            fetch: None,
        });
        Ok(Rel { plan, attrs: rel.attrs })
    }

    fn limit(&self, rel: Rel, query: &Query, env: &Env) -> Result<Rel> {
        let count = |ast: &Option<Ast>, word: &str| -> Result<Option<Box<Expr>>> {
            let Some(ast) = ast else { return Ok(None) };
            let rows = self.constant_int(ast, env)?;
            if rows < 0 {
                return Err(Error::spark(
                    "INVALID_LIMIT_LIKE_EXPRESSION.IS_NEGATIVE",
                    format!("The {word} expression must be equal to or greater than 0, but got {rows}."),
                ));
            }
            Ok(Some(Box::new(lit(rows))))
        };
        let (fetch, skip) = (count(&query.limit, "limit")?, count(&query.offset, "offset")?);
        if fetch.is_none() && skip.is_none() {
            return Ok(rel);
        }
        let plan = LogicalPlan::Limit(Limit {
            skip,
            fetch,
            input: Arc::new(rel.plan),
        });
        Ok(Rel { plan, attrs: rel.attrs })
    }

    /// A constant whole number, as LIMIT takes it.
    fn constant_int(&self, ast: &Ast, env: &Env) -> Result<i64> {
        let none = one_row();
        let scope = Scope::new(&none, None);
        let value = Exprs::new(self, env, &scope).plan(ast)?;
        let wrong = || {
            Error::spark(
                "INVALID_LIMIT_LIKE_EXPRESSION.DATA_TYPE",
                format!("The limit expression \"{}\" must be a whole number.", value.name),
            )
        };
        if !is_integral(&value.data_type) {
            return Err(wrong());
        }
        match super::execute::constant(&self.cast(&value, &DataType::Int64))? {
            ScalarValue::Int64(Some(rows)) => Ok(rows),
            _ => Err(wrong()),
        }
    }

    // ---- FROM

    fn from(&self, relations: &[Relation], env: &Env) -> Result<Rel> {
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

    fn relation(&self, relation: &Relation, env: &Env) -> Result<Rel> {
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

    fn table(&self, name: &[String], alias: &Alias, env: &Env) -> Result<Rel> {
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
    fn watermark(&self, rel: Rel, watermark: Option<&Watermark>, env: &Env) -> Result<Rel> {
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
            plan: watermark_node(rel.plan, &column, delay_ms)?,
            attrs: rel.attrs,
        })
    }

    /// The event-time column of a WATERMARK clause: a column, or a new one at the end.
    fn event_time(&self, rel: Rel, expr: &Ast, alias: Option<&str>, env: &Env) -> Result<(Rel, Attr)> {
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

    // ---- joins

    fn join(&self, left: Rel, right: Rel, kind: JoinKind, on: &JoinOn, env: &Env) -> Result<Rel> {
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
                    return Err(Error::spark(
                        "INVALID_JOIN_CONDITION",
                        "a join condition cannot aggregate",
                    ));
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
    fn join_using(&self, left: Rel, right: Rel, kind: JoinType, keys: &[String]) -> Result<Rel> {
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
    fn full_using(&self, plan: LogicalPlan, pairs: Vec<(Attr, Attr)>, rest: Vec<Attr>, keys: Vec<Attr>) -> Result<Rel> {
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

    // ---- SELECT

    fn select(&self, select: &Select, order_by: &[Order], env: &Env, outer: Option<&Scope>) -> Result<Planned> {
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
        {
            let scope = Scope::new(&rel, outer);
            for conjunct in conjuncts(filter) {
                let exprs = Exprs::new(self, env, &scope);
                if let Some(join) = exprs.subquery_filter(conjunct, false)? {
                    below.append(&mut exprs.joins.borrow_mut());
                    semi.push(join);
                    continue;
                }
                let condition = exprs.condition(conjunct)?;
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

    // ---- time windows

    /// Puts the window column of this SELECT's `window(...)` calls below it.
    fn time_window(
        &self,
        rel: Rel,
        select: &Select,
        order_by: &[Order],
        env: &Env,
        outer: Option<&Scope>,
    ) -> Result<(Rel, Option<WindowColumn>)> {
        let mut calls: Vec<&Call> = vec![];
        for ast in select_expressions(select, order_by) {
            window_calls(ast, &mut calls);
        }
        let Some(first) = calls.first() else {
            return Ok((rel, None));
        };
        let scope = Scope::new(&rel, outer);
        let exprs = Exprs::new(self, env, &scope);
        let spec = match self.window_spec(first, &exprs) {
            Ok(spec) => spec,
            Err(error) => return Err(self.window_error(error, select, &exprs)),
        };
        for call in &calls[1..] {
            if self.window_spec(call, &exprs)? != spec {
                return Err(Error::spark(
                    "_LEGACY_ERROR_TEMP_1039",
                    "Multiple time/session window expressions would result in a cartesian product of rows, therefore \
                     they are currently not supported.",
                ));
            }
        }
        let Some(spec) = spec else {
            return Err(Error::unsupported("session_window is not supported yet"));
        };
        // The column is called `window`, unless the input has one of that name.
        self.windows.set(self.windows.get() + 1);
        let mut name = "window".to_string();
        while rel.plan.schema().fields().iter().any(|f| *f.name() == name) {
            name = format!("window#{}", self.windows.get());
            self.windows.set(self.windows.get() + 1);
        }
        let node = TimeWindowNode::try_new(rel.plan.clone(), spec.time, spec.sizes, &name)?;
        let attr = Attr {
            qualifier: None,
            name: "window".into(),
            column: node.window_column(),
            data_type: TimeWindowNode::window_type(),
            // `*` does not see the column; its name does.
            reach: Reach::ByName,
        };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let attrs = rel.attrs.iter().cloned().chain([attr.clone()]).collect();
        Ok((Rel { plan, attrs }, Some(WindowColumn { attr })))
    }

    /// A window Spark's type check refuses is no column, so `window.start` is the first thing it cannot resolve.
    fn window_error(&self, error: Error, select: &Select, exprs: &Exprs) -> Error {
        let analysis = error
            .condition()
            .is_some_and(|c| c.starts_with("DATATYPE_MISMATCH") || c.starts_with("UNRESOLVED_COLUMN"));
        if !analysis {
            return error;
        }
        let mut names = vec![];
        for item in &select.items {
            visit(&item.expr, &mut |ast| {
                if let Ast::Name(parts) = ast {
                    names.push(parts.clone());
                }
            });
        }
        names
            .iter()
            .find_map(|parts| exprs.scope.resolve(parts).err())
            .unwrap_or(error)
    }

    /// What a call of `window` asks for; None for `session_window`.
    fn window_spec(&self, call: &Call, exprs: &Exprs) -> Result<Option<WindowSpec>> {
        let session = call.name.eq_ignore_ascii_case("session_window");
        let wanted = if session { 2..=2 } else { 2..=4 };
        if !wanted.contains(&call.args.len()) {
            let counts = if session { "2" } else { "[2, 3, 4]" };
            return Err(Error::spark(
                "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
                format!(
                    "The `{}` requires {counts} parameters but the actual number is {}.",
                    call.name,
                    call.args.len()
                ),
            ));
        }
        let sizes = call.args[1..]
            .iter()
            .map(|ast| window_size(ast, session))
            .collect::<Result<Vec<_>>>()?;
        let time = exprs.plan(&call.args[0])?;
        if session {
            return Ok(None);
        }
        let duration = sizes[0];
        let sizes = (
            duration,
            sizes.get(1).copied().unwrap_or(duration),
            sizes.get(2).copied().unwrap_or(0),
        );
        let text = format!("window({}, {}, {}, {})", time.name, sizes.0, sizes.1, sizes.2);
        let time = match &time.data_type {
            DataType::Timestamp(_, Some(_)) => time.expr,
            DataType::Date32 | DataType::Utf8 | DataType::Null => self.cast(&time, &timestamp_type()),
            DataType::Timestamp(_, None) => {
                return Err(Error::unsupported(
                    "a window over TIMESTAMP_NTZ is not supported yet; cast it to TIMESTAMP",
                ));
            }
            DataType::Struct(_) if time.data_type == TimeWindowNode::window_type() => {
                return Err(Error::unsupported("a window of a window is not supported yet"));
            }
            other => {
                let reason = format!(
                    "The first parameter requires the (\"(TIMESTAMP OR TIMESTAMP WITHOUT TIME ZONE)\" or \"STRUCT<start: \
                     TIMESTAMP, end: TIMESTAMP>\" or \"STRUCT<start: TIMESTAMP_NTZ, end: TIMESTAMP_NTZ>\") type, however \
                     \"{}\" has the type \"{}\"",
                    time.name,
                    message_type_name(other)
                );
                return Err(super::expr::mismatch("UNEXPECTED_INPUT_TYPE", &text, reason));
            }
        };
        check_sizes(sizes, &text)?;
        Ok(Some(WindowSpec { time, sizes }))
    }

    // ---- the two shapes of a SELECT

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
            aggregates: false,
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
        let having = select.having.as_ref().map(|ast| exprs.condition(ast)).transpose()?;
        let mut sort = sort_keys(order_by, &items, exprs, select.distinct)?;
        let hidden = hidden_columns(&correlated);
        let defaults = items.iter().map(|item| default_of(&item.expr)).collect::<Result<_>>()?;

        if !exprs.joins.borrow().is_empty() {
            return Err(Error::unsupported(
                "IN, EXISTS and correlated subqueries in the SELECT list or HAVING of a query that groups are not supported yet",
            ));
        }
        if !correlated.iter().all(ties_a_column) {
            return Err(Error::unsupported(
                "a correlated subquery that aggregates must compare its own columns with `=` to those around it",
            ));
        }
        let mut groups = Groups::new(keys, select.group_by == GroupBy::None);
        groups.keys.extend(hidden.iter().cloned().map(Expr::Column));
        for item in &mut items {
            item.expr = groups.rewrite(&item.expr)?;
        }
        let having = having.map(|having| groups.rewrite(&having)).transpose()?;
        for key in &mut sort {
            if let SortKey::Below(expr) = &mut key.key {
                *expr = groups.rewrite(expr)?;
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

        let mut plan = groups.plan(with_joins(rel.plan.clone(), exprs)?)?;
        let outputs = plan.schema().columns();
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
            aggregates: true,
        })
    }

    /// What GROUP BY groups by.
    fn keys(&self, select: &Select, items: &[Typed], exprs: &Exprs) -> Result<Vec<Expr>> {
        let by = match &select.group_by {
            GroupBy::None => return Ok(vec![]),
            GroupBy::All => {
                let plain = items.iter().filter(|item| !contains_aggregate(&item.expr));
                return Ok(plain.map(|item| item.expr.clone()).collect());
            }
            GroupBy::By(by) => by,
        };
        let mut keys: Vec<Expr> = vec![];
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
                None => exprs.plan(ast)?.expr,
            };
            if contains_aggregate(&key) {
                return Err(Error::spark(
                    "GROUP_BY_AGGREGATE",
                    "Aggregate functions are not allowed in GROUP BY.",
                ));
            }
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// A SELECT whose list is planned.
struct Shape<'a> {
    select: &'a Select,
    order_by: &'a [Order],
    items: Vec<Typed>,
    correlated: Vec<Expr>,
}

// ---- ORDER BY of a SELECT

struct SortBy {
    key: SortKey,
    ascending: bool,
    nulls_first: bool,
}

enum SortKey {
    /// An item of the SELECT list.
    Item(usize),
    /// An expression over what the SELECT reads.
    Below(Expr),
}

fn sort_keys(order_by: &[Order], items: &[Typed], exprs: &Exprs, distinct: bool) -> Result<Vec<SortBy>> {
    let each = order_by.iter().map(|order| {
        let key = sort_key(&order.expr, items, exprs)?;
        if distinct && let SortKey::Below(_) = key {
            let names: Vec<_> = items.iter().map(|item| format!("`{}`", item.column_name())).collect();
            return Err(Error::spark(
                "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                format!(
                    "ORDER BY of a SELECT DISTINCT can only name its columns: {}.",
                    names.join(", ")
                ),
            ));
        }
        Ok(SortBy {
            key,
            ascending: order.ascending,
            nulls_first: order.nulls_first,
        })
    });
    each.collect()
}

fn sort_key(ast: &Ast, items: &[Typed], exprs: &Exprs) -> Result<SortKey> {
    if let Some(index) = ordinal_of(ast, items.len(), "ORDER_BY_POS_OUT_OF_RANGE", "ORDER BY")? {
        return Ok(SortKey::Item(index));
    }
    if let Ast::Name(parts) = ast
        && let [name] = parts.as_slice()
        && let Some(index) = items
            .iter()
            .position(|item| item.column_name().eq_ignore_ascii_case(name))
    {
        return Ok(SortKey::Item(index));
    }
    let expr = exprs.plan(ast)?.expr;
    Ok(match items.iter().position(|item| item.expr == expr) {
        Some(index) => SortKey::Item(index),
        None => SortKey::Below(expr),
    })
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
            SortKey::Item(index) => index,
            SortKey::Below(expr) => {
                let data_type = expr_type(&expr, &plan)?;
                all.push(Typed::new(expr, data_type, format!("__sort{}", all.len())));
                all.len() - 1
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
        .map(|(index, ascending, nulls)| SortExpr::new(rel.attrs[index].expr(), ascending, nulls));
    let plan = LogicalPlan::Sort(Sort {
        expr: keys.collect(),
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

// ---- grouping

/// Grouping keys and aggregates, and the expressions over them.
struct Groups {
    keys: Vec<Expr>,
    aggregates: Vec<Expr>,
    /// No GROUP BY: one group of all rows.
    global: bool,
}

/// Qualifier of the place holders that stand for the output of the aggregation until it is planned.
const OUTPUT: &str = "__aggregation";

impl Groups {
    fn new(keys: Vec<Expr>, global: bool) -> Self {
        Self {
            keys,
            aggregates: vec![],
            global,
        }
    }

    /// The expression over the aggregation's output, as place holders.
    fn rewrite(&mut self, expr: &Expr) -> Result<Expr> {
        let place = |kind: &str, index: usize| {
            Expr::Column(Column::new(
                Some(TableReference::bare(OUTPUT)),
                format!("{kind}{index}"),
            ))
        };
        let Groups {
            keys,
            aggregates,
            global,
        } = self;
        let rewritten = expr.clone().transform_down(|e| {
            if let Some(index) = keys.iter().position(|key| *key == e) {
                return Ok(Transformed::new(place("k", index), true, TreeNodeRecursion::Jump));
            }
            match &e {
                Expr::AggregateFunction(_) => {
                    let index = aggregates.iter().position(|a| *a == e).unwrap_or_else(|| {
                        aggregates.push(e.clone());
                        aggregates.len() - 1
                    });
                    Ok(Transformed::new(place("a", index), true, TreeNodeRecursion::Jump))
                }
                Expr::Column(column) => Err(missing(&column.name, *global).into()),
                _ => Ok(Transformed::no(e)),
            }
        });
        Ok(rewritten?.data)
    }

    /// The place holders replaced by the aggregation's columns.
    fn resolve(&self, expr: Expr, outputs: &[Column]) -> Result<Expr> {
        let keys = self.keys.len();
        let resolved = expr.transform(|e| {
            let Expr::Column(column) = &e else {
                return Ok(Transformed::no(e));
            };
            if column.relation.as_ref().is_none_or(|r| r.table() != OUTPUT) {
                return Ok(Transformed::no(e));
            }
            let (kind, index) = column.name.split_at(1);
            let index: usize = index.parse().unwrap_or(0);
            let at = if kind == "k" { index } else { keys + index };
            Ok(Transformed::yes(Expr::Column(outputs[at].clone())))
        });
        Ok(resolved?.data)
    }

    fn plan(&mut self, input: LogicalPlan) -> Result<LogicalPlan> {
        let mut names = BTreeSet::new();
        let unique = self
            .keys
            .iter()
            .chain(&self.aggregates)
            .all(|e| names.insert(e.schema_name().to_string()));
        let input = if unique { input } else { self.name_arguments(input)? };
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(
            Arc::new(input),
            self.keys.clone(),
            self.aggregates.clone(),
        )?))
    }

    /// Aggregates that differ in their casts only have one name in DataFusion: compute the arguments below.
    fn name_arguments(&mut self, input: LogicalPlan) -> Result<LogicalPlan> {
        let mut below: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
        let mut name = |expr: &mut Expr| {
            if !matches!(expr, Expr::Column(_) | Expr::Literal(..)) {
                let name = format!("__argument{}", below.len());
                below.push(std::mem::replace(expr, Expr::Column(Column::new_unqualified(&name))).alias(name));
            }
        };
        self.keys.iter_mut().for_each(&mut name);
        for aggregate in &mut self.aggregates {
            if let Expr::AggregateFunction(function) = aggregate {
                function.params.args.iter_mut().for_each(&mut name);
            }
        }
        Ok(LogicalPlan::Projection(Projection::try_new(below, Arc::new(input))?))
    }
}

fn missing(column: &str, global: bool) -> Error {
    if global {
        return Error::spark(
            "MISSING_GROUP_BY",
            "The query does not include a GROUP BY clause. Add GROUP BY or turn it into the window functions using OVER \
             clauses.",
        );
    }
    Error::spark(
        "MISSING_AGGREGATION",
        format!(
            "The non-aggregating expression \"{column}\" is based on columns which are not participating in the GROUP BY \
             clause. Add the columns or the expression to the GROUP BY, aggregate the expression, or use \
             \"any_value({column})\" if you do not care which of the values within a group is returned."
        ),
    )
}

/// What an aggregate expression is over no rows: counts are 0. None for NULL.
fn default_of(expr: &Expr) -> Result<Option<ScalarValue>> {
    let counts = |e: &Expr| matches!(e, Expr::AggregateFunction(f) if f.func.name() == "count");
    if !expr.exists(|e| Ok(counts(e)))? || expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))))? {
        return Ok(None);
    }
    let constant = expr.clone().transform_down(|e| {
        Ok(match &e {
            Expr::AggregateFunction(_) if counts(&e) => Transformed::new(lit(0i64), true, TreeNodeRecursion::Jump),
            Expr::AggregateFunction(_) | Expr::Column(_) => {
                Transformed::new(lit(ScalarValue::Null), true, TreeNodeRecursion::Jump)
            }
            _ => Transformed::no(e),
        })
    })?;
    Ok(super::execute::constant(&constant.data)
        .ok()
        .filter(|value| !value.is_null()))
}

// ---- correlation

/// Whether a condition says `column = something of the query around`, so that the column can be a grouping key.
fn ties_a_column(condition: &Expr) -> bool {
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

pub(super) fn contains_outer(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))))
        .unwrap_or(false)
}

fn contains_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))
        .unwrap_or(false)
}

// ---- plans

/// The relation of a SELECT without FROM: one row, no columns.
fn one_row() -> Rel {
    let schema = Arc::new(datafusion::common::DFSchema::empty());
    let plan = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema,
    });
    Rel { plan, attrs: vec![] }
}

/// The attributes of a plan, by the names Spark gives its columns.
pub(super) fn attrs_of(plan: &LogicalPlan, qualifier: Option<String>) -> Vec<Attr> {
    let each = plan.schema().iter().map(|(relation, field)| Attr {
        qualifier: qualifier.clone(),
        name: spark_name(field),
        column: Column::new(relation.cloned(), field.name()),
        data_type: field.data_type().clone(),
        reach: Reach::Everywhere,
    });
    each.collect()
}

/// The name Spark gives a column.
pub(super) fn spark_name(field: &Field) -> String {
    field.metadata().get(SPARK_NAME).unwrap_or(field.name()).clone()
}

fn plain_rel(plan: LogicalPlan) -> Rel {
    let attrs = attrs_of(&plan, None);
    Rel { plan, attrs }
}

/// A plan whose columns are, one by one, those of another.
fn with_attrs(plan: LogicalPlan, attrs: Vec<Attr>) -> Rel {
    let columns = plan.schema().columns();
    let attrs = attrs
        .into_iter()
        .zip(columns)
        .map(|(attr, column)| Attr { column, ..attr })
        .collect();
    Rel { plan, attrs }
}

fn scan_name(plan: &LogicalPlan) -> Option<&TableReference> {
    if let LogicalPlan::TableScan(scan) = plan {
        Some(&scan.table_name)
    } else {
        None
    }
}

fn aliased(rel: Rel, unique: TableReference, shown: Option<String>) -> Result<Rel> {
    let Rel { plan, attrs } = rel;
    let places = attrs
        .iter()
        .map(|a| plan.schema().index_of_column(&a.column))
        .collect::<Result<Vec<_>, _>>()?;
    let alias = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), unique)?);
    let columns = alias.schema().columns();
    let each = attrs.into_iter().zip(places).map(|(attr, place)| Attr {
        qualifier: shown.clone(),
        column: columns[place].clone(),
        ..attr
    });
    let attrs = each.collect();
    Ok(Rel { plan: alias, attrs })
}

/// `AS name (columns)`.
fn rename_columns(rel: Rel, names: &[String]) -> Result<Rel> {
    if names.is_empty() {
        return Ok(rel);
    }
    if names.len() != rel.attrs.len() {
        return Err(Error::spark(
            "ASSIGNMENT_ARITY_MISMATCH",
            format!(
                "The alias names {} columns, the relation has {}.",
                names.len(),
                rel.attrs.len()
            ),
        ));
    }
    let items = rel
        .attrs
        .iter()
        .zip(names)
        .map(|(a, name)| Typed::new(a.expr(), a.data_type.clone(), name));
    project(rel.plan.clone(), items.collect())
}

/// A projection whose columns have names of their own in the plan, and Spark's names as attributes.
fn project(plan: LogicalPlan, items: Vec<Typed>) -> Result<Rel> {
    project_as(plan, items, false)
}

/// As [`project`]; `fresh` takes the qualifiers from plain columns too, so that the sides of a union agree.
fn project_as(plan: LogicalPlan, items: Vec<Typed>, fresh: bool) -> Result<Rel> {
    let mut taken = BTreeSet::new();
    let mut exprs = vec![];
    let mut names = vec![];
    for item in items {
        let name = item.column_name().to_string();
        let mut unique = name.clone();
        let mut number = 1;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}#{number}");
            number += 1;
        }
        let plain = matches!(&item.expr, Expr::Column(c) if c.name == unique) && unique == name;
        let expr = if plain && !fresh {
            item.expr
        } else {
            named(item.expr, &unique, &name)
        };
        exprs.push(expr);
        names.push((name, item.data_type));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
    let columns = plan.schema().columns();
    let each = names.into_iter().zip(columns).map(|((name, data_type), column)| Attr {
        qualifier: None,
        name,
        column,
        data_type,
        reach: Reach::Everywhere,
    });
    let attrs = each.collect();
    Ok(Rel { plan, attrs })
}

/// An alias that remembers Spark's name, if the plan needs another.
fn named(expr: Expr, unique: &str, name: &str) -> Expr {
    let alias = AliasExpr::new(expr, None::<TableReference>, unique);
    // The remembered name of a column that is renamed must not come along.
    let inherits = matches!(&*alias.expr, Expr::Column(column) if column.name.contains('#'));
    if unique == name && !inherits {
        return Expr::Alias(alias);
    }
    let metadata = BTreeMap::from([(SPARK_NAME.to_string(), name.to_string())]);
    Expr::Alias(alias.with_metadata(Some(FieldMetadata::new(metadata))))
}

fn distinct(rel: Rel) -> Result<Rel> {
    let keys = rel.plan.schema().columns().into_iter().map(Expr::Column).collect();
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rel.plan), keys, vec![])?);
    Ok(with_attrs(plan, rel.attrs))
}

fn join(left: LogicalPlan, right: LogicalPlan, condition: Option<Expr>, kind: JoinType) -> Result<LogicalPlan> {
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        vec![],
        condition,
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}

fn pending_join(left: LogicalPlan, pending: PendingJoin) -> Result<LogicalPlan> {
    join(left, pending.right, Some(pending.condition), pending.kind)
}

fn with_joins(plan: LogicalPlan, exprs: &Exprs) -> Result<LogicalPlan> {
    exprs.joins.borrow_mut().drain(..).try_fold(plan, pending_join)
}

fn expr_type(expr: &Expr, plan: &LogicalPlan) -> Result<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    Ok(expr.get_type(plan.schema())?)
}

/// `withWatermark(attr, delay)` over a plan.
pub(super) fn watermark_node(plan: LogicalPlan, attr: &Attr, delay_ms: i64) -> Result<LogicalPlan> {
    let is_window = attr.data_type == TimeWindowNode::window_type();
    if !matches!(attr.data_type, DataType::Timestamp(..)) && !is_window {
        return Err(Error::spark(
            "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
            format!(
                "The event time `{}` has the invalid type \"{}\", but expected \"TIMESTAMP\".",
                attr.name,
                message_type_name(&attr.data_type)
            ),
        ));
    }
    let node = WatermarkNode {
        input: plan,
        column: attr.column.clone(),
        delay_ms,
    };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
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

// ---- syntax

/// The parts of an AND.
fn conjuncts(ast: &Ast) -> Vec<&Ast> {
    match ast {
        Ast::Binary(BinaryOp::And, left, right) => [conjuncts(left), conjuncts(right)].concat(),
        other => vec![other],
    }
}

/// The index a whole number in GROUP BY or ORDER BY stands for.
fn ordinal_of(ast: &Ast, width: usize, condition: &'static str, clause: &str) -> Result<Option<usize>> {
    let Ast::Number(text) = ast else { return Ok(None) };
    let Ok(position) = text.parse::<i64>() else {
        return Ok(None);
    };
    if (1..=width as i64).contains(&position) {
        return Ok(Some(position as usize - 1));
    }
    let message = format!("{clause} position {position} is not in select list (valid range is [1, {width}]).");
    Err(Error::spark(condition, message))
}

fn ordinal(index: usize) -> String {
    const WORDS: [&str; 10] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
    ];
    WORDS
        .get(index)
        .map_or(format!("{}th", index + 1), |word| word.to_string())
}

fn select_expressions<'s>(select: &'s Select, order_by: &'s [Order]) -> Vec<&'s Ast> {
    let items = select.items.iter().map(|item| &item.expr);
    let keys = if let GroupBy::By(by) = &select.group_by {
        by.as_slice()
    } else {
        &[]
    };
    items
        .chain(keys)
        .chain(&select.having)
        .chain(order_by.iter().map(|order| &order.expr))
        .collect()
}

/// The calls of `window` and `session_window` in an expression.
fn window_calls<'s>(ast: &'s Ast, calls: &mut Vec<&'s Call>) {
    visit(ast, &mut |ast| {
        if let Ast::Call(call) = ast
            && (call.name.eq_ignore_ascii_case("window") || call.name.eq_ignore_ascii_case("session_window"))
            && !call.over
        {
            calls.push(call);
        }
    });
}

/// Visits an expression and its parts; not what is inside subqueries.
fn visit<'s>(ast: &'s Ast, seen: &mut impl FnMut(&'s Ast)) {
    seen(ast);
    match ast {
        Ast::Unary(_, a) | Ast::IsNull(a, _) | Ast::Field(a, _) | Ast::Named(a, _) | Ast::Extract(_, a) => {
            visit(a, seen)
        }
        Ast::InQuery(a, _) | Ast::Cast { expr: a, .. } => visit(a, seen),
        Ast::Binary(_, a, b)
        | Ast::Element(a, b)
        | Ast::Like {
            expr: a, pattern: b, ..
        } => {
            visit(a, seen);
            visit(b, seen);
        }
        Ast::Between(a, b, c) => [a, b, c].into_iter().for_each(|part| visit(part, seen)),
        Ast::In(a, list) => {
            visit(a, seen);
            list.iter().for_each(|item| visit(item, seen));
        }
        Ast::Tuple(list) => list.iter().for_each(|item| visit(item, seen)),
        Ast::Case {
            operand,
            whens,
            otherwise,
        } => {
            operand.iter().chain(otherwise).for_each(|part| visit(part, seen));
            for (when, then) in whens {
                visit(when, seen);
                visit(then, seen);
            }
        }
        Ast::Call(call) => call.args.iter().chain(&call.filter).for_each(|arg| visit(arg, seen)),
        Ast::Null | Ast::Bool(_) | Ast::Number(_) | Ast::Text(_) | Ast::Typed(..) | Ast::Interval(_) => {}
        Ast::Name(_) | Ast::Star(_) | Ast::Exists(_) | Ast::Scalar(_) => {}
    }
}

/// A duration, slide or offset of a window in microseconds: text, or a whole number of microseconds.
fn window_size(ast: &Ast, session: bool) -> Result<i64> {
    match ast {
        Ast::Text(text) => interval::parse_interval_us(text),
        Ast::Number(text) if text.parse::<i64>().is_ok() => Ok(text.parse().unwrap_or(0)),
        _ if session => Ok(0),
        _ => Err(Error::spark(
            "_LEGACY_ERROR_TEMP_1207",
            "The duration and time inputs to window must be an integer, long or string literal.",
        )),
    }
}

fn check_sizes((duration, slide, start): (i64, i64, i64), text: &str) -> Result<()> {
    let range = |name: &str, value: i64| {
        let reason = format!("The `{name}` must be between (0, 9223372036854775807] (current value = {value}L)");
        Err(super::expr::mismatch("VALUE_OUT_OF_RANGE", text, reason))
    };
    if duration <= 0 {
        return range("window_duration", duration);
    }
    if slide <= 0 {
        return range("slide_duration", slide);
    }
    let constraint = |reason: String| Err(super::expr::mismatch("PARAMETER_CONSTRAINT_VIOLATION", text, reason));
    if slide > duration {
        return constraint(format!(
            "The `slide_duration`({slide}L) must be <= the `window_duration`({duration}L)"
        ));
    }
    if start.unsigned_abs() >= slide as u64 {
        let size = start.unsigned_abs();
        return constraint(format!(
            "The `abs(start_time)`({size}L) must be < the `slide_duration`({slide}L)"
        ));
    }
    Ok(())
}
