//! How many small scenarios a second are run on the engine and checked against the oracle, planned anew or not?

use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use skirl::case::{differences, parse_expected, read_case};
use skirl::oracle::Oracle;
use skirl::property::check;
use skirl::system::Embedded;

const CASE: &str = "../tests/fixtures/vectors/cases/c_tumble_append_outoforder.json";
const EXPECTED: &str = "../tests/fixtures/vectors/expected/c_tumble_append_outoforder.json";

fn checked_scenarios(c: &mut Criterion) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let case = read_case(&here.join(CASE)).expect("the case is sound");
    let expected = std::fs::read_to_string(here.join(EXPECTED)).expect("the result is there");
    let expected =
        parse_expected(&serde_json::from_str(&expected).expect("the result is JSON")).expect("the result is sound");
    let mut group = c.benchmark_group("checked_scenarios/windows_of_3_minutes");
    group.throughput(Throughput::Elements(1));
    group.bench_function("engine_and_oracle_planned_anew", |b| {
        b.iter(|| check(&case.job, &case.trace).expect("engine and oracle agree"));
    });
    group.bench_function("engine_alone_planned_anew", |b| {
        b.iter(|| {
            let run = skirl::replay::replay(&mut Embedded::default(), &case.job, &case.trace);
            assert!(differences(&expected, &run).is_empty());
        });
    });
    group.bench_function("oracle_alone_plan_kept", |b| {
        let oracle = Oracle::new(&case.job).unwrap_or_else(|failure| panic!("{failure:?}"));
        b.iter(|| assert!(differences(&expected, &oracle.expect(&case.trace).run).is_empty()));
    });
    group.finish();
}

criterion_group!(benches, checked_scenarios);
criterion_main!(benches);
