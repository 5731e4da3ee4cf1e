//! Random rows where bugs sit: on, just before and just after the ends of windows, equal, far apart, NULL, none.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::trace::{MicroBatch, Trace};

/// At most so many micro-batches, and rows in each.
const BATCHES_MAX: usize = 7;
const ROWS_MAX: usize = 6;

/// 2024-12-03T10:00:00Z in microseconds.
const START_US: i64 = 1_733_220_000_000_000;
/// Times lie around multiples of this, which ends windows of any half minutes and is what watermarks fall on.
const GRID_US: i64 = 30_000_000;
/// Event time moves on so many grid steps with each micro-batch.
const STEPS_PER_BATCH: i64 = 4;

/// Traces for `streams`: up to seven micro-batches of up to six rows, some empty, some streams ending early.
///
/// Times move on with the micro-batches and lie on, one microsecond or millisecond beside, or anywhere around half
/// minutes; some are hours late or early, some NULL. Text comes from few words, so that keys repeat.
pub fn traces(streams: &[(String, SchemaRef)]) -> impl Strategy<Value = Trace> + use<> {
    let schemas: Vec<SchemaRef> = streams.iter().map(|(_, schema)| Arc::clone(schema)).collect();
    let rows_of = |schema: &SchemaRef| vec(vec(vec(cell(), schema.fields().len()), 0..=ROWS_MAX), 0..=BATCHES_MAX);
    let streams: Vec<_> = schemas.iter().map(rows_of).collect();
    streams.prop_map(move |streams| trace_of(&schemas, &streams))
}

/// What a value is made of, whatever the type of its column.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Value {
        /// A small number, or the place of a word.
        number: u8,
        /// Grid steps from where event time is; negative is late.
        steps: i64,
        /// Microseconds beside the grid.
        beside_us: i64,
    },
}

fn cell() -> impl Strategy<Value = Cell> {
    let steps = prop_oneof![6 => -3i64..4, 2 => -12i64..0, 1 => Just(240i64), 1 => Just(-240i64)];
    let beside_us = prop_oneof![
        4 => Just(0i64),
        2 => prop_oneof![Just(-1i64), Just(1), Just(-1_000), Just(1_000)],
        2 => 0..GRID_US,
    ];
    let value = (0u8..12, steps, beside_us).prop_map(|(number, steps, beside_us)| Cell::Value {
        number,
        steps,
        beside_us,
    });
    prop_oneof![12 => value, 1 => Just(Cell::Null)]
}

fn trace_of(schemas: &[SchemaRef], streams: &[Vec<Vec<Vec<Cell>>>]) -> Trace {
    let length = streams.iter().map(Vec::len).max().unwrap_or(0);
    let micro_batch = |n: usize| {
        let batches = schemas
            .iter()
            .zip(streams)
            .map(|(schema, batches)| Some(batch_of(schema, batches.get(n)?, n)));
        MicroBatch {
            rows: batches.collect(),
        }
    };
    Trace {
        micro_batches: (0..length).map(micro_batch).collect(),
    }
}

fn batch_of(schema: &SchemaRef, rows: &[Vec<Cell>], position: usize) -> RecordBatch {
    let column = |n: usize| {
        let data_type = schema.field(n).data_type();
        let texts: StringArray = rows.iter().map(|row| text_of(&row[n], data_type, position)).collect();
        let strict = CastOptions {
            safe: false,
            ..Default::default()
        };
        let array: ArrayRef = cast_with_options(&texts, data_type, &strict).expect("texts are made for their type");
        array
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("columns are made for their schema")
}

/// A cell as a text that its type can be read from; NULL for a type nothing is made for.
fn text_of(cell: &Cell, data_type: &DataType, position: usize) -> Option<String> {
    const WORDS: [&str; 4] = ["Porto", "Lisboa", "Faro", ""];
    let Cell::Value {
        number,
        steps,
        beside_us,
    } = cell
    else {
        return None;
    };
    let signed = i64::from(*number) - 2;
    let time_us = START_US + (position as i64 * STEPS_PER_BATCH + steps) * GRID_US + beside_us;
    let time = chrono::DateTime::from_timestamp_micros(time_us)?;
    match data_type {
        DataType::Utf8 => Some(WORDS[usize::from(*number) % WORDS.len()].to_string()),
        DataType::Boolean => Some((number % 2 == 0).to_string()),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(signed.to_string()),
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => Some(format!("{}", signed as f64 / 4.0)),
        DataType::Date32 => Some(time.format("%Y-%m-%d").to_string()),
        DataType::Timestamp(..) => Some(time.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()),
        _ => None,
    }
}
