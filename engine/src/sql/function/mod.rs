//! Spark's scalar functions as DataFusion sees them: one [`SparkFn`] per call, typed when it is planned.
//!
//! A call carries its result type, its literal parameters and its kernel, so planning needs no registry of objects.
//! To add a function, give it a line in its family under `expr/call` and a kernel in the file of its family.

pub(super) mod arithmetic;
pub(super) mod cast;
pub(super) mod collection;
pub(super) mod datetime;
pub(super) mod duration;
pub(super) mod grouping;
pub(super) mod json;
pub(super) mod math;
pub(super) mod names;
pub(super) mod pattern;
pub(super) mod string;
pub(super) mod timeformat;
pub(super) mod window;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, Datum, PrimitiveArray, new_empty_array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::{Result as DfResult, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::BatchTime;
use crate::Result;

/// How a function computes.
pub(super) enum Kernel {
    /// On arrays of equal length.
    Arrays(fn(&SparkFn, &[ArrayRef]) -> Result<ArrayRef>),
    /// On arrays of equal length, with what the closure holds; the function's name and parameters tell closures apart.
    Owned(OwnedKernel),
    /// On arrays and scalars as they come, for a number of rows.
    Values(fn(&SparkFn, &[ColumnarValue], usize) -> Result<ColumnarValue>),
}

type OwnedKernel = Box<dyn Fn(&SparkFn, &[ArrayRef]) -> Result<ArrayRef> + Send + Sync>;

/// A scalar function of Spark, bound to the types of one call.
pub(super) struct SparkFn {
    /// Spark's name, lower case.
    pub name: &'static str,
    /// The type of the result.
    pub returns: DataType,
    /// Arguments that were literals and change how the kernel works: a unit, a pattern.
    pub params: Vec<ScalarValue>,
    /// Errors where Spark's ANSI mode has them, NULL otherwise.
    pub ansi: bool,
    /// Whether a row can be an error.
    pub fallible: bool,
    /// The clock, for functions of the batch's time.
    pub clock: Option<BatchTime>,
    /// How many random numbers were drawn.
    pub drawn: Arc<AtomicU64>,
    kernel: Kernel,
    signature: Signature,
}

impl SparkFn {
    pub fn new(name: &'static str, returns: DataType, kernel: Kernel) -> Self {
        let any = TypeSignature::OneOf(vec![TypeSignature::VariadicAny, TypeSignature::Nullary]);
        Self {
            name,
            returns,
            params: vec![],
            ansi: true,
            fallible: false,
            clock: None,
            drawn: Arc::default(),
            kernel,
            signature: Signature::new(any, Volatility::Immutable),
        }
    }

    /// A function whose kernel holds values of its own; name and parameters must tell it from every other.
    pub fn owned(
        name: &'static str,
        returns: DataType,
        kernel: impl Fn(&SparkFn, &[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, returns, Kernel::Owned(Box::new(kernel)))
    }

    pub fn params(mut self, params: impl IntoIterator<Item = ScalarValue>) -> Self {
        self.params = params.into_iter().collect();
        self
    }

    /// Rows can be errors in ANSI mode.
    pub fn fallible(mut self, ansi: bool) -> Self {
        (self.ansi, self.fallible) = (ansi, ansi);
        self
    }

    /// Rows can be errors in either mode.
    pub fn always_fallible(mut self) -> Self {
        self.fallible = true;
        self
    }

    /// Depends on the time of the batch.
    pub fn at(mut self, clock: &BatchTime) -> Self {
        self.signature.volatility = Volatility::Stable;
        self.clock = Some(clock.clone());
        self
    }

    /// Answers differently for each row.
    pub fn volatile(mut self) -> Self {
        self.signature.volatility = Volatility::Volatile;
        self
    }

    pub fn call(self, args: Vec<Expr>) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self)), args))
    }

    /// The text of parameter `index`; empty if it is NULL or missing.
    pub fn text(&self, index: usize) -> &str {
        match self.params.get(index) {
            Some(ScalarValue::Utf8(Some(text))) => text,
            _ => "",
        }
    }

    /// The integer of parameter `index`; 0 if it is NULL or missing.
    pub fn int(&self, index: usize) -> i64 {
        match self.params.get(index) {
            Some(ScalarValue::Int64(Some(n))) => *n,
            _ => 0,
        }
    }

    fn run(&self, values: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
        Ok(with_one_nan(self.compute(values, rows)?))
    }

    fn compute(&self, values: &[ColumnarValue], rows: usize) -> Result<ColumnarValue> {
        if rows == 0 {
            // Constants that fail do so for rows that ask for them.
            return Ok(new_empty_array(&self.returns).into());
        }
        let constant = !values.is_empty() && values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)));
        let run = match &self.kernel {
            Kernel::Values(kernel) => return kernel(self, values, rows),
            Kernel::Arrays(kernel) => kernel as &dyn Fn(&SparkFn, &[ArrayRef]) -> Result<ArrayRef>,
            Kernel::Owned(kernel) => kernel.as_ref(),
        };
        let length = if constant { 1 } else { rows };
        let arrays: Vec<_> = values.iter().map(|v| v.to_array(length)).collect::<DfResult<_>>()?;
        let result = run(self, &arrays)?;
        Ok(if constant {
            ScalarValue::try_from_array(&result, 0)?.into()
        } else {
            result.into()
        })
    }
}

/// NaN as the JVM has it: one value, larger than every other. The NaN that a processor makes of `infinity - infinity` has
/// a sign, by which Arrow would order it below everything.
fn with_one_nan(value: ColumnarValue) -> ColumnarValue {
    match value {
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Float64 => {
                with_one_nan_of::<Float64Type>(array, f64::NAN, |v| v.is_nan() && v.is_sign_negative())
            }
            DataType::Float32 => {
                with_one_nan_of::<Float32Type>(array, f32::NAN, |v| v.is_nan() && v.is_sign_negative())
            }
            _ => array,
        }
        .into(),
        ColumnarValue::Scalar(ScalarValue::Float64(Some(v))) if v.is_nan() => ScalarValue::from(f64::NAN).into(),
        ColumnarValue::Scalar(ScalarValue::Float32(Some(v))) if v.is_nan() => ScalarValue::from(f32::NAN).into(),
        scalar => scalar,
    }
}

fn with_one_nan_of<T: ArrowPrimitiveType>(
    array: ArrayRef,
    nan: T::Native,
    has_sign: fn(T::Native) -> bool,
) -> ArrayRef {
    let values = array.as_primitive::<T>();
    if !values.values().iter().any(|v| has_sign(*v)) {
        return array;
    }
    let unsigned: PrimitiveArray<T> = values.unary(|v| if has_sign(v) { nan } else { v });
    Arc::new(unsigned)
}

/// Applies `one` to every value; None makes a NULL.
pub(super) fn unary_opt<S: ArrowPrimitiveType, F: Fn(S::Native) -> Option<T::Native>, T: ArrowPrimitiveType>(
    values: &PrimitiveArray<S>,
    one: F,
) -> PrimitiveArray<T> {
    values.unary_opt(one)
}

/// Applies `one` to each pair of values of two arrays; NULL where either is, or where it gives None.
pub(super) fn binary_opt<L: ArrowPrimitiveType, R: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    arrays: &[ArrayRef],
    one: impl Fn(L::Native, R::Native) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    let (left, right) = (arrays[0].as_primitive::<L>(), arrays[1].as_primitive::<R>());
    left.iter().zip(right).map(|(l, r)| one(l?, r?)).collect()
}

/// One side of an arrow kernel that takes arrays and scalars.
pub(super) fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

/// Wraps what an arrow kernel returned: a scalar if all it was given were scalars.
pub(super) fn columnar(result: ArrayRef, values: &[ColumnarValue]) -> Result<ColumnarValue> {
    let constant = !values.is_empty() && values.iter().all(|v| matches!(v, ColumnarValue::Scalar(_)));
    Ok(if constant {
        ScalarValue::try_from_array(&result, 0)?.into()
    } else {
        result.into()
    })
}

/// Whether evaluating `expr` for a row can be an error, so that Spark's short circuits must be kept.
pub fn is_fallible(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| {
        Ok(matches!(e, Expr::ScalarFunction(f) if f.func.inner().downcast_ref::<SparkFn>().is_some_and(|f| f.fallible)))
    })
    .unwrap_or(true)
}

impl std::fmt::Debug for SparkFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:?}", self.name, self.params)
    }
}

impl PartialEq for SparkFn {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.returns, &self.params, self.ansi) == (other.name, &other.returns, &other.params, other.ansi)
    }
}

impl Eq for SparkFn {}

impl Hash for SparkFn {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.name, &self.returns, &self.params, self.ansi).hash(state);
    }
}

impl ScalarUDFImpl for SparkFn {
    fn name(&self) -> &str {
        self.name
    }

    fn display_name(&self, args: &[Expr]) -> DfResult<String> {
        let args = args.iter().map(Expr::to_string);
        let params = self.params.iter().map(ToString::to_string);
        Ok(format!(
            "{}({})",
            self.name,
            params.chain(args).collect::<Vec<_>>().join(", ")
        ))
    }

    /// The result type is a part of the name: two casts of one column are two columns.
    fn schema_name(&self, args: &[Expr]) -> DfResult<String> {
        let args: Vec<_> = args.iter().map(|a| a.schema_name().to_string()).collect();
        let params: Vec<_> = self.params.iter().map(|p| format!("; {p}")).collect();
        Ok(format!(
            "{}({}{})::{}",
            self.name,
            args.join(", "),
            params.concat(),
            self.returns
        ))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DfResult<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DfResult<ColumnarValue> {
        Ok(self.run(&args.args, args.number_rows)?)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> DfResult<Vec<DataType>> {
        Ok(arg_types.to_vec())
    }
}
