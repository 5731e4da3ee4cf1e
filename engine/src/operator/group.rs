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
    last: Option<(i64, u32)>,
}

impl Numbers {
    fn number(&mut self, value: i64) -> u32 {
        if let Some((last, number)) = self.last
            && last == value
        {
            return number;
        }
        let hash = mix(value as u64);
        let values = &mut self.values;
        let number = match self.table.find(hash, |n| values[*n as usize] == value) {
            Some(number) => *number,
            None => {
                let number = values.len() as u32;
                values.push(value);
                self.table
                    .insert_unique(hash, number, |n| mix(values[*n as usize] as u64));
                number
            }
        };
        self.last = Some((value, number));
        number
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
        let codes = key.values().iter().map(|v| numbers.number(*v)).collect();
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

/// A string's first and last bytes and its length: all of it, up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Brief {
    head: u64,
    tail: u64,
    len: u32,
}

impl Brief {
    #[inline]
    fn of(bytes: &[u8]) -> Brief {
        let len = bytes.len();
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")));
        let (head, tail) = match len {
            8.. => (word(0), word(len - 8)),
            4..8 => (half(0), half(len - 4)),
            1..4 => (
                u64::from(bytes[0]),
                u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]),
            ),
            0 => (0, 0),
        };
        Brief {
            head,
            tail,
            len: len as u32,
        }
    }

    #[inline]
    fn hash(self) -> u64 {
        mix(self.head ^ self.tail.rotate_left(29) ^ u64::from(self.len) << 56)
    }
}

fn codes_of_strings(key: &StringArray) -> Codes {
    let long = FixedState::default();
    let mut table: HashTable<u32> = HashTable::new();
    let mut known: Vec<(Brief, u64, usize)> = Vec::new();
    let mut null: Option<u32> = None;
    let mut codes = Vec::with_capacity(key.len());
    let (offsets, bytes) = (key.value_offsets(), key.value_data());
    let value = |row: usize| &bytes[offsets[row] as usize..offsets[row + 1] as usize];
    for row in 0..key.len() {
        if key.is_null(row) {
            codes.push(*null.get_or_insert_with(|| {
                known.push((Brief::of(b""), 0, row));
                known.len() as u32 - 1
            }));
            continue;
        }
        let text = value(row);
        let brief = Brief::of(text);
        let hash = if text.len() <= 16 {
            brief.hash()
        } else {
            long.hash_one(text)
        };
        let same = |n: &u32| {
            let (other, _, first) = known[*n as usize];
            other == brief && (text.len() <= 16 || value(first) == text)
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
