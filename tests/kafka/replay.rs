//! `skirl replay-to`: recordings put back.

use skirl::recording::{PutBackRequest, RecordRequest, Repartition};
use skirl_generator::spec::{Cut, Micros};
use skirl_generator::target::kafka::Timestamps;
use skirl_kafka::Row;

use crate::needs::{Outcome, Test, tests};
use crate::topic::{Found, Topic};
use crate::trace::{NOON, back_to, described, everything, files, odd_rows, put, recorded, said, skirl};

pub const TESTS: &[Test] = tests! {
    Broker:
        odd_rows_come_back_byte_for_byte,
        a_trace_that_lacks_a_file_leaves_no_topic,
        other_numbers_of_partitions_are_refused_unless_it_is_said_where_records_go,
        timestamps_a_topic_does_not_keep_are_refused;
    Machine:
        a_replay_keeps_the_gaps_in_time;
};

fn odd_rows_come_back_byte_for_byte() -> Outcome {
    let directory = tempfile::tempdir()?;
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let topic = Topic::with("odd", 4, &[("retention.ms", "-1")])?;
    topic.send(&odd_rows())?;
    let wrote = topic.rows()?;
    let mut request = everything(&topic, &first);
    request.cut = Cut::Every(Micros::seconds(1));
    assert_eq!(recorded(&request)?.streams[0].records, 8);

    topic.delete()?;
    let mut back = back_to(&topic, &first)?;
    back.settings = [("retention.ms".to_string(), "-1".to_string())].into_iter().collect();
    assert_eq!(put(&back)?.outcome.acknowledged, 8);
    assert_eq!(topic.rows()?, wrote);

    recorded(&RecordRequest {
        directory: second.clone(),
        ..request
    })?;
    let again = files(&second)?;
    assert_eq!(files(&first)?, again);
    assert_eq!(again.len(), 2 * 3, "{:?}", again.keys());
    Ok(())
}

fn a_trace_that_lacks_a_file_leaves_no_topic() -> Outcome {
    let directory = tempfile::tempdir()?;
    let trace = directory.path().join("trace");
    let topic = Topic::with("lacking", 1, &[("retention.ms", "-1")])?;
    topic.put(0, &["a", "b"])?;
    recorded(&everything(&topic, &trace))?;
    topic.delete()?;

    let kept = directory.path().join("kept");
    let to = format!("kafka://{}/{}", topic.properties.bootstrap(), topic.name);
    let put = || skirl(&["replay-to", &to, &trace.to_string_lossy(), "--speed", "max"]);
    let recording = described(&trace)?.streams.remove(0).kafka.expect("a recording");
    let file = trace.join(recording.records).join("000000.parquet");
    std::fs::rename(&file, &kept)?;
    let told = said(&put()?, 2);
    assert!(
        told.contains("cannot access") && told.contains("000000.parquet"),
        "{told}"
    );
    assert_eq!(told.matches("os error").count(), 1, "{told}");
    std::fs::rename(&kept, &file)?;
    assert!(said(&put()?, 0).contains("2 rows acknowledged"));
    Ok(())
}

fn other_numbers_of_partitions_are_refused_unless_it_is_said_where_records_go() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("parts", 3, &[("retention.ms", "-1")])?;
    let keys: Vec<String> = (0..30).map(|n| format!("key-{n}")).collect();
    let row = |(n, key): (usize, &'_ String)| -> (i32, String) { (n as i32 % 3, key.clone()) };
    let placed: Vec<(i32, String)> = keys.iter().enumerate().map(row).collect();
    let rows: Vec<Row> = placed
        .iter()
        .map(|(partition, key)| Row {
            partition: Some(*partition),
            key: Some(key.as_bytes()),
            ..Row::default()
        })
        .collect();
    topic.send(&rows)?;
    recorded(&everything(&topic, directory.path()))?;
    let refused = Topic::later("refused")?;
    let request = PutBackRequest {
        partitions: Some(2),
        ..back_to(&refused, directory.path())?
    };
    let request = PutBackRequest {
        timestamps: Timestamps::Now,
        ..request
    };
    let message = put(&request).unwrap_err().message().unwrap_or_default().to_string();
    assert!(
        message.contains("has 2 partitions and the recorded one had 3"),
        "{message}"
    );
    refused.wait_until_gone()?; // it was made for nothing

    let modulo = Topic::later("modulo")?;
    let topics = |topic: &Topic| {
        request
            .topics
            .keys()
            .map(|stream| (stream.clone(), topic.name.clone()))
            .collect()
    };
    put(&PutBackRequest {
        repartition: Repartition::Modulo,
        topics: topics(&modulo),
        ..request.clone()
    })?;
    let found = |rows: Vec<Found>| -> Vec<(i32, String)> {
        let row = |row: Found| {
            (
                row.partition,
                String::from_utf8(row.key.unwrap_or_default()).unwrap_or_default(),
            )
        };
        rows.into_iter().map(row).collect()
    };
    let mut wanted: Vec<(i32, String)> = placed
        .iter()
        .map(|(partition, key)| (partition % 2, key.clone()))
        .collect();
    let mut rows = found(modulo.rows()?);
    wanted.sort();
    rows.sort();
    assert_eq!(rows, wanted);

    let by_key = Topic::later("by-key")?;
    put(&PutBackRequest {
        repartition: Repartition::Key,
        topics: topics(&by_key),
        ..request.clone()
    })?;
    let fresh = Topic::new("fresh", 2)?;
    let keyed: Vec<Row> = keys
        .iter()
        .map(|key| Row {
            key: Some(key.as_bytes()),
            ..Row::default()
        })
        .collect();
    fresh.send(&keyed)?;
    let (mut rows, mut wanted) = (found(by_key.rows()?), found(fresh.rows()?));
    rows.sort();
    wanted.sort();
    assert_eq!(rows, wanted);
    Ok(())
}

fn a_replay_keeps_the_gaps_in_time() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("gaps", 1, &[("retention.ms", "-1")])?;
    let row = |after_ms: i64| Row {
        value: Some(b"{}"),
        timestamp_ms: Some(NOON + after_ms),
        ..Row::default()
    };
    topic.send(&[row(0), row(4_000), row(4_000), row(10_000)])?;
    recorded(&everything(&topic, directory.path()))?;
    let again = Topic::later("gaps-again")?;
    let to = again.address();
    let trace = directory.path().to_str().expect("a path");
    let told = said(&skirl(&["replay-to", &to, trace, "--speed", "10"])?, 0);
    assert!(told.contains("4 rows acknowledged in 1."), "{told}");
    let times: Vec<i64> = again.rows()?.iter().map(|row| row.timestamp_ms).collect();
    let after: Vec<i64> = times.iter().map(|time| time - times[0]).collect();
    for (found, wanted) in after.iter().zip([0, 400, 400, 1_000]) {
        assert!(
            (wanted - 5..wanted + 300).contains(found),
            "rows came after {after:?} ms"
        );
    }
    Ok(())
}

fn timestamps_a_topic_does_not_keep_are_refused() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("old", 1, &[("retention.ms", "-1")])?;
    topic.send(&[Row {
        value: Some(b"{}"),
        timestamp_ms: Some(NOON),
        ..Row::default()
    }])?;
    recorded(&everything(&topic, directory.path()))?;
    let again = Topic::later("old-again")?;
    let message = put(&back_to(&again, directory.path())?)
        .unwrap_err()
        .message()
        .unwrap_or_default()
        .to_string();
    assert!(message.contains("`retention.ms` of topic"), "{message}");
    Ok(())
}
