//! Does the cost of a micro-batch grow with the rows kept in state? And what does the smallest one cost?

use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use criterion::{Criterion, criterion_group, criterion_main};
use skirl_benches::{JOIN_QUERY, Kept, START_US, join_session, rows, schema, scotsmen_session, start};
use skirl_engine::OutputMode;
use skirl_engine::source::{MemoryStream, Source};

/// `count` rows of as many districts, all at one time.
fn distinct_rows(column: &str, count: usize, time_us: i64) -> RecordBatch {
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            (0..count).map(|row| format!("district {row}")),
        )),
        Arc::new(Int32Array::from_iter_values((0..count).map(|row| row as i32))),
        Arc::new(TimestampMicrosecondArray::from_iter_values((0..count).map(|_| time_us)).with_timezone("+00:00")),
    ];
    RecordBatch::try_new(schema(column), columns).expect("columns fit the schema")
}

/// A source over a memory stream, a unit a micro-batch.
fn units(stream: &MemoryStream) -> impl Fn() -> skirl_engine::Result<Box<dyn Source>> + Send + Sync + use<> {
    let stream = stream.clone();
    move || Ok(Box::new(stream.source(Some(1))))
}

fn aggregate_state(c: &mut Criterion) {
    let mut group = c.benchmark_group("state_size/aggregate_1k_rows_a_batch");
    group.sample_size(20);
    for state in [10_000, 100_000, 1_000_000] {
        let source = MemoryStream::new(schema("new_scotsmen"));
        let kept = Kept::default();
        let sql = "SELECT window(timestamp, '1 day') AS window, district, count(*) AS c, sum(new_scotsmen) AS s FROM s \
                   GROUP BY window(timestamp, '1 day'), district";
        let mut query = start(&scotsmen_session(units(&source)), sql, OutputMode::Update, &kept);
        source
            .add(distinct_rows("new_scotsmen", state, START_US))
            .expect("rows fit");
        query.run_next().expect("the query runs");
        kept.take();
        let batch = distinct_rows("new_scotsmen", 1_000, START_US);
        group.bench_function(format!("{state}_groups"), |b| {
            b.iter(|| {
                source.add(batch.clone()).expect("rows fit");
                let progress = query.run_next().expect("the query runs").expect("there is a batch");
                assert_eq!(progress.operators[0].state_rows, state as u64);
                assert_eq!(kept.take_rows(), 1_000);
            });
        });
    }
    group.finish();
}

fn join_state(c: &mut Criterion) {
    let mut group = c.benchmark_group("state_size/join_1k_rows_a_batch");
    group.sample_size(20);
    for state in [10_000, 100_000, 1_000_000] {
        let sources = ["new_scotsmen", "bagpipe_sales"].map(|count| MemoryStream::new(schema(count)));
        let kept = Kept::default();
        let mut query = start(
            &join_session(&sources[0], &sources[1]),
            JOIN_QUERY,
            OutputMode::Append,
            &kept,
        );
        // A day of rows per state, far from the batch in time: the batch's partners are few whatever the state.
        let step_us = 86_400_000_000 / state as i64;
        sources[0]
            .add(rows("new_scotsmen", 0, state, step_us))
            .expect("rows fit");
        query.run_next().expect("the query runs");
        let later = distinct_rows("bagpipe_sales", 1_000, START_US + 3 * 86_400_000_000);
        group.bench_function(format!("{state}_rows"), |b| {
            b.iter(|| {
                sources[1].add(later.clone()).expect("rows fit");
                let progress = query.run_next().expect("the query runs").expect("there is a batch");
                assert!(progress.operators[0].state_rows >= 1_000);
            });
        });
    }
    group.finish();
}

fn small_batch(c: &mut Criterion) {
    let source = MemoryStream::new(schema("new_scotsmen"));
    let kept = Kept::default();
    let mut query = start(
        &scotsmen_session(units(&source)),
        skirl_benches::WINDOW_QUERY,
        OutputMode::Update,
        &kept,
    );
    let mut row = 0;
    c.bench_function("small_batch/window_query_10_rows", |b| {
        b.iter(|| {
            source.add(rows("new_scotsmen", row, 10, 1_000_000)).expect("rows fit");
            row += 10;
            query.run_next().expect("the query runs").expect("there is a batch");
            assert!(kept.take_rows() > 0);
        });
    });
}

criterion_group!(benches, aggregate_state, join_state, small_batch);
criterion_main!(benches);
