//! Queries from start to end: triggers, stopping, restarting, names, and what sinks refuse. Time is what the tests say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};

use super::*;
use crate::clock::ManualClock;
use crate::sink::{FileSink, ForeachBatchSink, MemoryTable};
use crate::source::{FileOrder, FileSource, MemoryStream, Source};
use crate::storage::MemoryStorage;

const SECOND_MS: i64 = 1_000;

/// A stream `s` of numbers, one `add` a unit, of which a batch takes one.
#[derive(Clone)]
struct Numbers(MemoryStream);

impl Numbers {
    fn new(units: &[&[i32]]) -> Self {
        let stream = MemoryStream::new(rows(&[]).schema());
        let numbers = Numbers(stream);
        units.iter().for_each(|unit| numbers.add(unit));
        numbers
    }

    fn add(&self, numbers: &[i32]) {
        self.0.add(rows(numbers)).unwrap();
    }

    fn session(&self) -> Session {
        let mut session = Session::new(BTreeMap::new());
        let stream = self.0.clone();
        let make = move || Ok(Box::new(stream.source(Some(1))) as Box<dyn Source>);
        session.read_stream("s", rows(&[]).schema(), make).unwrap();
        session
    }
}

fn rows(numbers: &[i32]) -> RecordBatch {
    RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(numbers.to_vec())) as ArrayRef)]).unwrap()
}

/// Keeps the numbers of each batch.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Vec<i32>>>>);

impl Kept {
    fn sink(&self) -> Box<dyn Sink> {
        self.sink_that(|_| ())
    }

    /// A sink that does something of its own in every batch.
    fn sink_that(&self, mut also: impl FnMut(u64) + Send + 'static) -> Box<dyn Sink> {
        let kept = self.clone();
        Box::new(ForeachBatchSink::new(move |batch_id, rows| {
            let numbers = rows.column(0).as_primitive::<Int32Type>().values().to_vec();
            kept.0.lock().unwrap().push(numbers);
            also(batch_id);
            Ok(())
        }))
    }

    fn batches(&self) -> Vec<Vec<i32>> {
        self.0.lock().unwrap().clone()
    }
}

/// Runs by an interval until `batches` batches have run; the time of each in milliseconds. `work_ms` is how long the
/// sink takes.
fn batch_times(interval_s: u64, start_ms: i64, work_ms: i64, batches: usize) -> Vec<i64> {
    let clock = ManualClock::at(start_ms);
    let units: Vec<&[i32]> = vec![&[1]; batches];
    let session = Numbers::new(&units).session();
    let times = Arc::new(Mutex::new(Vec::new()));
    let (seen, works) = (Arc::clone(&times), clock.clone());
    let sink = ForeachBatchSink::new(move |_, rows| {
        let time = rows.column(0).as_primitive::<Int64Type>().value(0);
        seen.lock().unwrap().push(time);
        works.set(works.now_ms() + work_ms);
        Ok(())
    });
    let sql = "SELECT unix_millis(current_timestamp()) AS at FROM s";
    let mut query = session
        .write_stream(sql)
        .unwrap()
        .clock(clock)
        .start(Box::new(sink))
        .unwrap();
    let stop = query.stop_signal();
    let last = batches as u64 - 1;
    query
        .run(Trigger::ProcessingTime(Duration::from_secs(interval_s)), |batch| {
            if batch.batch_id == last {
                stop.raise();
            }
        })
        .unwrap();
    drop(query);
    let times = Arc::into_inner(times).expect("the sink is gone with its query");
    times.into_inner().unwrap()
}

#[test]
fn an_interval_runs_at_once_then_at_its_ticks_and_skips_those_it_misses() {
    for (interval_s, start_ms, work_ms, wanted) in [
        (10, 0, 0, [0, 10_000, 20_000]),
        (10, 3_000, 0, [3_000, 10_000, 20_000]),
        (10, 3_000, 9_000, [3_000, 12_000, 21_000]),
        (10, 0, 25_000, [0, 25_000, 50_000]),
        (0, 5_000, 7, [5_000, 5_007, 5_014]),
    ] {
        let got = batch_times(interval_s, start_ms, work_ms, 3);
        assert_eq!(
            got, wanted,
            "every {interval_s} s from {start_ms}, each taking {work_ms} ms"
        );
    }
}

#[test]
fn a_tick_without_news_runs_nothing() {
    let clock = ManualClock::at(0);
    let numbers = Numbers::new(&[&[1]]);
    let (session, kept) = (numbers.session(), Kept::default());
    let query = session.write_stream("SELECT n FROM s").unwrap().clock(clock.clone());
    let mut query = query.start(kept.sink()).unwrap();
    let trigger = Trigger::ProcessingTime(Duration::from_secs(10));
    assert!(query.turn(trigger).unwrap().is_some());
    assert!(query.turn(trigger).unwrap().is_none());
    assert_eq!(clock.now_ms(), 10 * SECOND_MS);
    numbers.add(&[2]);
    assert!(query.turn(trigger).unwrap().is_some());
    assert_eq!(clock.now_ms(), 20 * SECOND_MS);
    assert_eq!(kept.batches(), [vec![1], vec![2]]);
}

#[test]
fn without_an_interval_an_idle_query_asks_again_after_a_moment() {
    let clock = ManualClock::at(0);
    let session = Numbers::new(&[]).session();
    let query = session.write_stream("SELECT n FROM s").unwrap().clock(clock.clone());
    let mut query = query.start(Kept::default().sink()).unwrap();
    for asked in 0..3 {
        assert_eq!(
            clock.now_ms(),
            asked * POLLING_DELAY.as_millis() as i64 - i64::from(asked > 0) * 10
        );
        assert!(query.turn(Trigger::default()).unwrap().is_none());
    }
}

#[test]
fn once_takes_everything_as_one_batch_and_ends() {
    let numbers = Numbers::new(&[&[1], &[2, 3], &[4]]);
    let (session, kept) = (numbers.session(), Kept::default());
    let mut query = session
        .write_stream("SELECT n FROM s")
        .unwrap()
        .start(kept.sink())
        .unwrap();
    query.run(Trigger::Once, |_| ()).unwrap();
    assert_eq!(kept.batches(), [vec![1, 2, 3, 4]]);
    query.run(Trigger::Once, |_| ()).unwrap();
    assert_eq!(kept.batches().len(), 1, "without news there is no batch");
}

#[test]
fn available_now_leaves_what_comes_later() {
    let numbers = Numbers::new(&[&[1], &[2]]);
    let (session, kept) = (numbers.session(), Kept::default());
    let later = numbers.clone();
    let sink = kept.sink_that(move |_| later.add(&[9]));
    let mut query = session.write_stream("SELECT n FROM s").unwrap().start(sink).unwrap();
    query.run(Trigger::AvailableNow, |_| ()).unwrap();
    assert_eq!(kept.batches(), [vec![1], vec![2]]);
}

#[test]
fn stopping_finishes_the_batch_in_flight_and_no_other_begins() {
    let numbers = Numbers::new(&[&[1], &[2], &[3]]);
    let (session, kept, storage) = (numbers.session(), Kept::default(), MemoryStorage::default());
    let (begun, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let sink = kept.sink_that(move |batch_id| {
        begun.send(batch_id).unwrap();
        released.recv().unwrap();
    });
    let query = session
        .write_stream("SELECT n FROM s")
        .unwrap()
        .checkpoint(storage.clone());
    let query = query.start(sink).unwrap();
    let stop = query.stop_signal();
    let running = query.spawn(Trigger::default()).unwrap();
    assert_eq!(has_begun.recv(), Ok(0));
    stop.raise();
    assert!(running.is_active(), "the batch is still in flight");
    release.send(()).unwrap();
    running.wait().unwrap();
    assert_eq!(kept.batches(), [vec![1]]);
    assert_eq!(storage.list("commits").unwrap(), ["0"], "the batch was committed");

    // The next start goes on behind it.
    let query = session.write_stream("SELECT n FROM s").unwrap().checkpoint(storage);
    query
        .start(kept.sink())
        .unwrap()
        .run(Trigger::AvailableNow, |_| ())
        .unwrap();
    assert_eq!(kept.batches(), [vec![1], vec![2], vec![3]]);
}

#[test]
fn stopping_wakes_a_query_that_waits_for_its_tick() {
    let session = Numbers::new(&[&[1]]).session();
    let (kept, storage) = (Kept::default(), MemoryStorage::default());
    let query = session
        .write_stream("SELECT n FROM s")
        .unwrap()
        .checkpoint(storage.clone());
    let running = query.start(kept.sink()).unwrap();
    let running = running
        .spawn(Trigger::ProcessingTime(Duration::from_secs(1_000_000)))
        .unwrap();
    while storage.list("commits").unwrap().is_empty() {
        std::thread::yield_now();
    }
    running.stop().unwrap();
    assert_eq!(kept.batches(), [vec![1]]);
}

#[test]
fn a_failed_query_says_so_to_whoever_stops_it() {
    let session = Numbers::new(&[&[1], &[0]]).session();
    let kept = Kept::default();
    let query = session.write_stream("SELECT CAST(1 / n AS INT) AS n FROM s").unwrap();
    let running = query.start(kept.sink()).unwrap().spawn(Trigger::AvailableNow).unwrap();
    let error = running.wait().unwrap_err();
    assert_eq!(error.condition(), Some("STREAM_FAILED"));
    assert_eq!(kept.batches(), [vec![1]], "the batch before stays");
}

#[test]
fn a_name_is_taken_as_long_as_its_query_is_there() {
    let session = Numbers::new(&[]).session();
    let start = |sql: &str, name: &str| {
        let table = MemoryTable::new(rows(&[]).schema());
        session
            .write_stream(sql)
            .unwrap()
            .query_name(name)
            .start(Box::new(table.sink()))
    };
    let first = start("SELECT n FROM s", "totals").unwrap();
    let error = start("SELECT n FROM s", "totals").err().unwrap();
    insta::assert_snapshot!(error, @"Cannot start query with name totals as a query with that name is already active in this SparkSession");
    let refused = start("SELECT n FROM s ORDER BY n", "totals").err().unwrap().to_string();
    assert!(
        refused.starts_with("Sorting is not supported"),
        "the query itself is looked at first: {refused}"
    );
    start("SELECT n FROM s", "TOTALS").unwrap();
    drop(first);
    start("SELECT n FROM s", "totals").unwrap();
}

#[test]
fn sinks_refuse_what_they_cannot_do() {
    let session = Numbers::new(&[&[1]]).session();
    let dir = tempfile::tempdir().unwrap();
    let files = || Box::new(FileSink::new(dir.path(), "json", &BTreeMap::new()).unwrap()) as Box<dyn Sink>;
    let memory = || Box::new(MemoryTable::new(rows(&[]).schema()).sink()) as Box<dyn Sink>;
    let writer = |mode| session.write_stream("SELECT n FROM s").unwrap().output_mode(mode);
    let message = |started: Result<StreamingQuery>| {
        let error = started.err().unwrap();
        let path = dir.path().display().to_string();
        format!("{:?}: {error}", error.condition()).replace(&path, "DIR")
    };
    let refusals = [
        message(writer(OutputMode::Append).start(memory())),
        message(writer(OutputMode::Append).start(files())),
        message(writer(OutputMode::Update).start(files())),
        message(
            writer(OutputMode::Complete)
                .checkpoint(MemoryStorage::default())
                .start(files()),
        ),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    None: queryName must be specified for memory sink: its table has the query's name
    None: checkpointLocation must be specified: FileSink[DIR] needs a checkpoint
    Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"): invalid streaming output mode: update. This output mode is not supported in Data Source json; files take append
    Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"): invalid streaming output mode: complete. This output mode is not supported in Data Source json; files take append
    "#);
}

#[test]
fn a_memory_table_is_filled_again_from_a_checkpoint_in_complete_mode_only() {
    for (sql, mode, resumes) in [
        ("SELECT n FROM s", OutputMode::Append, false),
        ("SELECT count(*) AS n FROM s", OutputMode::Update, false),
        ("SELECT count(*) AS n FROM s", OutputMode::Complete, true),
    ] {
        let session = Numbers::new(&[&[1], &[2]]).session();
        let storage = MemoryStorage::default();
        let start = || {
            let writer = session.write_stream(sql).unwrap().output_mode(mode).query_name("t");
            let table = MemoryTable::new(writer.schema());
            writer.checkpoint(storage.clone()).start(Box::new(table.sink()))
        };
        start().unwrap().run(Trigger::AvailableNow, |_| ()).unwrap();
        let again = start().map(drop);
        assert_eq!(again.is_ok(), resumes, "{mode:?}");
        if let Err(error) = again {
            assert!(error.to_string().contains("does not support recovering"), "{error}");
        }
    }
}

#[test]
fn settings_that_would_change_results_are_refused() {
    for (name, value, runs) in [
        ("spark.sql.session.timeZone", "UTC", true),
        ("spark.sql.session.timeZone", "Europe/Lisbon", false),
        ("spark.sql.caseSensitive", "true", false),
        ("spark.sql.legacy.timeParserPolicy", "LEGACY", false),
        ("spark.sql.shuffle.partitions", "4", true),
    ] {
        let mut session = Session::new(BTreeMap::from([(name.to_string(), value.to_string())]));
        let stream = MemoryStream::new(rows(&[]).schema());
        let make = move || Ok(Box::new(stream.source(None)) as Box<dyn Source>);
        session.read_stream("s", rows(&[]).schema(), make).unwrap();
        let started = session
            .write_stream("SELECT n FROM s")
            .and_then(|writer| writer.start(Kept::default().sink()));
        let condition = started.as_ref().err().and_then(Error::condition);
        assert_eq!(condition, (!runs).then_some("SKIRL_UNSUPPORTED"), "{name} {value}");
    }
}

/// A checkpoint on a machine that dies before a commit is on disk.
#[derive(Clone)]
struct Dying {
    storage: MemoryStorage,
    dies_at: &'static str,
}

impl Storage for Dying {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        match name == self.dies_at {
            true => Err(Error::Invalid(format!("the machine died before `{name}` was written"))),
            false => self.storage.write(name, bytes),
        }
    }
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.storage.read(name)
    }
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.storage.list(folder)
    }
    fn remove(&mut self, name: &str) -> Result<()> {
        self.storage.remove(name)
    }
    fn dir(&self) -> Option<&Path> {
        None
    }
}

#[test]
fn a_file_sink_holds_every_row_once_though_a_batch_runs_twice() {
    for format in ["json", "csv", "parquet"] {
        for dies_at in ["offsets/1", "commits/1"] {
            let dir = tempfile::tempdir().unwrap();
            let session = Numbers::new(&[&[1, 2], &[3, 4], &[5]]).session();
            let storage = MemoryStorage::default();
            let run = |storage: Box<dyn Storage>| {
                let sink = FileSink::new(dir.path(), format, &BTreeMap::new()).unwrap();
                let mut writer = session.write_stream("SELECT n FROM s").unwrap();
                writer.storage = Some(storage);
                writer.start(Box::new(sink)).unwrap().run(Trigger::AvailableNow, |_| ())
            };
            let dying = Dying {
                storage: storage.clone(),
                dies_at,
            };
            assert!(run(Box::new(dying)).is_err());
            run(Box::new(storage)).unwrap();
            assert_eq!(
                numbers_in(dir.path(), format),
                [1, 2, 3, 4, 5],
                "{format}, died before {dies_at}"
            );
        }
    }
}

/// The numbers in a directory that a file sink wrote, read as a stream.
fn numbers_in(dir: &Path, format: &str) -> Vec<i32> {
    let (path, schema) = (dir.to_str().unwrap(), rows(&[]).schema());
    let mut source = FileSource::new(path, format, &schema, &BTreeMap::new(), FileOrder::Name, 0).unwrap();
    let end = source.latest_offset(None, ReadLimit::Unlimited).unwrap().unwrap();
    let batches = source.read(None, &end).unwrap();
    let numbers = batches
        .iter()
        .flat_map(|rows| rows.column(0).as_primitive::<Int32Type>().values().to_vec());
    numbers.collect()
}
