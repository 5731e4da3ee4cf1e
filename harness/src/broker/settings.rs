//! `server.properties` of a node.

use std::fmt::Write;

use super::error::{Error, Result};
use super::layout::{Layout, Seat};
use super::listener::Listener;

/// What the layout of a cluster decides.
const DECIDED: &[&str] = &[
    "advertised.listeners",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
    "node.id",
    "process.roles",
];

/// Refuses a setting that somebody else decides, or that is none.
pub(super) fn check(key: &str) -> Result<()> {
    if DECIDED.contains(&key) {
        return Err(Error::Option(format!(
            "setting `{key}` follows from the free ports and directories; leave it out"
        )));
    }
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
        return Err(Error::Option(format!(
            "{key:?} is no setting of Kafka's; write it as in message.max.bytes=1000"
        )));
    }
    Ok(())
}

/// The settings of the node in `seat`, as a file that Java reads.
pub(super) fn properties(seat: &Seat, layout: &Layout) -> String {
    let mut settings = addresses(seat, layout);
    settings.extend(throwaway(layout.seats.len()));
    settings.extend(certificates(layout));
    settings.extend(passwords(layout));
    for (key, value) in &layout.options.settings {
        settings.retain(|(known, _)| known != key);
        settings.push((key.clone(), value.clone()));
    }
    render(&settings)
}

type Settings = Vec<(String, String)>;

fn owned<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Settings {
    settings
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Who the node is, where it listens and where its rows are.
fn addresses(seat: &Seat, layout: &Layout) -> Settings {
    let listeners: Vec<String> = seat
        .listeners
        .iter()
        .map(|(listener, port)| format!("{}://{}", listener.name(), port.address()))
        .collect();
    let listeners = listeners.join(",");
    let controllers: Vec<String> = layout.seats.iter().map(|seat| seat.controller.address()).collect();
    let protocols: String = seat
        .listeners
        .iter()
        .map(|(listener, _)| format!(",{}:{}", listener.name(), listener.security_protocol()))
        .collect();
    owned([
        ("process.roles", "broker,controller"),
        ("node.id", &seat.id.to_string()),
        ("controller.quorum.bootstrap.servers", &controllers.join(",")),
        ("controller.listener.names", "CONTROLLER"),
        (
            "listeners",
            &format!("{listeners},CONTROLLER://{}", seat.controller.address()),
        ),
        ("advertised.listeners", &listeners),
        (
            "listener.security.protocol.map",
            &format!("CONTROLLER:PLAINTEXT{protocols}"),
        ),
        ("inter.broker.listener.name", Listener::Plaintext.name()),
        ("log.dirs", &data_of(seat)),
    ])
}

/// In full, since a broker tells it to whoever asks how much room there is. Kafka takes a comma for the end of a
/// directory's name; a node is started in its own directory.
fn data_of(seat: &Seat) -> String {
    let dir = seat.dir.join("data").to_string_lossy().into_owned();
    if dir.contains(',') { "data".to_owned() } else { dir }
}

/// What makes a broker small, quick and easy to fool.
fn throwaway(nodes: usize) -> Settings {
    // Three copies survive the loss of a node, and two are enough to write.
    let (copies, enough) = if nodes < 3 { ("1", "1") } else { ("3", "2") };
    owned([
        ("auto.create.topics.enable", "false"),
        ("default.replication.factor", copies),
        ("min.insync.replicas", enough),
        ("offsets.topic.replication.factor", copies),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.replication.factor", copies),
        ("transaction.state.log.min.isr", enough),
        ("transaction.state.log.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", copies),
        ("share.coordinator.state.topic.min.isr", enough),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("num.network.threads", "1"),
        ("num.io.threads", "2"),
        ("log.segment.bytes", "16777216"),
        ("log.index.size.max.bytes", "1048576"),
        // A killed node is let in again when its session has run out; with Kafka's own 9 s that takes 12.
        ("broker.session.timeout.ms", "2000"),
        ("broker.heartbeat.interval.ms", "500"),
    ])
}

fn certificates(layout: &Layout) -> Settings {
    let Some(files) = &layout.certificates else {
        return Settings::new();
    };
    owned([
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &files.broker().to_string_lossy()),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &files.authority().to_string_lossy()),
        ("listener.name.mtls.ssl.client.auth", "required"),
    ])
}

fn passwords(layout: &Layout) -> Settings {
    let users = &layout.options.users;
    if users.is_empty() {
        return Settings::new();
    }
    let security = "org.apache.kafka.common.security";
    let known: String = users
        .iter()
        .map(|user| format!(" user_{}=\"{}\"", user.name, user.password))
        .collect();
    let scram = format!("{security}.scram.ScramLoginModule required;");
    let plain = format!("{security}.plain.PlainLoginModule required{known};");
    let mut settings = owned([("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")]);
    for listener in Listener::all(&layout.options)
        .into_iter()
        .filter(|listener| listener.is_sasl())
    {
        for (mechanism, module) in [("plain", &plain), ("scram-sha-256", &scram), ("scram-sha-512", &scram)] {
            let name = listener.name().to_lowercase();
            settings.push((
                format!("listener.name.{name}.{mechanism}.sasl.jaas.config"),
                module.clone(),
            ));
        }
    }
    settings
}

/// Writes settings as Java's `Properties` reads them: in Latin-1, with `\` before what would mean something.
pub(super) fn render(settings: &[(String, String)]) -> String {
    let mut text = String::new();
    for (key, value) in settings {
        let _ = write!(text, "{key}=");
        for unit in value.encode_utf16() {
            let _ = match u8::try_from(unit) {
                Ok(byte @ b' '..=b'~') if byte != b'\\' => write!(text, "{}", char::from(byte)),
                _ => write!(text, "\\u{unit:04x}"),
            };
        }
        text.push('\n');
    }
    text
}

/// What a client sets to use `listener`, by librdkafka's names.
pub(super) fn of_client(listener: Listener, bootstrap: &str, layout: &Layout) -> Settings {
    let mut settings = owned([
        ("bootstrap.servers", bootstrap),
        ("security.protocol", listener.security_protocol()),
    ]);
    let file = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    if let Some(files) = layout.certificates.as_ref().filter(|_| listener.is_tls()) {
        settings.push(("ssl.ca.location".to_owned(), file(files.authority())));
        if listener == Listener::MutualTls {
            settings.push(("ssl.certificate.location".to_owned(), file(files.client())));
            settings.push(("ssl.key.location".to_owned(), file(files.client_key())));
        }
    }
    if let Some(user) = layout.options.users.first().filter(|_| listener.is_sasl()) {
        settings.extend(owned([
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", &user.name),
            ("sasl.password", &user.password),
        ]));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::super::options::{Options, User};
    use super::*;

    #[test]
    fn a_setting_of_ones_own_takes_the_place_of_ours() {
        let text = properties_of(Options {
            settings: vec![
                ("num.io.threads".to_owned(), "7".to_owned()),
                ("log.retention.ms".to_owned(), "5".to_owned()),
            ],
            ..Options::default()
        });
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("num.io") || line.starts_with("log.ret"))
            .collect();
        assert_eq!(lines, ["num.io.threads=7", "log.retention.ms=5"]);
    }

    #[test]
    fn every_listener_has_a_port_a_protocol_and_its_passwords() {
        let user = User {
            name: "alice".to_owned(),
            password: "alice-pw".to_owned(),
        };
        let text = properties_of(Options {
            nodes: 3,
            tls: true,
            users: vec![user],
            ..Options::default()
        });
        let chosen = ["listener", "sasl", "default.rep", "min."];
        let is_chosen =
            |line: &&str| chosen.iter().any(|start| line.starts_with(start)) && !line.starts_with("listeners");
        insta::assert_snapshot!(text.lines().filter(is_chosen).collect::<Vec<_>>().join("\n"), @r#"
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,MTLS:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
        default.replication.factor=3
        min.insync.replicas=2
        listener.name.mtls.ssl.client.auth=required
        sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
        listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-pw";
        listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alice-pw";
        listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
        "#);
        let listeners = text.lines().find(|line| line.starts_with("listeners=")).unwrap();
        assert_eq!(listeners.matches("://127.0.0.1:").count(), 6);
    }

    #[test]
    fn values_are_written_as_java_reads_them() {
        let settings = owned([("a", "C:\\x"), ("b", "Évora = 1"), ("c", "𝄞")]);
        assert_eq!(render(&settings), "a=C:\\u005cx\nb=\\u00c9vora = 1\nc=\\ud834\\udd1e\n");
    }

    #[test]
    fn compose_starts_the_same_kafka_with_the_same_settings() {
        let compose = include_str!("../../../compose.yaml");
        assert!(compose.contains(&format!("image: apache/kafka:{}\n", super::super::VERSION)));
        for (key, value) in throwaway(1) {
            let variable = format!("KAFKA_{}: ", key.replace('.', "_").to_uppercase());
            let set = compose.lines().find_map(|line| line.trim().strip_prefix(&variable));
            assert_eq!(set.map(|set| set.trim_matches('"')), Some(&*value), "{variable}");
        }
    }

    /// The settings of the first node.
    fn properties_of(options: Options) -> String {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::make(options, dir.path()).unwrap();
        properties(&layout.seats[0], &layout)
    }
}
