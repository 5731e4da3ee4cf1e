//! The files of each step of the source, kept in the checkpoint.
//!
//! `sources/0/7` holds the files of step 7, a line each, as Spark writes them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::list::Found;
use crate::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct FileLog {
    dir: Option<PathBuf>,
    steps: Vec<Vec<Found>>,
}

impl FileLog {
    /// Reads the log of a directory, which need not exist yet; without one the log lives in memory.
    pub fn open(dir: Option<&Path>) -> Result<FileLog> {
        let Some(dir) = dir else { return Ok(FileLog::default()) };
        fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let mut steps = Vec::new();
        loop {
            let path = dir.join(steps.len().to_string());
            match fs::read_to_string(&path) {
                Ok(text) => steps.push(read_step(&path, &text)?),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(error) => return Err(Error::io(&path)(error)),
            }
        }
        Ok(FileLog {
            dir: Some(dir.to_owned()),
            steps,
        })
    }

    /// Adds a step; it is on disk when this returns.
    pub fn append(&mut self, files: Vec<Found>) -> Result<()> {
        if let Some(dir) = &self.dir {
            let step = self.steps.len();
            let mut text = "v1".to_owned();
            for found in &files {
                let entry = json!({ "path": url_of(&found.path), "timestamp": found.modified_ms, "batchId": step });
                text.push_str(&format!("\n{entry}"));
            }
            write_whole(dir, &step.to_string(), text.as_bytes())?;
        }
        self.steps.push(files);
        Ok(())
    }

    /// The last step.
    pub fn last_step(&self) -> Option<u64> {
        (self.steps.len() as u64).checked_sub(1)
    }

    /// The files of all steps.
    pub fn all(&self) -> impl Iterator<Item = &Found> {
        self.steps.iter().flatten()
    }

    /// The files of the steps after `start` up to and with `end`.
    pub fn between(&self, start: Option<u64>, end: Option<u64>) -> Result<Vec<Found>> {
        let from = start.map_or(0, |step| step as usize + 1);
        let to = end.map_or(0, |step| step as usize + 1);
        let steps = self.steps.get(from..to).ok_or_else(|| {
            Error::Invalid(format!(
                "steps {from} to {} of the directory are wanted, but its log has {}; was the checkpoint's `sources` \
                 folder deleted?",
                to.saturating_sub(1),
                self.steps.len()
            ))
        })?;
        Ok(steps.concat())
    }
}

fn read_step(path: &Path, text: &str) -> Result<Vec<Found>> {
    let wrong = || {
        Error::Invalid(format!(
            "{} is no log of files; choose another checkpoint",
            path.display()
        ))
    };
    let entries = log_lines(text).ok_or_else(wrong)?.into_iter().map(|entry| {
        let url = entry["path"].as_str().ok_or_else(wrong)?;
        let modified_ms = entry["timestamp"].as_i64().ok_or_else(wrong)?;
        Ok(Found {
            path: path_of(url),
            modified_ms,
            bytes: 0,
        })
    });
    entries.collect()
}

/// The entries of a log as Spark writes them: a version, then JSON a line; `None` if it is no such log.
pub(crate) fn log_lines(text: &str) -> Option<Vec<Value>> {
    let mut lines = text.lines();
    if lines.next() != Some("v1") {
        return None;
    }
    lines.map(|line| serde_json::from_str(line).ok()).collect()
}

fn url_of(path: &Path) -> String {
    let text = path.to_string_lossy();
    if path.is_absolute() {
        format!("file://{text}")
    } else {
        text.into_owned()
    }
}

fn path_of(url: &str) -> PathBuf {
    PathBuf::from(url.strip_prefix("file://").unwrap_or(url))
}

/// Writes a file that is either there as a whole or not at all, also after a crash.
pub(crate) fn write_whole(dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let (path, unfinished) = (dir.join(name), dir.join(format!(".{name}.tmp")));
    let mut file = fs::File::create(&unfinished).map_err(Error::io(&unfinished))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io(&unfinished))?;
    fs::rename(&unfinished, &path).map_err(Error::io(&path))?;
    // The rename is only safe once the directory is on disk too.
    fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io(dir))
}
