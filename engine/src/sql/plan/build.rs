//! Plan nodes, with the names Spark gives their columns.

use super::*;

/// The relation of a SELECT without FROM: one row, no columns.
pub(super) fn one_row() -> Rel {
    let schema = Arc::new(datafusion::common::DFSchema::empty());
    let plan = LogicalPlan::EmptyRelation(EmptyRelation {
        produce_one_row: true,
        schema,
    });
    Rel { plan, attrs: vec![] }
}

/// The attributes of a plan, by the names Spark gives its columns.
pub(in crate::sql) fn attrs_of(plan: &LogicalPlan, qualifier: Option<String>) -> Vec<Attr> {
    let each = plan.schema().iter().map(|(relation, field)| Attr {
        qualifier: qualifier.clone(),
        name: spark_name(field),
        column: Column::new(relation.cloned(), field.name()),
        data_type: field.data_type().clone(),
        reach: Reach::Everywhere,
    });
    each.collect()
}

/// The name Spark gives a column.
pub(in crate::sql) fn spark_name(field: &Field) -> String {
    field.metadata().get(SPARK_NAME).unwrap_or(field.name()).clone()
}

pub(super) fn plain_rel(plan: LogicalPlan) -> Rel {
    let attrs = attrs_of(&plan, None);
    Rel { plan, attrs }
}

/// A plan whose columns are, one by one, those of another.
pub(super) fn with_attrs(plan: LogicalPlan, attrs: Vec<Attr>) -> Rel {
    let columns = plan.schema().columns();
    let attrs = attrs
        .into_iter()
        .zip(columns)
        .map(|(attr, column)| Attr { column, ..attr })
        .collect();
    Rel { plan, attrs }
}

pub(super) fn aliased(rel: Rel, unique: TableReference, shown: Option<String>) -> Result<Rel> {
    let Rel { plan, attrs } = rel;
    let places = attrs
        .iter()
        .map(|a| plan.schema().index_of_column(&a.column))
        .collect::<Result<Vec<_>, _>>()?;
    let alias = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), unique)?);
    let columns = alias.schema().columns();
    let each = attrs.into_iter().zip(places).map(|(attr, place)| Attr {
        qualifier: shown.clone(),
        column: columns[place].clone(),
        ..attr
    });
    let attrs = each.collect();
    Ok(Rel { plan: alias, attrs })
}

/// `AS name (columns)`.
pub(super) fn rename_columns(rel: Rel, names: &[String]) -> Result<Rel> {
    if names.is_empty() {
        return Ok(rel);
    }
    if names.len() != rel.attrs.len() {
        return Err(Error::spark(
            "ASSIGNMENT_ARITY_MISMATCH",
            format!(
                "The alias names {} columns, the relation has {}.",
                names.len(),
                rel.attrs.len()
            ),
        ));
    }
    let items = rel
        .attrs
        .iter()
        .zip(names)
        .map(|(a, name)| Typed::new(a.expr(), a.data_type.clone(), name));
    project(rel.plan.clone(), items.collect())
}

/// A projection whose columns have names of their own in the plan, and Spark's names as attributes.
pub(super) fn project(plan: LogicalPlan, items: Vec<Typed>) -> Result<Rel> {
    project_as(plan, items, false)
}

/// As [`project`]; `fresh` takes the qualifiers from plain columns too, so that the sides of a union agree.
pub(in crate::sql) fn project_as(plan: LogicalPlan, items: Vec<Typed>, fresh: bool) -> Result<Rel> {
    let mut taken = BTreeSet::new();
    let mut exprs = vec![];
    let mut names = vec![];
    for item in items {
        let name = item.column_name().to_string();
        let mut unique = name.clone();
        let mut number = 1;
        while !taken.insert(unique.clone()) {
            unique = format!("{name}#{number}");
            number += 1;
        }
        let plain = matches!(&item.expr, Expr::Column(c) if c.name == unique) && unique == name;
        let expr = if plain && !fresh {
            item.expr
        } else {
            named(item.expr, &unique, &name)
        };
        exprs.push(expr);
        names.push((name, item.data_type));
    }
    let plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(plan))?);
    let columns = plan.schema().columns();
    let each = names.into_iter().zip(columns).map(|((name, data_type), column)| Attr {
        qualifier: None,
        name,
        column,
        data_type,
        reach: Reach::Everywhere,
    });
    let attrs = each.collect();
    Ok(Rel { plan, attrs })
}

/// An alias that remembers Spark's name, if the plan needs another.
pub(super) fn named(expr: Expr, unique: &str, name: &str) -> Expr {
    let alias = AliasExpr::new(expr, None::<TableReference>, unique);
    // The remembered name of what is renamed must not come along. Whether it has one, only its plan knows.
    let inherits = matches!(&*alias.expr, Expr::Column(_) | Expr::Cast(_) | Expr::ScalarSubquery(_));
    if unique == name && !inherits {
        return Expr::Alias(alias);
    }
    let metadata = BTreeMap::from([(SPARK_NAME.to_string(), name.to_string())]);
    Expr::Alias(alias.with_metadata(Some(FieldMetadata::new(metadata))))
}

pub(super) fn distinct(rel: Rel) -> Result<Rel> {
    let keys = rel.plan.schema().columns().into_iter().map(Expr::Column).collect();
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(rel.plan), keys, vec![])?);
    Ok(with_attrs(plan, rel.attrs))
}

pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    condition: Option<Expr>,
    kind: JoinType,
) -> Result<LogicalPlan> {
    let join = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        vec![],
        condition,
        kind,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    )?;
    Ok(LogicalPlan::Join(join))
}

pub(super) fn pending_join(left: LogicalPlan, pending: PendingJoin) -> Result<LogicalPlan> {
    if pending.asks_domain() && !is_streaming(&left) {
        return Err(Error::unsupported(
            "IN and EXISTS of a correlated subquery that aggregates without GROUP BY are not supported yet",
        ));
    }
    join(left, pending.right, Some(pending.condition), pending.kind)
}

pub(super) fn with_joins(plan: LogicalPlan, exprs: &Exprs) -> Result<LogicalPlan> {
    exprs.joins.borrow_mut().drain(..).try_fold(plan, pending_join)
}

pub(super) fn expr_type(expr: &Expr, plan: &LogicalPlan) -> Result<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    Ok(expr.get_type(plan.schema())?)
}

/// `withWatermark(attr, delay)` over a plan; `definition` is a number no other watermark of the catalog has.
pub(in crate::sql) fn watermark_node(
    plan: LogicalPlan,
    attr: &Attr,
    delay_ms: i64,
    definition: usize,
) -> Result<LogicalPlan> {
    let is_window = attr.data_type == TimeWindowNode::window_type();
    if !matches!(attr.data_type, DataType::Timestamp(_, Some(_))) && !is_window {
        return Err(Error::spark(
            "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
            format!(
                "The event time `{}` has the invalid type \"{}\", but expected \"TIMESTAMP\".",
                attr.name,
                message_type_name(&attr.data_type)
            ),
        ));
    }
    let node = WatermarkNode {
        input: plan,
        column: attr.column.clone(),
        delay_ms,
        definition,
    };
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

pub(in crate::sql) fn contains_outer(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::OuterReferenceColumn(..))))
        .unwrap_or(false)
}

pub(super) fn contains_aggregate(expr: &Expr) -> bool {
    expr.exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))
        .unwrap_or(false)
}
