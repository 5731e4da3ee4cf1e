//! What becomes of recorded values: rows of a scenario, NULLs, bytes, and a scenario that looks like them.

use std::collections::BTreeMap;
use std::fs;

use skirl::fit::{FitRequest, fit, look_alikes};
use skirl::judge::{Status, Trial, judge};
use skirl::recording::PutBackRequest;
use skirl::scenario::{Scenario, parse_schema};
use skirl::system::Embedded;
use skirl_generator::lateness::{LayerSpec, Network};
use skirl_generator::spec::{Cut, Micros};
use skirl_generator::{Arrival, StreamSpec, generate};
use skirl_kafka::Row;

use crate::needs::{Outcome, Test, tests};
use crate::topic::Topic;
use crate::trace::{NOON, back_to, everything, odd_rows, put, recorded, said, skirl};

pub const TESTS: &[Test] = tests! {
    Broker:
        a_recording_is_a_scenarios_input,
        a_value_that_is_no_json_is_a_row_of_nulls,
        confluent_values_are_carried_and_never_decoded,
        lateness_of_each_partition_is_fitted;
};

fn a_recording_is_a_scenarios_input() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::later("scenario")?;
    let to = topic.address();
    let lateness = "pareto,share=20%,scale=5s,max=3m+corrupt,share=2%";
    let mut arguments = vec![
        "generate",
        "scotsmen",
        "--rows",
        "2000",
        "--seed",
        "7",
        "--lateness",
        lateness,
        "--to",
        &to,
    ];
    arguments.extend(["--timestamps", "original", "--topic-setting", "retention.ms=-1"]);
    said(&skirl(&arguments)?, 0);
    let trace = directory.path().join("trace");
    let mut request = everything(&topic, &trace);
    request.cut = Cut::Every(Micros::seconds(60));
    let schema = parse_schema("district STRING, new_scotsmen INT, timestamp TIMESTAMP")?;
    request.schemas.insert(topic.name.clone(), schema);
    let done = recorded(&request)?;
    let text = format!(
        r#"
        title = "Conversions as they came"
        [streams.scotsmen]
        files = "trace/{}"
        schema = "district STRING, new_scotsmen INT, timestamp TIMESTAMP"
        [[views]]
        name = "conversions"
        sql = "SELECT * FROM scotsmen"
        watermark = {{ column = "timestamp", delay = "30 seconds" }}
        [query]
        sql = "SELECT window.start, district, count(*) AS n FROM conversions GROUP BY window(timestamp, '1 minute'), district"
        [expect]
        input_rows = {}
        late_rows = "> 0"
        output_rows = "> 0"
        "#,
        done.streams[0].name, done.streams[0].records
    );
    let scenario = Scenario::parse(&directory.path().join("conversions.toml"), &text)?;
    let outcome = judge(&Trial::of(&scenario, 0)?, &mut Embedded::default());
    assert_eq!(outcome.status, Status::Passed);

    // The records stand in for the topic: from_json over their values gives the same rows.
    let raw = text.replace(
        &format!("trace/{}", done.streams[0].name),
        &format!("trace/{}.kafka", done.streams[0].name),
    );
    let raw = raw.replacen(
        "schema = \"district STRING, new_scotsmen INT, timestamp TIMESTAMP\"",
        "schema = \"key BINARY, value BINARY, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP, timestampType INT\"",
        1,
    );
    let raw = raw.replace(
        "sql = \"SELECT * FROM scotsmen\"",
        "sql = \"SELECT j.* FROM (SELECT from_json(CAST(value AS STRING), \
         'district STRING, new_scotsmen INT, timestamp TIMESTAMP') AS j FROM scotsmen)\"",
    );
    let scenario = Scenario::parse(&directory.path().join("records.toml"), &raw)?;
    let from_records = judge(&Trial::of(&scenario, 0)?, &mut Embedded::default());
    assert_eq!(from_records.status, Status::Passed);
    Ok(())
}

fn a_value_that_is_no_json_is_a_row_of_nulls() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("nulls", 4, &[("retention.ms", "-1")])?;
    topic.send(&odd_rows())?;
    let mut request = everything(&topic, directory.path());
    request
        .schemas
        .insert(topic.name.clone(), parse_schema("district STRING, n INT")?);
    let done = recorded(&request)?;
    let lines = fs::read_to_string(directory.path().join(&done.streams[0].name).join("000000.jsonl"))?;
    assert_eq!(
        lines,
        "{\"district\":\"Porto\",\"n\":1}\n{}\n{}\n{\"n\":2}\n{}\n{}\n{}\n{\"n\":3}\n"
    );
    Ok(())
}

fn confluent_values_are_carried_and_never_decoded() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("confluent", 1, &[("retention.ms", "-1")])?;
    let value = b"\0\0\0\0\x2a\x02\x0aPorto";
    topic.send(&[Row {
        value: Some(value),
        timestamp_ms: Some(NOON),
        ..Row::default()
    }])?;
    let wrote = topic.rows()?;

    let decoded = directory.path().join("decoded");
    let mut request = everything(&topic, &decoded);
    request
        .schemas
        .insert(topic.name.clone(), parse_schema("district STRING")?);
    let refused = recorded(&request)
        .unwrap_err()
        .message()
        .unwrap_or_default()
        .to_string();
    assert!(refused.contains("Confluent wire format (schema 42"), "{refused}");

    let trace = directory.path().join("trace");
    let done = recorded(&everything(&topic, &trace))?;
    let remark = done.streams[0].remark.clone().unwrap_or_default();
    assert!(
        done.streams[0].schema.is_none() && remark.contains("Confluent wire format (schema 42"),
        "{remark}"
    );
    let again = Topic::later("confluent-again")?;
    let settings = [("retention.ms".to_string(), "-1".to_string())].into_iter().collect();
    put(&PutBackRequest {
        settings,
        ..back_to(&again, &trace)?
    })?;
    assert_eq!(again.rows()?, wrote);

    let told = said(&skirl(&["fit", trace.to_str().expect("a path")])?, 2);
    assert!(told.contains("Confluent wire format (schema 42"), "{told}");
    Ok(())
}

/// One partition in order, one that lags behind by Pareto's law, recorded with the times of their arrivals.
fn lateness_of_each_partition_is_fitted() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("fit", 2, &[("retention.ms", "-1")])?;
    let spec = |lateness: &str| {
        let text =
            format!("kind = \"scotsmen\"\nrows = 8_000\npace = {{ model = \"poisson\", rate = 20 }}\n{lateness}");
        StreamSpec::from_toml(&text).expect("a stream")
    };
    let late = "lateness = { model = \"pareto\", share = 0.4, scale = \"3s\", shape = 1.5, max = \"1m\" }";
    let made = generate(&[("quick".into(), spec("")), ("slow".into(), spec(late))], 7)?;
    let mut rows: Vec<(Arrival, i32, String)> = vec![];
    for (partition, stream) in made.streams.iter().enumerate() {
        for batch in &stream.micro_batches {
            for arrival in &batch.arrivals {
                let time = skirl_generator::spec::Time(arrival.stamp);
                rows.push((
                    *arrival,
                    partition as i32,
                    format!("{{\"n\":{},\"time\":\"{time}\"}}", arrival.row),
                ));
            }
        }
    }
    rows.sort_by_key(|(arrival, partition, _)| (arrival.time, *partition));
    let row =
        |(arrival, partition, value): &'_ (Arrival, i32, String)| (arrival.time / 1_000, *partition, value.clone());
    let placed: Vec<(i64, i32, String)> = rows.iter().map(row).collect();
    let written: Vec<Row> = placed
        .iter()
        .map(|(time, partition, value)| Row {
            partition: Some(*partition),
            value: Some(value.as_bytes()),
            timestamp_ms: Some(*time),
            ..Row::default()
        })
        .collect();
    topic.send(&written)?;
    recorded(&everything(&topic, directory.path()))?;

    let request = FitRequest {
        trace: directory.path().to_path_buf(),
        schemas: BTreeMap::new(),
        event_times: BTreeMap::new(),
    };
    let fitted = fit(&request)?;
    let Some(LayerSpec::ByPartition(by)) = fitted[0].spec.lateness.first() else {
        panic!("{:?}", fitted[0].spec.lateness)
    };
    let [quick, slow] = by.partitions.as_slice() else {
        panic!("{by:?}")
    };
    assert!(
        quick.lateness.is_empty() && (quick.share.0 - 0.5).abs() < 0.01,
        "{quick:?}"
    );
    let [
        LayerSpec::Network(Network::Pareto {
            share, scale, shape, ..
        }),
    ] = slow.lateness.as_slice()
    else {
        panic!("{slow:?}")
    };
    assert!((share.0 - 0.4).abs() < 0.03 && (shape - 1.5).abs() < 0.15, "{slow:?}");
    assert!((scale.0 - 3_000_000).abs() < 100_000, "{slow:?}");
    let (measured, card) = (&fitted[0].measured, look_alikes(&fitted, 5)?.remove(0));
    for ((delay, wanted), (_, found)) in measured.later_than.iter().zip(&card.later_than) {
        assert!(
            (wanted.0 - found.0).abs() < 0.01,
            "later than {delay}: {} instead of {}",
            found.0,
            wanted.0
        );
    }
    Ok(())
}
