//! The steps of a derivation: the optimised tree with its expressions compiled and its rules decided.

mod compile;
mod eviction;

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use skirl_engine::{Error, Result};

use super::scalar::Scalar;
use super::state_watermark::{Bound, state_watermark};
use super::table::normalised;
use super::tree::*;
pub(super) use compile::steps;
pub(super) use eviction::evicting_sides;

/// A relation, ready to be derived.
#[derive(Debug)]
pub(super) struct Step {
    pub schema: SchemaRef,
    pub op: Op,
    /// The number of the largest stateless part this is the top of, if it is one.
    pub part: Option<usize>,
}

/// How a relation is derived from those below it.
#[derive(Debug)]
pub(super) enum Op {
    Stream {
        stream: usize,
        columns: Vec<usize>,
    },
    Filter {
        input: Box<Step>,
        conditions: Vec<Condition>,
    },
    Project {
        input: Box<Step>,
        /// Evaluated before the columns, for its errors.
        in_advance: Vec<Scalar>,
        exprs: Vec<Scalar>,
    },
    Slide {
        input: Box<Step>,
        time: Scalar,
        sizes: Sizes,
    },
    /// Each row once for every set: which keys it has, and its grouping id.
    Expand {
        input: Box<Step>,
        keys: Vec<Scalar>,
        sets: Vec<(Vec<bool>, i64)>,
    },
    /// `column` is a position; `number` counts definitions of watermarks from the left.
    Watermark {
        input: Box<Step>,
        column: usize,
        delay_ms: i64,
        number: usize,
    },
    TableJoin(Box<TableJoin>),
    StreamJoin(Box<StreamJoin>),
    Aggregate(Box<Aggregation>),
    Union {
        inputs: Vec<Step>,
    },
    Sort {
        input: Box<Step>,
        keys: Vec<(Scalar, bool, bool)>,
    },
    /// With an operator, over the life of the query; without, in each batch.
    Limit {
        input: Box<Step>,
        fetch: usize,
        operator: Option<usize>,
    },
}

/// A predicate with the static tables it asks.
#[derive(Debug)]
pub(super) struct Condition {
    pub holds: Scalar,
    /// The rows and the marks.
    pub schema: SchemaRef,
    pub members: Vec<Partners>,
}

/// How rows find their partners in a static table.
#[derive(Debug)]
pub(super) struct Partners {
    pub row_keys: Vec<Scalar>,
    /// The rows of the table by key; without keys, all under the empty key.
    pub by_key: BTreeMap<OwnedRow, Vec<u32>>,
    pub table: Vec<ArrayRef>,
    pub table_rows: usize,
    /// Why the table has no rows: it fails as soon as a row asks.
    pub failure: Option<Error>,
    /// Over the columns of the rows, then of the table.
    pub condition: Vec<Scalar>,
    pub schema: SchemaRef,
    pub key_types: Vec<SortField>,
}

/// A join of a stream with a static table.
#[derive(Debug)]
pub(super) struct TableJoin {
    pub stream: Step,
    pub kind: JoinKind,
    pub partners: Partners,
    /// Where each output column comes from; the mark of a mark join is the last.
    pub output: Vec<From>,
}

/// A column of the one or the other side.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    Left(usize),
    Right(usize),
    Mark,
}

/// An inner join of two streams.
#[derive(Debug)]
pub(super) struct StreamJoin {
    pub operator: usize,
    pub left: Step,
    pub right: Step,
    pub keys: Vec<JoinKey>,
    pub condition: Vec<Scalar>,
    /// Of the condition: all columns of the left, then all of the right.
    pub pair_schema: SchemaRef,
    pub output: Vec<From>,
    /// The positions of the event times that judge rows.
    pub left_tag: Option<usize>,
    pub right_tag: Option<usize>,
    pub eviction: Eviction,
}

/// Expressions that must be equal.
#[derive(Debug)]
pub(super) struct JoinKey {
    pub left: Scalar,
    pub right: Scalar,
}

/// Which rows a join forgets.
#[derive(Debug)]
pub(super) enum Eviction {
    /// Those whose key has this event time at most at the watermark.
    Key(usize),
    /// Those whose own event time is at most at what the bounds leave; a side without bounds forgets nothing.
    Value { left: Vec<Bound>, right: Vec<Bound> },
}

/// An aggregation.
#[derive(Debug)]
pub(super) struct Aggregation {
    pub operator: usize,
    pub input: Step,
    pub keys: Vec<Scalar>,
    pub key_types: Vec<DataType>,
    /// The key that is an event time.
    pub tag: Option<usize>,
    /// Evaluated before the arguments, for its errors.
    pub in_advance: Vec<Scalar>,
    pub calls: Vec<Call>,
}

/// An aggregate function with its arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub function: String,
    pub args: Vec<Scalar>,
    pub filter: Option<Scalar>,
    pub data_type: DataType,
}

/// The rows of a static relation, or why it has none.
#[derive(Debug)]
pub(super) struct StaticRows {
    pub columns: Vec<ArrayRef>,
    pub len: usize,
    pub failure: Option<Error>,
}

impl StaticRows {
    /// No rows of these columns, because of an error.
    pub fn failed(fields: &Fields, error: Error) -> Self {
        Self {
            columns: fields.iter().map(|field| new_empty_array(field.data_type())).collect(),
            len: 0,
            failure: Some(error),
        }
    }
}

impl Clone for StaticRows {
    fn clone(&self) -> Self {
        Self {
            columns: self.columns.clone(),
            len: self.len,
            failure: self.failure.as_ref().map(again),
        }
    }
}

/// An error once more.
pub(super) fn again(error: &Error) -> Error {
    match error {
        Error::Unsupported(sentence) => Error::unsupported(sentence),
        other => Error::Spark {
            condition: other.condition().map(|condition| condition.to_string().into()),
            message: other.to_string(),
        },
    }
}

/// What the steps of a query have in common.
pub(super) struct Steps {
    pub root: Step,
    /// What each operator with state is, topmost first.
    pub operators: Vec<String>,
    /// How often each of them runs in a batch, and counts its state.
    pub runs: Vec<u64>,
    pub parts: usize,
    /// Whether the time of a batch decides anything.
    pub asks_for_time: bool,
    /// Whether a watermark depends on what an operator with state emits.
    pub watermark_above_state: bool,
    /// What fails as soon as the first batch runs.
    pub failure: Option<Error>,
}

impl StreamJoin {
    /// The state watermarks of both sides at an input watermark.
    pub fn state_watermarks(&self, input_ms: i64) -> (Option<i64>, Option<i64>) {
        match &self.eviction {
            Eviction::Key(_) => (Some(input_ms), Some(input_ms)),
            Eviction::Value { left, right } => (state_watermark(left, input_ms), state_watermark(right, input_ms)),
        }
    }

    /// Whether it forgets anything at all.
    pub fn evicts(&self) -> bool {
        match &self.eviction {
            Eviction::Key(_) => true,
            Eviction::Value { left, right } => !left.is_empty() || !right.is_empty(),
        }
    }
}

impl Step {
    pub fn inputs(&self) -> Vec<&Step> {
        match &self.op {
            Op::Stream { .. } => vec![],
            Op::Filter { input, .. }
            | Op::Project { input, .. }
            | Op::Slide { input, .. }
            | Op::Expand { input, .. }
            | Op::Watermark { input, .. }
            | Op::Sort { input, .. }
            | Op::Limit { input, .. } => vec![input],
            Op::TableJoin(join) => vec![&join.stream],
            Op::StreamJoin(join) => vec![&join.left, &join.right],
            Op::Aggregate(aggregation) => vec![&aggregation.input],
            Op::Union { inputs } => inputs.iter().collect(),
        }
    }

    fn inputs_mut(&mut self) -> Vec<&mut Step> {
        match &mut self.op {
            Op::Stream { .. } => vec![],
            Op::Filter { input, .. }
            | Op::Project { input, .. }
            | Op::Slide { input, .. }
            | Op::Expand { input, .. }
            | Op::Watermark { input, .. }
            | Op::Sort { input, .. }
            | Op::Limit { input, .. } => vec![input],
            Op::TableJoin(join) => vec![&mut join.stream],
            Op::StreamJoin(join) => {
                let join = &mut **join;
                vec![&mut join.left, &mut join.right]
            }
            Op::Aggregate(aggregation) => vec![&mut aggregation.input],
            Op::Union { inputs } => inputs.iter_mut().collect(),
        }
    }
}

impl Partners {
    /// Whether each row of a static relation has a partner.
    fn static_marks(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let keys = self.row_keys.iter().map(|key| Ok(normalised(key.evaluate(rows)?)));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        let encoded = match keys.is_empty() {
            true => None,
            false => Some(RowConverter::new(self.key_types.clone())?.convert_columns(&keys)?),
        };
        let every: Vec<u32> = (0..self.table_rows as u32).collect();
        let mut marks = vec![];
        for row in 0..rows.num_rows() {
            let partners: &[u32] = match &encoded {
                None => &every,
                Some(_) if keys.iter().any(|key| key.is_null(row)) => &[],
                Some(encoded) => self.by_key.get(&encoded.row(row).owned()).map_or(&[], Vec::as_slice),
            };
            marks.push(self.any_holds(rows, row, partners)?);
        }
        Ok(BooleanArray::from(marks))
    }

    /// Whether the condition holds for a row and any of these partners.
    fn any_holds(&self, rows: &RecordBatch, row: usize, partners: &[u32]) -> Result<bool> {
        let mut columns = super::table::take_columns(rows.columns(), &vec![row as u32; partners.len()])?;
        columns.extend(super::table::take_columns(&self.table, partners)?);
        let pairs = super::table::rows_of(&self.schema, columns, partners.len())?;
        let mut holds = vec![true; partners.len()];
        for condition in &self.condition {
            let values = condition.evaluate(&pairs)?;
            let values = super::derive::booleans(&values)?;
            for (pair, holds) in holds.iter_mut().enumerate() {
                *holds &= values.is_valid(pair) && values.value(pair);
            }
        }
        Ok(holds.contains(&true))
    }

    fn index(&mut self, keys: &[ArrayRef]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.key_types = keys.iter().map(|k| SortField::new(k.data_type().clone())).collect();
        let converter = RowConverter::new(self.key_types.clone())?;
        let rows = converter.convert_columns(keys)?;
        for row in (0..self.table_rows).filter(|row| keys.iter().all(|key| key.is_valid(*row))) {
            self.by_key.entry(rows.row(row).owned()).or_default().push(row as u32);
        }
        Ok(())
    }
}

/// Whether the step itself keeps state.
fn has_own_state(op: &Op) -> bool {
    matches!(
        op,
        Op::StreamJoin(_) | Op::Aggregate(_) | Op::Limit { .. } | Op::Sort { .. }
    )
}

/// Whether the step or one below keeps state (or looks at batches as a whole).
fn has_state(step: &Step) -> bool {
    has_own_state(&step.op) || step.inputs().into_iter().any(has_state)
}
