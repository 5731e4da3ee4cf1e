//! GROUP BY: keys, aggregates, and the expressions over them.

use super::*;

/// What a query groups by.
pub(super) struct Keys {
    pub(super) exprs: Vec<Expr>,
    /// For each set of a ROLLUP, CUBE or GROUPING SETS, the positions of its keys.
    pub(super) sets: Option<Vec<Vec<usize>>>,
}

/// Grouping keys and aggregates, and the expressions over them.
pub(super) struct Groups {
    pub(super) keys: Vec<Expr>,
    pub(super) sets: Option<Vec<Vec<usize>>>,
    aggregates: Vec<Expr>,
    /// No GROUP BY: one group of all rows.
    global: bool,
    /// What subqueries answer above the aggregation; it is no part of any group.
    answers: Vec<Column>,
}

/// Qualifier of the place holders that stand for the output of the aggregation until it is planned.
const OUTPUT: &str = "__aggregation";

impl Groups {
    pub(super) fn new(keys: Keys, global: bool) -> Self {
        Self {
            keys: keys.exprs,
            sets: keys.sets,
            aggregates: vec![],
            global,
            answers: vec![],
        }
    }

    /// The joins that subqueries ask for: those whose answers keys or arguments of aggregates need stand below the
    /// aggregation, the others above it.
    pub(super) fn divide<'e>(
        &mut self,
        joins: Vec<PendingJoin>,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> (Vec<PendingJoin>, Vec<PendingJoin>) {
        let mut needed: BTreeSet<Column> = self.keys.iter().flat_map(Expr::column_refs).cloned().collect();
        for expr in exprs {
            let _ = expr.apply(|e| {
                if matches!(e, Expr::AggregateFunction(_)) {
                    needed.extend(e.column_refs().into_iter().cloned());
                }
                Ok(TreeNodeRecursion::Continue)
            });
        }
        let (below, above): (Vec<_>, Vec<_>) = joins
            .into_iter()
            .partition(|join| join.answers().iter().any(|answer| needed.contains(answer)));
        self.answers = above.iter().flat_map(PendingJoin::answers).collect();
        (below, above)
    }

    /// The expression over the aggregation's output, as place holders.
    pub(super) fn rewrite(&mut self, expr: &Expr) -> Result<Expr> {
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
            answers,
            sets,
        } = self;
        let has_sets = sets.is_some();
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
                Expr::ScalarFunction(call) if grouping::is_grouping(call) => {
                    let bits = grouping::bits(call, keys, has_sets, place("g", 0))?;
                    Ok(Transformed::new(bits, true, TreeNodeRecursion::Jump))
                }
                Expr::Column(column) if answers.contains(column) => Ok(Transformed::no(e)),
                Expr::Column(column) => Err(missing(&column.name, *global).into()),
                _ => Ok(Transformed::no(e)),
            }
        });
        Ok(rewritten?.data)
    }

    /// The aggregation's columns: keys, then aggregates, then the grouping id if there are sets.
    pub(super) fn outputs(&self, plan: &LogicalPlan) -> Vec<Column> {
        let mut outputs = plan.schema().columns();
        if self.sets.is_some() {
            let added = outputs
                .drain(self.keys.len()..self.keys.len() + 2)
                .take(1)
                .collect::<Vec<_>>();
            outputs.extend(added);
        }
        outputs
    }

    /// The place holders replaced by the aggregation's columns.
    pub(super) fn resolve(&self, expr: Expr, outputs: &[Column]) -> Result<Expr> {
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
            let at = match kind {
                "k" => index,
                "a" => keys + index,
                _ => outputs.len() - 1,
            };
            Ok(Transformed::yes(Expr::Column(outputs[at].clone())))
        });
        Ok(resolved?.data)
    }

    pub(super) fn plan(&mut self, input: LogicalPlan) -> Result<LogicalPlan> {
        let mut names = BTreeSet::new();
        let unique = self
            .keys
            .iter()
            .chain(&self.aggregates)
            .all(|e| names.insert(e.schema_name().to_string()));
        let mut input = if unique { input } else { self.name_arguments(input)? };
        let mut keys = self.keys.clone();
        if let Some(sets) = &self.sets {
            let node = GroupingSetsNode::try_new(input, keys, sets.clone())?;
            keys = node.added().into_iter().map(Expr::Column).collect();
            input = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        }
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(
            Arc::new(input),
            keys,
            self.aggregates.clone(),
        )?))
    }

    /// Aggregates that differ in their casts only have one name in DataFusion: compute the arguments below.
    pub(super) fn name_arguments(&mut self, input: LogicalPlan) -> Result<LogicalPlan> {
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
    missing_aggregation(column)
}

/// What is neither a key nor aggregated.
pub(in crate::sql) fn missing_aggregation(column: &str) -> Error {
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
pub(super) fn default_of(expr: &Expr) -> Result<Option<ScalarValue>> {
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
    Ok(crate::sql::execute::constant(&constant.data)
        .ok()
        .filter(|value| !value.is_null()))
}
