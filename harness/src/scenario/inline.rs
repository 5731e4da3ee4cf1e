//! Rows written in the scenario file itself: `[["Porto", 3, "2024-12-03T10:00:00Z"], ...]`.
//!
//! There is no null in TOML: NULL is an empty list, `[]`.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use skirl_engine::sql::spark_type_name;
use toml::de::DeValue;

use super::mistake::Mistakes;
use super::section::{Value, described};

/// One batch of `rows`; `None` if a mistake was noted.
pub(super) fn rows_of(schema: &SchemaRef, rows: Vec<Value>, mistakes: &Mistakes) -> Option<RecordBatch> {
    let width = schema.fields().len();
    let row_count = rows.len();
    let mut columns: Vec<Vec<Option<Cell>>> = vec![Vec::with_capacity(row_count); width];
    let mut sound = true;
    for row in rows {
        match cells_of(row, schema, mistakes) {
            Some(cells) => columns
                .iter_mut()
                .zip(cells)
                .for_each(|(column, cell)| column.push(cell)),
            None => sound = false,
        }
    }
    let arrays: Vec<Option<ArrayRef>> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, cells)| array_of(field.name(), field.data_type(), cells, mistakes))
        .collect();
    let arrays = arrays.into_iter().collect::<Option<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(row_count));
    sound.then(|| {
        RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
            .expect("columns were made for this schema")
    })
}

/// A value as text, which every type can be read from.
#[derive(Debug, Clone)]
struct Cell {
    text: String,
    span: Range<usize>,
    described: String,
}

fn cells_of(row: Value, schema: &SchemaRef, mistakes: &Mistakes) -> Option<Vec<Option<Cell>>> {
    let span = row.span();
    let DeValue::Array(values) = row.into_inner() else {
        mistakes.note_with_help(span, "a row is a list of values", "write `[\"Porto\", 3]`");
        return None;
    };
    let width = schema.fields().len();
    let found = values.iter().count();
    if found != width {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let values = if found == 1 {
            "1 value"
        } else {
            &format!("{found} values")
        };
        let message = format!("this row has {values} and its schema has {width} columns");
        let help = format!("write a value for each of {}; NULL is `[]`", names.join(", "));
        mistakes.note_with_help(span, message, help);
        return None;
    }
    Some(
        values
            .into_iter()
            .zip(schema.fields())
            .map(|(value, field)| cell_of(value, field.data_type()))
            .collect(),
    )
}

/// The cell of a value; NULL for `[]`.
fn cell_of(value: Value, data_type: &DataType) -> Option<Cell> {
    let span = value.span();
    let described = described(value.get_ref());
    let text = match value.into_inner() {
        DeValue::Array(items) if items.is_empty() => return None,
        DeValue::String(text) if takes_text(data_type) || is_special_double(&text, data_type) => text.into_owned(),
        DeValue::Integer(number) if !takes_text(data_type) => number.to_string(),
        DeValue::Float(number) if !takes_text(data_type) => number.to_string(),
        DeValue::Boolean(truth) if *data_type == DataType::Boolean => truth.to_string(),
        DeValue::Datetime(time) if matches!(data_type, DataType::Timestamp(..) | DataType::Date32) => time.to_string(),
        // Text stays text: `"3"` is no number.
        _ => WRONG.to_string(),
    };
    Some(Cell { text, span, described })
}

/// A text no type but STRING reads, in place of a value of another type.
const WRONG: &str = "\u{0}";

fn takes_text(data_type: &DataType) -> bool {
    use DataType::*;
    matches!(data_type, Utf8 | Binary | Timestamp(..) | Date32 | Decimal128(..))
}

fn is_special_double(text: &str, data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64) && matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// The column of `cells`. All at once if all are sound; one by one to find the wrong ones if not.
fn array_of(name: &str, data_type: &DataType, cells: &[Option<Cell>], mistakes: &Mistakes) -> Option<ArrayRef> {
    let wrong_cells = |cell: &&Cell| cell.text == WRONG || column_of(data_type, &[Some(cell)]).is_err();
    let all: Vec<Option<&Cell>> = cells.iter().map(Option::as_ref).collect();
    if !all.iter().flatten().any(|cell| cell.text == WRONG)
        && let Ok(array) = column_of(data_type, &all)
    {
        return Some(array);
    }
    for cell in cells.iter().flatten().filter(wrong_cells) {
        let wanted = spark_type_name(data_type);
        let message = format!("{} is no value of `{name}`, which is {wanted}", cell.described);
        mistakes.note_with_help(cell.span.clone(), message, example_of(data_type));
    }
    None
}

fn column_of(data_type: &DataType, cells: &[Option<&Cell>]) -> Result<ArrayRef, ArrowError> {
    let texts: StringArray = cells.iter().map(|cell| cell.map(|cell| cell.text.as_str())).collect();
    cast_with_options(
        &texts,
        data_type,
        &CastOptions {
            safe: false,
            ..Default::default()
        },
    )
}

fn example_of(data_type: &DataType) -> &'static str {
    use DataType::*;
    match data_type {
        Utf8 => "write text in quotes: \"Porto\"; NULL is `[]`",
        Boolean => "write true or false; NULL is `[]`",
        Int8 | Int16 | Int32 | Int64 => "write a whole number within the type's range, without quotes; NULL is `[]`",
        Float32 | Float64 => "write a number, or \"NaN\", \"Infinity\", \"-Infinity\"; NULL is `[]`",
        Timestamp(..) => "write a time: \"2024-12-03T10:02:59.999Z\"; NULL is `[]`",
        Date32 => "write a date: \"2024-12-03\"; NULL is `[]`",
        Decimal128(..) => "write a number, in quotes to keep its digits: \"1.50\"; NULL is `[]`",
        _ => "give streams of this type as files",
    }
}
