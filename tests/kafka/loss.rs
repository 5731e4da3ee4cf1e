//! Rows that are gone before they were read: an error that says what happened, or a warning and a skip; never silence.

use crate::needs::{Outcome, Test, tests, unique};
use crate::query::Query;
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker:
        rows_deleted_before_they_were_read_are_an_error_or_skipped,
        rows_deleted_within_a_batch_that_was_logged_are_skipped_too,
        rows_deleted_after_they_were_read_are_no_loss,
        a_topic_made_again_is_known_by_its_id,
        a_topic_made_again_is_known_while_the_query_runs,
        a_batch_logged_for_a_topic_that_was_made_again_reads_no_foreign_row,
        a_deleted_topic_is_an_error_or_done_without,
        a_topic_that_is_asked_for_no_more_is_no_silent_change,
        a_new_topic_that_lost_its_beginning_is_a_loss;
};

fn rows_deleted_before_they_were_read_are_an_error_or_skipped() -> Outcome {
    let topic = Topic::new("truncated", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?;
    query.run()?;
    topic.put(0, &["c", "d", "e", "f"])?;
    topic.admin.truncate(&topic.name, 0, 4)?;
    let message = query.fails();
    let lost = format!(
        "offsets 2 to 4 of partition {}-0 are gone: its log begins at 4, rows before that were deleted or expired",
        topic.name
    );
    assert!(
        message.contains(&lost) && message.contains("With option `failOnDataLoss` as `false`, reading goes on at 4"),
        "{message}"
    );
    let read = query.with("failOnDataLoss", "false").run()?;
    assert_eq!(read.rows(), ["0@4 e", "0@5 f"]);
    assert_eq!(read.warnings, [format!("rows are lost: {lost}; reading goes on at 4")]);
    Ok(())
}

fn rows_deleted_within_a_batch_that_was_logged_are_skipped_too() -> Outcome {
    let topic = Topic::new("truncated-batch", 2)?;
    topic.put(0, &["a", "b", "c"])?;
    topic.put(1, &["x"])?;
    let query = Query::new(&topic)?;
    query.run()?;
    // The commit is forgotten: the batch comes again, and some of its rows are gone.
    std::fs::remove_file(query.dir().join("commits/0"))?;
    topic.admin.truncate(&topic.name, 0, 2)?;
    let message = query.fails();
    assert!(message.contains("offsets 0 to 2"), "{message}");
    let lenient = query.with("failOnDataLoss", "false");
    assert_eq!(lenient.run()?.rows(), ["0@2 c", "1@0 x"]);
    // All of them: the batch is empty, and the query goes on behind it.
    std::fs::remove_file(lenient.dir().join("commits/0"))?;
    topic.admin.truncate(&topic.name, 0, 3)?;
    topic.put(0, &["d"])?;
    assert_eq!(lenient.run()?.rows(), ["1@0 x", "0@3 d"]);
    Ok(())
}

fn rows_deleted_after_they_were_read_are_no_loss() -> Outcome {
    let topic = Topic::new("truncated-behind", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?;
    query.run()?;
    topic.admin.truncate(&topic.name, 0, 2)?;
    topic.put(0, &["c"])?;
    assert_eq!(query.run()?.rows(), ["0@2 c"]);
    Ok(())
}

fn a_topic_made_again_is_known_by_its_id() -> Outcome {
    for (name, new_rows) in [
        ("recreated-more", &["x", "y", "z"][..]),
        ("recreated-same", &["x", "y"]),
        ("recreated-fewer", &["x"]),
        ("recreated-empty", &[]),
    ] {
        let topic = Topic::new(name, 1)?;
        topic.put(0, &["a", "b"])?;
        let query = Query::new(&topic)?;
        query.run()?;
        topic.make_again(1)?;
        topic.put(0, new_rows)?;
        let message = query.fails();
        let lost = format!(
            "topic `{}` was deleted and made again: it was read up to {{\"0\":2}}",
            topic.name
        );
        assert!(message.contains(&lost), "{message}");
        let lenient = query.with("failOnDataLoss", "false");
        let read = lenient.run()?;
        let wanted: Vec<String> = new_rows
            .iter()
            .enumerate()
            .map(|(n, row)| format!("0@{n} {row}"))
            .collect();
        assert_eq!(read.rows(), wanted, "{name}");
        assert!(
            read.warnings[0].contains("reading goes on at the beginning of the new topic"),
            "{:?}",
            read.warnings
        );
        // Once it is known, it is no loss any more.
        topic.put(0, &["w"])?;
        let again = lenient.with("failOnDataLoss", "true").run()?;
        assert_eq!(again.rows(), [format!("0@{} w", new_rows.len())], "{name}");
        assert!(again.warnings.is_empty());
    }
    Ok(())
}

fn a_topic_made_again_is_known_while_the_query_runs() -> Outcome {
    let topic = Topic::new("recreated-running", 2)?;
    topic.put(0, &["a", "b"])?;
    let lenient = Query::new(&topic)?.with("failOnDataLoss", "false");
    let strict = Query::new(&topic)?;
    let (mut goes_on, mut ends) = (lenient.start()?, strict.start()?);
    assert_eq!(goes_on.step()?.rows().len(), 2);
    assert_eq!(ends.step()?.rows().len(), 2);
    topic.make_again(1)?;
    topic.put(0, &["x", "y", "z"])?;
    let message = ends.step().unwrap_err();
    assert!(message.contains("was deleted and made again"), "{message}");
    let read = goes_on.step()?;
    assert_eq!(read.rows(), ["0@0 x", "0@1 y", "0@2 z"]);
    assert_eq!(read.warnings.len(), 1);
    Ok(())
}

fn a_batch_logged_for_a_topic_that_was_made_again_reads_no_foreign_row() -> Outcome {
    let topic = Topic::new("recreated-pending", 1)?;
    topic.put(0, &["a", "b"])?;
    let query = Query::new(&topic)?;
    query.run()?;
    std::fs::remove_file(query.dir().join("commits/0"))?;
    topic.make_again(1)?;
    topic.put(0, &["x", "y", "z"])?;
    let message = query.fails();
    assert!(message.contains("was deleted and made again"), "{message}");
    let read = query.with("failOnDataLoss", "false").run()?;
    assert_eq!(read.batches, [vec![], vec!["0@0 x", "0@1 y", "0@2 z"]]);
    Ok(())
}

fn a_deleted_topic_is_an_error_or_done_without() -> Outcome {
    let (topic, other) = (Topic::new("deleted", 1)?, Topic::new("stays", 1)?);
    topic.put(0, &["a"])?;
    let both = format!("{},{}", topic.name, other.name);
    let query = Query::new(&topic)?.with("subscribe", &both);
    query.run()?;
    topic.delete()?;
    other.put(0, &["x"])?;
    let message = query.fails();
    let lost = format!("partition {}-0 is deleted", topic.name);
    assert!(message.contains(&lost), "{message}");
    let lenient = query.with("failOnDataLoss", "false");
    let read = lenient.run()?;
    assert_eq!(read.rows(), ["0@0 x"]);
    assert_eq!(
        read.warnings,
        [format!("rows are lost: {lost}; reading goes on without them")]
    );
    // A topic that comes back is a new one, read from its beginning.
    topic.make(1, &[])?;
    topic.put(0, &["b"])?;
    assert_eq!(lenient.run()?.rows(), ["0@0 b"]);
    Ok(())
}

fn a_topic_that_is_asked_for_no_more_is_no_silent_change() -> Outcome {
    let (topic, other) = (Topic::new("asked", 1)?, Topic::new("not-asked", 1)?);
    other.put(0, &["a"])?;
    let query = Query::new(&topic)?.with("subscribe", &format!("{},{}", topic.name, other.name));
    query.run()?;
    let one = query.with("subscribe", &topic.name);
    let message = one.fails();
    assert!(
        message.contains(&format!(
            "partition {}-0 is in the checkpoint, and the query does not ask",
            other.name
        )),
        "{message}"
    );
    assert!(one.with("failOnDataLoss", "false").run().is_ok());
    Ok(())
}

fn a_new_topic_that_lost_its_beginning_is_a_loss() -> Outcome {
    let topic = Topic::new("late-pattern", 1)?;
    let query = Query::of(&topic.properties)?
        .with("subscribePattern", &unique("late-pattern"))
        .with("startingOffsets", "earliest");
    query.run()?;
    let late = Topic::new("late-pattern-two", 1)?;
    late.put(0, &["a", "b"])?;
    late.admin.truncate(&late.name, 0, 1)?;
    let message = query.fails();
    let lost = format!("partition {}-0 is new and begins at offset 1", late.name);
    assert!(message.contains(&lost), "{message}");
    let read = query.with("failOnDataLoss", "false").run()?;
    assert_eq!(read.rows(), ["0@1 b"]);
    assert_eq!(read.warnings.len(), 1);
    Ok(())
}
