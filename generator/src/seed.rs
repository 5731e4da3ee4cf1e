//! Chance that can be repeated.
//!
//! A value of a trace is a function of (seed, stream, field, row number) and of nothing else: not of the order of calls,
//! not of what was drawn before. That is why shards, restarts and further streams change nothing. The bits come from
//! ChaCha8 (portable by its definition), which can be entered at any position.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws made in one go; a block is what a single random access costs.
const BLOCK: usize = 64;

/// The source of all chance in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// The seed a user names by a number.
    pub fn new(number: u64) -> Seed {
        Seed(mix(number))
    }

    /// An own seed for a purpose, such as `scotsmen/lateness`; other names give unrelated numbers.
    pub fn named(&self, name: &str) -> Seed {
        // FNV-1a: short, fixed for ever, and good enough before the mixing.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Seed(mix(self.0 ^ mix(hash)))
    }

    /// The draws of one field, one for each row number.
    pub fn draws(&self, field: &str) -> Draws {
        let key = self.named(field).0;
        let mut bytes = [0; 32];
        for (index, part) in bytes.chunks_exact_mut(8).enumerate() {
            part.copy_from_slice(&mix(key.wrapping_add(index as u64)).to_le_bytes());
        }
        Draws {
            rng: ChaCha8Rng::from_seed(bytes),
            block: u64::MAX,
            values: [0; BLOCK],
        }
    }
}

/// The random numbers of one field by row number. Rows asked for in ascending order cost about 2 ns each.
#[derive(Debug, Clone)]
pub struct Draws {
    rng: ChaCha8Rng,
    block: u64,
    values: [u64; BLOCK],
}

impl Draws {
    /// 64 random bits of row `row`.
    #[inline]
    pub fn at(&mut self, row: u64) -> u64 {
        let block = row / BLOCK as u64;
        if block != self.block {
            self.enter(block);
        }
        self.values[(row % BLOCK as u64) as usize]
    }

    /// Further independent bits for a row: for its `turn`-th copy or attempt; turn 0 is [`Draws::at`].
    #[inline]
    pub fn turn_at(&mut self, row: u64, turn: u32) -> u64 {
        // Rows stay below 2^44 and positions of ChaCha reach 2^67, so turns never meet.
        self.at(row + (u64::from(turn) << 44))
    }

    /// A number of the open interval (0, 1) for row `row`.
    #[inline]
    pub fn unit_at(&mut self, row: u64) -> f64 {
        unit(self.at(row))
    }

    #[inline(never)]
    fn enter(&mut self, block: u64) {
        let mut bytes = [0; BLOCK * 8];
        if block != self.block.wrapping_add(1) {
            self.rng.set_word_pos(u128::from(block) * (BLOCK as u128) * 2);
        }
        self.rng.fill_bytes(&mut bytes);
        for (value, part) in self.values.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *value = u64::from_le_bytes(*part);
        }
        self.block = block;
    }
}

/// Bits as a number of the open interval (0, 1): never 0 and never 1, so that logarithms are safe.
#[inline]
pub fn unit(bits: u64) -> f64 {
    ((bits >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64)
}

/// The finaliser of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bits_of_a_seed_are_the_same_for_ever() {
        let mut draws = Seed::new(7).named("scotsmen").draws("district");
        let first: Vec<u64> = (0..3).map(|row| draws.at(row)).collect();
        insta::assert_debug_snapshot!(first);
    }

    #[test]
    fn another_name_gives_other_bits() {
        let seed = Seed::new(7);
        assert_ne!(seed.named("a").draws("x").at(0), seed.named("b").draws("x").at(0));
        assert_ne!(seed.draws("x").at(0), seed.draws("y").at(0));
        assert_ne!(Seed::new(1).draws("x").at(0), Seed::new(2).draws("x").at(0));
    }

    proptest! {
        /// A draw depends on its row alone, whatever was drawn before.
        #[test]
        fn the_order_of_calls_does_not_matter(rows in prop::collection::vec(0u64..2_000, 1..50)) {
            let mut jumping = Seed::new(1).draws("x");
            for row in rows {
                let mut fresh = Seed::new(1).draws("x");
                prop_assert_eq!(jumping.at(row), fresh.at(row));
            }
        }
    }
}
