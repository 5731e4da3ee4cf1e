//! `from_json` and `to_json`, over the reader and writer of [`crate::format::json`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;

use super::SparkFn;
use crate::Result;
use crate::format::json::{self, JsonOptions};
use crate::format::options::ParseMode;

/// `from_json(text, schema[, options])`.
///
/// # Errors
/// For options `from_json` refuses.
pub fn from_json(schema: DataType, given: &BTreeMap<String, String>) -> Result<SparkFn> {
    let options = JsonOptions::new(given, 0)?;
    let fails = options.mode != ParseMode::Permissive;
    let kernel = move |f: &SparkFn, arrays: &[arrow::array::ArrayRef]| {
        json::from_json(arrays[0].as_string(), &f.returns, &options)
    };
    Ok(SparkFn::owned("from_json", schema, kernel)
        .params(told_apart(given))
        .fallible(fails))
}

/// `to_json(value[, options])`.
///
/// # Errors
/// For options Spark refuses.
pub fn to_json(given: &BTreeMap<String, String>) -> Result<SparkFn> {
    let options = JsonOptions::new(given, 0)?;
    let kernel = move |_: &SparkFn, arrays: &[arrow::array::ArrayRef]| -> Result<arrow::array::ArrayRef> {
        Ok(Arc::new(json::to_json(&arrays[0], &options)?))
    };
    Ok(SparkFn::owned("to_json", DataType::Utf8, kernel).params(told_apart(given)))
}

/// Options as parameters: calls with other options are other functions.
fn told_apart(options: &BTreeMap<String, String>) -> Vec<ScalarValue> {
    options
        .iter()
        .map(|(key, value)| ScalarValue::from(format!("{key}={value}")))
        .collect()
}
