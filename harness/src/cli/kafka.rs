//! Brokers as the command line names them, and what the environment and a file say of them.

use std::path::Path;

use anyhow::{Result, anyhow};
use skirl_kafka::{Address, Properties};

/// The address a place is, if it is one of Kafka's.
pub(super) fn address_of(place: &str) -> Result<Option<Address>> {
    if !place.starts_with("kafka://") {
        return Ok(None);
    }
    place.parse().map(Some).map_err(|message: String| anyhow!(message))
}

/// Brokers, as `host:port` or `kafka://host:port`.
pub(super) fn brokers(text: &str) -> Result<Address, String> {
    let address: Address = match text.starts_with("kafka://") {
        true => text.parse()?,
        false => format!("kafka://{text}").parse()?,
    };
    match address.topic {
        None => Ok(address),
        Some(topic) => Err(format!("leave the topic `{topic}` out: topics are made for the run")),
    }
}

/// The properties of a client of the brokers at an address: what the environment says, then the file.
pub(super) fn properties(address: &Address, file: Option<&Path>) -> Result<Properties> {
    let mut properties = Properties::new(&address.bootstrap);
    properties.add_environment(std::env::vars())?;
    if let Some(path) = file {
        properties.add_file(path)?;
    }
    // The address that was given counts, whatever else is said.
    properties.set("bootstrap.servers", address.bootstrap.clone())?;
    Ok(properties)
}
