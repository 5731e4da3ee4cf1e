//! What real Spark read of small directories, asked of our reader: `tests/fixtures/spark_files.py` says how.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use super::*;
use crate::format::FileFormat;
use crate::format::vectors::{fixture, options, value};
use crate::sink::ForeachBatchSink;
use crate::sql::{parse_schema_ddl, spark_type_name};
use crate::{OutputMode, Session, Trigger};

/// 2026-11-27, the day the questions were asked.
const TODAY: i32 = 20_784;

/// Where Spark reads something that nobody can have meant, and we say so instead.
const REFUSED: &[&str] = &[
    // Bytes of UTF-16 or UTF-32 cut in the middle of a character.
    "encoding_csv_UTF-16",
    "encoding_csv_UTF-16_lineSep",
    "encoding_csv_UTF-16BE",
    "encoding_csv_UTF-16LE",
    "encoding_csv_UTF-32",
    "encoding_csv_UTF-32_lineSep",
    // Two scans of one stream that find other rows malformed.
    "pruned_SELECT a FROM v UNION ALL SELECT b FROM v",
];

#[test]
fn directories_are_read_as_spark_reads_them() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in lines().iter().filter(|line| line.get("case").is_some()) {
        asked += 1;
        let name = case["case"].as_str().unwrap();
        let got = ask(case);
        let agrees = match (&got, case["answer"].get("error")) {
            (Err(error), _) if REFUSED.contains(&name) => {
                matches!(root(error), Error::Unsupported(_) | Error::Invalid(_))
            }
            (Err(error), Some(named)) => agrees_on_error(error, named),
            (Ok(answer), None) => *answer == sorted(&case["answer"]),
            _ => false,
        };
        if !agrees {
            wrong.push(format!("{case}\n    but got {got:?}"));
        }
    }
    assert!(asked > 200, "the vectors are there");
    assert!(
        wrong.is_empty(),
        "{} of {asked} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

fn lines() -> Vec<Value> {
    let text = fixture("spark_files.jsonl");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The error without what it happened in.
fn root(error: &Error) -> &Error {
    match error {
        Error::StreamFailed { source, .. } => source,
        other => other,
    }
}

/// Whether an error is one Spark names, if it names any but that a query failed and a file could not be read. It may come
/// before the first batch where Spark's comes in it.
fn agrees_on_error(error: &Error, named: &Value) -> bool {
    let named: Vec<&str> = named.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let ends_running = matches!(error, Error::StreamFailed { .. });
    if ends_running && named.first() != Some(&"STREAM_FAILED") {
        return false;
    }
    let outer = ["STREAM_FAILED", "FAILED_READ_FILE.NO_HINT"];
    let condition = root(error)
        .condition()
        .filter(|condition| !condition.starts_with("_LEGACY"));
    match condition {
        Some(condition) => named.contains(&condition),
        None => named.iter().all(|name| outer.contains(name)),
    }
}

/// Columns and batches, each batch in an order of its own.
fn sorted(answer: &Value) -> Value {
    let batches = answer["batches"].as_array().unwrap().iter().map(|batch| {
        let mut rows = batch.as_array().unwrap().clone();
        rows.sort_by_key(Value::to_string);
        Value::Array(rows)
    });
    json!({ "columns": answer["columns"], "batches": batches.collect::<Vec<_>>() })
}

/// Asks our reader what Spark was asked.
fn ask(case: &Value) -> Result<Value> {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in case["files"].as_object().unwrap() {
        put(dir.path(), name, &bytes_of(content));
    }
    let path = dir.path().join(case["path"].as_str().unwrap_or_default());
    let path = path.to_str().unwrap().trim_end_matches('/').to_owned();
    let format = case["format"].as_str().unwrap().to_owned();
    let conf = case.get("conf").map(options).unwrap_or_default();
    let given = case.get("options").map(options).unwrap_or_default();
    let given = options_in_session(&given, &conf);
    let schema = match case["schema"].as_str() {
        Some(ddl) => Arc::new(parse_schema_ddl(ddl)?),
        None => crate::format::text::text_schema(),
    };
    let make = move || FileSource::new(&path, &format, &schema, &given, FileOrder::ModificationTime, TODAY);
    let mut session = Session::new(conf);
    session.read_stream("v", make()?.schema(), move || Ok(Box::new(make()?)))?;
    let batches = Arc::new(Mutex::new(Vec::new()));
    let given_rows = Arc::clone(&batches);
    let keep = ForeachBatchSink::new(move |_, rows: &RecordBatch| {
        given_rows.lock().unwrap().push(rows_of(rows));
        Ok(())
    });
    let sql = case["sql"].as_str().unwrap_or("SELECT * FROM v");
    let mode = match case["mode"].as_str() {
        Some("complete") => OutputMode::Complete,
        _ => OutputMode::Append,
    };
    let mut query = session.write_stream(sql)?.output_mode(mode).start(Box::new(keep))?;
    let columns: Vec<String> = query
        .schema()
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), spark_type_name(field.data_type())))
        .collect();
    query.run(Trigger::AvailableNow, |_| ())?;
    let batches = batches.lock().unwrap().clone();
    Ok(sorted(&json!({ "columns": columns, "batches": batches })))
}

fn put(dir: &Path, name: &str, content: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Base64 as our JSON reader takes it.
fn bytes_of(content: &Value) -> Vec<u8> {
    use arrow::array::AsArray;
    let text = format!("{{\"b\":{content}}}\n");
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("b", DataType::Binary, true)]));
    let rows = crate::format::json::read_json_lines(text.as_bytes(), &schema, &Default::default()).unwrap();
    rows.column(0).as_binary::<i32>().value(0).to_vec()
}

fn rows_of(rows: &RecordBatch) -> Value {
    let row = |row| Value::Array(rows.columns().iter().map(|column| value(column, row)).collect());
    (0..rows.num_rows()).map(row).collect()
}

/// Types a column of Parquet is asked for that Spark reads by mistake: unsigned numbers as signed ones.
const MISREAD: &[(&str, &str)] = &[("uint32", "DOUBLE")];

#[test]
fn parquet_columns_are_read_into_the_types_spark_reads_them_into() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for case in lines().iter().filter(|line| line.get("parquet").is_some()) {
        let name = case["parquet"].as_str().unwrap();
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "c.parquet", &bytes_of(&case["file"]));
        let path = dir.path().join("c.parquet");
        for (ddl, answer) in case["answers"].as_object().unwrap() {
            asked += 1;
            let got = read_column(&path, ddl);
            let agrees = match (&got, answer.get("error")) {
                (Err(error), Some(named)) => agrees_on_type(error, named),
                (Err(_), None) => MISREAD.contains(&(name, ddl)),
                (Ok(got), None) => got == answer,
                _ => false,
            };
            if !agrees {
                wrong.push(format!("{name} as `{ddl}`: {answer}\n    but got {got:?}"));
            }
        }
    }
    assert!(asked > 800, "the vectors are there");
    assert!(
        wrong.is_empty(),
        "{} of {asked} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A reader of Spark's that breaks names no condition.
fn agrees_on_type(error: &Error, named: &Value) -> bool {
    let named = named.as_array().unwrap();
    match named.as_slice() {
        [] => true,
        named => named.iter().any(|name| name.as_str() == error.condition()),
    }
}

fn read_column(path: &Path, ddl: &str) -> Result<Value> {
    let format = FileFormat::new("parquet", &BTreeMap::new(), TODAY)?;
    let paths = [path.to_owned()];
    let schema = match ddl {
        "" => format.infer_schema(&paths)?,
        ddl => Arc::new(parse_schema_ddl(&format!("c {ddl}"))?),
    };
    let rows = concat_batches(&schema, &format.read(&paths, &schema, &Columns::All)?)?;
    let values: Vec<Value> = (0..rows.num_rows()).map(|row| value(rows.column(0), row)).collect();
    Ok(json!({ "type": spark_type_name(schema.field(0).data_type()), "rows": values }))
}
