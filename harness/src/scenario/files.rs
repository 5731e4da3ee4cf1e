//! Rows from files: JSON lines, CSV, Parquet or text, told apart by extension and read in the order of their names.
//!
//! By name and not by time, because a clone scrambles modification times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) struct Problem {
    pub message: String,
    pub help: String,
}

/// Extensions that are read, and what they mean.
const EXTENSIONS: &[&str] = &["jsonl", "json", "csv", "parquet", "txt"];

/// The data files of a directory in the order of their names; hidden files and those of other extensions do not count.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| Problem {
        message: format!("cannot read {}: {error}", dir.display()),
        help: "the path starts at the directory of this file".to_string(),
    };
    let entries = std::fs::read_dir(dir).map_err(unreadable)?.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(|path| is_data(path)).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Problem {
            message: format!("{} has no data files", dir.display()),
            help: format!("their extensions must be one of {}", EXTENSIONS.join(", ")),
        });
    }
    Ok(paths)
}

fn is_data(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']));
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    !hidden && EXTENSIONS.contains(&extension.as_ref())
}

/// Reads files of one schema.
pub(super) struct Reader<'a> {
    pub schema: &'a SchemaRef,
    /// Reader options by Spark's names.
    pub options: &'a BTreeMap<String, String>,
}

impl Reader<'_> {
    /// The rows of one file.
    pub fn read(&self, path: &Path) -> Result<RecordBatch, Problem> {
        read_file(path, self.schema, self.options).map_err(|message| Problem {
            message,
            help: "correct the file, or its schema and options here".to_string(),
        })
    }
}

/// The rows of the file at `path`, whose extension says its format; `options` are Spark's for that format. The error
/// is a sentence.
pub fn read_file(path: &Path, schema: &SchemaRef, options: &BTreeMap<String, String>) -> Result<RecordBatch, String> {
    let _ = (schema, options);
    std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Err("no readers yet".to_string())
}

/// Writes `rows` to a new file at `path`, whose extension says the format, so that [`read_file`] reads them again.
pub(super) fn write_file(path: &Path, rows: &RecordBatch) -> Result<(), String> {
    let _ = (path, rows);
    Err("no writers yet".to_string())
}
