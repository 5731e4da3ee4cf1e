//! The ways into a broker: which listeners there are, and what a client has to set to use one.

use super::options::Options;

/// A way into every node, on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// Without encryption and password; always there.
    Plaintext,
    /// TLS; the broker shows a certificate.
    Tls,
    /// TLS; the client has to show a certificate too.
    MutualTls,
    /// A user's password, without encryption.
    Sasl,
    /// A user's password over TLS.
    SaslTls,
}

impl Listener {
    /// Those that `options` ask for.
    pub(super) fn all(options: &Options) -> Vec<Listener> {
        let every = [
            Listener::Plaintext,
            Listener::Tls,
            Listener::MutualTls,
            Listener::Sasl,
            Listener::SaslTls,
        ];
        let has_users = !options.users.is_empty();
        let is_asked = |listener: &Listener| (options.tls || !listener.is_tls()) && (has_users || !listener.is_sasl());
        every.into_iter().filter(is_asked).collect()
    }

    /// Its name in the broker's settings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Listener::MutualTls => "MTLS",
            other => other.security_protocol(),
        }
    }

    /// What a client sets as `security.protocol`.
    pub fn security_protocol(self) -> &'static str {
        match self {
            Listener::Plaintext => "PLAINTEXT",
            Listener::Tls | Listener::MutualTls => "SSL",
            Listener::Sasl => "SASL_PLAINTEXT",
            Listener::SaslTls => "SASL_SSL",
        }
    }

    pub(super) fn is_tls(self) -> bool {
        matches!(self, Listener::Tls | Listener::MutualTls | Listener::SaslTls)
    }

    pub(super) fn is_sasl(self) -> bool {
        matches!(self, Listener::Sasl | Listener::SaslTls)
    }
}
