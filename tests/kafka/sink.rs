//! The engine's sink to topics: columns, and how often a row arrives after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use skirl_engine::error::in_full;
use skirl_engine::sink::{KafkaSink, Sink};
use skirl_engine::source::MemoryStream;
use skirl_engine::storage::{MemoryStorage, Storage};
use skirl_engine::{OutputMode, Session, StreamingQuery, Trigger};
use skirl_kafka::Row;

use crate::needs::{Outcome, Test, soon, tests};
use crate::query::Query;
use crate::role::Role;
use crate::topic::Topic;
use crate::trace::said;

pub const TESTS: &[Test] = tests! {
    Broker:
        rows_go_where_their_columns_say,
        headers_are_written_as_they_were_read,
        equal_keys_go_where_java_s_producer_sends_them,
        a_row_that_is_too_large_ends_the_query,
        at_least_once_writes_a_batch_again_after_a_crash,
        exactly_once_leaves_out_a_batch_that_was_committed_before_the_crash,
        exactly_once_gives_up_what_a_killed_run_left_open,
        a_second_run_of_a_query_shuts_the_first_one_out,
        an_exactly_once_sink_needs_a_topic_for_its_mark;
};

/// A sink to a topic with options.
fn sink(topic: &Topic, options: &[(&str, &str)]) -> Result<KafkaSink, skirl_engine::Error> {
    let options: BTreeMap<String, String> = options
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    KafkaSink::new(&topic.properties, &options)
}

fn texts(columns: &[(&str, &[Option<&str>])]) -> RecordBatch {
    let column = |(name, values): &(&str, &[Option<&str>])| -> (String, ArrayRef) {
        (name.to_string(), Arc::new(StringArray::from(values.to_vec())))
    };
    RecordBatch::try_from_iter(columns.iter().map(column)).expect("columns of one length")
}

fn rows_go_where_their_columns_say() -> Outcome {
    let (one, other) = (Topic::new("sink-one", 3)?, Topic::new("sink-other", 3)?);
    let rows = texts(&[
        ("value", &[Some("a"), Some("b"), None]),
        ("key", &[Some("k"), None, Some("gone")]),
        ("topic", &[Some(&one.name), Some(&other.name), Some(&one.name)]),
    ]);
    let partitions: ArrayRef = Arc::new(Int32Array::from(vec![2, 1, 0]));
    let mut columns: Vec<(String, ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .map(|f| f.name().clone())
        .zip(rows.columns().iter().cloned())
        .collect();
    columns.push(("partition".to_string(), partitions));
    let rows = RecordBatch::try_from_iter(columns)?;
    sink(&one, &[])?.write(0, &rows, OutputMode::Append)?;
    assert_eq!(
        Query::new(&one)?.run()?.rows(),
        ["0@0 NULL", "2@0 a"],
        "a row without value is a tombstone"
    );
    assert_eq!(Query::new(&other)?.run()?.rows(), ["1@0 b"]);
    // The option stands above the column.
    sink(&one, &[("topic", &other.name)])?.write(1, &rows, OutputMode::Append)?;
    assert_eq!(
        Query::new(&other)?.run()?.rows(),
        ["0@0 NULL", "1@0 b", "1@1 b", "2@0 a"]
    );
    Ok(())
}

fn headers_are_written_as_they_were_read() -> Outcome {
    let (input, output) = (Topic::new("sink-headers-in", 1)?, Topic::new("sink-headers-out", 1)?);
    let headers: [(&str, Option<&[u8]>); 4] = [
        ("a", Some(b"1")),
        ("a", Some(b"\xff\x00")),
        ("b", None),
        ("", Some(b"")),
    ];
    let row = |headers| Row {
        value: Some(b"v"),
        headers,
        ..Row::default()
    };
    input.send(&[row(&headers), row(&[])])?;
    let dir = tempfile::tempdir()?;
    let mut query = Role::Skirl.command();
    query
        .args(["query", "SELECT value, headers FROM s", "--trigger=available-now"])
        .arg(format!("--stream=s={}", input.address()))
        .args(["--option=s.startingOffsets=earliest", "--option=s.includeHeaders=true"])
        .arg(format!("--sink={}", output.address()))
        .arg("--checkpoint")
        .arg(dir.path());
    said(&query.output()?, 0);
    let headers_of = |topic: &Topic| -> Result<Vec<_>, libtest_mimic::Failed> {
        Ok(topic.rows()?.into_iter().map(|row| row.headers).collect())
    };
    let written = headers_of(&output)?;
    assert_eq!((written.len(), written[0].len()), (2, headers.len()));
    assert_eq!(written, headers_of(&input)?);
    Ok(())
}

fn equal_keys_go_where_java_s_producer_sends_them() -> Outcome {
    let topic = Topic::new("sink-keys", 10)?;
    let keys = ["Porto", "Lisboa", "Faro", "Porto"].map(Some);
    let rows = texts(&[("key", &keys), ("value", &["a", "b", "c", "d"].map(Some))]);
    sink(&topic, &[("topic", &topic.name)])?.write(0, &rows, OutputMode::Append)?;
    // murmur2 of the key, as org.apache.kafka.common.utils.Utils has it, modulo 10.
    assert_eq!(
        Query::new(&topic)?.run()?.rows(),
        murmur2_rows(&[("Porto", "a"), ("Lisboa", "b"), ("Faro", "c"), ("Porto", "d")])
    );
    Ok(())
}

/// The rows of keys and values, each in the partition Java's default partitioner gives its key, of 10.
fn murmur2_rows(rows: &[(&str, &str)]) -> Vec<String> {
    let mut by_partition: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (key, value) in rows {
        by_partition
            .entry((murmur2(key.as_bytes()) & 0x7fff_ffff) % 10)
            .or_default()
            .push(value);
    }
    by_partition
        .into_iter()
        .flat_map(|(partition, values)| {
            values
                .into_iter()
                .enumerate()
                .map(move |(offset, value)| format!("{partition}@{offset} {value}"))
        })
        .collect()
}

/// Java's hash of keys, written down a second time to hold the sink to it.
fn murmur2(bytes: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MIX);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MIX) ^ k.wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0u32, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MIX);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MIX);
    hash ^ hash >> 15
}

fn a_row_that_is_too_large_ends_the_query() -> Outcome {
    let topic = Topic::with("sink-large", 1, &[("max.message.bytes", "10000")])?;
    let large = "x".repeat(20_000);
    let rows = texts(&[("value", &[Some("a"), Some(large.as_str())])]);
    let error = sink(&topic, &[("topic", &topic.name)])?
        .write(0, &rows, OutputMode::Append)
        .unwrap_err();
    assert!(
        in_full(&error).contains("larger than is taken; raise `message.max.bytes`"),
        "{error}"
    );
    Ok(())
}

/// A checkpoint that loses the commit of a batch, as a crash between the sink and the commit log does.
#[derive(Clone, Default)]
struct Forgetful {
    kept: MemoryStorage,
    forgets: Arc<Mutex<Option<u64>>>,
}

impl Storage for Forgetful {
    fn write(&mut self, name: &str, bytes: &[u8]) -> skirl_engine::Result<()> {
        let forgets = *self.forgets.lock().expect("nobody panics");
        if forgets.is_some_and(|batch| name == format!("commits/{batch}")) {
            return Err(skirl_engine::Error::Invalid("the machine is off".to_string()));
        }
        self.kept.write(name, bytes)
    }
    fn read(&self, name: &str) -> skirl_engine::Result<Option<Vec<u8>>> {
        self.kept.read(name)
    }
    fn list(&self, folder: &str) -> skirl_engine::Result<Vec<String>> {
        self.kept.list(folder)
    }
    fn remove(&mut self, name: &str) -> skirl_engine::Result<()> {
        self.kept.remove(name)
    }
    fn dir(&self) -> Option<&std::path::Path> {
        self.kept.dir()
    }
}

/// A query that copies a stream in memory to a topic.
fn copy(
    stream: &MemoryStream,
    topic: &Topic,
    guarantee: &str,
    checkpoint: &Forgetful,
) -> Result<StreamingQuery, libtest_mimic::Failed> {
    let mut session = Session::new(BTreeMap::new());
    let source = stream.clone();
    let schema = texts(&[("value", &[])]).schema();
    session.read_stream("s", schema, move || Ok(Box::new(source.source(Some(1)))))?;
    let sink = sink(topic, &[("topic", &topic.name), ("deliveryGuarantee", guarantee)])?;
    let writer = session
        .write_stream("SELECT value FROM s")?
        .checkpoint(checkpoint.clone());
    Ok(writer.start(Box::new(sink))?)
}

/// What a topic holds after batches `a`, `b` and `c`, the commit of `b` being lost once.
fn after_a_crash(name: &str, guarantee: &str) -> Result<Vec<String>, libtest_mimic::Failed> {
    let topic = Topic::new(name, 1)?;
    let stream = MemoryStream::new(texts(&[("value", &[])]).schema());
    for value in ["a", "b", "c"] {
        stream.add(texts(&[("value", &[Some(value)])]))?;
    }
    let checkpoint = Forgetful::default();
    *checkpoint.forgets.lock().expect("nobody panics") = Some(1);
    let crashed = copy(&stream, &topic, guarantee, &checkpoint)?.run(Trigger::AvailableNow, |_| ());
    assert!(crashed.is_err_and(|error| in_full(&error).contains("the machine is off")));
    *checkpoint.forgets.lock().expect("nobody panics") = None;
    copy(&stream, &topic, guarantee, &checkpoint)?.run(Trigger::AvailableNow, |_| ())?;
    let read = Query::new(&topic)?
        .with("kafka.isolation.level", "read_committed")
        .run()?;
    Ok(read
        .rows()
        .iter()
        .map(|row| row.split(' ').next_back().unwrap_or_default().to_string())
        .collect())
}

fn at_least_once_writes_a_batch_again_after_a_crash() -> Outcome {
    assert_eq!(after_a_crash("sink-least", "at-least-once")?, ["a", "b", "b", "c"]);
    Ok(())
}

fn exactly_once_leaves_out_a_batch_that_was_committed_before_the_crash() -> Outcome {
    assert_eq!(after_a_crash("sink-exactly", "exactly-once")?, ["a", "b", "c"]);
    Ok(())
}

fn exactly_once_gives_up_what_a_killed_run_left_open() -> Outcome {
    const ROWS: usize = 400_000;
    let topic = Topic::new("sink-killed", 1)?;
    let dir = tempfile::tempdir()?;
    let files = dir.path().join("in");
    std::fs::create_dir(&files)?;
    let lines: String = (0..ROWS)
        .map(|row| format!("{{\"value\":\"row {row} {}\"}}\n", "x".repeat(80)))
        .collect();
    std::fs::write(files.join("rows.jsonl"), lines)?;
    let query = || {
        let mut query = Role::Skirl.command();
        query
            .args(["query", "SELECT value FROM s", "--trigger", "available-now"])
            .arg(format!("--stream=s={}", files.display()))
            .arg("--schema=s=value STRING")
            .arg(format!(
                "--sink=kafka://{}/{}",
                topic.properties.bootstrap(),
                topic.name
            ))
            .args(["--option", "sink.deliveryGuarantee=exactly-once", "--checkpoint"])
            .arg(dir.path().join("checkpoint"));
        query
    };
    let mut killed = query().spawn()?;
    soon("nothing was written", || topic.end(0).ok().filter(|end| *end > 1_000))?;
    killed.kill()?;
    killed.wait()?;
    assert!(topic.end(0)? < ROWS as i64, "it was killed too late to prove anything");

    let again = query().output()?;
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let read = Query::new(&topic)?
        .with("kafka.isolation.level", "read_committed")
        .run()?
        .rows();
    let rows: BTreeSet<&str> = read
        .iter()
        .filter_map(|row| row.split_once(' '))
        .map(|(_, value)| value)
        .collect();
    assert_eq!((read.len(), rows.len()), (ROWS, ROWS), "every row once");
    Ok(())
}

fn a_second_run_of_a_query_shuts_the_first_one_out() -> Outcome {
    let topic = Topic::new("sink-fenced", 1)?;
    let options = [("topic", topic.name.as_str()), ("deliveryGuarantee", "exactly-once")];
    let rows = texts(&[("value", &[Some("a")])]);
    let (mut first, mut second) = (sink(&topic, &options)?, sink(&topic, &options)?);
    first.open(Some("one-checkpoint"))?;
    first.write(0, &rows, OutputMode::Append)?;
    second.open(Some("one-checkpoint"))?;
    let error = first.write(1, &rows, OutputMode::Append).unwrap_err();
    assert_eq!(
        in_full(&error),
        "another producer has taken over the transactional id `skirl-one-checkpoint`: the same query seems to run twice; stop \
         the other one, or give this one a checkpoint of its own"
    );
    second.write(0, &rows, OutputMode::Append)?; // it knows that batch 0 is there
    second.write(1, &rows, OutputMode::Append)?;
    let read = Query::new(&topic)?
        .with("kafka.isolation.level", "read_committed")
        .run()?;
    assert_eq!(read.rows().len(), 2);
    Ok(())
}

fn an_exactly_once_sink_needs_a_topic_for_its_mark() -> Outcome {
    let topic = Topic::new("sink-mark", 1)?;
    let wrong = format!("{}x", topic.name);
    let options = [("topic", wrong.as_str()), ("deliveryGuarantee", "exactly-once")];
    let error = sink(&topic, &options)?
        .open(Some("checkpoint"))
        .unwrap_err()
        .to_string();
    assert!(error.contains(&format!("did you mean `{}`?", topic.name)), "{error}");
    Ok(())
}
