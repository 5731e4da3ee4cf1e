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
    let told = text(&again).to_string();
    assert!(
        told.contains(" in, 0 dropped, ") && told.contains("batch 0  "),
        "the numbers come from its batches: {told}"
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
fn a_filter_is_for_files_with_mistakes_too() {
    let wrong = SCENARIO.replace("\"update\"", "\"updaet\"");
    let dir = directory(&[
        ("counts.toml", SCENARIO),
        ("wrong.toml", &wrong.replace("Every row", "No row")),
        ("broken.toml", "title = \"Nothing\"\n[streams\n"),
    ]);
    for (filter, code, counted) in [
        ("counts", 0, "1 scenario: 1 passed"),
        ("wrong", 2, "1 scenario: 0 passed, 1 could not run"),
        ("No row", 2, "1 scenario: 0 passed, 1 could not run"),
        ("broken", 2, "1 scenario: 0 passed, 1 could not run"),
        ("row is counted", 2, "2 scenarios: 1 passed, 1 could not run"),
    ] {
        let output = skirl(dir.path(), &["run", ".", "--filter", filter]);
        assert_eq!(output.status.code(), Some(code), "{filter}: {}", text(&output));
        assert!(text(&output).contains(counted), "{filter}: {}", text(&output));
    }
}

#[test]
fn whoever_stops_reading_ends_a_command_without_a_word() {
    let dir = directory(&[
        ("counts.toml", SCENARIO),
        ("wrong.toml", &SCENARIO.replace("title", "titel")),
    ]);
    let rows = directory(&[("rows/0.jsonl", "{\"n\": 1}\n")]);
    let query = ["query", "SELECT n FROM rows", "--stream=rows=rows", "--trigger=once"];
    for (dir, arguments) in [
        (&dir, &["list", "counts.toml"][..]),
        (&dir, &["run", "counts.toml"]),
        (&dir, &["run", "counts.toml", "--report=json"]),
        (&dir, &["generate", "weather"]),
        (&rows, &query),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command(dir.path(), arguments).stdout(writer).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        let said = text(&output);
        assert!(
            !said.contains("panicked") && !said.contains("error"),
            "{arguments:?}: {said}"
        );
    }
    // Nobody is there to hear of mistakes; the rest is printed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(dir.path(), &["run", "."]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("2 scenarios: 1 passed, 1 could not run"),
        "{}",
        text(&output)
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let dir = directory(&[("counts.toml", SCENARIO)]);
    for arguments in [&["list", "."][..], &["run", "."], &["generate", "weather"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = command(dir.path(), arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output));
        let wanted = "error: cannot write standard output: No space left on device";
        assert!(text(&output).contains(wanted), "{arguments:?}: {}", text(&output));
    }
}

#[test]
fn what_repeats_a_failure_is_quoted_for_a_shell() {
    let failing = SCENARIO.replace("output_rows = 3", "output_rows = 4");
    let dir = directory(&[("naive name'; x.toml", &failing)]);
    let output = skirl(dir.path(), &["run", "."]);
    let wanted = r"again: skirl replay 'target/failures/naive name'\''; x-0'";
    assert!(text(&output).contains(wanted), "{}", text(&output));
}

#[test]
fn a_single_micro_batch_and_a_type_are_told_in_plain_words() {
    let dir = directory(&[]);
    let made = skirl(
        dir.path(),
        &["generate", "scotsmen", "--rows=3", "--batch=3", "--to=out"],
    );
    assert!(text(&made).contains("3 arrivals in 1 micro-batch ("), "{}", text(&made));
    let fitted = skirl(dir.path(), &["fit", "out", "--event-time=scotsmen=district"]);
    let wanted = "column `district` of stream `scotsmen` has type STRING, but an event time is a TIMESTAMP";
    assert!(text(&fitted).contains(wanted), "{}", text(&fitted));
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
    insta::assert_snapshot!(help(dir.path(), &["--help"]), @"
    Test stream processors against scenarios

    Usage: skirl <COMMAND>

    Commands:
      run        Run scenarios and check what comes out
      replay     Run a saved failure again, step for step
      generate   Make streams with rows that come late, twice or never
      record     Record Kafka topics into a trace
      replay-to  Put a recorded trace back to Kafka, byte for byte
      fit        Write a scenario whose generated streams look like a trace
      query      Run a streaming query on directories, sockets or topics and print its batches
      load       Load Kafka brokers at a rate and judge them by objectives
      list       List scenarios with their titles
      broker     Start and stop a throwaway Apache Kafka on this machine
      help       Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit code: 0 passed, 1 a check failed, 2 could not run; `skirl load` adds 3.
    ");
    insta::assert_snapshot!(help(dir.path(), &["broker", "start", "--help"]), @r"
    Start a cluster in the background; print where clients connect

    Usage: skirl broker start [OPTIONS]

    Options:
          --nodes <N>            How many brokers; with three, one can be lost [default: 1]
          --tls                  Listen with TLS too, with and without a certificate of the client's
          --sasl                 Listen with passwords too, for a user `skirl` whose password is in the files that are named
          --setting <KEY=VALUE>  A setting of Kafka's
          --dir <DIR>            Where data, logs and certificates go, a new or empty directory; without, below target/ or the user's cache
          --keep                 Leave them there when the cluster stops
          --foreground           Stay until Ctrl-C, SIGTERM or `skirl broker stop`
          --until-eof            Stop when standard input ends, so when whoever holds its other end is gone
      -h, --help                 Print help
    ");
    insta::assert_snapshot!(help(dir.path(), &["run", "--help"]), @"
    Run scenarios and check what comes out.

    Exit code: 0 every check passed, 1 a check failed (`again:` says how to repeat it), 2 something could not run.

    skirl run scenarios --filter window --junit report.xml

    Usage: skirl run [OPTIONS] [PATHS]...

    Arguments:
      [PATHS]...
              Scenario files, or directories of them

    Options:
          --filter <TEXT>
              Run only scenarios whose name or title contains this text; mistakes in other files do not matter

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

    Kafka:
          --kafka <HOST:PORT>
              Run the streams over topics of Kafka at these brokers: made for the run, deleted after it. Micro-batches are then cut by the query, so guards that count them are left out

          --kafka-properties <FILE>
              A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are supported; OAUTHBEARER and Kerberos are not
    ");
}

const ROWS: &str = "{\"n\":1}\n{\"n\":2}\n";

/// What `skirl query` prints over a directory `rows` with one JSON file, and how it ends.
#[track_caller]
fn query(files: &[(&str, &str)], arguments: &[&str]) -> String {
    let dir = directory(files);
    let output = skirl(dir.path(), &[&["query"], arguments].concat());
    format!("{}[{}]", text(&output), output.status.code().unwrap_or(-1))
}

#[test]
fn every_sink_takes_the_rows_of_a_query() {
    let rows = [("rows/a.json", ROWS)];
    let stream = [
        "SELECT n FROM s",
        "--stream=s=rows",
        "--schema=s=n INT",
        "--trigger=once",
    ];
    let told = |sink: &[&str]| query(&rows, &[stream.as_slice(), sink].concat());
    insta::assert_snapshot!(told(&[]), @r"
    -------------------------------------------
    Batch: 0
    -------------------------------------------
    +---+
    |  n|
    +---+
    |  1|
    |  2|
    +---+

    batch 0: 2 rows in, 2 rows out
    [0]
    ");
    insta::assert_snapshot!(told(&["--sink=memory", "--name=seen"]), @r"
    +---+
    |  n|
    +---+
    |  1|
    |  2|
    +---+
    batch 0: 2 rows in, 2 rows out
    [0]
    ");
    assert_eq!(told(&["--sink=noop"]), "batch 0: 2 rows in, 2 rows out\n[0]");
    for format in ["json", "csv", "parquet"] {
        let dir = directory(&rows);
        let sink = format!("--sink={format}:out");
        let run = || {
            let arguments = [&["query"], stream.as_slice(), &[sink.as_str(), "--checkpoint=kept"]].concat();
            let output = skirl(dir.path(), &arguments);
            assert_eq!(output.status.code(), Some(0), "{}", text(&output));
            text(&output)
        };
        assert_eq!(run(), "batch 0: 2 rows in, 2 rows out\n");
        assert_eq!(run(), "", "the second run goes on where the first ended");
        // What a sink wrote can be read as a stream again.
        let columns = if format == "csv" { "`_c0` AS n" } else { "n" };
        let sql = format!("SELECT {columns} FROM s");
        let back = skirl(dir.path(), &["query", &sql, "--stream=s=out", "--trigger=once"]);
        assert!(text(&back).contains("2 rows in, 2 rows out"), "{}", text(&back));
    }
}

#[test]
fn a_refusal_says_which_argument_helps() {
    let rows = [("rows/a.json", ROWS), ("empty/.keep", "")];
    let told = |sql: &str, stream: &str| query(&rows, &[sql, stream, "--schema=s=n INT", "--trigger=once"]);
    insta::assert_snapshot!(told("SELECT n FROM sales", "--stream=s=rows"), @"
    error: The table or view `sales` cannot be found. Verify the spelling and correctness of the schema and catalog.
    help: write `s`
    [2]
    ");
    insta::assert_snapshot!(told("SELECT n, count(*) FROM s GROUP BY n", "--stream=s=rows"), @"
    error: [STREAMING_OUTPUT_MODE.UNSUPPORTED_OPERATION] Invalid streaming output mode: append. This output mode is not supported for streaming aggregations without watermark on streaming DataFrames/DataSets. SQLSTATE: 42KDE
    help: give a watermark, as in `--watermark s='timestamp,30 seconds'`, and group by its column or a window of it, or write `--output-mode update`
    [2]
    ");
    insta::assert_snapshot!(told("SELECT n FROM s", "--stream=s=nowhere"), @"
    error: stream `s`: path does not exist: nowhere; give a directory of files, `socket://HOST:PORT` or `kafka://HOST:PORT/TOPIC`
    [2]
    ");
    insta::assert_snapshot!(told("SELECT n FROM s", "--stream=s=empty"), @"
    error: stream `s`: empty has no files to tell a format from; give it: `--format s=csv`, or json, parquet or text
    [2]
    ");
    insta::assert_snapshot!(told("SELECT n FROM s", "--stream=s=kafka:localhost:9092/s"), @"
    error: `kafka:localhost:9092/s` is no path and no Kafka address; write `kafka://host:port/topic`
    [2]
    ");
    let dir = directory(&[]);
    insta::assert_snapshot!(text(&skirl(dir.path(), &["run", "nowhere"])), @"error: there is no file or directory nowhere; give a .toml file, or a directory of them");
    insta::assert_snapshot!(text(&skirl(dir.path(), &["broker", "stop", "--cluster", "9"])), @"error: there is no cluster 9; `skirl broker status` shows those that run");
}

#[test]
fn every_format_of_files_is_told_by_its_name_or_said() {
    let files = [
        ("json/a.json", ROWS),
        ("csv/a.csv", "n\n1\n2\n"),
        ("text/a.txt", "1\n2\n"),
        ("partitioned/district=Porto/a.json", ROWS),
        ("nameless/a", ROWS),
    ];
    let told = |arguments: &[&str]| query(&files, &[arguments, &["--trigger=once"]].concat());
    for arguments in [
        &["SELECT n FROM s", "--stream=s=json"][..],
        &["SELECT n FROM s", "--stream=s=csv", "--option=s.header=true"],
        &["SELECT value FROM s", "--stream=s=text"],
        &["SELECT n, district FROM s", "--stream=s=partitioned"],
        &["SELECT n FROM s", "--stream=s=nameless", "--format=s=json"],
    ] {
        let told = told(arguments);
        assert!(told.ends_with("batch 0: 2 rows in, 2 rows out\n[0]"), "{told}");
    }
    insta::assert_snapshot!(told(&["SELECT n FROM s", "--stream=s=nameless"]), @"
    error: stream `s`: the name of nameless/a tells no format; give it: `--format s=csv`, or json, parquet or text
    [2]
    ");
    insta::assert_snapshot!(told(&["SELECT _c0 FROM s", "--stream=s=csv", "--option=s.haeder=true", "--sink=memory", "--name=t"]), @r"
    +---+
    |_c0|
    +---+
    |  n|
    |  1|
    |  2|
    +---+
    stream `s`: option `haeder` is not known and changes nothing; did you mean `header`?
    stream `s`: columns inferred; to fix them: --schema s='`_c0` string'
    stream `s`: the first line is taken for a row; if it has the names, add --option s.header=true
    batch 0: 3 rows in, 3 rows out
    [0]
    ");
}

#[test]
fn triggers_end_by_themselves() {
    let files = [("rows/a.json", ROWS), ("rows/b.json", ROWS)];
    for (trigger, told) in [
        ("once", "batch 0: 4 rows in, 4 rows out\n"),
        (
            "available-now",
            "batch 0: 2 rows in, 2 rows out\nbatch 1: 2 rows in, 2 rows out\n",
        ),
    ] {
        let trigger = format!("--trigger={trigger}");
        let schema = "--schema=s=n INT";
        let limit = "--option=s.maxFilesPerTrigger=1";
        let sink = ["--sink=json:out", "--checkpoint=kept"];
        let arguments = [
            "SELECT n FROM s",
            "--stream=s=rows",
            schema,
            &trigger,
            limit,
            sink[0],
            sink[1],
        ];
        assert_eq!(query(&files, &arguments), format!("{told}[0]"));
    }
}

#[test]
fn a_socket_is_a_stream_of_lines() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let sender = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"Porto\nFaro\nPorto\nend\n").unwrap();
    });
    let dir = directory(&[]);
    let stream = format!("--stream=lines=socket://127.0.0.1:{port}");
    // The query fails on purpose when the last line is there: nothing else would end it.
    let sql = "SELECT value, CAST(CASE WHEN value = 'end' THEN 'x' ELSE '1' END AS INT) AS n FROM lines";
    let output = skirl(dir.path(), &["query", sql, &stream]);
    sender.join().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("'x'"), "{}", text(&output));
}

#[test]
fn what_a_query_cannot_do_is_told_with_what_to_write() {
    let files = [
        ("rows/a.json", ROWS),
        ("trace/trace.toml", "version = 1\n"),
        ("trace/s/000000.jsonl", ROWS),
    ];
    let told: Vec<String> = [
        &["SELECT n FROM s", "--stream=s=nowhere"][..],
        &["SELECT n FROM s", "--stream=s=trace"],
        &["SELECT n FROM s", "--stream=s=rows", "--watermark=s=n,10 seconds"],
        &["SELECT m FROM s", "--stream=s=rows"],
        &["SELECT n FROM s", "--stream=s=rows", "--table=t=missing.csv"],
        &["SELECT n FROM s", "--stream=s=rows", "--sink=json:out"],
        &[
            "SELECT n FROM s",
            "--stream=s=rows",
            "--conf=spark.sql.session.timeZone=Europe/Lisbon",
        ],
        &[
            "SELECT n FROM s",
            "--stream=s=rows",
            "--option=s.timeZone=Europe/Lisbon",
        ],
    ]
    .into_iter()
    .map(|arguments| {
        let told = query(
            &files,
            &[arguments, &["--trigger=once", "--conf=spark.sql.ansi.enabld=false"]].concat(),
        );
        let last = told.lines().rev().nth(1).unwrap_or_default().to_string();
        assert!(
            told.starts_with(
                "setting `spark.sql.ansi.enabld` changes nothing here; did you mean `spark.sql.ansi.enabled`?\n"
            ) || told.contains("--checkpoint"),
            "{told}"
        );
        last
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    error: stream `s`: path does not exist: nowhere; give a directory of files, `socket://HOST:PORT` or `kafka://HOST:PORT/TOPIC`
    error: stream `s`: trace is a trace, with a directory for each stream; write `--stream s=trace/s`
    error: stream `s`: watermark: The event time `n` has the invalid type "BIGINT", but expected "TIMESTAMP". Give it the type TIMESTAMP with --schema.
    error: A column, variable, or function parameter with name `m` cannot be resolved. Did you mean one of the following? [`n`].
    error: table `t`: cannot read missing.csv: No such file or directory (os error 2)
    error: a json sink needs `--checkpoint DIR`: it tells which batches the files have, also after a stop
    error: `spark.sql.session.timeZone` is `Europe/Lisbon`, under which Spark gives results that Skirl does not give yet; write `UTC`
    error: stream `s`: option `timeZone` is `Europe/Lisbon`, which means something to Spark that Skirl does not do yet; remove it
    "#);
}

#[test]
fn numbers_below_zero_are_answered_by_what_they_are_for() {
    let dir = directory(&[]);
    let told = [["--rows", "-4"], ["--batch", "-3s"], ["--start", "-1"]].map(|[option, value]| {
        let output = skirl(dir.path(), &["generate", "scotsmen", option, value]);
        assert_eq!(output.status.code(), Some(2));
        text(&output).lines().next().unwrap_or_default().to_string()
    });
    insta::assert_snapshot!(told.join("\n"), @r#"
    error: invalid value '-4' for '--rows <N>': `-4` is not a number of rows; write for example 2000, 50k, 1M or 1.5M
    error: invalid value '-3s' for '--batch <SPAN|N>': `-3s` is not longer than nothing
    error: `start`: `-1` is not a time; write for example "2024-01-01T10:00:00Z"
    "#);
}

#[test]
fn help_shows_how_topics_are_made_recorded_and_put_back() {
    let dir = directory(&[]);
    insta::assert_snapshot!(help(dir.path(), &["generate", "--help"]), @"
    Make streams with rows that come late, twice or never.

    skirl generate scotsmen --rows 1M --lateness pareto,share=5%,max=2m --seed 7 --to out/ --format parquet

    skirl generate --scenario burst.toml --to kafka://localhost:9092/{stream} --rate 50k/s

    Usage: skirl generate [OPTIONS] [KIND]

    Arguments:
      [KIND]
              What the rows are: scotsmen, bagpipe or weather

    Options:
          --scenario <FILE>
              Make the streams of a scenario file instead

          --rows <N>
              How many rows: 2000, 50k, 1M

              [default: 1000]

          --lateness <LAYERS>
              How rows are late: layers such as `pareto,share=5%,max=2m`, joined by `+`

          --batch <SPAN|N>
              A micro-batch for every such span of arrival time, or for so many rows

          --start <TIME>
              Event time of the first row

          --seed <N>
              What the rows are made from: the same seed, the same bytes

          --to <DIR|kafka://...>
              The directory the trace is written to, or a topic for each stream: kafka://HOST:PORT/ and a name, with {stream} for the stream's; without, rows go to standard output

          --format <FORMAT>
              json, csv or parquet (to Kafka: json or csv)

              [default: json]

          --shard <K/N>
              Write only every n-th micro-batch, such as 1/4 for the first of four machines

      -h, --help
              Print help (see a summary with '-h')

    Kafka:
          --key <COLUMN>
              The column rows are partitioned by; without, `district`, else the first column of texts

          --no-key
              Rows have no key and go to any partition

          --partitions <N>
              Partitions of a topic that is made; a topic that is there must have as many

          --topic-setting <NAME=VALUE>
              A setting of a topic that is made, such as retention.ms=-1

          --rate <RATE>
              Rows a second, such as 50k/s, or a pace: bursts,burst_rate=50k,every=10s,lasts=1s or ramp,0s=1k,30s=50k; without, as fast as it goes

          --speed <FACTOR>
              Send rows when they arrive in the stream's own time, so many times as fast

          --timestamps <WHICH>
              The time Kafka keeps with a row: of sending (now), or of its arrival in the stream's own time (original)

              [default: now]

          --allow-existing
              Add rows to topics that are there already

          --kafka-properties <FILE>
              A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are supported; OAUTHBEARER and Kerberos are not
    ");
    insta::assert_snapshot!(help(dir.path(), &["record", "--help"]), @r#"
    Record Kafka topics into a trace.

    Keys, values, headers, timestamps, partitions and offsets are kept as they are, so that `skirl replay-to` can put them back; values that are JSON become the rows of a stream, which a scenario reads as `files`. Ctrl-C ends a recording with a complete trace.

    skirl record --from kafka://localhost:9092 --topics scotsmen,bagpipe --for 60s --to trace/

    Usage: skirl record [OPTIONS] --from <kafka://HOST:PORT> --to <DIR>

    Options:
          --from <kafka://HOST:PORT>
              The brokers, and perhaps the one topic

          --topics <TOPIC,...>
              The topics; each becomes a stream

          --to <DIR>
              The directory of the trace

          --start <WHERE>
              Where to begin: earliest, latest, a time, or offsets as Spark writes them, {"scotsmen":{"0":12,"1":-2}}; without, latest, or earliest where `--until-end` or `--until-offsets` says where to end

          --for <SPAN>
              End after this time

          --rows <N>
              End after so many records

          --until-end
              End where the topics end when the recording begins

          --until-offsets <JSON>
              End before these offsets, as Spark writes them; partitions that are not named, where they end now

          --batch <SPAN|N>
              A micro-batch for every such span of timestamps, or for so many records of all topics together

              [default: 1s]

          --schema <TOPIC=DDL>
              The columns of a topic's values; without, they are inferred from the first 10,000 and shown

          --bytes-only
              Keep values as bytes and read none as rows

      -h, --help
              Print help (see a summary with '-h')

    Kafka:
          --kafka-properties <FILE>
              A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are supported; OAUTHBEARER and Kerberos are not
    "#);
    insta::assert_snapshot!(help(dir.path(), &["replay-to", "--help"]), @"
    Put a recorded trace back to Kafka, byte for byte.

    Keys, values, headers and partitions are those that were recorded, in their order and with their gaps in time.

    skirl replay-to kafka://localhost:9092 trace/ --speed 10

    Usage: skirl replay-to [OPTIONS] <kafka://HOST:PORT> <TRACE>

    Arguments:
      <kafka://HOST:PORT>
              The brokers, and perhaps a topic, with {stream} for each stream's name; without, topics are named as they were

      <TRACE>
              The directory of the trace

    Options:
          --speed <FACTOR|max>
              How many times as fast as it was recorded, or max for as fast as it goes

              [default: 1]

          --repartition <HOW>
              Where records go if a topic has not as many partitions as the recorded one: where their keys lead (key), or to their partition's number modulo how many there are (modulo)

          --timestamps <WHICH>
              The time Kafka keeps with a record: of sending (now), or as it was recorded (original)

              [default: now]

          --partitions <N>
              Partitions of a topic that is made; without, as many as the recorded one had

          --topic-setting <NAME=VALUE>
              A setting of a topic that is made, such as retention.ms=-1

          --allow-existing
              Add records to topics that are there already

      -h, --help
              Print help (see a summary with '-h')

    Kafka:
          --kafka-properties <FILE>
              A file of client properties, `name=value` a line, by librdkafka's names or Java's. Passwords belong there, or into the environment: SKIRL_KAFKA_SASL_PASSWORD is `sasl.password`. TLS, certificates of clients, PLAIN and SCRAM are supported; OAUTHBEARER and Kerberos are not
    ");
    insta::assert_snapshot!(help(dir.path(), &["fit", "--help"]), @"
    Write a scenario whose generated streams look like a trace.

    Measures columns, key skew, pace, lateness by partition, copies and NULLs of a trace that `skirl record` or `skirl generate` wrote. The disorder cards of the trace and of the look-alike go to standard error.

    skirl fit trace/ --to look_alike.toml && skirl generate --scenario look_alike.toml --seed 7 --to out/

    Usage: skirl fit [OPTIONS] <TRACE>

    Arguments:
      <TRACE>
              The directory of the trace

    Options:
          --to <FILE>
              The file to write; without, the scenario goes to standard output

          --schema <STREAM=DDL>
              The columns of a stream, instead of those the trace says

          --event-time <STREAM=COLUMN>
              The column with the event time of a stream; without, the TIMESTAMP column that follows the order of arrival best

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn wrong_words_about_kafka_say_what_to_write() {
    let dir = directory(&[
        ("counts.toml", SCENARIO),
        ("kafka.properties", "sasl.pasword=planted\n"),
    ]);
    let to = "--to=kafka://127.0.0.1:1/x";
    let from = "--from=kafka://127.0.0.1:1/x";
    let wrong: [&[&str]; 19] = [
        &["generate", "weather", "--to=kafka://localhost"],
        &["generate", "weather", "--to=kafka://localhost:9092/a b"],
        &["generate", "weather", "--rate=5k/s"],
        &["generate", "weather", to, "--rate=5q"],
        &["generate", "weather", to, "--rate=burst,rate=1"],
        &["generate", "weather", to, "--timestamps=event"],
        &["generate", "weather", to, "--format=parquet"],
        &["generate", "weather", to, "--format=avro"],
        &["generate", "weather", to, "--shard=1/2"],
        &["generate", "weather", to, "--topic-setting=retention"],
        &["generate", "weather", to, "--kafka-properties=kafka.properties"],
        &["record", "--from=localhost:9092", "--topics=x", "--to=trace"],
        &["record", from, "--topics=y", "--to=trace"],
        &["record", from, "--to=trace", "--batch=0"],
        &["record", from, "--to=trace", "--until-offsets={\"x\":1}"],
        &["record", from, "--to=trace", "--schema=x=n INTT"],
        &["replay-to", "kafka://127.0.0.1:1", "trace", "--speed=0"],
        &["replay-to", "kafka://127.0.0.1:1", "trace", "--repartition=hash"],
        &["fit", "nowhere"],
    ];
    let told = wrong.iter().map(|arguments| {
        let output = skirl(dir.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        let told = text(&output);
        assert!(!told.contains("planted"), "{told}");
        let lines = told
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("For more information"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    });
    insta::assert_snapshot!(told.collect::<String>(), @r#"
    error: `localhost` in `kafka://localhost` has no host and port; write `kafka://host:port/topic`
    error: `a b` is no topic name; it takes up to 249 letters, digits, `.`, `_` and `-`
    error: `--rate` is about Kafka; give the brokers too: `--to kafka://host:port/topic`
    error: invalid value '5q' for '--rate <RATE>': `5q` is no rate; write for example 50k/s or 600/m
    error: invalid value 'burst,rate=1' for '--rate <RATE>': unknown pace `burst` (did you mean `bursts`?); the paces are `constant`, `poisson`, `daily`, `bursts`, `ramp`, `steps`
    error: invalid value 'event' for '--timestamps <WHICH>': `event` is neither `now` nor `original`
    error: Parquet is a format of files, not of single rows; send `json` or `csv`
    error: invalid value 'avro' for '--format <FORMAT>': `avro`: values in the Confluent wire format (Avro or Protobuf with a schema registry) are recorded and replayed as they are, but not generated; write `json` or `csv`
    error: `--shard` shares the files of a trace among machines; leave it out for Kafka
    error: `retention` has no name and value; write for example `--topic-setting retention.ms=-1`
    error: kafka.properties, line 1: there is no property `sasl.pasword`; did you mean `sasl.password`?
    error: `localhost:9092` is no Kafka address; write `kafka://host:port/topic`
    error: `--from` names the topic `x` and `--topics` others; name all there
    error: invalid value '0' for '--batch <SPAN|N>': a micro-batch of 0 rows would hold none
    error: invalid value '{"x":1}' for '--until-offsets <JSON>': `{"x":1}` holds no offsets: invalid type: integer `1`, expected a map at line 1 column 6; write for example {"scotsmen":{"0":12,"1":-1}}
    error: schema of `x`: `n INTT` is no schema: Unsupported data type "INTT".; write `name TYPE` for each column, of STRING, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, DECIMAL(10, 2) and Spark's other types
    error: invalid value '0' for '--speed <FACTOR|max>': `0` is no number above 0; write for example 10 or 0.5
    error: invalid value 'hash' for '--repartition <HOW>': `hash` is neither `key` nor `modulo`
    error: nowhere is no trace: it has no readable trace.toml (No such file or directory (os error 2)); give a directory that `skirl record` or `skirl generate` wrote
    "#);
}

#[test]
fn a_wrong_scenario_is_told_in_every_report() {
    let wrong = SCENARIO.replace("title", "titel").replace("\"update\"", "\"updaet\"");
    let dir = directory(&[("wrong.toml", &wrong)]);
    let output = skirl(
        dir.path(),
        &["run", ".", "--report=json", "--junit=out.xml", "--results=out.jsonl"],
    );
    assert_eq!(output.status.code(), Some(2));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = "./wrong.toml:2:1: the scenario has no key `titel`; did you mean `title`? (and one more mistake)";
    assert_eq!(report["scenarios"][0]["error"]["message"], summary);
    for file in ["out.xml", "out.jsonl"] {
        let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
        assert!(text.contains("has no key `titel`; did you mean `title`?"), "{text}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_told_within_seconds() {
    let dir = directory(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_skirl"));
    command.args(["generate", "weather", "--to=kafka://127.0.0.1:1/x"]);
    command.env("SKIRL_KAFKA_SOCKET_CONNECTION_SETUP_TIMEOUT_MS", "1500");
    let output = command.current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("no broker answers at 127.0.0.1:1 within 1 s"),
        "{}",
        text(&output)
    );
}

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn skirl(dir: &Path, arguments: &[&str]) -> Output {
    command(dir, arguments).output().unwrap()
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skirl"));
    command.args(arguments).current_dir(dir).env("NO_COLOR", "1");
    command
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
