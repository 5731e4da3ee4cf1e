//! Where a topic is: `kafka://host:port,host:port/topic`.

use std::fmt;
use std::str::FromStr;

/// Brokers to ask first, and a topic if one is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `host:port`, several separated by commas, as `bootstrap.servers` takes them.
    pub bootstrap: String,
    /// The topic after the last slash.
    pub topic: Option<String>,
}

impl FromStr for Address {
    type Err = String;

    /// Reads `kafka://host:port`, `kafka://host:port/topic`, several hosts separated by commas.
    ///
    /// # Errors
    /// A sentence that says what to write. The text itself is not repeated if it may hold a password (`user:word@host`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "write `kafka://host:port/topic`";
        if text.contains('@') {
            return Err(format!(
                "a Kafka address holds no user and no password; {FORM} and give `sasl.username` and `sasl.password` in a \
                 file of properties or in the environment"
            ));
        }
        let Some(rest) = text.strip_prefix("kafka://") else {
            return Err(format!("`{text}` is no Kafka address; {FORM}"));
        };
        let (hosts, topic) = match rest.split_once('/') {
            Some((hosts, topic)) => (hosts, Some(topic).filter(|topic| !topic.is_empty())),
            None => (rest, None),
        };
        for host in hosts.split(',') {
            let port = host.rsplit_once(':').map(|(name, port)| (name, port.parse::<u16>()));
            if !matches!(port, Some((name, Ok(_))) if !name.is_empty()) {
                return Err(format!("`{host}` in `{text}` has no host and port; {FORM}"));
            }
        }
        if let Some(topic) = topic {
            check_topic(topic)?;
        }
        Ok(Address {
            bootstrap: hosts.to_string(),
            topic: topic.map(str::to_string),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}", self.bootstrap)?;
        self.topic.as_ref().map_or(Ok(()), |topic| write!(f, "/{topic}"))
    }
}

/// A place as a message may repeat it: a user and a password before an `@` are left out.
pub fn shown(place: &str) -> String {
    let Some((before, after)) = place.rsplit_once('@') else {
        return place.to_string();
    };
    let scheme = before.find("://").map_or("", |at| &before[..at + "://".len()]);
    format!("{scheme}...@{after}")
}

/// Whether Kafka takes a topic name: up to 249 of letters, digits, `.`, `_` and `-`, not `.` or `..`
/// (org.apache.kafka.common.internals.Topic).
///
/// # Errors
/// A sentence that says what is wrong.
pub fn check_topic(name: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." || name.len() > 249 || !name.chars().all(legal) {
        return Err(format!(
            "`{name}` is no topic name; it takes up to 249 letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_brokers_and_perhaps_a_topic() {
        for (text, bootstrap, topic) in [
            ("kafka://localhost:9092/scotsmen", "localhost:9092", Some("scotsmen")),
            ("kafka://a:1,b:2", "a:1,b:2", None),
            ("kafka://[::1]:9092/", "[::1]:9092", None),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.bootstrap.as_str(), address.topic.as_deref()),
                (bootstrap, topic)
            );
        }
    }

    #[test]
    fn what_is_no_address_is_told_what_to_write() {
        for text in [
            "localhost:9092",
            "kafka://",
            "kafka://host/t",
            "kafka://h:99999/t",
            "kafka://h:1/a b",
            "kafka://h:1/a/b",
        ] {
            let message = text.parse::<Address>().unwrap_err();
            assert!(
                message.contains("write `kafka://") || message.contains("is no topic name"),
                "{message}"
            );
        }
        for text in ["kafka://alice:pw@h:1/t", "kafak://alice:pw@h:1/t", "alice:pw@h:1"] {
            let message = text.parse::<Address>().unwrap_err();
            assert!(
                !message.contains("pw@") && message.contains("sasl.password"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        for (place, wanted) in [
            ("kafak://alice:p@w@h:1/t", "kafak://...@h:1/t"),
            ("alice:pw@h:1", "...@h:1"),
            ("data/weather", "data/weather"),
        ] {
            assert_eq!(shown(place), wanted);
        }
    }
}
