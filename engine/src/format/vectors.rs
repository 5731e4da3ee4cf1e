//! What real Spark made of JSON text and dirty CSV files, asked of our readers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Float32Type, Float64Type, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use super::csv::{CsvOptions, read_csv};
use super::json::{JsonOptions, from_json, read_json_lines};
use crate::Error;
use crate::sql::timestamp_type;

#[test]
fn from_json_gives_what_spark_gives() {
    let cases: Vec<Value> = serde_json::from_str(&fixture("from_json.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = &case["answer"];
        // Python could not show these years; Spark could.
        if answer["error"] == "ValueError" {
            continue;
        }
        let got = ask_from_json(case);
        let agrees = match (&got, answer.get("error")) {
            (Err(error), Some(wanted)) => error.condition() == wanted.as_str(),
            (Ok(value), None) => *value == answer["out"],
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{case}\n    but got {got:?}"));
        }
    }
    assert!(cases.len() > 150, "the vectors are there");
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Questions of our own, asked of Spark 4.3.0: corners the vectors leave out.
#[test]
fn readers_agree_with_spark_in_corners() {
    let cases: Vec<Value> = serde_json::from_str(&fixture("spark_readers.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let answer = &case["answer"];
        let got = if case["kind"] == "from_json" {
            ask_from_json(case)
        } else {
            ask_file(case)
        };
        let agrees = match (&got, answer.get("error")) {
            (Err(error), Some(wanted)) => error.condition() == wanted.as_str(),
            (Ok(value), None) => *value == answer["out"],
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{case}\n    but got {got:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// The rows of a file, in the order of its lines.
fn ask_file(case: &Value) -> Result<Value, Error> {
    let schema: SchemaRef = Arc::new(Schema::new(fields(case["schema"].as_str().unwrap())));
    let (given, bytes) = (options(&case["options"]), case["input"].as_str().unwrap().as_bytes());
    // 2026-11-22, the day the questions were asked.
    let rows = match case["kind"].as_str() {
        Some("csv") => read_csv(bytes, &schema, &CsvOptions::new(&given, 20_779)?)?,
        _ => read_json_lines(bytes, &schema, &JsonOptions::new(&given, 20_779)?)?,
    };
    let row = |index| {
        rows.columns()
            .iter()
            .map(|column| value(column, index))
            .collect::<Value>()
    };
    Ok((0..rows.num_rows()).map(row).collect())
}

fn ask_from_json(case: &Value) -> Result<Value, Error> {
    let schema = case["schema"].as_str().unwrap();
    let data_type = match parse_type(schema) {
        Some((data_type, "")) => data_type,
        _ => DataType::Struct(fields(schema)),
    };
    let options = JsonOptions::new(&options(&case["options"]), 0)?;
    let texts = StringArray::from(vec![case["input"].as_str()]);
    let column = from_json(&texts, &data_type, &options)?;
    Ok(value(&column, 0))
}

#[test]
fn dirty_csv_files_give_what_spark_gives() {
    let expected: Value = serde_json::from_str(&fixture("csv/expected.json")).unwrap();
    let per_batch = expected["max_files_per_trigger"].as_u64().unwrap() as usize;
    let names: Vec<String> = (0..11).map(|index| format!("csv/files/{index:02}.csv")).collect();
    for variant in expected["variants"].as_array().unwrap() {
        let name = &variant["name"];
        if name == "count" {
            continue; // a query, not a reader
        }
        let mut failed = None;
        for (batch_id, files) in names.chunks(per_batch).enumerate() {
            match read_variant(variant, files) {
                Ok(rows) => assert_eq!(rows, batch_rows(variant, batch_id), "{name}, batch {batch_id}"),
                Err(error) => {
                    failed = Some((batch_id, error));
                    break;
                }
            }
        }
        let batches = variant["batches"].as_array().map_or(0, Vec::len);
        match (failed, &variant["error"]) {
            (None, Value::Null) => {}
            (Some((batch_id, error)), Value::Object(wanted)) => {
                assert_eq!(batch_id, batches, "{name}: {error}");
                let wanted = wanted["cause"]["condition"]
                    .as_str()
                    .filter(|name| !name.starts_with("_LEGACY"));
                assert_eq!(error.condition(), wanted, "{name}: {error}");
            }
            (failed, wanted) => panic!("{name}: {failed:?}, but Spark: {wanted}"),
        }
    }
}

fn read_variant(variant: &Value, files: &[String]) -> Result<Vec<String>, Error> {
    let schema: SchemaRef = Arc::new(Schema::new(fields(variant["schema"].as_str().unwrap())));
    let options = CsvOptions::new(&options(&variant["options"]), 0)?;
    let batches = files
        .iter()
        .map(|file| read_csv(fixture(file).as_bytes(), &schema, &options));
    let rows = concat_batches(&schema, &batches.collect::<Result<Vec<_>, _>>()?)?;
    let columns: Vec<usize> = match variant["select"].as_str().unwrap() {
        "*" => (0..rows.num_columns()).collect(),
        column => vec![rows.schema().index_of(column)?],
    };
    let mut lines = json_rows(&rows.project(&columns)?);
    lines.sort();
    Ok(lines)
}

fn batch_rows(variant: &Value, batch_id: usize) -> Vec<String> {
    variant["batches"][batch_id]["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect()
}

fn json_rows(rows: &RecordBatch) -> Vec<String> {
    let row = |row| Value::Array(rows.columns().iter().map(|column| value(column, row)).collect());
    (0..rows.num_rows()).map(|index| row(index).to_string()).collect()
}

pub(crate) fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name);
    String::from_utf8(std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).unwrap()
}

pub(crate) fn options(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().unwrap().iter();
    pairs
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// A value as the vectors write it.
pub(crate) fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    let shown = || {
        let mut text = String::new();
        crate::sink::show::write_value(array.as_ref(), row, &mut text);
        text
    };
    let double = |value: f64| match value.is_finite() {
        true => json!(value),
        false => json!(super::number::double_to_string(value)),
    };
    match array.data_type() {
        DataType::Struct(_) => array
            .as_struct()
            .columns()
            .iter()
            .map(|column| value(column, row))
            .collect(),
        DataType::List(_) => {
            let values = array.as_list::<i32>().value(row);
            (0..values.len()).map(|index| value(&values, index)).collect()
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let pair = |index| json!([value(entries.column(0), index), value(entries.column(1), index)]);
            let mut pairs: Vec<Value> = (0..entries.len()).map(pair).collect();
            pairs.sort_by_key(Value::to_string);
            Value::Array(pairs)
        }
        DataType::Float64 => double(array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => double(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let text = shown().replace(' ', "T");
            let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
            json!(format!("{seconds}.{fraction:0<6}Z"))
        }
        DataType::Utf8 | DataType::Decimal128(..) | DataType::Date32 => json!(shown()),
        DataType::Binary => {
            let text = super::json::to_json(array, &JsonOptions::default()).unwrap();
            serde_json::from_str(text.value(row)).unwrap()
        }
        _ => serde_json::from_str(&shown()).unwrap(),
    }
}

/// `a INT, b STRUCT<x: INT>`.
fn fields(text: &str) -> Fields {
    let mut fields = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([' ', ':']).unwrap();
        let name = &rest[..end];
        let (data_type, after) = parse_type(rest[end + 1..].trim_start()).unwrap();
        fields.push(Field::new(name, data_type, true));
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    fields.into()
}

/// A type and what stands behind it.
fn parse_type(text: &str) -> Option<(DataType, &str)> {
    let end = text.find(['<', ',', '(', '>']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let inner = || {
        let mut depth = 0;
        let close = rest.char_indices().find(|(_, c)| {
            depth += match c {
                '<' | '(' => 1,
                '>' | ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        let close = close.unwrap().0;
        (&rest[1..close], &rest[close + 1..])
    };
    let simple = |data_type| Some((data_type, rest));
    match name.trim().to_ascii_uppercase().as_str() {
        "STRING" => simple(DataType::Utf8),
        "INT" => simple(DataType::Int32),
        "BIGINT" => simple(DataType::Int64),
        "SMALLINT" => simple(DataType::Int16),
        "TINYINT" => simple(DataType::Int8),
        "DOUBLE" => simple(DataType::Float64),
        "FLOAT" => simple(DataType::Float32),
        "BINARY" => simple(DataType::Binary),
        "BOOLEAN" => simple(DataType::Boolean),
        "DATE" => simple(DataType::Date32),
        "TIMESTAMP" => simple(timestamp_type()),
        "TIMESTAMP_NTZ" => simple(DataType::Timestamp(TimeUnit::Microsecond, None)),
        "DECIMAL" => {
            let (sizes, after) = inner();
            let (precision, scale) = sizes.split_once(',').unwrap();
            Some((
                DataType::Decimal128(precision.trim().parse().unwrap(), scale.trim().parse().unwrap()),
                after,
            ))
        }
        "ARRAY" => {
            let (element, after) = inner();
            Some((
                DataType::List(Arc::new(Field::new("element", parse_type(element)?.0, true))),
                after,
            ))
        }
        "STRUCT" => {
            let (members, after) = inner();
            Some((DataType::Struct(fields(members)), after))
        }
        "MAP" => {
            let (pair, after) = inner();
            let (key, rest) = parse_type(pair)?;
            let value = parse_type(rest.trim_start_matches(',').trim_start())?.0;
            let pair = vec![Field::new("key", key, false), Field::new("value", value, true)];
            let entries = Field::new("entries", DataType::Struct(pair.into()), false);
            Some((DataType::Map(Arc::new(entries), false), after))
        }
        _ => None,
    }
}
