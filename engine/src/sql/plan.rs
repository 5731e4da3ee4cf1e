//! Queries: from syntax to plan, clause by clause, in the order Spark's analyzer resolves them.

mod build;
mod group;
mod negation;
mod relation;
mod select;
mod window;

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
    Projection, Sort, SortExpr, SubqueryAlias, Union, UserDefinedLogicalNode, Values, lit,
};

use super::catalog::{BatchTime, Catalog};
use super::expr::{Exprs, PendingJoin};
use super::function::cast::{Mode, cast_expr};
use super::function::{grouping, window as window_function};
use super::node::{GroupingSetsNode, SessionWindowNode, TimeWindowNode, WatermarkNode};
use super::parse::ast::*;
use super::scope::{Attr, Reach, Rel, SPARK_NAME, Scope, Typed, field_of};
use super::types::*;
use super::{interval, is_streaming, timestamp_type};
use crate::{Error, Result};

use build::*;
pub(super) use build::{attrs_of, contains_outer, project_as, spark_name, watermark_node};
pub(super) use group::missing_aggregation;
use group::{Groups, Keys, default_of};
use negation::conjuncts;
pub(super) use negation::moved_inwards;
pub(super) use select::ties_a_column;
pub(super) use window::WindowColumn;

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
    /// Whether it aggregates without GROUP BY, so that it has one row per combination of hidden attributes.
    pub is_one_row: bool,
}

impl Planned {
    fn plain(rel: Rel) -> Self {
        Self {
            rel,
            correlated: vec![],
            hidden: 0,
            defaults: vec![],
            is_one_row: false,
        }
    }
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
        if query.order_by.iter().any(|order| order.in_partitions) && is_streaming(&planned.rel.plan) {
            planned.rel.plan = sorted_in_partitions(planned.rel.plan)?;
        }
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
            let refusal = match op {
                SetOp::Except if !is_streaming(&right.plan) => None,
                SetOp::Except => Some("Except on a streaming DataFrame/Dataset on the right is not supported;"),
                _ => Some("Intersect of streaming DataFrames/Datasets is not supported;"),
            };
            if let Some(refusal) = refusal {
                return Err(Error::spark("_LEGACY_ERROR_TEMP_3102", refusal));
            }
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

    /// INTERSECT and EXCEPT: distinct rows with or without an equal row on the other side. What the other side is called
    /// tells an EXCEPT from a join and a DISTINCT ([`SetDifference`](super::SetDifference)).
    fn set_join(&self, op: SetOp, all: bool, left: Rel, right: Rel) -> Result<Rel> {
        if all && !is_streaming(&left.plan) {
            return Err(Error::unsupported(format!("{} ALL is not supported yet", op.name())));
        }
        let is_distinct = has_distinct_rows(&left.plan, &left.attrs);
        let left = self.alias(left, None)?;
        let right = self.alias(right, Some(if all { EXCEPT_ALL } else { EXCEPT }))?;
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
        let rel = Rel { plan, attrs };
        // Spark drops a DISTINCT of rows that are distinct already (`RemoveRedundantAggregates`).
        if is_distinct && !all { Ok(rel) } else { distinct(rel) }
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
            let rows = self.constant_int(ast, word, &rel, env)?;
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
        let plan = match (fetch, skip) {
            (Some(fetch), None) => limited(rel.plan, *fetch)?,
            (fetch, skip) => LogicalPlan::Limit(Limit {
                skip,
                fetch,
                input: Arc::new(rel.plan),
            }),
        };
        Ok(Rel { plan, attrs: rel.attrs })
    }

    /// A constant whole number, as LIMIT takes it. It sees the columns of what it limits only to refuse them; OFFSET does not.
    fn constant_int(&self, ast: &Ast, word: &str, rel: &Rel, env: &Env) -> Result<i64> {
        let scope = Scope::new(rel, None);
        let exprs = Exprs::new(self, env, &scope);
        let value = exprs.plan(ast)?;
        let invalid = |condition: &str, reason: &str| {
            Error::spark(
                format!("INVALID_LIMIT_LIKE_EXPRESSION.{condition}"),
                format!(
                    "The limit like expression \"{}\" is invalid. The {word} expression {reason}.",
                    value.name
                ),
            )
        };
        if let (Some(column), "offset") = (value.expr.column_refs().into_iter().next(), word) {
            return Err(scope.unresolved(std::slice::from_ref(&column.name)));
        }
        let asks = value.expr.exists(|e| Ok(matches!(e, Expr::ScalarSubquery(_))))?;
        let varies = !value.expr.column_refs().is_empty() || value.expr.is_volatile();
        if asks || varies || !exprs.joins.borrow().is_empty() {
            return Err(invalid("IS_UNFOLDABLE", "must evaluate to a constant value"));
        }
        if value.data_type != DataType::Int32 {
            return Err(invalid("DATA_TYPE", "must be integer type"));
        }
        match super::execute::constant(&self.cast(&value, &DataType::Int64))? {
            ScalarValue::Int64(Some(rows)) => Ok(rows),
            _ => Err(invalid("IS_NULL", "must not be null")),
        }
    }
}

/// The alias of the right side of an EXCEPT: no relation of a FROM clause is called so.
const EXCEPT: &str = "(except)";
const EXCEPT_ALL: &str = "(except all)";

/// An EXCEPT as the plan has it: a DISTINCT of an anti join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetDifference {
    /// Each row once.
    Distinct,
    /// As often as it is there more often.
    All,
}

impl SetDifference {
    /// The EXCEPT an aggregation is the top of, if it is one.
    pub fn of(aggregate: &Aggregate) -> Option<Self> {
        let LogicalPlan::Join(join) = &*aggregate.input else {
            return None;
        };
        let LogicalPlan::SubqueryAlias(right) = &*join.right else {
            return None;
        };
        let name = right.alias.table().split('#').next()?;
        match name {
            EXCEPT if join.join_type == JoinType::LeftAnti => Some(Self::Distinct),
            EXCEPT_ALL => Some(Self::All),
            _ => None,
        }
    }
}

/// Whether the columns of a plan hold all keys of an aggregation below, so that no two rows are equal.
fn has_distinct_rows(plan: &LogicalPlan, attrs: &[Attr]) -> bool {
    let columns = attrs.iter().map(|attr| Expr::Column(attr.column.clone())).collect();
    holds_all_keys(plan, columns)
}

fn holds_all_keys(plan: &LogicalPlan, shown: Vec<Expr>) -> bool {
    let shown = || shown.iter().map(|e| e.clone().unalias());
    let moved = |below: Vec<Expr>| {
        let columns = plan.schema().columns();
        let place = |e: Expr| columns.iter().position(|c| Expr::Column(c.clone()) == e);
        shown().filter_map(place).map(|at| below[at].clone()).collect()
    };
    match plan {
        LogicalPlan::Aggregate(aggregate) => {
            let keys = &plan.schema().columns()[..aggregate.group_expr.len()];
            keys.iter().all(|key| shown().any(|e| e == Expr::Column(key.clone())))
        }
        LogicalPlan::Projection(projection) => holds_all_keys(&projection.input, moved(projection.expr.clone())),
        LogicalPlan::SubqueryAlias(alias) => {
            let below = alias.input.schema().columns().into_iter().map(Expr::Column).collect();
            holds_all_keys(&alias.input, moved(below))
        }
        LogicalPlan::Filter(filter) => holds_all_keys(&filter.input, shown().collect()),
        _ => false,
    }
}

/// SORT BY and CLUSTER BY order each partition, for which no sample is needed: a sort that fetches all rows there are.
fn sorted_in_partitions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let sorted = plan.transform_down(|node| match node {
        LogicalPlan::Sort(sort) => {
            let sort = LogicalPlan::Sort(Sort {
                fetch: Some(usize::MAX),
                ..sort
            });
            Ok(Transformed::new(sort, true, TreeNodeRecursion::Stop))
        }
        other => Ok(Transformed::no(other)),
    });
    Ok(sorted?.data)
}

/// A limit over a limit is one limit, also where columns are chosen in between.
fn limited(plan: LogicalPlan, fetch: Expr) -> Result<LogicalPlan> {
    let rows = |limit: &Expr| match limit {
        Expr::Literal(ScalarValue::Int64(Some(rows)), _) => Some(*rows),
        _ => None,
    };
    if let LogicalPlan::Limit(Limit {
        skip: None,
        fetch: Some(inner),
        ..
    }) = unnamed(&plan)
        && let (Some(inner), Some(outer)) = (rows(inner), rows(&fetch))
    {
        let fewer = Some(Box::new(lit(inner.min(outer))));
        let plan = plan.transform_down(|node| match node {
            LogicalPlan::Limit(limit) => {
                let limit = LogicalPlan::Limit(Limit {
                    fetch: fewer.clone(),
                    ..limit
                });
                Ok(Transformed::new(limit, true, TreeNodeRecursion::Stop))
            }
            other => Ok(Transformed::no(other)),
        });
        return Ok(plan?.data);
    }
    Ok(LogicalPlan::Limit(Limit {
        skip: None,
        fetch: Some(Box::new(fetch)),
        input: Arc::new(plan),
    }))
}

/// What a relation is below its names and the columns chosen of it.
fn unnamed(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => unnamed(&alias.input),
        LogicalPlan::Projection(projection) => unnamed(&projection.input),
        other => other,
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
