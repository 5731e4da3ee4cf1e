//! The engine's source over topics: its options, its offsets and its columns.

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use libtest_mimic::Failed;
use skirl_engine::Trigger;
use skirl_engine::sink::show::show;
use skirl_kafka::{Mark, Row, Transactions};

use crate::needs::{Outcome, Test, soon, tests, unique};
use crate::query::Query;
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker:
        every_column_is_there_with_the_types_of_spark,
        log_append_time_is_told_from_the_producer_s,
        a_stream_begins_at_the_end_and_a_table_at_the_beginning,
        a_query_begins_where_it_is_told,
        a_query_begins_at_a_time,
        topics_are_found_by_pattern_and_partitions_by_assignment,
        what_is_not_there_is_told_with_the_nearest_name,
        the_limit_is_shared_among_partitions,
        too_few_rows_wait_for_more_or_for_time,
        offsets_are_kept_in_the_checkpoint_as_spark_writes_them_and_in_no_group,
        a_query_goes_on_from_its_checkpoint,
        a_query_goes_on_from_a_checkpoint_of_spark_s,
        partitions_and_topics_that_come_later_are_read_from_their_beginning,
        available_now_does_not_see_what_comes_while_it_runs,
        aborted_rows_are_read_or_not_and_gaps_do_not_hang,
        every_compression_is_read,
        many_rows_are_read_while_operators_work_and_always_in_the_same_order,
        columns_nobody_looks_at_are_not_needed,
        a_table_ends_where_it_is_told;
};

fn every_column_is_there_with_the_types_of_spark() -> Outcome {
    let topic = Topic::new("columns", 2)?;
    let headers: [(&str, Option<&[u8]>); 3] = [("trace", Some(b"1")), ("trace", Some(b"2")), ("none", None)];
    topic.send(&[
        Row {
            partition: Some(0),
            key: Some(b"Porto"),
            value: Some(b"\xff\x00"),
            timestamp_ms: Some(1_733_220_000_123),
            headers: &headers,
            ..Row::default()
        },
        Row {
            partition: Some(1),
            timestamp_ms: Some(1_733_220_001_000),
            ..Row::default()
        },
    ])?;
    let mut query = Query::new(&topic)?
        .with("includeHeaders", "true")
        .sql("SELECT key, value, partition, offset, timestamp, timestampType, headers FROM t")
        .start()?;
    query.query.run(Trigger::AvailableNow, |_| ())?;
    let rows = &query.emitted()[0];
    let lines: Vec<String> = show(rows, 20, 0)
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|"))
        .collect();
    assert_eq!(
        lines,
        [
            "|key|value|partition|offset|timestamp|timestampType|headers|",
            "|[50 6F 72 74 6F]|[FF 00]|0|0|2024-12-03 10:00:00.123|0|[{trace, [31]}, {trace, [32]}, {none, NULL}]|",
            "|NULL|NULL|1|0|2024-12-03 10:00:01|0|NULL|",
        ]
    );
    let topics = Query::new(&topic)?.sql("SELECT topic FROM t");
    let mut topics = topics.start()?;
    topics.query.run(Trigger::AvailableNow, |_| ())?;
    assert_eq!(topics.emitted()[0].column(0).as_string::<i32>().value(0), topic.name);
    Ok(())
}

fn log_append_time_is_told_from_the_producer_s() -> Outcome {
    let topic = Topic::with("append-time", 1, &[("message.timestamp.type", "LogAppendTime")])?;
    topic.send(&[Row {
        value: Some(b"a"),
        timestamp_ms: Some(1_000),
        ..Row::default()
    }])?;
    let mut query = Query::new(&topic)?
        .sql("SELECT timestampType, timestamp FROM t")
        .start()?;
    query.query.run(Trigger::AvailableNow, |_| ())?;
    let rows = &query.emitted()[0];
    assert_eq!(rows.column(0).as_primitive::<Int32Type>().value(0), 1);
    let time_us = rows.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
    assert!(
        time_us > 1_700_000_000_000_000,
        "{time_us} is not when the broker appended it"
    );
    Ok(())
}

fn a_stream_begins_at_the_end_and_a_table_at_the_beginning() -> Outcome {
    let topic = Topic::new("defaults", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?.without("startingOffsets");
    let mut stream = query.start()?;
    // As in Spark, the first batch is there and empty.
    let first = stream.step()?;
    assert_eq!(first.batches, [Vec::<String>::new()]);
    topic.put(0, &["c"])?;
    assert_eq!(stream.step()?.rows(), ["0@2 c"]);
    assert_eq!(query.table()?.rows.num_rows(), 3);
    Ok(())
}

fn a_query_begins_where_it_is_told() -> Outcome {
    let topic = Topic::new("starting-offsets", 2)?;
    topic.put(0, &["a", "b", "c"])?;
    topic.put(1, &["x", "y"])?;
    let name = &topic.name;
    let at = |offsets: &str| format!(r#"{{"{name}":{offsets}}}"#);
    for (offsets, rows) in [
        (
            "earliest".to_string(),
            vec!["0@0 a", "0@1 b", "0@2 c", "1@0 x", "1@1 y"],
        ),
        ("Latest".to_string(), vec![]),
        (at(r#"{"0":1,"1":2}"#), vec!["0@1 b", "0@2 c"]),
        (at(r#"{"0":-1,"1":-2}"#), vec!["1@0 x", "1@1 y"]),
    ] {
        let read = Query::new(&topic)?.with("startingOffsets", &offsets).run()?;
        assert_eq!(read.rows(), rows, "{offsets}");
    }
    for offsets in [r#"{"0":1}"#, r#"{"0":1,"1":1,"2":1}"#] {
        let message = Query::new(&topic)?.with("startingOffsets", &at(offsets)).fails();
        assert!(
            message.contains("must name all partitions") && message.contains(&format!("assigned: {name}-0, {name}-1")),
            "{message}"
        );
    }
    let beyond = Query::new(&topic)?
        .with("startingOffsets", &at(r#"{"0":9,"1":0}"#))
        .fails();
    assert!(
        beyond.contains(&format!(
            "partition {name}-0 was read up to offset 9, and now it ends at 3"
        )),
        "{beyond}"
    );
    Ok(())
}

fn a_query_begins_at_a_time() -> Outcome {
    let topic = Topic::new("starting-time", 2)?;
    let row = |partition, value: &'static [u8], timestamp_ms| Row {
        partition: Some(partition),
        value: Some(value),
        timestamp_ms: Some(timestamp_ms),
        ..Row::default()
    };
    let base = 1_733_220_000_000;
    topic.send(&[
        row(0, b"a", base),
        row(0, b"b", base + 1_000),
        row(0, b"c", base + 2_000),
        row(1, b"x", base),
    ])?;
    let since = |ms: i64| (base + ms).to_string();
    let query = || Query::new(&topic);
    let both = query()?.with("startingTimestamp", &since(0)).run()?;
    assert_eq!(both.rows().len(), 4);
    let message = query()?.with("startingTimestamp", &since(1_000)).fails();
    let missing = format!("topic-partition {}-1 and timestamp {}", topic.name, base + 1_000);
    assert!(message.contains(&missing), "{message}");
    let latest = query()?
        .with("startingTimestamp", &since(1_000))
        .with("startingOffsetsByTimestampStrategy", "latest")
        .run()?;
    assert_eq!(latest.rows(), ["0@1 b", "0@2 c"]);
    let each = format!(r#"{{"{}":{{"0":{},"1":{}}}}}"#, topic.name, base + 1_500, base);
    let read = query()?.with("startingOffsetsByTimestamp", &each).run()?;
    assert_eq!(read.rows(), ["0@2 c", "1@0 x"]);
    Ok(())
}

fn topics_are_found_by_pattern_and_partitions_by_assignment() -> Outcome {
    let (one, other) = (Topic::new("pattern-one", 1)?, Topic::new("pattern-other", 3)?);
    one.put(0, &["a"])?;
    other.put(2, &["b"])?;
    let any = Query::of(&one.properties)?.with("startingOffsets", "earliest");
    let by_pattern = any.with(
        "subscribePattern",
        &format!("{}|{}$", unique("pattern-on"), unique("pattern-other")),
    );
    assert_eq!(by_pattern.run()?.rows(), ["0@0 a", "2@0 b"]);
    let assigned = Query::of(&one.properties)?
        .with("startingOffsets", "earliest")
        .with("assign", &format!(r#"{{"{}":[2,7]}}"#, other.name));
    let read = assigned.run()?;
    assert_eq!(read.rows(), ["2@0 b"]);
    assert_eq!(
        read.warnings,
        [format!(
            "partition {}-7 is assigned and not there; the others are read",
            other.name
        )]
    );
    Ok(())
}

fn what_is_not_there_is_told_with_the_nearest_name() -> Outcome {
    let topic = Topic::new("scotsmen", 1)?;
    let wrong = topic.name.replace("scotsmen", "scotsman");
    let message = Query::new(&topic)?
        .with("subscribe", &wrong)
        .with("fetchOffset.numRetries", "1")
        .fails();
    assert!(
        message.contains(&format!("there is no topic `{wrong}`"))
            && message.contains(&format!("did you mean `{}`?", topic.name)),
        "{message}"
    );
    Ok(())
}

fn the_limit_is_shared_among_partitions() -> Outcome {
    let topic = Topic::new("limit", 3)?;
    topic.put(0, &["v"; 90])?;
    topic.put(1, &["v"; 9])?;
    topic.put(2, &["v"])?;
    let query = Query::new(&topic)?.with("maxOffsetsPerTrigger", "10");
    let read = query.run()?;
    let first = &query.logged()?[0];
    assert_eq!(*first, format!(r#"{{"{}":{{"0":9,"1":1,"2":1}}}}"#, topic.name));
    assert_eq!(read.rows().len(), 100);
    // Trigger Once has no limit.
    let once = Query::new(&topic)?
        .with("maxOffsetsPerTrigger", "10")
        .start()?
        .run(Trigger::Once)?;
    assert_eq!(once.batches.len(), 1);
    assert_eq!(once.rows().len(), 100);
    Ok(())
}

fn too_few_rows_wait_for_more_or_for_time() -> Outcome {
    let topic = Topic::new("min-offsets", 1)?;
    topic.put(0, &["a"])?;
    let query = Query::new(&topic)?.with("minOffsetsPerTrigger", "3");
    let mut started = query.start()?;
    assert_eq!(started.step()?.rows(), ["0@0 a"], "the first batch waits for nothing");
    topic.put(0, &["b", "c"])?;
    assert!(started.step()?.batches.is_empty(), "two rows are too few");
    topic.put(0, &["d"])?;
    assert_eq!(started.step()?.rows().len(), 3);
    drop(started);
    topic.put(0, &["e"])?;
    let soon = query.with("maxTriggerDelay", "0ms");
    assert_eq!(soon.start()?.step()?.rows(), ["0@4 e"]);
    Ok(())
}

fn offsets_are_kept_in_the_checkpoint_as_spark_writes_them_and_in_no_group() -> Outcome {
    let topic = Topic::new("offset-log", 2)?;
    topic.put(1, &["a", "b"])?;
    let query = Query::new(&topic)?.with("kafka.group.id", &unique("group"));
    query.run()?;
    let dir = query.dir();
    let log = std::fs::read_to_string(dir.join("offsets/0"))?;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        (lines[0], lines[2]),
        ("v1", format!(r#"{{"{}":{{"0":0,"1":2}}}}"#, topic.name).as_str())
    );
    let initial = std::fs::read(dir.join("sources/0/0"))?;
    assert_eq!(
        initial,
        format!("\0v1\n{{\"{}\":{{\"0\":0,\"1\":0}}}}", topic.name).as_bytes()
    );
    let topics = std::fs::read_to_string(dir.join("sources/0/topics"))?;
    assert!(topics.contains(&topic.admin.topic(&topic.name)?.id.0), "{topics}");
    assert_eq!(topic.admin.committed(&unique("group"), &topic.name, 1)?, None);
    Ok(())
}

fn a_query_goes_on_from_its_checkpoint() -> Outcome {
    let topic = Topic::new("resume", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?;
    assert_eq!(query.run()?.rows().len(), 2);
    assert!(query.run()?.rows().is_empty());
    topic.put(0, &["c"])?;
    // Where a query begins is said once.
    let again = query.with("startingOffsets", "latest");
    assert_eq!(again.run()?.rows(), ["0@2 c"]);
    Ok(())
}

fn a_query_goes_on_from_a_checkpoint_of_spark_s() -> Outcome {
    let topic = Topic::new("spark-checkpoint", 1)?;
    topic.put(0, &["a", "b", "c", "d"])?;
    let query = Query::new(&topic)?;
    // Written by Spark 4.3.0 with `maxOffsetsPerTrigger` as 1 over a topic `sparky`, and ended in batch 2.
    let spark_s = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/kafka/spark_checkpoint");
    for name in [
        "metadata",
        "sources/0/0",
        "offsets/0",
        "offsets/1",
        "offsets/2",
        "commits/0",
        "commits/1",
    ] {
        let text = std::fs::read_to_string(spark_s.join(name))?.replace("sparky", &topic.name);
        let path = query.dir().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder"))?;
        std::fs::write(path, text)?;
    }
    let end = |offset: i64| format!(r#"{{"{}":{{"0":{offset}}}}}"#, topic.name);
    assert_eq!(query.logged()?, [end(1), end(2), end(3)]);
    // Batch 2 was logged and not committed: it comes again, and the rest after it.
    assert_eq!(query.run()?.batches, [vec!["0@2 c"], vec!["0@3 d"]]);
    let counts = query.sql("SELECT count(*) FROM t").complete().start();
    let message = counts
        .err()
        .and_then(|error| error.message().map(str::to_string))
        .unwrap_or_default();
    assert!(
        message.contains("its state cannot, and this query has state"),
        "{message}"
    );
    Ok(())
}

fn partitions_and_topics_that_come_later_are_read_from_their_beginning() -> Outcome {
    let topic = Topic::new("grows", 1)?;
    topic.put(0, &["a"])?;
    let query = Query::of(&topic.properties)?
        .with("subscribePattern", &unique("grows"))
        .with("startingOffsets", "latest");
    let mut started = query.start()?;
    started.step()?;
    topic.admin.grow(&topic.name, 2)?;
    let other = Topic::new("grows-too", 1)?;
    topic.put(1, &["x"])?;
    other.put(0, &["y"])?;
    let mut rows = Vec::new();
    soon("a new partition's row does not come", || {
        rows.extend(started.step().expect("nothing is lost").rows());
        (rows.len() == 2).then_some(())
    })?;
    rows.sort();
    assert_eq!(rows, ["0@0 y", "1@0 x"]);
    Ok(())
}

fn available_now_does_not_see_what_comes_while_it_runs() -> Outcome {
    let topic = Topic::new("available-now", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?.with("maxOffsetsPerTrigger", "1");
    let mut started = query.start()?;
    started.query.prepare_available_now()?;
    assert_eq!(started.step()?.rows(), ["0@0 a"]);
    topic.put(0, &["c"])?;
    assert_eq!(started.step()?.rows(), ["0@1 b"]);
    assert!(started.step()?.batches.is_empty());
    started.query.prepare_available_now()?;
    assert_eq!(started.step()?.rows(), ["0@2 c"]);
    Ok(())
}

fn aborted_rows_are_read_or_not_and_gaps_do_not_hang() -> Outcome {
    let topic = Topic::new("transactions", 1)?;
    let mut transactions = Transactions::connect(&topic.properties, &unique("transactions"))?;
    let handle = transactions.topic(&topic.name)?;
    let mark = Mark {
        group: unique("transactions"),
        topic: topic.name.clone(),
        partition: 0,
    };
    for (number, value, commits) in [(0, "a", true), (1, "b", false), (2, "c", true), (3, "d", false)] {
        transactions.begin()?;
        transactions.write(
            &handle,
            &[Row {
                value: Some(value.as_bytes()),
                ..Row::default()
            }],
        )?;
        // A row that is not sent leaves no gap when it is given up.
        let sent = || topic.end(0).ok().filter(|end| *end > number * 2);
        if commits {
            transactions.commit(&mark, number)?;
        } else {
            soon("the row was not sent", sent)?;
            transactions.abort()?;
        }
    }
    // Nothing but a marker is at the end.
    transactions.begin()?;
    transactions.commit(&mark, 9)?;
    let all = Query::new(&topic)?.run()?;
    assert_eq!(all.rows(), ["0@0 a", "0@2 b", "0@4 c", "0@6 d"]);
    let committed = Query::new(&topic)?
        .with("kafka.isolation.level", "read_committed")
        .with("maxOffsetsPerTrigger", "1")
        .with("kafkaConsumer.pollTimeoutMs", "20000")
        .run()?;
    assert_eq!(committed.rows(), ["0@0 a", "0@4 c"]);
    assert_eq!(committed.batches.len(), 8, "batches of gaps are empty");
    Ok(())
}

fn every_compression_is_read() -> Outcome {
    let topic = Topic::new("compressed", 1)?;
    let value = "compressible ".repeat(100);
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    for codec in codecs {
        let row = Row {
            value: Some(value.as_bytes()),
            ..Row::default()
        };
        topic.send_with(&[("compression.type", codec)], &[row])?;
    }
    let read = Query::new(&topic)?.run()?;
    let wanted: Vec<String> = (0..codecs.len()).map(|offset| format!("0@{offset} {value}")).collect();
    assert_eq!(read.rows(), wanted);
    Ok(())
}

fn many_rows_are_read_while_operators_work_and_always_in_the_same_order() -> Outcome {
    const ROWS: usize = 300_000;
    let topic = Topic::new("many", 3)?;
    let values: Vec<String> = (0..ROWS).map(|row| format!("{:.3}", row as f64 / 7.0)).collect();
    let rows: Vec<Row> = values
        .iter()
        .enumerate()
        .map(|(row, value)| Row {
            partition: Some((row % 3) as i32),
            value: Some(value.as_bytes()),
            ..Row::default()
        })
        .collect();
    topic.send(&rows)?;
    let read = Query::new(&topic)?.run()?;
    let mut wanted: Vec<String> = (0..ROWS)
        .map(|row| format!("{}@{} {}", row % 3, row / 3, values[row]))
        .collect();
    wanted.sort_by_key(|line| {
        let (partition, rest) = line.split_once('@').expect("a partition");
        (
            partition.to_string(),
            rest.split(' ').next().and_then(|n| n.parse::<usize>().ok()),
        )
    });
    assert!(read.rows() == wanted, "rows are missing, doubled or out of order");
    let sums = || -> Result<Vec<u64>, Failed> {
        let sql = "SELECT partition, sum(CAST(CAST(value AS STRING) AS DOUBLE)) AS s, count(*) AS c FROM t GROUP BY partition";
        let mut started = Query::new(&topic)?.sql(sql).complete().start()?;
        started.query.run(Trigger::AvailableNow, |batch| {
            assert_eq!(batch.input_rows, [ROWS as u64])
        })?;
        let rows = started.emitted().remove(0);
        assert_eq!(rows.column(2).as_primitive::<Int64Type>().values(), &[100_000; 3]);
        let sums = rows.column(1).as_primitive::<Float64Type>();
        Ok(sums.values().iter().map(|sum| sum.to_bits()).collect())
    };
    assert_eq!(sums()?, sums()?, "sums of doubles are the same to the last bit");
    Ok(())
}

fn columns_nobody_looks_at_are_not_needed() -> Outcome {
    let topic = Topic::new("pruned", 1)?;
    topic.put(0, &["a", "b", "c"])?;
    for (sql, wanted) in [
        ("SELECT count(*) AS n FROM t", "|3  |"),
        (
            "SELECT max(offset) AS n FROM t WHERE CAST(value AS STRING) < 'c'",
            "|1  |",
        ),
        (
            "SELECT count(*) AS n FROM t WHERE topic IS NOT NULL AND timestampType = 0",
            "|3  |",
        ),
    ] {
        let mut started = Query::new(&topic)?.sql(sql).complete().start()?;
        started.query.run(Trigger::AvailableNow, |_| ())?;
        let table = show(&started.emitted()[0], 20, 0);
        assert!(table.contains(wanted), "{sql}\n{table}");
    }
    Ok(())
}

fn a_table_ends_where_it_is_told() -> Outcome {
    let topic = Topic::new("batch", 2)?;
    let row = |partition, value: &'static [u8], timestamp_ms| Row {
        partition: Some(partition),
        value: Some(value),
        timestamp_ms: Some(timestamp_ms),
        ..Row::default()
    };
    topic.send(&[
        row(0, b"a", 1_000),
        row(0, b"b", 2_000),
        row(0, b"c", 3_000),
        row(1, b"x", 2_000),
    ])?;
    let name = &topic.name;
    let at = |offsets: &str| format!(r#"{{"{name}":{offsets}}}"#);
    let count = |options: &[(&str, String)]| -> Result<usize, skirl_engine::Error> {
        let query = Query::new(&topic).expect("a broker").without("startingOffsets");
        let query = options
            .iter()
            .fold(query, |query, (name, value)| query.with(name, value));
        Ok(query.table()?.rows.num_rows())
    };
    assert_eq!(count(&[])?, 4);
    assert_eq!(count(&[("endingOffsets", at(r#"{"0":2,"1":-1}"#))])?, 3);
    assert_eq!(count(&[("startingOffsets", at(r#"{"0":1,"1":-2}"#))])?, 3);
    assert_eq!(count(&[("endingTimestamp", "2000".to_string())])?, 1);
    assert_eq!(count(&[("startingTimestamp", "2000".to_string())])?, 3);
    let beyond = count(&[("endingOffsets", at(r#"{"0":7,"1":-1}"#))])
        .unwrap_err()
        .to_string();
    assert!(
        beyond.contains(&format!(
            "partition {name}-0 is to be read up to offset 7, and it ends at 3"
        )),
        "{beyond}"
    );
    let lenient = [
        ("endingOffsets", at(r#"{"0":7,"1":-1}"#)),
        ("failOnDataLoss", "false".to_string()),
    ];
    assert_eq!(count(&lenient)?, 4);
    let turned = count(&[
        ("startingOffsets", at(r#"{"0":3,"1":0}"#)),
        ("endingTimestamp", "1500".to_string()),
    ]);
    assert!(
        turned
            .unwrap_err()
            .to_string()
            .contains("the start offset 3 is greater than the end offset 1")
    );
    Ok(())
}
