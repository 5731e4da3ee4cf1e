//! The rows one side of a join remembers: by key, in order of time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::Arrived;
use crate::Result;
use crate::watermark::at_or_below;

/// Where a remembered row is, and by which times it is found and evicted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// What a key's rows are in order of, in microseconds: the time of the range condition, else that of eviction, 0
    /// without either; the earliest possible for NULL.
    time: i64,
    /// Event time in microseconds; `None` never leaves.
    evict_time: Option<i64>,
    segment: u32,
    row: u32,
}

/// The rows of one key.
struct KeyRows {
    key: Box<[u8]>,
    /// In order of time.
    entries: VecDeque<Entry>,
}

/// A batch as it arrived, kept while one of its rows is remembered.
struct Segment {
    rows: RecordBatch,
    remembered: usize,
}

/// All rows of one side.
pub(super) struct SideState {
    schema: SchemaRef,
    /// Whether `time` is also the time rows leave by, so that leaving rows stand first.
    ordered_by_eviction: bool,
    hasher: FixedState,
    table: HashTable<u32>,
    keys: Vec<Option<KeyRows>>,
    free_keys: Vec<u32>,
    segments: Vec<Option<Segment>>,
    free_segments: Vec<u32>,
    /// Keys by the event time of their rows, in microseconds.
    leaving: BTreeMap<i64, Vec<u32>>,
    rows: usize,
}

impl SideState {
    pub(super) fn new(schema: SchemaRef, ordered_by_eviction: bool) -> Self {
        Self {
            schema,
            ordered_by_eviction,
            hasher: FixedState::default(),
            table: HashTable::new(),
            keys: vec![],
            free_keys: vec![],
            segments: vec![],
            free_segments: vec![],
            leaving: BTreeMap::new(),
            rows: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Remembers the rows of a batch.
    pub(super) fn store(&mut self, arrived: Arrived) -> Result<()> {
        let rows = arrived.rows.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let segment = self.new_segment(Segment {
            rows: arrived.rows,
            remembered: rows,
        });
        for row in 0..rows {
            let time = arrived
                .times
                .as_ref()
                .map_or(0, |t| if t.is_null(row) { i64::MIN } else { t.value(row) });
            let evict_time = arrived
                .evict_times
                .as_ref()
                .filter(|t| t.is_valid(row))
                .map(|t| t.value(row));
            let key = self.key_of(arrived.keys.row(row).as_ref());
            if let Some(evict_time) = evict_time {
                self.leaving.entry(evict_time).or_default().push(key);
            }
            let entry = Entry {
                time,
                evict_time,
                segment,
                row: row as u32,
            };
            insert_in_order(
                &mut self.keys[key as usize].as_mut().expect("a key in use has rows").entries,
                entry,
            );
        }
        self.rows += rows;
        Ok(())
    }

    fn new_segment(&mut self, segment: Segment) -> u32 {
        match self.free_segments.pop() {
            Some(free) => {
                self.segments[free as usize] = Some(segment);
                free
            }
            None => {
                self.segments.push(Some(segment));
                self.segments.len() as u32 - 1
            }
        }
    }

    fn key_of(&mut self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        if let Some(found) = self.find(hash, key) {
            return found;
        }
        let rows = Some(KeyRows {
            key: key.into(),
            entries: VecDeque::new(),
        });
        let number = match self.free_keys.pop() {
            Some(free) => {
                self.keys[free as usize] = rows;
                free
            }
            None => {
                self.keys.push(rows);
                self.keys.len() as u32 - 1
            }
        };
        let (keys, hasher) = (&self.keys, &self.hasher);
        self.table.insert_unique(hash, number, |n| {
            hasher.hash_one(&*keys[*n as usize].as_ref().expect("a key in the table is in use").key)
        });
        number
    }

    fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let is = |n: &u32| self.keys[*n as usize].as_ref().is_some_and(|k| &*k.key == key);
        self.table.find(hash, is).copied()
    }

    /// The rows of a key with times in `min..=max`.
    pub(super) fn partners(&self, key: &[u8], min: i64, max: i64) -> impl Iterator<Item = &Entry> {
        let found = self.find(self.hasher.hash_one(key), key);
        let entries = found.and_then(|n| self.keys[n as usize].as_ref()).map(|k| &k.entries);
        let range = entries.map(|entries| {
            let (from, to) = (
                entries.partition_point(|e| e.time < min),
                entries.partition_point(|e| e.time <= max),
            );
            entries.range(from..to.max(from))
        });
        // NULL times stand first and match no range.
        range
            .into_iter()
            .flatten()
            .filter(move |e| e.time != i64::MIN || min == i64::MIN)
    }

    /// The columns of some rows.
    pub(super) fn gather(&self, entries: &[Entry]) -> Result<Vec<ArrayRef>> {
        let mut numbers: HashMap<u32, usize, FixedState> = HashMap::with_hasher(FixedState::default());
        let mut touched: Vec<&RecordBatch> = Vec::new();
        let mut places = Vec::with_capacity(entries.len());
        let mut last = (u32::MAX, 0);
        for entry in entries {
            if entry.segment != last.0 {
                let number = *numbers.entry(entry.segment).or_insert_with(|| {
                    let segment = self.segments[entry.segment as usize].as_ref();
                    touched.push(&segment.expect("a remembered row has its segment").rows);
                    touched.len() - 1
                });
                last = (entry.segment, number);
            }
            places.push((last.1, entry.row as usize));
        }
        let column = |index: usize| {
            let arrays: Vec<&dyn Array> = touched.iter().map(|rows| rows.column(index).as_ref()).collect();
            Ok(interleave(&arrays, &places)?)
        };
        (0..self.schema.fields().len()).map(column).collect()
    }

    /// Forgets rows whose event time is at or below `bound_ms`.
    pub(super) fn evict(&mut self, bound_ms: i64) {
        while let Some(entry) = self.leaving.first_entry() {
            if !at_or_below(*entry.key(), bound_ms) {
                break;
            }
            for key in entry.remove() {
                self.evict_key(key, bound_ms);
            }
        }
    }

    fn evict_key(&mut self, key: u32, bound_ms: i64) {
        let Some(mut rows) = self.keys[key as usize].take() else {
            return;
        };
        let leaves = |e: &Entry| e.evict_time.is_some_and(|time| at_or_below(time, bound_ms));
        if self.ordered_by_eviction {
            let nulls = rows
                .entries
                .partition_point(|e| e.time == i64::MIN && e.evict_time.is_none());
            while let Some(entry) = rows.entries.get(nulls).filter(|e| leaves(e)).copied() {
                rows.entries.remove(nulls);
                self.release(entry);
            }
        } else {
            let (gone, kept): (VecDeque<_>, VecDeque<_>) = rows.entries.into_iter().partition(leaves);
            gone.into_iter().for_each(|entry| self.release(entry));
            rows.entries = kept;
        }
        if !rows.entries.is_empty() {
            self.keys[key as usize] = Some(rows);
            return;
        }
        let hash = self.hasher.hash_one(&*rows.key);
        if let Ok(entry) = self.table.find_entry(hash, |n| *n == key) {
            entry.remove();
        }
        self.free_keys.push(key);
    }

    fn release(&mut self, entry: Entry) {
        self.rows -= 1;
        let slot = &mut self.segments[entry.segment as usize];
        let segment = slot.as_mut().expect("a remembered row has its segment");
        segment.remembered -= 1;
        if segment.remembered == 0 {
            *slot = None;
            self.free_segments.push(entry.segment);
        }
    }

    /// All rows, in the order of their keys' first appearance.
    pub(super) fn snapshot(&self) -> Result<RecordBatch> {
        let entries: Vec<Entry> = self
            .keys
            .iter()
            .flatten()
            .flat_map(|k| k.entries.iter().copied())
            .collect();
        if entries.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), self.gather(&entries)?)?)
    }
}

fn insert_in_order(entries: &mut VecDeque<Entry>, entry: Entry) {
    if entries.back().is_none_or(|last| last.time <= entry.time) {
        entries.push_back(entry);
    } else {
        entries.insert(entries.partition_point(|e| e.time <= entry.time), entry);
    }
}
