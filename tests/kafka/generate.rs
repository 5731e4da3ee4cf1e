//! `skirl generate --to kafka://...`: streams as topics.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use libtest_mimic::Failed;
use skirl::broker::{Cluster, Options};
use skirl_kafka::Row;

use crate::everywhere::begun;
use crate::needs::{Outcome, SOON, Test, shared, soon, tests, unique};
use crate::role::Role;
use crate::topic::{Found, Topic};
use crate::trace::{said, skirl};

pub const TESTS: &[Test] = tests! {
    Broker:
        seed_streams_have_the_same_bytes_in_topics_as_in_files,
        a_topic_that_is_there_is_refused_unless_it_is_allowed,
        original_timestamps_are_refused_by_the_setting_that_stands_against_them,
        original_timestamps_are_the_arrivals_of_the_stream,
        rows_of_a_key_are_in_one_partition_and_rows_without_are_in_any,
        rows_too_large_are_left_out_and_reported,
        a_topic_deleted_on_the_way_ends_sending_with_the_count_so_far;
    Machine:
        a_rate_is_kept;
    OwnCluster:
        rows_a_dead_broker_has_not_acknowledged_are_reported;
};

const SCENARIO: &str = r#"
    title = "Conversions and sales"
    seed = 7
    [streams.scotsmen]
    kind = "scotsmen"
    rows = 3_000
    batch = "1m"
    lateness = [{ model = "pareto", share = 0.1, max = "2m" }, { model = "duplicate" }, { model = "corrupt", share = 0.05, oversize_bytes = 10 }]
    [streams.bagpipe]
    kind = "bagpipe"
    rows = 2_000
    [query]
    sql = "SELECT count(*) AS n FROM scotsmen"
    output_mode = "complete"
    [expect]
    output_rows = "> 0"
"#;

/// The lines of a stream's files, in order.
fn lines(directory: &Path) -> Result<Vec<Vec<u8>>, Failed> {
    let mut paths: Vec<_> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, Failed>>()?;
    paths.sort();
    let mut lines = vec![];
    for path in paths {
        let bytes = fs::read(path)?;
        lines.extend(
            bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(|line| line[..line.len() - 1].to_vec()),
        );
    }
    Ok(lines)
}

/// Values by partition, in their order.
fn by_partition(rows: Vec<Found>) -> BTreeMap<i32, Vec<Vec<u8>>> {
    let mut partitions: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
    for row in rows {
        partitions
            .entry(row.partition)
            .or_default()
            .push(row.value.unwrap_or_default());
    }
    partitions
}

fn seed_streams_have_the_same_bytes_in_topics_as_in_files() -> Outcome {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("both.toml");
    fs::write(&file, SCENARIO)?;
    let scenario = ["generate", "--scenario", file.to_str().expect("a path")];
    let out = directory.path().join("out");
    said(
        &skirl(&[&scenario[..], &["--to", out.to_str().expect("a path")]].concat())?,
        0,
    );

    let topics = [Topic::later("files-scotsmen")?, Topic::later("files-bagpipe")?];
    let to = format!("kafka://{}/{}", shared()?, unique("files-{stream}"));
    let told = said(
        &skirl(&[&scenario[..], &["--to", &to, "--partitions", "3"]].concat())?,
        0,
    );
    assert!(told.contains("rows acknowledged"), "{told}");

    for (stream, topic) in ["scotsmen", "bagpipe"].into_iter().zip(&topics) {
        let mut files = lines(&out.join(stream))?;
        let partitions = by_partition(topic.rows()?);
        assert!(partitions.len() > 1, "all rows of {stream} went to one partition");
        // Within a partition rows keep the order of the files.
        for values in partitions.values() {
            let mut from = files.iter();
            assert!(
                values.iter().all(|value| from.any(|line| line == value)),
                "{stream} is out of order"
            );
        }
        let mut sent: Vec<Vec<u8>> = partitions.into_values().flatten().collect();
        sent.sort();
        files.sort();
        assert_eq!(sent, files, "{stream}");
    }
    Ok(())
}

fn a_topic_that_is_there_is_refused_unless_it_is_allowed() -> Outcome {
    let topic = Topic::new("there", 2)?;
    let to = topic.address();
    let generate = ["generate", "weather", "--rows", "10", "--to", &to];
    let told = said(&skirl(&generate)?, 2);
    assert!(
        told.contains(&format!("topic `{}` is there already", topic.name)),
        "{told}"
    );
    assert_eq!(topic.rows()?, []);
    let told = said(
        &skirl(&[&generate[..], &["--allow-existing", "--partitions", "3"]].concat())?,
        2,
    );
    assert!(told.contains("has 2 partitions, not 3"), "{told}");
    said(&skirl(&[&generate[..], &["--allow-existing"]].concat())?, 0);
    assert_eq!(topic.rows()?.len(), 10);
    Ok(())
}

fn original_timestamps_are_refused_by_the_setting_that_stands_against_them() -> Outcome {
    let topic = Topic::later("original")?;
    let to = topic.address();
    for (start, setting, name) in [
        ("2024-01-01", "retention.ms=604800000", "retention.ms"),
        (
            "2024-01-01",
            "message.timestamp.before.max.ms=3600000",
            "message.timestamp.before.max.ms",
        ),
        (
            "2100-01-01",
            "message.timestamp.after.max.ms=3600000",
            "message.timestamp.after.max.ms",
        ),
        (
            "2024-01-01",
            "message.timestamp.type=LogAppendTime",
            "message.timestamp.type",
        ),
    ] {
        let mut arguments = vec![
            "generate",
            "scotsmen",
            "--rows",
            "5",
            "--to",
            &to,
            "--timestamps",
            "original",
        ];
        arguments.extend(["--start", start, "--topic-setting", setting]);
        if name != "retention.ms" {
            arguments.extend(["--topic-setting", "retention.ms=-1"]);
        }
        let told = said(&skirl(&arguments)?, 2);
        assert!(told.contains(&format!("`{name}` of topic")), "{told}");
        topic.wait_until_gone()?; // it was made for nothing
    }
    Ok(())
}

fn original_timestamps_are_the_arrivals_of_the_stream() -> Outcome {
    let topic = Topic::later("arrivals")?;
    let to = topic.address();
    let mut arguments = vec!["generate", "scotsmen", "--rows", "3", "--to", &to, "--partitions", "1"];
    arguments.extend(["--timestamps", "original", "--topic-setting", "retention.ms=-1"]);
    arguments.extend(["--start", "2024-12-03T10:00:00Z", "--lateness", "constant,delay=5s"]);
    said(&skirl(&arguments)?, 0);
    let times: Vec<i64> = topic.rows()?.iter().map(|row| row.timestamp_ms).collect();
    let start = 1_733_220_000_000;
    assert_eq!(times, [start + 5_000, start + 6_000, start + 7_000]);
    Ok(())
}

fn rows_of_a_key_are_in_one_partition_and_rows_without_are_in_any() -> Outcome {
    let topics = [Topic::later("keys")?, Topic::later("no-keys")?];
    let generate = |topic: &Topic, more: &[&str]| {
        let to = topic.address();
        let arguments = ["generate", "scotsmen", "--rows", "2000", "--format", "csv", "--to", &to];
        skirl(&[&arguments[..], more].concat())
    };
    said(&generate(&topics[0], &["--key", "new_scotsmen"])?, 0);
    let mut partitions: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
    for row in topics[0].rows()? {
        let key = row.key.expect("every row has a count");
        let line = String::from_utf8(row.value.expect("a value"))?;
        assert_eq!(line.split(',').nth(1).map(str::as_bytes), Some(&key[..]), "{line}");
        assert_eq!(*partitions.entry(key).or_insert(row.partition), row.partition);
    }
    assert!(partitions.values().collect::<std::collections::BTreeSet<_>>().len() > 1);

    said(&generate(&topics[1], &["--no-key"])?, 0);
    let rows = topics[1].rows()?;
    assert!(rows.len() == 2_000 && rows.iter().all(|row| row.key.is_none()));

    let told = said(&generate(&topics[1], &["--key", "town", "--allow-existing"])?, 2);
    assert!(
        told.contains("stream `scotsmen` has no column `town` for its keys; it has district"),
        "{told}"
    );
    let told = said(&generate(&topics[1], &["--key", "timestamp", "--allow-existing"])?, 2);
    assert!(told.contains("makes no keys"), "{told}");
    Ok(())
}

fn a_rate_is_kept() -> Outcome {
    let topic = Topic::later("rate")?;
    let to = topic.address();
    let told = said(
        &skirl(&["generate", "scotsmen", "--rows", "1500", "--rate", "1k/s", "--to", &to])?,
        0,
    );
    assert!(
        told.contains("1500 rows acknowledged in 1.") && told.contains("behind the pace"),
        "{told}"
    );
    let rows = topic.rows()?;
    let times = rows.iter().map(|row| row.timestamp_ms);
    let lasted = times
        .clone()
        .max()
        .zip(times.min())
        .map_or(0, |(last, first)| last - first);
    assert!(
        (1_400..4_000).contains(&lasted),
        "{lasted} ms from the first row to the last"
    );
    Ok(())
}

fn rows_too_large_are_left_out_and_reported() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::later("large")?;
    let properties = directory.path().join("client.properties");
    fs::write(&properties, "message.max.bytes=2000\n")?;
    let to = topic.address();
    let lateness = "corrupt,share=10%,kinds=[\"oversize\"],oversize_bytes=3000";
    let mut arguments = vec![
        "generate",
        "scotsmen",
        "--rows",
        "500",
        "--to",
        &to,
        "--lateness",
        lateness,
    ];
    arguments.extend(["--kafka-properties", properties.to_str().expect("a path")]);
    let told = said(&skirl(&arguments)?, 1);
    let left_out: usize = told
        .lines()
        .find_map(|line| line.split_once(" rows not written: larger than `message.max.bytes`"))
        .and_then(|(rows, _)| rows.parse().ok())
        .unwrap_or_else(|| panic!("{told}"));
    assert!((20..80).contains(&left_out), "{told}");
    assert_eq!(topic.rows()?.len(), 500 - left_out);
    Ok(())
}

fn a_topic_deleted_on_the_way_ends_sending_with_the_count_so_far() -> Outcome {
    let topic = Topic::later("vanishing")?;
    let to = topic.address();
    let mut command = Role::Skirl.command();
    command.args(["generate", "scotsmen", "--rows", "1M", "--rate", "1k/s", "--to", &to]);
    let running = command.stdout(std::process::Stdio::piped()).spawn()?;
    let has_rows = || topic.rows().ok().filter(|rows| rows.len() > 100);
    soon("no rows come in", has_rows)?;
    let deleted = begun();
    topic.delete()?;
    let told = said(&running.wait_with_output()?, 1);
    assert!(deleted.elapsed() < SOON, "{:?}", deleted.elapsed());
    assert!(told.contains("could not go on: there is no topic"), "{told}");
    assert!(told.contains(" rows acknowledged in "), "{told}");
    Ok(())
}

fn rows_a_dead_broker_has_not_acknowledged_are_reported() -> Outcome {
    let directory = tempfile::tempdir()?;
    let mut cluster = Cluster::start(Options::default())?;
    let topic = Topic::at(&cluster.bootstrap(), "killed")?;
    let properties = directory.path().join("client.properties");
    fs::write(&properties, "message.timeout.ms=3000\n")?;
    let to = topic.address();
    let mut command = Role::Skirl.command();
    command.args(["generate", "scotsmen", "--rows", "6000", "--rate", "2k/s", "--to", &to]);
    command.args(["--kafka-properties", properties.to_str().expect("a path")]);
    let running = command.stdout(std::process::Stdio::piped()).spawn()?;
    let has_rows = || topic.rows().ok().filter(|rows| rows.len() > 500);
    soon("no rows come in", has_rows)?;
    cluster.kill(1)?;
    let told = said(&running.wait_with_output()?, 1);

    let count = |word: &str| -> u64 {
        let lines = told.lines().filter_map(|line| line.split_once(word));
        lines.filter_map(|(rows, _)| rows.parse::<u64>().ok()).sum()
    };
    let (acknowledged, failed) = (count(" rows acknowledged"), count(" rows not written: "));
    let unknown = count(" rows neither acknowledged nor refused");
    assert_eq!(acknowledged + failed + unknown, 6_000, "{told}");
    assert!(acknowledged > 0 && failed + unknown > 0, "{told}");
    cluster.restart(1)?;
    let rows = topic.rows()?;
    assert!(
        rows.len() as u64 >= acknowledged,
        "{} rows are there of which {acknowledged} were acknowledged",
        rows.len()
    );
    topic.send(&[Row::default()])?;
    Ok(())
}
