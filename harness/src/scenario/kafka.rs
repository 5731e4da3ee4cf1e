//! `[kafka]`: the streams of a scenario live in topics of Kafka, made for the run.

use std::collections::BTreeMap;

use skirl_kafka::Address;
use skirl_kafka::properties::is_secret;

use super::section::Section;

/// Topics for the streams of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InTopics {
    /// The brokers; `None`: those the command line names.
    pub address: Option<Address>,
    /// Partitions of each topic; `None`: a few.
    pub partitions: Option<i32>,
    /// Options of the source, by Spark's names.
    pub options: BTreeMap<String, String>,
}

/// Reads `[kafka]`, if it is there.
pub(super) fn read(root: &mut Section) -> Option<InTopics> {
    root.hide_texts(|key, _| key != "kafka"); // an address, written where a section belongs
    let mut section = root.section("kafka")?;
    section.hide_texts(|key, text| key == "address" && !text.contains('@'));
    let mut topics = InTopics {
        address: read_address(&mut section),
        ..InTopics::default()
    };
    if let Some(partitions) = section.integer("partitions") {
        topics.partitions = i32::try_from(*partitions.get_ref())
            .ok()
            .filter(|partitions| *partitions > 0);
        if topics.partitions.is_none() {
            section
                .mistakes
                .note(partitions.span(), "a topic has at least 1 partition");
        }
    }
    for (name, value) in section.settings("options") {
        let property = name.get_ref().strip_prefix("kafka.").unwrap_or_default();
        if !property.is_empty() && is_secret(property) {
            let help = "write it into a file of properties and name that with --kafka-properties, or into the environment as \
                        SKIRL_KAFKA_SASL_PASSWORD";
            let message = format!("`{}` may be a secret, and scenarios are kept and shown", name.get_ref());
            section.mistakes.note_with_help(name.span(), message, help);
        } else {
            topics.options.insert(name.into_inner(), value);
        }
    }
    section.finish();
    Some(topics)
}

fn read_address(section: &mut Section) -> Option<Address> {
    let text = section.text("address")?;
    match text.get_ref().parse::<Address>() {
        Ok(address) if address.topic.is_none() => return Some(address),
        Ok(_) => section.mistakes.note_with_help(
            text.span(),
            "the address names a topic, and topics are made for the run",
            "write \"kafka://localhost:9092\"",
        ),
        Err(message) => section.mistakes.note(text.span(), message),
    }
    None
}
