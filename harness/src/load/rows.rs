//! The rows that are sent: made up to a size, or those of a scenario's streams.

use skirl_generator::Seed;
use skirl_generator::seed::Draws;

use super::error::Result;

/// Gives rows, in the order they are sent.
pub trait RowSource: Send {
    /// Takes the next rows, at least one and at most `most`; says how many. They can be looked at until the next call.
    ///
    /// # Errors
    /// Rows that cannot be made.
    fn take(&mut self, most: usize) -> Result<usize>;

    /// One of the rows that were taken last.
    fn row(&self, index: usize) -> SourceRow<'_>;
}

/// A row before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceRow<'a> {
    /// The stream it is of.
    pub stream: usize,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
}

/// Rows of random letters, all of one size, so that no compression finds more in them than the 64 letters.
pub struct Synthetic {
    size: usize,
    keys: u64,
    draws: Draws,
    key_draws: Draws,
    made: u64,
    drawn: u64,
    values: Vec<u8>,
    key_texts: Vec<[u8; KEY_BYTES]>,
}

/// Bytes that are made in one go, unless one row has more.
const TAKEN_BYTES: usize = 1 << 20;
/// Bytes of a key: `key-` and eight digits.
const KEY_BYTES: usize = 12;
/// Letters that six bits choose from; none needs escaping in JSON or CSV.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Synthetic {
    /// Rows of `size` bytes, with one of `keys` keys each, drawn evenly, or without keys.
    pub fn new(size: usize, keys: u64, seed: u64) -> Synthetic {
        let seed = Seed::new(seed).named("synthetic");
        Synthetic {
            size,
            keys,
            draws: seed.draws("value"),
            key_draws: seed.draws("key"),
            made: 0,
            drawn: 0,
            values: Vec::new(),
            key_texts: Vec::new(),
        }
    }

    fn fill(&mut self, rows: usize) {
        self.values.resize(rows * self.size, 0);
        // Ten letters from the 60 lower bits of a draw.
        for letters in self.values.chunks_mut(10) {
            let mut bits = self.draws.at(self.drawn);
            self.drawn += 1;
            for letter in letters {
                *letter = LETTERS[(bits & 63) as usize];
                bits >>= 6;
            }
        }
    }

    fn draw_keys(&mut self, rows: usize) {
        self.key_texts.clear();
        for row in self.made..self.made + rows as u64 {
            let mut key = *b"key-00000000";
            let mut number = self.key_draws.at(row) % self.keys;
            for digit in key[4..].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
            self.key_texts.push(key);
        }
    }
}

impl RowSource for Synthetic {
    fn take(&mut self, most: usize) -> Result<usize> {
        let most = most.min(TAKEN_BYTES / self.size).max(1);
        self.fill(most);
        if self.keys > 0 {
            self.draw_keys(most);
        }
        self.made += most as u64;
        Ok(most)
    }

    fn row(&self, index: usize) -> SourceRow<'_> {
        SourceRow {
            stream: 0,
            key: self.key_texts.get(index).map(|key| &key[..]),
            value: &self.values[index * self.size..(index + 1) * self.size],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn synthetic_rows_have_their_size_and_none_is_like_another() {
        let mut rows = Synthetic::new(25, 0, 1);
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let taken = rows.take(50).unwrap();
            for index in 0..taken {
                let row = rows.row(index);
                assert_eq!((row.value.len(), row.key), (25, None));
                seen.insert(row.value.to_vec());
            }
        }
        assert_eq!(seen.len(), 1_000);
    }

    #[test]
    fn keys_are_as_many_as_were_asked_for() {
        let mut rows = Synthetic::new(10, 12, 1);
        let taken = rows.take(1_000).unwrap();
        let keys: BTreeSet<Vec<u8>> = (0..taken).map(|index| rows.row(index).key.unwrap().to_vec()).collect();
        assert_eq!(keys.len(), 12);
        assert!(keys.contains(&b"key-00000011"[..]));
    }
}
