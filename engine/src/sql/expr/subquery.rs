//! Subqueries in expressions: IN and EXISTS become joins, so do correlated scalars; other scalars stay.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue, Spans};
use datafusion::functions_aggregate::expr_fn::{count, first_value};
use datafusion::logical_expr::{Aggregate, Case, Expr, Join, JoinType, LogicalPlan, Operator, Subquery, lit};

use super::operator::{binary_expr, one_zero};
use super::{Exprs, mismatch};
use crate::sql::function::collection;
use crate::sql::is_streaming;
use crate::sql::parse::ast::{Ast, Query};
use crate::sql::plan::{contains_outer, project_as, ties_a_column};
use crate::sql::scope::{Attr, Rel, Typed};
use crate::sql::types::{Meeting, message_type_name};
use crate::{Error, Result};

/// The alias of a subquery of an expression: no relation of a FROM clause is called so.
const SUBQUERY: &str = "(subquery)";

/// The alias of one of which Spark asks whether a row is there, though an aggregation without GROUP BY always has one: it
/// lists what the rows around ask for, and joins that list (`DecorrelateInnerQuery`).
const OF_DOMAIN: &str = "(subquery) of a domain";

/// What DataFusion calls the column a mark join adds.
const MARK: &str = "mark";

/// Whether a join answers a subquery of an expression (`IN`, `EXISTS`, a correlated scalar) and none of FROM.
pub fn is_subquery_join(join: &Join) -> bool {
    matches!(&*join.right, LogicalPlan::SubqueryAlias(alias) if alias.alias.table().starts_with(SUBQUERY))
}

/// Whether a join stands for one Spark makes with a list of what the rows around ask for.
pub fn is_domain_join(join: &Join) -> bool {
    is_of_domain(&join.right)
}

fn is_of_domain(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::SubqueryAlias(alias) if alias.alias.table().starts_with(OF_DOMAIN))
}

/// A join that an expression asks for, below the node that evaluates it.
pub(in crate::sql) struct PendingJoin {
    pub right: LogicalPlan,
    pub kind: JoinType,
    pub condition: Expr,
}

impl PendingJoin {
    /// The columns by which it answers: those of the subquery, and the mark.
    pub fn answers(&self) -> Vec<Column> {
        let columns = self.right.schema().columns();
        let mark = Column::new(columns.first().and_then(|c| c.relation.clone()), MARK);
        columns.into_iter().chain([mark]).collect()
    }

    /// Whether Spark makes it with a list of what the rows around ask for.
    pub fn asks_domain(&self) -> bool {
        is_of_domain(&self.right)
    }
}

/// What is asked of a subquery.
#[derive(Clone, Copy, PartialEq)]
enum Asked {
    /// Its value.
    Value,
    /// Whether it has a row, or one that matches.
    Row,
}

/// A subquery under an alias of its own.
struct SubPlan {
    plan: LogicalPlan,
    /// What it selects.
    values: Vec<Attr>,
    /// What ties it to the query around, over both sides.
    condition: Vec<Expr>,
    /// Value `i` where no row matches, if that is not NULL.
    defaults: Vec<Option<ScalarValue>>,
    outer_names: Vec<String>,
}

impl Exprs<'_> {
    fn subquery(&self, query: &Query, asked: Asked) -> Result<SubPlan> {
        let mut planned = self.planner.query(query, self.env, Some(self.scope))?;
        if is_streaming(&planned.rel.plan) {
            return Err(Error::spark(
                "INVALID_SUBQUERY_EXPRESSION.STREAMING_QUERY",
                "Invalid subquery: Streaming query is not allowed in subquery expressions.",
            ));
        }
        if names_outer(&planned.rel.plan)? {
            return Err(Error::unsupported(
                "a subquery that names columns of the query around it outside its WHERE is not supported yet",
            ));
        }
        let hidden = planned.hidden;
        let is_tied = !planned.correlated.is_empty();
        let before: Vec<Column> = planned.rel.attrs.iter().map(|a| a.column.clone()).collect();
        let mut values = planned.rel.attrs.len() - hidden;
        if asked == Asked::Value && is_tied && !planned.is_one_row && values == 1 {
            if !planned.correlated.iter().all(ties_a_column) {
                return Err(Error::unsupported(
                    "a correlated scalar subquery must aggregate, or compare its own columns with `=` to those around it",
                ));
            }
            planned.rel = one_row_each(planned.rel)?;
            values += 1;
        }
        let (widened, name) = match asked {
            Asked::Row if planned.is_one_row && is_tied => (0, OF_DOMAIN),
            _ => (values + hidden - before.len(), SUBQUERY),
        };
        let rel = self.planner.alias(planned.rel, Some(name))?;
        let mut outer_names = vec![];
        let rename = |expr: Expr, outer_names: &mut Vec<String>| {
            expr.transform(|e| {
                Ok(match e {
                    Expr::Column(column) => {
                        let at = before.iter().position(|b| *b == column);
                        Transformed::yes(at.map_or(Expr::Column(column), |at| rel.attrs[at + widened].expr()))
                    }
                    Expr::OuterReferenceColumn(_, column) => {
                        if !outer_names.contains(&column.name) {
                            outer_names.push(column.name.clone());
                        }
                        Transformed::yes(Expr::Column(column))
                    }
                    other => Transformed::no(other),
                })
            })
            .map(|t| t.data)
        };
        let condition = planned
            .correlated
            .into_iter()
            .map(|expr| Ok(rename(expr, &mut outer_names)?));
        let condition = condition.collect::<Result<Vec<_>>>()?;
        let mut shown = rel.attrs;
        shown.truncate(values);
        Ok(SubPlan {
            plan: rel.plan,
            values: shown,
            condition,
            defaults: planned.defaults,
            outer_names,
        })
    }

    pub(super) fn scalar_query(&self, query: &Query) -> Result<Typed> {
        let sub = self.subquery(query, Asked::Value)?;
        let (value, count) = match sub.values.as_slice() {
            [value] => (value, None),
            [value, count] if !sub.condition.is_empty() && count.name == ROWS => (value, Some(count)),
            _ => {
                return Err(Error::spark(
                    "INVALID_SUBQUERY_EXPRESSION.SCALAR_SUBQUERY_RETURN_MORE_THAN_ONE_OUTPUT_COLUMN",
                    format!(
                        "Invalid subquery: Scalar subquery must return only one column, but got {}.",
                        sub.values.len()
                    ),
                ));
            }
        };
        let name = format!("scalarsubquery({})", sub.outer_names.join(", "));
        let data_type = value.data_type.clone();
        if sub.condition.is_empty() {
            let subquery = Subquery {
                subquery: Arc::new(sub.plan),
                outer_ref_columns: vec![],
                spans: Spans::new(),
            };
            return Ok(Typed::new(Expr::ScalarSubquery(subquery), data_type, name));
        }
        let mut expr = match count {
            Some(count) => collection::only_row(&data_type).call(vec![value.expr(), count.expr()]),
            None => value.expr(),
        };
        if let Some(Some(default)) = sub.defaults.first().cloned() {
            // An aggregate over no rows has a value, a left join has NULL.
            let absent = Expr::IsNull(Box::new(expr.clone()));
            let branches = vec![(Box::new(absent), Box::new(lit(default)))];
            expr = Expr::Case(Case {
                expr: None,
                when_then_expr: branches,
                else_expr: Some(Box::new(expr)),
            });
        }
        self.join(sub.plan, JoinType::Left, sub.condition);
        Ok(Typed::new(expr, data_type, name))
    }

    pub(super) fn in_query(&self, value: &Ast, query: &Query) -> Result<Typed> {
        self.in_query_mark(value, query, false)
    }

    /// IN anywhere but at the top of WHERE: a column that says whether there is a match.
    pub(super) fn in_query_mark(&self, value: &Ast, query: &Query, negated: bool) -> Result<Typed> {
        let (plan, condition, name) = self.in_condition(value, query, negated)?;
        let mark = self.mark(plan, condition)?;
        let expr = if negated { Expr::Not(Box::new(mark)) } else { mark };
        let name = if negated { format!("(NOT {name})") } else { name };
        Ok(Typed::new(expr, DataType::Boolean, name))
    }

    pub(super) fn exists(&self, query: &Query) -> Result<Typed> {
        let sub = self.subquery(query, Asked::Row)?;
        let name = format!("exists({})", sub.outer_names.join(", "));
        Ok(Typed::new(self.mark(sub.plan, sub.condition)?, DataType::Boolean, name))
    }

    fn mark(&self, plan: LogicalPlan, condition: Vec<Expr>) -> Result<Expr> {
        let qualifier = plan.schema().iter().find_map(|(qualifier, _)| qualifier.cloned());
        self.join(plan, JoinType::LeftMark, condition);
        Ok(Expr::Column(Column::new(qualifier, MARK)))
    }

    fn join(&self, right: LogicalPlan, kind: JoinType, condition: Vec<Expr>) {
        let condition = condition.into_iter().reduce(|l, r| l.and(r)).unwrap_or(lit(true));
        self.joins.borrow_mut().push(PendingJoin { right, kind, condition });
    }

    /// A conjunct of WHERE that is IN or EXISTS: a semi or an anti join; None for any other conjunct.
    pub(in crate::sql) fn subquery_filter(&self, conjunct: &Ast, negated: bool) -> Result<Option<PendingJoin>> {
        use crate::sql::parse::ast::UnaryOp;
        let kind = if negated {
            JoinType::LeftAnti
        } else {
            JoinType::LeftSemi
        };
        let (right, condition) = match conjunct {
            Ast::Unary(UnaryOp::Not, inner) => return self.subquery_filter(inner, !negated),
            Ast::Exists(query) => {
                let sub = self.subquery(query, Asked::Row)?;
                (sub.plan, sub.condition)
            }
            Ast::InQuery(value, query) => {
                let (plan, condition, _) = self.in_condition(value, query, negated)?;
                (plan, condition)
            }
            _ => return Ok(None),
        };
        let condition = condition.into_iter().reduce(|l, r| l.and(r)).unwrap_or(lit(true));
        Ok(Some(PendingJoin { right, kind, condition }))
    }

    /// The subquery of an IN and what matches. NOT IN also matches where equality is NULL.
    fn in_condition(&self, value: &Ast, query: &Query, negated: bool) -> Result<(LogicalPlan, Vec<Expr>, String)> {
        let values = match value {
            Ast::Tuple(values) => self.plan_all(values)?,
            one => vec![self.plan(one)?],
        };
        let names: Vec<_> = values.iter().map(|v| v.name.as_str()).collect();
        let left = if names.len() == 1 {
            names[0].to_string()
        } else {
            format!("named_struct({})", names.join(", "))
        };
        let name = format!("({left} IN (listquery()))");
        let sub = self.subquery(query, Asked::Row)?;
        if values.len() != sub.values.len() {
            let reason = format!(
                "The number of columns in the left hand side of an IN subquery does not match the number of columns in \
                 the output of subquery: {} and {}",
                values.len(),
                sub.values.len()
            );
            return Err(mismatch("IN_SUBQUERY_LENGTH_MISMATCH", &name, reason));
        }
        let mut condition = sub.condition;
        for (value, attr) in values.iter().zip(&sub.values) {
            let column = Typed::new(attr.expr(), attr.data_type.clone(), &attr.name);
            let common = self.common(&value.data_type, &attr.data_type, Meeting::Comparison);
            let Some(common) = common else {
                let (l, r) = (message_type_name(&value.data_type), message_type_name(&attr.data_type));
                let reason = format!("The data type of one or more elements in the IN subquery differ: {l} and {r}");
                return Err(mismatch("IN_SUBQUERY_DATA_TYPE_MISMATCH", &name, reason));
            };
            let (l, r) = (self.cast(value, &common), self.cast(&column, &common));
            let equal = binary_expr(one_zero(l, &common), Operator::Eq, one_zero(r, &common));
            let matched = if negated {
                equal.clone().or(Expr::IsNull(Box::new(equal)))
            } else {
                equal
            };
            condition.push(matched);
        }
        Ok((sub.plan, condition, name))
    }
}

/// What the number of rows behind a value is called.
const ROWS: &str = "__rows";

/// A value and columns it is found by: for each combination of those, a value and how many there are.
fn one_row_each(rel: Rel) -> Result<Rel> {
    let (value, hidden) = rel.attrs.split_first().expect("a scalar subquery has a value");
    let keys = hidden.iter().map(Attr::expr).collect::<Vec<_>>();
    let width = keys.len();
    let calls = vec![first_value(value.expr(), vec![]), count(lit(1i64))];
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rel.plan), keys, calls)?);
    let columns = plan.schema().columns();
    let item = |at: usize, of: &DataType, name: &str| Typed::new(Expr::Column(columns[at].clone()), of.clone(), name);
    let mut items = vec![
        item(width, &value.data_type, &value.name),
        item(width + 1, &DataType::Int64, ROWS),
    ];
    for (at, attr) in hidden.iter().enumerate() {
        items.push(item(at, &attr.data_type, &format!("__hidden{at}")));
    }
    project_as(plan, items, true)
}

/// Whether some node of a plan still names columns of a query around it.
fn names_outer(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            found |= contains_outer(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}
