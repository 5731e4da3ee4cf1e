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

/// Who the node is and where it listens. Its directories are relative to its own, in which it is started.
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
        ("log.dirs", "data"),
    ])
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
