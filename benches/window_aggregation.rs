//! How fast is the seed's window query, beside DataFusion running the same rows as one batch query?

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use datafusion::functions::datetime;
use datafusion::functions_aggregate::expr_fn::{avg, count, sum};
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use skirl_benches::{Kept, WINDOW_QUERY, rows, schema, scotsmen_session, start};
use skirl_engine::format::parquet::{read_parquet, write_parquet};
use skirl_engine::source::{FileOrder, FileSource, MemoryStream, Source};
use skirl_engine::{OutputMode, StreamingQuery, Trigger};

const BATCHES: usize = 5;
const BATCH_ROWS: usize = 1_000_000;
/// 5 million rows over five hours: 100 windows of 3 minutes, 20 districts.
const STEP_US: i64 = 3_600;

/// The window query as a batch query: windows of three minutes, by district.
async fn batch_query(context: &SessionContext) -> datafusion::error::Result<Vec<RecordBatch>> {
    let three_minutes = lit(ScalarValue::new_interval_mdn(0, 0, 180_000_000_000));
    let window = datetime::date_bin().call(vec![three_minutes, col("timestamp")]);
    let keys = vec![window.alias("w"), col("district")];
    let counted = col("new_scotsmen");
    let values = vec![count(lit(1)), sum(counted.clone()), avg(counted)];
    context
        .table("scotsmen")
        .await?
        .aggregate(keys, values)?
        .collect()
        .await
}

fn micro_batches() -> Vec<RecordBatch> {
    (0..BATCHES)
        .map(|batch| rows("new_scotsmen", batch * BATCH_ROWS, BATCH_ROWS, STEP_US))
        .collect()
}

/// Runs the window query to its end and sees that it has done so.
fn run((mut query, kept): (StreamingQuery, Kept)) {
    let mut executed = 0;
    query
        .run(Trigger::AvailableNow, |_| executed += 1)
        .expect("the query runs");
    assert_eq!(executed, BATCHES + 1, "five batches and one without data");
    assert!(kept.take_rows() >= 98 * 20, "nearly every window has closed");
}

fn from_memory(c: &mut Criterion) {
    let batches = micro_batches();
    let mut group = c.benchmark_group("window_aggregation/5M_rows_from_memory");
    group
        .sample_size(10)
        .throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));

    for mode in [OutputMode::Append, OutputMode::Update] {
        group.bench_function(format!("skirl_{}", mode.name()), |b| {
            let start = || {
                let source = MemoryStream::new(schema("new_scotsmen"));
                batches
                    .iter()
                    .for_each(|batch| source.add(batch.clone()).expect("rows fit"));
                let kept = Kept::default();
                let session = scotsmen_session(move || Ok(Box::new(source.source(Some(1)))));
                (start(&session, WINDOW_QUERY, mode, &kept), kept)
            };
            b.iter_batched(start, run, BatchSize::PerIteration);
        });
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let partitions: Vec<Vec<RecordBatch>> = [0, 1].map(|core| cut(&batches, core)).to_vec();
    group.bench_function("datafusion_batch", |b| {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        let table = MemTable::try_new(schema("new_scotsmen"), partitions.clone()).expect("rows fit");
        context
            .register_table("scotsmen", Arc::new(table))
            .expect("the table is new");
        b.iter(|| {
            let answer = runtime.block_on(batch_query(&context)).expect("the query runs");
            assert!(answer.iter().map(RecordBatch::num_rows).sum::<usize>() >= 100 * 20);
        });
    });
    group.finish();
}

/// The same rows from a directory of Parquet files, one a micro-batch, beside only reading them.
fn from_parquet(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let files: Vec<PathBuf> = (0..BATCHES)
        .map(|file| directory.path().join(format!("{file}.parquet")))
        .collect();
    for (path, rows) in files.iter().zip(micro_batches()) {
        std::fs::write(path, write_parquet(&rows).expect("rows can be written")).expect("a file can be written");
    }
    let mut group = c.benchmark_group("window_aggregation/5M_rows_from_parquet");
    group
        .sample_size(10)
        .throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));

    group.bench_function("skirl_append", |b| {
        let start = || {
            let path = directory.path().to_str().expect("a path of letters").to_string();
            let options = BTreeMap::from([("maxFilesPerTrigger".to_string(), "1".to_string())]);
            let source = move || {
                let schema = schema("new_scotsmen");
                let source = FileSource::new(&path, "parquet", &schema, &options, FileOrder::Name, 0)?;
                Ok(Box::new(source) as Box<dyn Source>)
            };
            let kept = Kept::default();
            let query = start(&scotsmen_session(source), WINDOW_QUERY, OutputMode::Append, &kept);
            (query, kept)
        };
        b.iter_batched(start, run, BatchSize::PerIteration);
    });
    group.bench_function("only_reading", |b| {
        b.iter(|| {
            let read = read_parquet(&files, &schema("new_scotsmen"), 2).expect("files can be read");
            let rows: usize = read.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, BATCHES * BATCH_ROWS);
        });
    });
    group.finish();
}

/// Every second slice of 8,192 rows, as DataFusion would read them.
fn cut(batches: &[RecordBatch], core: usize) -> Vec<RecordBatch> {
    let slices = batches.iter().flat_map(|batch| {
        (0..batch.num_rows())
            .step_by(8_192)
            .map(|at| batch.slice(at, 8_192.min(batch.num_rows() - at)))
    });
    slices
        .enumerate()
        .filter(|(index, _)| index % 2 == core)
        .map(|(_, slice)| slice)
        .collect()
}

criterion_group!(benches, from_memory, from_parquet);
criterion_main!(benches);
