//! What cluster is wanted.

use std::fmt;
use std::path::PathBuf;

use super::error::{Error, Result};
use super::settings;

/// What cluster is wanted; the default is one node without TLS and passwords.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many brokers, each also a controller. With three, one can be lost.
    pub nodes: u16,
    /// Whether there are listeners with TLS, with and without a client's certificate.
    pub tls: bool,
    /// Users who can log in by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; with any, there are listeners with passwords.
    pub users: Vec<User>,
    /// Settings of Kafka's, in place of or besides those of [`settings`].
    pub settings: Vec<(String, String)>,
    /// Whether the brokers are to be fast rather than quick to start: for load tests, and for those that stay for long.
    pub throughput: bool,
    /// Where data, logs and certificates go, an empty or a new directory; without, below the cache.
    pub dir: Option<PathBuf>,
    /// Whether they stay when the cluster is gone.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            nodes: 1,
            tls: false,
            users: Vec::new(),
            settings: Vec::new(),
            throughput: false,
            dir: None,
            keep: false,
        }
    }
}

/// Someone who can log in.
#[derive(Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Options {
    /// How many nodes a machine is asked to carry at most.
    const MOST_NODES: u16 = 9;

    /// Refuses what cannot be started.
    pub(super) fn check(&self) -> Result<()> {
        let nodes = self.nodes;
        if nodes == 0 || nodes > Self::MOST_NODES {
            return Err(Error::Option(format!(
                "{nodes} nodes: a cluster has 1 to {}",
                Self::MOST_NODES
            )));
        }
        self.settings.iter().try_for_each(|(key, _)| settings::check(key))?;
        self.users.iter().try_for_each(User::check)
    }
}

impl User {
    /// Kafka's tools have no way to quote what separates users from each other.
    fn check(&self) -> Result<()> {
        let is_plain =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !"\"'\\,;=[]".contains(c));
        for (what, text) in [("name", &self.name), ("password", &self.password)] {
            if !is_plain(text) {
                return Err(Error::Option(format!(
                    "the {what} of user {:?}: give printable ASCII without spaces and any of \" ' \\ , ; = [ ]",
                    self.name
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_started_is_refused_with_what_to_write_instead() {
        let user = |name: &str, password: &str| User {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let setting = |key: &str| vec![(key.to_owned(), "x".to_owned())];
        let messages = [
            Options {
                nodes: 0,
                ..Options::default()
            },
            Options {
                nodes: 10,
                ..Options::default()
            },
            Options {
                settings: setting("listeners"),
                ..Options::default()
            },
            Options {
                settings: setting("a b"),
                ..Options::default()
            },
            Options {
                users: vec![user("alice", "secret,word")],
                ..Options::default()
            },
            Options {
                users: vec![user("", "secret")],
                ..Options::default()
            },
        ]
        .map(|options| options.check().unwrap_err().to_string());
        insta::assert_snapshot!(messages.join("\n"), @r#"
        0 nodes: a cluster has 1 to 9
        10 nodes: a cluster has 1 to 9
        setting `listeners` follows from the free ports and directories; leave it out
        "a b" is no setting of Kafka's; write it as in message.max.bytes=1000
        the password of user "alice": give printable ASCII without spaces and any of " ' \ , ; = [ ]
        the name of user "": give printable ASCII without spaces and any of " ' \ , ; = [ ]
        "#);
        assert!(!messages.concat().contains("secret"));
    }

    #[test]
    fn a_password_is_not_printed() {
        let user = User {
            name: "alice".to_owned(),
            password: "alice-pw".to_owned(),
        };
        assert_eq!(format!("{user:?}"), "User { name: \"alice\", .. }");
    }
}
