//! A throwaway Apache Kafka for tests, and for people who have none: real brokers from the jars of Maven Central, one or
//! several on this machine, gone when whoever started them is gone.
//!
//! [`Cluster::start`] fetches what is missing ([`jars`]), lays out a directory ([`run_dir`]) with free ports ([`port`]),
//! settings ([`settings`]) and certificates ([`tls`]), and starts a [`node`] a broker, each on a [`leash`]. It is ready
//! when every broker's metadata lists every broker ([`probe`]). [`keeper`] keeps a cluster for the command line.
//!
//! Needed: Unix, Java 17 and, once, a way to Maven Central. Only loopback addresses are listened on.

mod cache;
mod classes;
mod cluster;
mod error;
mod id;
mod jars;
mod java;
pub(crate) mod keeper;
mod layout;
mod leash;
mod listener;
mod node;
mod options;
mod patience;
mod port;
mod probe;
mod program;
mod run_dir;
mod settings;
mod tls;

pub use cache::Cache;
pub use cluster::Cluster;
pub use error::{Error, Result};
pub(crate) use id::random as random_id;
pub use jars::VERSION;
pub use listener::Listener;
pub use node::{NodeId, State};
pub use options::{Options, User};
pub use patience::until;
pub use probe::brokers;
pub use tls::Authority;

/// Whether a broker can be started on this machine at all.
///
/// # Errors
/// [`Error::NoJava`], which says what to install.
pub fn possible() -> Result<()> {
    java::Java::find().map(drop)
}

/// Does what is done once and can take a minute, of which `say` hears: fetches Kafka, and records its classes.
///
/// # Errors
/// Without Java, or when the jars cannot be had or are not the ones that are pinned.
pub fn prepare(say: &mut dyn FnMut(&str)) -> Result<()> {
    program::Programs::find(&Cache::find()?, say).map(drop)
}
