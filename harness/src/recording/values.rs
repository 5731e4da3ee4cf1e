//! Values as rows: what `from_json` makes of them, with a schema that is given or inferred.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use skirl_engine::format::infer::infer_json;
use skirl_engine::format::json::{JsonOptions, parse_json_column};
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
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &rows)?)
    }

    /// Appends those rows as JSON lines.
    pub fn append_lines(&self, values: &BinaryArray, out: &mut Vec<u8>) -> Result<()> {
        append_json_lines(&self.rows(values)?, out)
    }
}

/// The columns of these values as Spark infers them, and TIMESTAMP where every text is one in full; `None` if no value is a
/// JSON object.
pub(crate) fn infer(values: &[Vec<u8>]) -> Option<SchemaRef> {
    let given = [("multiLine", "true"), ("mode", "DROPMALFORMED")];
    let given = given.map(|(name, value)| (name.to_string(), value.to_string())).into_iter().collect();
    let options = JsonOptions::new(&given, NO_DAY).ok()?;
    let files: Vec<Cow<[u8]>> = values.iter().map(|value| Cow::Borrowed(value.as_slice())).collect();
    let schema = infer_json(&files, &options).ok().filter(|schema| !schema.fields().is_empty())?;
    with_timestamps(schema, values).ok()
}

fn with_timestamps(schema: SchemaRef, values: &[Vec<u8>]) -> Result<SchemaRef> {
    let values: BinaryArray = values.iter().map(|value| Some(value.as_slice())).collect();
    let texts = Values::of(&schema)?.rows(&values)?;
    let field = |(index, field): (usize, &Arc<Field>)| {
        let is_time = *field.data_type() == DataType::Utf8 && all_are_times(texts.column(index).as_string());
        let data_type = if is_time { timestamp_type() } else { field.data_type().clone() };
        Field::new(field.name(), data_type, true)
    };
    let timed = Arc::new(Schema::new(schema.fields().iter().enumerate().map(field).collect::<Vec<_>>()));
    // What only looks like a time would be lost.
    let times = Values::of(&timed)?.rows(&values)?;
    let kept = |index: &usize| times.column(*index).null_count() == texts.column(*index).null_count();
    if (0..timed.fields().len()).all(|index| kept(&index)) {
        Ok(timed)
    } else {
        Ok(schema)
    }
}

/// Whether every text begins as `2024-12-03T10:00` does, and there is one.
fn all_are_times(texts: &StringArray) -> bool {
    const FORM: &[u8] = b"0000-00-00 00:00";
    let is_time = |text: &str| {
        let like = |(byte, form): (u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b' ' => matches!(byte, b' ' | b'T'),
            other => byte == *other,
        };
        text.len() >= FORM.len() && text.bytes().zip(FORM).all(like)
    };
    texts.null_count() < texts.len() && texts.iter().flatten().all(is_time)
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

    fn schema_of(values: &[&str]) -> Option<String> {
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
        assert_eq!(schema_of(&values).as_deref(), Some(columns));
    }

    #[test]
    fn a_text_that_only_looks_like_a_time_stays_a_text() {
        let values = [r#"{"t":"2024-12-03T10:00:00Z"}"#, r#"{"t":"2024-13-43T10:00:00Z"}"#];
        assert_eq!(schema_of(&values).as_deref(), Some("`t` string"));
    }

    #[test]
    fn values_without_an_object_have_no_columns() {
        for values in [&["1", "x", "[1]", ""][..], &[], &["{}"]] {
            assert_eq!(schema_of(values), None, "{values:?}");
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
        insta::assert_snapshot!(String::from_utf8(lines).unwrap(), @"");
    }
}
