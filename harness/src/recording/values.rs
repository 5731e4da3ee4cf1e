//! Values as rows: what `from_json` makes of them, with a schema that is given or inferred.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use skirl_engine::format::infer::infer_json;
use skirl_engine::format::json::{JsonOptions, parse_json_column};
use skirl_engine::format::time::parse_timestamp;
use skirl_engine::sql::timestamp_type;
use skirl_engine::{Error, Result};

use crate::scenario::append_json_lines;

/// The day a bare time of day means, as everywhere in traces: 1970-01-01.
const NO_DAY: i32 = 0;

/// Reads values into the columns of a schema.
#[derive(Debug)]
pub(crate) struct Values {
    schema: SchemaRef,
    options: JsonOptions,
}

impl Values {
    pub fn of(schema: &SchemaRef) -> Result<Self> {
        Ok(Values {
            schema: Arc::clone(schema),
            options: JsonOptions::new(&BTreeMap::new(), NO_DAY)?,
        })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A row for each value; one that is no JSON object, or none at all, is a row of NULLs.
    pub fn rows(&self, values: &BinaryArray) -> Result<RecordBatch> {
        let texts = values.iter().map(|value| value.map(String::from_utf8_lossy));
        let parsed = parse_json_column(&texts.collect::<StringArray>(), self.schema.fields(), &self.options)?;
        let columns: Result<Vec<ArrayRef>> = match parsed.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => Ok(parsed.columns().to_vec()),
            Some(nulls) => {
                let hidden = BooleanArray::from(nulls.iter().map(|valid| !valid).collect::<Vec<_>>());
                let hide = |column: &ArrayRef| Ok(nullif(column, &hidden)?);
                parsed.columns().iter().map(hide).collect()
            }
        };
        let rows = RecordBatchOptions::new().with_row_count(Some(values.len()));
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            columns?,
            &rows,
        )?)
    }

    /// Appends those rows as JSON lines.
    pub fn append_lines(&self, values: &BinaryArray, out: &mut Vec<u8>) -> Result<()> {
        append_json_lines(&self.rows(values)?, out)
    }
}

/// How many of a column's values may be of another type than the column: those are what a few broken producers send.
const ODD_SHARE: f64 = 0.01;

/// The columns of these values, as Spark infers them; but a few values of an odd type do not make a column a text, and texts
/// that are times in full are TIMESTAMP. `None` if no value is a JSON object.
pub(crate) fn infer(values: &[Vec<u8>]) -> Option<SchemaRef> {
    let whole = schema_of(values)?;
    let texts: BinaryArray = values.iter().map(|value| Some(value.as_slice())).collect();
    let texts = Values::of(&all_text(&whole)).ok()?.rows(&texts).ok()?;
    let single: Vec<SchemaRef> = values
        .iter()
        .filter_map(|value| schema_of(std::slice::from_ref(value)))
        .collect();
    let field = |(index, field): (usize, &Arc<Field>)| {
        let data_type = match field.data_type() {
            DataType::Utf8 => usual_type(field.name(), &single, texts.column(index).as_string()),
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    };
    Some(Arc::new(Schema::new(
        whole.fields().iter().enumerate().map(field).collect::<Vec<_>>(),
    )))
}

fn schema_of(values: &[Vec<u8>]) -> Option<SchemaRef> {
    let given = [("multiLine", "true"), ("mode", "DROPMALFORMED")];
    let given = given
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into_iter()
        .collect();
    let options = JsonOptions::new(&given, NO_DAY).ok()?;
    let files: Vec<Cow<[u8]>> = values.iter().map(|value| Cow::Borrowed(value.as_slice())).collect();
    infer_json(&files, &options)
        .ok()
        .filter(|schema| !schema.fields().is_empty())
}

fn all_text(schema: &SchemaRef) -> SchemaRef {
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}

/// The type all but a few values of a column have; `single` are the values' own columns, `texts` all of them as texts.
fn usual_type(name: &str, single: &[SchemaRef], texts: &StringArray) -> DataType {
    let of = |data_type: &DataType| {
        let has = |schema: &&SchemaRef| {
            schema
                .field_with_name(name)
                .is_ok_and(|field| field.data_type() == data_type)
        };
        single.iter().filter(has).count()
    };
    let there = texts.len() - texts.null_count();
    let enough = |count: usize| there > 0 && count as f64 >= there as f64 * (1.0 - ODD_SHARE);
    if enough(texts.iter().flatten().filter(|text| is_time(text)).count()) {
        return timestamp_type();
    }
    let (whole, real) = (of(&DataType::Int64), of(&DataType::Float64));
    match [whole, whole + real, of(&DataType::Boolean)].map(enough) {
        [true, ..] => DataType::Int64,
        [_, true, _] => DataType::Float64,
        [.., true] => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

/// Whether a text is a time in full, as `2024-12-03T10:00:00Z`.
fn is_time(text: &str) -> bool {
    const FORM: &[u8] = b"0000-00-00 00:00";
    let like = |(byte, form): (u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        other => byte == *other,
    };
    text.len() >= FORM.len() && text.bytes().zip(FORM).all(like) && parse_timestamp(text.as_bytes(), NO_DAY).is_some()
}

/// The error for values that cannot be read as rows, in the words of this crate.
pub(crate) fn unreadable(stream: &str) -> impl FnOnce(Error) -> super::Error {
    let stream = stream.to_string();
    move |source| super::Error::Rows { stream, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{format_schema, parse_schema};

    fn columns_of(values: &[&str]) -> Option<String> {
        let values: Vec<Vec<u8>> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
        infer(&values).map(|schema| format_schema(&schema))
    }

    #[test]
    fn columns_are_inferred_from_what_is_json() {
        let values = [
            r#"{"district":"Porto","n":3,"timestamp":"2024-12-03T10:00:00.5Z","year":"2024"}"#,
            "{\n \"district\": null,\n \"n\": 3000000000 }",
            "(no json",
        ];
        let columns = "`district` string, `n` bigint, `timestamp` timestamp, `year` string";
        assert_eq!(columns_of(&values).as_deref(), Some(columns));
    }

    #[test]
    fn a_text_that_only_looks_like_a_time_stays_a_text() {
        let values = [r#"{"t":"2024-12-03T10:00:00Z"}"#, r#"{"t":"2024-13-43T10:00:00Z"}"#];
        assert_eq!(columns_of(&values).as_deref(), Some("`t` string"));
    }

    #[test]
    fn a_few_odd_values_do_not_make_a_column_a_text() {
        let mut values = vec![r#"{"n":1,"t":"2024-12-03T10:00:00Z","x":1.5,"b":true}"#; 199];
        values.extend([
            r#"{"n":"wrong","t":"soon","x":2,"b":"yes","odd":1}"#,
            r#"{"n":1,"t":"2024-12-0"#,
        ]);
        let columns = "`b` boolean, `n` bigint, `odd` bigint, `t` timestamp, `x` double";
        assert_eq!(columns_of(&values).as_deref(), Some(columns));
    }

    #[test]
    fn values_without_an_object_have_no_columns() {
        for values in [&["1", "x", "[1]", ""][..], &[], &["{}"]] {
            assert_eq!(columns_of(values), None, "{values:?}");
        }
    }

    #[test]
    fn every_value_is_a_line_whatever_it_is() {
        let schema = parse_schema("district STRING, n INT, t TIMESTAMP").unwrap();
        let values: BinaryArray = [
            Some(&br#"{"district":"Faro","n":1,"t":"2024-12-03T10:00:00.000001Z"}"#[..]),
            None,
            Some(b""),
            Some(b"{\"district\":\"a\xff\""),
            Some(b"{\"district\":\"a\xff\",\"n\":\"x\"}"),
            Some(b"{\n\"n\":2}\n"),
        ]
        .into_iter()
        .collect();
        let mut lines = vec![];
        Values::of(&schema).unwrap().append_lines(&values, &mut lines).unwrap();
        insta::assert_snapshot!(String::from_utf8(lines).unwrap(), @r#"
        {"district":"Faro","n":1,"t":"2024-12-03T10:00:00.000001Z"}
        {}
        {}
        {}
        {"district":"a�"}
        {"n":2}
        "#);
    }
}
