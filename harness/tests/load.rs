//! `skirl load` on its own: what it says where no broker is needed to say it.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn help_says_how_to_ask_for_a_load_test() {
    insta::assert_snapshot!(said(&skirl(&["load", "--help"])), @"");
}

#[test]
fn wrong_words_are_told_what_to_write() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    };
    let (no_json, other) = (file("no.json", "p99"), file("other.json", "{}"));
    let ask = ["load", "--bootstrap", "127.0.0.1:1", "--rate", "1k/s"];
    let told: Vec<String> = [
        vec!["load"],
        vec!["load", "--rate", "1k/s", "--bootstrap", "localhost"],
        vec!["load", "--rate", "1k/s", "--bootstrap", "kafka://h:1/a", "--topic", "b"],
        [&ask[..], &["--slo", "p99 < 20"]].concat(),
        [&ask[..], &["--slo", "p99 < 1.2 * baseline"]].concat(),
        [&ask[..], &["--slo", "lost == 0", "--no-consumer"]].concat(),
        [&ask[..], &["--size", "0B"]].concat(),
        [&ask[..], &["--size", "much"]].concat(),
        [&ask[..], &["--duration", "10ms"]].concat(),
        [&ask[..], &["--duration", "-5s"]].concat(),
        [&ask[..], &["--topic", "a b"]].concat(),
        [&ask[..], &["--property", "acks"]].concat(),
        [&ask[..], &["--property", "sasl.pasword=alice-pw"]].concat(),
        [&ask[..], &["--find-capacity"]].concat(),
        [&ask[..], &["--prometheus", "nowhere"]].concat(),
        [&ask[..], &["--baseline", &no_json]].concat(),
        vec!["load", "merge", &no_json],
        vec!["load", "merge", &other],
        vec!["load", "merge", "missing.json"],
    ]
    .iter()
    .map(|arguments| {
        let output = skirl(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
        said(&output).lines().next().unwrap_or_default().replace(dir.path().to_str().unwrap(), "DIR")
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"), @"");
}

fn skirl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skirl"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")));
    command.env("SKIRL_KAFKA_SOCKET_CONNECTION_SETUP_TIMEOUT_MS", "500");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Clap leaves blanks at the ends of lines.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
