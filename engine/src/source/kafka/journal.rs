//! What a source keeps in the checkpoint besides offsets, below `sources/I/`.
//!
//! `0` holds the offsets the query began with, as Spark writes it. `topics` is Skirl's own: the id of each topic, which
//! alone tells a topic from another that later had its name; Spark does not look at it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skirl_kafka::TopicId;

use super::offsets::Offsets;
use crate::source::files::log::write_whole;
use crate::{Error, Result};

const INITIAL: &str = "0";
const TOPICS: &str = "topics";

/// A topic as the source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its id, as Kafka's tools show it.
    pub id: String,
    /// Where reading went on when the topic took the place of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jump: Option<Jump>,
}

impl Known {
    /// A topic that took nobody's place.
    pub(super) fn of(id: &TopicId) -> Known {
        Known {
            id: id.0.clone(),
            jump: None,
        }
    }
}

/// From offsets of a topic that is gone to those of its successor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Jump {
    /// How far the old one was read, by partition.
    pub from: BTreeMap<i32, i64>,
    /// Where the new one is read from.
    pub to: BTreeMap<i32, i64>,
}

/// The log of a source; in memory only where the query has no checkpoint directory.
#[derive(Debug, Default)]
pub(super) struct Journal {
    dir: Option<PathBuf>,
    initial: Option<Offsets>,
    topics: BTreeMap<String, Known>,
}

impl Journal {
    /// Reads the log in a directory, which need not exist yet.
    ///
    /// # Errors
    /// A file that cannot be read, or is no such log.
    pub(super) fn open(dir: Option<&Path>) -> Result<Journal> {
        let Some(dir) = dir else { return Ok(Journal::default()) };
        Ok(Journal {
            initial: read(&dir.join(INITIAL))?
                .map(|bytes| initial_of(dir, &bytes))
                .transpose()?,
            topics: match read(&dir.join(TOPICS))? {
                Some(bytes) => serde_json::from_slice(&bytes).map_err(|_| foreign(&dir.join(TOPICS)))?,
                None => BTreeMap::new(),
            },
            dir: Some(dir.to_owned()),
        })
    }

    /// Where the query began, once that is known.
    pub(super) fn initial(&self) -> Option<&Offsets> {
        self.initial.as_ref()
    }

    /// Keeps where the query begins.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn begin(&mut self, initial: Offsets) -> Result<()> {
        if let Some(dir) = &self.dir {
            // Spark 2.1 wants a zero byte first, and all since skip it.
            let text = format!("\0v1\n{}", initial.to_json());
            write_whole(dir, INITIAL, text.as_bytes())?;
        }
        self.initial = Some(initial);
        Ok(())
    }

    /// The topics as they were known when offsets were last logged.
    pub(super) fn topics(&self) -> &BTreeMap<String, Known> {
        &self.topics
    }

    /// Keeps what is known of topics; on disk before offsets are logged that depend on it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn know(&mut self, topics: BTreeMap<String, Known>) -> Result<()> {
        if topics == self.topics {
            return Ok(());
        }
        if let Some(dir) = &self.dir {
            let bytes = serde_json::to_vec_pretty(&topics).expect("names and numbers are JSON");
            write_whole(dir, TOPICS, &bytes)?;
        }
        self.topics = topics;
        Ok(())
    }
}

/// The initial offsets in a directory `sources/I` of a checkpoint, Spark's or Skirl's; `None` if it has none.
///
/// # Errors
/// A file that cannot be read, or is no such log.
pub fn initial_offsets(dir: &Path) -> Result<Option<Offsets>> {
    read(&dir.join(INITIAL))?
        .map(|bytes| initial_of(dir, &bytes))
        .transpose()
}

fn initial_of(dir: &Path, bytes: &[u8]) -> Result<Offsets> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .map(|text| text.strip_prefix('\0').unwrap_or(text));
    let json = text.and_then(|text| text.strip_prefix("v1\n"));
    let value = json.and_then(|json| serde_json::from_str(json).ok());
    value
        .as_ref()
        .and_then(Offsets::from_json)
        .ok_or_else(|| foreign(&dir.join(INITIAL)))
}

fn foreign(path: &Path) -> Error {
    Error::Invalid(format!(
        "{} is not what a Kafka source writes; the checkpoint is of another query, choose another directory",
        path.display()
    ))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::offsets::tests::offsets;
    use super::*;

    fn known(id: &str) -> Known {
        Known {
            id: id.to_string(),
            jump: None,
        }
    }

    #[test]
    fn a_journal_is_there_after_a_restart_and_spark_s_is_read_too() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("sources/0");
        let mut journal = Journal::open(Some(&place)).unwrap();
        assert_eq!(journal.initial(), None);
        journal.begin(offsets("t-0 5")).unwrap();
        let jump = Some(Jump {
            from: BTreeMap::from([(0, 5)]),
            to: BTreeMap::from([(0, 0)]),
        });
        journal
            .know(BTreeMap::from([("t".into(), Known { id: "A".into(), jump })]))
            .unwrap();

        let again = Journal::open(Some(&place)).unwrap();
        assert_eq!(again.initial(), Some(&offsets("t-0 5")));
        assert_eq!(again.topics(), journal.topics());
        assert_eq!(fs::read(place.join("0")).unwrap(), b"\0v1\n{\"t\":{\"0\":5}}");
        fs::write(place.join("0"), "\0v1\n{\"t\":{\"1\":7,\"0\":6}}").unwrap();
        assert_eq!(initial_offsets(&place).unwrap(), Some(offsets("t-0 6, t-1 7")));
    }

    #[test]
    fn a_log_of_another_source_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("0"),
            "v1\n{\"path\":\"file:///a\",\"timestamp\":1,\"batchId\":0}",
        )
        .unwrap();
        let error = Journal::open(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("is not what a Kafka source writes"), "{error}");
    }

    #[test]
    fn without_a_directory_it_lives_in_memory() {
        let mut journal = Journal::open(None).unwrap();
        journal.begin(offsets("t-0 5")).unwrap();
        journal.know(BTreeMap::from([("t".into(), known("A"))])).unwrap();
        assert_eq!(journal.topics()["t"], known("A"));
    }
}
