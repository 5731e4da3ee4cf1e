//! `IN`, `EXISTS` and `NOT IN` are conditions on rows until every condition has its place.
//!
//! The front end writes them as joins with a static subquery. Spark lets them sink, and follow from equal columns, as
//! any condition does, and makes them joins afterwards. So [`fold`] turns such joins into calls, which placement treats
//! as it treats all functions, and [`unfold`] turns the calls back into joins where they ended up. A join the user
//! wrote is none of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, Result as DfResult, plan_err};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, Filter, Join, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

use super::conjuncts::conjuncts;
use super::placement::substitute;
use super::streams;
use crate::Result;
use crate::sql;

/// The same query with every subquery condition as a call.
pub(super) fn fold(plan: LogicalPlan) -> Result<LogicalPlan> {
    let folded = plan.transform_up(|node| match node {
        LogicalPlan::Join(join) if is_answer(&join) && removes_rows(&join) => {
            let asked = Member::of(&join).call();
            let predicate = match join.join_type {
                JoinType::LeftAnti => Expr::Not(Box::new(asked)),
                _ => asked,
            };
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(
                predicate, join.left,
            )?)))
        }
        LogicalPlan::Filter(filter) => Ok(Transformed::yes(fold_marks(filter)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(folded.data)
}

/// The same query with every such call as a join again.
pub(super) fn unfold(plan: LogicalPlan) -> Result<LogicalPlan> {
    let unfolded = plan.transform_up(|node| match node {
        LogicalPlan::Filter(filter) if asks(&filter.predicate) => Ok(Transformed::yes(unfold_filter(filter)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(unfolded.data)
}

/// Whether an expression asks a subquery about the row.
pub(super) fn asks(expr: &Expr) -> bool {
    expr.exists(|e| Ok(member(e).is_some())).unwrap_or(false)
}

/// Whether a join answers a subquery of an expression.
fn is_answer(join: &Join) -> bool {
    let volatile = join.filter.as_ref().is_some_and(Expr::is_volatile);
    sql::is_subquery_join(join) && streams(&join.left) && !streams(&join.right) && !volatile
}

fn removes_rows(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
}

/// A filter over joins that answer, without the joins.
///
/// A correlated scalar subquery stays: Spark makes it a join before conditions sink.
fn fold_marks(filter: Filter) -> Result<LogicalPlan> {
    let mut calls = HashMap::<Column, Expr>::default();
    let mut rows = &filter.input;
    while let LogicalPlan::Join(join) = &**rows
        && is_answer(join)
        && join.join_type == JoinType::LeftMark
    {
        let mark = join.schema.columns().pop().expect("a mark join has its mark");
        calls.insert(mark, Member::of(join).call());
        rows = &join.left;
    }
    if calls.is_empty() {
        return Ok(LogicalPlan::Filter(filter));
    }
    let predicate = substitute(vec![filter.predicate.clone()], &calls)?.swap_remove(0);
    Ok(LogicalPlan::Filter(Filter::try_new(predicate, Arc::clone(rows))?))
}

/// A filter whose conjuncts ask subqueries, as joins above the conjuncts that do not.
fn unfold_filter(filter: Filter) -> Result<LogicalPlan> {
    let (asking, plain): (Vec<Expr>, Vec<Expr>) = conjuncts(filter.predicate).into_iter().partition(asks);
    let mut plan = Arc::unwrap_or_clone(filter.input);
    if let Some(predicate) = conjunction(plain) {
        plan = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?);
    }
    asking.into_iter().try_fold(plan, asked)
}

/// The rows for which a condition that asks subqueries holds.
fn asked(rows: LogicalPlan, condition: Expr) -> Result<LogicalPlan> {
    match &condition {
        Expr::Not(inner) if let Some((member, args)) = member(inner) => {
            return member.join(rows, JoinType::LeftAnti, args);
        }
        other if let Some((member, args)) = member(other) => return member.join(rows, JoinType::LeftSemi, args),
        _ => {}
    }
    let columns = rows.schema().columns();
    let mut plan = rows;
    let mut marks: Vec<(Expr, Expr)> = vec![];
    let mut calls = vec![];
    condition.apply(|e| {
        if member(e).is_some() && !calls.contains(e) {
            calls.push(e.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    for call in calls {
        let (member, args) = member(&call).expect("just seen");
        plan = member.join(plan, JoinType::LeftMark, args)?;
        let mark = plan.schema().columns().pop().expect("a mark join has its mark");
        marks.push((call, Expr::Column(mark)));
    }
    let answered = condition.transform_down(|e| match marks.iter().find(|(call, _)| *call == e) {
        Some((_, mark)) => Ok(Transformed::new(mark.clone(), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(e)),
    })?;
    let filter = LogicalPlan::Filter(Filter::try_new(answered.data, Arc::new(plan))?);
    let kept = columns.into_iter().map(Expr::Column).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(kept, Arc::new(filter))?))
}

/// What a subquery is asked: whether a row has a partner in it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Member {
    /// The join that answers, over the columns the row had where the question was written.
    join: Join,
    /// Those of them it reads; the arguments of the call stand for them.
    columns: Vec<Column>,
    signature: Signature,
}

/// The question and its arguments, if an expression is one.
fn member(expr: &Expr) -> Option<(&Member, &[Expr])> {
    match expr {
        Expr::ScalarFunction(call) => Some((call.func.inner().downcast_ref::<Member>()?, &call.args)),
        _ => None,
    }
}

impl Member {
    fn of(join: &Join) -> Self {
        let read = join.on.iter().map(|(left, _)| left).chain(&join.filter);
        let read: HashSet<&Column> = read.flat_map(Expr::column_refs).collect();
        let columns: Vec<Column> = join.left.schema().columns();
        Self {
            join: join.clone(),
            columns: columns.into_iter().filter(|column| read.contains(column)).collect(),
            signature: Signature::variadic_any(Volatility::Immutable),
        }
    }

    fn call(self) -> Expr {
        let args = self.columns.iter().cloned().map(Expr::Column).collect();
        ScalarUDF::new_from_impl(self).call(args)
    }

    /// The rows joined with the subquery, asked with these arguments.
    fn join(&self, rows: LogicalPlan, kind: JoinType, args: &[Expr]) -> Result<LogicalPlan> {
        let names: HashMap<Column, Expr> = self.columns.iter().cloned().zip(args.iter().cloned()).collect();
        let renamed = |expr: &Expr| -> Result<Expr> { Ok(substitute(vec![expr.clone()], &names)?.swap_remove(0)) };
        let on = self
            .join
            .on
            .iter()
            .map(|(left, right)| Ok((renamed(left)?, right.clone())));
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(rows),
            Arc::clone(&self.join.right),
            on.collect::<Result<_>>()?,
            self.join.filter.as_ref().map(renamed).transpose()?,
            kind,
            JoinConstraint::On,
            self.join.null_equality,
            self.join.null_aware,
        )?))
    }
}

impl ScalarUDFImpl for Member {
    fn name(&self) -> &str {
        "(member)"
    }
    fn signature(&self) -> &Signature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> DfResult<DataType> {
        Ok(DataType::Boolean)
    }
    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        plan_err!("a subquery is answered by a join")
    }
}
