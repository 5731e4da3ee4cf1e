//! Why there is no broker.

use std::path::{Path, PathBuf};

use super::java::OLDEST_JAVA;
use super::node::NodeId;

/// What a step towards a broker ends in.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a cluster cannot be had, or does not do what it is told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kafka runs on Java, and Java is not fetched.
    #[error(
        "no Java {OLDEST_JAVA} or newer: {found}; install one (on Debian: apt install openjdk-17-jre-headless), name it \
         with JAVA_HOME, or use a broker that runs elsewhere"
    )]
    NoJava {
        /// What was found in its place.
        found: String,
    },
    /// No way to Maven Central gave the jars that are pinned.
    #[error("cannot fetch the jars of Apache Kafka into {}:{}", .cache.display(), .tries.iter().map(|line| format!("\n  {line}")).collect::<String>())]
    Fetch {
        /// Where they were to go.
        cache: PathBuf,
        /// What was tried, and how it ended.
        tries: Vec<String>,
    },
    /// An option makes no sense.
    #[error("{0}")]
    Option(String),
    /// A node, or a tool of Kafka's that prepares one, ended or did not get ready.
    #[error("node {node} {what}; its log ends so:\n{}", indented(.log))]
    Node {
        /// Which.
        node: NodeId,
        /// What it did.
        what: String,
        /// The last lines it wrote.
        log: String,
    },
    /// There is no such node.
    #[error("there is no node {node}; this cluster has {}", nodes(*.count))]
    NoNode {
        /// Which was asked for.
        node: NodeId,
        /// How many there are, numbered from 1.
        count: u16,
    },
    /// A node cannot do that in its present state.
    #[error("node {node} is {state}, so it cannot be {verb}; {instead}")]
    State {
        /// Which.
        node: NodeId,
        /// What it is.
        state: String,
        /// What was asked for, as a participle.
        verb: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// A file or a process of ours.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
}

impl Error {
    /// Turns what a file or a process answered into an error that says what was being done.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source }
    }

    /// As [`Error::io`], for `verb` done to a path.
    pub(super) fn path(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        Error::io(format!("{verb} {}", path.display()))
    }
}

fn indented(log: &str) -> String {
    match log {
        "" => "  (nothing)".to_owned(),
        log => log
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect::<String>()
            .trim_end()
            .to_owned(),
    }
}

fn nodes(count: u16) -> String {
    match count {
        1 => "node 1 only".to_owned(),
        count => format!("nodes 1 to {count}"),
    }
}
