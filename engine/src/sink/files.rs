//! Files of rows, each batch exactly once.
//!
//! A batch is first written as files, then as an entry of the log `_spark_metadata`: only files in the log count, and a
//! batch in the log is not written again. The log is Spark's, so that Spark reads such a directory rightly too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use arrow::array::{AsArray, RecordBatch};
use serde_json::{Value, json};

use super::Sink;
use crate::format::FileFormat;
use crate::format::csv::write_csv;
use crate::format::json::write_json_lines;
use crate::format::options::Options;
use crate::format::parquet::write_parquet;
use crate::source::files::log::{log_lines, write_whole};
use crate::{Error, OutputMode, Result};

/// The folder of the log in a directory of files.
const LOG_DIR: &str = "_spark_metadata";
/// Every so many batches an entry repeats all before it, so that a reader needs few files.
const COMPACT_EVERY: u64 = 10;

/// Options of Spark's file sinks that mean nothing here, with values that change nothing there either.
const UNREAD_OPTIONS: &[(&str, &[&str])] = &[
    ("charset", &["utf-8"]),
    ("codec", &["none", "uncompressed"]),
    ("compression", &["none", "uncompressed"]),
    ("datetimeRebaseMode", &["corrected", "exception"]),
    ("encoding", &["utf-8"]),
    ("int96RebaseMode", &["corrected", "exception"]),
    ("locale", &["en-us"]),
    ("timeZone", &["utc", "gmt", "z", "+00:00", "etc/utc"]),
];

/// Writes batches as files of a directory.
#[derive(Debug)]
pub struct FileSink {
    dir: PathBuf,
    format: FileFormat,
    last_batch_id: Option<u64>,
    remarks: Vec<String>,
}

impl FileSink {
    /// A sink into `dir`, in a format by Spark's name with that format's options.
    ///
    /// # Errors
    /// A format that is none, a bad option, a log that cannot be read.
    pub fn new(dir: &Path, format: &str, options: &BTreeMap<String, String>) -> Result<FileSink> {
        let mut options = Options::new(options);
        options.refuse_unread(UNREAD_OPTIONS)?;
        let format = FileFormat::from_options(format, &mut options, 0)?;
        let last_batch_id = log_entries(dir)?.into_keys().next_back();
        Ok(FileSink {
            dir: dir.to_owned(),
            format,
            last_batch_id,
            remarks: options.remarks(),
        })
    }

    /// The rows as the bytes of one file.
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match &self.format {
            FileFormat::Csv(options) => write_csv(rows, options, &mut bytes)?,
            FileFormat::Json(options) => write_json_lines(rows, options, &mut bytes)?,
            FileFormat::Parquet => bytes = write_parquet(rows)?,
            FileFormat::Text(options) => {
                let separator = options.line_separator.as_deref().unwrap_or("\n");
                write_text(rows, separator, &mut bytes);
            }
        }
        Ok(bytes)
    }

    fn log(&self, batch_id: u64, files: &[PathBuf]) -> Result<()> {
        let log_dir = self.dir.join(LOG_DIR);
        let mut lines = files.iter().map(|path| entry_of(path)).collect::<Result<Vec<_>>>()?;
        let mut name = batch_id.to_string();
        if (batch_id + 1).is_multiple_of(COMPACT_EVERY) {
            let before = log_entries(&self.dir)?.into_values().flatten();
            lines = before.map(|entry| entry.to_string()).chain(lines).collect();
            name += ".compact";
        }
        lines.insert(0, "v1".to_owned());
        write_whole(&log_dir, &name, lines.join("\n").as_bytes())
    }
}

impl Sink for FileSink {
    fn check_mode(&self, mode: OutputMode) -> Result<()> {
        if mode == OutputMode::Append {
            return Ok(());
        }
        Err(Error::spark(
            "STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE",
            format!(
                "invalid streaming output mode: {}. This output mode is not supported in Data Source {}; files take \
                 append",
                mode.name(),
                self.format.name()
            ),
        ))
    }

    fn write(&mut self, batch_id: u64, rows: &RecordBatch, mode: OutputMode) -> Result<()> {
        self.check_mode(mode)?;
        if self.last_batch_id.is_some_and(|last| batch_id <= last) {
            return Ok(());
        }
        self.format.check_written(&rows.schema())?;
        let mut files = Vec::new();
        if rows.num_rows() > 0 {
            // A batch that is written again after a crash gets the same name, so nothing is left behind.
            let name = format!("part-{batch_id:05}.{}", extension(&self.format));
            write_whole(&self.dir, &name, &self.encode(rows)?)?;
            files.push(absolute(&self.dir)?.join(name));
        }
        self.log(batch_id, &files)?;
        self.last_batch_id = Some(batch_id);
        Ok(())
    }

    fn needs_checkpoint(&self) -> bool {
        true
    }

    fn describe(&self) -> String {
        format!("FileSink[{}]", self.dir.display())
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

fn extension(format: &FileFormat) -> &'static str {
    match format {
        FileFormat::Text(_) => "txt",
        other => other.name(),
    }
}

/// A line a row; NULL is an empty one.
fn write_text(rows: &RecordBatch, separator: &str, out: &mut Vec<u8>) {
    for value in rows.column(0).as_string::<i32>() {
        out.extend_from_slice(value.unwrap_or_default().as_bytes());
        out.extend_from_slice(separator.as_bytes());
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io(path))
}

/// A file as Spark's log has it.
fn entry_of(path: &Path) -> Result<String> {
    let metadata = fs::metadata(path).map_err(Error::io(path))?;
    let modified = metadata.modified().map_err(Error::io(path))?;
    let modified = modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let entry = json!({
        "path": format!("file://{}", path.display()),
        "size": metadata.len(),
        "isDir": false,
        "modificationTime": modified,
        "blockReplication": 1,
        "blockSize": 33_554_432,
        "action": "add",
    });
    Ok(entry.to_string())
}

/// The files that count in a directory a file sink wrote, in the order of their batches; `None` if none did.
///
/// # Errors
/// A log that cannot be read.
pub fn committed_files(dir: &Path) -> Result<Option<Vec<PathBuf>>> {
    if !dir.join(LOG_DIR).is_dir() {
        return Ok(None);
    }
    let entries = log_entries(dir)?.into_values().flatten();
    let paths = entries.filter_map(|entry| {
        let url = entry["path"].as_str()?;
        Some(PathBuf::from(url.strip_prefix("file://").unwrap_or(url)))
    });
    Ok(Some(paths.collect()))
}

/// The entries of the log by batch: those of the last compact one under its id, then those after it.
fn log_entries(dir: &Path) -> Result<BTreeMap<u64, Vec<Value>>> {
    let log_dir = dir.join(LOG_DIR);
    let mut names: BTreeMap<u64, (bool, PathBuf)> = BTreeMap::new();
    if log_dir.is_dir() {
        for entry in fs::read_dir(&log_dir).map_err(Error::io(&log_dir))? {
            let path = entry.map_err(Error::io(&log_dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let compact = name.strip_suffix(".compact");
            if let Ok(batch_id) = compact.unwrap_or(&name).parse() {
                names.insert(batch_id, (compact.is_some(), path));
            }
        }
    }
    let last_compact = names
        .iter()
        .filter(|(_, (compact, _))| *compact)
        .map(|(id, _)| *id)
        .next_back();
    names.retain(|id, _| last_compact.is_none_or(|compact| *id >= compact));
    names
        .into_iter()
        .map(|(id, (_, path))| Ok((id, read_entries(&path)?)))
        .collect()
}

fn read_entries(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    log_lines(&text).ok_or_else(|| {
        Error::Invalid(format!(
            "{} is no log of a file sink; choose another directory",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;
    use crate::source::{FileOrder, FileSource, ReadLimit, Source};

    fn rows(values: &[i32]) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    #[test]
    fn a_batch_is_written_once_across_restarts_and_compaction() {
        for format in ["json", "csv", "parquet"] {
            let dir = tempfile::tempdir().unwrap();
            for batch_id in 0..23 {
                // A new sink each time, as after a restart; the batch before comes again.
                let mut sink = FileSink::new(dir.path(), format, &BTreeMap::new()).unwrap();
                for repeated in batch_id.max(1) - 1..=batch_id {
                    sink.write(repeated, &rows(&[repeated as i32]), OutputMode::Append)
                        .unwrap();
                }
            }
            let read = read_back(dir.path(), format);
            assert_eq!(read, (0..23).collect::<Vec<_>>(), "{format}");
            assert!(dir.path().join("_spark_metadata/19.compact").exists());
        }
    }

    fn read_back(dir: &Path, format: &str) -> Vec<i32> {
        let schema = rows(&[]).schema();
        let path = dir.to_str().unwrap();
        let mut source = FileSource::new(path, format, &schema, &BTreeMap::new(), FileOrder::Name, 0).unwrap();
        let end = source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
        let read = source.read(None, &end).unwrap();
        read.iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn files_without_a_log_entry_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = FileSink::new(dir.path(), "json", &BTreeMap::new()).unwrap();
        sink.write(0, &rows(&[1]), OutputMode::Append).unwrap();
        sink.write(1, &rows(&[]), OutputMode::Append).unwrap();
        fs::write(dir.path().join("part-00002.json"), "{\"n\":9}\n").unwrap();
        assert_eq!(read_back(dir.path(), "json"), [1]);
    }

    #[test]
    fn only_append_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let sink = FileSink::new(dir.path(), "parquet", &BTreeMap::new()).unwrap();
        let error = sink.check_mode(OutputMode::Update).unwrap_err();
        assert_eq!(error.condition(), Some("STREAMING_OUTPUT_MODE.UNSUPPORTED_DATASOURCE"));
        insta::assert_snapshot!(error, @"invalid streaming output mode: update. This output mode is not supported in Data Source parquet; files take append");
    }
}
