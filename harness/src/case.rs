//! Cases of the vectors: what was asked, what real Spark emitted, and whether a run agrees.
//!
//! The format is described beside the vectors (`README.md`): values of rows are JSON, one way only, so that other
//! programs can compare too.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::DateTime;
use serde_json::{Map, Value};
use skirl_engine::sql::{WatermarkSpec, timestamp_type};

use crate::job::{BatchClock, DropDuplicates, Feed, Job, OutputMode, Sink, Trigger, View};
use crate::rows::{base64_decoded, iso, rows_json, same_value, sorted};
use crate::run::{OutputBatch, Run};
use crate::trace::{MicroBatch, Trace};

/// What a case says that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CaseError(String);

type Result<T, E = CaseError> = std::result::Result<T, E>;

/// A case: a query, how it is driven, and the rows of its streams.
#[derive(Debug, Clone)]
pub struct Case {
    /// The case's name.
    pub name: String,
    /// What is run.
    pub job: Job,
    /// The rows, micro-batch by micro-batch.
    pub trace: Trace,
}

/// What a case must come to.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Whether it ends in an error.
    pub fails: bool,
    /// The outer condition of the error, where Spark has a lasting name for it.
    pub condition: Option<String>,
    /// The batches, also those before an error.
    pub batches: Vec<ExpectedBatch>,
}

/// One batch of an expected result.
#[derive(Debug, Clone)]
pub struct ExpectedBatch {
    /// Consecutive from 0.
    pub batch_id: u64,
    /// Watermark in force, six decimals and Z.
    pub watermark: Option<String>,
    /// In the form of [`rows_json`]; `None` where Spark failed in the batch.
    pub rows: Option<Vec<Value>>,
    /// Per operator with state, topmost first.
    pub state_rows: Vec<u64>,
}

/// Reads a case file.
///
/// # Errors
/// What is missing, of another type, or of a type that cases do not have.
pub fn read_case(path: &Path) -> Result<Case> {
    parse_case(&read_json(path)?).map_err(|e| CaseError(format!("{}: {e}", path.display())))
}

/// Reads the expected result of a case.
///
/// # Errors
/// What is missing or of another type.
pub fn read_expected(path: &Path) -> Result<Expected> {
    parse_expected(&read_json(path)?).map_err(|e| CaseError(format!("{}: {e}", path.display())))
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).map_err(|e| CaseError(format!("cannot read {}: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| CaseError(format!("{}: {e}", path.display())))
}

/// A case from its JSON.
///
/// # Errors
/// What is missing, of another type, or of a type that cases do not have.
pub fn parse_case(case: &Value) -> Result<Case> {
    let empty = Map::new();
    let objects = |key: &str| case.get(key).and_then(Value::as_object).unwrap_or(&empty);
    let mut streams = vec![];
    let mut batches = vec![];
    for (name, stream) in objects("streams") {
        let schema = schema_of(stream).map_err(|e| CaseError(format!("stream `{name}`: {e}")))?;
        let of_stream = list(stream, "batches")?.iter().map(|rows| rows_of(&schema, rows));
        batches.push(
            of_stream
                .collect::<Result<Vec<_>>>()
                .map_err(|e| CaseError(format!("stream `{name}`: {e}")))?,
        );
        streams.push((name.clone(), schema));
    }
    let mut tables = vec![];
    for (name, table) in objects("tables") {
        let rows = schema_of(table).and_then(|schema| rows_of(&schema, table.get("rows").unwrap_or(&Value::Null)));
        tables.push((
            name.clone(),
            rows.map_err(|e| CaseError(format!("table `{name}`: {e}")))?,
        ));
    }
    let views = case
        .get("views")
        .and_then(Value::as_array)
        .map_or(Ok(vec![]), |v| v.iter().map(view).collect())?;
    let conf = objects("conf")
        .iter()
        .map(|(key, value)| (key.clone(), plain(value)))
        .collect::<BTreeMap<_, _>>();
    let longest = batches.iter().map(Vec::len).max().unwrap_or(0);
    let micro_batch = |n: usize| MicroBatch {
        rows: batches.iter().map(|of_stream| of_stream.get(n).cloned()).collect(),
    };
    let job = Job {
        streams,
        tables,
        views,
        sql: text(case, "sql")?.to_string(),
        output_mode: output_mode(text(case, "output_mode")?)?,
        conf,
        feed: match case.get("feed").and_then(Value::as_str) {
            None | Some("backlog") => Feed::Backlog,
            Some("drip") => Feed::Drip,
            Some(other) => {
                return Err(CaseError(format!(
                    "feed `{other}` is not known; write `backlog` or `drip`"
                )));
            }
        },
        clock: case_clock(),
        trigger: Trigger::AvailableNow,
        sink: Sink::default(),
    };
    Ok(Case {
        name: text(case, "name")?.to_string(),
        job,
        trace: Trace {
            micro_batches: (0..longest).map(micro_batch).collect(),
        },
    })
}

/// The clock of all cases: 2026-06-01T12:00:00Z, after Spark's release and so after all data; a second from batch to batch.
fn case_clock() -> BatchClock {
    BatchClock {
        start_ms: 1_780_315_200_000,
        step_ms: 1000,
    }
}

fn view(view: &Value) -> Result<View> {
    let watermark = match view.get("watermark").filter(|w| !w.is_null()) {
        Some(w) => Some(WatermarkSpec {
            column: text(w, "column")?.into(),
            delay: text(w, "delay")?.into(),
        }),
        None => None,
    };
    let drop_duplicates = view
        .get("dropDuplicates")
        .and_then(Value::as_array)
        .map(|columns| DropDuplicates {
            columns: columns.iter().map(plain).collect(),
            within_watermark: view.get("withinWatermark").and_then(Value::as_bool).unwrap_or(false),
        });
    Ok(View {
        name: text(view, "name")?.into(),
        sql: text(view, "sql")?.into(),
        watermark,
        drop_duplicates,
    })
}

fn output_mode(name: &str) -> Result<OutputMode> {
    let modes = [OutputMode::Append, OutputMode::Update, OutputMode::Complete];
    let known = modes.into_iter().find(|mode| mode.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| {
        CaseError(format!(
            "output mode `{name}` is not known; write `append`, `update` or `complete`"
        ))
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .ok_or_else(|| CaseError(format!("`{key}` is missing or no string")))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .ok_or_else(|| CaseError(format!("`{key}` is missing or no list")))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn schema_of(relation: &Value) -> Result<SchemaRef> {
    let mut fields = vec![];
    for column in list(relation, "schema")? {
        let [Value::String(name), Value::String(data_type)] = column.as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(CaseError(format!("a column is [name, type], not {column}")));
        };
        fields.push(Field::new(name, data_type_of(data_type)?, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn data_type_of(name: &str) -> Result<DataType> {
    let name = name.trim().to_lowercase();
    let inside = |prefix: &str, end: char| name.strip_prefix(prefix)?.strip_suffix(end);
    if let Some(item) = inside("array<", '>') {
        return Ok(DataType::List(Arc::new(Field::new("item", data_type_of(item)?, true))));
    }
    if let Some((precision, scale)) = inside("decimal(", ')').and_then(|args| args.split_once(','))
        && let (Ok(precision), Ok(scale)) = (precision.trim().parse(), scale.trim().parse())
    {
        return Ok(DataType::Decimal128(precision, scale));
    }
    Ok(match name.as_str() {
        "string" => DataType::Utf8,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "timestamp" => timestamp_type(),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "date" => DataType::Date32,
        "binary" => DataType::Binary,
        _ => return Err(CaseError(format!("type `{name}` is not one of cases"))),
    })
}

fn rows_of(schema: &SchemaRef, rows: &Value) -> Result<RecordBatch> {
    let rows = rows
        .as_array()
        .ok_or_else(|| CaseError("rows are a list of lists".into()))?;
    let mut columns = vec![];
    for (at, field) in schema.fields().iter().enumerate() {
        let values: Vec<&Value> = rows.iter().map(|row| row.get(at).unwrap_or(&Value::Null)).collect();
        let column = column_of(&values, field.data_type());
        columns.push(column.map_err(|e| CaseError(format!("column `{}`: {e}", field.name())))?);
    }
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| CaseError(e.to_string()))
}

fn column_of(values: &[&Value], data_type: &DataType) -> Result<ArrayRef> {
    let bad = |value: &Value| CaseError(format!("{value} is no {data_type}"));
    match data_type {
        DataType::List(item) => {
            let mut offsets = vec![0];
            let (mut inside, mut valid) = (vec![], vec![]);
            for value in values {
                inside.extend(value.as_array().into_iter().flatten());
                valid.push(value.is_array());
                offsets.push(inside.len() as i32);
            }
            let offsets = arrow::buffer::OffsetBuffer::new(offsets.into());
            let inside = column_of(&inside, item.data_type())?;
            Ok(Arc::new(arrow::array::ListArray::new(
                item.clone(),
                offsets,
                inside,
                Some(valid.into()),
            )))
        }
        DataType::Binary => {
            let bytes = |value: &&Value| match value {
                Value::String(text) => base64_decoded(text).map(Some).ok_or_else(|| bad(value)),
                _ => Ok(None),
            };
            let bytes = values.iter().map(bytes).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(arrow::array::BinaryArray::from_iter(bytes)))
        }
        DataType::Timestamp(..) => {
            let micros = |value: &&Value| match value {
                Value::Null => Ok(None),
                other => other.as_str().and_then(micros_of).map(Some).ok_or_else(|| bad(other)),
            };
            let micros = values.iter().map(micros).collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(
                arrow::array::TimestampMicrosecondArray::from(micros).with_data_type(data_type.clone()),
            ))
        }
        DataType::Boolean => Ok(Arc::new(arrow::array::BooleanArray::from(
            values.iter().map(|v| v.as_bool()).collect::<Vec<_>>(),
        ))),
        // Arrow reads numbers, dates and decimals from their text.
        _ => {
            let texts: StringArray = values.iter().map(|v| (!v.is_null()).then(|| plain(v))).collect();
            if texts.null_count() == texts.len() {
                return Ok(new_null_array(data_type, values.len()));
            }
            let strict = CastOptions {
                safe: false,
                ..CastOptions::default()
            };
            cast_with_options(&texts, data_type, &strict).map_err(|e| CaseError(e.to_string()))
        }
    }
}

/// Microseconds of an ISO-8601 time; without a zone it is UTC.
fn micros_of(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    let zoned = |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros());
    zoned(&text)
        .or_else(|| zoned(&format!("{text}Z")))
        .or_else(|| zoned(&format!("{text}T00:00:00Z")))
}

/// An expected result from its JSON.
///
/// # Errors
/// What is missing or of another type.
pub fn parse_expected(result: &Value) -> Result<Expected> {
    let error = result.get("error").filter(|error| !error.is_null());
    let condition = error.and_then(|error| error.get("condition")).and_then(Value::as_str);
    let batch = |batch: &Value| -> Result<ExpectedBatch> {
        let numbers = |key: &str| -> Vec<u64> {
            batch
                .get(key)
                .and_then(Value::as_array)
                .map_or(vec![], |all| all.iter().filter_map(Value::as_u64).collect())
        };
        Ok(ExpectedBatch {
            batch_id: batch
                .get("batch_id")
                .and_then(Value::as_u64)
                .ok_or_else(|| CaseError("`batch_id` is missing".into()))?,
            watermark: batch.get("watermark").and_then(Value::as_str).map(str::to_string),
            rows: batch.get("rows").and_then(Value::as_array).cloned(),
            state_rows: numbers("state_rows"),
        })
    };
    Ok(Expected {
        fails: error.is_some(),
        condition: condition.filter(|c| !c.starts_with("_LEGACY_")).map(str::to_string),
        batches: list(result, "batches")?.iter().map(batch).collect::<Result<_>>()?,
    })
}

/// How a run differs from an expected result; empty if it agrees in all that must.
///
/// Rows are compared as multisets and doubles within 1e-12, relative; state rows only where both count them.
pub fn differences(expected: &Expected, run: &Run) -> Vec<String> {
    let mut found = vec![];
    let condition = run.error.as_ref().and_then(|error| error.condition.clone());
    if expected.fails != run.error.is_some() {
        let how = run.error.as_ref().map_or("it ends well".to_string(), |error| {
            format!("it fails: {}", error.message)
        });
        found.push(format!(
            "it should {} and {how}",
            if expected.fails { "fail" } else { "end well" }
        ));
    } else if expected.condition.is_some() && expected.condition != condition {
        found.push(format!(
            "the condition should be {:?} and is {condition:?}",
            expected.condition
        ));
    }
    let wanted: Vec<u64> = expected
        .batches
        .iter()
        .filter(|b| b.rows.is_some())
        .map(|b| b.batch_id)
        .collect();
    let actual: Vec<u64> = run.batches.iter().map(|b| b.batch_id).collect();
    if wanted != actual {
        found.push(format!("the batches should be {wanted:?} and are {actual:?}"));
    }
    for batch in &run.batches {
        let wanted = expected.batches.iter().find(|wanted| wanted.batch_id == batch.batch_id);
        if let Some(wanted) = wanted.filter(|wanted| wanted.rows.is_some()) {
            found.extend(batch_differences(wanted, batch));
        }
    }
    found
}

fn batch_differences(expected: &ExpectedBatch, actual: &OutputBatch) -> Vec<String> {
    let mut found = vec![];
    let id = actual.batch_id;
    let watermark = actual.watermark.map(|ms| iso(ms.saturating_mul(1000)));
    if expected.watermark != watermark {
        found.push(format!(
            "batch {id}: the watermark should be {:?} and is {watermark:?}",
            expected.watermark
        ));
    }
    let wanted = expected.rows.as_deref().unwrap_or_default();
    let rows = rows_json(&actual.rows);
    let agree = wanted.len() == rows.len() && sorted(wanted.to_vec()).iter().zip(&rows).all(|(a, b)| same_value(a, b));
    if !agree {
        let missing = without(wanted, &rows);
        let extra = without(&rows, wanted);
        let (missing, extra) = (Value::from(missing), Value::from(extra));
        found.push(format!("batch {id}: missing rows {missing}, extra rows {extra}"));
    }
    if !expected.state_rows.is_empty() && expected.state_rows != actual.state_rows {
        found.push(format!(
            "batch {id}: state rows should be {:?} and are {:?}",
            expected.state_rows, actual.state_rows
        ));
    }
    found
}

fn without(rows: &[Value], others: &[Value]) -> Vec<Value> {
    let mut others = others.to_vec();
    let mut left = vec![];
    for row in rows {
        match others.iter().position(|other| same_value(row, other)) {
            Some(at) => drop(others.swap_remove(at)),
            None => left.push(row.clone()),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_a_zone_is_in_utc() {
        assert_eq!(
            micros_of("2024-12-03T10:00:00.001Z"),
            micros_of("2024-12-03 10:00:00.001")
        );
    }
}
