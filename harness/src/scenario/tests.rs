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
    insta::assert_snapshot!(mistakes(&text), @r#"
     × the scenario has no key `titel`
      ╭─[scenarios/late.toml:2:1]
    2 │ titel = "Late rows are dropped"
      · ─────
      ╰────
     help: did you mean `title`?
     × `district STRING, new_scotsmen INTT, timestamp TIMESTAMP` is no schema: Unsupported data type "INTT".
      ╭─[scenarios/late.toml:5:10]
    5 │ schema = "district STRING, new_scotsmen INTT, timestamp TIMESTAMP"
      ·          ─────────────────────────────────────────────────────────
      ╰────
     help: write `name TYPE` for each column, of STRING, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE,
           DECIMAL(10, 2) and Spark's other types
     × [views.watermark] has no key `dealy`
       ╭─[scenarios/late.toml:15:37]
    15 │ watermark = { column = "timestamp", dealy = "30 seconds" }
       ·                                     ─────
       ╰────
     help: did you mean `delay`?
     × `updaet` is no output mode
       ╭─[scenarios/late.toml:19:15]
    19 │ output_mode = "updaet"
       ·               ────────
       ╰────
     help: did you mean `update`?
     × `output_rows` is the text "lots", which is no comparison
       ╭─[scenarios/late.toml:22:15]
    22 │ output_rows = "lots"
       ·               ──────
       ╰────
     help: write a number or a comparison: 5, "> 0", ">= 3", "< 10", "!= 0"
     × [expect] has no key `late_row`
       ╭─[scenarios/late.toml:23:1]
    23 │ late_row = 3
       · ────────
       ╰────
     help: did you mean `late_rows`?
    "#);
}

#[test]
fn values_that_are_no_values_of_their_column_are_named() {
    let text = SOUND
        .replace("\"Porto\", 3", "7, \"three\"")
        .replace("\"2024-12-03 10:01:00\"", "\"noon\"")
        .replace("[]],", "[], 1],");
    insta::assert_snapshot!(mistakes(&text), @r#"
     × the number 7 is no value of `district`, which is string
      ╭─[scenarios/late.toml:7:5]
    7 │   [[7, "three", "2024-12-03T10:00:00Z"], ["Faro", [], "noon"]],
      ·     ─
      ╰────
     help: write text in quotes: "Porto"; NULL is `[]`
     × the text "three" is no value of `new_scotsmen`, which is int
      ╭─[scenarios/late.toml:7:8]
    7 │   [[7, "three", "2024-12-03T10:00:00Z"], ["Faro", [], "noon"]],
      ·        ───────
      ╰────
     help: write a whole number within the type's range, without quotes; NULL is `[]`
     × the text "noon" is no value of `timestamp`, which is timestamp
      ╭─[scenarios/late.toml:7:55]
    7 │   [[7, "three", "2024-12-03T10:00:00Z"], ["Faro", [], "noon"]],
      ·                                                       ──────
      ╰────
     help: write a time: "2024-12-03T10:02:59.999Z"; NULL is `[]`
    "#);
}

#[test]
fn a_row_that_is_too_short_is_told_its_columns() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("\"Porto\", 3, ", "")), @r#"
     × this row has 1 value and its schema has 3 columns
      ╭─[scenarios/late.toml:7:4]
    7 │   [["2024-12-03T10:00:00Z"], ["Faro", [], "2024-12-03 10:01:00"]],
      ·    ────────────────────────
      ╰────
     help: write a value for each of district, new_scotsmen, timestamp; NULL is `[]`
    "#);
}

#[test]
fn a_negative_delay_is_a_mistake_unless_its_refusal_is_expected() {
    let negative = SOUND.replace("30 seconds", "-30 seconds");
    insta::assert_snapshot!(mistakes(&negative), @r#"
     × the delay of a watermark is `-30 seconds`; it must not be negative
       ╭─[scenarios/late.toml:15:45]
    15 │ watermark = { column = "timestamp", delay = "-30 seconds" }
       ·                                             ─────────────
       ╰────
     help: write `delay = "30 seconds"`, or wait for Spark's refusal in [expect.error]
    "#);
    let expected = negative.replace(
        "output_rows = \"> 0\"",
        "error = { message_contains = \"should not be negative\" }",
    );
    read(&expected).unwrap();
}

#[test]
fn a_column_that_is_not_there_is_shown_in_the_query() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("SELECT district, count(*)", "SELECT city, count(*)")), @r#"
     × A column, variable, or function parameter with name `city` cannot be resolved. Did you mean one of the
     │ following? [`district`, `timestamp`, `new_scotsmen`].
       ╭─[scenarios/late.toml:18:15]
    18 │ sql = "SELECT city, count(*) AS c FROM s GROUP BY district"
       ·               ────
       ╰────
     help: correct the SQL, or wait for the refusal in [expect.error]
    "#);
}

#[test]
fn a_watermark_on_text_is_refused_as_spark_does() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("column = \"timestamp\"", "column = \"district\"")), @r#"
     × The event time `district` has the invalid type "STRING", but expected "TIMESTAMP".
       ╭─[scenarios/late.toml:15:25]
    15 │ watermark = { column = "district", delay = "30 seconds" }
       ·                         ────────
       ╰────
     help: correct the SQL, or wait for the refusal in [expect.error]
    "#);
}

#[test]
fn an_unknown_lateness_model_is_a_mistake() {
    let (before, after) = SOUND.split_once("schema =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let text = format!(
        "{before}kind = \"scotsmen\"\nrows = 100\nlateness = {{ model = \"parreto\", max = \"2m\" }}\n\n{after}"
    );
    insta::assert_snapshot!(mistakes(&text), @r#"
     × unknown lateness model `parreto` (did you mean `pareto`?); the models are `constant`, `uniform`,
     │ `exponential`, `lognormal`, `pareto`, `weibull`, `empirical`, `ties`, `jump`, `clock`, `boundary`,
     │ `device`, `spikes`, `partition`, `by-partition`, `duplicate`, `loss`, `corrupt`, `null-time`, `schedule`
      ╭─[scenarios/late.toml:7:22]
    7 │ lateness = { model = "parreto", max = "2m" }
      ·                      ─────────
      ╰────
    "#);
}

#[test]
fn a_scenario_without_a_guard_proves_nothing() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("output_rows = \"> 0\"", "")), @r#"
     × nothing guards this scenario: it would also pass if nothing happened
      ╭─[scenarios/late.toml:1:1]
    1 │ 
      · ▲
      ╰────
     help: say in [expect] what must happen for it to mean anything: `late_rows = "> 0"`
    "#);
    insta::assert_snapshot!(mistakes(&SOUND.replace("\"> 0\"", "\">= 0\"")), @r#"
     × `output_rows >= 0` says nothing: a count is never negative
       ╭─[scenarios/late.toml:22:15]
    22 │ output_rows = ">= 0"
       ·               ──────
       ╰────
     help: write "> 0"
    "#);
}

#[test]
fn text_that_is_no_toml_is_shown() {
    insta::assert_snapshot!(mistakes(&SOUND.replace("title = ", "title ")), @r#"
     × key with no value, expected `=`
      ╭─[scenarios/late.toml:2:7]
    2 │ title "Late rows are dropped"
      ·       ▲
      ╰────
     help: this is no TOML; see https://toml.io
    "#);
}

#[test]
fn files_that_are_not_there_or_dirty_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dirty")).unwrap();
    std::fs::write(
        dir.path().join("dirty/0.csv"),
        "Porto,3,2024-12-03T10:00:00Z\nPorto,three,never\n",
    )
    .unwrap();
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
        .map(|batch| {
            batch
                .rows
                .iter()
                .map(|rows| rows.as_ref().map(RecordBatch::num_rows))
                .collect()
        })
        .collect();
    assert_eq!(counts, [[Some(2), Some(1)], [Some(0), None], [Some(1), None]]);
}

#[test]
fn a_trigger_with_an_interval_is_a_clock_that_starts_on_a_tick() {
    for (trigger, start_ms, step_ms) in [
        ("available-now", 1_733_220_000_000, 1_000),
        ("once", 1_733_220_000_000, 1_000),
        ("10 seconds", 1_733_220_000_000, 10_000),
        ("7 seconds", 1_733_219_999_000, 7_000),
    ] {
        let scenario = read(&SOUND.replacen("title", &format!("trigger = \"{trigger}\"\ntitle"), 1)).unwrap();
        let clock = scenario.job().clock;
        assert_eq!((clock.start_ms, clock.step_ms), (start_ms, step_ms), "{trigger}");
        assert_eq!(
            scenario.rows(0).unwrap().trace.micro_batches.len(),
            3,
            "a trigger changes no trace"
        );
    }
}

#[test]
fn a_clock_does_not_contradict_its_trigger() {
    let clock = "[clock]\nstart = \"2024-12-03T10:00:03Z\"\nstep = \"1 second\"\n\n[[views]]";
    let text = SOUND
        .replacen("title", "trigger = \"10 seconds\"\ntitle", 1)
        .replacen("[[views]]", clock, 1);
    insta::assert_snapshot!(mistakes(&text), @r#"
     × the clock starts between two ticks of the trigger
       ╭─[scenarios/late.toml:14:9]
    14 │ start = "2024-12-03T10:00:03Z"
       ·         ──────────────────────
       ╰────
     help: start it at a multiple of the interval, where its batches run
     × the clock steps by another span than the trigger
       ╭─[scenarios/late.toml:15:8]
    15 │ step = "1 second"
       ·        ──────────
       ╰────
     help: remove `step`: batches run at the ticks of the trigger
    "#);
}

#[test]
fn a_view_takes_nobodys_name() {
    let again = "[[views]]\nname = \"S\"\nsql = \"SELECT * FROM scotsmen\"\n[[views]]\nname = \"scotsmen\"\nsql = \"SELECT 1\"\n";
    insta::assert_snapshot!(mistakes(&SOUND.replace("[query]", &format!("{again}[query]"))), @r#"
     × there is a view `s` already, whose place this view would take
       ╭─[scenarios/late.toml:18:8]
    18 │ name = "S"
       ·        ───
       ╰────
     help: give the view a name of its own
     × there is a stream `scotsmen` already, whose place this view would take
       ╭─[scenarios/late.toml:21:8]
    21 │ name = "scotsmen"
       ·        ──────────
       ╰────
     help: give the view a name of its own
    "#);
}

#[test]
fn a_sink_has_what_it_needs_unless_its_refusal_is_what_a_scenario_waits_for() {
    let memory = "[sink]\nformat = \"memory\"";
    let files = "[sink]\nformat = \"csv\"\ncheckpoint = false";
    let told = |sink: &str| mistakes(&format!("restart_before = [1]\n{SOUND}\n{sink}\n"));
    insta::assert_snapshot!(told(memory), @r#"
     × a memory sink needs a query name: its table has it
       ╭─[scenarios/late.toml:25:1]
    25 │ [sink]
       · ──────
       ╰────
     help: add `name = "totals"` to [query], or wait for Spark's refusal in [expect.error]
    "#);
    insta::assert_snapshot!(told(files), @r#"
     × a restart goes on from a checkpoint, and this query is given none
       ╭─[scenarios/late.toml:25:1]
    25 │ [sink]
       · ──────
       ╰────
     help: remove `checkpoint = false`
     × a csv sink needs a checkpoint
       ╭─[scenarios/late.toml:25:1]
    25 │ [sink]
       · ──────
       ╰────
     help: remove `checkpoint = false`, or wait for Spark's refusal in [expect.error]
    "#);
    for sink in [memory, files] {
        let error = "error = { message_contains = \"must be specified\" }";
        let text = SOUND.replace("output_rows = \"> 0\"", error);
        read(&format!("{text}\n{sink}\n")).unwrap();
    }
}

#[test]
fn files_that_would_be_passed_over_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["notes/readme.md", "nested/district=Porto/0.csv", "none/_hidden.csv"] {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let (before, after) = SOUND.split_once("batches =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let messages = ["notes", "nested", "none"].map(|files| {
        let text = format!("{before}files = \"{files}\"\n\n{after}");
        let wrong = Scenario::parse(&dir.path().join("late.toml"), &text).unwrap_err();
        let mistake = &wrong.mistakes[0];
        let told = format!("{}; {}", mistake.message, mistake.help.as_deref().unwrap());
        told.replace(&dir.path().display().to_string(), "DIR")
    });
    insta::assert_snapshot!(messages.join("\n"), @r"
    the name of DIR/notes/readme.md tells no format; its extension must be one of `jsonl`, `json`, `csv`, `parquet` and `txt`; begin its name with `_` to pass over it
    DIR/nested/district=Porto is a directory, and a micro-batch is a file; move its files up, or begin its name with `_` to pass over it
    DIR/none has no files; put some there; their extensions are `jsonl`, `json`, `csv`, `parquet` and `txt`
    ");
}

#[test]
fn an_option_nobody_reads_is_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rows")).unwrap();
    std::fs::write(dir.path().join("rows/0.csv"), "a,b,c\nPorto,3,2024-12-03T10:00:00Z\n").unwrap();
    let (before, after) = SOUND.split_once("batches =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let text = format!(
        "{before}files = \"rows\"\noptions = {{ haeder = true, maxFilesPerTrigger = 2, numRows = 3 }}\n\n{after}\n[sink]\nformat = \"console\"\noptions = {{ trunkate = false, latestFirst = true, colour = \"red\" }}\n"
    );
    let wrong = Scenario::parse(&dir.path().join("late.toml"), &text).unwrap_err();
    let told = wrong.mistakes.iter();
    let told = told.map(|mistake| format!("{}; {}", mistake.message, mistake.help.as_deref().unwrap_or_default()));
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r"
    option `haeder` changes nothing here; did you mean `header`?
    option `maxFilesPerTrigger` changes nothing here; write `max_files_per_trigger`, beside `files`
    option `trunkate` changes nothing here; did you mean `truncate`?
    option `colour` changes nothing here; remove it
    ");
}

#[test]
fn strict_modes_ask_for_every_column() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("rows")).unwrap();
    std::fs::write(dir.path().join("rows/0.csv"), "Porto,3,2024-12-03T10:00:00Z\n").unwrap();
    let (before, after) = SOUND.split_once("batches =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let text = format!("{before}files = \"rows\"\noptions = {{ mode = \"DROPMALFORMED\" }}\n\n{after}");
    let wrong = Scenario::parse(&dir.path().join("late.toml"), &text).unwrap_err();
    insta::assert_snapshot!(wrong.mistakes[0].message, @"stream `scotsmen` is read in mode DROPMALFORMED, and Spark looks for malformed rows only in the columns the query reads");
    let whole = text.replace(
        "count(*) AS c",
        "count(*) AS c, sum(new_scotsmen) AS n, max(timestamp) AS t",
    );
    Scenario::parse(&dir.path().join("late.toml"), &whole).unwrap();
}

#[test]
fn a_saved_scenario_has_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = read(SOUND).unwrap();
    let rows = scenario.rows(7).unwrap();
    save(dir.path(), &scenario, 7, &rows).unwrap();
    let Saved::Scenario(loaded, seed) = load(dir.path()).unwrap() else {
        panic!("a scenario was saved")
    };
    assert_eq!((seed, loaded.name.as_str()), (7, "late"));
    let again = loaded.rows(7).unwrap().trace;
    for (batch, other) in rows.trace.micro_batches.iter().zip(&again.micro_batches) {
        assert_eq!(batch.rows, other.rows);
    }
    assert_eq!(rows.trace.micro_batches.len(), again.micro_batches.len());
}

#[test]
fn misspelt_batches_are_told_as_such() {
    assert_eq!(
        told(&SOUND.replace("batches =", "batchs =")),
        ["batchs: [streams.scotsmen] has no key `batchs`; did you mean `batches`?"]
    );
    let (before, after) = SOUND.split_once("batches =").unwrap();
    let (_, after) = after.split_once("]\n\n").unwrap();
    let nothing = told(&format!("{before}{after}"));
    let wanted = "[streams.scotsmen] has neither `batches` nor `files`; add `batches = [[[\"Porto\", 3]]]`";
    assert!(nothing.len() == 1 && nothing[0].ends_with(wanted), "{nothing:?}");
    let kind = told(&format!("{before}kind = \"weather\"\n\n{after}"));
    assert!(
        kind.iter().any(|told| told.contains("has no field `schema`")),
        "{kind:?}"
    );
}

#[test]
fn what_is_wrong_with_a_setting_is_told_beside_it() {
    let with = |settings: &str| told(&SOUND.replace("[expect]", &format!("[conf]\n{settings}\n\n[expect]")));
    assert_eq!(
        with("\"spark.sql.streaming.noDataMicroBatches.enabld\" = false\n\"spark.sql.shuffle.partitions\" = 4"),
        ["\"spark.sql.streaming.noDataMicroBatches.enabld\": setting \
             `spark.sql.streaming.noDataMicroBatches.enabld` changes nothing here; did you mean \
             `spark.sql.streaming.noDataMicroBatches.enabled`?",]
    );
    let wrong = with("spark.sql.ansi.enabled = \"yes\"\nspark.sql.session.timeZone = \"Europe/Lisbon\"");
    let places: Vec<&str> = wrong.iter().map(|told| told.split(": ").next().unwrap()).collect();
    assert_eq!(places, ["enabled", "timeZone"], "{wrong:?}");
    assert!(wrong[0].contains("The value 'yes' in the config"), "{wrong:?}");
    assert!(wrong[1].contains("write `UTC`"), "{wrong:?}");
    let awaited = SOUND.replace(
        "output_rows = \"> 0\"",
        "error = { condition = \"INVALID_CONF_VALUE.TYPE_MISMATCH\" }\n[conf]\n\"spark.sql.ansi.enabled\" = \"yes\"",
    );
    read(&awaited).unwrap();
}

#[test]
fn a_wrong_delay_and_a_syntax_error_are_shown_where_they_are() {
    let delay = told(&SOUND.replace("30 seconds", "30 secnds"));
    assert!(delay[0].trim_start_matches('"').starts_with("30 secnds"), "{delay:?}");
    let column = told(&SOUND.replace("column = \"timestamp\"", "column = \"time\""));
    assert!(column[0].starts_with("time: "), "{column:?}");
    let view = told(&SOUND.replace("SELECT * FROM scotsmen", "SELECT * FORM scotsmen"));
    assert!(view[0].starts_with("scotsmen: Syntax error"), "{view:?}");
    let lines = SOUND.replace(
        "\"SELECT district, count(*) AS c FROM s GROUP BY district\"",
        "\"\"\"\nSELECT district,\n  count(*) AS c\nFROM s GROUPED BY district\"\"\"",
    );
    assert!(told(&lines)[0].starts_with("BY: Syntax error"), "{:?}", told(&lines));
    let end = told(&SOUND.replace("FROM s GROUP BY district", "FROM s GROUP BY"));
    assert!(
        end[0].starts_with("\": Syntax error at or near end of input"),
        "{end:?}"
    );
    // A position in a text with escapes is none in the file.
    let escaped = told(&SOUND.replace("SELECT * FROM scotsmen", "SELECT '\\t' FORM FORM scotsmen"));
    assert!(escaped[0].starts_with("\"SELECT '\\t' FORM"), "{escaped:?}");
}

/// Each mistake of a text: the place it points to, what it says, what helps.
#[track_caller]
fn told(text: &str) -> Vec<String> {
    let wrong = read(text).expect_err("the scenario is wrong");
    let told = wrong.mistakes.iter().map(|mistake| {
        let help = mistake.help.as_ref().map(|help| format!("; {help}"));
        let place = text.get(mistake.span.clone()).unwrap_or_default();
        format!("{place}: {}{}", mistake.message, help.unwrap_or_default())
    });
    told.collect()
}

fn read(text: &str) -> Result<Scenario, WrongScenario> {
    Scenario::parse(Path::new("scenarios/late.toml"), text)
}

#[track_caller]
fn mistakes(text: &str) -> String {
    read(text).expect_err("the scenario is wrong").to_string()
}
