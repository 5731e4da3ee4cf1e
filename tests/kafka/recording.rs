//! `skirl record`, `skirl replay-to` and `skirl fit`: topics into traces and back.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skirl::broker::until;
use skirl::fit::{FitRequest, fit, look_alikes};
use skirl::judge::{Status, Trial, judge};
use skirl::recording::{
    Ended, PutBack, PutBackRequest, RecordRequest, Recorded, Repartition, Start, Until, put_back, record,
};
use skirl::scenario::{Scenario, parse_schema};
use skirl::system::Embedded;
use skirl_generator::lateness::{LayerSpec, Network};
use skirl_generator::spec::{Cut, Micros};
use skirl_generator::target::kafka::{Clock, SendPace, Timestamps};
use skirl_generator::trace::{TRACE_FILE, TraceFile};
use skirl_generator::{Arrival, StreamSpec, generate};
use skirl_kafka::{Admin, Existing, Row};

use crate::needs::{Outcome, Test, shared, tests, unique};
use crate::role::Role;
use crate::topic::{Found, PATIENCE, TestTopic};

pub const TESTS: &[Test] = tests! {
    Broker:
        odd_rows_come_back_byte_for_byte,
        a_recording_begins_and_ends_where_it_is_told,
        partitions_are_merged_by_timestamp_and_micro_batches_cut_by_it,
        ctrl_c_leaves_a_complete_trace,
        an_interrupted_recording_keeps_what_it_has,
        partitions_that_are_added_are_recorded_too,
        a_topic_deleted_on_the_way_ends_the_recording_with_what_there_is,
        other_numbers_of_partitions_are_refused_unless_it_is_said_where_records_go,
        a_replay_keeps_the_gaps_in_time,
        a_recording_is_a_scenarios_input,
        a_value_that_is_no_json_is_a_row_of_nulls,
        confluent_values_are_carried_and_never_decoded,
        timestamps_a_topic_does_not_keep_are_refused,
        wrong_requests_say_what_to_write,
        lateness_of_each_partition_is_fitted;
};

/// A clock that moves on with every look at it, so that nothing has to be waited for.
struct Ticking {
    now_us: AtomicI64,
    tick_us: i64,
}

impl Ticking {
    fn every(tick_us: i64) -> Self {
        Ticking {
            now_us: AtomicI64::new(1_733_220_000_000_000),
            tick_us,
        }
    }
}

impl Clock for Ticking {
    fn now_us(&self) -> i64 {
        self.now_us.fetch_add(self.tick_us, Ordering::Relaxed)
    }
}

/// A request for all that is in a topic now.
fn everything(topic: &TestTopic, directory: &Path) -> RecordRequest {
    RecordRequest {
        properties: topic.properties.clone(),
        topics: vec![topic.name.clone()],
        start: Start::Earliest,
        until: Until {
            offsets: Some(BTreeMap::new()),
            ..Until::default()
        },
        directory: directory.to_path_buf(),
        cut: Cut::Rows(1_000),
        schemas: BTreeMap::new(),
        bytes_only: false,
    }
}

fn recorded(request: &RecordRequest) -> Result<Recorded, Failed> {
    Ok(record(request, &Ticking::every(1), &|| false, &mut |_, _| ())?)
}

/// A request to put a trace of one stream back to a topic, with its timestamps and as fast as it goes.
fn back_to(topic: &TestTopic, trace: &Path) -> Result<PutBackRequest, Failed> {
    let stream = described(trace)?.streams.remove(0).name;
    Ok(PutBackRequest {
        trace: trace.to_path_buf(),
        properties: topic.properties.clone(),
        topics: [(stream, topic.name.clone())].into_iter().collect(),
        partitions: None,
        settings: BTreeMap::new(),
        existing: Existing::Refuse,
        repartition: Repartition::Refuse,
        pace: SendPace::Unlimited,
        timestamps: Timestamps::Original,
    })
}

fn put(request: &PutBackRequest) -> Result<PutBack, Failed> {
    let now = skirl_engine::clock::Clock::now_ms(&skirl_engine::clock::SystemClock) * 1_000;
    let clock = Ticking {
        now_us: AtomicI64::new(now),
        tick_us: 1,
    };
    Ok(put_back(request, &clock, &|| false, &mut |_, _| ())?)
}

fn described(trace: &Path) -> Result<TraceFile, Failed> {
    Ok(TraceFile::from_toml(&fs::read_to_string(trace.join(TRACE_FILE))?)?)
}

/// Every file of a trace but its description, and its bytes.
fn files(trace: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut files = BTreeMap::new();
    for directory in fs::read_dir(trace)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, Failed>>()?
    {
        if directory.is_dir() {
            for file in fs::read_dir(&directory)? {
                let path = file?.path();
                files.insert(path.strip_prefix(trace)?.to_path_buf(), fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

fn skirl(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Role::Skirl.command().args(arguments).output()?)
}

fn said(output: &Output, code: i32) -> String {
    let text = [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

const NOON: i64 = 1_733_227_200_000;

/// Everything Kafka allows and people forget.
fn odd_rows<'a>() -> Vec<Row<'a>> {
    const HEADERS: &[(&str, Option<&[u8]>)] = &[
        ("a", Some(b"1")),
        ("a", Some(b"2")),
        ("b", None),
        ("b", Some(b"")),
        ("", Some(b"\xff\0")),
    ];
    let row = |partition, key, value, after_ms, headers| Row {
        partition: Some(partition),
        key,
        value,
        timestamp_ms: Some(NOON + after_ms),
        headers,
        tag: 0,
    };
    vec![
        row(
            0,
            Some(&b"Porto"[..]),
            Some(&br#"{"district":"Porto","n":1}"#[..]),
            0,
            &[][..],
        ),
        row(0, None, Some(b"{\"n\":2}"), 40, HEADERS),
        row(0, Some(b""), Some(b""), 20, &[]),
        row(0, Some(b"\xff\xfe"), Some(b"\xff\0\n\r"), 30, HEADERS),
        row(1, Some(b"gone"), None, 10, &[]),
        row(1, None, None, 10, HEADERS),
        row(1, Some(b"k"), Some(b"{\n\"n\": 3 }"), 2_500, &[]),
        row(2, Some(b"avro"), Some(b"no json"), 1_700, &HEADERS[..1]),
    ]
}

fn odd_rows_come_back_byte_for_byte() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let topic = TestTopic::made(&bootstrap, unique("odd"), 4, &[("retention.ms", "-1")])?;
    topic.write(&odd_rows())?;
    let wrote = topic.rows()?;
    let mut request = everything(&topic, &first);
    request.cut = Cut::Every(Micros::seconds(1));
    assert_eq!(recorded(&request)?.streams[0].records, 8);

    topic.delete()?;
    let is_gone = || (!topic.is_there().ok()?).then_some(());
    assert!(until(PATIENCE, is_gone).is_some());
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

fn a_recording_begins_and_ends_where_it_is_told() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("bounds"), 2, &[("retention.ms", "-1")])?;
    let rows: Vec<Row> = (0..40)
        .map(|n| Row {
            partition: Some(n % 2),
            value: Some(b"{}"),
            timestamp_ms: Some(NOON + i64::from(n) * 1_000),
            ..Row::default()
        })
        .collect();
    topic.write(&rows)?;
    let offsets = |zero: i64, one: i64| {
        let partitions = [(0, zero), (1, one)].into_iter().collect();
        [(topic.name.clone(), partitions)].into_iter().collect()
    };
    let number = Cell::new(0);
    let count = |start: Start, until: Until| -> Result<(Vec<u64>, Ended), Failed> {
        number.set(number.get() + 1);
        let trace = directory.path().join(number.get().to_string());
        let done = recorded(&RecordRequest {
            start,
            until,
            ..everything(&topic, &trace)
        })?;
        let partitions = described(&trace)?
            .streams
            .remove(0)
            .kafka
            .expect("a recording")
            .partitions;
        Ok((
            partitions.iter().map(|partition| partition.records).collect(),
            done.ended,
        ))
    };
    let to_end = || Until {
        offsets: Some(BTreeMap::new()),
        ..Until::default()
    };
    let to = |zero, one| Until {
        offsets: Some(offsets(zero, one)),
        ..Until::default()
    };
    let whole = (vec![20, 20], Ended::Offsets);
    assert_eq!(count(Start::Earliest, to_end())?, whole);
    assert_eq!(count(Start::Offsets(offsets(-2, -2)), to(-1, -1))?, whole);
    assert_eq!(count(Start::Latest, to_end())?, (vec![0, 0], Ended::Offsets));
    assert_eq!(
        count(Start::AtTime(NOON + 30_000), to_end())?,
        (vec![5, 5], Ended::Offsets)
    );
    assert_eq!(
        count(Start::AtTime(NOON + 60_000), to_end())?,
        (vec![0, 0], Ended::Offsets)
    );
    assert_eq!(
        count(Start::Offsets(offsets(3, 18)), to(5, 20))?,
        (vec![2, 2], Ended::Offsets)
    );
    let seven = Until {
        records: Some(7),
        ..Until::default()
    };
    let (partitions, ended) = count(Start::Earliest, seven)?;
    assert_eq!((partitions.iter().sum::<u64>(), ended), (7, Ended::Records));
    let (_, ended) = count(
        Start::Earliest,
        Until {
            lasts_us: Some(3),
            ..Until::default()
        },
    )?;
    assert_eq!(ended, Ended::Time);
    Ok(())
}

fn partitions_are_merged_by_timestamp_and_micro_batches_cut_by_it() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("merge"), 2, &[("retention.ms", "-1")])?;
    let values: Vec<String> = (0..6).map(|n| format!("{{\"n\":{n}}}")).collect();
    let row = |n: usize, partition, after_ms| Row {
        partition: Some(partition),
        value: Some(values[n].as_bytes()),
        timestamp_ms: Some(NOON + after_ms),
        ..Row::default()
    };
    // Row 2 is older than row 1 before it, and so counts as old as that.
    topic.write(&[
        row(0, 0, 100),
        row(1, 0, 900),
        row(2, 0, 200),
        row(3, 0, 5_300),
        row(4, 1, 500),
        row(5, 1, 950),
    ])?;
    let request = RecordRequest {
        cut: Cut::Every(Micros::seconds(1)),
        ..everything(&topic, directory.path())
    };
    assert_eq!(
        recorded(&request)?.micro_batches,
        2,
        "seconds without a record make no micro-batch"
    );
    let stream = &described(directory.path())?.streams[0].name;
    let lines = |number: u32| fs::read_to_string(directory.path().join(stream).join(format!("{number:06}.jsonl")));
    assert_eq!(lines(0)?, "{\"n\":0}\n{\"n\":4}\n{\"n\":1}\n{\"n\":2}\n{\"n\":5}\n");
    assert_eq!(lines(1)?, "{\"n\":3}\n");
    Ok(())
}

fn ctrl_c_leaves_a_complete_trace() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("ctrl-c"), 2, &[])?;
    topic.write(&vec![
        Row {
            value: Some(b"{\"n\":1}"),
            ..Row::default()
        };
        100
    ])?;
    let trace = directory.path().join("trace");
    let mut command = Role::Skirl.command();
    command.args([
        "record",
        "--start",
        "earliest",
        "--topics",
        &topic.name,
        "--from",
        &format!("kafka://{bootstrap}"),
    ]);
    let running = command.arg("--to").arg(&trace).stdout(Stdio::piped()).spawn()?;
    assert!(until(PATIENCE, || trace.exists().then_some(())).is_some());
    kill(Pid::from_raw(i32::try_from(running.id())?), Signal::SIGINT)?;
    let told = said(&running.wait_with_output()?, 0);
    assert!(
        told.contains("interrupted; the trace is complete up to there"),
        "{told}"
    );
    let stream = described(&trace)?.streams.remove(0);
    let records: u64 = stream
        .kafka
        .expect("a recording")
        .partitions
        .iter()
        .map(|partition| partition.records)
        .sum();
    assert!(records <= 100);
    let hidden = files(&trace)?.keys().any(|path| path.to_string_lossy().contains("/_"));
    assert!(!hidden, "half a file is left");
    Ok(())
}

fn an_interrupted_recording_keeps_what_it_has() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("interrupted"), 1, &[])?;
    topic.write(&vec![
        Row {
            value: Some(b"{\"n\":1}"),
            ..Row::default()
        };
        100
    ])?;
    let request = RecordRequest {
        until: Until::default(),
        ..everything(&topic, directory.path())
    };
    let enough = Cell::new(false);
    let done = record(&request, &Ticking::every(1), &|| enough.get(), &mut |records, _| {
        enough.set(records == 100)
    })?;
    assert_eq!((done.ended, done.streams[0].records), (Ended::Interrupted, 100));
    assert_eq!(
        fs::read_to_string(directory.path().join(&done.streams[0].name).join("000000.jsonl"))?
            .lines()
            .count(),
        100
    );
    Ok(())
}

fn partitions_that_are_added_are_recorded_too() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("grown"), 1, &[])?;
    topic.write(&[Row {
        value: Some(b"{\"n\":1}"),
        ..Row::default()
    }])?;
    let request = RecordRequest {
        until: Until {
            records: Some(2),
            ..Until::default()
        },
        ..everything(&topic, directory.path())
    };
    let grown = Cell::new(false);
    // A clock that makes it look for partitions all the time.
    let done = record(&request, &Ticking::every(1_000_000), &|| false, &mut |records, _| {
        if records == 1 && !grown.replace(true) {
            let admin = Admin::connect(&topic.properties).expect("a broker");
            admin.grow(&topic.name, 2).expect("a second partition");
            let row = Row {
                partition: Some(1),
                value: Some(b"{\"n\":2}"),
                ..Row::default()
            };
            let is_written = || topic.write(std::slice::from_ref(&row)).ok();
            until(PATIENCE, is_written).expect("the second partition takes rows");
        }
    })?;
    assert_eq!(
        (done.ended, done.streams[0].partitions, done.streams[0].records),
        (Ended::Records, 2, 2)
    );
    Ok(())
}

fn a_topic_deleted_on_the_way_ends_the_recording_with_what_there_is() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("deleted"), 1, &[])?;
    topic.write(&[Row {
        value: Some(b"{\"n\":1}"),
        ..Row::default()
    }])?;
    let request = RecordRequest {
        until: Until::default(),
        ..everything(&topic, directory.path())
    };
    let deleted = Cell::new(false);
    let done = record(&request, &Ticking::every(1_000_000), &|| false, &mut |records, _| {
        if records == 1 && !deleted.replace(true) {
            topic.delete().expect("a topic that is there");
        }
    })?;
    let Ended::Trouble(trouble) = done.ended else {
        panic!("{:?}", done.ended)
    };
    assert!(trouble.contains("there is no topic"), "{trouble}");
    assert_eq!(described(directory.path())?.streams[0].micro_batches, 1);
    Ok(())
}

fn other_numbers_of_partitions_are_refused_unless_it_is_said_where_records_go() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("parts"), 3, &[("retention.ms", "-1")])?;
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
    topic.write(&rows)?;
    recorded(&everything(&topic, directory.path()))?;
    let other = |name: &str| TestTopic::named(&bootstrap, unique(name));

    let refused = other("refused")?;
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
    let is_gone = || (!refused.is_there().ok()?).then_some(());
    assert!(
        until(PATIENCE, is_gone).is_some(),
        "a topic that was made for nothing is left"
    );

    let modulo = other("modulo")?;
    let topics = |topic: &TestTopic| {
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

    let by_key = other("by-key")?;
    put(&PutBackRequest {
        repartition: Repartition::Key,
        topics: topics(&by_key),
        ..request.clone()
    })?;
    let fresh = TestTopic::made(&bootstrap, unique("fresh"), 2, &[])?;
    let keyed: Vec<Row> = keys
        .iter()
        .map(|key| Row {
            key: Some(key.as_bytes()),
            ..Row::default()
        })
        .collect();
    fresh.write(&keyed)?;
    let (mut rows, mut wanted) = (found(by_key.rows()?), found(fresh.rows()?));
    rows.sort();
    wanted.sort();
    assert_eq!(rows, wanted);
    Ok(())
}

fn a_replay_keeps_the_gaps_in_time() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("gaps"), 1, &[("retention.ms", "-1")])?;
    let row = |after_ms: i64| Row {
        value: Some(b"{}"),
        timestamp_ms: Some(NOON + after_ms),
        ..Row::default()
    };
    topic.write(&[row(0), row(4_000), row(4_000), row(10_000)])?;
    recorded(&everything(&topic, directory.path()))?;
    let again = TestTopic::named(&bootstrap, unique("gaps-again"))?;
    let to = format!("kafka://{bootstrap}/{}", again.name);
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

fn a_recording_is_a_scenarios_input() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::named(&bootstrap, unique("scenario"))?;
    let to = format!("kafka://{bootstrap}/{}", topic.name);
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
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("nulls"), 4, &[("retention.ms", "-1")])?;
    topic.write(&odd_rows())?;
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
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("confluent"), 1, &[("retention.ms", "-1")])?;
    let value = b"\0\0\0\0\x2a\x02\x0aPorto";
    topic.write(&[Row {
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
    let again = TestTopic::named(&bootstrap, unique("confluent-again"))?;
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

fn timestamps_a_topic_does_not_keep_are_refused() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("old"), 1, &[("retention.ms", "-1")])?;
    topic.write(&[Row {
        value: Some(b"{}"),
        timestamp_ms: Some(NOON),
        ..Row::default()
    }])?;
    recorded(&everything(&topic, directory.path()))?;
    let again = TestTopic::named(&bootstrap, unique("old-again"))?;
    let message = put(&back_to(&again, directory.path())?)
        .unwrap_err()
        .message()
        .unwrap_or_default()
        .to_string();
    assert!(message.contains("`retention.ms` of topic"), "{message}");
    Ok(())
}

fn wrong_requests_say_what_to_write() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("wrong"), 1, &[])?;
    let (from, to) = (format!("kafka://{bootstrap}"), directory.path().join("trace"));
    let to = to.to_str().expect("a path");
    let record = |more: &[&str]| skirl(&[&["record", "--from", &from, "--until-end", "--to", to], more].concat());
    for (more, wanted) in [
        (vec![], "there is no topic to record"),
        (
            vec!["--topics", "nowhere-to-be-found"],
            "there is no topic `nowhere-to-be-found`",
        ),
        (vec!["--topics", "a.b,a_b"], "would both be the stream `a_b`"),
        (
            vec!["--topics", &topic.name, "--schema", "other=n INT"],
            "names no topic that is recorded",
        ),
        (
            vec!["--topics", &topic.name, "--start", "{\"x\":{\"0\":1}}"],
            "partition 0 of `x`, which is not recorded",
        ),
        (
            vec!["--topics", &topic.name, "--start", "yesterday"],
            "is no place to begin",
        ),
    ] {
        let told = said(&record(&more)?, 2);
        assert!(told.contains(wanted), "{told}");
    }
    said(&record(&["--topics", &topic.name])?, 0);
    let told = said(&record(&["--topics", &topic.name])?, 2);
    assert!(told.contains("already holds files"), "{told}");

    let out = directory.path().join("generated");
    let out = out.to_str().expect("a path");
    said(&skirl(&["generate", "weather", "--rows", "5", "--to", out])?, 0);
    let told = said(&skirl(&["replay-to", &from, out])?, 2);
    assert!(
        told.contains("stream `weather`") && told.contains("was not recorded from Kafka"),
        "{told}"
    );
    let told = said(&skirl(&["replay-to", &from, "nowhere"])?, 2);
    assert!(told.contains("cannot access nowhere/trace.toml"), "{told}");
    Ok(())
}

/// One partition in order, one that lags behind by Pareto's law, recorded with the times of their arrivals.
fn lateness_of_each_partition_is_fitted() -> Outcome {
    let (bootstrap, directory) = (shared()?, tempfile::tempdir()?);
    let topic = TestTopic::made(&bootstrap, unique("fit"), 2, &[("retention.ms", "-1")])?;
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
    topic.write(&written)?;
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
