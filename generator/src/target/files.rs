//! Files: a directory for each stream, a file for each micro-batch.
//!
//! A file gets its name only when it is complete, so that a reader who watches the directory never sees half of one.

use std::fs;
use std::path::{Path, PathBuf};

use super::Sink;
use crate::encode::Format;
use crate::error::{Error, Result};
use crate::trace::{TRACE_FILE, TraceFile, file_name};

pub(super) struct Files {
    directory: PathBuf,
    format: Format,
    /// Shards of one trace share their directories.
    shared: bool,
}

impl Files {
    pub fn open(directory: &Path, format: Format, shared: bool) -> Result<Files> {
        make_directory(directory)?;
        Ok(Files {
            directory: directory.to_owned(),
            format,
            shared,
        })
    }
}

impl Sink for Files {
    fn begin(&mut self, stream: &str) -> Result<()> {
        let directory = self.directory.join(stream);
        make_directory(&directory)?;
        if !self.shared && holds_files(&directory)? {
            return Err(Error::DirectoryInUse { path: directory });
        }
        Ok(())
    }

    fn write(&mut self, stream: &str, number: u64, bytes: &[u8]) -> Result<()> {
        write_then_rename(&self.directory.join(stream), &file_name(number, self.format), bytes)
    }

    fn finish(&mut self, trace: &TraceFile) -> Result<()> {
        write_then_rename(&self.directory, TRACE_FILE, trace.to_toml()?.as_bytes())
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn holds_files(directory: &Path) -> Result<bool> {
    let failed = |source| Error::Write {
        path: directory.to_owned(),
        source,
    };
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.to_string_lossy().starts_with(['_', '.']) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Spark and others pass over names that begin with `_` or `.`.
fn write_then_rename(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (hidden, path) = (directory.join(format!("_{name}.tmp")), directory.join(name));
    fs::write(&hidden, bytes).map_err(|source| Error::Write {
        path: hidden.clone(),
        source,
    })?;
    fs::rename(&hidden, &path).map_err(|source| Error::Write { path, source })
}
