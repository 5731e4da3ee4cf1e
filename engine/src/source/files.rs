//! A directory as a stream: every file is read once.
//!
//! The source keeps a log of the files of each of its steps in the checkpoint, so a restart neither reads one again nor
//! loses one. A file that changes after it was read is not read again.

mod list;
pub(crate) mod log;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::json;

use super::{Offset, ReadLimit, Source};
use crate::format::csv::{CsvOptions, read_csv};
use crate::format::in_order;
use crate::format::infer::{infer_csv, infer_json};
use crate::format::json::{JsonOptions, read_json_lines};
use crate::format::options::Options;
use crate::format::parquet::{parquet_schema, read_parquet};
use crate::format::text::{read_text, text_schema};
use crate::{Error, Result};

use list::{Found, Listing, SeenFiles};
use log::FileLog;

/// Files read ahead of what was asked for at most.
const CACHED_FILES_MAX: usize = 10_000;

/// How the rows of a file are written down.
#[derive(Debug, Clone)]
pub enum FileFormat {
    /// Values between separators.
    Csv(Box<CsvOptions>),
    /// One object a line.
    Json(Box<JsonOptions>),
    /// Columns, compressed.
    Parquet,
    /// Lines; the separator is a line feed, a carriage return or both unless one is given.
    Text(Option<String>),
}

/// Which file of a directory comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOrder {
    /// By name: traces and scenarios, whose times a clone scrambles.
    Name,
    /// By time of modification, then by name, as Spark reads a directory a user points at.
    ModificationTime,
}

impl FileFormat {
    /// A format by Spark's name, with its options; `today`, in days since 1970-01-01, is the day a bare time means.
    ///
    /// # Errors
    /// A name that is no format, a bad option.
    pub fn new(name: &str, options: &BTreeMap<String, String>, today: i32) -> Result<FileFormat> {
        Self::from_options(name, &mut Options::new(options), today)
    }

    pub(crate) fn from_options(name: &str, options: &mut Options, today: i32) -> Result<FileFormat> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "csv" => FileFormat::Csv(Box::new(CsvOptions::from_options(options, today)?)),
            "json" => FileFormat::Json(Box::new(JsonOptions::from_options(options, today)?)),
            "parquet" => FileFormat::Parquet,
            "text" => FileFormat::Text(options.text("lineSep")),
            other => {
                return Err(Error::spark(
                    "DATA_SOURCE_NOT_FOUND",
                    format!("there is no file format `{other}`; use csv, json, parquet or text"),
                ));
            }
        })
    }

    /// Spark's name of the format.
    pub fn name(&self) -> &'static str {
        match self {
            FileFormat::Csv(_) => "csv",
            FileFormat::Json(_) => "json",
            FileFormat::Parquet => "parquet",
            FileFormat::Text(_) => "text",
        }
    }

    /// The schema files suggest.
    ///
    /// # Errors
    /// `UNABLE_TO_INFER_SCHEMA` if they hold nothing to go by; a file that cannot be read.
    pub fn infer_schema(&self, paths: &[PathBuf]) -> Result<SchemaRef> {
        let bytes = || {
            paths
                .iter()
                .map(|path| Ok(Cow::Owned(read_bytes(path)?)))
                .collect::<Result<Vec<_>>>()
        };
        match self {
            FileFormat::Csv(options) => infer_csv(&bytes()?, options),
            FileFormat::Json(options) => infer_json(&bytes()?, options),
            FileFormat::Text(_) => Ok(text_schema()),
            FileFormat::Parquet => match paths {
                [] => Err(Error::spark(
                    "UNABLE_TO_INFER_SCHEMA",
                    "unable to infer schema for Parquet: there are no files",
                )),
                [first, ..] => parquet_schema(first),
            },
        }
    }

    /// Reads files, in parallel but in order.
    ///
    /// # Errors
    /// A file that cannot be read or does not fit, by its name.
    pub fn read(&self, paths: &[PathBuf], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
        if matches!(self, FileFormat::Parquet) {
            return read_parquet(paths, schema, threads);
        }
        in_order(paths, threads, |path| {
            let bytes = read_bytes(path)?;
            self.decode(&bytes, schema).map_err(|error| in_file(path, error))
        })
        .into_iter()
        .collect()
    }

    fn decode(&self, bytes: &[u8], schema: &SchemaRef) -> Result<RecordBatch> {
        match self {
            FileFormat::Csv(options) => read_csv(bytes, schema, options),
            FileFormat::Json(options) => read_json_lines(bytes, schema, options),
            FileFormat::Text(separator) => read_text(bytes, separator.as_deref())?
                .with_schema(Arc::clone(schema))
                .map_err(Error::from),
            FileFormat::Parquet => Err(Error::Invalid("Parquet is read from files, not from memory".to_owned())),
        }
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return Error::spark(
                "FAILED_READ_FILE.FILE_NOT_EXIST",
                format!(
                    "{} is gone before it was read; option `ignoreMissingFiles` would go on without it",
                    path.display()
                ),
            );
        }
        Error::Io {
            path: path.to_owned(),
            source,
        }
    })
}

/// Says which file an error is about.
fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Spark { condition, message } => Error::Spark {
            condition,
            message: format!("{}: {message}", path.display()),
        },
        Error::Invalid(message) => Error::Invalid(format!("{}: {message}", path.display())),
        other => other,
    }
}

/// The files of a directory, or those that fit a pattern, as they come.
#[derive(Debug)]
pub struct FileSource {
    listing: Listing,
    schema: SchemaRef,
    format: FileFormat,
    limits: Limits,
    ignore_missing: bool,
    seen: SeenFiles,
    log: FileLog,
    /// Listed and not yet taken.
    waiting: Vec<Found>,
    /// The files that were there when AvailableNow began, not yet taken.
    available: Option<Vec<Found>>,
    remarks: Vec<String>,
}

/// How much a micro-batch takes.
#[derive(Debug, Clone, Copy, Default)]
struct Limits {
    files: Option<u64>,
    bytes: Option<u64>,
}

impl FileSource {
    /// The files under `path`, a directory or a pattern, in a format by Spark's name.
    ///
    /// Options are those of the format, and `maxFilesPerTrigger`, `maxBytesPerTrigger`, `latestFirst`, `maxFileAge`,
    /// `pathGlobFilter`, `fileNameOnly`, `recursiveFileLookup`, `ignoreMissingFiles`. `today`, in days since
    /// 1970-01-01, is the day a bare time of day in the rows means.
    ///
    /// # Errors
    /// `PATH_NOT_FOUND`, a bad option, a corrupt column that is no string.
    pub fn new(
        path: &str,
        format: &str,
        schema: &SchemaRef,
        options: &BTreeMap<String, String>,
        order: FileOrder,
        today: i32,
    ) -> Result<FileSource> {
        let mut options = Options::new(options);
        let format = FileFormat::from_options(format, &mut options, today)?;
        let limits = Limits {
            files: options.positive("maxFilesPerTrigger")?,
            bytes: options.positive("maxBytesPerTrigger")?,
        };
        if limits.files.is_some() && limits.bytes.is_some() {
            return Err(Error::Invalid(
                "give `maxFilesPerTrigger` or `maxBytesPerTrigger`, not both".to_owned(),
            ));
        }
        let listing = Listing::new(path, order, &mut options)?;
        let ages_matter = order == FileOrder::ModificationTime && !(listing.latest_first && limits.is_set());
        let seen = SeenFiles::new(&mut options, ages_matter)?;
        let ignore_missing = options.flag("ignoreMissingFiles", false)?;
        Ok(FileSource {
            listing,
            schema: all_nullable(schema),
            format,
            limits,
            ignore_missing,
            seen,
            log: FileLog::default(),
            waiting: Vec::new(),
            available: None,
            remarks: options.remarks(),
        })
    }

    /// The files that are there now, in order, whether read or not: what a schema can be inferred from.
    ///
    /// # Errors
    /// A directory that cannot be read.
    pub fn list(path: &str, order: FileOrder) -> Result<Vec<PathBuf>> {
        let listing = Listing::new(path, order, &mut Options::new(&BTreeMap::new()))?;
        Ok(listing.files()?.into_iter().map(|found| found.path).collect())
    }

    /// The files not yet seen, in order.
    fn unseen(&mut self) -> Result<Vec<Found>> {
        if let Some(available) = &self.available {
            return Ok(available
                .iter()
                .filter(|found| self.seen.is_new(found))
                .cloned()
                .collect());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let waiting: Vec<Found> = waiting.into_iter().filter(|found| self.seen.is_new(found)).collect();
        if !waiting.is_empty() {
            return Ok(waiting);
        }
        Ok(self
            .listing
            .files()?
            .into_iter()
            .filter(|found| self.seen.is_new(found))
            .collect())
    }

    /// Takes the first of `unseen` that the limit allows, and keeps the rest for the next time.
    fn take(&mut self, mut unseen: Vec<Found>, limit: ReadLimit) -> Vec<Found> {
        let count = match limit {
            ReadLimit::Unlimited => unseen.len(),
            ReadLimit::Configured => self.limits.count(&unseen),
        };
        let rest = unseen.split_off(count);
        // A short rest is listed anew, so that older files that came meanwhile find their place.
        let worth_keeping = rest.len() as f64 >= count as f64 * 0.2;
        if self.available.is_none() && !self.listing.latest_first && worth_keeping {
            self.waiting = rest.into_iter().take(CACHED_FILES_MAX).collect();
        }
        unseen
    }
}

impl Limits {
    fn is_set(self) -> bool {
        self.files.is_some() || self.bytes.is_some()
    }

    /// How many of `unseen` a batch takes; at least one.
    fn count(self, unseen: &[Found]) -> usize {
        if let Some(files) = self.files {
            return unseen.len().min(usize::try_from(files).unwrap_or(usize::MAX));
        }
        let Some(most) = self.bytes else { return unseen.len() };
        let mut total = 0;
        let fitting = unseen.iter().take_while(|found| {
            total += found.bytes;
            total <= most
        });
        fitting.count().max(1).min(unseen.len())
    }
}

/// Streams have no promise that a value is there.
fn all_nullable(schema: &SchemaRef) -> SchemaRef {
    let fields = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn restore(&mut self, log_dir: Option<&Path>) -> Result<()> {
        self.log = FileLog::open(log_dir)?;
        for found in self.log.all() {
            self.seen.add(found);
        }
        self.seen.purge();
        Ok(())
    }

    fn latest_offset(&mut self, start: Option<&Offset>, limit: ReadLimit) -> Result<Option<Offset>> {
        step_of(start)?;
        let unseen = self.unseen()?;
        let taken = self.take(unseen, limit);
        if !taken.is_empty() {
            taken.iter().for_each(|found| self.seen.add(found));
            self.seen.purge();
            self.log.append(taken)?;
        }
        Ok(self.log.last_step().map(offset_of))
    }

    fn read(&mut self, start: Option<&Offset>, end: &Offset) -> Result<Vec<RecordBatch>> {
        let (start, end) = (step_of(start)?, step_of(Some(end))?);
        let found = self.log.between(start, end)?;
        let mut paths: Vec<PathBuf> = found.iter().map(|found| found.path.clone()).collect();
        if self.ignore_missing {
            paths.retain(|path| path.exists());
        } else if let Some(gone) = paths.iter().find(|path| !path.exists()) {
            read_bytes(gone)?;
        }
        self.format.read(&paths, &self.schema)
    }

    fn prepare_available_now(&mut self) -> Result<()> {
        self.available = None;
        self.waiting.clear();
        let unseen = self.unseen()?;
        self.available = Some(unseen);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("FileStreamSource[{}]", self.listing.root.display())
    }

    fn remarks(&self) -> Vec<String> {
        self.remarks.clone()
    }
}

fn offset_of(step: u64) -> Offset {
    Offset(json!({ "logOffset": step }))
}

fn step_of(offset: Option<&Offset>) -> Result<Option<u64>> {
    let Some(Offset(value)) = offset else { return Ok(None) };
    match value.get("logOffset").and_then(serde_json::Value::as_u64) {
        Some(step) => Ok(Some(step)),
        None => Err(Error::Invalid(format!(
            "an offset of a directory is like {{\"logOffset\":0}}, found `{value}`; the checkpoint is of another source"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Int32Type};

    use super::*;

    struct Directory(tempfile::TempDir);

    impl Directory {
        fn new() -> Self {
            Directory(tempfile::tempdir().unwrap())
        }
        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }
        /// A file with one number, modified `time` seconds after some start.
        fn put(&self, name: &str, number: i32, time: u64) {
            fs::write(self.path(name), format!("{{\"n\":{number}}}\n")).unwrap();
            let file = fs::File::options().append(true).open(self.path(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + time))
                .unwrap();
        }
        fn source(&self, options: &[(&str, &str)], order: FileOrder) -> Result<FileSource> {
            let options = options
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
            FileSource::new(self.0.path().to_str().unwrap(), "json", &schema, &options, order, 0)
        }
    }

    /// The numbers of each batch from `start` on, until nothing is new.
    fn drain(source: &mut FileSource, mut start: Option<Offset>) -> (Vec<Vec<i32>>, Option<Offset>) {
        let mut batches = Vec::new();
        loop {
            let end = source.latest_offset(start.as_ref(), ReadLimit::Configured).unwrap();
            let Some(end) = end.filter(|end| Some(end) != start.as_ref()) else {
                return (batches, start);
            };
            let rows = source.read(start.as_ref(), &end).unwrap();
            batches.push(
                rows.iter()
                    .flat_map(|b| b.column(0).as_primitive::<Int32Type>().values().to_vec())
                    .collect(),
            );
            start = Some(end);
        }
    }

    #[test]
    fn files_come_by_time_or_by_name_a_few_at_a_time() {
        let dir = Directory::new();
        for (name, number, time) in [
            ("a", 1, 30),
            ("b", 2, 10),
            ("c", 3, 20),
            ("_hidden", 9, 1),
            (".dot", 9, 1),
        ] {
            dir.put(name, number, time);
        }
        let two = [("maxFilesPerTrigger", "2")];
        let mut by_time = dir.source(&two, FileOrder::ModificationTime).unwrap();
        assert_eq!(drain(&mut by_time, None).0, [vec![2, 3], vec![1]]);
        let mut by_name = dir.source(&two, FileOrder::Name).unwrap();
        assert_eq!(drain(&mut by_name, None).0, [vec![1, 2], vec![3]]);
        let mut latest = dir
            .source(&[("latestFirst", "true")], FileOrder::ModificationTime)
            .unwrap();
        assert_eq!(drain(&mut latest, None).0, [vec![1, 3, 2]]);
        let mut bytes = dir.source(&[("maxBytesPerTrigger", "17")], FileOrder::Name).unwrap();
        assert_eq!(drain(&mut bytes, None).0, [vec![1, 2], vec![3]]);
    }

    #[test]
    fn a_restart_neither_repeats_nor_loses_a_file() {
        let (dir, log) = (Directory::new(), tempfile::tempdir().unwrap());
        dir.put("a", 1, 1);
        let mut first = dir.source(&[], FileOrder::Name).unwrap();
        first.restore(Some(log.path())).unwrap();
        let (batches, committed) = drain(&mut first, None);
        assert_eq!(batches, [vec![1]]);
        // The next step is logged by the source, but the query dies before it notes the offset.
        dir.put("b", 2, 2);
        first.latest_offset(committed.as_ref(), ReadLimit::Configured).unwrap();
        drop(first);
        dir.put("c", 3, 3);
        let mut second = dir.source(&[], FileOrder::Name).unwrap();
        second.restore(Some(log.path())).unwrap();
        assert_eq!(drain(&mut second, committed).0, [vec![2, 3]]);
        // The same offsets give the same rows again.
        assert_eq!(second.read(None, &offset_of(0)).unwrap()[0].num_rows(), 1);
    }

    #[test]
    fn available_now_leaves_later_files_alone() {
        let dir = Directory::new();
        dir.put("a", 1, 1);
        let mut source = dir.source(&[], FileOrder::ModificationTime).unwrap();
        source.prepare_available_now().unwrap();
        dir.put("b", 2, 2);
        assert_eq!(drain(&mut source, None).0, [vec![1]]);
    }

    #[test]
    fn a_changed_file_is_not_read_again_and_an_old_one_is_too_late() {
        let dir = Directory::new();
        dir.put("new", 1, 2000);
        let mut source = dir
            .source(&[("maxFileAge", "1s")], FileOrder::ModificationTime)
            .unwrap();
        let (batches, start) = drain(&mut source, None);
        assert_eq!(batches, [vec![1]]);
        dir.put("new", 7, 3000);
        dir.put("old", 2, 1998);
        dir.put("just", 3, 1999);
        assert_eq!(drain(&mut source, start).0, [vec![3]]);
    }

    #[test]
    fn mistakes_are_named() {
        let dir = Directory::new();
        dir.put("a", 1, 1);
        let mut source = dir.source(&[], FileOrder::Name).unwrap();
        let end = source.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
        fs::remove_file(dir.path("a")).unwrap();
        let clean = |error: Error| error.to_string().replace(&dir.0.path().display().to_string(), "DIR");
        insta::assert_snapshot!(clean(source.read(None, &end).unwrap_err()), @"");
        insta::assert_snapshot!(clean(dir.source(&[("maxFilesPerTrigger", "none")], FileOrder::Name).unwrap_err()), @"");
        fs::write(dir.path("b"), "{\"n\":1}\nnonsense\n").unwrap();
        let mut strict = dir.source(&[("mode", "FAILFAST")], FileOrder::Name).unwrap();
        let end = strict.latest_offset(None, ReadLimit::Configured).unwrap().unwrap();
        insta::assert_snapshot!(clean(strict.read(None, &end).unwrap_err()), @"");
        let missing = FileSource::new(
            "/no/such",
            "csv",
            &strict.schema(),
            &BTreeMap::new(),
            FileOrder::Name,
            0,
        );
        let missing = missing.unwrap_err();
        assert_eq!(missing.condition(), Some("PATH_NOT_FOUND"));
    }

    #[test]
    fn only_committed_files_of_a_file_sink_are_read() {
        let dir = Directory::new();
        dir.put("a", 1, 1);
        dir.put("b", 2, 2);
        fs::create_dir(dir.path("_spark_metadata")).unwrap();
        let entry = format!("{{\"path\":\"file://{}\"}}", dir.path("b").display());
        fs::write(dir.path("_spark_metadata/0"), format!("v1\n{entry}")).unwrap();
        let mut source = dir.source(&[], FileOrder::Name).unwrap();
        assert_eq!(drain(&mut source, None).0, [vec![2]]);
    }
}
