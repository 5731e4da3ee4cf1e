//! Scenarios whose streams live in topics: the query cuts its own micro-batches, and the oracle is asked about those.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skirl::judge::{self, Status};
use skirl::report::{Entry, Paint, Report, terminal};
use skirl::scenario::{Scenario, find};
use skirl::system::{Engine, TopicSettings, Topics};
use skirl_kafka::{Admin, Properties};

use crate::needs::{Outcome, Test, shared, soon, tests};
use crate::query::Query;
use crate::role::Role;
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker:
        the_seed_s_scenarios_give_the_oracle_s_answer,
        scenarios_run_over_topics_by_the_command_line_and_leave_none,
        a_run_that_is_interrupted_leaves_no_topics,
        a_scenario_may_say_that_its_streams_live_in_topics;
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn the_seed_s_scenarios_give_the_oracle_s_answer() -> Outcome {
    let settings = TopicSettings::new(Properties::new(&shared()?));
    let mut micro_batches = 0;
    for path in find(&[root().join("scenarios/seed")], "toml")? {
        let scenario = Scenario::read(&path)?;
        let trial = judge::Trial::of(&scenario, scenario.seed)?.for_another_cut();
        let topics = Topics::connect(&settings, trial.read.as_ref().unwrap_or(&trial.trace))?;
        let outcome = Box::new(judge::judge(&trial, &mut Engine::over(topics)));
        micro_batches += outcome.run.batches.len();
        let status = outcome.status;
        let report = Report {
            entries: vec![Entry::Ran { outcome, again: None }],
        };
        assert_eq!(status, Status::Passed, "{}", terminal::render(&report, Paint::PLAIN));
    }
    assert!(micro_batches > 50, "{micro_batches} micro-batches are hardly a cut");
    Ok(())
}

/// Topics that are there for runs with a stream of this name.
fn of_runs(admin: &Admin, stream: &str) -> Result<Vec<String>, skirl_kafka::Error> {
    let stream = format!("-{stream}");
    let names = admin.topic_names()?.into_iter();
    Ok(names
        .filter(|name| name.starts_with("skirl-run-") && name.ends_with(&stream))
        .collect())
}

const SCENARIO: &str = r#"
title = "Rows of a topic are counted"

[streams.by_command_line]
schema = "district STRING, n INT, timestamp TIMESTAMP"
batches = [
    [["Porto", 1, 2024-12-03T10:00:00.000001Z], ["Faro", 2, 2024-12-03T10:00:10Z]],
    [["Porto", 3, 2024-12-03T10:04:00Z], [[], [], []]],
]

[query]
sql = "SELECT district, count(*) AS c, sum(n) AS s, max(timestamp) AS t FROM by_command_line GROUP BY district"
output_mode = "complete"

[expect]
batches = 2
"#;

fn skirl(arguments: &[&str]) -> Result<(bool, String), std::io::Error> {
    let output = Role::Skirl.command().args(arguments).output()?;
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    Ok((output.status.success(), said))
}

fn scenarios_run_over_topics_by_the_command_line_and_leave_none() -> Outcome {
    let bystander = Topic::new("bystander", 1)?;
    bystander.put(0, &["a"])?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("counted.toml");
    std::fs::write(&path, SCENARIO)?;
    let path = path.to_string_lossy();
    let (passed, said) = skirl(&["run", &path, "--kafka", bystander.properties.bootstrap()])?;
    assert!(passed && said.contains("1 passed"), "{said}");
    let is_empty = || of_runs(&bystander.admin, "by_command_line").ok().filter(Vec::is_empty);
    soon("topics of the run are left", is_empty)?;
    assert_eq!(Query::new(&bystander)?.run()?.rows(), ["0@0 a"]);

    // What failed is told with everything that is needed to see it again.
    let wrong = dir.path().join("miscounted.toml").display().to_string();
    let properties = dir.path().join("client.properties").display().to_string();
    std::fs::write(
        &wrong,
        SCENARIO.replace(
            "[expect]\nbatches = 2",
            "[expect.error]\nmessage_contains = \"no luck\"",
        ),
    )?;
    std::fs::write(&properties, "client.id=skirl\n")?;
    let bootstrap = bystander.properties.bootstrap();
    let arguments = ["--kafka", bootstrap, "--kafka-properties", &properties];
    let (passed, said) = skirl(&[&["run", wrong.as_str()], &arguments[..]].concat())?;
    let again = format!("again: skirl run {wrong} --seed 0 {}", arguments.join(" "));
    assert!(!passed && said.contains(&again), "{said}");

    let (passed, said) = skirl(&["run", &path, "--kafka", "127.0.0.1:1"])?;
    assert!(!passed && said.contains("no broker answers at 127.0.0.1:1"), "{said}");
    Ok(())
}

/// A row a micro-batch: more of them than anybody waits for.
const LONG: &str = r#"
title = "Rows come one by one"

[streams.interrupted]
kind = "weather"
rows = 20000

[kafka]
partitions = 1
options = { maxOffsetsPerTrigger = 1 }

[query]
sql = "SELECT count(*) AS c FROM interrupted"
output_mode = "complete"

[expect]
batches = "> 0"
"#;

fn a_run_that_is_interrupted_leaves_no_topics() -> Outcome {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("first.toml"), LONG)?;
    std::fs::write(dir.path().join("second.toml"), LONG)?;
    let admin = Admin::connect(&Properties::new(&shared()?))?;
    let mut command = Role::Skirl.command();
    command.arg("run").arg(dir.path()).args(["--kafka", &shared()?]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let topics = || of_runs(&admin, "interrupted").ok();
    soon("no topic is made", || topics().filter(|topics| !topics.is_empty()))?;
    kill(Pid::from_raw(i32::try_from(running.id())?), Signal::SIGINT)?;
    let output = running.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.matches("interrupted\n").count(), 2, "{said}");
    soon("topics of the run are left", || topics().filter(Vec::is_empty))?;
    Ok(())
}

fn a_scenario_may_say_that_its_streams_live_in_topics() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("in_topics.toml");
    let write = |section: &str| std::fs::write(&path, format!("{SCENARIO}\n[kafka]\n{section}\n"));
    let run = || skirl(&["run", &path.to_string_lossy()]);
    write("partitions = 2")?;
    let (passed, said) = run()?;
    assert!(
        !passed && said.contains("say where brokers are: `--kafka host:port`"),
        "{said}"
    );
    write(&format!(
        "address = \"kafka://{}\"\npartitions = 2\noptions = {{ maxOffsetsPerTrigger = 1 }}",
        shared()?
    ))?;
    let (passed, said) = run()?;
    assert!(passed && said.contains("1 passed"), "{said}");
    write("options = { \"kafka.sasl.password\" = \"planted-secret\" }")?;
    let (passed, said) = run()?;
    assert!(!passed && said.contains("may be a secret"), "{said}");
    Ok(())
}
