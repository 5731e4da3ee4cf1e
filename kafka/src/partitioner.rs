//! Which partition a key leads to: as Java's producers and librdkafka's `murmur2_random` decide, so that rows of a key meet
//! wherever they come from.

/// The partition of `partitions` (at least 1) that rows with this key go to.
#[inline]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    // Java's way of making a hash positive, which keeps the lower bits of negative ones.
    let hash = murmur2(key) & 0x7fff_ffff;
    (hash % partitions.unsigned_abs()).cast_signed()
}

/// MurmurHash2 by Austin Appleby (public domain), with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2).
#[inline]
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const FACTOR: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(FACTOR);
        hash = hash.wrapping_mul(FACTOR) ^ (word ^ (word >> 24)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(FACTOR);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(FACTOR);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the test of Kafka's own implementation (UtilsTest.testMurmur2).
    #[test]
    fn hashes_are_those_of_kafka() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_key_has_a_partition() {
        for partitions in 1..20 {
            for key in 0..200u32 {
                assert!((0..partitions).contains(&partition_of(&key.to_be_bytes(), partitions)));
            }
        }
    }
}
