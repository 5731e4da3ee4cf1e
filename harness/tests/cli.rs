//! The command on its own: what it prints, what it writes, how it ends.

use std::path::Path;
use std::process::{Command, Output};

const SCENARIO: &str = r#"
title = "Every row is counted"

[streams.scotsmen]
schema = "district STRING, n INT"
batches = [[["Porto", 1], ["Faro", 2]], [], [["Porto", []]]]

[query]
sql = "SELECT district, count(*) AS c, sum(n) AS n FROM scotsmen GROUP BY district"
output_mode = "update"

[expect]
output_rows = 3
"#;

#[test]
fn a_run_repeated_gives_the_same_bytes() {
    let dir = directory(&[("counts.toml", SCENARIO)]);
    let run = |n: u8| {
        let (results, junit) = (format!("{n}.jsonl"), format!("{n}.xml"));
        let output = skirl(
            dir.path(),
            &["run", "counts.toml", "--results", &results, "--junit", &junit],
        );
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).unwrap();
        (output.stdout.clone(), read(&results), read(&junit))
    };
    let first = run(1);
    assert_eq!(first, run(2));
    insta::assert_snapshot!(first.1, @r#"
    {"scenario":"counts","batch_id":0,"watermark":null,"input_rows":[2],"columns":["district","c","n"],"rows":[["Faro",1,2],["Porto",1,1]],"state_rows":[2],"dropped":[0]}
    {"scenario":"counts","batch_id":1,"watermark":null,"input_rows":[0],"columns":["district","c","n"],"rows":[],"state_rows":[2],"dropped":[0]}
    {"scenario":"counts","batch_id":2,"watermark":null,"input_rows":[1],"columns":["district","c","n"],"rows":[["Porto",2,1]],"state_rows":[2],"dropped":[0]}
    "#);
    insta::assert_snapshot!(String::from_utf8(first.0).unwrap(), @r"
    ok    counts: Every row is counted
          advice: groups are kept for ever: none of the grouping keys is an event time with a watermark
    1 scenario: 1 passed
    ");
}

#[test]
fn a_check_that_fails_is_saved_and_can_be_replayed() {
    let dir = directory(&[("counts.toml", &SCENARIO.replace("output_rows = 3", "output_rows = 4"))]);
    let output = skirl(dir.path(), &["run", "."]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("again: skirl replay target/failures/counts-0"),
        "{}",
        text(&output)
    );
    let again = skirl(dir.path(), &["replay", "target/failures/counts-0"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again).contains("output_rows is 3, and the scenario wants output_rows = 4"),
        "{}",
        text(&again)
    );
}

#[test]
fn a_wrong_scenario_ends_in_2_and_the_others_run() {
    let dir = directory(&[
        ("counts.toml", SCENARIO),
        ("wrong.toml", &SCENARIO.replace("title", "titel")),
    ]);
    let output = skirl(dir.path(), &["run", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("did you mean `title`?"), "{}", text(&output));
    assert!(
        text(&output).contains("2 scenarios: 1 passed, 1 could not run"),
        "{}",
        text(&output)
    );
}

#[test]
fn what_is_not_there_ends_in_2() {
    let dir = directory(&[]);
    for arguments in [["run", "nowhere"], ["run", "."], ["replay", "."]] {
        let output = skirl(dir.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        assert!(text(&output).starts_with("error: "), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn a_report_for_programs_is_json() {
    let dir = directory(&[("counts.toml", SCENARIO)]);
    let output = skirl(dir.path(), &["run", ".", "--report", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], 1);
    assert_eq!(report["scenarios"][0]["scenario"], "counts");
}

#[test]
fn scenarios_are_listed_with_their_titles() {
    let dir = directory(&[("counts.toml", SCENARIO)]);
    assert_eq!(
        text(&skirl(dir.path(), &["list", "."])),
        "counts  Every row is counted\n"
    );
}

#[test]
fn help_names_every_command() {
    let dir = directory(&[]);
    insta::assert_snapshot!(help(dir.path(), &["--help"]), @r"
    Test stream processors against scenarios

    Usage: skirl <COMMAND>

    Commands:
      run       Run scenarios and check what comes out
      replay    Run a saved failure again, step for step
      generate  Make streams with rows that come late, twice or never
      query     Run a streaming query on directories or sockets and print its batches
      list      List scenarios with their titles
      broker    Start and stop a throwaway Apache Kafka on this machine
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
    insta::assert_snapshot!(help(dir.path(), &["run", "--help"]), @r"
    Run scenarios and check what comes out

    Usage: skirl run [OPTIONS] [PATHS]...

    Arguments:
      [PATHS]...
              Scenario files, or directories of them

    Options:
          --filter <TEXT>
              Run only scenarios whose name or title contains this text

          --seed <N>
              Make random rows from this seed instead of each scenario's own

          --results <FILE>
              Write a JSON line for every batch that was executed

          --junit <FILE>
              Write a JUnit report

          --report <FORMAT>
              How the report on standard output is written

              Possible values:
              - text: For people
              - json: For programs

              [default: text]

          --case <PATH>
              Run vector cases instead of scenarios: a JSON file or a directory of them

      -h, --help
              Print help (see a summary with '-h')
    ");
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn skirl(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skirl"));
    command
        .args(arguments)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// A help text without the blanks clap leaves at the ends of lines.
fn help(dir: &Path, arguments: &[&str]) -> String {
    text(&skirl(dir, arguments))
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// What it printed, standard output first.
fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
