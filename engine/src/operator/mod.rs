//! What a planned query is made of at run time: a tree of operators that turns a micro-batch's input into its output.
//!
//! An operator sees rows and watermarks; it sees no clock, no storage and no offset. To add a stateful operator, write
//! `operator/<name>.rs` and give it a variant in [`Node`]; every place that must know of it is a `match` here.

mod accumulate;
mod aggregate;
mod expand;
mod group;
mod input;
mod join;
mod limit;
mod parallel;
mod sort;
mod static_join;
mod step;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub(crate) use accumulate::{AggregateKind, AggregateSpec};
pub(crate) use aggregate::{AggregateCall, Aggregation, AggregationPlan, Over};
pub(crate) use expand::Expand;
pub(crate) use input::{Incoming, Input};
pub(crate) use join::{Eviction, JoinPlan, SidePlan, StateBound, StreamJoin, TimeRange};
pub(crate) use limit::Limit;
pub(crate) use parallel::CHUNK_ROWS;
pub(crate) use sort::{Slice, Sort};
pub(crate) use static_join::{Leaf, StaticJoin};
pub(crate) use step::{Observe, Step, WindowStep};

use crate::watermark::Observed;
use crate::{OutputMode, Result};

/// Everything an operator may know of the micro-batch it runs in.
pub(crate) struct Turn<'a> {
    /// Rows of each source.
    pub input: &'a [Input<'a>],
    /// Global watermark of the previous batch in milliseconds: bounds late rows.
    pub late_ms: i64,
    /// Global watermark of this batch in milliseconds: bounds eviction.
    pub evict_ms: i64,
    /// What the query emits.
    pub mode: OutputMode,
    /// The event times that reach each watermark node in this batch.
    pub observed: Observed,
}

/// An operator with its inputs.
pub(crate) enum Node {
    /// The rows of a source, by its position.
    Source(usize),
    /// Filters, projections, windows, watermarks: rows in, rows out, nothing remembered.
    Stateless { input: Box<Node>, steps: Vec<Step> },
    /// The rows of all inputs, under the schema of the union.
    Union { inputs: Vec<Node>, schema: SchemaRef },
    /// A stream meeting a static relation.
    Static { input: Box<Node>, join: StaticJoin },
    /// Groups and their running values.
    Aggregate {
        input: Box<Node>,
        operator: Box<Aggregation>,
    },
    /// Two streams.
    Join {
        left: Box<Node>,
        right: Box<Node>,
        operator: Box<StreamJoin>,
    },
    /// At most so many rows in the life of the query.
    Limit { input: Box<Node>, operator: Limit },
    /// The order of a complete result.
    Sort { input: Box<Node>, sort: Sort },
    /// A part of a complete result.
    Slice { input: Box<Node>, slice: Slice },
}

/// What a stateful operator reports of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OperatorProgress {
    /// Rows (groups) in state after the batch.
    pub state_rows: u64,
    /// Input rows dropped as late in the batch.
    pub dropped: u64,
}

impl Node {
    /// Runs the micro-batch and returns what the operator emits.
    pub(crate) fn run(&mut self, turn: &mut Turn) -> Result<Vec<RecordBatch>> {
        let inputs_late = self.input_watermark(turn.late_ms)?;
        let inputs_evict = self.input_watermark(turn.evict_ms)?;
        match self {
            Node::Source(index) => turn.input[*index].all(),
            Node::Stateless { input, steps } => {
                let rows = input.supply(turn)?;
                let made = parallel::map(rows, |batch| step::run_steps(steps, batch))?;
                Ok(collect(made, &mut turn.observed))
            }
            Node::Union { inputs, schema } => {
                let mut rows = Vec::new();
                for input in inputs {
                    for batch in input.run(turn)? {
                        rows.push(step::under_schema(batch, schema)?);
                    }
                }
                Ok(rows)
            }
            Node::Static { input, join } => {
                let rows = input.run(turn)?;
                join.run(rows)
            }
            Node::Aggregate { input, operator } => {
                let rows = if let Node::Stateless { input, steps } = &mut **input {
                    // One pass over the rows: steps and partial aggregation together, chunk by chunk.
                    let rows = input.supply(turn)?;
                    operator.partials(rows, steps, &mut turn.observed)?
                } else {
                    let rows = input.supply(turn)?;
                    operator.partials(rows, &[], &mut turn.observed)?
                };
                operator.run(rows, inputs_late, inputs_evict, turn.mode)
            }
            Node::Join { left, right, operator } => {
                let left = left.run(turn)?;
                let right = right.run(turn)?;
                operator.run(left, right, inputs_late, inputs_evict)
            }
            Node::Limit { input, operator } => {
                let rows = input.run(turn)?;
                Ok(operator.run(rows))
            }
            Node::Sort { input, sort } => {
                let rows = input.run(turn)?;
                sort.run(rows)
            }
            Node::Slice { input, slice } => {
                let rows = input.run(turn)?;
                Ok(slice.run(rows))
            }
        }
    }

    /// What the operator emits, for one who can work on rows while they come: a source's rows, as they are.
    fn supply<'a>(&mut self, turn: &mut Turn<'a>) -> Result<Input<'a>> {
        match self {
            Node::Source(index) => Ok(turn.input[*index].clone()),
            other => Ok(Input::Here(other.run(turn)?)),
        }
    }

    fn inputs(&self) -> Vec<&Node> {
        match self {
            Node::Source(_) => vec![],
            Node::Union { inputs, .. } => inputs.iter().collect(),
            Node::Join { left, right, .. } => vec![left, right],
            Node::Stateless { input, .. }
            | Node::Static { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Limit { input, .. }
            | Node::Sort { input, .. }
            | Node::Slice { input, .. } => vec![input],
        }
    }

    fn inputs_mut(&mut self) -> Vec<&mut Node> {
        match self {
            Node::Source(_) => vec![],
            Node::Union { inputs, .. } => inputs.iter_mut().collect(),
            Node::Join { left, right, .. } => vec![left, right],
            Node::Stateless { input, .. }
            | Node::Static { input, .. }
            | Node::Aggregate { input, .. }
            | Node::Limit { input, .. }
            | Node::Sort { input, .. }
            | Node::Slice { input, .. } => vec![input],
        }
    }

    /// The watermark of what the operator emits when the global watermark is `global_ms`; `None` without a watermark
    /// below. How watermarks travel through operators: spark-semantics 7.
    ///
    /// # Errors
    /// A watermark defined above another, once the watermark has moved.
    pub(crate) fn output_watermark(&self, global_ms: i64) -> Result<Option<i64>> {
        if global_ms == 0 {
            return Ok(Some(0)); // nothing is derived before the watermark moves
        }
        let input = self.inputs_watermark(global_ms)?;
        match self {
            Node::Stateless { steps, .. } => {
                let mut watermark = input;
                for step in steps {
                    if let Step::Observe(_) = step {
                        if watermark.is_some() {
                            return Err(step::redefined_watermark());
                        }
                        watermark = Some(global_ms);
                    }
                }
                Ok(watermark)
            }
            Node::Join { operator, .. } => Ok(input.map(|ms| operator.output_watermark(ms))),
            _ => Ok(input),
        }
    }

    fn inputs_watermark(&self, global_ms: i64) -> Result<Option<i64>> {
        let inputs = self.inputs().into_iter().map(|input| input.output_watermark(global_ms));
        Ok(inputs.collect::<Result<Vec<_>>>()?.into_iter().flatten().min())
    }

    /// The watermark an operator judges by: the lowest of its inputs, 0 without any.
    pub(crate) fn input_watermark(&self, global_ms: i64) -> Result<i64> {
        match self {
            Node::Aggregate { .. } | Node::Join { .. } => Ok(self.inputs_watermark(global_ms)?.unwrap_or(0)),
            _ => Ok(0),
        }
    }

    /// Whether a batch without data is due once the global watermark moves from `old_ms` to `new_ms`
    /// (spark-semantics 1.3).
    ///
    /// # Errors
    /// As [`Node::output_watermark`].
    pub(crate) fn wants_another_batch(&self, old_ms: i64, new_ms: i64, mode: OutputMode) -> Result<bool> {
        self.output_watermark(new_ms)?; // derived whether or not an operator asks for it
        self.has_due(old_ms, new_ms, mode)
    }

    /// Whether this operator or one below it has state or output that waits for the watermark to move.
    fn has_due(&self, old_ms: i64, new_ms: i64, mode: OutputMode) -> Result<bool> {
        let moves = match self {
            Node::Aggregate { .. } => mode != OutputMode::Complete,
            Node::Join { operator, .. } => operator.evicts(),
            _ => false,
        };
        if moves && self.input_watermark(new_ms)? > self.input_watermark(old_ms)? {
            return Ok(true);
        }
        for input in self.inputs() {
            if input.has_due(old_ms, new_ms, mode)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What the stateful operators report of the last batch, topmost first.
    pub(crate) fn progress(&self, into: &mut Vec<OperatorProgress>) {
        self.progress_of_runs(1, into);
    }

    /// The same where Spark runs the stage of this node so many times in a batch, and its operators count each time
    /// (spark-semantics 17). A stage ends where rows are sent to the tasks of an operator with state, or all to one task.
    fn progress_of_runs(&self, runs: u64, into: &mut Vec<OperatorProgress>) {
        let own = match self {
            Node::Aggregate { operator, .. } => Some(operator.progress()),
            Node::Join { operator, .. } => Some(operator.progress()),
            Node::Limit { operator, .. } => Some(operator.progress()),
            _ => None,
        };
        into.extend(own.map(|progress| OperatorProgress {
            state_rows: progress.state_rows * runs,
            ..progress
        }));
        let below = match self {
            Node::Sort { sort, .. } if sort.samples => 2,
            Node::Aggregate { .. } | Node::Join { .. } | Node::Limit { .. } | Node::Slice { .. } => 1,
            _ => runs,
        };
        let inputs = self.inputs().into_iter();
        inputs.for_each(|input| input.progress_of_runs(below, into));
    }

    /// The state of every stateful operator, topmost first; each operator has a fixed number of tables.
    ///
    /// # Errors
    /// State that Arrow cannot hold.
    pub(crate) fn snapshot(&self, into: &mut Vec<RecordBatch>) -> Result<()> {
        match self {
            Node::Aggregate { operator, .. } => into.push(operator.snapshot()?),
            Node::Join { operator, .. } => into.extend(operator.snapshot()?),
            Node::Limit { operator, .. } => into.push(operator.snapshot()?),
            _ => {}
        }
        self.inputs().into_iter().try_for_each(|input| input.snapshot(into))
    }

    /// Takes back what [`Node::snapshot`] gave.
    ///
    /// # Errors
    /// A snapshot of another query.
    pub(crate) fn restore(&mut self, tables: &mut dyn Iterator<Item = RecordBatch>) -> Result<()> {
        let foreign = || crate::Error::Invalid("the checkpoint's state belongs to another query".into());
        match self {
            Node::Aggregate { operator, .. } => operator.restore(&tables.next().ok_or_else(foreign)?)?,
            Node::Join { operator, .. } => {
                let left = tables.next().ok_or_else(foreign)?;
                operator.restore(&left, &tables.next().ok_or_else(foreign)?)?;
            }
            Node::Limit { operator, .. } => operator.restore(&tables.next().ok_or_else(foreign)?)?,
            _ => {}
        }
        self.inputs_mut()
            .into_iter()
            .try_for_each(|input| input.restore(tables))
    }
}

fn collect(made: Vec<(RecordBatch, Observed)>, observed: &mut Observed) -> Vec<RecordBatch> {
    made.into_iter()
        .map(|(rows, seen)| {
            observed.merge(&seen);
            rows
        })
        .collect()
}
