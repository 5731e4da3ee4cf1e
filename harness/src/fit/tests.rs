//! Traces of known laws, fitted: is the look-alike as far out of order as the trace, and of the same making?

use skirl_generator::lateness::{LayerSpec, Network};
use skirl_generator::pace::PaceSpec;
use skirl_generator::spec::Micros;
use skirl_generator::stream::ColumnModel;
use skirl_generator::{Format, GenerateRequest, Silent, Target, run};

use super::*;
use crate::scenario::Scenario;

/// Shares may differ by so much, or by so much of themselves; percentiles by so much of themselves.
const SHARE_OFF: f64 = 0.006;
const SHARE_OFF_RELATIVE: f64 = 0.12;
const SPAN_OFF_RELATIVE: f64 = 0.25;

/// Generates a stream, fits it, and generates the look-alike.
fn fitted(spec: &str, format: Format) -> (Fitted, DisorderCard) {
    let directory = tempfile::tempdir().unwrap();
    let request = GenerateRequest {
        specs: vec![("scotsmen".into(), StreamSpec::from_toml(spec).unwrap())],
        seed: 11,
        format,
        target: Target::Directory(directory.path().to_path_buf()),
        shard: None,
    };
    let made = run(&request, &mut Silent).unwrap();
    let request = FitRequest {
        trace: directory.path().to_path_buf(),
        schemas: BTreeMap::new(),
        event_times: BTreeMap::new(),
    };
    let mut all = fit(&request).unwrap();
    let text = scenario_text("trace/", &all);
    let scenario = Scenario::parse(std::path::Path::new("look_alike.toml"), &text);
    assert!(scenario.is_ok(), "{}\n{text}", scenario.unwrap_err());
    let (measured, truth) = (&all[0].measured, &made.streams[0].card);
    // A copy without an event time, or one that is spoilt, cannot be told from another row.
    assert!(measured.duplicates <= truth.duplicates, "{measured}");
    let DisorderCard { duplicates, lost, .. } = *truth;
    assert_eq!(
        DisorderCard {
            duplicates,
            lost,
            ..measured.clone()
        },
        *truth
    );
    let card = look_alikes(&all, 5).unwrap().remove(0);
    (all.remove(0), card)
}

/// Fails where the look-alike's card is not close to the trace's.
#[track_caller]
fn check_close(fitted: &Fitted, card: &DisorderCard) {
    let mut off = vec![];
    let (measured, rows) = (&fitted.measured, fitted.measured.arrivals as f64);
    let mut share = |name: &str, wanted: f64, found: f64| {
        if (wanted - found).abs() > SHARE_OFF.max(SHARE_OFF_RELATIVE * wanted) {
            off.push(format!("{name}: {found:.4} instead of {wanted:.4}"));
        }
    };
    for ((delay, wanted), (_, found)) in measured.later_than.iter().zip(&card.later_than) {
        share(&format!("later than {delay}"), wanted.0, found.0);
    }
    for (name, wanted, found) in [
        ("arrivals", measured.arrivals, card.arrivals),
        (
            "without event time",
            measured.without_event_time,
            card.without_event_time,
        ),
        ("corrupt", measured.corrupt, card.corrupt),
        ("inversions", measured.inversions, card.inversions),
    ] {
        share(name, wanted as f64 / rows, found as f64 / rows);
    }
    let spans = measured.percentiles.iter().zip(&card.percentiles);
    let needed = measured.delay_needed.iter().zip(&card.delay_needed).take(3);
    for ((part, wanted), (_, found)) in spans.chain(needed) {
        // Where a percentile falls between rows on time and late ones, a row more or less moves it: shares tell there.
        let edge = wanted.0.min(found.0) < 500_000;
        if !edge && (wanted.0 as f64 / found.0 as f64).ln().abs() > SPAN_OFF_RELATIVE {
            off.push(format!("lateness of {}: {found} instead of {wanted}", part.0));
        }
    }
    assert!(
        off.is_empty(),
        "{}\nmeasured:\n{measured}\nlook-alike:\n{card}",
        off.join("\n")
    );
}

fn network(fitted: &Fitted) -> &Network {
    let network = fitted.spec.lateness.iter().find_map(|layer| match layer {
        LayerSpec::Network(network) => Some(network),
        _ => None,
    });
    network.expect("rows are late")
}

const STREAM: &str = "kind = \"scotsmen\"\nrows = 30_000\npace = { model = \"poisson\", rate = 50 }\nbatch = \"5s\"\n";

#[test]
fn a_stream_in_order_has_a_look_alike_in_order() {
    let (fitted, card) = fitted(STREAM, Format::Parquet);
    check_close(&fitted, &card);
    assert_eq!(fitted.spec.lateness, []);
    let PaceSpec::Poisson { rate } = fitted.spec.pace else {
        panic!("{:?}", fitted.spec.pace)
    };
    assert!((rate / 50.0 - 1.0).abs() < 0.03, "{rate}");
    assert_eq!(
        fitted.spec.start,
        StreamSpec::new(skirl_generator::Kind::Scotsmen, 1).start
    );
}

#[test]
fn keys_keep_their_skew_and_numbers_their_distribution() {
    let (fitted, _) = fitted(STREAM, Format::Json);
    let [district, conversions, time] = fitted.spec.columns.as_slice() else {
        panic!("{:?}", fitted.spec.columns)
    };
    let ColumnModel::Choice { values, weights } = &district.model else {
        panic!("{district:?}")
    };
    assert_eq!(values.len(), weights.len());
    let lisbon = weights[0] / weights.iter().sum::<f64>();
    assert!(
        (lisbon - 2_275_385.0 / 10_343_066.0).abs() < 0.01,
        "{:?}: {lisbon}",
        values[0]
    );
    assert!(
        matches!(conversions.model, ColumnModel::Poisson { mean } if (mean - 5.0).abs() < 0.1),
        "{conversions:?}"
    );
    assert!(time.is_event_time());
}

#[test]
fn laws_of_lateness_are_recognised_and_look_alikes_are_as_late() {
    for (layer, law) in [
        ("{ model = \"constant\", share = 0.2, delay = \"5s\" }", "constant"),
        ("{ model = \"exponential\", share = 0.1, mean = \"4s\" }", "exponential"),
        (
            "{ model = \"uniform\", share = 0.3, min = \"2s\", max = \"20s\" }",
            "uniform",
        ),
        (
            "{ model = \"pareto\", share = 0.05, scale = \"2s\", shape = 1.4, max = \"2m\" }",
            "pareto",
        ),
        (
            "{ model = \"lognormal\", share = 0.15, median = \"3s\", sigma = 0.7, max = \"1m\" }",
            "lognormal",
        ),
        (
            "{ model = \"empirical\", share = 0.3, points = [[0, \"1s\"], [0.5, \"2s\"], [0.6, \"30s\"], [1, \"40s\"]] }",
            "empirical",
        ),
    ] {
        let (fitted, card) = fitted(&format!("{STREAM}lateness = {layer}"), Format::Json);
        check_close(&fitted, &card);
        let found = toml::Table::try_from(network(&fitted)).unwrap();
        assert_eq!(found["model"].as_str(), Some(law), "{layer} was taken for {found}");
    }
}

#[test]
fn copies_missing_times_and_spoilt_rows_come_as_often() {
    let lateness = "lateness = [\
        { model = \"pareto\", share = 0.05, scale = \"2s\", max = \"1m\" }, { model = \"duplicate\", share = 0.03, gap = \"8s\" }, \
        { model = \"null-time\", share = 0.02 }, { model = \"corrupt\", share = 0.04, kinds = [\"truncated\", \"bad-utf8\"] }]";
    let (fitted, card) = fitted(&format!("{STREAM}{lateness}"), Format::Json);
    check_close(&fitted, &card);
    let copies = fitted.spec.lateness.iter().find_map(|layer| match layer {
        LayerSpec::Duplicate(copies) => Some(copies),
        _ => None,
    });
    let copies = copies.expect("there are copies");
    assert!(
        (copies.gap.0 - Micros::seconds(8).0).abs() < 1_500_000,
        "{}",
        copies.gap
    );
    assert!((copies.share.0 - 0.03).abs() < 0.004, "{}", copies.share.0);
}

#[test]
fn a_stream_of_columns_of_its_own_looks_alike() {
    let spec = r#"
        kind = "custom"
        rows = 20_000
        batch_rows = 500
        pace = { model = "bursts", rate = 10, burst_rate = 300, every = "1m", lasts = "15s" }
        lateness = { model = "exponential", share = "10%", mean = "3s" }
        columns = [
            { name = "id", type = "bigint", model = "sequence", start = 100, step = 5 },
            { name = "user", type = "string", template = "user-{value}", model = "zipf", n = 2000, exponent = 1.2 },
            { name = "page", type = "string", model = "choice", values = ["a", "b"], weights = [9, 1], nulls = "10%" },
            { name = "price", type = "decimal(10,2)", model = "uniform", min = "1.00", max = "99.99" },
            { name = "score", type = "double", model = "normal", mean = 5, deviation = 2 },
            { name = "vip", type = "boolean", model = "choice", values = [true, false], weights = [1, 3] },
            { name = "seen", type = "timestamp", model = "event-time" },
        ]
    "#;
    let (fitted, card) = fitted(spec, Format::Json);
    check_close(&fitted, &card);
    let column = |name: &str| fitted.spec.columns.iter().find(|column| column.name == name).unwrap();
    assert!(
        matches!(column("id").model, ColumnModel::Sequence { .. }),
        "{:?}",
        column("id")
    );
    let ColumnModel::Zipf { exponent, .. } = column("user").model else {
        panic!("{:?}", column("user"))
    };
    assert!((exponent - 1.2).abs() < 0.1, "{exponent}");
    assert_eq!(column("user").template.as_deref(), Some("user-{value}"));
    assert!((column("page").nulls.0 - 0.1).abs() < 0.01);
    assert!(matches!(column("price").model, ColumnModel::Uniform { .. }));
    assert!(matches!(column("score").model, ColumnModel::Normal { mean, .. } if (mean - 5.0).abs() < 0.1));
    assert!(column("seen").is_event_time());
    assert!(
        matches!(fitted.spec.pace, PaceSpec::Steps { .. }),
        "{:?}",
        fitted.spec.pace
    );
}

#[test]
fn a_directory_without_a_trace_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let request = FitRequest {
        trace: directory.path().join("nowhere"),
        schemas: BTreeMap::new(),
        event_times: BTreeMap::new(),
    };
    let message = fit(&request).unwrap_err().to_string();
    assert!(
        message.contains("nowhere is no trace: it has no readable trace.toml"),
        "{message}"
    );
}
