//! Values in the Confluent wire format: a zero byte, the number of a schema, then Avro or Protobuf.
//!
//! Skirl carries such values as they are and does not look into them: it asks no schema registry.

/// Bytes before the payload.
const HEADER_BYTES: usize = 5;

/// The number of the schema a value names, if it is in the Confluent wire format.
pub fn schema_id(value: &[u8]) -> Option<u32> {
    // No text begins with a zero byte, so no value in JSON or CSV is taken for one.
    let (magic, rest) = value.split_first()?;
    let number = rest.first_chunk()?;
    (*magic == 0 && value.len() >= HEADER_BYTES).then(|| u32::from_be_bytes(*number))
}

/// Why values of `topic` in that format, of schema `id`, cannot be read as `wanted`.
pub fn refusal(topic: &str, id: u32, wanted: &str) -> String {
    format!(
        "the values of `{topic}` are in the Confluent wire format (schema {id} of a schema registry; Avro or Protobuf), \
         which Skirl records and replays byte for byte but does not decode: there is no {wanted}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_byte_and_a_number_are_the_confluent_wire_format() {
        for (value, id) in [
            (&b"\0\0\0\0\x2apayload"[..], Some(42)),
            (b"\0\0\0\0\x2a", Some(42)),
            (b"\0\0\0", None),
            (b"", None),
            (b"{\"a\":1}", None),
        ] {
            assert_eq!(schema_id(value), id, "{value:?}");
        }
    }
}
