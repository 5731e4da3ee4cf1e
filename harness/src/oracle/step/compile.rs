//! From the optimised tree to steps: expressions are compiled, rules decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::Expr;
use skirl_engine::{Error, OutputMode, Result};

use super::eviction::{equalities, eviction};
use super::{
    Aggregation, Call, Condition, From, JoinKey, Op, Partners, StaticRows, Step, Steps, StreamJoin, TableJoin,
    has_own_state, has_state,
};
use crate::oracle::advance;
use crate::oracle::conjuncts::equality;
use crate::oracle::member::{Membership, question, questions};
use crate::oracle::scalar::Compiler;
use crate::oracle::stage::{self, counts_over_life};
use crate::oracle::table::normalised;
use crate::oracle::tree::*;
use crate::oracle::{table, window};

/// Compiles an optimised tree over the rows of its static tables.
pub fn steps(root: &Node, mode: OutputMode, tables: &[StaticRows]) -> Result<Steps> {
    let mut builder = Builder {
        mode,
        tables,
        compiler: Compiler::default(),
        operators: vec![],
        watermarks: vec![],
        parts: 0,
        watermark_above_state: false,
        failure: None,
    };
    let runs = stage::runs(root, mode);
    let mut root = builder.step(root)?;
    builder.mark_part(&mut root);
    Ok(Steps {
        root,
        runs,
        operators: builder.operators,
        parts: builder.parts,
        asks_for_time: builder.compiler.asks_for_time,
        watermark_above_state: builder.watermark_above_state,
        failure: builder.failure.or(builder.compiler.failure),
    })
}

struct Builder<'a> {
    mode: OutputMode,
    tables: &'a [StaticRows],
    compiler: Compiler,
    operators: Vec<String>,
    watermarks: Vec<usize>,
    parts: usize,
    watermark_above_state: bool,
    failure: Option<Error>,
}

impl Builder<'_> {
    fn step(&mut self, node: &Node) -> Result<Step> {
        let op = match &node.kind {
            Kind::Stream { stream, columns } => Op::Stream {
                stream: *stream,
                columns: columns.clone(),
            },
            Kind::Static { .. } => return Err(Error::unsupported("a static relation on its own is no stream")),
            Kind::Filter { input, predicates } => {
                let conditions = predicates
                    .iter()
                    .map(|p| self.condition(p, input))
                    .collect::<Result<_>>()?;
                Op::Filter {
                    conditions,
                    input: Box::new(self.step(input)?),
                }
            }
            Kind::Project { input, exprs } => {
                let schema = self.compiler.schema(&input.output);
                Op::Project {
                    in_advance: self.compiler.scalars(&advance::of_columns(exprs), &schema)?,
                    exprs: self.compiler.scalars(exprs, &schema)?,
                    input: Box::new(self.step(input)?),
                }
            }
            Kind::Slide { input, time, sizes } => {
                let schema = self.compiler.schema(&input.output);
                let time = self.compiler.scalar(time, &schema)?;
                Op::Slide {
                    time,
                    sizes: *sizes,
                    input: Box::new(self.step(input)?),
                }
            }
            Kind::Expand { input, keys, sets } => {
                let schema = self.compiler.schema(&input.output);
                Op::Expand {
                    keys: self.compiler.scalars(keys, &schema)?,
                    sets: sets.clone(),
                    input: Box::new(self.step(input)?),
                }
            }
            Kind::Watermark {
                input,
                column,
                delay_ms,
                definition,
            } => {
                let below = self.step(input)?;
                self.watermark_above_state |= has_state(&below);
                let number = self.watermark(*definition);
                let column = position(input, *column);
                Op::Watermark {
                    input: Box::new(below),
                    column,
                    delay_ms: *delay_ms,
                    number,
                }
            }
            Kind::Join {
                left,
                right,
                kind,
                condition,
            } => match (left.is_streaming(), right.is_streaming()) {
                (true, true) => self.stream_join(node, left, right, condition)?,
                (true, false) => self.table_join(node, left, right, *kind, condition)?,
                _ => self.table_join(node, right, left, mirrored(*kind), condition)?,
            },
            Kind::Aggregate {
                input,
                keys,
                aggregates,
                ..
            } => self.aggregate(node, input, keys, aggregates)?,
            Kind::Union { inputs } => Op::Union {
                inputs: inputs.iter().map(|input| self.step(input)).collect::<Result<_>>()?,
            },
            Kind::Sort { input, keys } => {
                let schema = self.compiler.schema(&input.output);
                let mut sorted = vec![];
                for key in keys {
                    sorted.push((
                        self.compiler.scalar(&key.expr, &schema)?,
                        key.ascending,
                        key.nulls_first,
                    ));
                }
                Op::Sort {
                    keys: sorted,
                    input: Box::new(self.step(input)?),
                }
            }
            Kind::Limit { input, fetch, .. } => {
                let over_life = counts_over_life(node, self.mode);
                let operator = over_life.then(|| self.operator("limit".into()));
                let input = match over_life {
                    true => self.step(&cut_below_watermark((**input).clone(), *fetch))?,
                    false => self.step(input)?,
                };
                Op::Limit {
                    fetch: *fetch,
                    operator,
                    input: Box::new(input),
                }
            }
            Kind::Session { .. } => return Err(Error::unsupported("session_window on a stream is not supported yet")),
            Kind::Deduplicate { .. } => {
                return Err(Error::unsupported("dropDuplicates on a stream is not supported yet"));
            }
        };
        let mut step = Step {
            schema: schema_of(&node.output),
            op,
            part: None,
        };
        if has_own_state(&step.op) {
            self.mark_inputs(&mut step);
        }
        Ok(step)
    }

    /// Operators are numbered from the top, so a number is taken before the inputs are looked at.
    fn operator(&mut self, name: String) -> usize {
        self.operators.push(name);
        self.operators.len() - 1
    }

    fn watermark(&mut self, definition: usize) -> usize {
        let known = self.watermarks.iter().position(|known| *known == definition);
        known.unwrap_or_else(|| {
            self.watermarks.push(definition);
            self.watermarks.len() - 1
        })
    }

    fn mark_part(&mut self, step: &mut Step) {
        if step.part.is_some() || has_own_state(&step.op) {
            return;
        }
        if !has_state(step) {
            step.part = Some(self.parts);
            self.parts += 1;
            return;
        }
        self.mark_inputs(step);
    }

    fn mark_inputs(&mut self, step: &mut Step) {
        for input in step.inputs_mut() {
            self.mark_part(input);
        }
    }

    fn condition(&mut self, predicate: &Expr, input: &Node) -> Result<Condition> {
        let mut columns = input.output.clone();
        let mut members = vec![];
        let asked = questions(predicate);
        for (at, asked) in asked.iter().enumerate() {
            let (member, args) = question(asked).expect("a question is one");
            columns.push(Attribute {
                id: answer_id(at),
                data_type: DataType::Boolean,
            });
            members.push(self.asked(member, args, input)?);
        }
        let schema = self.compiler.schema(&columns);
        let holds = self.compiler.scalar(&answered(predicate, &asked), &schema)?;
        Ok(Condition {
            holds,
            schema: schema_of(&columns),
            members,
        })
    }

    fn asked(&mut self, member: &Membership, args: &[Expr], rows: &Node) -> Result<Partners> {
        let table = self.tables[member.table].clone();
        let asked = member.asked(args);
        self.partners(rows, &asked.on, &asked.condition, (&member.table_output, table))
    }

    fn partners(
        &mut self,
        rows: &Node,
        on: &[(Expr, Expr)],
        condition: &[Expr],
        (table_output, rows_of_table): (&[Attribute], StaticRows),
    ) -> Result<Partners> {
        let StaticRows { columns, len, failure } = rows_of_table;
        let row_schema = self.compiler.schema(&rows.output);
        let table_schema = self.compiler.schema(table_output);
        let both: Vec<Attribute> = rows.output.iter().chain(table_output).cloned().collect();
        let both_schema = self.compiler.schema(&both);
        let row_keys = on
            .iter()
            .map(|(l, _)| self.compiler.scalar(l, &row_schema))
            .collect::<Result<_>>()?;
        let table_keys = on
            .iter()
            .map(|(_, r)| self.compiler.scalar(r, &table_schema))
            .collect::<Result<Vec<_>>>()?;
        let condition = self.compiler.scalars(condition, &both_schema)?;
        let table_batch = table::rows_of(&schema_of(table_output), columns.clone(), len)?;
        let mut partners = Partners {
            row_keys,
            by_key: BTreeMap::new(),
            table: columns,
            table_rows: len,
            failure,
            condition,
            schema: schema_of(&both),
            key_types: vec![],
        };
        let evaluated: Result<Vec<ArrayRef>> = table_keys
            .iter()
            .map(|k| Ok(normalised(k.evaluate(&table_batch)?)))
            .collect();
        match evaluated {
            Ok(keys) => partners.index(&keys)?,
            Err(error) => drop(partners.failure.get_or_insert(error)),
        }
        Ok(partners)
    }

    fn table_join(
        &mut self,
        node: &Node,
        stream: &Node,
        table: &Node,
        kind: JoinKind,
        condition: &[Expr],
    ) -> Result<Op> {
        let (on, rest) = split_equalities(stream, table, condition);
        let rows = self.static_rows(table)?;
        let partners = self.partners(stream, &on, &rest, (&table.output, rows))?;
        let from = |a: &Attribute| match (find(stream, a.id), find(table, a.id)) {
            (Some(at), _) => From::Left(at),
            (None, Some(at)) => From::Right(at),
            _ => From::Mark,
        };
        let output = node.output.iter().map(from).collect();
        let stream = self.step(stream)?;
        Ok(Op::TableJoin(Box::new(TableJoin {
            stream,
            kind,
            partners,
            output,
        })))
    }

    /// The rows of a static side: a table, and what Spark filters of it before the join.
    fn static_rows(&mut self, node: &Node) -> Result<StaticRows> {
        match &node.kind {
            Kind::Static { table, .. } => Ok(self.tables[*table].clone()),
            Kind::Filter { input, predicates } => {
                let mut rows = self.static_rows(input)?;
                for predicate in predicates {
                    let condition = self.condition(predicate, input)?;
                    let batch = table::rows_of(&schema_of(&input.output), rows.columns.clone(), rows.len)?;
                    match static_answer(&condition, &batch) {
                        Ok(kept) => {
                            let kept = kept.as_boolean();
                            let is_kept = |p: &u32| kept.is_valid(*p as usize) && kept.value(*p as usize);
                            let positions: Vec<u32> = (0..rows.len as u32).filter(is_kept).collect();
                            rows.columns = table::take_columns(&rows.columns, &positions)?;
                            rows.len = positions.len();
                        }
                        Err(error) => drop(rows.failure.get_or_insert(error)),
                    }
                }
                Ok(rows)
            }
            _ => Err(Error::Invalid("a static side of a join is not a table".into())),
        }
    }

    fn stream_join(&mut self, node: &Node, left: &Node, right: &Node, condition: &[Expr]) -> Result<Op> {
        let operator = self.operator("join".into());
        let (lefts, rights) = (left.ids(), right.ids());
        let (left_tags, right_tags) = node.event_times_of_sides();

        let (exprs, rest) = equalities(condition, &lefts, &rights);
        let eviction = eviction(&exprs, &rest, (&lefts, &left_tags), (&rights, &right_tags));
        let mut keys = vec![];
        let (left_schema, right_schema) = (self.compiler.schema(&left.output), self.compiler.schema(&right.output));
        for (l, r, _) in &exprs {
            let left = self.compiler.scalar(l, &left_schema)?;
            keys.push(JoinKey {
                left,
                right: self.compiler.scalar(r, &right_schema)?,
            });
        }
        let both: Vec<Attribute> = left.output.iter().chain(&right.output).cloned().collect();
        let both_schema = self.compiler.schema(&both);
        let condition = self.compiler.scalars(&rest, &both_schema)?;
        let from = |a: &Attribute| match find(left, a.id) {
            Some(at) => From::Left(at),
            None => From::Right(position(right, a.id)),
        };
        Ok(Op::StreamJoin(Box::new(StreamJoin {
            operator,
            keys,
            condition,
            pair_schema: schema_of(&both),
            output: node.output.iter().map(from).collect(),
            left_tag: left_tags.first().map(|id| position(left, *id)),
            right_tag: right_tags.first().map(|id| position(right, *id)),
            eviction,
            left: self.step(left)?,
            right: self.step(right)?,
        })))
    }

    fn aggregate(&mut self, node: &Node, input: &Node, keys: &[Expr], aggregates: &[AggregateCall]) -> Result<Op> {
        let operator = self.operator(aggregation_name(input, keys));
        let tags = node.tagged();
        let schema = self.compiler.schema(&input.output);
        let mut calls = vec![];
        for (call, column) in aggregates.iter().zip(&node.output[keys.len()..]) {
            let filter = call
                .filter
                .as_ref()
                .map(|f| self.compiler.scalar(f, &schema))
                .transpose()?;
            let args = self.compiler.scalars(&call.args, &schema)?;
            calls.push(Call {
                function: call.function.clone(),
                args,
                filter,
                data_type: column.data_type.clone(),
            });
        }
        Ok(Op::Aggregate(Box::new(Aggregation {
            operator,
            keys: self.compiler.scalars(keys, &schema)?,
            key_types: node.output[..keys.len()].iter().map(|a| a.data_type.clone()).collect(),
            tag: tags.first().map(|id| position(node, *id)),
            in_advance: self
                .compiler
                .scalars(&advance::of_calls(aggregates, &schema), &schema)?,
            calls,
            input: self.step(input)?,
        })))
    }
}

/// A limit reads no further than it must: of each batch, a watermark below sees the first rows only, unless something
/// in between drops or adds rows.
fn cut_below_watermark(node: Node, fetch: usize) -> Node {
    let Node { output, kind } = node;
    let kind = match kind {
        Kind::Project { input, exprs } => Kind::Project {
            input: Box::new(cut_below_watermark(*input, fetch)),
            exprs,
        },
        Kind::Watermark {
            input,
            column,
            delay_ms,
            definition,
        } => Kind::Watermark {
            input: Box::new(Node {
                output: input.output.clone(),
                kind: Kind::Limit {
                    input,
                    has_offset: false,
                    each_batch: true,
                    fetch,
                },
            }),
            column,
            delay_ms,
            definition,
        },
        other => other,
    };
    Node { output, kind }
}

/// The number of the column with the answer to question `at`: no relation has that many columns.
fn answer_id(at: usize) -> Id {
    Id::MAX - at as Id
}

/// A predicate with the answers in the place of the questions.
fn answered(predicate: &Expr, questions: &[Expr]) -> Expr {
    let answer = |e: Expr| match questions.iter().position(|asked| *asked == e) {
        Some(at) => Ok(Transformed::new(column(answer_id(at)), true, TreeNodeRecursion::Jump)),
        None => Ok(Transformed::no(e)),
    };
    let answered = predicate.clone().transform_down(answer);
    answered.expect("replacing does not fail").data
}

/// Which rows of a static relation satisfy a condition.
fn static_answer(condition: &Condition, rows: &RecordBatch) -> Result<ArrayRef> {
    let mut columns = rows.columns().to_vec();
    for asked in &condition.members {
        columns.push(Arc::new(asked.static_marks(rows)?));
    }
    let rows = table::rows_of(&condition.schema, columns, rows.num_rows())?;
    condition.holds.evaluate(&rows)
}

fn find(node: &Node, id: Id) -> Option<usize> {
    node.output.iter().position(|a| a.id == id)
}

fn position(node: &Node, id: Id) -> usize {
    find(node, id).expect("a column that is asked for is kept")
}

/// The same join seen from its right side.
fn mirrored(kind: JoinKind) -> JoinKind {
    match kind {
        JoinKind::Right => JoinKind::Left,
        JoinKind::Left => JoinKind::Right,
        other => other,
    }
}

fn split_equalities(stream: &Node, table: &Node, condition: &[Expr]) -> (Vec<(Expr, Expr)>, Vec<Expr>) {
    let (mut on, mut rest) = (vec![], vec![]);
    for conjunct in condition {
        match equality(conjunct, &stream.ids(), &table.ids()) {
            Some((l, r, false)) => on.push((l, r)),
            _ => rest.push(conjunct.clone()),
        }
    }
    (on, rest)
}

/// `3-minute aggregation` for one over windows, else `aggregation`.
fn aggregation_name(input: &Node, keys: &[Expr]) -> String {
    let window = keys
        .iter()
        .filter_map(column_id)
        .find_map(|key| duration_of(input, key));
    match window {
        Some(us) => format!("{} aggregation", span(us)),
        None => "aggregation".into(),
    }
}

/// The length of the windows a column holds.
fn duration_of(node: &Node, id: Id) -> Option<i64> {
    match &node.kind {
        Kind::Slide { sizes, .. } if node.output.last()?.id == id => Some(sizes.duration),
        Kind::Project { input, exprs } => {
            let expr = exprs.get(find(node, id)?)?;
            window::duration_of_window(expr).or_else(|| duration_of(input, column_id(expr)?))
        }
        _ => node
            .inputs()
            .into_iter()
            .filter(|n| n.has(id))
            .find_map(|n| duration_of(n, id)),
    }
}

fn span(us: i64) -> String {
    for (unit, name) in [
        (86_400_000_000, "day"),
        (3_600_000_000, "hour"),
        (60_000_000, "minute"),
        (1_000_000, "second"),
    ] {
        if us % unit == 0 {
            return format!("{}-{name}", us / unit);
        }
    }
    format!("{us}-microsecond")
}
