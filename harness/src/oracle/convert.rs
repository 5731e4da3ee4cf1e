//! From the logical plan of the SQL front end to the oracle's [tree](super::tree).

use std::collections::BTreeSet;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinConstraint, JoinType, NullEquality};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, Extension, FetchType, Join, Limit, LogicalPlan, Operator, Projection,
};
use skirl_engine::sql::{
    GroupingSetsNode, SessionWindowNode, SetDifference, StreamTable, TimeWindowNode, WatermarkNode,
};
use skirl_engine::{Error, Result, sql};

use super::conjuncts::conjuncts;
use super::member::Membership;
use super::place;
use super::tree::*;
use super::window::tumbling_window;
use crate::job::Job;

/// A converted query.
pub(super) struct Converted {
    pub root: Node,
    /// The static relations by number, with their columns.
    pub tables: Vec<LogicalPlan>,
    /// The kind of a join with a subquery that Spark answers from a stateful list of what the rows ask for.
    pub domain: Option<JoinType>,
}

/// Converts the plan of a job's query.
pub(super) fn convert(plan: &LogicalPlan, job: &Job) -> Result<Converted> {
    let mut converter = Converter {
        job,
        next_id: 0,
        tables: vec![],
        domain: None,
        inside_static: false,
    };
    let root = converter.node(plan)?;
    let deduplicates = root
        .walk()
        .iter()
        .any(|node| matches!(node.kind, Kind::Deduplicate { .. }));
    if !deduplicates && job.views.iter().any(|view| view.drop_duplicates.is_some()) {
        return Err(Error::unsupported(
            "dropDuplicates on a stream is not supported yet; use a query without it",
        ));
    }
    Ok(Converted {
        root,
        tables: converter.tables,
        domain: converter.domain,
    })
}

struct Converter<'a> {
    job: &'a Job,
    next_id: Id,
    tables: Vec<LogicalPlan>,
    domain: Option<JoinType>,
    /// Whether a static relation is looked into for what it promises; it is executed as a whole all the same.
    inside_static: bool,
}

impl Converter<'_> {
    fn node(&mut self, plan: &LogicalPlan) -> Result<Node> {
        if !self.inside_static && !sql::is_streaming(plan) {
            return Ok(self.static_relation(plan));
        }
        match plan {
            LogicalPlan::TableScan(_) => self.scan(plan),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.node(&alias.input)?;
                Ok(self.deduplicated(alias.alias.table(), &alias.input, input))
            }
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input)?;
                let predicate = self.expr(&filter.predicate, &[(filter.input.schema(), &input)])?;
                Ok(input.filtered(conjuncts(predicate)))
            }
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.node(input)?;
                Ok(distinct(input))
            }
            LogicalPlan::Union(union) => {
                let inputs = union
                    .inputs
                    .iter()
                    .map(|input| self.node(input))
                    .collect::<Result<Vec<_>>>()?;
                Ok(Node {
                    output: self.new_columns(&union.schema),
                    kind: Kind::Union { inputs },
                })
            }
            LogicalPlan::Sort(sort) => {
                let input = self.node(&sort.input)?;
                let mut keys = vec![];
                for key in &sort.expr {
                    let expr = self.expr(&key.expr, &[(sort.input.schema(), &input)])?;
                    keys.push(SortKey {
                        expr,
                        ascending: key.asc,
                        nulls_first: key.nulls_first,
                    });
                }
                let sorted = Node {
                    output: input.output.clone(),
                    kind: Kind::Sort {
                        input: Box::new(input),
                        keys,
                    },
                };
                Ok(match sort.fetch {
                    Some(fetch) => limited(sorted, false, fetch),
                    None => sorted,
                })
            }
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Extension(extension) => self.extension(extension),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => Ok(self.leaf_inside_static(plan)),
            other => Err(Error::unsupported(format!(
                "the oracle does not know the plan node `{}`",
                other.display()
            ))),
        }
    }

    /// A relation without streams is executed as it stands; what it promises about its rows is kept.
    fn static_relation(&mut self, plan: &LogicalPlan) -> Node {
        self.inside_static = true;
        let looked_into = self.node(plan);
        self.inside_static = false;
        let (output, known) = match looked_into {
            Ok(node) => (node.output.clone(), place::constraints(&node)),
            Err(_) => (self.new_columns(plan.schema()), vec![]),
        };
        self.tables.push(plan.clone());
        Node {
            output,
            kind: Kind::Static {
                table: self.tables.len() - 1,
                known,
            },
        }
    }

    fn leaf_inside_static(&mut self, plan: &LogicalPlan) -> Node {
        Node {
            output: self.new_columns(plan.schema()),
            kind: Kind::Static {
                table: usize::MAX,
                known: vec![],
            },
        }
    }

    fn scan(&mut self, plan: &LogicalPlan) -> Result<Node> {
        let Some(table) = StreamTable::of(plan) else {
            return Ok(self.leaf_inside_static(plan));
        };
        let known = |(name, _): &(String, _)| name.eq_ignore_ascii_case(&table.name);
        let stream = self.job.streams.iter().position(known);
        let stream = stream.ok_or_else(|| Error::Invalid(format!("stream `{}` is not in the job", table.name)))?;
        let columns = plan
            .schema()
            .fields()
            .iter()
            .map(|f| table.schema.index_of(f.name()))
            .collect::<Result<_, _>>()?;
        Ok(Node {
            output: self.new_columns(plan.schema()),
            kind: Kind::Stream { stream, columns },
        })
    }

    /// A view with `dropDuplicates` stands under its own name in the plan.
    fn deduplicated(&mut self, alias: &str, plan: &LogicalPlan, input: Node) -> Node {
        // The front end numbers relations of one name: `u`, `u#2`.
        let alias = alias.split('#').next().unwrap_or(alias);
        let view = self.job.views.iter().find(|view| view.name.eq_ignore_ascii_case(alias));
        let Some(drop) = view.and_then(|view| view.drop_duplicates.as_ref()) else {
            return input;
        };
        let named = |name: &String| {
            let at = plan
                .schema()
                .fields()
                .iter()
                .position(|f| f.name().eq_ignore_ascii_case(name));
            at.and_then(|at| input.output.get(at)).map(|a| a.id)
        };
        let keys = match drop.columns.is_empty() {
            true => input.output.iter().map(|a| a.id).collect(),
            false => drop.columns.iter().filter_map(named).collect(),
        };
        let kind = Kind::Deduplicate {
            keys,
            within_watermark: drop.within_watermark,
            input: Box::new(input.clone()),
        };
        Node {
            output: input.output,
            kind,
        }
    }

    fn projection(&mut self, projection: &Projection) -> Result<Node> {
        let input = self.node(&projection.input)?;
        let scope = [(projection.input.schema().as_ref(), &input)];
        let exprs = projection
            .expr
            .iter()
            .map(|e| self.expr(e, &scope))
            .collect::<Result<Vec<_>>>()?;
        let output = self.columns_of(&exprs, &projection.schema);
        Ok(Node {
            output,
            kind: Kind::Project {
                input: Box::new(input),
                exprs,
            },
        })
    }

    fn join(&mut self, join: &Join) -> Result<Node> {
        let left = self.node(&join.left)?;
        let right = self.node(&join.right)?;
        let scope = [
            (join.left.schema().as_ref(), &left),
            (join.right.schema().as_ref(), &right),
        ];
        let mut condition = vec![];
        for (l, r) in &join.on {
            let equals = match join.null_equality {
                NullEquality::NullEqualsNothing => Operator::Eq,
                NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
            };
            let l = self.expr(l, &scope[..1])?;
            let r = self.expr(r, &scope[1..])?;
            condition.push(Expr::BinaryExpr(BinaryExpr::new(Box::new(l), equals, Box::new(r))));
        }
        if let Some(filter) = &join.filter {
            condition.extend(conjuncts(self.expr(filter, &scope)?));
        }
        if sql::is_domain_join(join) {
            self.domain = Some(join.join_type);
        }
        if is_subquery(join)
            && let Some(member) = Membership::of_join(self.next_id, &left, &right, &condition)
        {
            self.new_id();
            let asked = member.call();
            let predicate = match join.join_type {
                JoinType::LeftAnti => Expr::Not(Box::new(asked)),
                _ => asked,
            };
            return Ok(left.filtered(vec![predicate]));
        }
        if join.null_aware {
            return Err(Error::unsupported(
                "the oracle does not know joins in which a NULL leaves the answer open",
            ));
        }
        let kind = match join.join_type {
            JoinType::Inner if join.join_constraint == JoinConstraint::Using => JoinKind::Cross,
            JoinType::Inner => JoinKind::Inner,
            JoinType::Left => JoinKind::Left,
            JoinType::Right => JoinKind::Right,
            JoinType::Full => JoinKind::Full,
            JoinType::LeftSemi => JoinKind::Semi,
            JoinType::LeftAnti => JoinKind::Anti,
            JoinType::LeftMark => JoinKind::Mark,
            other => {
                return Err(Error::unsupported(format!(
                    "the oracle does not know the join type `{other}`"
                )));
            }
        };
        let output = match kind {
            JoinKind::Semi | JoinKind::Anti => left.output.clone(),
            JoinKind::Mark => {
                let mark = Attribute {
                    id: self.new_id(),
                    data_type: arrow::datatypes::DataType::Boolean,
                };
                left.output.iter().cloned().chain([mark]).collect()
            }
            _ => left.output.iter().chain(&right.output).cloned().collect(),
        };
        let kind = Kind::Join {
            left: Box::new(left),
            right: Box::new(right),
            kind,
            condition,
        };
        Ok(Node { output, kind })
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Node> {
        let input = self.node(&aggregate.input)?;
        let scope = [(aggregate.input.schema().as_ref(), &input)];
        let keys = aggregate
            .group_expr
            .iter()
            .map(|e| self.expr(e, &scope))
            .collect::<Result<Vec<_>>>()?;
        let mut calls = vec![];
        for expr in &aggregate.aggr_expr {
            calls.push(self.aggregate_call(expr, &scope)?);
        }
        let whole_row = keys.iter().map(column_id).eq(input.output.iter().map(|a| Some(a.id)));
        let distinct = calls.is_empty()
            && whole_row
            && matches!(*aggregate.input, LogicalPlan::Projection(_) | LogicalPlan::Union(_));
        let output = self.columns_of(&keys, &aggregate.schema);
        Ok(Node {
            output,
            kind: Kind::Aggregate {
                input: Box::new(input),
                keys,
                aggregates: calls,
                distinct,
                except: SetDifference::of(aggregate),
            },
        })
    }

    fn aggregate_call(&mut self, expr: &Expr, scope: &[(&DFSchema, &Node)]) -> Result<AggregateCall> {
        match expr {
            Expr::Alias(alias) => self.aggregate_call(&alias.expr, scope),
            Expr::AggregateFunction(AggregateFunction { func, params }) => Ok(AggregateCall {
                function: func.name().to_lowercase(),
                args: params.args.iter().map(|e| self.expr(e, scope)).collect::<Result<_>>()?,
                filter: params.filter.as_ref().map(|e| self.expr(e, scope)).transpose()?,
                distinct: params.distinct,
            }),
            other => Err(Error::unsupported(format!(
                "the oracle does not know the aggregate `{other}`"
            ))),
        }
    }

    fn limit(&mut self, limit: &Limit) -> Result<Node> {
        let input = self.node(&limit.input)?;
        let FetchType::Literal(fetch) = limit.get_fetch_type()? else {
            return Err(Error::unsupported("LIMIT must be a literal"));
        };
        Ok(limited(input, limit.skip.is_some(), fetch.unwrap_or(usize::MAX)))
    }

    fn extension(&mut self, extension: &Extension) -> Result<Node> {
        let node = extension.node.as_ref();
        if let Some(watermark) = node.as_any().downcast_ref::<WatermarkNode>() {
            let input = self.node(&watermark.input)?;
            let column = self.expr(
                &Expr::Column(watermark.column.clone()),
                &[(watermark.input.schema(), &input)],
            )?;
            let column = column_id(&column).expect("a column stays a column");
            let kind = Kind::Watermark {
                column,
                delay_ms: watermark.delay_ms,
                definition: watermark.definition,
                input: Box::new(input.clone()),
            };
            return Ok(Node {
                output: input.output,
                kind,
            });
        }
        if let Some(window) = node.as_any().downcast_ref::<TimeWindowNode>() {
            return self.time_window(window);
        }
        if let Some(sets) = node.as_any().downcast_ref::<GroupingSetsNode>() {
            return self.grouping_sets(sets);
        }
        if let Some(window) = node.as_any().downcast_ref::<SessionWindowNode>() {
            let input = self.node(&window.input)?;
            let time = self.expr(&window.time, &[(window.input.schema(), &input)])?;
            let session = self.window_attribute();
            return Ok(Node {
                output: input.output.iter().cloned().chain([session]).collect(),
                kind: Kind::Session {
                    input: Box::new(input),
                    time,
                },
            });
        }
        Err(Error::unsupported(format!(
            "the oracle does not know the plan node `{}`",
            node.name()
        )))
    }

    fn grouping_sets(&mut self, node: &GroupingSetsNode) -> Result<Node> {
        let input = self.node(&node.input)?;
        let scope = [(node.input.schema().as_ref(), &input)];
        let keys = node
            .keys
            .iter()
            .map(|key| self.expr(key, &scope))
            .collect::<Result<Vec<_>>>()?;
        let sets = node.sets.iter().map(|set| {
            let has: Vec<bool> = (0..keys.len()).map(|key| set.contains(&key)).collect();
            let id = has.iter().fold(0, |id, has| id * 2 + i64::from(!has));
            (has, id)
        });
        let sets = sets.collect();
        let added = node
            .schema
            .fields()
            .iter()
            .skip(input.output.len())
            .map(|field| Attribute {
                id: self.new_id(),
                data_type: field.data_type().clone(),
            });
        Ok(Node {
            output: input.output.iter().cloned().chain(added).collect(),
            kind: Kind::Expand {
                input: Box::new(input),
                keys,
                sets,
            },
        })
    }

    fn time_window(&mut self, window: &TimeWindowNode) -> Result<Node> {
        let input = self.node(&window.input)?;
        let time = self.expr(&window.time, &[(window.input.schema(), &input)])?;
        let sizes = Sizes {
            duration: window.duration_us,
            slide: window.slide_us,
            start: window.start_us,
        };
        let has_time = Expr::IsNotNull(Box::new(time.clone()));
        let input = input.filtered(vec![has_time]);
        let mut output = input.output.clone();
        output.push(self.window_attribute());
        if sizes.slide < sizes.duration {
            return Ok(Node {
                output,
                kind: Kind::Slide {
                    input: Box::new(input),
                    time,
                    sizes,
                },
            });
        }
        let mut exprs: Vec<Expr> = input.output.iter().map(|a| column(a.id)).collect();
        exprs.push(tumbling_window(time, sizes));
        Ok(Node {
            output,
            kind: Kind::Project {
                input: Box::new(input),
                exprs,
            },
        })
    }

    fn window_attribute(&mut self) -> Attribute {
        Attribute {
            id: self.new_id(),
            data_type: TimeWindowNode::window_type(),
        }
    }

    /// An expression with column numbers for names.
    fn expr(&mut self, expr: &Expr, scope: &[(&DFSchema, &Node)]) -> Result<Expr> {
        let numbered = expr.clone().transform_up(|e| match &e {
            Expr::Column(name) => {
                let found = scope.iter().find_map(|(schema, node)| {
                    let at = schema.maybe_index_of_column(name)?;
                    node.output.get(at)
                });
                let found =
                    found.ok_or_else(|| Error::Invalid(format!("column `{name}` is not in the plan below it")))?;
                Ok(Transformed::yes(column(found.id)))
            }
            _ => Ok(Transformed::no(e)),
        })?;
        Ok(numbered.data.unalias_nested().data)
    }

    fn new_id(&mut self) -> Id {
        self.next_id += 1;
        self.next_id - 1
    }

    fn new_columns(&mut self, schema: &DFSchema) -> Vec<Attribute> {
        let types = schema.fields().iter().map(|f| f.data_type().clone());
        types
            .map(|data_type| Attribute {
                id: self.new_id(),
                data_type,
            })
            .collect()
    }

    /// The output of expressions (and, beyond them, of aggregates): what is only passed on keeps its number, once.
    fn columns_of(&mut self, exprs: &[Expr], schema: &DFSchema) -> Vec<Attribute> {
        let mut used = BTreeSet::new();
        let mut output = vec![];
        for (at, field) in schema.fields().iter().enumerate() {
            let kept = exprs.get(at).and_then(column_id).filter(|id| used.insert(*id));
            let id = kept.unwrap_or_else(|| self.new_id());
            output.push(Attribute {
                id,
                data_type: field.data_type().clone(),
            });
        }
        output
    }
}

fn limited(input: Node, has_offset: bool, fetch: usize) -> Node {
    Node {
        output: input.output.clone(),
        kind: Kind::Limit {
            input: Box::new(input),
            has_offset,
            each_batch: false,
            fetch,
        },
    }
}

fn distinct(input: Node) -> Node {
    let keys = input.output.iter().map(|a| column(a.id)).collect();
    let output = input.output.clone();
    Node {
        output,
        kind: Kind::Aggregate {
            input: Box::new(input),
            keys,
            aggregates: vec![],
            distinct: true,
            except: None,
        },
    }
}

/// Whether a join was `IN`, `NOT IN` or `EXISTS` in the text: Spark treats those as filters until the very end.
fn is_subquery(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) && sql::is_subquery_join(join)
}
