//! `skirl load`: what it measures, and what it does not let anybody believe.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use skirl::broker::{Cluster, Options};
use skirl::load::clock::{Clock, MachineClock, Waiting, wall_ns};
use skirl::load::figure::Figure;
use skirl::load::ledger::Comparison;
use skirl::load::receive::{Receiver, Until, ends, follow};
use skirl::load::sequence::SequenceSet;
use skirl::load::stamp::{HEADER, RunId, Stamp};
use skirl::load::tally::Tally;
use skirl::load::{Ending, Verdict, report};
use skirl_kafka::Row;

use crate::loaded::{Running, plan};
use crate::needs::{Outcome, SOON, Test, shared, soon, tests, unique};
use crate::role::Role;
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker:
        a_lost_a_doubled_and_a_reordered_row_are_each_found,
        rows_of_other_producers_do_not_count,
        a_rate_that_is_missed_makes_a_run_invalid,
        a_run_that_writes_nothing_is_invalid_and_says_why,
        rows_that_do_not_fit_are_refused_with_the_numbers,
        an_end_to_end_latency_is_taken_at_the_consumer,
        a_row_is_given_as_soon_as_it_is_there;
    OwnCluster:
        rows_that_do_not_fit_on_the_broker_s_disk_are_refused;
    Machine:
        objectives_decide_the_exit_code_and_are_reported,
        workers_in_processes_share_a_run_and_runs_merge,
        several_streams_of_a_scenario_go_to_topics_of_their_own,
        a_topic_that_is_there_is_refused_unless_allowed_and_never_deleted,
        prometheus_reads_figures_while_a_run_lasts,
        the_capacity_is_searched_step_by_step,
        a_broker_that_stands_still_is_seen_by_every_row_that_was_due;
};

fn a_broker_that_stands_still_is_seen_by_every_row_that_was_due() -> Outcome {
    let mut cluster = Cluster::start(Options::default())?;
    let running = Running::start(plan(&cluster.bootstrap(), "frozen", 10_000.0, 20));
    // A second of warm-up and eight of the measured twenty.
    running.wait_until_queued(90_000);
    cluster.freeze(1)?;
    // Two seconds: the time rows are queued by does not stand still.
    running.wait_until_queued(110_000);
    cluster.resume(1)?;
    let outcome = running.outcome()?;
    let figure = |text: &str| outcome.figure(Figure::parse(text).expect("a figure"));
    let (p999, p50) = (figure("p99.9")?, figure("p50")?);
    assert!(p999 >= 1_900_000.0, "p99.9 {p999} us");
    assert!(p50 < 500_000.0, "p50 {p50} us: most rows had nothing to do with it");
    // Ten percent of the rows were due while it stood still: a tool that waits would have seen it once.
    assert!(figure("p92")? > 100_000.0, "p92 {:?}", figure("p92"));
    assert_eq!(
        (outcome.rows.offered, figure("failed")?, figure("lost")?),
        (200_000, 0.0, 0.0)
    );
    let verdict = Verdict::of(&outcome, &[], None);
    assert_eq!(verdict.ending(), Ending::Passed, "{:?}", verdict.invalid);
    Ok(())
}

fn a_lost_a_doubled_and_a_reordered_row_are_each_found() -> Outcome {
    let topic = Topic::new("doctored", 1)?;
    let run = RunId::fresh();
    // Acknowledged are rows 0 to 5; 4 is missing, 3 comes before 2, and 1 comes twice.
    write(&topic, &[0, 1, 3, 2, 1, 5].map(|sequence| Some((run, sequence))))?;
    let (received, _) = read_back(&topic, run)?;
    let mut acknowledged = SequenceSet::default();
    for row in 0..6 {
        acknowledged.insert(row);
    }
    let mut comparison = Comparison::default();
    comparison.add(0, &acknowledged, received.of_worker(0));
    let counts = received.counts();
    assert_eq!((comparison.lost, comparison.examples), (1, vec![(0, 4)]));
    assert_eq!(
        (counts.rows, counts.duplicates, counts.reordered, counts.foreign),
        (5, 1, 1, 0)
    );
    Ok(())
}

fn rows_of_other_producers_do_not_count() -> Outcome {
    let topic = Topic::new("crowded", 1)?;
    let mut plan = plan(topic.properties.bootstrap(), &topic.name, 1_000.0, 2);
    plan.topic.existing = skirl_kafka::Existing::Allow;
    plan.topic.partitions = None;
    let running = Running::start(plan);
    running.wait_until_acknowledged(100);
    let other_run = RunId::fresh();
    let others: Vec<_> = (0..50).map(|row| (row % 2 == 0).then_some((other_run, row))).collect();
    write(&topic, &others)?;
    let outcome = running.outcome()?;
    let received = outcome.received.as_ref().expect("it was read back");
    assert_eq!(
        (received.counts.foreign, received.counts.rows),
        (50, outcome.rows.acknowledged)
    );
    assert_eq!(
        (
            received.comparison.lost,
            received.counts.duplicates,
            received.counts.reordered
        ),
        (0, 0, 0)
    );
    assert!(topic.is_there()?, "a topic that was there stays");
    Ok(())
}

fn a_rate_that_is_missed_makes_a_run_invalid() -> Outcome {
    let dir = tempfile::tempdir()?;
    let json = dir.path().join("run.json");
    // Far more than any client can do, and a queue that is soon full.
    let output = load(&[
        "--rate",
        "30M/s",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
        "--patience",
        "1s",
        "--property",
        "queue.buffering.max.messages=1000",
        "--slo",
        "throughput > 0",
        "--slo",
        "p99 < 1h",
        "--disk",
        "100GB",
        "--json",
        path(&json),
    ])?;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("INVALID") && text(&output).contains("nothing is known about 30.00 M rows/s"),
        "{}",
        text(&output)
    );
    let stored: serde_json::Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
    assert_eq!(stored["ending"], "invalid");
    assert_eq!(
        stored["slos"][0]["kept"], true,
        "objectives are judged, and do not save it"
    );
    assert_eq!(stored["slos"][1]["kept"], false, "rows that were never sent count too");
    assert_eq!(stored["figures"]["p99"], serde_json::Value::Null, "they take forever");
    Ok(())
}

fn objectives_decide_the_exit_code_and_are_reported() -> Outcome {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name);
    let (json, junit, hdr) = (file("run.json"), file("run.xml"), file("run.hlog"));
    let run = [
        "--rate",
        "1k/s",
        "--duration",
        "2s",
        "--warm-up",
        "500ms",
        "--keys",
        "10",
    ];
    let reports = ["--json", path(&json), "--junit", path(&junit), "--hdr", path(&hdr)];
    let output = load(&[&run[..], &reports, &["--slo", "lost == 0", "--slo", "p99 < 1us"]].concat())?;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("PASS  lost == 0") && text(&output).contains("FAIL  p99 < 1us"),
        "{}",
        text(&output)
    );
    let xml = fs::read_to_string(&junit)?;
    assert!(xml.contains(r#"tests="3""#) && xml.contains(r#"failures="1""#), "{xml}");
    assert!(fs::read_to_string(&hdr)?.contains("Tag=end_to_end,"));
    let again = load(
        &[
            &run[..],
            &[
                "--baseline",
                path(&json),
                "--slo",
                "p50 < 1000 * baseline",
                "--slo",
                "duplicates == 0",
            ],
        ]
        .concat(),
    )?;
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).contains("compared    p99 "), "{}", text(&again));
    let refused = load(&[&run[..], &["--slo", "p99 < 20"]].concat())?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        text(&refused).contains("write for example `20ms`"),
        "{}",
        text(&refused)
    );
    Ok(())
}

fn workers_in_processes_share_a_run_and_runs_merge() -> Outcome {
    let dir = tempfile::tempdir()?;
    let file = |name: &str| dir.path().join(name);
    let (one, other, both) = (file("one.json"), file("other.json"), file("both.json"));
    for json in [&one, &other] {
        let output = load(&[
            "--rate",
            "2k/s",
            "--duration",
            "3s",
            "--warm-up",
            "1s",
            "--workers",
            "2",
            "--slo",
            "lost == 0",
            "--slo",
            "duplicates == 0",
            "--slo",
            "reordered == 0",
            "--json",
            path(json),
        ])?;
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    let read = |file: &Path| report::json::read(&fs::read_to_string(file).expect("a report"));
    let (first, second) = (read(&one)?, read(&other)?);
    assert_eq!(
        (first.rows.offered, first.rows.acknowledged, first.workers.len()),
        (6_000, 8_000, 2)
    );
    assert_eq!(
        first.received.as_ref().map(|received| received.counts.rows),
        Some(8_000)
    );
    assert!(
        first.setup.clock_error_us > 0,
        "two processes read the clock each for itself"
    );

    let merged = skirl(&[
        "load",
        "merge",
        path(&one),
        path(&other),
        "--slo",
        "lost == 0",
        "--json",
        path(&both),
    ])?;
    assert_eq!(merged.status.code(), Some(0), "{}", text(&merged));
    assert!(
        text(&merged).contains("no two machines' clocks are compared"),
        "{}",
        text(&merged)
    );
    let both = read(&both)?;
    assert_eq!(both.rows.offered, first.rows.offered + second.rows.offered);
    for (span, log) in &both.spans {
        let mut sum = first.spans[span].total()?;
        sum.add(second.spans[span].total()?).expect("it grows");
        assert_eq!(log.total()?, sum, "{span:?}");
    }
    Ok(())
}

fn several_streams_of_a_scenario_go_to_topics_of_their_own() -> Outcome {
    let dir = tempfile::tempdir()?;
    let scenario = dir.path().join("two.toml");
    fs::write(&scenario, TWO_STREAMS)?;
    let (json, topic) = (dir.path().join("run.json"), unique("two-{stream}"));
    let topics = [Topic::later("two-bagpipe")?, Topic::later("two-scotsmen")?];
    let output = load(&[
        path(&scenario),
        "--topic",
        &topic,
        "--rate",
        "poisson,rate=2k",
        "--duration",
        "2s",
        "--warm-up",
        "0s",
        "--keep-topic",
        "--slo",
        "lost == 0",
        "--slo",
        "reordered == 0",
        "--json",
        path(&json),
    ])?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    for topic in &topics {
        let rows = topic.rows()?;
        assert!(!rows.is_empty(), "{}", topic.name);
        for row in rows {
            let value = String::from_utf8_lossy(row.value.as_deref().unwrap_or_default()).into_owned();
            assert!(value.starts_with('{') && value.contains("\"district\""), "{value}");
            assert!(row.key.is_some(), "rows are partitioned by district");
        }
    }
    Ok(())
}

const TWO_STREAMS: &str = r#"
title = "Two streams that are sent together"

[streams.scotsmen]
kind = "scotsmen"
rows = 10
lateness = { model = "pareto", share = 0.05, scale = "10s", max = "2m" }

[streams.bagpipe]
kind = "bagpipe"
rows = 10

[query]
sql = "SELECT district, new_scotsmen FROM scotsmen"
output_mode = "append"

[expect]
output_rows = "> 0"
"#;

fn a_run_that_writes_nothing_is_invalid_and_says_why() -> Outcome {
    // The broker refuses each row at once, which is no speed.
    let output = load(&[
        "--rate",
        "1k/s",
        "--duration",
        "1s",
        "--property",
        "acks=7",
        "--slo",
        "p99 < 1s",
        "--slo",
        "lost == 0",
    ])?;
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("INVALID  no row was written: ") && text(&output).contains("FAIL  p99 < 1s: never"),
        "{}",
        text(&output)
    );
    Ok(())
}

fn a_topic_that_is_there_is_refused_unless_allowed_and_never_deleted() -> Outcome {
    let topic = Topic::new("there-before", 1)?;
    let run = [
        "--topic",
        &topic.name,
        "--rate",
        "100/s",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
    ];
    let refused = load(&run)?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused).contains("--allow-existing"), "{}", text(&refused));
    let allowed = load(&[&run[..], &["--allow-existing", "--slo", "lost == 0"]].concat())?;
    assert_eq!(allowed.status.code(), Some(0), "{}", text(&allowed));
    assert!(topic.is_there()?);

    let made = Topic::later("load-made")?;
    let output = load(&[
        "--topic",
        &made.name,
        "--rate",
        "100/s",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
    ])?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("retention.bytes=268435456"), "{}", text(&output));
    made.wait_until_gone()
}

fn rows_that_do_not_fit_are_refused_with_the_numbers() -> Outcome {
    let output = load(&[
        "--rate",
        "1M/s",
        "--duration",
        "1h",
        "--size",
        "1KiB",
        "--retention",
        "100GiB",
        "--disk",
        "1GB",
    ])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("and `--disk` allows 1.0 GB"),
        "{}",
        text(&output)
    );
    Ok(())
}

fn rows_that_do_not_fit_on_the_broker_s_disk_are_refused() -> Outcome {
    let cluster = Cluster::start(Options::default())?;
    let bootstrap = cluster.bootstrap();
    let run =
        |more: &[&str]| skirl(&[&["load", "--bootstrap", &bootstrap, "--rate=1M/s", "--size=1MiB"], more].concat());
    let output = run(&["--duration=1000h", "--retention=1000000GiB"])?;
    assert_eq!(output.status.code(), Some(2));
    let told = text(&output);
    let data = cluster.dir().join("node-1/data");
    assert!(told.contains(&format!("on {}, and ", data.display())), "{told}");
    assert!(told.contains("lower `--retention`"), "{told}");
    Ok(())
}

fn prometheus_reads_figures_while_a_run_lasts() -> Outcome {
    let bootstrap = shared()?;
    let mut command = Role::Skirl.command();
    command.args([
        "load",
        "--bootstrap",
        &bootstrap,
        "--rate=500/s",
        "--duration=60s",
        "--warm-up=0s",
    ]);
    command
        .args(["--prometheus=127.0.0.1:0"])
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let mut running = command.spawn()?;
    let mut line = String::new();
    let mut said = BufReader::new(running.stderr.take().expect("a pipe"));
    said.read_line(&mut line)?;
    let address = line.trim().strip_prefix("figures for Prometheus at http://");
    let address = address
        .and_then(|rest| rest.strip_suffix("/metrics"))
        .ok_or(line.clone())?;
    let figure = |name: &str| -> Option<f64> {
        let mut stream = TcpStream::connect(address).ok()?;
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        let sample = page.lines().find(|line| line.starts_with(name))?;
        sample.rsplit(' ').next()?.parse().ok()
    };
    let acknowledged = || figure("skirl_load_acknowledged_rows_total{").filter(|rows| *rows > 0.0);
    let first = soon("no row is acknowledged", acknowledged)?;
    soon("the figures do not move", || {
        acknowledged().filter(|rows| *rows > first)
    })?;
    assert!(figure("skirl_load_latency_seconds{").is_some_and(|seconds| seconds > 0.0));
    kill(Pid::from_raw(i32::try_from(running.id())?), Signal::SIGINT)?;
    let output = running.wait_with_output()?;
    assert!(text(&output).contains("stopped after "), "{}", text(&output));
    Ok(())
}

fn the_capacity_is_searched_step_by_step() -> Outcome {
    let output = load(&[
        "--rate",
        "500/s",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
        "--find-capacity",
        "--up-to",
        "1k/s",
        "--precision",
        "50",
        "--slo",
        "p50 < 10s",
        "--slo",
        "lost == 0",
    ])?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(text(&output).matches(": held").count(), 2, "{}", text(&output));
    assert!(
        text(&output).contains("held up to 1.0 k rows/s, the highest that was tried"),
        "{}",
        text(&output)
    );
    let nothing = load(&[
        "--rate",
        "500/s",
        "--duration",
        "1s",
        "--warm-up",
        "0s",
        "--find-capacity",
        "--up-to",
        "500/s",
        "--slo",
        "p50 < 1us",
    ])?;
    assert_eq!(nothing.status.code(), Some(1), "{}", text(&nothing));
    assert!(text(&nothing).contains("no rate held"), "{}", text(&nothing));
    Ok(())
}

fn an_end_to_end_latency_is_taken_at_the_consumer() -> Outcome {
    let outcome = Running::start(plan(&shared()?, &unique("end-to-end"), 500.0, 2)).outcome()?;
    let total = |span| outcome.spans[&span].total();
    use skirl::load::latency::Span;
    let (end_to_end, latency, service) = (total(Span::EndToEnd)?, total(Span::Latency)?, total(Span::Service)?);
    assert_eq!((end_to_end.len(), latency.len()), (1_000, 1_000));
    assert!(service.value_at_quantile(0.5) <= latency.value_at_quantile(0.5));
    assert_eq!(outcome.setup.clock_error_us, 0, "one process has one clock");
    assert!(outcome.timeline.iter().any(|sample| sample.counts.received > 0));
    Ok(())
}

fn a_row_is_given_as_soon_as_it_is_there() -> Outcome {
    let topic = Topic::new("single", 1)?;
    let places = [(topic.name.as_str(), 0, 0)];
    let mut follower = skirl_kafka::Follower::connect(&topic.properties, Default::default(), &places)?;
    write(&topic, &[None])?;
    let clock = MachineClock::starting_at(wall_ns(), Waiting::Sleep);
    // It may wait for a minute, but not for more rows; the end of the empty log comes first.
    while follower.poll(SOON, |_| (), |_, _, _| ())? == 0 {}
    assert!(clock.now().0 < 30_000_000_000, "{:?}", clock.now());
    Ok(())
}

/// Writes rows in order, with the header of a run's row or without any.
fn write(topic: &Topic, rows: &[Option<(RunId, u64)>]) -> Outcome {
    let stamp = |(run, sequence)| {
        let intended_ns = wall_ns();
        Stamp {
            run,
            worker: 0,
            sequence,
            intended_ns,
        }
        .to_bytes()
    };
    let stamps: Vec<_> = rows.iter().map(|row| row.map(stamp)).collect();
    let name = HEADER.to_str().expect("ASCII");
    let headers: Vec<_> = stamps
        .iter()
        .map(|stamp| stamp.as_ref().map(|stamp| (name, Some(&stamp[..]))))
        .collect();
    let rows: Vec<Row> = headers
        .iter()
        .map(|headers| Row {
            value: Some(b"row"),
            headers: headers.as_slice(),
            ..Row::default()
        })
        .collect();
    topic.send(&rows)
}

/// The rows of a run as its consumer finds them, and how many latencies it took.
fn read_back(topic: &Topic, run: RunId) -> Result<(skirl::load::ledger::Received, u64), libtest_mimic::Failed> {
    let topics = [topic.name.clone()];
    let clock = MachineClock::starting_at(wall_ns(), Waiting::Sleep);
    let (known, stop) = (OnceLock::new(), AtomicBool::new(false));
    drop(known.set(ends(&topic.admin, &topics)?));
    let start = (run, clock.wall_ns(clock.now()));
    let places = [(0, 0, 0)];
    let consumer = follow(&topic.properties, &topics, &places)?;
    let receiver = Receiver::new(consumer, &topics, &places, start, &clock, Duration::from_secs(1));
    let found = receiver.run(
        &Tally::default(),
        &Until {
            ends: &known,
            stop: &stop,
        },
    );
    assert_eq!(found.incomplete, None);
    Ok((found.received, found.end_to_end.total()?.len()))
}

/// `skirl load` against the shared broker.
fn load(arguments: &[&str]) -> Result<Output, libtest_mimic::Failed> {
    let bootstrap = shared()?;
    skirl(&[&["load", "--bootstrap", &bootstrap], arguments].concat())
}

fn skirl(arguments: &[&str]) -> Result<Output, libtest_mimic::Failed> {
    Ok(Role::Skirl.command().args(arguments).output()?)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}
