//! Rows from files: JSON lines, CSV, Parquet or text, told apart by extension and read in the order of their names.
//!
//! By name and not by time, because a clone scrambles modification times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use skirl_engine::format::csv::{CsvOptions, read_csv};
use skirl_engine::format::json::{JsonOptions, read_json_lines, write_json_lines};
use skirl_engine::format::parquet::read_parquet;
use skirl_engine::format::text::read_text;

use super::mistake::suggestion;

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
    let entries = std::fs::read_dir(dir)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| is_data(path))
        .collect();
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
    let hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']));
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
    let bytes = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let rows = match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
        "jsonl" | "json" => {
            JsonOptions::new(options, NO_DAY).and_then(|options| read_json_lines(&bytes, schema, &options))
        }
        "csv" => CsvOptions::new(options, NO_DAY).and_then(|options| read_csv(&bytes, schema, &options)),
        "txt" => read_text(&bytes, options.get("lineSep").map(String::as_str)),
        "parquet" => read_parquet(&[path.to_path_buf()], schema, 1).and_then(|rows| Ok(concat_batches(schema, &rows)?)),
        other => {
            return Err(format!(
                "{}: `.{other}` says no format; {}",
                path.display(),
                suggestion(other, EXTENSIONS)
            ));
        }
    };
    rows.map_err(|error| format!("{}: {error}", path.display()))
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
