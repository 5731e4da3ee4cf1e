//! Rows from files: JSON lines, CSV, Parquet or text, told apart by extension and read in the order of their names.
//!
//! By name and not by time, because a clone scrambles modification times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_engine::error::in_full;
use skirl_engine::format::columns::Columns;
use skirl_engine::format::json::{JsonOptions, write_json_lines};
use skirl_engine::format::{FileFormat, without_compression};

use super::mistake::listed;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) struct Problem {
    pub message: String,
    pub help: String,
}

/// Extensions that are read, and the format each means; `.gz`, `.bz2`, `.deflate` or `.zst` may follow.
const EXTENSIONS: &[(&str, &str)] = &[
    ("jsonl", "json"),
    ("json", "json"),
    ("csv", "csv"),
    ("parquet", "parquet"),
    ("txt", "text"),
];

fn extensions() -> Vec<&'static str> {
    EXTENSIONS.iter().map(|(extension, _)| *extension).collect()
}

/// The format the name of a file says.
fn format_of(path: &Path) -> Option<&'static str> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (_, extension) = without_compression(&name).rsplit_once('.')?;
    let known = EXTENSIONS.iter().find(|(known, _)| *known == extension);
    known.map(|(_, format)| *format)
}

/// The files of a directory in the order of their names; hidden ones do not count, and others must be read.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error: std::io::Error| Problem {
        message: format!("cannot read {}: {error}", dir.display()),
        help: "the path starts at the directory of this file".to_string(),
    };
    let entries = std::fs::read_dir(dir)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| !is_hidden(path));
    paths.sort();
    if paths.is_empty() {
        return Err(Problem {
            message: format!("{} has no files", dir.display()),
            help: format!("put some there; their extensions are {}", listed(&extensions())),
        });
    }
    match paths.iter().find(|path| path.is_dir() || format_of(path).is_none()) {
        Some(path) if path.is_dir() => Err(Problem {
            message: format!("{} is a directory, and a micro-batch is a file", path.display()),
            help: "move its files up, or begin its name with `_` to pass over it".to_string(),
        }),
        Some(path) => Err(Problem {
            message: format!("the name of {} tells no format", path.display()),
            help: format!(
                "its extension must be one of {}; begin its name with `_` to pass over it",
                listed(&extensions())
            ),
        }),
        None => Ok(paths),
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']))
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
    let Some(format) = format_of(path) else {
        let known = listed(&extensions());
        return Err(format!(
            "the name of {} tells no format; its extension must be one of {known}",
            path.display()
        ));
    };
    std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let read = || {
        let format = FileFormat::new(format, options, NO_DAY)?;
        let rows = format.read(&[path.to_path_buf()], schema, &Columns::All)?;
        Ok(concat_batches(schema, &rows)?)
    };
    read().map_err(|error: skirl_engine::Error| in_full(&error))
}

/// The day a bare time of day means: 1970-01-01, so that a file is read alike on every day.
const NO_DAY: i32 = 0;

/// Writes `rows` as JSON lines to a new file at `path`, so that [`read_file`] reads them again.
pub(super) fn write_file(path: &Path, rows: &RecordBatch) -> Result<(), String> {
    let mut bytes = Vec::new();
    append_json_lines(rows, &mut bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Appends `rows` as JSON lines that read as the same rows again, microseconds included.
///
/// # Errors
/// A type JSON has no form for.
pub(crate) fn append_json_lines(rows: &RecordBatch, out: &mut Vec<u8>) -> skirl_engine::Result<()> {
    let options = [
        ("timestampFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"),
        ("timestampNTZFormat", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"),
    ];
    let options = options
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect();
    write_json_lines(rows, &JsonOptions::new(&options, NO_DAY)?, out)
}
