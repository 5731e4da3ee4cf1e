//! What holds for every command that talks to Kafka: it gets in where it should, ends soon where it cannot, and shows no
//! secret on any of its ways.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use skirl::broker::{Cluster, Listener, Options, User};

use crate::needs::{Outcome, Test, shared, tests};
use crate::role::Role;
use crate::topic::Topic;
use crate::trace::{said, skirl};

pub const TESTS: &[Test] = tests! {
    Broker:
        a_broker_that_is_away_ends_every_command_within_seconds,
        no_mistake_repeats_a_secret,
        no_mistake_in_an_option_repeats_a_secret,
        no_mistake_in_a_scenario_shows_a_secret;
    OwnCluster:
        every_command_gets_in_at_a_listener_with_a_password_and_keeps_it_to_itself,
        a_listener_that_lets_nobody_in_ends_every_command_within_seconds;
};

/// What no output may hold.
const SECRET: &str = "planted-secret";

/// Where a command is to go, and what it may use on the way.
struct Visit<'a> {
    /// Brokers, as `host:port`.
    bootstrap: &'a str,
    /// The topic that is written and read.
    topic: &'a str,
    /// A file of properties.
    properties: &'a Path,
    /// Where everything is written to.
    dir: &'a Path,
}

const SCENARIO: &str = r#"
title = "Rows of a topic are counted"

[streams.s]
schema = "district STRING"
batches = [[["Porto"], ["Faro"]], [["Porto"]]]

[query]
sql = "SELECT district, count(*) AS n FROM s GROUP BY district"
output_mode = "complete"

[expect]
batches = 2
"#;

impl Visit<'_> {
    /// Every command that talks to Kafka, in an order in which each finds what it needs.
    fn commands(&self) -> Result<Vec<Vec<String>>, Failed> {
        let Visit {
            bootstrap,
            topic,
            properties,
            dir,
        } = self;
        fs::write(dir.join("counted.toml"), SCENARIO)?;
        let file = |name: &str| dir.join(name).display().to_string();
        let (from, back) = (
            format!("kafka://{bootstrap}"),
            format!("kafka://{bootstrap}/{topic}-back"),
        );
        let to = format!("{from}/{topic}");
        let trace = file("trace");
        // A command that is to fail finds a trace to put back.
        let recorded = if dir.join("trace").exists() {
            file("recorded")
        } else {
            trace.clone()
        };
        let commands: [&[&str]; 6] = [
            &["generate", "scotsmen", "--rows", "50", "--to", &to, "--partitions", "2"],
            &[
                "record",
                "--from",
                &from,
                "--topics",
                topic,
                "--until-end",
                "--to",
                &recorded,
            ],
            &["replay-to", &back, &trace, "--speed", "max"],
            &[
                "query",
                "SELECT s.value FROM s",
                &format!("--stream=s={to}"),
                "--option=s.startingOffsets=earliest",
                &format!("--table=t={to}"),
                &format!("--sink={back}"),
                "--option=sink.deliveryGuarantee=exactly-once",
                "--checkpoint",
                &file("checkpoint"),
                "--trigger=available-now",
            ],
            &[
                "run",
                &file("counted.toml"),
                "--kafka",
                bootstrap,
                "--results",
                &file("results.jsonl"),
                "--junit",
                &file("run.xml"),
            ],
            &[
                "load",
                "--bootstrap",
                bootstrap,
                "--rate=100/s",
                "--duration=1s",
                "--warm-up=0s",
                "--workers=2",
                "--slo=lost == 0",
                "--json",
                &file("load.json"),
                "--junit",
                &file("load.xml"),
                "--hdr",
                &file("load.hlog"),
            ],
        ];
        let with_properties = |command: &&[&str]| {
            let mut command: Vec<String> = command.iter().map(ToString::to_string).collect();
            command.extend(["--kafka-properties".to_string(), properties.display().to_string()]);
            command
        };
        Ok(commands.iter().map(with_properties).collect())
    }
}

/// Runs a command in `dir` with a variable of the environment; what it says, and whether it ended with `code`.
fn run(command: &[String], dir: &Path, variable: (&str, &str), code: i32) -> Result<String, Failed> {
    let mut program = Role::Skirl.command();
    program.args(command).current_dir(dir).env(variable.0, variable.1);
    let told = said(&program.output()?, code);
    assert!(!told.contains(SECRET), "{command:?}\n{told}");
    Ok(told)
}

const NO_VARIABLE: (&str, &str) = ("SKIRL_TEST_NOTHING", "");

/// A file of properties.
fn properties_file(dir: &Path, lines: &str) -> Result<PathBuf, Failed> {
    let path = dir.join("client.properties");
    fs::write(&path, lines)?;
    Ok(path)
}

/// Files below `dir` in which the secret stands.
fn files_with_secret(dir: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_with_secret(&path)?);
        } else {
            let bytes = fs::read(&path)?;
            let holds = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            found.extend(holds.then_some(path));
        }
    }
    Ok(found)
}

fn guarded() -> Result<Cluster, Failed> {
    Ok(Cluster::start(Options {
        tls: true,
        users: vec![User {
            name: "alice".to_owned(),
            password: SECRET.to_owned(),
        }],
        ..Options::default()
    })?)
}

/// What a client of this build sets at a listener, but the brokers and `sasl.password`.
fn settings_at(cluster: &Cluster, listener: Listener) -> String {
    let settings = cluster.client_settings(listener).expect("every listener was asked for");
    let line = |(name, value): (String, String)| match name.as_str() {
        "bootstrap.servers" | "sasl.password" => String::new(),
        "sasl.mechanism" if !cfg!(feature = "tls") => format!("{name}=PLAIN\n"),
        _ => format!("{name}={value}\n"),
    };
    settings.into_iter().map(line).collect()
}

fn every_command_gets_in_at_a_listener_with_a_password_and_keeps_it_to_itself() -> Outcome {
    let cluster = guarded()?;
    let listeners: &[Listener] = if cfg!(feature = "tls") {
        &[Listener::SaslTls, Listener::MutualTls]
    } else {
        &[Listener::Sasl]
    };
    for listener in listeners {
        let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let properties = properties_file(elsewhere.path(), &settings_at(&cluster, *listener))?;
        let visit = Visit {
            bootstrap: &cluster.bootstrap_at(*listener).expect("a listener"),
            topic: &format!("{listener:?}"),
            properties: &properties,
            dir: dir.path(),
        };
        let password = ("SKIRL_KAFKA_SASL_PASSWORD", SECRET);
        for command in visit.commands()? {
            run(&command, dir.path(), password, 0)?;
        }
        let fitted = ["fit", "trace", "--to", "fitted.toml"].map(str::to_string);
        run(&fitted, dir.path(), password, 0)?;
        assert_eq!(files_with_secret(dir.path())?, Vec::<PathBuf>::new(), "{listener:?}");
        assert!(fs::read_to_string(dir.path().join("load.json"))?.contains("security.protocol"));
        assert!(dir.path().join("checkpoint/commits/0").exists());
    }
    Ok(())
}

/// Records a trace that a command may put back.
fn record(topic: &Topic, dir: &Path) -> Outcome {
    topic.put(0, &["{\"n\":1}"])?;
    let (from, to) = (topic.address(), dir.join("trace").display().to_string());
    said(&skirl(&["record", "--from", &from, "--until-end", "--to", &to])?, 0);
    Ok(())
}

/// Every command ends with code 2, one of `reasons` and in less than `bound`. A trace is there already.
fn all_end(visit: &Visit, reason: &str, bound: Duration) -> Outcome {
    for command in visit.commands()? {
        let begun = begun();
        let told = run(&command, visit.dir, NO_VARIABLE, 2)?;
        assert!(told.contains(reason), "{command:?}\n{told}");
        assert!(begun.elapsed() < bound, "{command:?} took {:?}", begun.elapsed());
    }
    Ok(())
}

/// Now, for claims about how long something takes.
#[expect(clippy::disallowed_methods, reason = "the claim is about the machine's time")]
pub fn begun() -> Instant {
    Instant::now()
}

fn a_listener_that_lets_nobody_in_ends_every_command_within_seconds() -> Outcome {
    let (cluster, strangers) = (guarded()?, tempfile::tempdir()?);
    let there = Topic::at(&cluster.bootstrap(), "there")?;
    there.make(1, &[])?;
    let strange = strangers.path().join("ca.pem");
    fs::write(&strange, skirl::broker::Authority::new()?.certificate())?;
    let wrong_password = "\nsasl.password=not-planted-secret";
    let wrong_authority = format!("\nssl.ca.location={}", strange.display());
    let doors: &[(Listener, &str)] = if cfg!(feature = "tls") {
        &[(Listener::SaslTls, wrong_password), (Listener::Tls, &wrong_authority)]
    } else {
        &[(Listener::Sasl, wrong_password)]
    };
    for (listener, wrong) in doors {
        let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
        record(&there, dir.path())?;
        let settings = settings_at(&cluster, *listener) + wrong;
        let visit = Visit {
            bootstrap: &cluster.bootstrap_at(*listener).expect("a listener"),
            topic: "there",
            properties: &properties_file(elsewhere.path(), &settings)?,
            dir: dir.path(),
        };
        all_end(&visit, "does not let us in", Duration::from_secs(20))?;
    }
    Ok(())
}

fn a_broker_that_is_away_ends_every_command_within_seconds() -> Outcome {
    let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    record(&Topic::new("away", 1)?, dir.path())?;
    let visit = Visit {
        bootstrap: "127.0.0.1:9",
        topic: "away",
        properties: &properties_file(elsewhere.path(), "socket.connection.setup.timeout.ms=2000\n")?,
        dir: dir.path(),
    };
    all_end(&visit, "no broker answers at 127.0.0.1:9", Duration::from_secs(30))
}

fn no_mistake_repeats_a_secret() -> Outcome {
    let (bootstrap, topic) = (shared()?, Topic::new("mistakes", 1)?);
    let jaas = format!("sasl.jaas.config=a.b.PlainLoginModule required username=\"a\" password=\"{SECRET}\";");
    let with_user = format!("alice:{SECRET}@{bootstrap}");
    for (bootstrap, properties, reason) in [
        (
            &bootstrap,
            format!("sasl.pasword={SECRET}"),
            "did you mean `sasl.password`?",
        ),
        (&bootstrap, jaas.clone(), "`sasl.jaas.config` is Java's"),
        (&bootstrap, SECRET.to_string(), "line 1: no `name=value`"),
        (
            &bootstrap,
            format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=GSSAPI\nsasl.password={SECRET}"),
            "GSSAPI (Kerberos) is not supported",
        ),
        (
            &with_user,
            String::new(),
            "a Kafka address holds no user and no password",
        ),
    ] {
        let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
        record(&topic, dir.path())?;
        let visit = Visit {
            bootstrap,
            topic: &topic.name,
            properties: &properties_file(elsewhere.path(), &properties)?,
            dir: dir.path(),
        };
        for command in visit.commands()? {
            let told = run(&command, dir.path(), NO_VARIABLE, 2)?;
            assert!(told.contains(reason), "{command:?}\n{told}");
            let mistyped: Vec<String> = command
                .iter()
                .map(|word| word.replace("kafka://", "kafak://"))
                .collect();
            if bootstrap == &with_user {
                run(&mistyped, dir.path(), NO_VARIABLE, 2)?;
            }
        }
    }
    Ok(())
}

fn no_mistake_in_an_option_repeats_a_secret() -> Outcome {
    let topic = Topic::new("options", 1)?;
    let (dir, at) = (tempfile::tempdir()?, topic.address());
    let generate = ["generate", "weather", "--to", &at].map(str::to_string);
    let told = run(&generate, dir.path(), ("SKIRL_KAFKA_SASL_PASWORD", SECRET), 2)?;
    assert!(told.contains("SKIRL_KAFKA_SASL_PASWORD"), "{told}");
    let query = |option: &str| {
        let stream = format!("--stream=s={at}");
        let option = format!("--option={option}");
        ["query", "SELECT value FROM s", &stream, "--trigger=once", &option].map(str::to_string)
    };
    for option in [
        format!("s.kafka.sasl.pasword={SECRET}"),
        format!("s.kafka.sasl.jaas.config={SECRET}"),
        format!("s.kafka.sasl.password:{SECRET}"),
        format!("kafka.sasl.password={SECRET}"),
        format!("sink.kafka.sasl.password:{SECRET}"),
    ] {
        run(&query(&option), dir.path(), NO_VARIABLE, 2)?;
    }
    for property in [
        format!("sasl.pasword={SECRET}"),
        format!("sasl.password:{SECRET}"),
        format!("ssl.key.pem={SECRET}\n"),
    ] {
        let bootstrap = topic.properties.bootstrap();
        let load = ["load", "--bootstrap", bootstrap, "--rate=1/s", "--duration=1s"];
        let protocol = ["--property=security.protocol=SSL", "--property", &property];
        run(
            &[&load[..], &protocol]
                .concat()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            dir.path(),
            NO_VARIABLE,
            2,
        )?;
    }
    Ok(())
}

fn no_mistake_in_a_scenario_shows_a_secret() -> Outcome {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("counted.toml");
    for (section, reason) in [
        (
            format!("[kafka]\noptions = {{ \"kafka.sasl.password\" = \"{SECRET}\" }}"),
            "`kafka.sasl.password` may be a secret",
        ),
        (
            format!("[kafka]\noptions = {{ \"kafka.sasl.pasword\" = \"{SECRET}\" }}"),
            "`kafka.sasl.pasword` may be a secret",
        ),
        (
            format!("[kafka]\noptions.kafka.sasl.jaas.config = \"{SECRET}\""),
            "`kafka.sasl.jaas.config` may be a secret",
        ),
        (
            format!("[kafka]\npassword = \"{SECRET}\""),
            "[kafka] has no key `password`",
        ),
        (
            format!("[kafka]\naddress = \"kafka://alice:{SECRET}@h:1\""),
            "a Kafka address holds no user and no password",
        ),
        (
            format!("[kafka]\naddress = \"kafak://alice:{SECRET}@h:1\""),
            "a Kafka address holds no user and no password",
        ),
        (
            format!("kafka = \"kafka://alice:{SECRET}@h:1\""),
            "where a table is wanted",
        ),
        (
            format!("[kafka]\noptions = {{ \"kafka.sasl.password\" = \"{SECRET}\""),
            "this is no TOML",
        ),
    ] {
        // A key of the whole scenario stands above its sections.
        let text = match section.starts_with('[') {
            true => format!("{SCENARIO}{section}\n"),
            false => format!("{section}\n{SCENARIO}"),
        };
        fs::write(&path, text)?;
        let file = path.display().to_string();
        for report in ["text", "json"] {
            let junit = dir.path().join("run.xml");
            let command = [
                "run",
                &file,
                "--report",
                report,
                "--junit",
                &junit.display().to_string(),
            ];
            let told = run(&command.map(str::to_string), dir.path(), NO_VARIABLE, 2)?;
            assert!(told.contains(reason), "{told}");
            assert!(!fs::read_to_string(&junit)?.contains(SECRET));
        }
    }
    Ok(())
}
