//! Functions of conditions and of what is NULL.

use super::*;

impl Exprs<'_> {
    /// Conditions: coalesce, if, greatest and their like. None if there is none of that name.
    pub(super) fn condition_call(&self, call: &Args) -> Result<Option<Typed>> {
        let (name, args, text) = (call.name, call.args, call.text.to_string());
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::{Boolean, Float64};
        use Want::Double;
        match name {
            "coalesce" | "nvl" | "ifnull" => {
                if args.is_empty() || (name != "coalesce" && args.len() != 2) {
                    return Err(wrong_count(
                        name,
                        if name == "coalesce" { "> 0" } else { "2" },
                        args.len(),
                    ));
                }
                let common = self.common_all(args, &text, name)?;
                typed(self.first_present(args, &common), common)
            }
            "nvl2" => {
                let [tested, present, absent] = call.exactly()?;
                let condition = Typed::new(Expr::IsNotNull(Box::new(tested.expr)), Boolean, "");
                self.case_of(vec![condition], vec![present], Some(absent), text, "nvl2")
                    .map(Some)
            }
            "if" => {
                let [condition, then, otherwise] = call.exactly()?;
                if !matches!(condition.data_type, Boolean | DataType::Null) {
                    return Err(unexpected(&text, "first", "BOOLEAN", &condition));
                }
                let name = format!("(IF({}, {}, {}))", condition.name, then.name, otherwise.name);
                self.case_of(vec![condition], vec![then], Some(otherwise), name, "if")
                    .map(Some)
            }
            "nullif" => {
                let [value, other] = call.exactly()?;
                let equal = self.comparison(BinaryOp::Eq, value.clone(), other)?;
                let null = Typed::new(lit(ScalarValue::Null), DataType::Null, "");
                self.case_of(vec![equal], vec![null], Some(value), text, "nullif")
                    .map(Some)
            }
            "isnull" | "isnotnull" => {
                let [value] = call.exactly()?;
                let (expr, words) = match name {
                    "isnull" => (Expr::IsNull(Box::new(value.expr)), "IS NULL"),
                    _ => (Expr::IsNotNull(Box::new(value.expr)), "IS NOT NULL"),
                };
                Ok(Some(Typed::new(expr, Boolean, format!("({} {words})", value.name))))
            }
            "isnan" => typed(math::is_nan().call(call.take(&[Double])?), Boolean),
            "nanvl" => typed(math::nanvl().call(call.take(&[Double, Double])?), Float64),
            "greatest" | "least" => {
                if args.len() < 2 {
                    return Err(wrong_count(name, "> 1", args.len()));
                }
                let common = self.common_all(args, &text, name)?;
                let values = args.iter().map(|a| one_zero(self.cast(a, &common), &common)).collect();
                typed(
                    collection::extreme(name == "greatest", common.clone()).call(values),
                    common,
                )
            }
            _ => Ok(None),
        }
    }

    /// coalesce: later values are evaluated only where earlier ones are NULL, if they can fail.
    fn first_present(&self, args: &[Typed], common: &DataType) -> Expr {
        // A NULL that is written adds nothing; what is left may be a plain value, of which Spark knows more.
        let known = args.iter().filter(|a| a.data_type != DataType::Null);
        let mut values: Vec<Expr> = known.map(|a| self.cast(a, common)).collect();
        let Some(last) = values.pop() else {
            return lit(ScalarValue::Null);
        };
        if values.is_empty() {
            return last;
        }
        let branches = values
            .into_iter()
            .map(|value| (Box::new(Expr::IsNotNull(Box::new(value.clone()))), Box::new(value)))
            .collect();
        Expr::Case(datafusion::logical_expr::Case {
            expr: None,
            when_then_expr: branches,
            else_expr: Some(Box::new(last)),
        })
    }
}
