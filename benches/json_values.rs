//! How fast do JSON values, as Kafka gives them, become columns, and go through the seed's window query?

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use skirl_benches::{Kept, WINDOW_QUERY, parse_topic, rows, start};
use skirl_engine::format::json::{JsonOptions, from_json, write_json_lines};
use skirl_engine::source::MemoryStream;
use skirl_engine::{OutputMode, Session, Trigger};

const CHUNK_ROWS: usize = 1 << 16;
const BATCHES: usize = 4;
const BATCH_ROWS: usize = 500_000;
/// 2 million rows over two hours: 40 windows of 3 minutes, 20 districts.
const STEP_US: i64 = 3_600;

/// The seed's rows as JSON: about 80 bytes each.
fn values(first: usize, count: usize) -> StringArray {
    let rows = rows("new_scotsmen", first, count, STEP_US);
    let mut lines = Vec::new();
    write_json_lines(&rows, &JsonOptions::default(), &mut lines).expect("rows are JSON");
    let text = std::str::from_utf8(&lines).expect("JSON is UTF-8");
    text.lines().map(Some).collect()
}

fn decode(c: &mut Criterion) {
    let texts = values(0, CHUNK_ROWS);
    let columns = DataType::Struct(skirl_benches::schema("new_scotsmen").fields().clone());
    let options = JsonOptions::default();
    let mut group = c.benchmark_group("json_values");
    group.throughput(Throughput::Elements(CHUNK_ROWS as u64));
    group.bench_function("from_json", |b| {
        b.iter(|| {
            let decoded = from_json(&texts, &columns, &options).expect("the options are sound");
            let times = decoded.as_struct().column(2).as_primitive::<TimestampMicrosecondType>();
            assert_eq!(times.null_count(), 0);
        });
    });
    group.finish();
}

/// The window query over values, as `SELECT value.*` over `from_json` of a topic.
fn window_query(c: &mut Criterion) {
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Binary, true)]));
    let batches: Vec<RecordBatch> = (0..BATCHES)
        .map(|batch| {
            let texts = values(batch * BATCH_ROWS, BATCH_ROWS);
            let values: ArrayRef = Arc::new(BinaryArray::from(texts));
            RecordBatch::try_new(Arc::clone(&schema), vec![values]).expect("columns fit the schema")
        })
        .collect();
    let mut group = c.benchmark_group("json_values");
    group
        .sample_size(10)
        .throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));
    group.bench_function("window_query", |b| {
        let begin = || {
            let source = MemoryStream::new(Arc::clone(&schema));
            batches
                .iter()
                .for_each(|batch| source.add(batch.clone()).expect("rows fit"));
            let kept = Kept::default();
            (start(&session(&source), WINDOW_QUERY, OutputMode::Append, &kept), kept)
        };
        let run = |(mut query, kept): (skirl_engine::StreamingQuery, Kept)| {
            query.run(Trigger::AvailableNow, |_| ()).expect("the query runs");
            assert!(kept.take_rows() >= 38 * 20, "nearly every window has closed");
        };
        b.iter_batched(begin, run, BatchSize::PerIteration);
    });
    group.finish();
}

fn session(source: &MemoryStream) -> Session {
    let mut session = Session::new(Default::default());
    let made = source.clone();
    session
        .read_stream("topic", Arc::clone(&source_schema()), move || {
            Ok(Box::new(made.source(Some(1))))
        })
        .expect("the stream is new");
    parse_topic(&mut session);
    session
}

fn source_schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Binary, true)]))
}

criterion_group!(benches, decode, window_query);
criterion_main!(benches);
