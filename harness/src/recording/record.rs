//! A record: a row as Kafka has it, and its bytes on the way from a topic to a trace.

use skirl_kafka::{Fetched, TimestampType};

/// A row as Kafka has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since 1970-01-01T00:00:00 UTC; -1 for none.
    pub timestamp_ms: i64,
    /// What the timestamp says, as Kafka and Spark number it: -1 nothing, 0 made by the producer, 1 by the broker.
    pub timestamp_type: i32,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values, in order, repeated names included.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

impl<'a> Record<'a> {
    /// The record that was read from a topic.
    pub fn of(row: &'a Fetched) -> Self {
        let (timestamp_ms, kind) = row.timestamp_ms();
        Record {
            partition: row.partition(),
            offset: row.offset(),
            timestamp_ms,
            timestamp_type: match kind {
                TimestampType::None => -1,
                TimestampType::CreateTime => 0,
                TimestampType::LogAppendTime => 1,
            },
            key: row.key(),
            value: row.value(),
            headers: row.headers().collect(),
        }
    }

    /// Appends the record with its length; [`Record::decode`] reads it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.timestamp_ms.to_le_bytes());
        out.extend_from_slice(&self.timestamp_type.to_le_bytes());
        put(self.key, out);
        put(self.value, out);
        out.extend_from_slice(&(self.headers.len() as u32).to_le_bytes());
        for (name, value) in &self.headers {
            put(Some(name.as_bytes()), out);
            put(*value, out);
        }
        let length = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// The record of `partition` that begins at `at`, which moves behind it.
    pub(super) fn decode(partition: i32, bytes: &'a [u8], at: &mut usize) -> Self {
        *at += 4; // the length, which serves those who only pass over it
        let offset = i64::from_le_bytes(array(bytes, at));
        let timestamp_ms = i64::from_le_bytes(array(bytes, at));
        let timestamp_type = i32::from_le_bytes(array(bytes, at));
        let (key, value) = (take(bytes, at), take(bytes, at));
        let headers = u32::from_le_bytes(array(bytes, at));
        let header = |_| {
            let name = take(bytes, at).unwrap_or_default();
            let name = std::str::from_utf8(name).expect("names are written from texts");
            (name, take(bytes, at))
        };
        let headers = (0..headers).map(header).collect();
        Record {
            partition,
            offset,
            timestamp_ms,
            timestamp_type,
            key,
            value,
            headers,
        }
    }

    /// The bytes of the record that begins at `at`, its length included, and its timestamp.
    pub(super) fn peek(bytes: &[u8], mut at: usize) -> (usize, i64) {
        let length = u32::from_le_bytes(array(bytes, &mut at)) as usize;
        at += 8;
        (length + 4, i64::from_le_bytes(array(bytes, &mut at)))
    }
}

/// The length of what is not there.
const NOTHING: u32 = u32::MAX;

fn put(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let length = bytes.map_or(NOTHING, |bytes| bytes.len() as u32);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn take<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(array(bytes, at));
    if length == NOTHING {
        return None;
    }
    let start = *at;
    *at += length as usize;
    Some(&bytes[start..*at])
}

fn array<const N: usize>(bytes: &[u8], at: &mut usize) -> [u8; N] {
    let start = *at;
    *at += N;
    bytes[start..*at].try_into().expect("a slice of that length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was() {
        let odd = Record {
            partition: 3,
            offset: 1 << 40,
            timestamp_ms: -1,
            timestamp_type: -1,
            key: None,
            value: Some(b""),
            headers: vec![("a", None), ("a", Some(b"")), ("", Some(b"\xff\0"))],
        };
        let tombstone = Record {
            key: Some(b"\xff"),
            value: None,
            headers: vec![],
            ..odd.clone()
        };
        let mut bytes = vec![];
        odd.encode(&mut bytes);
        let length = bytes.len();
        tombstone.encode(&mut bytes);
        assert_eq!(Record::peek(&bytes, 0), (length, -1));
        let mut at = 0;
        assert_eq!(Record::decode(3, &bytes, &mut at), odd);
        assert_eq!(at, length);
        assert_eq!(Record::decode(3, &bytes, &mut at), tombstone);
        assert_eq!(at, bytes.len());
    }
}
