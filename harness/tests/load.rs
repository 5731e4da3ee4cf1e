//! `skirl load` on its own: what it says where no broker is needed to say it.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn help_says_how_to_ask_for_a_load_test() {
    insta::assert_snapshot!(said(&skirl(&["load", "--help"])), @r#"
    Load Kafka brokers at a rate and judge them by objectives

    Usage: skirl load [OPTIONS] --bootstrap <HOST:PORT|kafka://...> --rate <RATE> [SCENARIO]
           skirl load <COMMAND>

    Commands:
      merge  Make one run of those of several machines
      help   Print this message or the help of the given subcommand(s)

    Arguments:
      [SCENARIO]
              A scenario whose generated streams are sent; without, rows of random letters

    Options:
          --bootstrap <HOST:PORT|kafka://...>
              Brokers to ask first: host:port, several separated by commas, or kafka://host:port/topic

          --topic <TOPIC>
              The topic, with {stream} for the stream's name; without, a new one that is deleted afterwards

          --rate <RATE>
              Rows a second, such as 50k/s, or a pace: poisson,rate=50k, bursts,burst_rate=50k,every=10s,lasts=1s, ramp,0s=1k,30s=50k, steps,..., daily,...

          --duration <TIME>
              How long rows are sent and measured

              [default: 60s]

          --warm-up <TIME>
              How long rows are sent before they are measured; without, a tenth of the duration, at most 10s

          --size <SIZE>
              Bytes of a row of random letters, such as 100B or 1KiB

              [default: 100B]

          --keys <N>
              Different keys of rows of random letters; 0: none, and rows go to any partition

              [default: 0]

          --key <COLUMN>
              The column of a scenario's rows they are partitioned by; without, `district`, else the first column of texts

          --no-key
              A scenario's rows have no key and go to any partition

          --seed <N>
              What rows and random paces are drawn from

              [default: 0]

          --slo <OBJECTIVE>
              An objective, such as 'p99 < 20ms', 'end_to_end.p99.9 < 1s', 'lost == 0', 'duplicates == 0', 'throughput >= 49k/s' or 'p99 < 1.2 * baseline'; may be given more than once

          --baseline <FILE>
              A stored run (--json of an earlier one) to compare with

      -h, --help
              Print help (see a summary with '-h')

    Kafka:
          --property <NAME=VALUE>
              A property of the clients, such as acks=1, linger.ms=5 or compression.type=lz4; may be given more than once

          --kafka-properties <FILE>
              A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are supported; OAUTHBEARER and Kerberos are not

    Topics:
          --partitions <N>
              Partitions of a topic that is made (4 unless said); a topic that is there must have as many

          --replication <N>
              Brokers that hold each partition of a topic that is made; without, the cluster's default

          --retention <SIZE>
              Bytes a partition of a topic that is made keeps (`retention.bytes`)

              [default: 256MiB]

          --disk <SIZE>
              Bytes the rows may take on each broker; without, what is free where that can be seen

          --allow-existing
              Send to topics that are there already

          --keep-topic
              Leave topics that were made

    Tool:
          --workers <N>
              Processes that send, which share the rate

              [default: 1]

          --start-at <TIME>
              When the measured part begins, for machines that are to load brokers together

          --no-consumer
              Do not read rows back: nothing is known about lost ones then, and the tool costs less

          --receive-from <TOPIC>
              Read rows back from another topic: the output of a job that copies headers

          --patience <TIME>
              How long rows are waited for at the end: to be queued, acknowledged and read back, each

              [default: 30s]

          --quantum <TIME>
              Rows that are due within such a time are queued together: shorter is more exact, longer costs less

              [default: 200us]

          --spin
              Wait by looking at the clock all the time: on time within a microsecond, at the price of a core

    Reports:
          --prometheus <HOST:PORT>
              Serve live figures for Prometheus at an address such as 127.0.0.1:9400

          --json <FILE>
              Write the report as JSON: what --baseline and `skirl load merge` read

          --junit <FILE>
              Write the objectives as JUnit's XML

          --hdr <FILE>
              Write the histograms as an HDR log, in microseconds

    Capacity:
          --find-capacity
              Search for the highest rate that keeps the objectives, from --rate on: each step is a run of its own

          --up-to <RATE>
              The highest rate that is tried

              [default: 10M/s]

          --precision <PERCENT>
              How near the rate that held and the one that did not must come, in percent

              [default: 5]

    The load is open: every row has its time, which nothing moves, and its latency counts from then.

    skirl load --bootstrap localhost:9092 --rate 50k/s --duration 60s --slo 'p99 < 20ms' --slo 'lost == 0'
    skirl load scenario.toml --bootstrap localhost:9092 --topic '{stream}' --allow-existing --rate ramp,0s=1k,60s=50k
    skirl load --bootstrap localhost:9092 --rate 10k/s --size 1KiB --duration 10s --slo 'p99 < 20ms' --find-capacity
    skirl load merge one.json other.json --slo 'p99 < 20ms'

    Exit code: 0 every objective was kept, 1 one was missed, 2 it could not run, 3 the rate could not be offered, or no row was
    written, and the run is invalid, whatever the objectives say. A row that is not written takes forever: a quantile it reaches
    into is `never`.
    "#);
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
        said(&output)
            .lines()
            .next()
            .unwrap_or_default()
            .replace(dir.path().to_str().unwrap(), "DIR")
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    error: the following required arguments were not provided:
    error: --bootstrap: `localhost` in `kafka://localhost` has no host and port; write `kafka://host:port/topic`
    error: `--bootstrap` names a topic and `--topic` does too; keep one of them
    error: invalid value 'p99 < 20' for '--slo <OBJECTIVE>': in `p99 < 20`: p99 is a time and needs a unit; write for example `20ms`
    error: the objective `p99 < 1.2 * baseline` compares with a stored run; name it with `--baseline run.json`
    error: the objective `lost == 0` is about rows that are read back; leave `--no-consumer` out
    error: a row has at least one byte
    error: invalid value 'much' for '--size <SIZE>': `much` is no size; write for example 100B, 1KiB or 256MiB
    error: a run measures at least a second; give a longer `--duration`
    error: invalid value '-5s' for '--duration <TIME>': `-5s` is negative; write for example 60s
    error: `a b` is no topic name; it takes up to 249 letters, digits, `.`, `_` and `-`
    error: a `--property` has no `=`; write for example `--property acks=1`
    error: there is no property `sasl.pasword`; did you mean `sasl.password`?
    error: the following required arguments were not provided:
    error: cannot listen at `nowhere` for Prometheus: invalid socket address; write for example 127.0.0.1:9400
    error: DIR/no.json: it is no JSON: expected value at line 1 column 1
    error: DIR/no.json: it is no JSON: expected value at line 1 column 1
    error: DIR/other.json: it is no report of `skirl load --json`
    error: cannot read missing.json: No such file or directory (os error 2)
    "#);
}

fn skirl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skirl"));
    command
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_TARGET_TMPDIR")));
    command.env("SKIRL_KAFKA_SOCKET_CONNECTION_SETUP_TIMEOUT_MS", "500");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Clap leaves blanks at the ends of lines.
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
