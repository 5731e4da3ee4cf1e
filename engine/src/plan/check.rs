//! What Spark refuses to stream, in Spark's words (spark-semantics 5), and then what Skirl does not run yet.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan};

use super::build::{at_run_time, several_event_times};
use super::conjuncts::conjuncts;
use super::state_bound::lower_bound;
use super::{event_time, streams};
use crate::sql::{self, GroupingSetsNode, SessionWindowNode, SetDifference, TimeWindowNode, WatermarkNode};
use crate::{Error, OutputMode, Result};

/// Refuses a query that cannot run in an output mode.
///
/// # Errors
/// Spark's condition and message, or `SKIRL_UNSUPPORTED`.
pub(super) fn refuse(plan: &LogicalPlan, mode: OutputMode) -> Result<()> {
    if !streams(plan) {
        return Err(Error::spark(
            "WRITE_STREAM_NOT_ALLOWED",
            "[WRITE_STREAM_NOT_ALLOWED] `writeStream` can be called only on streaming Dataset/DataFrame.",
        ));
    }
    let nodes = streaming_nodes(plan);
    refuse_chains(&nodes, mode)?;
    refuse_mode(&nodes, mode)?;
    for node in nodes.iter().rev() {
        refuse_node(node, mode)?;
    }
    refuse_batch_time(plan)?;
    refuse_global_sessions(&nodes)?;
    refuse_domains(&nodes, mode)?;
    refuse_except(&nodes, mode)?;
    unsupported(&nodes)
}

/// The time of a batch where Spark wants what is deterministic: it says so when it plans the first batch, for which it has
/// put the time in, and looks at the static parts of a query too.
fn refuse_batch_time(plan: &LogicalPlan) -> Result<()> {
    let mut refusal = None;
    plan.apply(|node| {
        refusal = match node {
            LogicalPlan::Aggregate(aggregate) => refused_argument(aggregate),
            LogicalPlan::Join(join) if !sql::is_subquery_join(join) => refused_condition(join),
            _ => None,
        };
        Ok(match refusal {
            Some(_) => TreeNodeRecursion::Stop,
            None => TreeNodeRecursion::Continue,
        })
    })?;
    refusal.map_or(Ok(()), |refusal| Err(at_run_time(refusal)))
}

/// Keys that ask for the time are evaluated below, and what they asked for is a column then (`PullOutNondeterministic`).
fn refused_argument(aggregate: &Aggregate) -> Option<Error> {
    let pulled_out = batch_times(&aggregate.group_expr);
    let functions = aggregate.aggr_expr.iter().filter_map(aggregate_function);
    let mut asked = functions.flat_map(|function| batch_times(&function.params.args));
    asked.any(|time| !pulled_out.contains(&time)).then(|| {
        Error::spark(
            "AGGREGATE_FUNCTION_WITH_NONDETERMINISTIC_EXPRESSION",
            "Non-deterministic expression \"current_batch_timestamp()\" should not appear in the arguments of an \
             aggregate function.",
        )
    })
}

fn refused_condition(join: &Join) -> Option<Error> {
    (!batch_times(join.filter.as_slice()).is_empty()).then(|| {
        Error::spark(
            "INVALID_NON_DETERMINISTIC_EXPRESSIONS",
            "The operator expects a deterministic expression, but the actual expression is \"current_batch_timestamp()\".",
        )
    })
}

/// The calls of expressions that give the time of the batch.
fn batch_times(exprs: &[Expr]) -> Vec<Expr> {
    let mut times = vec![];
    for expr in exprs {
        let walked = expr.apply(|e| {
            times.extend(sql::is_batch_time(e).then(|| e.clone()));
            Ok(TreeNodeRecursion::Continue)
        });
        walked.expect("looking at an expression cannot fail");
    }
    times
}

/// A join with a list of what the rows ask for is one of two streams, and the list an aggregation.
fn refuse_domains(nodes: &[&LogicalPlan], mode: OutputMode) -> Result<()> {
    for node in nodes {
        let LogicalPlan::Join(join) = node else { continue };
        if !sql::is_domain_join(join) {
            continue;
        }
        return Err(match (join.join_type, mode) {
            (JoinType::LeftAnti, _) => at_run_time(Error::nameless(
                "requirement failed: StreamingSymmetricHashJoinExec should not take LeftAnti as the JoinType",
            )),
            (_, OutputMode::Append) => at_run_time(without_watermark()),
            _ => Error::unsupported(
                "IN and EXISTS of a correlated subquery that aggregates without GROUP BY are not supported yet",
            ),
        });
    }
    Ok(())
}

fn without_watermark() -> Error {
    Error::spark(
        "UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK",
        "Append output mode not supported for aggregations on streaming DataFrames/DataSets without watermark.",
    )
}

/// An EXCEPT of a stream and a table keeps its rows apart by an aggregation, which Spark finds when it plans the first batch.
fn refuse_except(nodes: &[&LogicalPlan], mode: OutputMode) -> Result<()> {
    for except in nodes.iter().filter_map(|node| as_except(node)) {
        if mode == OutputMode::Append && !has_event_time_key(except) {
            return Err(at_run_time(without_watermark()));
        }
        if SetDifference::of(except) == Some(SetDifference::All) {
            return Err(Error::unsupported(
                "EXCEPT ALL of a stream and a table is not supported yet",
            ));
        }
    }
    Ok(())
}

/// The parts of a plan that stream, topmost first.
fn streaming_nodes(plan: &LogicalPlan) -> Vec<&LogicalPlan> {
    if !streams(plan) {
        return vec![];
    }
    let below = plan.inputs().into_iter().flat_map(streaming_nodes);
    std::iter::once(plan).chain(below).collect()
}

fn legacy(message: impl Into<String>) -> Error {
    Error::spark("_LEGACY_ERROR_TEMP_3102", message)
}

fn unsupported_mode(mode: OutputMode, operation: &str) -> Error {
    Error::spark(
        "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
        format!(
            "[STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION] Invalid streaming output mode: {}. This output mode is not \
             supported for {operation} on streaming DataFrames/DataSets. SQLSTATE: 42KDE",
            mode.name()
        ),
    )
}

/// Spark's name of a mode within sentences.
fn capitalised(mode: OutputMode) -> &'static str {
    match mode {
        OutputMode::Append => "Append",
        OutputMode::Update => "Update",
        OutputMode::Complete => "Complete",
    }
}

/// An aggregation; an EXCEPT becomes one only when Spark has checked everything.
fn as_aggregate(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) if SetDifference::of(aggregate).is_none() => Some(aggregate),
        _ => None,
    }
}

fn as_except(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => SetDifference::of(aggregate).map(|_| aggregate),
        _ => None,
    }
}

fn as_stream_join(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if streams(&join.left) && streams(&join.right) => Some(join),
        _ => None,
    }
}

/// A stateful operator above an aggregation that revises its results would take revisions for new rows.
fn refuse_chains(nodes: &[&LogicalPlan], mode: OutputMode) -> Result<()> {
    let stateful = |n: &LogicalPlan| as_aggregate(n).is_some() || as_stream_join(n).is_some();
    for node in nodes.iter().filter(|n| stateful(n)) {
        let below = node.inputs().into_iter().flat_map(streaming_nodes);
        if mode != OutputMode::Append && below.into_iter().any(|n| as_aggregate(n).is_some()) {
            return Err(legacy(
                "Detected pattern of possible 'correctness' issue due to global watermark. The query contains stateful \
                 operation which can emit rows older than the current watermark plus allowed late record delay, which \
                 are \"late rows\" in downstream stateful operations and these rows can be discarded. Please refer the \
                 programming guide doc for more details. If you understand the possible risk of correctness issue and \
                 still need to run the query, you can disable this check by setting the config \
                 `spark.sql.streaming.statefulOperator.checkCorrectness.enabled` to false.",
            ));
        }
    }
    Ok(())
}

fn refuse_mode(nodes: &[&LogicalPlan], mode: OutputMode) -> Result<()> {
    let topmost = nodes.iter().find_map(|n| as_aggregate(n));
    match (mode, topmost) {
        (OutputMode::Update, Some(aggregate))
            if aggregate.group_expr.iter().any(|key| is_session(key, &aggregate.input)) =>
        {
            Err(unsupported_mode(mode, "session window streaming aggregations"))
        }
        (OutputMode::Append, Some(aggregate)) if !has_event_time_key(aggregate) => {
            Err(unsupported_mode(mode, "streaming aggregations without watermark"))
        }
        (OutputMode::Complete, None) => Err(unsupported_mode(mode, "no streaming aggregations")),
        _ => Ok(()),
    }
}

fn has_event_time_key(aggregate: &Aggregate) -> bool {
    aggregate
        .group_expr
        .iter()
        .any(|key| event_time::is_tagged(key, &aggregate.input))
}

/// Whether a grouping key is a session.
fn is_session(key: &Expr, input: &LogicalPlan) -> bool {
    match input {
        LogicalPlan::Filter(filter) => is_session(key, &filter.input),
        LogicalPlan::Extension(extension) => {
            let sessions = extension.node.as_any().downcast_ref::<SessionWindowNode>();
            sessions.is_some_and(|sessions| *key == Expr::Column(sessions.window_column()))
        }
        _ => false,
    }
}

/// Sessions need another key; Spark says so when it plans the first batch.
fn refuse_global_sessions(nodes: &[&LogicalPlan]) -> Result<()> {
    for aggregate in nodes.iter().filter_map(|node| as_aggregate(node)) {
        if let [only] = aggregate.group_expr.as_slice()
            && is_session(only, &aggregate.input)
        {
            return Err(at_run_time(Error::nameless(
                "Global aggregation with session window in streaming query is not supported.",
            )));
        }
    }
    Ok(())
}

fn refuse_node(node: &LogicalPlan, mode: OutputMode) -> Result<()> {
    if let Some(refusal) = node.expressions().iter().find_map(sql::refused_over_rows) {
        return Err(refusal);
    }
    match node {
        LogicalPlan::Aggregate(aggregate) => refuse_distinct(aggregate),
        LogicalPlan::Join(join) => refuse_join(join, mode),
        LogicalPlan::Limit(limit) => {
            if limit.skip.is_some() {
                return Err(legacy("Offset is not supported on streaming DataFrames/Datasets;"));
            }
            if mode == OutputMode::Update {
                return Err(legacy(
                    "Limits are not supported on streaming DataFrames/Datasets in Update output mode;",
                ));
            }
            Ok(())
        }
        LogicalPlan::Sort(sort) => {
            let grouped = |n: &&LogicalPlan| as_aggregate(n).is_some_and(|aggregate| !is_distinct(aggregate));
            if mode == OutputMode::Complete && streaming_nodes(&sort.input).iter().any(grouped) {
                return Ok(());
            }
            Err(legacy(
                "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated \
                 DataFrame/Dataset in Complete output mode;",
            ))
        }
        LogicalPlan::Union(union) if union.inputs.iter().any(|input| !streams(input)) => Err(legacy(
            "Union between streaming and batch DataFrames/Datasets is not supported;",
        )),
        _ => Ok(()),
    }
}

/// Whether an aggregation is a `SELECT DISTINCT` or a `UNION`: Spark does not count it as one where it checks sorts.
fn is_distinct(aggregate: &Aggregate) -> bool {
    let columns = aggregate.input.schema().columns().into_iter().map(Expr::Column);
    let of_a_list = matches!(*aggregate.input, LogicalPlan::Projection(_) | LogicalPlan::Union(_));
    of_a_list && aggregate.aggr_expr.is_empty() && aggregate.group_expr.iter().cloned().eq(columns)
}

/// The aggregate function of an aggregate expression.
pub(super) fn aggregate_function(expr: &Expr) -> Option<&AggregateFunction> {
    match expr {
        Expr::Alias(alias) => aggregate_function(&alias.expr),
        Expr::AggregateFunction(function) => Some(function),
        _ => None,
    }
}

fn refuse_distinct(aggregate: &Aggregate) -> Result<()> {
    if aggregate
        .aggr_expr
        .iter()
        .filter_map(aggregate_function)
        .any(|f| f.params.distinct)
    {
        return Err(legacy(
            "Distinct aggregations are not supported on streaming DataFrames/Datasets. Consider using \
             approx_count_distinct() instead.;",
        ));
    }
    Ok(())
}

fn spark_name(join_type: JoinType) -> &'static str {
    match join_type {
        JoinType::Inner => "Inner",
        JoinType::Left => "LeftOuter",
        JoinType::Right => "RightOuter",
        JoinType::Full => "FullOuter",
        JoinType::LeftSemi | JoinType::RightSemi => "LeftSemi",
        JoinType::LeftAnti | JoinType::RightAnti => "LeftAnti",
        JoinType::LeftMark | JoinType::RightMark => "ExistenceJoin",
    }
}

fn refuse_join(join: &Join, mode: OutputMode) -> Result<()> {
    let (left, right) = (streams(&join.left), streams(&join.right));
    let name = spark_name(join.join_type);
    let runs_in_update = matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi);
    if left
        && right
        && mode != OutputMode::Append
        && !(runs_in_update && mode == OutputMode::Update)
        && join.join_type != JoinType::Inner
    {
        return Err(legacy(format!(
            "{name} join between two streaming DataFrames/Datasets is not supported in {} output mode, only in Append \
             output mode;",
            capitalised(mode)
        )));
    }
    if left && right && join.join_type == JoinType::Inner && mode == OutputMode::Complete {
        return Err(legacy(
            "Inner join between two streaming DataFrames/Datasets is not supported in Complete output mode, only in \
             Append and Update output modes;",
        ));
    }
    match (join.join_type, left, right) {
        (JoinType::LeftAnti, _, true) => Err(legacy(
            "LeftAnti joins with a streaming DataFrame/Dataset on the right are not supported;",
        )),
        (JoinType::Full, true, false) => Err(legacy(
            "FullOuter joins with streaming DataFrames/Datasets on the left and a static DataFrame/Dataset on the right \
             is not supported;",
        )),
        (JoinType::Full, false, true) => Err(legacy(
            "FullOuter joins with streaming DataFrames/Datasets on the right and a static DataFrame/Dataset on the left \
             is not supported;",
        )),
        (JoinType::Left | JoinType::LeftSemi | JoinType::LeftMark, false, true) => Err(legacy(format!(
            "{name} join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is \
             not supported;"
        ))),
        (JoinType::Right, true, false) => Err(legacy(
            "RightOuter join with a streaming DataFrame/Dataset on the left and a static DataFrame/DataSet on the right \
             not supported;",
        )),
        (JoinType::Left | JoinType::Right | JoinType::Full | JoinType::LeftSemi, true, true) if !is_bounded(join) => {
            Err(legacy(format!(
                "Stream-stream {name} join between two streaming DataFrame/Datasets is not supported without a \
                 watermark in the join keys, or a watermark on the nullable side and an appropriate range condition;"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether an outer or semi join can ever say that a row has no partner (rule R of spark-semantics 5).
fn is_bounded(join: &Join) -> bool {
    let mut conditions: Vec<Expr> = join.filter.clone().map(conjuncts).unwrap_or_default();
    let mut keys: Vec<(Expr, Expr)> = join.on.clone();
    conditions.retain(|c| match c {
        Expr::BinaryExpr(b) if b.op == datafusion::logical_expr::Operator::Eq => {
            keys.push(((*b.left).clone(), (*b.right).clone()));
            false
        }
        _ => true,
    });
    let tagged = [
        event_time::tagged_columns(&join.left),
        event_time::tagged_columns(&join.right),
    ];
    let is_tagged = |e: &Expr| matches!(e, Expr::Column(c) if tagged.iter().any(|t| t.contains(c)));
    if keys.iter().any(|(l, r)| is_tagged(l) || is_tagged(r)) {
        return true;
    }
    let bounded = |mine: &LogicalPlan, others_time: &[Column]| {
        let bounds = conditions
            .iter()
            .filter_map(|c| lower_bound(c, |column| mine.schema().has_column(column)));
        bounds.into_iter().any(|bound| others_time.contains(&bound.other))
    };
    let left = bounded(&join.left, &tagged[1]);
    let right = bounded(&join.right, &tagged[0]);
    match join.join_type {
        JoinType::Left | JoinType::LeftSemi => left,
        JoinType::Right => right,
        _ => left || right,
    }
}

/// Joins of streams that Skirl does not run yet, in a plan whose filters have their place: a condition above may have
/// made an inner join of an outer one.
///
/// # Errors
/// `SKIRL_UNSUPPORTED`, or what Spark finds out when it plans the first batch.
pub(super) fn refuse_joins(plan: &LogicalPlan) -> Result<()> {
    for join in streaming_nodes(plan).into_iter().rev().filter_map(as_stream_join) {
        if join.join_type != JoinType::Inner {
            return Err(Error::unsupported(format!(
                "{} joins of two streams are not supported by Skirl yet; inner joins are",
                spark_name(join.join_type)
            )));
        }
        let sides = [&join.left, &join.right];
        for tagged in sides.map(|side| event_time::tagged_columns(side)) {
            if tagged.len() > 1 {
                let columns = tagged.iter().map(|column| column.name.clone()).collect();
                return Err(several_event_times(columns));
            }
        }
        let below = sides.into_iter().flat_map(|side| streaming_nodes(side));
        if below
            .into_iter()
            .any(|n| matches!(n, LogicalPlan::Aggregate(_)) || as_stream_join(n).is_some())
        {
            return Err(Error::unsupported(
                "a join of streams above another join or an aggregation is not supported by Skirl yet",
            ));
        }
    }
    Ok(())
}

/// What Spark runs and Skirl does not yet.
fn unsupported(nodes: &[&LogicalPlan]) -> Result<()> {
    for node in nodes {
        match node {
            LogicalPlan::Aggregate(aggregate) => {
                let chained = streaming_nodes(&aggregate.input)
                    .iter()
                    .any(|n| matches!(n, LogicalPlan::Aggregate(_)));
                if chained {
                    return Err(Error::unsupported(
                        "an aggregation of an aggregation is not supported by Skirl yet",
                    ));
                }
            }
            LogicalPlan::Extension(extension) => {
                let known = extension.node.as_any();
                if known.is::<SessionWindowNode>() {
                    return Err(Error::unsupported("session_window is not supported by Skirl yet"));
                }
                if !known.is::<WatermarkNode>() && !known.is::<TimeWindowNode>() && !known.is::<GroupingSetsNode>() {
                    return Err(Error::unsupported(format!(
                        "{} is not supported by Skirl yet",
                        extension.node.name()
                    )));
                }
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Join(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::TableScan(_) => {}
            other => {
                return Err(Error::unsupported(format!(
                    "`{}` over a stream is not supported by Skirl yet",
                    other.display().to_string().split(':').next().unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}
