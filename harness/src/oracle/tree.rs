//! The query as the oracle sees it: a tree of relations whose columns have numbers instead of names.
//!
//! A column keeps its number wherever it is only passed on, and two columns never share one. Moving a predicate is then
//! a substitution, and no alias can be confused with another.

use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Expr, Volatility};
use skirl_engine::sql::SetDifference;
use std::sync::Arc;

/// The number of a column.
pub(super) type Id = u32;

/// A column of a relation.
#[derive(Debug, Clone)]
pub(super) struct Attribute {
    pub id: Id,
    pub data_type: DataType,
}

/// A relation: what it is, and the columns it has.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub output: Vec<Attribute>,
    pub kind: Kind,
}

/// What a relation is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// A stream's rows; the positions of the output in the stream's columns.
    Stream {
        stream: usize,
        columns: Vec<usize>,
    },
    /// A relation without streams, and what is known to hold for its rows.
    Static {
        table: usize,
        known: Vec<Expr>,
    },
    Filter {
        input: Box<Node>,
        predicates: Vec<Expr>,
    },
    /// One expression per output column.
    Project {
        input: Box<Node>,
        exprs: Vec<Expr>,
    },
    /// Overlapping windows: the input's columns and, last, the window.
    Slide {
        input: Box<Node>,
        time: Expr,
        sizes: Sizes,
    },
    /// Grouping sets: the input's columns, the keys (NULL where a set has not the key), the grouping id, the set.
    Expand {
        input: Box<Node>,
        keys: Vec<Expr>,
        /// For each set, which keys it has, and its grouping id.
        sets: Vec<(Vec<bool>, i64)>,
    },
    /// Sessions; known only so that they are refused for the right reason. The input's columns and, last, the session.
    Session {
        input: Box<Node>,
        time: Expr,
    },
    Watermark {
        input: Box<Node>,
        column: Id,
        delay_ms: i64,
        /// A view read twice is one definition, and has one watermark.
        definition: usize,
    },
    Join {
        left: Box<Node>,
        right: Box<Node>,
        kind: JoinKind,
        condition: Vec<Expr>,
    },
    /// The keys, then the aggregates.
    Aggregate {
        input: Box<Node>,
        keys: Vec<Expr>,
        aggregates: Vec<AggregateCall>,
        distinct: bool,
        /// Whether it is an EXCEPT, which becomes an aggregation of an anti join once all is checked.
        except: Option<SetDifference>,
    },
    Union {
        inputs: Vec<Node>,
    },
    Sort {
        input: Box<Node>,
        keys: Vec<SortKey>,
    },
    Limit {
        input: Box<Node>,
        /// Whether there is an OFFSET, which no stream has.
        has_offset: bool,
        /// Whether it counts anew in each batch whatever the query does.
        each_batch: bool,
        fetch: usize,
    },
    /// `dropDuplicates` of a view; known only so that it is refused for the right reason.
    Deduplicate {
        input: Box<Node>,
        keys: Vec<Id>,
        within_watermark: bool,
    },
}

/// Sizes of time windows in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Sizes {
    pub duration: i64,
    pub slide: i64,
    pub start: i64,
}

/// How two relations are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JoinKind {
    Inner,
    /// Written `CROSS JOIN`: the same rows as an inner join, but Spark keeps the word.
    Cross,
    Left,
    Right,
    Full,
    Semi,
    Anti,
    /// `x IN (SELECT ...)` as a value; the last output column.
    Mark,
}

impl JoinKind {
    /// Spark's name.
    pub fn name(self) -> &'static str {
        match self {
            JoinKind::Inner => "Inner",
            JoinKind::Cross => "Cross",
            JoinKind::Left => "LeftOuter",
            JoinKind::Right => "RightOuter",
            JoinKind::Full => "FullOuter",
            JoinKind::Semi => "LeftSemi",
            JoinKind::Anti => "LeftAnti",
            JoinKind::Mark => "ExistenceJoin",
        }
    }
}

/// One aggregate function of an aggregation.
#[derive(Debug, Clone)]
pub(super) struct AggregateCall {
    pub function: String,
    pub args: Vec<Expr>,
    pub filter: Option<Expr>,
    pub distinct: bool,
}

/// One key of a sort.
#[derive(Debug, Clone)]
pub(super) struct SortKey {
    pub expr: Expr,
    pub ascending: bool,
    pub nulls_first: bool,
}

impl Node {
    pub fn inputs(&self) -> Vec<&Node> {
        match &self.kind {
            Kind::Stream { .. } | Kind::Static { .. } => vec![],
            Kind::Filter { input, .. }
            | Kind::Project { input, .. }
            | Kind::Slide { input, .. }
            | Kind::Expand { input, .. }
            | Kind::Session { input, .. }
            | Kind::Watermark { input, .. }
            | Kind::Aggregate { input, .. }
            | Kind::Sort { input, .. }
            | Kind::Limit { input, .. }
            | Kind::Deduplicate { input, .. } => vec![input],
            Kind::Join { left, right, .. } => vec![left, right],
            Kind::Union { inputs } => inputs.iter().collect(),
        }
    }

    /// Whether a stream is below, or is this.
    pub fn is_streaming(&self) -> bool {
        matches!(self.kind, Kind::Stream { .. }) || self.inputs().iter().any(|input| input.is_streaming())
    }

    /// Whether the relation keeps state from batch to batch.
    pub fn is_stateful(&self) -> bool {
        match &self.kind {
            Kind::Aggregate { input, .. } | Kind::Deduplicate { input, .. } => input.is_streaming(),
            Kind::Join { left, right, .. } => left.is_streaming() && right.is_streaming(),
            _ => false,
        }
    }

    /// Whether the relation aggregates a stream, in the words of the query.
    pub fn aggregates_stream(&self) -> bool {
        matches!(self.kind, Kind::Aggregate { except: None, .. }) && self.is_streaming()
    }

    /// This relation and all below it, parents first.
    pub fn walk(&self) -> Vec<&Node> {
        let mut all = vec![self];
        let mut next = 0;
        // Depth first: the inputs of a relation come before its right-hand neighbours.
        while next < all.len() {
            let inputs = all[next].inputs();
            all.splice(next + 1..next + 1, inputs);
            next += 1;
        }
        all
    }

    pub fn has(&self, id: Id) -> bool {
        self.output.iter().any(|a| a.id == id)
    }

    pub fn ids(&self) -> BTreeSet<Id> {
        self.output.iter().map(|a| a.id).collect()
    }

    /// The relation under further conditions, itself if there are none.
    pub fn filtered(self, predicates: Vec<Expr>) -> Node {
        if predicates.is_empty() {
            return self;
        }
        Node {
            output: self.output.clone(),
            kind: Kind::Filter {
                input: Box::new(self),
                predicates,
            },
        }
    }

    /// Of a join: the event times by which rows of its left and right side are judged. A column nobody needs is pruned
    /// and judges nothing.
    pub fn event_times_of_sides(&self) -> (BTreeSet<Id>, BTreeSet<Id>) {
        let Kind::Join {
            left, right, condition, ..
        } = &self.kind
        else {
            return Default::default();
        };
        let mut needed: BTreeSet<Id> = condition.iter().flat_map(references).collect();
        needed.extend(self.ids());
        let of = |side: &Node| side.tagged().intersection(&needed).copied().collect();
        (of(left), of(right))
    }

    /// The columns that carry an event time with a watermark: they survive renames, not computations.
    pub fn tagged(&self) -> BTreeSet<Id> {
        match &self.kind {
            Kind::Stream { .. } | Kind::Static { .. } => BTreeSet::new(),
            Kind::Filter { input, .. }
            | Kind::Sort { input, .. }
            | Kind::Limit { input, .. }
            | Kind::Deduplicate { input, .. } => input.tagged(),
            // The latest definition is the only one.
            Kind::Watermark { column, .. } => BTreeSet::from([*column]),
            Kind::Project { input, exprs } => tagged_outputs(self, exprs, &input.tagged()),
            Kind::Aggregate { input, keys, .. } => tagged_outputs(self, keys, &input.tagged()),
            Kind::Expand { input, keys, .. } => {
                let below = input.tagged();
                let expanded = Node {
                    output: self.output[input.output.len()..].to_vec(),
                    kind: self.kind.clone(),
                };
                let mut tagged = tagged_outputs(&expanded, keys, &below);
                tagged.extend(below);
                tagged
            }
            Kind::Slide { input, time, .. } | Kind::Session { input, time } => {
                let mut tagged = input.tagged();
                if column_id(time).is_some_and(|id| tagged.contains(&id)) {
                    tagged.extend(self.output.last().map(|a| a.id));
                }
                tagged
            }
            Kind::Join { left, right, kind, .. } => {
                let mut tagged = left.tagged();
                if !matches!(kind, JoinKind::Semi | JoinKind::Anti | JoinKind::Mark) {
                    tagged.extend(right.tagged());
                }
                tagged.retain(|id| self.has(*id));
                tagged
            }
            // The first branch decides.
            Kind::Union { inputs } => {
                let first = inputs[0].tagged();
                let pairs = self.output.iter().zip(&inputs[0].output);
                pairs
                    .filter(|(_, from)| first.contains(&from.id))
                    .map(|(to, _)| to.id)
                    .collect()
            }
        }
    }
}

fn tagged_outputs(node: &Node, exprs: &[Expr], tagged: &BTreeSet<Id>) -> BTreeSet<Id> {
    let is_tagged = |expr: &Expr| match super::window::time_of_window(expr) {
        Some(time) => column_id(time).is_some_and(|id| tagged.contains(&id)),
        None => {
            let window = skirl_engine::sql::window_of_time(expr).and_then(id_of);
            column_id(expr).or(window).is_some_and(|id| tagged.contains(&id))
        }
    };
    node.output
        .iter()
        .zip(exprs)
        .filter(|(_, expr)| is_tagged(expr))
        .map(|(a, _)| a.id)
        .collect()
}

/// The name a column goes by in expressions and Arrow schemas.
pub(super) fn name_of(id: Id) -> String {
    format!("#{id}")
}

/// A column as an expression.
pub(super) fn column(id: Id) -> Expr {
    Expr::Column(Column::new_unqualified(name_of(id)))
}

/// The column an expression is, renames aside.
pub(super) fn column_id(expr: &Expr) -> Option<Id> {
    match expr {
        Expr::Column(column) => id_of(column),
        Expr::Alias(alias) => column_id(&alias.expr),
        _ => None,
    }
}

fn id_of(column: &Column) -> Option<Id> {
    column.name.strip_prefix('#')?.parse().ok()
}

/// All columns in an expression.
pub(super) fn references(expr: &Expr) -> BTreeSet<Id> {
    let mut ids = BTreeSet::new();
    expr.apply(|e| {
        if let Expr::Column(column) = e {
            ids.extend(id_of(column));
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("the walk does not fail");
    ids
}

/// An expression with columns replaced.
pub(super) fn substitute(expr: &Expr, replace: &dyn Fn(Id) -> Option<Expr>) -> Expr {
    let replaced = expr
        .clone()
        .transform_up(|e| match column_id_of_column(&e).and_then(replace) {
            Some(new) => Ok(Transformed::yes(new)),
            None => Ok(Transformed::no(e)),
        });
    replaced.expect("replacing does not fail").data
}

fn column_id_of_column(expr: &Expr) -> Option<Id> {
    match expr {
        Expr::Column(column) => id_of(column),
        _ => None,
    }
}

/// Whether an expression gives the same answer for the same row; to Spark the time of a batch does not, `now()` does.
pub(super) fn is_deterministic(expr: &Expr) -> bool {
    !calls(expr, Volatility::Volatile) && batch_times(expr).is_empty()
}

/// The functions of an expression that give the time of the batch.
pub(super) fn batch_times(expr: &Expr) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    expr.apply(|e| {
        if let Expr::ScalarFunction(call) = e
            && matches!(call.func.name(), "current_timestamp" | "current_date")
        {
            names.insert(call.func.name().to_string());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("the walk does not fail");
    names
}

/// Whether an expression asks for the time of the batch.
pub(super) fn asks_for_time(expr: &Expr) -> bool {
    calls(expr, Volatility::Stable)
}

fn calls(expr: &Expr, volatility: Volatility) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::ScalarFunction(f) if f.func.signature().volatility == volatility)))
        .expect("the walk does not fail")
}

/// The Arrow schema of columns.
pub(super) fn schema_of(columns: &[Attribute]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .map(|a| Field::new(name_of(a.id), a.data_type.clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

/// The schema expressions over columns are compiled against.
pub(super) fn df_schema_of(columns: &[Attribute]) -> DFSchema {
    let fields = schema_of(columns).fields().clone();
    DFSchema::from_unqualified_fields(fields, Default::default()).expect("column numbers are unique")
}
