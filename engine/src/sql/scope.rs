//! What names mean at one place of a query.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::function::collection;
use super::types::message_type_name;
use crate::{Error, Result};

/// The key under which a field keeps Spark's name, where the plan needs another (two columns of one name).
pub const SPARK_NAME: &str = "spark.name";

/// A planned relation and what its columns are called.
#[derive(Debug, Clone)]
pub struct Rel {
    pub plan: LogicalPlan,
    pub attrs: Vec<Attr>,
}

/// A column a query can name.
#[derive(Debug, Clone)]
pub struct Attr {
    /// The alias of its relation.
    pub qualifier: Option<String>,
    /// Spark's name.
    pub name: String,
    /// The column of the plan.
    pub column: Column,
    pub data_type: DataType,
    pub reach: Reach,
}

/// How a column can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By name, qualified name, and as a part of `*`.
    Everywhere,
    /// Not by `*`: the window column below a SELECT.
    ByName,
    /// Only with its qualifier: the other side's key of a USING join.
    ByQualifier,
}

impl Attr {
    pub fn expr(&self) -> Expr {
        Expr::Column(self.column.clone())
    }

    pub fn is_everywhere(&self) -> bool {
        self.reach == Reach::Everywhere
    }

    fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    fn is_of(&self, qualifier: &str) -> bool {
        self.qualifier
            .as_ref()
            .is_some_and(|q| q.eq_ignore_ascii_case(qualifier))
    }

    fn sql(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("`{qualifier}`.`{}`", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// An expression with its type and with its name, should it become a column.
#[derive(Debug, Clone)]
pub struct Typed {
    pub expr: Expr,
    pub data_type: DataType,
    /// As part of a larger expression: `s.x`.
    pub name: String,
    /// As a whole item, if that differs: `x`.
    pub alias: Option<String>,
}

impl Typed {
    pub fn new(expr: Expr, data_type: DataType, name: impl Into<String>) -> Self {
        Self {
            expr,
            data_type,
            name: name.into(),
            alias: None,
        }
    }

    /// The name of a column that is this expression alone.
    pub fn column_name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

/// The columns in reach, and those of the query around this one.
pub struct Scope<'a> {
    pub attrs: &'a [Attr],
    pub outer: Option<&'a Scope<'a>>,
    /// Items already planned, by alias: they can be named where no column is.
    pub laterals: RefCell<Vec<(String, Typed)>>,
    pub streaming: bool,
}

impl<'a> Scope<'a> {
    pub fn new(rel: &'a Rel, outer: Option<&'a Scope<'a>>) -> Self {
        let streaming = super::is_streaming(&rel.plan);
        Self {
            attrs: &rel.attrs,
            outer,
            laterals: RefCell::default(),
            streaming,
        }
    }

    /// The attribute that `parts` names and how many parts name it; the rest are fields of it.
    pub fn find(&self, parts: &[String]) -> Result<Option<(&'a Attr, usize)>> {
        if parts.len() > 1 {
            let qualified: Vec<_> = self
                .attrs
                .iter()
                .filter(|a| a.is_of(&parts[0]) && a.is_called(&parts[1]))
                .collect();
            if let Some(found) = one_of(&qualified, &parts[..2])? {
                return Ok(Some((found, 2)));
            }
        }
        let plain: Vec<_> = self
            .attrs
            .iter()
            .filter(|a| a.reach != Reach::ByQualifier && a.is_called(&parts[0]))
            .collect();
        Ok(one_of(&plain, &parts[..1])?.map(|found| (found, 1)))
    }

    /// Resolves a dotted name: a column here, an earlier item, or a column of the query around.
    pub fn resolve(&self, parts: &[String]) -> Result<Typed> {
        match self.resolve_here(parts)? {
            Some(found) => Ok(found),
            None => match self.outer.map(|outer| outer.find(parts)) {
                Some(found) => match found? {
                    Some((attr, used)) => fields_of(outer_column(attr, parts[used - 1].clone()), &parts[used..]),
                    None if self.outer.is_some_and(|o| o.reaches_further(parts)) => Err(Error::unsupported(
                        "a subquery that names columns of a query two levels around it is not supported yet",
                    )),
                    None => Err(self.unresolved(parts)),
                },
                None => Err(self.unresolved(parts)),
            },
        }
    }

    fn reaches_further(&self, parts: &[String]) -> bool {
        self.outer
            .is_some_and(|outer| matches!(outer.find(parts), Ok(Some(_))) || outer.reaches_further(parts))
    }

    /// As [`Scope::resolve`], without the query around.
    pub fn resolve_here(&self, parts: &[String]) -> Result<Option<Typed>> {
        if let Some((attr, used)) = self.find(parts)? {
            let column = Typed::new(attr.expr(), attr.data_type.clone(), parts[used - 1].clone());
            return fields_of(column, &parts[used..]).map(Some);
        }
        let laterals = self.laterals.borrow();
        let mut found = laterals
            .iter()
            .filter(|(alias, _)| alias.eq_ignore_ascii_case(&parts[0]));
        match (found.next(), found.next()) {
            (Some((alias, typed)), None) => {
                let column = Typed::new(typed.expr.clone(), typed.data_type.clone(), alias.clone());
                fields_of(column, &parts[1..]).map(Some)
            }
            (Some((alias, _)), Some(_)) => Err(Error::spark(
                "AMBIGUOUS_LATERAL_COLUMN_ALIAS",
                format!(
                    "Lateral column alias `{alias}` is ambiguous and has {} matches.",
                    2 + found.count()
                ),
            )),
            _ => Ok(None),
        }
    }

    /// Spark's UNRESOLVED_COLUMN with the names that come nearest.
    pub fn unresolved(&self, parts: &[String]) -> Error {
        let wanted: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
        let wanted = wanted.join(".");
        let visible: Vec<&Attr> = self.attrs.iter().filter(|a| a.is_everywhere()).collect();
        let message = format!("A column, variable, or function parameter with name {wanted} cannot be resolved.");
        if visible.is_empty() {
            return Error::spark("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", message);
        }
        let one_relation = visible.iter().all(|a| a.qualifier == visible[0].qualifier);
        let plain = parts.len() == 1 && one_relation;
        let mut near: Vec<(usize, String)> = visible
            .iter()
            .map(|a| if plain { format!("`{}`", a.name) } else { a.sql() })
            // Spark compares what was written with the quoted names.
            .map(|name| (distance(&parts.join("."), &name), name))
            .collect();
        near.sort();
        near.dedup();
        let near: Vec<_> = near.into_iter().take(5).map(|(_, name)| name).collect();
        let message = format!("{message} Did you mean one of the following? [{}].", near.join(", "));
        Error::spark("UNRESOLVED_COLUMN.WITH_SUGGESTION", message)
    }
}

fn one_of<'a>(found: &[&'a Attr], parts: &[String]) -> Result<Option<&'a Attr>> {
    let Some(first) = found.first() else { return Ok(None) };
    if found.iter().all(|a| a.column == first.column) {
        return Ok(Some(first));
    }
    let name: Vec<String> = parts.iter().map(|part| format!("`{part}`")).collect();
    let mut candidates: Vec<String> = found.iter().map(|a| a.sql()).collect();
    candidates.sort();
    Err(Error::spark(
        "AMBIGUOUS_REFERENCE",
        format!(
            "Reference {} is ambiguous, could be: [{}].",
            name.join("."),
            candidates.join(", ")
        ),
    ))
}

fn outer_column(attr: &Attr, name: String) -> Typed {
    let field = Arc::new(Field::new(&attr.column.name, attr.data_type.clone(), true));
    Typed::new(
        Expr::OuterReferenceColumn(field, attr.column.clone()),
        attr.data_type.clone(),
        name,
    )
}

/// `base.a.b`: fields of structs.
pub fn fields_of(base: Typed, path: &[String]) -> Result<Typed> {
    path.iter().try_fold(base, |base, name| field_of(base, name))
}

/// The field `name` of a struct, or of each struct of an array.
pub fn field_of(base: Typed, name: &str) -> Result<Typed> {
    let (fields, of_each) = match &base.data_type {
        DataType::Struct(fields) => (fields, false),
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => (fields, true),
            _ => (&Fields::empty(), false),
        },
        _ => (&Fields::empty(), false),
    };
    if !base.data_type.is_nested() || fields.is_empty() {
        let (base, found) = (base.name, message_type_name(&base.data_type));
        return Err(Error::spark(
            "INVALID_EXTRACT_BASE_FIELD_TYPE",
            format!(
                "Can't extract a value from \"{base}\". Need a complex type [STRUCT, ARRAY, MAP] but got \"{found}\"."
            ),
        ));
    };
    let Some(position) = fields.iter().position(|f| f.name().eq_ignore_ascii_case(name)) else {
        let names: Vec<_> = fields.iter().map(|f| format!("`{}`", f.name())).collect();
        let message = format!("No such struct field `{name}` in {}.", names.join(", "));
        return Err(Error::spark("FIELD_NOT_FOUND", message));
    };
    let field = &fields[position];
    let (expr, data_type) = if of_each {
        let returns = collection::list_of(field.data_type().clone());
        let each = collection::field_of_each(position, returns.clone());
        (each.call(vec![base.expr]), returns)
    } else {
        let field_name = field.name().as_str();
        let expr = datafusion::functions::core::expr_fn::get_field(base.expr, field_name);
        (expr, field.data_type().clone())
    };
    Ok(Typed {
        expr,
        data_type,
        name: format!("{}.{name}", base.name),
        alias: Some(name.to_string()),
    })
}

/// Edit distance, which orders Spark's suggestions.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.to_lowercase().chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let swap = corner + usize::from(l != *r);
            corner = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}
