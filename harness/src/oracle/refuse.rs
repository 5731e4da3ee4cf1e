//! What Spark refuses before a query starts, in its order, and what Skirl does not derive yet.

use std::collections::BTreeSet;

use datafusion::common::JoinType;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Expr, LogicalPlan};
use skirl_engine::sql::SetDifference;
use skirl_engine::{Error, OutputMode, Result, sql};

use super::conjuncts::equality;
use super::state_watermark::bounds;
use super::tree::*;

/// Spark's analysis of a streaming query, before anything is optimised.
pub(super) fn check_analysis(root: &Node, mode: OutputMode) -> Result<()> {
    if !root.is_streaming() {
        return Err(Error::spark(
            "WRITE_STREAM_NOT_ALLOWED",
            "`writeStream` can be called only on a streaming query, and this one reads no stream",
        ));
    }
    check_chains(root, mode)?;
    check_output_mode(root, mode)?;
    let mut parents_last = root.walk();
    parents_last.reverse();
    parents_last.into_iter().try_for_each(|node| check_operator(node, mode))
}

/// An operator that emits rows older than the watermark must not feed another that drops them.
fn check_chains(root: &Node, mode: OutputMode) -> Result<()> {
    let judges_time = |node: &Node| match &node.kind {
        Kind::Deduplicate {
            input,
            keys,
            within_watermark,
        } => *within_watermark || keys.iter().any(|key| input.tagged().contains(key)),
        Kind::Aggregate { .. } => node.aggregates_stream(),
        _ => node.is_stateful(),
    };
    let emits_late = |node: &Node| node.aggregates_stream() && mode != OutputMode::Append;
    for node in root.walk() {
        if node.is_streaming() && judges_time(node) && node.walk()[1..].iter().any(|below| emits_late(below)) {
            return Err(Error::nameless(
                "Detected pattern of possible 'correctness' issue due to global watermark. The query contains stateful \
                 operation which can emit rows older than the current watermark plus allowed late record delay, which are \
                 \"late rows\" in downstream stateful operations and these rows can be discarded",
            ));
        }
    }
    Ok(())
}

fn check_output_mode(root: &Node, mode: OutputMode) -> Result<()> {
    let topmost = root.walk().into_iter().find(|n| n.aggregates_stream());
    match (mode, topmost) {
        (OutputMode::Update, Some(aggregate)) if session_keys(aggregate) > 0 => {
            Err(unsupported_in(mode, "session window streaming aggregations"))
        }
        (OutputMode::Append, Some(aggregate)) if !groups_by_event_time(aggregate) => {
            Err(unsupported_in(mode, "streaming aggregations without watermark"))
        }
        (OutputMode::Complete, None) => Err(unsupported_in(mode, "no streaming aggregations")),
        _ => Ok(()),
    }
}

/// How many of an aggregation's keys are sessions.
fn session_keys(aggregate: &Node) -> usize {
    let Kind::Aggregate { keys, .. } = &aggregate.kind else {
        return 0;
    };
    let sessions: BTreeSet<Id> = aggregate
        .walk()
        .iter()
        .filter(|node| matches!(node.kind, Kind::Session { .. }))
        .filter_map(|node| Some(node.output.last()?.id))
        .collect();
    keys.iter()
        .filter_map(column_id)
        .filter(|key| sessions.contains(key))
        .count()
}

fn groups_by_event_time(aggregate: &Node) -> bool {
    !aggregate.tagged().is_empty()
}

fn unsupported_in(mode: OutputMode, operation: &str) -> Error {
    Error::spark(
        "STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION",
        format!(
            "Invalid streaming output mode: {}. This output mode is not supported for {operation} on streaming \
             DataFrames/DataSets.",
            mode.name()
        ),
    )
}

fn check_operator(node: &Node, mode: OutputMode) -> Result<()> {
    let refuse = |message: &str| Err(Error::nameless(message));
    let evaluated: Vec<&Expr> = match &node.kind {
        Kind::Project { exprs, .. } => exprs.iter().collect(),
        Kind::Aggregate { aggregates, .. } => aggregates.iter().flat_map(|call| &call.args).collect(),
        _ => vec![],
    };
    if node.is_streaming()
        && let Some(refusal) = evaluated.into_iter().find_map(sql::refused_over_rows)
    {
        return Err(refusal);
    }
    match &node.kind {
        Kind::Aggregate { input, aggregates, .. } if input.is_streaming() && aggregates.iter().any(|a| a.distinct) => {
            refuse(
                "Distinct aggregations are not supported on streaming DataFrames/Datasets. Consider using \
             approx_count_distinct() instead.",
            )
        }
        Kind::Deduplicate {
            input,
            within_watermark: true,
            ..
        } if input.is_streaming() && input.tagged().is_empty() => {
            refuse("dropDuplicatesWithinWatermark is not supported on streaming DataFrames/DataSets without watermark")
        }
        Kind::Join {
            left,
            right,
            kind,
            condition,
        } => check_join(left, right, *kind, condition, mode),
        Kind::Union { inputs } if inputs.iter().any(Node::is_streaming) && !inputs.iter().all(Node::is_streaming) => {
            refuse("Union between streaming and batch DataFrames/Datasets is not supported")
        }
        Kind::Limit { fetch, input, .. }
            if *fetch < usize::MAX && mode == OutputMode::Update && input.is_streaming() =>
        {
            refuse("Limits are not supported on streaming DataFrames/Datasets in Update output mode")
        }
        Kind::Limit { has_offset: true, .. } => refuse("Offset is not supported on streaming DataFrames/Datasets"),
        Kind::Sort { .. } if !has_complete_rows(node, mode) => refuse(
            "Sorting is not supported on streaming DataFrames/Datasets, unless it is on aggregated DataFrame/Dataset in \
             Complete output mode",
        ),
        _ => Ok(()),
    }
}

/// Whether every batch shows all rows and not only the new ones.
fn has_complete_rows(node: &Node, mode: OutputMode) -> bool {
    let grouped = |n: &&Node| matches!(n.kind, Kind::Aggregate { distinct: false, .. }) && n.aggregates_stream();
    !node.is_streaming() || (mode == OutputMode::Complete && node.walk().iter().any(grouped))
}

fn check_join(left: &Node, right: &Node, kind: JoinKind, condition: &[Expr], mode: OutputMode) -> Result<()> {
    let streams = (left.is_streaming(), right.is_streaming());
    let name = kind.name();
    if streams == (true, true) {
        let runs = mode == OutputMode::Append
            || (mode == OutputMode::Update && matches!(kind, JoinKind::Inner | JoinKind::Cross | JoinKind::Semi));
        if !runs {
            let mode = match mode {
                OutputMode::Update => "Update",
                _ => "Complete",
            };
            let modes = if kind == JoinKind::Inner {
                "Append and Update output modes"
            } else {
                "Append output mode"
            };
            return Err(Error::nameless(format!(
                "{name} join between two streaming DataFrames/Datasets is not supported in {mode} output mode, only in {modes}"
            )));
        }
    }
    let refusal = match (kind, streams) {
        (JoinKind::Full, (true, false)) => {
            "FullOuter joins with streaming DataFrames/Datasets on the left and a static DataFrame/Dataset on the right is \
             not supported"
                .to_string()
        }
        (JoinKind::Full, (false, true)) => {
            "FullOuter joins with streaming DataFrames/Datasets on the right and a static DataFrame/Dataset on the left is \
             not supported"
                .to_string()
        }
        (JoinKind::Anti, (_, true)) => {
            "LeftAnti joins with a streaming DataFrame/Dataset on the right are not supported".to_string()
        }
        (JoinKind::Left | JoinKind::Semi, (false, true)) => format!(
            "{name} join with a streaming DataFrame/Dataset on the right and a static DataFrame/Dataset on the left is not \
             supported"
        ),
        (JoinKind::Right, (true, false)) => {
            "RightOuter join with a streaming DataFrame/Dataset on the left and a static DataFrame/DataSet on the right not \
             supported"
                .to_string()
        }
        (JoinKind::Left | JoinKind::Semi | JoinKind::Right | JoinKind::Full, (true, true))
            if !ever_evicts(left, right, kind, condition) =>
        {
            format!(
                "Stream-stream {name} join between two streaming DataFrame/Datasets is not supported without a watermark in \
                 the join keys, or a watermark on the nullable side and an appropriate range condition"
            )
        }
        _ => return Ok(()),
    };
    Err(Error::nameless(refusal))
}

/// Whether an outer or semi join of two streams can ever tell that a row stays without a partner.
fn ever_evicts(left: &Node, right: &Node, kind: JoinKind, condition: &[Expr]) -> bool {
    let (left_tags, right_tags) = (left.tagged(), right.tagged());
    let is_tagged = |expr: &Expr, tags: &BTreeSet<Id>| column_id(expr).is_some_and(|id| tags.contains(&id));
    let in_keys = condition
        .iter()
        .filter_map(|c| equality(c, &left.ids(), &right.ids()))
        .any(|(l, r, null_safe)| !null_safe && (is_tagged(&l, &left_tags) || is_tagged(&r, &right_tags)));
    let of_left = || !bounds(condition, &left.ids(), &right_tags).is_empty();
    let of_right = || !bounds(condition, &right.ids(), &left_tags).is_empty();
    in_keys
        || match kind {
            JoinKind::Left | JoinKind::Semi => of_left(),
            JoinKind::Right => of_right(),
            _ => of_left() || of_right(),
        }
}

/// What Spark finds out when it plans the first batch of an optimised query.
pub(super) fn start_failure(root: &Node, mode: OutputMode) -> Option<Error> {
    let mut inputs_first = root.walk();
    inputs_first.reverse();
    inputs_first
        .into_iter()
        .filter(|n| n.is_stateful())
        .find_map(|node| match &node.kind {
            Kind::Join {
                kind: JoinKind::Cross, ..
            } => Some(Error::nameless(
                "requirement failed: StreamingSymmetricHashJoinExec should not take Cross as the JoinType",
            )),
            Kind::Join {
                left, right, condition, ..
            } => {
                let (lefts, rights) = (left.ids(), right.ids());
                if !condition.iter().any(|c| equality(c, &lefts, &rights).is_some()) {
                    return Some(Error::nameless(
                        "Stream-stream join without equality predicate is not supported.",
                    ));
                }
                let (left, right) = node.event_times_of_sides();
                two_event_times(&left).or_else(|| two_event_times(&right))
            }
            Kind::Aggregate { keys, .. } if keys.len() == 1 && session_keys(node) == 1 => Some(Error::nameless(
                "Global aggregation with session window in streaming query is not supported.",
            )),
            Kind::Aggregate { except: Some(_), .. } if mode == OutputMode::Append && !groups_by_event_time(node) => {
                Some(without_watermark())
            }
            Kind::Aggregate { .. } if mode != OutputMode::Complete => two_event_times(&node.tagged()),
            Kind::Deduplicate { input, .. } => two_event_times(&input.tagged()),
            _ => None,
        })
}

fn without_watermark() -> Error {
    Error::spark(
        "UNSUPPORTED_STREAMING_OPERATOR_WITHOUT_WATERMARK",
        "Append output mode not supported for aggregations on streaming DataFrames/DataSets without watermark.",
    )
}

/// The time of a batch in an aggregate or in the condition of a join, static ones among them: to Spark it is not
/// deterministic, and there it must be.
pub(super) fn time_failure(root: &Node, tables: &[LogicalPlan]) -> Option<Error> {
    let times = |exprs: &[Expr]| exprs.iter().flat_map(batch_times).collect::<BTreeSet<_>>();
    let in_aggregate = || {
        Error::spark(
            "AGGREGATE_FUNCTION_WITH_NONDETERMINISTIC_EXPRESSION",
            "The time of a batch should not appear in the arguments of an aggregate function.",
        )
    };
    for node in root.walk() {
        match &node.kind {
            // A key that asks for the time is a column by then.
            Kind::Aggregate { keys, aggregates, .. } => {
                let known = times(keys);
                if aggregates.iter().any(|call| !times(&call.args).is_subset(&known)) {
                    return Some(in_aggregate());
                }
            }
            Kind::Join { kind, condition, .. } if *kind != JoinKind::Mark && !times(condition).is_empty() => {
                return Some(Error::spark(
                    "INVALID_NON_DETERMINISTIC_EXPRESSIONS",
                    "The operator expects a deterministic expression, but the actual expression is the time of a batch.",
                ));
            }
            _ => {}
        }
    }
    let asks = |plan: &LogicalPlan| match plan {
        LogicalPlan::Aggregate(aggregate) => !times(&aggregate.aggr_expr).is_empty(),
        _ => false,
    };
    let in_table = tables
        .iter()
        .any(|plan| plan.exists(|node| Ok(asks(node))).unwrap_or(false));
    in_table.then(in_aggregate)
}

/// A subquery that aggregates to one row, asked whether there is one: Spark keeps a list of what the rows ask for, an
/// aggregation, and joins two streams.
pub(super) fn domain_failure(join_type: JoinType, mode: OutputMode) -> Result<Error> {
    match (join_type, mode) {
        (JoinType::LeftAnti, _) => Ok(Error::nameless(
            "requirement failed: StreamingSymmetricHashJoinExec should not take LeftAnti as the JoinType",
        )),
        (_, OutputMode::Append) => Ok(without_watermark()),
        _ => Err(Error::unsupported(
            "IN and EXISTS of a correlated subquery that aggregates without GROUP BY are not supported yet",
        )),
    }
}

fn two_event_times(tags: &BTreeSet<Id>) -> Option<Error> {
    (tags.len() > 1).then(|| {
        Error::spark(
            "MULTIPLE_EVENT_TIME_COLUMNS",
            "More than one event time columns are available. Please ensure there is at most one event time column per \
             stream.",
        )
    })
}

/// What Spark runs and this oracle does not derive yet.
pub(super) fn check_supported(root: &Node) -> Result<()> {
    for node in root.walk() {
        match &node.kind {
            Kind::Session { .. } => {
                return Err(Error::unsupported("session_window on a stream is not supported yet"));
            }
            Kind::Deduplicate { .. } => {
                return Err(Error::unsupported(
                    "dropDuplicates on a stream is not supported yet; use a query without it",
                ));
            }
            Kind::Join { kind, .. } if node.is_stateful() && *kind != JoinKind::Inner => {
                return Err(Error::unsupported(format!(
                    "a {} join of two streams is not supported yet; only inner joins are",
                    kind.name()
                )));
            }
            Kind::Aggregate {
                except: Some(SetDifference::All),
                ..
            } => {
                return Err(Error::unsupported(
                    "EXCEPT ALL of a stream and a table is not supported yet",
                ));
            }
            Kind::Aggregate { aggregates, input, .. } if input.is_streaming() => {
                let known = |name: &str| matches!(name, "count" | "sum" | "avg" | "min" | "max");
                if let Some(call) = aggregates.iter().find(|call| !known(&call.function)) {
                    return Err(Error::unsupported(format!(
                        "the aggregate `{}` is not supported on streams yet; count, sum, avg, min and max are",
                        call.function
                    )));
                }
            }
            _ => {}
        }
        if node.is_stateful() {
            check_below(node)?;
        }
    }
    Ok(())
}

/// An aggregation may stand on a join; no other operator with state may stand on another.
fn check_below(node: &Node) -> Result<()> {
    let aggregates = matches!(node.kind, Kind::Aggregate { .. });
    for below in node.walk()[1..].iter().filter(|n| n.is_stateful()) {
        if !(aggregates && matches!(below.kind, Kind::Join { .. })) {
            return Err(Error::unsupported(
                "operators with state above one another are not supported yet, except an aggregation of a join",
            ));
        }
    }
    Ok(())
}
