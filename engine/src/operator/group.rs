//! From key columns to dense group numbers, a column at a time.
//!
//! Each column becomes small integer codes (one probe per row, none where a value repeats the one before it, which is
//! the rule for windows of a stream that is nearly in time order); codes of several columns fold into one number
//! pairwise. No key is materialised per row.

use std::hash::BuildHasher;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::row::{RowConverter, SortField};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::Result;

/// The groups of a batch of rows.
pub(super) struct Groups {
    /// The group of each row, numbered by first appearance.
    pub ids: Vec<u32>,
    /// The first row of each group.
    pub first_rows: UInt32Array,
}

impl Groups {
    /// Groups rows by `keys`. A key flagged in `by_start` is a window struct of one fixed length, told apart by its
    /// start alone. Without keys, all rows are one group, which exists even without rows.
    pub(super) fn of(keys: &[ArrayRef], by_start: &[bool], rows: usize) -> Result<Groups> {
        let mut ids: Option<Codes> = None;
        for (key, by_start) in keys.iter().zip(by_start) {
            let codes = if *by_start {
                codes_of(key.as_struct().column(0))?
            } else {
                codes_of(key)?
            };
            ids = Some(match ids {
                None => codes,
                Some(before) => before.and(codes),
            });
        }
        let codes = ids.unwrap_or_else(|| Codes {
            codes: vec![0; rows],
            distinct: 1,
        });
        let mut first_rows = vec![u32::MAX; codes.distinct];
        let mut found = 0;
        for (row, code) in codes.codes.iter().enumerate() {
            let first = &mut first_rows[*code as usize];
            if *first == u32::MAX {
                *first = row as u32;
                found += 1;
                if found == codes.distinct {
                    break;
                }
            }
        }
        Ok(Groups {
            ids: codes.codes,
            first_rows: first_rows.into(),
        })
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.first_rows.len()
    }

    /// How many rows each group has.
    pub(super) fn counts(&self) -> Vec<i64> {
        let mut counts = vec![0; self.len()];
        self.ids.iter().for_each(|id| counts[*id as usize] += 1);
        counts
    }

    /// The key of each group, as a column.
    pub(super) fn keys_of(&self, key: &ArrayRef) -> Result<ArrayRef> {
        Ok(take(key, &self.first_rows, None)?)
    }
}

/// A code per row, numbered by first appearance.
struct Codes {
    codes: Vec<u32>,
    distinct: usize,
}

impl Codes {
    /// The codes of pairs.
    fn and(self, other: Codes) -> Codes {
        if other.distinct <= 1 {
            return self;
        }
        if self.distinct <= 1 {
            return other;
        }
        match self.distinct.checked_mul(other.distinct) {
            Some(pairs) if pairs <= 1 << 18 => self.and_dense(other, pairs),
            _ => self.and_hashed(other),
        }
    }

    fn and_dense(mut self, other: Codes, pairs: usize) -> Codes {
        let mut numbers = vec![u32::MAX; pairs];
        let width = other.distinct as u32;
        let mut distinct = 0;
        for (code, second) in self.codes.iter_mut().zip(&other.codes) {
            let number = &mut numbers[(*code * width + second) as usize];
            if *number == u32::MAX {
                *number = distinct;
                distinct += 1;
            }
            *code = *number;
        }
        Codes {
            codes: self.codes,
            distinct: distinct as usize,
        }
    }

    fn and_hashed(mut self, other: Codes) -> Codes {
        let mut numbers = Numbers::default();
        for (code, second) in self.codes.iter_mut().zip(&other.codes) {
            *code = numbers.number((i64::from(*code) << 32) | i64::from(*second));
        }
        Codes {
            codes: self.codes,
            distinct: numbers.values.len(),
        }
    }
}

/// Numbers 64-bit values by first appearance.
#[derive(Default)]
struct Numbers {
    values: Vec<i64>,
    table: HashTable<u32>,
}

impl Numbers {
    fn number(&mut self, value: i64) -> u32 {
        let hash = mix(value as u64);
        let values = &mut self.values;
        match self.table.find(hash, |n| values[*n as usize] == value) {
            Some(number) => *number,
            None => {
                let number = values.len() as u32;
                values.push(value);
                self.table
                    .insert_unique(hash, number, |n| mix(values[*n as usize] as u64));
                number
            }
        }
    }

    /// The numbers of many values. Two at a time are at hand without a probe: rows around a window's end change back and
    /// forth between two windows.
    fn number_all(&mut self, values: &[i64]) -> Vec<u32> {
        let Some(first) = values.first() else { return vec![] };
        let mut last = (*first, self.number(*first));
        let mut before = last;
        let mut number = |value: &i64| {
            if *value != last.0 {
                std::mem::swap(&mut last, &mut before);
                if *value != last.0 {
                    last = (*value, self.number(*value));
                }
            }
            last.1
        };
        values.iter().map(&mut number).collect()
    }
}

fn mix(value: u64) -> u64 {
    let wide = u128::from(value ^ 0x9E37_79B9_7F4A_7C15) * 0xD6E8_FEB8_6659_FD93;
    (wide as u64) ^ ((wide >> 64) as u64)
}

fn codes_of(key: &ArrayRef) -> Result<Codes> {
    use DataType::*;
    match key.data_type() {
        Int64 | Timestamp(TimeUnit::Microsecond, _) => Ok(codes_of_integers(key)),
        Boolean | Int8 | Int16 | Int32 => Ok(codes_of_integers(&cast(key, &Int64)?)), // cheap beside the probes
        Date32 => Ok(codes_of_integers(&cast(&cast(key, &Int32)?, &Int64)?)),
        Utf8 => Ok(codes_of_strings(key.as_string::<i32>())),
        _ => codes_of_rows(key),
    }
}

fn codes_of_integers(key: &ArrayRef) -> Codes {
    let key = match key.data_type() {
        DataType::Int64 => key.as_primitive::<Int64Type>().clone(),
        _ => key
            .as_primitive::<arrow::datatypes::TimestampMicrosecondType>()
            .reinterpret_cast::<Int64Type>(),
    };
    let mut numbers = Numbers::default();
    if key.null_count() == 0 {
        let codes = numbers.number_all(key.values());
        return Codes {
            codes,
            distinct: numbers.values.len(),
        };
    }
    // Numbers first, then NULL as one number more; first appearance is restored by the caller's first rows.
    let mut codes: Vec<u32> = key.iter().map(|v| v.map_or(u32::MAX, |v| numbers.number(v))).collect();
    let null = numbers.values.len() as u32;
    codes.iter_mut().filter(|c| **c == u32::MAX).for_each(|c| *c = null);
    Codes {
        codes,
        distinct: null as usize + 1,
    }
}

/// A string in one word: all of it up to 16 bytes, its head beyond that, and its length.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Brief {
    head: u128,
    len: u32,
}

impl Brief {
    /// `bytes` from `start` to `end`; most strings are cut out of one load, without a branch on their length.
    #[inline]
    fn of(bytes: &[u8], start: usize, end: usize) -> Brief {
        let len = end - start;
        let head = match bytes.get(start..start + 16) {
            Some(word) => u128::from_le_bytes(word.try_into().expect("16 bytes")),
            None => {
                let mut word = [0; 16];
                let held = len.min(16);
                word[..held].copy_from_slice(&bytes[start..start + held]);
                u128::from_le_bytes(word)
            }
        };
        let spare = 128 - 8 * len.min(16) as u32;
        // A shift by all 128 bits is one by none: the empty string has no head.
        let head = if len == 0 { 0 } else { head << spare >> spare };
        Brief { head, len: len as u32 }
    }

    #[inline]
    fn hash(self) -> u64 {
        let (low, high) = (self.head as u64, (self.head >> 64) as u64);
        mix(low ^ high.rotate_left(29) ^ u64::from(self.len) << 56)
    }

    /// Whether it says everything.
    #[inline]
    fn is_whole(self) -> bool {
        self.len <= 16
    }
}

/// Bits of the hash by which strings seen lately are kept: keys that repeat cost one look and no probe.
const RECENT_BITS: u32 = 10;

fn codes_of_strings(key: &StringArray) -> Codes {
    let long = FixedState::default();
    let mut table: HashTable<u32> = HashTable::new();
    let mut known: Vec<(Brief, u64, usize)> = Vec::new();
    let mut null: Option<u32> = None;
    let mut codes = Vec::with_capacity(key.len());
    let nothing = Brief { head: 0, len: u32::MAX };
    let bits = key.len().max(2).ilog2().min(RECENT_BITS);
    let mut recent = vec![(nothing, 0u32); 1 << bits];
    let (offsets, bytes) = (key.value_offsets(), key.value_data());
    let value = |row: usize| &bytes[offsets[row] as usize..offsets[row + 1] as usize];
    let nulls = key.nulls().filter(|nulls| nulls.null_count() > 0);
    for (row, ends) in offsets.windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            codes.push(*null.get_or_insert_with(|| {
                known.push((nothing, 0, row));
                known.len() as u32 - 1
            }));
            continue;
        }
        let brief = Brief::of(bytes, ends[0] as usize, ends[1] as usize);
        let mut hash = brief.hash();
        let place = (hash >> (u64::BITS - bits)) as usize;
        let (seen, code) = recent[place];
        if seen == brief && brief.is_whole() {
            codes.push(code);
            continue;
        }
        let text = value(row);
        if !brief.is_whole() {
            hash = long.hash_one(text);
        }
        let same = |n: &u32| {
            let (other, _, first) = known[*n as usize];
            other == brief && (brief.is_whole() || value(first) == text)
        };
        let code = match table.find(hash, same) {
            Some(code) => *code,
            None => {
                let code = known.len() as u32;
                known.push((brief, hash, row));
                table.insert_unique(hash, code, |n| known[*n as usize].1);
                code
            }
        };
        recent[place] = (brief, code);
        codes.push(code);
    }
    Codes {
        codes,
        distinct: known.len(),
    }
}

/// Any other type, by its row encoding.
fn codes_of_rows(key: &ArrayRef) -> Result<Codes> {
    let converter = RowConverter::new(vec![SortField::new(key.data_type().clone())])?;
    let rows = converter.convert_columns(std::slice::from_ref(key))?;
    let hasher = FixedState::default();
    let mut table: HashTable<u32> = HashTable::new();
    let mut firsts: Vec<usize> = Vec::new();
    let mut codes = Vec::with_capacity(rows.num_rows());
    for row in 0..rows.num_rows() {
        let bytes = rows.row(row);
        let hash = hasher.hash_one(bytes.as_ref());
        let code = match table.find(hash, |n| rows.row(firsts[*n as usize]) == bytes) {
            Some(code) => *code,
            None => {
                let code = firsts.len() as u32;
                firsts.push(row);
                table.insert_unique(hash, code, |n| hasher.hash_one(rows.row(firsts[*n as usize]).as_ref()));
                code
            }
        };
        codes.push(code);
    }
    Ok(Codes {
        codes,
        distinct: firsts.len(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn rows_with_equal_keys_share_a_group() {
        check(
            &[Some("a"), Some("b"), Some("a")],
            &[Some(1), Some(1), Some(1)],
            &[0, 1, 0],
        );
    }

    #[test]
    fn null_is_a_key_of_its_own() {
        check(
            &[None, Some(""), None, Some("")],
            &[None, None, Some(0), None],
            &[0, 1, 2, 1],
        );
    }

    #[test]
    fn long_strings_that_share_head_and_tail_differ() {
        let (x, y) = ("12345678-x-12345678", "12345678-y-12345678");
        check(&[Some(x), Some(y), Some(x)], &[None, None, None], &[0, 1, 0]);
    }

    #[test]
    fn short_strings_differ_by_every_byte_and_by_length() {
        check(
            &[
                Some("a"),
                Some("a\0"),
                Some(""),
                Some("a"),
                Some("sixteen bytes ok"),
                Some("sixteen bytes no"),
            ],
            &[None; 6],
            &[0, 1, 2, 0, 3, 4],
        );
    }

    #[test]
    fn values_that_change_back_and_forth_keep_their_numbers() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.number_all(&[5, 7, 5, 7, 9, 7, 5, 5]), [0, 1, 0, 1, 2, 1, 0, 0]);
        assert_eq!(numbers.number_all(&[9, 5]), [2, 0]);
    }

    #[test]
    fn no_keys_make_one_group_even_of_no_rows() {
        let groups = Groups::of(&[], &[], 0).unwrap();
        assert_eq!((groups.len(), groups.ids.len()), (1, 0));
    }

    #[track_caller]
    fn check(districts: &[Option<&str>], numbers: &[Option<i32>], groups: &[usize]) {
        let keys: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(districts.to_vec())),
            Arc::new(Int32Array::from(numbers.to_vec())),
        ];
        let found = Groups::of(&keys, &[false, false], districts.len()).unwrap();
        for (i, a) in groups.iter().enumerate() {
            for (j, b) in groups.iter().enumerate() {
                assert_eq!(found.ids[i] == found.ids[j], a == b, "rows {i} and {j}");
            }
        }
    }
}
