//! The properties of a client: from options, a file or the environment; checked by name, and silent about secrets.
//!
//! Names are librdkafka's. Java's names for the same things are taken too, since a job's options are often copied from
//! there: [`JAVA_NAMES`] translates them, and names only Java has are refused with the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use crate::error::{Error, Result};
use crate::native;

/// The prefix of environment variables that are properties: `SKIRL_KAFKA_SASL_PASSWORD` is `sasl.password`.
pub const ENVIRONMENT_PREFIX: &str = "SKIRL_KAFKA_";
/// The environment variable that names a file of properties.
pub const PROPERTIES_VARIABLE: &str = "SKIRL_KAFKA_PROPERTIES";

/// Properties of a client, by librdkafka's names. `Debug` shows names, and values only of those that are no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Properties {
    values: BTreeMap<String, String>,
}

/// Java's names, and librdkafka's for the same thing.
const JAVA_NAMES: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.request.size", "message.max.bytes"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("reconnect.backoff.max.ms", "reconnect.backoff.max.ms"),
    ("metadata.max.age.ms", "metadata.max.age.ms"),
    ("ssl.truststore.location", "ssl.ca.location"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
];

/// Names only Java has, and what to write instead.
const JAVA_ONLY: &[(&str, &str)] = &[
    (
        "sasl.jaas.config",
        "give `sasl.mechanism`, `sasl.username` and `sasl.password`",
    ),
    (
        "ssl.truststore.password",
        "give `ssl.ca.location`, a PEM file without password",
    ),
    ("ssl.truststore.type", "give `ssl.ca.location`, a PEM file"),
    (
        "ssl.keystore.type",
        "PEM files go to `ssl.certificate.location` and `ssl.key.location`, PKCS12 to `ssl.keystore.location`",
    ),
    ("buffer.memory", "give `queue.buffering.max.kbytes`"),
    ("max.block.ms", "leave it out: a full queue is waited for"),
    (
        "max.poll.records",
        "leave it out: rows are read in batches as they come",
    ),
    ("key.deserializer", "leave it out: keys are bytes"),
    ("value.deserializer", "leave it out: values are bytes"),
    ("key.serializer", "leave it out: keys are bytes"),
    ("value.serializer", "leave it out: values are bytes"),
    ("interceptor.classes", "leave it out: there is no Java here"),
];

/// The mechanisms of SASL that work: neither OAUTHBEARER nor Kerberos.
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

impl Properties {
    /// A client that asks `bootstrap` (`host:port`, several separated by commas).
    pub fn new(bootstrap: &str) -> Self {
        Properties {
            values: BTreeMap::from([("bootstrap.servers".to_string(), bootstrap.to_string())]),
        }
    }

    /// The brokers to ask first.
    pub fn bootstrap(&self) -> &str {
        self.values.get("bootstrap.servers").map_or("", String::as_str)
    }

    /// The value of a property that was set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Sets a property, by librdkafka's name or Java's.
    ///
    /// # Errors
    /// A name nobody knows, with the nearest one that is known; never with the value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<()> {
        let name = known_name(name)?;
        self.values.insert(name, value.into());
        Ok(())
    }

    /// Sets a property unless it was set before.
    ///
    /// # Errors
    /// As [`Properties::set`].
    pub fn set_default(&mut self, name: &str, value: &str) -> Result<()> {
        if self.values.contains_key(name) {
            return Ok(());
        }
        self.set(name, value)
    }

    /// Adds `name=value` lines, as Java's tools read them: `#` and `!` begin comments, blank lines are nothing.
    ///
    /// # Errors
    /// A file that cannot be read; a line without `=`, a name nobody knows: with the line's number, never with a value.
    pub fn add_file(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::Property(format!("cannot read {}: {error}", path.display())))?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let at = format!("{}, line {}", path.display(), index + 1);
            let Some((name, value)) = line.split_once('=') else {
                return Err(Error::Property(format!("{at}: no `name=value`")));
            };
            self.set(name.trim(), value.trim())
                .map_err(|error| Error::Property(format!("{at}: {error}")))?;
        }
        Ok(())
    }

    /// Adds what the environment says: the file [`PROPERTIES_VARIABLE`] names, then every variable that begins with
    /// [`ENVIRONMENT_PREFIX`].
    ///
    /// # Errors
    /// As [`Properties::add_file`], with the variable's name.
    pub fn add_environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let mut named: Vec<(String, String)> = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        named.sort();
        if let Some((_, path)) = named.iter().find(|(name, _)| name == PROPERTIES_VARIABLE) {
            self.add_file(Path::new(path))
                .map_err(|error| Error::Property(format!("{PROPERTIES_VARIABLE}: {error}")))?;
        }
        for (variable, value) in named.into_iter().filter(|(name, _)| name != PROPERTIES_VARIABLE) {
            let name = variable[ENVIRONMENT_PREFIX.len()..].to_lowercase().replace('_', ".");
            self.set(&name, value)
                .map_err(|error| Error::Property(format!("{variable}: {error}")))?;
        }
        Ok(())
    }

    /// The properties as librdkafka takes them.
    ///
    /// # Errors
    /// A value librdkafka does not take, TLS in a build without.
    pub(crate) fn to_config(&self) -> Result<ClientConfig> {
        self.refuse_other_mechanisms()?;
        self.refuse_missing_tls()?;
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Error);
        for (name, value) in &self.values {
            config.set(name, value);
        }
        // Tried on its own first, since the error of a client would print the value.
        match config.create_native_config() {
            Ok(_) => Ok(config),
            Err(KafkaError::ClientConfig(_, _, name, _)) => Err(self.refused_value(&name)),
            Err(other) => Err(Error::Property(format!("the properties are not taken: {other}"))),
        }
    }

    fn refused_value(&self, name: &str) -> Error {
        let value = match self.values.get(name) {
            Some(value) if !is_secret(name) => format!("`{value}`"),
            _ => "the value".to_string(),
        };
        Error::Property(format!("property `{name}` does not take {value}"))
    }

    fn mechanism(&self) -> &str {
        let named = self.get("sasl.mechanisms").or(self.get("sasl.mechanism"));
        named.unwrap_or_default()
    }

    /// Of SASL's mechanisms librdkafka has more than Skirl is built with and tested against.
    fn refuse_other_mechanisms(&self) -> Result<()> {
        let protocol = self.get("security.protocol").unwrap_or_default().to_lowercase();
        let mechanism = self.mechanism().to_uppercase();
        if !protocol.starts_with("sasl") || MECHANISMS.contains(&mechanism.as_str()) {
            return Ok(());
        }
        let found = match mechanism.as_str() {
            "" => "`sasl.mechanism` is not given".to_string(),
            "GSSAPI" => "`sasl.mechanism` GSSAPI (Kerberos) is not supported".to_string(),
            other => format!("`sasl.mechanism` {other} is not supported"),
        };
        Err(Error::Property(format!(
            "{found}; it is one of {}; without passwords, `security.protocol` SSL takes a client's certificate",
            MECHANISMS.join(", ")
        )))
    }

    fn refuse_missing_tls(&self) -> Result<()> {
        if native::has_tls() {
            return Ok(());
        }
        let protocol = self.get("security.protocol").unwrap_or_default();
        let mechanism = self.mechanism();
        if protocol.to_lowercase().contains("ssl") {
            return Err(Error::NoTls {
                property: format!("security.protocol={protocol}"),
            });
        }
        if protocol.to_lowercase().starts_with("sasl") && mechanism.to_uppercase().starts_with("SCRAM") {
            return Err(Error::NoTls {
                property: format!("sasl.mechanism={mechanism}"),
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.values.iter().map(|(name, value)| {
            let value = if is_secret(name) { "[hidden]" } else { value.as_str() };
            (name, value)
        });
        f.debug_map().entries(shown).finish()
    }
}

/// Whether a property's value must never be shown: passwords, keys, tokens, and any name librdkafka does not know.
pub fn is_secret(name: &str) -> bool {
    names_a_secret(name) || !native::is_property(&name.to_lowercase())
}

/// Whether a text mentions a password, a key or a token by name.
pub fn names_a_secret(text: &str) -> bool {
    const PARTS: &[&str] = &[
        "passw",
        "secret",
        "jaas",
        "token",
        "credential",
        "key.pem",
        "keystore.key",
    ];
    let text = text.to_lowercase();
    PARTS.iter().any(|part| text.contains(part))
}

fn known_name(name: &str) -> Result<String> {
    if let Some((_, ours)) = JAVA_NAMES.iter().find(|(java, _)| *java == name) {
        return Ok((*ours).to_string());
    }
    if let Some((_, instead)) = JAVA_ONLY.iter().find(|(java, _)| *java == name) {
        return Err(Error::Property(format!("property `{name}` is Java's; {instead}")));
    }
    if native::is_property(name) {
        return Ok(name.to_string());
    }
    let nearest = native::property_names()
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, name), known))
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .min();
    let hint = nearest.map_or_else(
        || "the names are those of librdkafka's CONFIGURATION.md".to_string(),
        |(_, known)| format!("did you mean `{known}`?"),
    );
    Err(Error::Property(format!("there is no property `{name}`; {hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    }

    #[test]
    fn a_mistyped_name_is_told_the_right_one_and_keeps_its_value_to_itself() {
        let error = Properties::new("h:1")
            .set("sasl.pasword", "alice-pw")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "there is no property `sasl.pasword`; did you mean `sasl.password`?"
        );
    }

    #[test]
    fn secrets_are_shown_neither_by_debug_nor_by_errors() {
        let mut properties = Properties::new("h:1");
        properties.set("sasl.password", "alice-pw").unwrap();
        properties.set("ssl.key.pem", "-----BEGIN KEY").unwrap();
        let shown = format!("{properties:?}");
        assert!(
            shown.contains("h:1") && !shown.contains("alice-pw") && !shown.contains("BEGIN KEY"),
            "{shown}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_unless_it_is_a_secret() {
        let mut properties = Properties::new("h:1");
        properties.set("linger.ms", "soon").unwrap();
        let error = properties.to_config().unwrap_err().to_string();
        assert_eq!(error, "property `linger.ms` does not take `soon`");
    }

    #[test]
    fn java_names_are_translated_or_explained() {
        let mut properties = Properties::new("h:1");
        properties.set("fetch.max.wait.ms", "5").unwrap();
        assert_eq!(properties.get("fetch.wait.max.ms"), Some("5"));
        let error = properties
            .set("sasl.jaas.config", "x required password=\"pw\";")
            .unwrap_err()
            .to_string();
        assert!(error.contains("sasl.username") && !error.contains("pw"), "{error}");
    }

    #[test]
    fn the_environment_and_its_file_are_read() {
        let dir = std::env::temp_dir().join(format!("skirl-kafka-properties-{}", std::process::id()));
        std::fs::write(&dir, "# client\nsasl.username = alice\n\nlinger.ms=5\n").unwrap();
        let mut properties = Properties::new("h:1");
        let file = dir.display().to_string();
        properties
            .add_environment(variables(&[
                ("SKIRL_KAFKA_PROPERTIES", &file),
                ("SKIRL_KAFKA_SASL_PASSWORD", "alice-pw"),
                ("SKIRL_KAFKA", "not a property"),
                ("HOME", "/"),
            ]))
            .unwrap();
        assert_eq!(properties.get("sasl.username"), Some("alice"));
        assert_eq!(properties.get("sasl.password"), Some("alice-pw"));
        std::fs::write(&dir, "linger.ms=5\nsasl.pasword=alice-pw\n").unwrap();
        let error = properties.add_file(&dir).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("sasl.password") && !error.contains("alice-pw"),
            "{error}"
        );
        std::fs::remove_file(&dir).unwrap();
    }

    #[test]
    fn without_tls_the_build_to_use_is_named() {
        if native::has_tls() {
            return;
        }
        let mut properties = Properties::new("h:1");
        properties.set("security.protocol", "sasl_ssl").unwrap();
        properties.set("sasl.mechanism", "PLAIN").unwrap();
        let error = properties.to_config().unwrap_err().to_string();
        assert!(error.contains("--features tls"), "{error}");
    }

    #[test]
    fn mechanisms_that_are_not_supported_are_refused_by_name() {
        for (mechanism, found) in [
            ("", "`sasl.mechanism` is not given"),
            ("GSSAPI", "GSSAPI (Kerberos) is not supported"),
            ("oauthbearer", "OAUTHBEARER is not supported"),
        ] {
            let mut properties = Properties::new("h:1");
            properties.set("security.protocol", "SASL_SSL").unwrap();
            if !mechanism.is_empty() {
                properties.set("sasl.mechanism", mechanism).unwrap();
            }
            let error = properties.to_config().unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("SCRAM-SHA-512"), "{error}");
        }
    }
}
