//! Functions of numbers.

use super::*;

impl Exprs<'_> {
    /// Functions of numbers. None if there is none of that name.
    pub(super) fn number_call(&self, call: &Args) -> Result<Option<Typed>> {
        let (name, args, text) = (call.name, call.args, call.text.to_string());
        let typed = |expr: Expr, data_type: DataType| Ok(Some(Typed::new(expr, data_type, text.clone())));
        use DataType::Float64;
        use Want::Double;
        match name {
            "abs" => {
                let [value] = call.numbers()?;
                let to = value.data_type.clone();
                typed(arithmetic::abs(to.clone(), self.ansi()).call(vec![value.expr]), to)
            }
            "negative" => {
                let [value] = call.numbers()?;
                let to = value.data_type.clone();
                typed(arithmetic::negate(to.clone(), self.ansi()).call(vec![value.expr]), to)
            }
            "positive" => {
                let [value] = call.numbers()?;
                typed(value.expr, value.data_type)
            }
            "ceil" | "ceiling" | "floor" => self.whole(call, name),
            "round" | "bround" => self.round(call, name),
            "pmod" | "mod" => {
                let [l, r] = call.numbers()?;
                let op = if name == "mod" { Op::Modulo } else { Op::PositiveModulo };
                self.apply(op, l, r, text).map(Some)
            }
            "try_add" | "try_subtract" | "try_multiply" | "try_divide" => self.try_arithmetic(name, call).map(Some),
            "sqrt" | "exp" | "ln" | "log10" | "log2" | "log1p" | "expm1" | "sign" | "signum" | "sin" | "cos"
            | "tan" | "asin" | "acos" | "atan" | "sinh" | "cosh" | "tanh" | "cbrt" | "degrees" | "radians" | "cot"
            | "rint" => typed(math::unary(name).call(call.take(&[Double])?), Float64),
            "pow" | "power" | "atan2" | "hypot" => {
                typed(math::binary(name).call(call.take(&[Double, Double])?), Float64)
            }
            "log" => {
                let values = call.take_some(&[Double, Double], 1)?;
                match values.len() {
                    1 => Ok(Some(Typed::new(
                        math::unary("ln").call(values),
                        Float64,
                        format!("LOG(E(), {})", args[0].name),
                    ))),
                    _ => typed(math::binary("log").call(values), Float64),
                }
            }
            "pi" => call
                .exactly::<0>()
                .map(|_| Some(Typed::new(lit(std::f64::consts::PI), Float64, "PI()"))),
            "e" => call
                .exactly::<0>()
                .map(|_| Some(Typed::new(lit(std::f64::consts::E), Float64, "E()"))),
            "rand" | "random" | "randn" => typed(math::random(call.seed()).call(vec![]), Float64),
            "shiftleft" | "shiftright" => {
                let op = if name == "shiftleft" {
                    BinaryOp::ShiftLeft
                } else {
                    BinaryOp::ShiftRight
                };
                let [value, by] = call.exactly()?;
                self.binary_typed(op, value, by)
                    .map(|t| Some(Typed::new(t.expr, t.data_type, text.clone())))
            }
            _ => Ok(None),
        }
    }

    /// ceil and floor: of doubles a bigint, of decimals a decimal, with a scale a decimal.
    fn whole(&self, call: &Args, name: &str) -> Result<Option<Typed>> {
        let up = name != "floor";
        let digits = call.literal_int(1)?;
        let [value] = self.as_numbers(&call.args[..1.min(call.args.len())], call)?;
        let value = match (digits, &value.data_type) {
            (Some(_), t) if is_floating(t) => {
                let to = DataType::Decimal128(30, 15);
                Typed::new(self.cast(&value, &to), to, &value.name)
            }
            (_, t) if is_integral(t) && *t != DataType::Int64 => {
                Typed::new(self.cast(&value, &DataType::Int64), DataType::Int64, &value.name)
            }
            _ => value,
        };
        let returns = match (&value.data_type, digits) {
            (DataType::Decimal128(p, s), None) => adjusted_decimal(*p as i32 - *s as i32 + 1, 0),
            (DataType::Decimal128(p, s), Some(digits)) => {
                let scale = (digits as i32).clamp(0, *s as i32);
                adjusted_decimal(*p as i32 - *s as i32 + 1 + scale, scale)
            }
            _ => DataType::Int64,
        };
        let text = match digits {
            None if name != "ceiling" => format!("{}({})", name.to_uppercase(), value.name),
            _ => call.text.to_string(),
        };
        let function = math::whole(up, returns.clone(), digits.unwrap_or(0));
        Ok(Some(Typed::new(function.call(vec![value.expr]), returns, text)))
    }

    fn round(&self, call: &Args, name: &str) -> Result<Option<Typed>> {
        let digits = call.literal_int(1)?.unwrap_or(0);
        let [value] = self.as_numbers(&call.args[..1.min(call.args.len())], call)?;
        let returns = match &value.data_type {
            DataType::Decimal128(p, s) => {
                let (p, s) = (*p as i32, *s as i32);
                let integral = p - s + 1;
                let scale = (digits as i32).min(s);
                if digits < 0 {
                    adjusted_decimal(integral.max(1 - digits as i32), 0)
                } else {
                    adjusted_decimal(integral + scale, scale)
                }
            }
            other => other.clone(),
        };
        let text = format!("{name}({}, {digits})", value.name);
        let function = math::round(name == "bround", returns.clone(), digits, self.ansi());
        Ok(Some(Typed::new(function.call(vec![value.expr]), returns, text)))
    }

    fn as_numbers<const N: usize>(&self, args: &[Typed], call: &Args) -> Result<[Typed; N]> {
        Args {
            exprs: self,
            name: call.name,
            args,
            text: call.text,
        }
        .numbers()
    }

    fn try_arithmetic(&self, name: &str, call: &Args) -> Result<Typed> {
        let [l, r] = call.numbers()?;
        let op = match name {
            "try_add" => Op::Add,
            "try_subtract" => Op::Subtract,
            "try_multiply" => Op::Multiply,
            _ => Op::Divide,
        };
        if op != Op::Divide && is_integral(&l.data_type) && is_integral(&r.data_type) {
            let common = common_type(&l.data_type, &r.data_type, true, Meeting::Strict).unwrap_or(DataType::Int64);
            let args = vec![self.cast(&l, &common), self.cast(&r, &common)];
            return Ok(Typed::new(
                arithmetic::try_whole(op, common.clone()).call(args),
                common,
                call.text,
            ));
        }
        let legacy = self.planner.without_ansi();
        let exprs = Exprs::new(&legacy, self.env, self.scope);
        exprs.apply(op, l, r, call.text.to_string())
    }
}
