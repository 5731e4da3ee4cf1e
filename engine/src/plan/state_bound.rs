//! From which conditions of a join Spark derives when its state may go (spark-semantics 6.3).
//!
//! A condition bounds a column of one side if it is a sum of columns and constants on both sides of `<` or `<=`. Casts
//! to numbers and to timestamps are looked through; what is a number then counts as seconds, whatever it was meant as.

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};

use super::expr::{constant, span_us};

/// `column > sum` or `column >= sum`, where the sum is one column of the other side and a constant.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LowerBound {
    /// The column that is bounded.
    pub column: Column,
    /// The column in the sum.
    pub other: Column,
    /// The constant in the sum, in microseconds.
    pub offset_us: i64,
    /// `>` rather than `>=`.
    pub strict: bool,
}

/// The bound that a conjunct puts on a column of one side, told by `is_mine`.
pub(super) fn lower_bound(conjunct: &Expr, is_mine: impl Fn(&Column) -> bool) -> Option<LowerBound> {
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
    // greater - less, in which the bounded column must be positive and the other one negative.
    let mut sum = Sum::default();
    sum.add(greater, 1)?;
    sum.add(less, -1)?;
    let (mine, others): (Vec<_>, Vec<_>) = sum.columns.into_iter().partition(|(column, _)| is_mine(column));
    match (mine.as_slice(), others.as_slice()) {
        ([(column, 1)], [(other, -1)]) => Some(LowerBound {
            column: column.clone(),
            other: other.clone(),
            offset_us: -sum.constant_us as i64,
            strict,
        }),
        _ => None,
    }
}

/// A sum of columns and constants.
#[derive(Default)]
struct Sum {
    columns: Vec<(Column, i8)>,
    constant_us: f64,
}

impl Sum {
    /// Adds `sign` times an expression; None if the expression is no such sum.
    fn add(&mut self, expr: &Expr, sign: i8) -> Option<()> {
        match expr {
            Expr::Alias(alias) => self.add(&alias.expr, sign),
            Expr::Column(column) => {
                self.columns.push((column.clone(), sign));
                Some(())
            }
            _ if expr.column_refs().is_empty() => {
                self.constant_us += f64::from(sign) * micros(expr)?;
                Some(())
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.add_two(left, *op, right, sign),
            Expr::Cast(Cast { expr, field }) if is_number_or_time(field.data_type()) => self.add(expr, sign),
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("add", [left, right]) => {
                    self.add(left, sign)?;
                    self.add(right, sign)
                }
                ("subtract", [left, right]) => {
                    self.add(left, sign)?;
                    self.add(right, -sign)
                }
                ("negative", [inner]) => self.add(inner, -sign),
                ("cast" | "legacy_cast", [inner]) => {
                    let returns = call.func.return_type(&[]).ok()?;
                    is_number_or_time(&returns).then(|| self.add(inner, sign))?
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// `time ± span`. The difference of two times is no such sum to Spark.
    fn add_two(&mut self, left: &Expr, op: Operator, right: &Expr, sign: i8) -> Option<()> {
        let right_sign = match op {
            Operator::Plus => sign,
            Operator::Minus if right.column_refs().is_empty() => -sign,
            _ => return None,
        };
        self.add(left, sign)?;
        self.add(right, right_sign)
    }
}

fn is_number_or_time(data_type: &arrow::datatypes::DataType) -> bool {
    use arrow::datatypes::DataType;
    data_type.is_numeric() || matches!(data_type, DataType::Timestamp(_, Some(_)))
}

/// A constant in microseconds: a span of time without months, an instant, or a number of seconds.
fn micros(expr: &Expr) -> Option<f64> {
    if let Some(us) = span_us(expr) {
        return Some(us as f64);
    }
    match constant(expr).ok()? {
        ScalarValue::TimestampMicrosecond(Some(us), Some(_)) => Some(us as f64),
        value if value.data_type().is_numeric() => match value.cast_to(&arrow::datatypes::DataType::Float64).ok()? {
            ScalarValue::Float64(Some(seconds)) => Some(seconds * 1_000_000.0),
            _ => None,
        },
        _ => None,
    }
}
