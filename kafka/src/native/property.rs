//! The properties librdkafka knows.

use std::collections::BTreeSet;
use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use rdkafka::bindings as rd;

use super::text;

/// Whether this build can do TLS and SCRAM.
pub(crate) fn has_tls() -> bool {
    static FEATURES: OnceLock<bool> = OnceLock::new();
    *FEATURES.get_or_init(|| {
        property_default("builtin.features")
            .split(',')
            .any(|feature| feature == "ssl")
    })
}

/// Whether librdkafka knows a property, of clients or of topics.
pub(crate) fn is_property(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: the configuration lives for the block; name and value end in NUL.
    unsafe {
        let conf = rd::rd_kafka_conf_new();
        // Whatever it thinks of an empty value, it says first whether it knows the name.
        let outcome = rd::rd_kafka_conf_set(conf, name.as_ptr(), c"".as_ptr(), std::ptr::null_mut(), 0);
        rd::rd_kafka_conf_destroy(conf);
        outcome != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_UNKNOWN
    }
}

/// Names of properties that people write, for suggestions.
pub(crate) fn property_names() -> &'static BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        // Names that are in no dump: aliases, and those without a default.
        let unlisted = [
            "acks",
            "bootstrap.servers",
            "compression.type",
            "linger.ms",
            "max.in.flight",
            "retries",
            "sasl.mechanism",
            "sasl.password",
            "sasl.username",
            "ssl.ca.pem",
            "ssl.certificate.pem",
            "ssl.key.pem",
            "transactional.id",
        ];
        let mut names: BTreeSet<String> = dumped().into_iter().map(|(name, _)| name).collect();
        names.extend(unlisted.into_iter().map(str::to_string));
        names.retain(|name| is_property(name));
        names
    })
}

fn property_default(name: &str) -> String {
    let known = dumped();
    let found = known.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// Names and defaults of all properties.
fn dumped() -> Vec<(String, String)> {
    // SAFETY: configurations are released in the block that made them.
    unsafe {
        let conf = rd::rd_kafka_conf_new();
        let mut all = dump(|count| rd::rd_kafka_conf_dump(conf, count));
        rd::rd_kafka_conf_destroy(conf);
        let topic = rd::rd_kafka_topic_conf_new();
        all.extend(dump(|count| rd::rd_kafka_topic_conf_dump(topic, count)));
        rd::rd_kafka_topic_conf_destroy(topic);
        all
    }
}

/// The names and values a call dumps.
///
/// # Safety
/// The call gives an array as librdkafka dumps it, and its length.
pub(super) unsafe fn dump(call: impl FnOnce(*mut usize) -> *mut *const c_char) -> Vec<(String, String)> {
    let mut count = 0usize;
    let pairs = call(&mut count);
    // SAFETY: the caller's promise; the array is released once it is read.
    unsafe {
        let read = |pair: usize| (text(*pairs.add(pair * 2)), text(*pairs.add(pair * 2 + 1)));
        let all = (0..count / 2).map(read).collect();
        rd::rd_kafka_conf_dump_free(pairs, count);
        all
    }
}
