//! How fast is the seed's join of two streams, beside DataFusion running the same rows as one batch query?

use std::sync::Arc;

use arrow::array::RecordBatch;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::datasource::MemTable;
use datafusion::functions::datetime;
use datafusion::logical_expr::JoinType;
use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use datafusion::scalar::ScalarValue;
use skirl_benches::{JOIN_QUERY, Kept, join_session, rows, schema, start};
use skirl_engine::source::MemoryStream;
use skirl_engine::{OutputMode, Trigger};

const ROWS: usize = 20_000;
const BATCH_ROWS: usize = 5_000;
/// Dense enough for some 700,000 pairs.
const STEP_US: i64 = 140_000;

/// The join as a batch query: pairs of a district within five minutes.
async fn batch_query(context: &SessionContext) -> datafusion::error::Result<Vec<RecordBatch>> {
    let minute = |time: &str| datetime::expr_fn::date_trunc(lit("minute"), col(time));
    let left = context.table("scotsmen").await?.select(vec![
        col("district"),
        col("new_scotsmen"),
        minute("timestamp").alias("t"),
    ])?;
    let right = context.table("bagpipe").await?.select(vec![
        col("district").alias("sales_district"),
        col("bagpipe_sales"),
        minute("timestamp").alias("u"),
    ])?;
    let five_minutes = lit(ScalarValue::new_interval_mdn(0, 0, 300_000_000_000));
    let on = [
        col("district").eq(col("sales_district")),
        col("u").gt_eq(col("t")),
        col("u").lt_eq(col("t") + five_minutes),
    ];
    left.join_on(right, JoinType::Inner, on)?.collect().await
}

fn stream_join(c: &mut Criterion) {
    let side = |count: &str| -> Vec<RecordBatch> {
        (0..ROWS / BATCH_ROWS)
            .map(|batch| rows(count, batch * BATCH_ROWS, BATCH_ROWS, STEP_US))
            .collect()
    };
    let (scotsmen, bagpipe) = (side("new_scotsmen"), side("bagpipe_sales"));
    let mut group = c.benchmark_group("stream_join/20k_and_20k_rows");
    group.sample_size(10).throughput(Throughput::Elements(2 * ROWS as u64));

    let mut pairs = 0;
    group.bench_function("skirl", |b| {
        let start = || {
            let sources = [("new_scotsmen", &scotsmen), ("bagpipe_sales", &bagpipe)].map(|(count, batches)| {
                let source = MemoryStream::new(schema(count));
                batches
                    .iter()
                    .for_each(|batch| source.add(batch.clone()).expect("rows fit"));
                source
            });
            let kept = Kept::default();
            (
                start(
                    &join_session(&sources[0], &sources[1]),
                    JOIN_QUERY,
                    OutputMode::Append,
                    &kept,
                ),
                kept,
            )
        };
        let run = |(mut query, kept): (skirl_engine::StreamingQuery, Kept)| {
            query.run(Trigger::AvailableNow, |_| ()).expect("the query runs");
            pairs = kept.take_rows();
            assert!(pairs > 500_000, "{pairs} pairs");
        };
        b.iter_batched(start, run, BatchSize::PerIteration);
    });

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    group.bench_function("datafusion_batch", |b| {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
        for (name, count, batches) in [
            ("scotsmen", "new_scotsmen", &scotsmen),
            ("bagpipe", "bagpipe_sales", &bagpipe),
        ] {
            let table = MemTable::try_new(schema(count), vec![batches.clone()]).expect("rows fit");
            context.register_table(name, Arc::new(table)).expect("the table is new");
        }
        b.iter(|| {
            let answer = runtime.block_on(batch_query(&context)).expect("the query runs");
            let found: usize = answer.iter().map(RecordBatch::num_rows).sum();
            assert!(
                found >= pairs,
                "a batch join sees every pair the stream saw: {found} of {pairs}"
            );
        });
    });
    group.finish();
}

criterion_group!(benches, stream_join);
criterion_main!(benches);
