//! Questions about single expressions.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, Operator};

use crate::{Result, sql};

/// The value of an expression without columns.
///
/// # Errors
/// What evaluating it raises, or that it reads a column.
pub(super) fn constant(expr: &Expr) -> Result<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Ok(value.clone());
    }
    let physical = sql::physical_expr(expr, &DFSchema::empty())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    let value = physical.evaluate(&row)?.into_array(1)?;
    Ok(ScalarValue::try_from_array(&value, 0)?)
}

/// `column + offset`, the only shape of time arithmetic from which Spark derives a state watermark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shifted {
    /// The one column.
    pub column: Column,
    /// What is added to it, in microseconds.
    pub offset_us: i64,
}

/// A condition `left <= right` or `left < right` between two shifted columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TimeBound {
    pub earlier: Shifted,
    pub later: Shifted,
    /// `<` rather than `<=`.
    pub strict: bool,
}

/// The time bounds in a conjunct; `BETWEEN` has two.
pub(crate) fn time_bounds(conjunct: &Expr) -> Vec<TimeBound> {
    match conjunct {
        Expr::BinaryExpr(b) => {
            let (Some(left), Some(right)) = (shifted(&b.left), shifted(&b.right)) else {
                return vec![];
            };
            match b.op {
                Operator::Lt => vec![TimeBound {
                    earlier: left,
                    later: right,
                    strict: true,
                }],
                Operator::LtEq => vec![TimeBound {
                    earlier: left,
                    later: right,
                    strict: false,
                }],
                Operator::Gt => vec![TimeBound {
                    earlier: right,
                    later: left,
                    strict: true,
                }],
                Operator::GtEq => vec![TimeBound {
                    earlier: right,
                    later: left,
                    strict: false,
                }],
                _ => vec![],
            }
        }
        Expr::Between(between) if !between.negated => {
            let (low, value, high) = (shifted(&between.low), shifted(&between.expr), shifted(&between.high));
            let mut bounds = Vec::new();
            if let (Some(low), Some(value)) = (&low, &value) {
                bounds.push(TimeBound {
                    earlier: low.clone(),
                    later: value.clone(),
                    strict: false,
                });
            }
            if let (Some(value), Some(high)) = (value, high) {
                bounds.push(TimeBound {
                    earlier: value,
                    later: high,
                    strict: false,
                });
            }
            bounds
        }
        _ => vec![],
    }
}

/// An expression as one column plus a constant span of time, if it is one.
fn shifted(expr: &Expr) -> Option<Shifted> {
    match expr {
        Expr::Column(column) => Some(Shifted {
            column: column.clone(),
            offset_us: 0,
        }),
        Expr::Alias(alias) => shifted(&alias.expr),
        Expr::BinaryExpr(b) => match b.op {
            Operator::Plus => plus(&b.left, &b.right, 1).or_else(|| plus(&b.right, &b.left, 1)),
            Operator::Minus => plus(&b.left, &b.right, -1),
            _ => None,
        },
        Expr::ScalarFunction(function) if function.args.len() == 2 => {
            let (left, right) = (&function.args[0], &function.args[1]);
            match function.name() {
                "add" => plus(left, right, 1).or_else(|| plus(right, left, 1)),
                "subtract" => plus(left, right, -1),
                _ => None,
            }
        }
        _ => None,
    }
}

fn plus(base: &Expr, span: &Expr, sign: i64) -> Option<Shifted> {
    let base = shifted(base)?;
    let offset_us = base.offset_us.checked_add(span_us(span)?.checked_mul(sign)?)?;
    Some(Shifted {
        column: base.column,
        offset_us,
    })
}

/// A constant span without months, in microseconds.
pub(super) fn span_us(expr: &Expr) -> Option<i64> {
    if !expr.column_refs().is_empty() || expr.is_volatile() {
        return None;
    }
    match constant(expr).ok()? {
        ScalarValue::IntervalMonthDayNano(Some(i)) if i.months == 0 => i64::from(i.days)
            .checked_mul(86_400_000_000)?
            .checked_add(i.nanoseconds / 1_000),
        ScalarValue::IntervalDayTime(Some(i)) => i64::from(i.days)
            .checked_mul(86_400_000_000)?
            .checked_add(i64::from(i.milliseconds) * 1_000),
        ScalarValue::DurationMicrosecond(Some(us)) => Some(us),
        ScalarValue::DurationMillisecond(Some(ms)) => ms.checked_mul(1_000),
        ScalarValue::DurationSecond(Some(s)) => s.checked_mul(1_000_000),
        ScalarValue::DurationNanosecond(Some(ns)) => Some(ns / 1_000),
        _ => None,
    }
}
