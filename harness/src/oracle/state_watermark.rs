//! When a row waiting in a join can have no partner any more: watermarks of join state from range conditions.

use std::collections::BTreeSet;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};

use super::place;
use super::tree::*;

/// `a > sum`: a lower bound on a column of one side, in terms of the other side's event time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bound {
    /// How often the other side's event time is in the sum.
    event_times: f64,
    /// The rest of the sum in microseconds.
    offset_us: f64,
    /// `>` rather than `>=`.
    strict: bool,
}

impl Bound {
    /// Up to which time, in milliseconds, a waiting row has missed its last partner.
    fn at(&self, watermark_ms: i64) -> i64 {
        let sum_us = self.event_times * (watermark_ms as f64) * 1000.0 + self.offset_us;
        // Truncation, not floor, as Spark's conversion to a long does.
        (sum_us / 1000.0) as i64 - i64::from(!self.strict)
    }
}

/// The state watermark of a side with these bounds: the earliest of them.
pub(super) fn state_watermark(bounds: &[Bound], watermark_ms: i64) -> Option<i64> {
    bounds.iter().map(|bound| bound.at(watermark_ms)).min()
}

/// The lower bounds that join conditions put on `side`, given the tagged columns of the other side.
pub(super) fn bounds(condition: &[Expr], side: &BTreeSet<Id>, other_tagged: &BTreeSet<Id>) -> Vec<Bound> {
    if other_tagged.is_empty() {
        return vec![];
    }
    condition
        .iter()
        .filter_map(|conjunct| bound(conjunct, side, other_tagged))
        .collect()
}

fn bound(conjunct: &Expr, side: &BTreeSet<Id>, other_tagged: &BTreeSet<Id>) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else {
        return None;
    };
    let (less, greater, strict) = match op {
        Operator::Lt => (left, right, true),
        Operator::LtEq => (left, right, false),
        Operator::Gt => (right, left, true),
        Operator::GtEq => (right, left, false),
        _ => return None,
    };
    if references(conjunct).intersection(side).count() > 1 {
        return None;
    }
    // less - greater < 0, and the bounded column must come out negative.
    let mut terms = vec![];
    collect_terms(less, 1.0, &mut terms)?;
    collect_terms(greater, -1.0, &mut terms)?;
    let mut bounded = vec![];
    let mut bound = Bound {
        event_times: 0.0,
        offset_us: 0.0,
        strict,
    };
    for (sign, term) in terms {
        match term {
            Term::Column(id) if side.contains(&id) => bounded.push(sign),
            Term::Column(id) if other_tagged.contains(&id) => bound.event_times += sign,
            Term::Column(_) => return None,
            Term::Micros(us) => bound.offset_us += sign * us,
        }
    }
    (bounded == [-1.0]).then_some(bound)
}

enum Term {
    Column(Id),
    Micros(f64),
}

/// Splits a sum; `None` if something in it is neither a column nor a constant span of time.
fn collect_terms(expr: &Expr, sign: f64, terms: &mut Vec<(f64, Term)>) -> Option<()> {
    if references(expr).is_empty()
        && let Some(value) = place::constant_value(expr)
    {
        terms.push((sign, Term::Micros(micros_of(&value)?)));
        return Some(());
    }
    match expr {
        Expr::Alias(alias) => collect_terms(&alias.expr, sign, terms),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Plus,
            right,
        }) => {
            collect_terms(left, sign, terms)?;
            collect_terms(right, sign, terms)
        }
        // Only a span of time is taken from a time: the difference of two times is another function to Spark.
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Minus,
            right,
        }) if references(right).is_empty() => {
            collect_terms(left, sign, terms)?;
            collect_terms(right, -sign, terms)
        }
        Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
            ("add", [left, right]) => {
                collect_terms(left, sign, terms)?;
                collect_terms(right, sign, terms)
            }
            ("subtract", [left, right]) => {
                collect_terms(left, sign, terms)?;
                collect_terms(right, -sign, terms)
            }
            ("negative", [inner]) => collect_terms(inner, -sign, terms),
            ("cast" | "legacy_cast", [inner]) if is_number_or_time(&call.func.return_type(&[]).ok()?) => {
                collect_terms(inner, sign, terms)
            }
            _ => None,
        },
        Expr::Negative(inner) => collect_terms(inner, -sign, terms),
        Expr::Cast(Cast { expr, field }) if is_number_or_time(field.data_type()) => collect_terms(expr, sign, terms),
        Expr::Column(_) => {
            terms.push((sign, Term::Column(column_id(expr)?)));
            Some(())
        }
        _ => None,
    }
}

fn is_number_or_time(data_type: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::DataType;
    data_type.is_numeric() || matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// Numbers are seconds; months have no fixed length.
fn micros_of(value: &ScalarValue) -> Option<f64> {
    const DAY: f64 = 86_400_000_000.0;
    match value {
        ScalarValue::IntervalMonthDayNano(Some(v)) if v.months == 0 => {
            Some(f64::from(v.days) * DAY + v.nanoseconds as f64 / 1000.0)
        }
        ScalarValue::IntervalDayTime(Some(v)) => Some(f64::from(v.days) * DAY + f64::from(v.milliseconds) * 1000.0),
        ScalarValue::DurationSecond(Some(v)) => Some(*v as f64 * 1_000_000.0),
        ScalarValue::DurationMillisecond(Some(v)) => Some(*v as f64 * 1000.0),
        ScalarValue::DurationMicrosecond(Some(v)) => Some(*v as f64),
        ScalarValue::DurationNanosecond(Some(v)) => Some(*v as f64 / 1000.0),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => Some(*v as f64),
        other if other.data_type().is_numeric() => match other.cast_to(&arrow::datatypes::DataType::Float64).ok()? {
            ScalarValue::Float64(Some(v)) => Some(v * 1_000_000.0),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::lit;

    const MINUTE: i64 = 60_000;

    fn minutes(n: i64) -> Expr {
        lit(ScalarValue::DurationMicrosecond(Some(n * MINUTE * 1000)))
    }

    /// Columns 0 (left) and 1 (right) are event times. The state watermarks of both sides at a watermark of 1 hour,
    /// as milliseconds from there.
    fn from_watermark(condition: &[Expr]) -> (Option<i64>, Option<i64>) {
        let (left, right) = (BTreeSet::from([0, 2]), BTreeSet::from([1, 3]));
        let (l, r) = (BTreeSet::from([0]), BTreeSet::from([1]));
        let watermark = 60 * MINUTE;
        let of = |bounds: Vec<Bound>| state_watermark(&bounds, watermark).map(|s| s - watermark);
        (of(bounds(condition, &left, &r)), of(bounds(condition, &right, &l)))
    }

    #[test]
    fn the_table_of_the_specification_holds() {
        let (l, r) = (|| column(0), || column(1));
        for (condition, want) in [
            (
                vec![r().gt_eq(l()), r().lt_eq(l() + minutes(5))],
                (Some(-300_001), Some(-1)),
            ),
            (vec![r().gt(l()), r().lt(l() + minutes(5))], (Some(-300_000), Some(0))),
            (
                vec![l().gt_eq(r() + minutes(10)), l().lt_eq(r() + minutes(20))],
                (Some(599_999), Some(-1_200_001)),
            ),
            (vec![l().gt(r())], (Some(0), None)),
            (
                vec![l().gt(r() + minutes(1)), l().gt(r() + minutes(2))],
                (Some(60_000), None),
            ),
        ] {
            assert_eq!(from_watermark(&condition), want, "{condition:?}");
        }
    }

    #[test]
    fn a_number_in_a_condition_of_one_side_counts_as_seconds() {
        assert_eq!(
            from_watermark(&[column(2).gt_eq(lit(5))]),
            (Some(4_999 - 60 * MINUTE), None)
        );
        assert_eq!(from_watermark(&[column(2).lt(lit(5))]), (None, None));
    }
}
