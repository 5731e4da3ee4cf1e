//! How many rows a second does the generator make, as Arrow, JSON lines and Parquet, in order and with late rows?

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skirl_generator::encode::Encoder;
use skirl_generator::{Format, Stream, StreamSpec};

const ROWS: u64 = 1_000_000;

fn spec(lateness: &str) -> StreamSpec {
    let text = format!(
        "kind = \"scotsmen\"\nrows = {ROWS}\nbatch_rows = 100000\npace = {{ model = \"constant\", rate = 1000.0 }}\n{lateness}"
    );
    StreamSpec::from_toml(&text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// Rows made of a stream, through `take`.
fn make(spec: &StreamSpec, mut take: impl FnMut(&Stream, skirl_generator::Arrived)) -> u64 {
    let mut stream = Stream::new("scotsmen", &[("scotsmen".to_string(), spec.clone())], 7).expect("the spec is sound");
    while let Some(arrived) = stream.next_arrivals().expect("rows can be made") {
        take(&stream, arrived);
    }
    stream.rows_made()
}

fn generate(c: &mut Criterion) {
    let late = "lateness = { model = \"pareto\", share = 0.05, scale = \"10s\", max = \"2m\" }\n";
    for (name, lateness) in [("in_order", ""), ("pareto_5_percent_late", late)] {
        let spec = spec(lateness);
        let mut group = c.benchmark_group(format!("generate/scotsmen_{name}"));
        group.sample_size(10).throughput(Throughput::Elements(ROWS));
        group.bench_function("arrow", |b| {
            b.iter(|| {
                let mut rows = 0;
                let made = make(&spec, |stream, arrived| {
                    rows += stream.rows(&arrived).expect("rows can be made").num_rows() as u64;
                });
                assert_eq!((made, rows), (ROWS, ROWS));
            });
        });
        for format in [Format::Json, Format::Parquet] {
            group.bench_function(format.extension(), |b| {
                let mut bytes = Vec::new();
                b.iter(|| {
                    let made = make(&spec, |stream, arrived| {
                        bytes.clear();
                        let encoder = Encoder::new(format, &stream.schema());
                        stream
                            .encode(&arrived, &encoder, &mut bytes)
                            .expect("rows can be written");
                        assert!(!bytes.is_empty());
                    });
                    assert_eq!(made, ROWS);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, generate);
criterion_main!(benches);
