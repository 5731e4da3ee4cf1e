//! `skirl record`: topics into traces.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skirl::recording::{Ended, RecordRequest, Start, Until, record};
use skirl_generator::spec::{Cut, Micros};
use skirl_kafka::Row;

use crate::needs::{Outcome, Test, shared, soon, tests};
use crate::role::Role;
use crate::topic::Topic;
use crate::trace::{NOON, Ticking, described, everything, files, recorded, said, skirl};

pub const TESTS: &[Test] = tests! {
    Broker:
        a_recording_begins_and_ends_where_it_is_told,
        partitions_are_merged_by_timestamp_and_micro_batches_cut_by_it,
        topics_share_the_order_and_the_micro_batches_of_a_recording,
        ctrl_c_leaves_a_complete_trace,
        an_interrupted_recording_keeps_what_it_has,
        partitions_that_are_added_are_recorded_too,
        a_topic_deleted_on_the_way_ends_the_recording_with_what_there_is,
        wrong_requests_say_what_to_write;
};

fn a_recording_begins_and_ends_where_it_is_told() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("bounds", 2, &[("retention.ms", "-1")])?;
    let rows: Vec<Row> = (0..40)
        .map(|n| Row {
            partition: Some(n % 2),
            value: Some(b"{}"),
            timestamp_ms: Some(NOON + i64::from(n) * 1_000),
            ..Row::default()
        })
        .collect();
    topic.send(&rows)?;
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
    let directory = tempfile::tempdir()?;
    let topic = Topic::with("merge", 2, &[("retention.ms", "-1")])?;
    let values: Vec<String> = (0..6).map(|n| format!("{{\"n\":{n}}}")).collect();
    let row = |n: usize, partition, after_ms| Row {
        partition: Some(partition),
        value: Some(values[n].as_bytes()),
        timestamp_ms: Some(NOON + after_ms),
        ..Row::default()
    };
    // Row 2 is older than row 1 before it, and so counts as old as that.
    topic.send(&[
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

fn topics_share_the_order_and_the_micro_batches_of_a_recording() -> Outcome {
    let directory = tempfile::tempdir()?;
    let settings = [("retention.ms", "-1")];
    let (first, second) = (
        Topic::with("both-a", 1, &settings)?,
        Topic::with("both-b", 2, &settings)?,
    );
    let values = ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"];
    let row = |n: usize, partition, after_ms| Row {
        partition: Some(partition),
        value: Some(values[n].as_bytes()),
        timestamp_ms: Some(NOON + after_ms),
        ..Row::default()
    };
    first.send(&[row(0, 0, 100), row(1, 0, 2_300)])?;
    second.send(&[row(0, 1, 1_200), row(1, 0, 1_100), row(2, 0, 2_400)])?;
    let request = RecordRequest {
        topics: vec![first.name.clone(), second.name.clone()],
        cut: Cut::Every(Micros::seconds(1)),
        ..everything(&first, directory.path())
    };
    assert_eq!(recorded(&request)?.micro_batches, 3);
    let trace = described(directory.path())?;
    let order = trace.kafka.ok_or("it was recorded")?.order;
    assert!(order.contains("within a partition as Kafka has them"), "{order}");
    let lines = |stream: usize| -> Result<Vec<String>, Failed> {
        let files = directory.path().join(&trace.streams[stream].name);
        let file = |number: usize| fs::read_to_string(files.join(format!("{number:06}.jsonl")));
        Ok((0..3).map(file).collect::<Result<_, _>>()?)
    };
    assert_eq!(lines(0)?, ["{\"n\":0}\n", "", "{\"n\":1}\n"]);
    assert_eq!(lines(1)?, ["", "{\"n\":1}\n{\"n\":0}\n", "{\"n\":2}\n"]);
    Ok(())
}

fn ctrl_c_leaves_a_complete_trace() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::new("ctrl-c", 2)?;
    topic.send(&vec![
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
        &format!("kafka://{}", topic.properties.bootstrap()),
    ]);
    let running = command.arg("--to").arg(&trace).stdout(Stdio::piped()).spawn()?;
    soon("no trace is begun", || trace.exists().then_some(()))?;
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
    let directory = tempfile::tempdir()?;
    let topic = Topic::new("interrupted", 1)?;
    topic.send(&vec![
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
    let directory = tempfile::tempdir()?;
    let topic = Topic::new("grown", 1)?;
    topic.send(&[Row {
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
            topic.admin.grow(&topic.name, 2).expect("a second partition");
            let row = Row {
                partition: Some(1),
                value: Some(b"{\"n\":2}"),
                ..Row::default()
            };
            let is_written = || topic.send(std::slice::from_ref(&row)).ok();
            soon("the second partition takes no rows", is_written).expect("a row");
        }
    })?;
    assert_eq!(
        (done.ended, done.streams[0].partitions, done.streams[0].records),
        (Ended::Records, 2, 2)
    );
    Ok(())
}

fn a_topic_deleted_on_the_way_ends_the_recording_with_what_there_is() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::new("deleted", 1)?;
    topic.send(&[Row {
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

fn wrong_requests_say_what_to_write() -> Outcome {
    let directory = tempfile::tempdir()?;
    let topic = Topic::new("wrong", 1)?;
    let (from, to) = (format!("kafka://{}", shared()?), directory.path().join("trace"));
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
