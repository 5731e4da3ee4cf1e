//! Which expressions Spark knows to be NULL where an argument is.
//!
//! From a condition that holds Spark concludes that the columns below such expressions are not NULL, and that
//! conclusion can sink where the condition cannot. The list is Spark's, not the truth: `trim` and `round` are not on it.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::function::SparkFn;

/// Functions, by their kernels, that Spark does not know to be NULL where an argument is.
const TOLERANT: [&str; 24] = [
    "array",
    "bround",
    "concat",
    "concat_ws",
    "date_trunc",
    "greatest",
    "isnan",
    "least",
    "locate",
    "ltrim",
    "map",
    "named_struct",
    "nanvl",
    "parse_timestamp",
    "rand",
    "right",
    "round",
    "rtrim",
    "size",
    "to_json",
    "trim",
    "trunc",
    "unix_timestamp",
    "window_time",
];

/// Whether Spark knows an expression to be NULL where one of its arguments is.
pub fn is_null_intolerant(expr: &Expr) -> bool {
    use Operator::{And, IsDistinctFrom, IsNotDistinctFrom, Or};
    match expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => !matches!(op, And | Or | IsDistinctFrom | IsNotDistinctFrom),
        Expr::Alias(_) | Expr::Not(_) | Expr::Negative(_) | Expr::Cast(_) | Expr::Like(_) => true,
        Expr::ScalarFunction(call) => match call.func.inner().downcast_ref::<SparkFn>() {
            Some(function) => !TOLERANT.contains(&function.name),
            None => call.func.name() == "get_field",
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::LogicalPlan;

    use super::*;
    use crate::sql::{Catalog, timestamp_type};

    /// Asked of Spark 4.3: is `isnotnull(column)` inferred from `(expression) IS NOT NULL`?
    #[test]
    fn the_list_is_sparks() {
        for (expression, intolerant) in [
            ("i + 1", true),
            ("-i", true),
            ("i = 1", true),
            ("i <=> 1", false),
            ("i IN (1, 2)", false),
            ("coalesce(i, 0)", false),
            ("CASE WHEN i > 1 THEN 1 END", false),
            ("CAST(i AS STRING)", true),
            ("abs(i)", true),
            ("round(i)", false),
            ("greatest(i, 1)", false),
            ("s LIKE 'a%'", true),
            ("s || 'x'", false),
            ("upper(s)", true),
            ("trim(s)", false),
            ("left(s, 2)", true),
            ("right(s, 2)", false),
            ("instr(s, 'x')", true),
            ("locate('x', s)", false),
            ("year(t)", true),
            ("date_trunc('hour', t)", false),
            ("t + INTERVAL 1 DAY", true),
            ("date_format(t, 'yyyy')", true),
            ("unix_timestamp(t)", false),
            ("to_timestamp(s, 'yyyy')", false),
        ] {
            assert_eq!(is_null_intolerant(&planned(expression)), intolerant, "{expression}");
        }
    }

    /// An expression as the front end plans it; casts around it do not count.
    fn planned(expression: &str) -> Expr {
        let mut catalog = Catalog::new(BTreeMap::new());
        let columns = [("i", DataType::Int32), ("s", DataType::Utf8), ("t", timestamp_type())];
        let fields = columns.map(|(name, of)| Field::new(name, of, true));
        catalog.add_stream("r", Arc::new(Schema::new(fields.to_vec()))).unwrap();
        let plan = catalog.plan(&format!("SELECT {expression} AS x FROM r")).unwrap();
        let LogicalPlan::Projection(projection) = plan else {
            panic!("a SELECT is a projection")
        };
        let mut expr = projection.expr[0].clone().unalias();
        while let Expr::ScalarFunction(call) = &expr
            && call.func.name() == "cast"
            && matches!(&call.args[0], Expr::ScalarFunction(inner) if inner.func.name() == "parse_timestamp")
        {
            expr = call.args[0].clone();
        }
        expr
    }
}
