//! Who gets in at which listener of the throwaway broker, by the client that Skirl uses.

use skirl::broker::{Cluster, Listener, Options, User};
use skirl_kafka::{Admin, Error, Properties};

use crate::needs::{Outcome, Test, tests};
use crate::topic::Topic;

pub const TESTS: &[Test] = tests! {
    Broker:
        asking_for_a_topic_does_not_make_it;
    OwnCluster:
        each_listener_lets_in_whom_it_should_and_nobody_else,
        a_setting_reaches_the_broker;
};

fn asking_for_a_topic_does_not_make_it() -> Outcome {
    let (asked, made) = (Topic::later("asked")?, Topic::new("made", 1)?);
    let answer = asked.admin.topic(&asked.name);
    assert!(matches!(answer, Err(Error::NoSuchTopic { .. })), "{answer:?}");
    let names = made.admin.topic_names()?;
    assert!(names.contains(&made.name) && !names.contains(&asked.name), "{names:?}");
    Ok(())
}

fn each_listener_lets_in_whom_it_should_and_nobody_else() -> Outcome {
    let cluster = Cluster::start(Options {
        tls: true,
        users: vec![User {
            name: "alice".to_owned(),
            password: "planted-password".to_owned(),
        }],
        ..Options::default()
    })?;
    let at = |listener| Settings::of(&cluster, listener);
    at(Listener::Plaintext).get_in();
    let mechanisms: &[&str] = if cfg!(feature = "tls") {
        &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    } else {
        &["PLAIN"]
    };
    for mechanism in mechanisms {
        let right = at(Listener::Sasl).with("sasl.mechanism", mechanism);
        right.get_in();
        right.with("sasl.password", "another-password").is_refused();
        right.with("sasl.username", "bob").is_refused();
    }
    if cfg!(feature = "tls") {
        check_certificates(&cluster)
    } else {
        for listener in [Listener::Tls, Listener::MutualTls, Listener::SaslTls] {
            assert!(
                matches!(at(listener).connect(), Err(Error::NoTls { .. })),
                "{listener:?}"
            );
        }
        Ok(())
    }
}

/// Certificates of the cluster's authority open its listeners with TLS; none, and those of a stranger, do not.
fn check_certificates(cluster: &Cluster) -> Outcome {
    let strangers = tempfile::tempdir()?;
    let stranger = skirl::broker::Authority::new()?;
    let (certificate, key) = stranger.issue("skirl-client", &[])?;
    let file = |name: &str, content: &str| {
        let path = strangers.path().join(name);
        std::fs::write(&path, content).map(|()| path.to_string_lossy().into_owned())
    };
    let (authority, certificate, key) = (
        file("ca.pem", &stranger.certificate())?,
        file("client.pem", &certificate)?,
        file("client.key", &key)?,
    );

    for listener in [Listener::Tls, Listener::MutualTls, Listener::SaslTls] {
        let right = Settings::of(cluster, listener);
        right.get_in();
        right.with("ssl.ca.location", &authority).is_refused();
    }
    let mutual = Settings::of(cluster, Listener::MutualTls);
    mutual
        .with("ssl.certificate.location", &certificate)
        .with("ssl.key.location", &key)
        .is_refused();
    mutual
        .without("ssl.certificate.location")
        .without("ssl.key.location")
        .is_refused();
    Settings::of(cluster, Listener::SaslTls)
        .with("sasl.password", "another-password")
        .is_refused();
    Ok(())
}

fn a_setting_reaches_the_broker() -> Outcome {
    let cluster = Cluster::start(Options {
        settings: vec![("message.max.bytes".to_owned(), "1234".to_owned())],
        ..Options::default()
    })?;
    let settings = Admin::connect(&Properties::new(&cluster.bootstrap()))?.broker_settings(1)?;
    assert_eq!(settings["message.max.bytes"], "1234");
    assert_eq!(settings["auto.create.topics.enable"], "false");
    Ok(())
}

/// What a client sets.
#[derive(Debug, Clone)]
struct Settings(Vec<(String, String)>);

impl Settings {
    fn of(cluster: &Cluster, listener: Listener) -> Self {
        let settings = cluster
            .client_settings(listener)
            .expect("the options asked for every listener");
        Settings(settings.into_iter().collect())
    }

    fn without(&self, name: &str) -> Self {
        Settings(self.0.iter().filter(|(each, _)| each != name).cloned().collect())
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut settings = self.without(name);
        settings.0.push((name.to_owned(), value.to_owned()));
        settings
    }

    fn connect(&self) -> Result<Admin, Error> {
        let mut properties = Properties::new("");
        for (name, value) in &self.0 {
            properties.set(name, value)?;
        }
        Admin::connect(&properties)
    }

    #[track_caller]
    fn get_in(&self) {
        let brokers = self.connect().and_then(|admin| admin.brokers());
        let names: Vec<&String> = self.0.iter().map(|(name, _)| name).collect();
        assert_eq!(brokers.expect("an answer").len(), 1, "{names:?}");
    }

    #[track_caller]
    fn is_refused(&self) {
        let brokers = self.connect().and_then(|admin| admin.brokers());
        let Err(Error::Refused { .. }) = &brokers else {
            panic!("{brokers:?}")
        };
        let message = format!("{brokers:?}");
        assert!(!message.contains("password\""), "{message}");
    }
}
