//! Records on their way: kept apart by partition in one file, and merged when all are there.
//!
//! Only the end says in which order partitions belong together, since a producer may send old timestamps at any time. So
//! records go to disk as they come, in chunks of one partition each, and memory holds a chunk a partition.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::record::Record;

/// A chunk is written once it is so large, and all are once they are so large together.
const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS_BYTES: usize = 32 * 1024 * 1024;

/// Records by partition; the file has no name and is gone with the process.
pub(super) struct Spill {
    file: File,
    end: u64,
    lanes: Vec<Lane>,
    buffered: usize,
}

/// A partition.
pub(super) struct Lane {
    /// The number of its topic.
    pub topic: usize,
    pub partition: i32,
    pub records: u64,
    buffer: Vec<u8>,
    /// Where its chunks are, and how long.
    chunks: Vec<(u64, usize)>,
}

impl Spill {
    /// A spill on the disk of `directory`.
    pub fn new(directory: &Path) -> io::Result<Self> {
        Ok(Spill {
            file: tempfile::tempfile_in(directory)?,
            end: 0,
            lanes: Vec::new(),
            buffered: 0,
        })
    }

    /// The number of a partition's lane; it is made if it is new.
    pub fn lane(&mut self, topic: usize, partition: i32) -> usize {
        let known = self
            .lanes
            .iter()
            .position(|lane| lane.topic == topic && lane.partition == partition);
        known.unwrap_or_else(|| {
            self.lanes.push(Lane {
                topic,
                partition,
                records: 0,
                buffer: Vec::new(),
                chunks: Vec::new(),
            });
            self.lanes.len() - 1
        })
    }

    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// Adds the next record of a partition.
    pub fn push(&mut self, lane: usize, record: &Record) -> io::Result<()> {
        let lane_of = &mut self.lanes[lane];
        let before = lane_of.buffer.len();
        record.encode(&mut lane_of.buffer);
        lane_of.records += 1;
        self.buffered += lane_of.buffer.len() - before;
        if lane_of.buffer.len() >= CHUNK_BYTES {
            self.write(lane)?;
        } else if self.buffered >= CHUNKS_BYTES {
            (0..self.lanes.len()).try_for_each(|lane| self.write(lane))?;
        }
        Ok(())
    }

    fn write(&mut self, lane: usize) -> io::Result<()> {
        let lane = &mut self.lanes[lane];
        if lane.buffer.is_empty() {
            return Ok(());
        }
        self.file.write_all(&lane.buffer)?;
        lane.chunks.push((self.end, lane.buffer.len()));
        self.end += lane.buffer.len() as u64;
        self.buffered -= lane.buffer.len();
        lane.buffer.clear();
        Ok(())
    }

    /// All records in the order of a trace.
    pub fn merged(mut self) -> io::Result<Merged> {
        (0..self.lanes.len()).try_for_each(|lane| self.write(lane))?;
        let mut merged = Merged {
            file: self.file,
            lanes: self.lanes.into_iter().map(Reading::new).collect(),
            heads: BinaryHeap::new(),
            given: None,
        };
        (0..merged.lanes.len()).try_for_each(|lane| merged.queue(lane))?;
        Ok(merged)
    }
}

/// Records in order: within a partition as they came, across partitions by timestamp. A record that is older than one
/// before it in its partition counts as old as that.
pub(super) struct Merged {
    file: File,
    lanes: Vec<Reading>,
    /// Time, topic and partition of the next record of each lane, and the lane.
    heads: BinaryHeap<Reverse<(i64, usize, i32, usize)>>,
    /// The lane whose record was given out last, and is passed over next.
    given: Option<usize>,
}

struct Reading {
    lane: Lane,
    next_chunk: usize,
    at: usize,
    /// The largest timestamp so far.
    latest_ms: i64,
}

/// A record in its place.
pub(super) struct Placed<'a> {
    /// The number of its topic.
    pub topic: usize,
    /// The time that orders it, in milliseconds since 1970.
    pub time_ms: i64,
    pub record: Record<'a>,
}

impl Merged {
    /// The next record.
    pub fn next(&mut self) -> io::Result<Option<Placed<'_>>> {
        if let Some(lane) = self.given.take() {
            let reading = &mut self.lanes[lane];
            reading.at += Record::peek(&reading.lane.buffer, reading.at).0;
            self.queue(lane)?;
        }
        let Some(Reverse((time_ms, topic, partition, lane))) = self.heads.pop() else {
            return Ok(None);
        };
        self.given = Some(lane);
        let reading = &self.lanes[lane];
        let record = Record::decode(partition, &reading.lane.buffer, &mut reading.at.clone());
        Ok(Some(Placed { topic, time_ms, record }))
    }

    /// Lets a lane's next record take part, if there is one.
    fn queue(&mut self, lane: usize) -> io::Result<()> {
        let reading = &mut self.lanes[lane];
        if reading.at == reading.lane.buffer.len() && !reading.load(&mut self.file)? {
            return Ok(());
        }
        let (_, timestamp_ms) = Record::peek(&reading.lane.buffer, reading.at);
        reading.latest_ms = reading.latest_ms.max(timestamp_ms);
        let Lane { topic, partition, .. } = reading.lane;
        self.heads.push(Reverse((reading.latest_ms, topic, partition, lane)));
        Ok(())
    }
}

impl Reading {
    fn new(lane: Lane) -> Self {
        Reading {
            lane,
            next_chunk: 0,
            at: 0,
            latest_ms: i64::MIN,
        }
    }

    /// Reads the next chunk, if there is one.
    fn load(&mut self, file: &mut File) -> io::Result<bool> {
        let Some((start, length)) = self.lane.chunks.get(self.next_chunk).copied() else {
            return Ok(false);
        };
        self.next_chunk += 1;
        self.at = 0;
        self.lane.buffer.resize(length, 0);
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut self.lane.buffer)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(partition: i32, offset: i64, timestamp_ms: i64, value: &[u8]) -> Record<'_> {
        Record {
            partition,
            offset,
            timestamp_ms,
            timestamp_type: 0,
            key: None,
            value: Some(value),
            headers: vec![],
        }
    }

    /// (topic, partition, offset) of what comes out, and the time that orders it.
    fn merged(records: &[(usize, i32, i64)], value: &[u8]) -> Vec<(i64, usize, i32, i64)> {
        let directory = tempfile::tempdir().unwrap();
        let mut spill = Spill::new(directory.path()).unwrap();
        for (topic, partition, timestamp_ms) in records {
            let lane = spill.lane(*topic, *partition);
            let offset = spill.lanes()[lane].records as i64;
            spill
                .push(lane, &record(*partition, offset, *timestamp_ms, value))
                .unwrap();
        }
        let mut merged = spill.merged().unwrap();
        let mut order = vec![];
        while let Some(placed) = merged.next().unwrap() {
            assert_eq!(placed.record.value, Some(value));
            order.push((
                placed.time_ms,
                placed.topic,
                placed.record.partition,
                placed.record.offset,
            ));
        }
        order
    }

    #[test]
    fn a_record_older_than_the_one_before_it_keeps_its_place() {
        let records = [
            (0, 0, 10),
            (0, 0, 5),
            (0, 0, 30),
            (0, 1, 7),
            (0, 1, 10),
            (0, 1, 20),
            (1, 0, 10),
        ];
        let order = [
            (7, 0, 1, 0),
            (10, 0, 0, 0),
            (10, 0, 0, 1),
            (10, 0, 1, 1),
            (10, 1, 0, 0),
            (20, 0, 1, 2),
            (30, 0, 0, 2),
        ];
        assert_eq!(merged(&records, b"x"), order);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// However records come in, all come out: in order of time, and in each partition as they came.
        #[test]
        fn all_come_out_in_order(
            records in prop::collection::vec((0usize..2, 0i32..3, 0i64..50), 0..400),
            bytes in 0usize..3_000,
        ) {
            let order = merged(&records, &vec![7; bytes]);
            prop_assert_eq!(order.len(), records.len());
            prop_assert!(order.is_sorted(), "{:?}", order);
        }
    }
}
