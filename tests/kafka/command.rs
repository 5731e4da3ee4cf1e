//! `skirl broker`, and the rule by which these tests are skipped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{ChildStdin, Command, Output, Stdio};

use skirl::broker::brokers;

use crate::broker::is_alive;
use crate::needs::{Outcome, SOON, Test, soon, tests};
use crate::role::Role;

pub const TESTS: &[Test] = tests! {
    OwnCluster:
        a_cluster_in_the_background_is_told_what_to_do_by_its_number,
        a_cluster_ends_with_the_standard_input_it_was_tied_to,
        a_cluster_in_the_foreground_stops_cleanly_when_terminated,
        without_java_a_test_is_ignored_by_name_and_fails_where_kafka_is_required;
};

fn a_cluster_in_the_background_is_told_what_to_do_by_its_number() -> Outcome {
    let dir = tempfile::tempdir()?;
    let cluster = Started::new(&["--sasl", "--setting", "message.max.bytes=1000"], dir.path());
    let number = cluster.number();
    let tell = |words: &[&str]| {
        text(
            &skirl()
                .args(words)
                .args(["--cluster", &number])
                .output()
                .expect("it runs"),
        )
    };

    let properties = fs::read_to_string(dir.path().join("files/clients/sasl_plaintext.properties"))?;
    assert!(properties.contains("sasl.username=skirl\n"), "{properties}");
    assert!(tell(&["broker", "freeze", "1"]).contains("node 1  frozen"));
    assert!(
        tell(&["broker", "freeze", "1"]).contains("error: node 1 is frozen, so it cannot be frozen; resume it first")
    );
    assert!(tell(&["broker", "resume", "1"]).contains("node 1  running"));
    assert!(tell(&["broker", "kill", "1"]).ends_with("node 1  down\n"));
    assert!(tell(&["broker", "restart", "1"]).contains("node 1  running"));
    let status = text(&skirl().args(["broker", "status"]).output()?);
    assert!(
        status.contains(&format!("cluster {number}  {}  ", cluster.address)),
        "{status}"
    );
    assert_eq!(tell(&["broker", "stop"]), format!("cluster {number} is stopped\n"));
    assert!(!dir.path().join("files").exists());
    assert!(tell(&["broker", "stop"]).contains(&format!("error: there is no cluster {number}; ")));
    Ok(())
}

fn a_cluster_ends_with_the_standard_input_it_was_tied_to() -> Outcome {
    let dir = tempfile::tempdir()?;
    let mut cluster = Started::new(&[], dir.path());
    let pids = cluster.pids();
    assert!(!pids.is_empty() && pids.iter().all(|pid| is_alive(*pid)), "{pids:?}");
    // As the system does when the one who holds it is killed.
    drop(cluster.leash.take());
    let all_are_gone = || (!pids.iter().any(|pid| is_alive(*pid))).then_some(());
    soon("a node lives on", all_are_gone)?;
    soon("its files stay", || (!dir.path().join("files").exists()).then_some(()))?;
    Ok(())
}

fn a_cluster_in_the_foreground_stops_cleanly_when_terminated() -> Outcome {
    let dir = tempfile::tempdir()?;
    let files = dir.path().join("files");
    let mut command = skirl();
    command
        .args(["broker", "start", "--foreground", "--until-eof", "--dir"])
        .arg(&files);
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut foreground = pipes.spawn()?;
    let mut address = String::new();
    BufReader::new(foreground.stdout.take().expect("a pipe")).read_line(&mut address)?;
    assert_eq!(brokers(address.trim().parse()?, SOON)?, [1]);

    let terminated = Command::new("kill").arg(foreground.id().to_string()).status()?;
    assert!(terminated.success());
    assert!(foreground.wait()?.success());
    assert!(!files.exists());
    Ok(())
}

fn without_java_a_test_is_ignored_by_name_and_fails_where_kafka_is_required() -> Outcome {
    let name = "a_broker_outlives_the_thread_that_started_it";
    let run = |required: &str| {
        let mut tests = Command::new(std::env::current_exe().expect("a running program has a file"));
        tests
            .args([name, "--exact"])
            .env("JAVA_HOME", "/nowhere")
            .env("SKIRL_REQUIRE_KAFKA", required);
        tests.env_remove("SKIRL_KAFKA").output().expect("it runs")
    };
    let skipped = run("");
    assert!(skipped.status.success());
    let said = text(&skipped);
    assert!(
        said.contains(&format!("test [broker] {name} ... ignored (no Java 17 or newer: ")),
        "{said}"
    );
    let required = run("1");
    assert_eq!(required.status.code(), Some(101));
    let said = text(&required);
    assert!(
        said.contains("SKIRL_REQUIRE_KAFKA is set, and no Java 17 or newer: "),
        "{said}"
    );
    Ok(())
}

fn skirl() -> Command {
    Role::Skirl.command()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

/// A cluster in the background, tied to this process.
struct Started {
    leash: Option<ChildStdin>,
    address: String,
    said: String,
}

impl Started {
    /// Starts one with its files in `files` below `dir`.
    fn new(options: &[&str], dir: &Path) -> Self {
        let mut command = skirl();
        command
            .args(["broker", "start", "--until-eof", "--dir"])
            .arg(dir.join("files"))
            .args(options);
        let pipes = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut starter = pipes.spawn().expect("it runs");
        // Waiting for a process would close it.
        let leash = starter.stdin.take();
        let (mut address, mut said) = (String::new(), String::new());
        starter
            .stdout
            .take()
            .expect("a pipe")
            .read_to_string(&mut address)
            .expect("text");
        starter
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut said)
            .expect("text");
        assert!(starter.wait().expect("it ends").success(), "{said}");
        Started {
            leash,
            address: address.trim().to_owned(),
            said,
        }
    }

    /// The number it is told to be stopped by.
    fn number(&self) -> String {
        let (_, number) = self
            .said
            .trim_end()
            .rsplit_once("--cluster ")
            .unwrap_or_else(|| panic!("{}", self.said));
        number.to_owned()
    }

    /// The processes of its nodes.
    fn pids(&self) -> Vec<i32> {
        let status = text(&skirl().args(["broker", "status"]).output().expect("it runs"));
        let (_, own) = status
            .split_once(&format!("cluster {}  ", self.number()))
            .unwrap_or_else(|| panic!("{status}"));
        let own = own.split("cluster ").next().unwrap_or_default();
        let pid = |line: &str| line.split_once("process ").and_then(|(_, pid)| pid.trim().parse().ok());
        own.lines().filter_map(pid).collect()
    }
}
