//! What a query needs to go on where it stopped: the offset log before a batch, the commit log after it, the state as
//! of each commit (spark-semantics 1.2 and 1.5).
//!
//! Layout: `metadata`, `offsets/N`, `commits/N`, `state/N/OPERATOR`; `sources/I/` belongs to source `I`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use crate::source::Offset;
use crate::storage::{DirStorage, Storage};
use crate::{Error, Result};

/// Log entries kept behind the newest, as Spark's `minBatchesToRetain`.
const KEPT_BATCHES: u64 = 100;
/// Snapshots kept: the last commit's and the one before.
const KEPT_SNAPSHOTS: u64 = 2;

/// A batch as the offset log knows it: everything that decides its result.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OffsetEntry {
    pub batch_id: u64,
    pub metadata: OffsetMetadata,
    /// End offset of each source; `None` for a source without any yet.
    pub ends: Vec<Option<Offset>>,
}

/// The second line of an offset log entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OffsetMetadata {
    pub batch_watermark_ms: i64,
    pub batch_timestamp_ms: i64,
    /// Settings that hold for the life of the query, whatever a later session says.
    pub conf: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitMetadata {
    next_batch_watermark_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct QueryMetadata {
    /// Tells this checkpoint from all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The query; none where Spark wrote the checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    query: Option<String>,
}

/// A batch of an offset log: what it ended with, whoever wrote the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedBatch {
    /// Its number.
    pub batch_id: u64,
    /// The watermark in force, in milliseconds since 1970-01-01T00:00:00 UTC; 0 before it moved.
    pub watermark_ms: i64,
    /// Where each source ended; `None` for one without any rows yet.
    pub ends: Vec<Option<Offset>>,
}

/// The batches of the offset log in a checkpoint directory, Skirl's or Spark's, as far as it still has them.
///
/// # Errors
/// An entry that cannot be read.
pub fn read_offset_log(dir: &Path) -> Result<Vec<LoggedBatch>> {
    if !dir.is_dir() {
        return Ok(vec![]);
    }
    let log = Log(Box::new(DirStorage::new(dir)?));
    let mut numbers: Vec<u64> = log.numbers("offsets")?;
    numbers.sort_unstable();
    let batch = |batch_id| {
        let entry = log.offsets(batch_id)?;
        Ok(LoggedBatch {
            batch_id,
            watermark_ms: entry.metadata.batch_watermark_ms,
            ends: entry.ends,
        })
    };
    numbers.into_iter().map(batch).collect()
}

/// Where a resumed query stands.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Resumed {
    /// The last batch that was committed, and the watermark after it.
    pub committed: Option<(OffsetEntry, i64)>,
    /// A batch that was logged and not committed: it runs again exactly so.
    pub pending: Option<OffsetEntry>,
}

/// The checkpoint of one query.
pub(crate) struct Checkpoint {
    log: Log,
    id: String,
    is_spark_s: bool,
}

/// The files of a checkpoint.
struct Log(Box<dyn Storage>);

impl Checkpoint {
    /// Opens a checkpoint for `query`, a text that tells one query from another.
    ///
    /// # Errors
    /// The checkpoint belongs to another query, or cannot be read.
    pub(crate) fn open(mut storage: Box<dyn Storage>, query: &str) -> Result<Self> {
        let known: QueryMetadata = match storage.read("metadata")? {
            Some(bytes) => parse("metadata", &String::from_utf8_lossy(&bytes))?,
            None => QueryMetadata {
                id: None,
                query: Some(query.to_string()),
            },
        };
        if let Some(other) = known.query.as_deref().filter(|known| *known != query) {
            return Err(Error::Invalid(format!(
                "{} belongs to another query; choose another directory\n  it has: {other}\n  this is: {query}",
                storage
                    .dir()
                    .map_or("the checkpoint".into(), |d| format!("checkpoint {}", d.display())),
            )));
        }
        let is_spark_s = known.query.is_none();
        let id = match known.id {
            Some(id) => id,
            None => {
                let id = new_id();
                let metadata = QueryMetadata {
                    id: Some(id.clone()),
                    query: known.query,
                };
                storage.write("metadata", &serde_json::to_vec(&metadata).expect("strings are JSON"))?;
                id
            }
        };
        Ok(Self {
            log: Log(storage),
            id,
            is_spark_s,
        })
    }

    /// What tells this checkpoint from all others.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether Spark wrote it. Its offsets can be taken up, its state cannot be read.
    pub(crate) fn is_spark_s(&self) -> bool {
        self.is_spark_s
    }

    /// Where source `index` may keep a log of its own.
    pub(crate) fn source_dir(&self, index: usize) -> Option<PathBuf> {
        self.log.0.dir().map(|dir| dir.join("sources").join(index.to_string()))
    }

    /// Where the query stands.
    ///
    /// # Errors
    /// A log entry that cannot be read, or one that is missing.
    pub(crate) fn resume(&self) -> Result<Resumed> {
        let newest_commit = self.log.newest("commits")?;
        let pending = match self.log.newest("offsets")? {
            Some(batch_id) if newest_commit.is_none_or(|commit| batch_id > commit) => Some(self.log.offsets(batch_id)?),
            _ => None,
        };
        let committed = match newest_commit {
            Some(batch_id) => {
                let name = format!("commits/{batch_id}");
                let metadata: CommitMetadata = parse(&name, self.log.lines(&name)?.first().map_or("", |l| l))?;
                Some((self.log.offsets(batch_id)?, metadata.next_batch_watermark_ms))
            }
            None => None,
        };
        Ok(Resumed { committed, pending })
    }

    /// Logs a batch before it runs; from here on a restart repeats exactly this batch.
    ///
    /// # Errors
    /// Another run has logged a batch of this number; a log that cannot be written.
    pub(crate) fn log_offsets(&mut self, entry: &OffsetEntry) -> Result<()> {
        let mut text = format!("v1\n{}", to_json(&entry.metadata));
        for end in &entry.ends {
            text.push('\n');
            text.push_str(&end.as_ref().map_or("-".to_string(), |offset| offset.0.to_string()));
        }
        self.log.append("offsets", entry.batch_id, &text)?;
        if let Some(old) = entry.batch_id.checked_sub(KEPT_BATCHES) {
            self.log.0.remove(&format!("offsets/{old}"))?;
        }
        Ok(())
    }

    /// Logs that a batch is done and what the watermark is after it.
    ///
    /// # Errors
    /// As [`Checkpoint::log_offsets`].
    pub(crate) fn log_commit(&mut self, batch_id: u64, next_batch_watermark_ms: i64) -> Result<()> {
        let text = format!(
            "v1\n{}",
            to_json(&CommitMetadata {
                next_batch_watermark_ms
            })
        );
        self.log.append("commits", batch_id, &text)?;
        if let Some(old) = batch_id.checked_sub(KEPT_BATCHES) {
            self.log.0.remove(&format!("commits/{old}"))?;
        }
        Ok(())
    }

    /// Keeps the state as of a batch, a table per operator.
    pub(crate) fn write_state(&mut self, batch_id: u64, tables: &[RecordBatch]) -> Result<()> {
        for (index, table) in tables.iter().enumerate() {
            let mut writer = StreamWriter::try_new(Vec::new(), &table.schema())?;
            writer.write(table)?;
            self.log
                .0
                .write(&format!("state/{batch_id}/{index}"), &writer.into_inner()?)?;
            if let Some(old) = batch_id.checked_sub(KEPT_SNAPSHOTS) {
                self.log.0.remove(&format!("state/{old}/{index}"))?;
            }
        }
        Ok(())
    }

    /// The state as of a batch.
    ///
    /// # Errors
    /// A table that cannot be read.
    pub(crate) fn read_state(&self, batch_id: u64) -> Result<Vec<RecordBatch>> {
        let mut tables = Vec::new();
        while let Some(bytes) = self.log.0.read(&format!("state/{batch_id}/{}", tables.len()))? {
            let mut reader = StreamReader::try_new(bytes.as_slice(), None)?;
            let empty = RecordBatch::new_empty(reader.schema());
            tables.push(reader.next().transpose()?.unwrap_or(empty));
        }
        Ok(tables)
    }
}

impl Log {
    /// Adds the entry of a batch, in Spark's words if there is one: two runs of a query would spoil each other's state.
    fn append(&mut self, log: &str, batch_id: u64, text: &str) -> Result<()> {
        let name = format!("{log}/{batch_id}");
        if self.0.read(&name)?.is_some() {
            return Err(Error::spark(
                "CONCURRENT_STREAM_LOG_UPDATE",
                format!(
                    "Concurrent update to the log. Multiple streaming jobs detected for {batch_id}.\nPlease make sure only one \
                     streaming job runs on a specific checkpoint location at a time."
                ),
            ));
        }
        self.0.write(&name, text.as_bytes())
    }

    fn numbers(&self, log: &str) -> Result<Vec<u64>> {
        let names = self.0.list(log)?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn newest(&self, log: &str) -> Result<Option<u64>> {
        Ok(self.numbers(log)?.into_iter().max())
    }

    fn offsets(&self, batch_id: u64) -> Result<OffsetEntry> {
        let name = format!("offsets/{batch_id}");
        let mut lines = self.lines(&name)?.into_iter();
        let metadata = parse(&name, &lines.next().unwrap_or_default())?;
        let ends = lines.map(|line| match line.as_str() {
            "-" => Ok(None),
            json => parse(&name, json).map(|offset| Some(Offset(offset))),
        });
        Ok(OffsetEntry {
            batch_id,
            metadata,
            ends: ends.collect::<Result<_>>()?,
        })
    }

    /// The lines of a log entry after its version.
    fn lines(&self, name: &str) -> Result<Vec<String>> {
        let bytes = self.0.read(name)?.ok_or_else(|| {
            Error::Invalid(format!(
                "the checkpoint has no `{name}`; it is incomplete and cannot be resumed from"
            ))
        })?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.lines().map(str::to_string);
        match lines.next().as_deref() {
            Some("v1") => Ok(lines.collect()),
            other => Err(Error::Invalid(format!(
                "`{name}` in the checkpoint has version {:?}; this Skirl reads `v1`",
                other.unwrap_or_default()
            ))),
        }
    }
}

/// An id nobody else has, in the form of a UUID. What std has of chance is enough for that, and no result depends on it.
fn new_id() -> String {
    let word = || RandomState::new().build_hasher().finish();
    let (high, low) = (word(), word());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("log metadata is JSON")
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::Invalid(format!("`{name}` in the checkpoint cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryStorage;

    fn entry(batch_id: u64) -> OffsetEntry {
        let metadata = OffsetMetadata {
            batch_watermark_ms: 5,
            batch_timestamp_ms: 7,
            conf: std::collections::BTreeMap::new(),
        };
        OffsetEntry {
            batch_id,
            metadata,
            ends: vec![Some(Offset(serde_json::json!(batch_id))), None],
        }
    }

    #[test]
    fn a_batch_that_was_logged_and_not_committed_is_pending() {
        let mut checkpoint = Checkpoint::open(Box::new(MemoryStorage::default()), "q").unwrap();
        assert_eq!(checkpoint.resume().unwrap(), Resumed::default());
        checkpoint.log_offsets(&entry(0)).unwrap();
        assert_eq!(checkpoint.resume().unwrap().pending, Some(entry(0)));
        checkpoint.log_commit(0, 9).unwrap();
        assert_eq!(
            checkpoint.resume().unwrap(),
            Resumed {
                committed: Some((entry(0), 9)),
                pending: None
            }
        );
        checkpoint.log_offsets(&entry(1)).unwrap();
        let both = Resumed {
            committed: Some((entry(0), 9)),
            pending: Some(entry(1)),
        };
        assert_eq!(checkpoint.resume().unwrap(), both);
    }

    #[test]
    fn a_second_run_at_the_same_checkpoint_ends_the_first_with_a_word() {
        let storage = MemoryStorage::default();
        let open = || Checkpoint::open(Box::new(storage.clone()), "q").unwrap();
        let (mut first, mut second) = (open(), open());
        first.log_offsets(&entry(0)).unwrap();
        second.log_commit(0, 9).unwrap();
        for refused in [first.log_commit(0, 9), second.log_offsets(&entry(0))] {
            let message = refused.unwrap_err().to_string();
            assert!(message.contains("Multiple streaming jobs detected for 0."), "{message}");
        }
        second.log_offsets(&entry(1)).unwrap();
    }

    #[test]
    fn an_offset_log_of_spark_s_is_read_and_taken_up() {
        let dir = tempfile::tempdir().unwrap();
        let metadata = r#"{"id":"d366a8bf-db79-42ca-b5a4-d9ca0a11d63e"}"#;
        let conf = r#"{"spark.sql.streaming.stateStore.providerClass":"x","spark.sql.shuffle.partitions":"4"}"#;
        let mut storage = DirStorage::new(dir.path()).unwrap();
        storage.write("metadata", metadata.as_bytes()).unwrap();
        for (batch, end) in [(0, 12), (1, 20)] {
            let entry = format!(
                "v1\n{{\"batchWatermarkMs\":{batch},\"batchTimestampMs\":5,\"conf\":{conf}}}\n{{\"t\":{{\"0\":{end}}}}}"
            );
            storage.write(&format!("offsets/{batch}"), entry.as_bytes()).unwrap();
            storage.write(&format!("offsets/.{batch}.crc"), b"x").unwrap();
        }
        storage.write("commits/0", b"v1\n{\"nextBatchWatermarkMs\":1}").unwrap();

        let log = read_offset_log(dir.path()).unwrap();
        let ends: Vec<String> = log
            .iter()
            .map(|batch| batch.ends[0].as_ref().unwrap().0.to_string())
            .collect();
        assert_eq!(ends, [r#"{"t":{"0":12}}"#, r#"{"t":{"0":20}}"#]);
        let checkpoint = Checkpoint::open(Box::new(storage), "any query").unwrap();
        assert!(checkpoint.is_spark_s() && checkpoint.id().starts_with("d366a8bf-"));
        let resumed = checkpoint.resume().unwrap();
        assert_eq!(resumed.committed.unwrap().0.batch_id, 0);
        assert_eq!(resumed.pending.unwrap().batch_id, 1);
    }

    #[test]
    fn a_checkpoint_has_an_id_for_life_and_no_two_have_the_same() {
        let open = |storage: &MemoryStorage| {
            Checkpoint::open(Box::new(storage.clone()), "q")
                .unwrap()
                .id()
                .to_string()
        };
        let (one, other) = (MemoryStorage::default(), MemoryStorage::default());
        assert_eq!(open(&one), open(&one));
        assert_ne!(open(&one), open(&other));
        assert_eq!(open(&one).len(), 36);
    }

    #[test]
    fn a_checkpoint_belongs_to_its_query() {
        let storage = MemoryStorage::default();
        Checkpoint::open(Box::new(storage.clone()), "q").unwrap();
        let error = Checkpoint::open(Box::new(storage), "another").err().unwrap();
        assert!(error.to_string().contains("belongs to another query"), "{error}");
    }
}
