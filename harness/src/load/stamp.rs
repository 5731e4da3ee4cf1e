//! What a row of a load test carries, so that it is known again: the header [`HEADER`].
//!
//! 28 bytes, little-endian: run (8), worker (4), number of the row among the worker's (8), and the time it was meant to be
//! sent, in nanoseconds since 1970-01-01T00:00:00 UTC (8). Whoever copies headers from an input topic to an output topic
//! lets `skirl load --receive-from` measure the whole way.

use std::ffi::CStr;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::clock::wall_ns;

/// The header's name.
pub const HEADER: &CStr = c"skirl-load";

/// Bytes of the header's value.
pub const BYTES: usize = 28;

/// What tells the rows of one run from those of any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub u64);

impl RunId {
    /// An id no other run has: from the time and the process.
    pub fn fresh() -> RunId {
        let mixed = (wall_ns() as u64) ^ u64::from(std::process::id()).rotate_left(40);
        RunId(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A row's identity and its intended time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The run.
    pub run: RunId,
    /// The worker that sent it.
    pub worker: u32,
    /// Its number among the worker's rows, from 0; they are queued in this order.
    pub sequence: u64,
    /// When it was meant to be sent: nanoseconds since 1970-01-01T00:00:00 UTC.
    pub intended_ns: i64,
}

impl Stamp {
    /// The header's value.
    #[inline]
    pub fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[0..8].copy_from_slice(&self.run.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.worker.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.intended_ns.to_le_bytes());
        bytes
    }

    /// Reads the header's value; `None` for what no load test wrote.
    #[inline]
    pub fn of(bytes: &[u8]) -> Option<Stamp> {
        let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
        let part = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        Some(Stamp {
            run: RunId(part(0)),
            worker: u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes")),
            sequence: part(12),
            intended_ns: part(20).cast_signed(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_reads_back_and_foreign_headers_are_none() {
        let stamp = Stamp {
            run: RunId(u64::MAX - 7),
            worker: 3,
            sequence: 1 << 40,
            intended_ns: -5,
        };
        assert_eq!(Stamp::of(&stamp.to_bytes()), Some(stamp));
        assert_eq!(Stamp::of(b"traceparent"), None);
        assert_eq!(Stamp::of(&[]), None);
    }
}
