//! What a wrong scenario file is told, and what a right one means.

use std::path::Path;

use super::*;

/// A scenario that is right; tests spoil it.
const SOUND: &str = r#"
title = "Late rows are dropped"

[streams.scotsmen]
schema = "district STRING, new_scotsmen INT, timestamp TIMESTAMP"
batches = [
  [["Porto", 3, "2024-12-03T10:00:00Z"], ["Faro", [], "2024-12-03 10:01:00"]],
  [],
  [["Porto", 4, 2024-12-03T10:10:00Z]],
]

[[views]]
name = "s"
sql = "SELECT * FROM scotsmen"
watermark = { column = "timestamp", delay = "30 seconds" }

[query]
sql = "SELECT district, count(*) AS c FROM s GROUP BY district"
output_mode = "update"

[expect]
output_rows = "> 0"
"#;

#[test]
fn every_mistake_is_reported_with_its_place_and_what_to_write() {
    let text = SOUND
        .replace("title", "titel")
        .replace("new_scotsmen INT", "new_scotsmen INTT")
        .replace("delay", "dealy")
        .replace("\"update\"", "\"updaet\"")
        .replace("output_rows = \"> 0\"", "output_rows = \"lots\"\nlate_row = 3");
    insta::assert_snapshot!(mistakes(&text), @"");
}

#[test]
fn values_that_are_no_values_of_their_column_are_named() {
    let text = SOUND.replace("\"Porto\", 3", "7, \"three\"").replace("\"2024-12-03 10:01:00\"", "\"noon\"").replace("[]],", "[], 1],");
    insta::assert_snapshot!(mistakes(&text), @"");
}

#[test]
fn a_row_that_is_too_short_is_told_its_columns() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("\"Porto\", 3, ", "")), @"");
}

#[test]
fn a_negative_delay_is_a_mistake_unless_its_refusal_is_expected() {
    let negative = SOUND.replace("30 seconds", "-30 seconds");
    insta::assert_snapshot!(mistakes(&negative), @"");
    let expected = negative.replace("output_rows = \"> 0\"", "error = { message_contains = \"should not be negative\" }");
    read(&expected).unwrap();
}

#[test]
fn a_column_that_is_not_there_is_shown_in_the_query() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("SELECT district, count(*)", "SELECT city, count(*)")), @"");
}

#[test]
fn a_watermark_on_text_is_refused_as_spark_does() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("column = \"timestamp\"", "column = \"district\"")), @"");
}

#[test]
fn an_unknown_lateness_model_is_a_mistake() {
    let (before, after) = SOUND.split_once("schema =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let text = format!("{before}kind = \"scotsmen\"\nrows = 100\nlateness = {{ model = \"parreto\", max = \"2m\" }}\n\n{after}");
    insta::assert_snapshot!(mistakes(&text), @"");
}

#[test]
fn a_scenario_without_a_guard_proves_nothing() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("output_rows = \"> 0\"", "")), @"");
    insta::assert_snapshot!(mistakes(&SOUND.replace("\"> 0\"", "\">= 0\"")), @"");
}

#[test]
fn text_that_is_no_toml_is_shown() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("title = ", "title ")), @"");
}

#[test]
fn files_that_are_not_there_or_dirty_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dirty")).unwrap();
    std::fs::write(dir.path().join("dirty/0.csv"), "Porto,3,2024-12-03T10:00:00Z\nPorto,three,never\n").unwrap();
    for (stream, problem) in [
        ("files = \"nowhere\"", "cannot read"),
        ("files = \"dirty\"\noptions = { mode = \"FAILFAST\" }", "dirty/0.csv"),
    ] {
        let (before, after) = SOUND.split_once("batches =").unwrap();
        let (_, after) = after.split_once("]\n\n").unwrap();
        let text = format!("{before}{stream}\n\n{after}");
        let wrong = Scenario::parse(&dir.path().join("late.toml"), &text).unwrap_err();
        assert_eq!(wrong.mistakes.len(), 1, "{wrong}");
        assert!(wrong.mistakes[0].message.contains(problem), "{wrong}");
    }
}

#[test]
fn streams_keep_the_order_of_the_file_and_shorter_ones_end() {
    let more = "[streams.bagpipe]\nschema = \"n INT\"\nbatches = [[[1]]]\n\n[[views]]";
    let scenario = read(&SOUND.replacen("[[views]]", more, 1)).unwrap();
    let names: Vec<_> = scenario.streams.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, ["scotsmen", "bagpipe"]);
    let trace = scenario.rows(0).unwrap().trace;
    let counts: Vec<Vec<Option<usize>>> = trace
        .micro_batches
        .iter()
        .map(|batch| batch.rows.iter().map(|rows| rows.as_ref().map(RecordBatch::num_rows)).collect())
        .collect();
    assert_eq!(counts, [[Some(2), Some(1)], [Some(0), None], [Some(1), None]]);
}

#[test]
fn a_once_trigger_takes_everything_as_one_batch() {
    let scenario = read(&SOUND.replacen("title", "trigger = \"once\"\ntitle", 1)).unwrap();
    assert_eq!(scenario.rows(0).unwrap().trace.micro_batches.len(), 1);
    assert_eq!(scenario.job().conf["spark.sql.streaming.noDataMicroBatches.enabled"], "false");
}

#[test]
fn a_saved_scenario_has_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = read(SOUND).unwrap();
    let rows = scenario.rows(7).unwrap();
    save(dir.path(), &scenario, 7, &rows).unwrap();
    let Saved::Scenario(loaded, seed) = load(dir.path()).unwrap() else { panic!("a scenario was saved") };
    assert_eq!((seed, loaded.name.as_str()), (7, "late"));
    let again = loaded.rows(7).unwrap().trace;
    for (batch, other) in rows.trace.micro_batches.iter().zip(&again.micro_batches) {
        assert_eq!(batch.rows, other.rows);
    }
    assert_eq!(rows.trace.micro_batches.len(), again.micro_batches.len());
}

fn read(text: &str) -> Result<Scenario, WrongScenario> {
    Scenario::parse(Path::new("scenarios/late.toml"), text)
}

#[track_caller]
fn mistakes(text: &str) -> String {
    read(text).expect_err("the scenario is wrong").to_string()
}
