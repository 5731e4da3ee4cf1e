//! Vector cases (a colleague writes it; this is the least that lets the harness compile).

use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::*;
use serde_json::Value;

use crate::job::Job;
use crate::trace::Trace;

/// Reads a case.
pub fn read(path: &Path) -> Result<(Job, Trace), String> {
    Err(format!("{}: cases cannot be read yet", path.display()))
}

/// Rows as values.
pub fn row_values(rows: &RecordBatch) -> Vec<Vec<Value>> {
    (0..rows.num_rows()).map(|n| rows.columns().iter().map(|c| cell(c.as_ref(), n)).collect()).collect()
}

fn cell(array: &dyn Array, n: usize) -> Value {
    if array.is_null(n) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(n).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(n).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(n).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(n).into(),
        DataType::Timestamp(..) => {
            let us = array.as_primitive::<TimestampMicrosecondType>().value(n);
            chrono::DateTime::from_timestamp_micros(us).unwrap().format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into()
        }
        DataType::Struct(_) => Value::Array(array.as_struct().columns().iter().map(|c| cell(c.as_ref(), n)).collect()),
        other => format!("{other}").into(),
    }
}
