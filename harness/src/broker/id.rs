//! Names nobody else has: of clusters, of directories, and passwords.

use ring::rand::{SecureRandom, SystemRandom};

use super::error::{Error, Result};

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A random 128-bit id, written as Kafka writes them: base64 for URLs, 22 characters.
pub(crate) fn random() -> Result<String> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::io("make a random id")(std::io::Error::other("the system has no random numbers")))?;
    Ok(written(bytes))
}

fn written(bytes: [u8; 16]) -> String {
    // Kafka's tools take an id that begins with a dash for an option.
    let bits = (u128::from_be_bytes(bytes)) & !(1 << 127);
    // 21 digits of 6 bits, and one of the last two bits.
    let digit = |n: u32| if n < 21 { bits >> (122 - 6 * n) } else { bits << 4 };
    (0..22)
        .map(|n| char::from(BASE64_URL[(digit(n) & 63) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_kafka_writes_it() {
        assert_eq!(written([0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(written([255; 16]), format!("f{}w", "_".repeat(20)));
        assert_eq!(written(*b"skirl throwaway!"), "c2tpcmwgdGhyb3dhd2F5IQ");
    }
}
