//! A directory as a stream: every file is read once.
//!
//! The source keeps a log of the files of each of its steps in the checkpoint, so a restart neither reads one again nor
//! loses one. A file that changes after it was read is not read again.

mod list;
pub(crate) mod log;
mod partition;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::json;

use super::{Offset, ReadLimit, Source};
use crate::format::columns::Columns;
use crate::format::file::{FileFormat, check_there};
use crate::format::options::Options;
use crate::{Error, Result};

use list::{Found, Listing, SeenFiles};
use log::FileLog;
use partition::{Partition, columns_in_file, with_partition_columns, with_values};

/// Options of Spark's file sources that mean nothing here, with values that change nothing there either.
const UNREAD_OPTIONS: &[(&str, &[&str])] = &[
    ("basePath", &[]),
    ("cleanSource", &["off"]),
    ("datetimeRebaseMode", &["corrected", "exception"]),
    ("discardCachedInputRatio", &[]),
    ("dropFieldIfAllNull", &["false"]),
    ("enableDateTimeParsingFallback", &["false"]),
    ("ignoreCorruptFiles", &["false"]),
    ("int96RebaseMode", &["corrected", "exception"]),
    ("locale", &["en-us"]),
    ("maxCachedFiles", &[]),
    ("maxCharsPerColumn", &["-1"]),
    ("maxColumns", &[]),
    ("mergeSchema", &["false"]),
    ("modifiedAfter", &[]),
    ("modifiedBefore", &[]),
    ("prefersDecimal", &["false"]),
    ("samplingRatio", &["1", "1.0"]),
    ("singleVariantColumn", &[]),
    ("timeZone", &["utc", "gmt", "z", "+00:00", "etc/utc"]),
    ("unescapedQuoteHandling", &["stop_at_delimiter"]),
];

/// Whether values of partition directories have types of their own; a setting of Spark's, so the name is ours.
const PARTITION_TYPES: &str = "partitionColumnTypeInference";

/// Spark's settings that stand in for options.
const SETTINGS: &[(&str, &str)] = &[
    ("spark.sql.columnNameOfCorruptRecord", "columnNameOfCorruptRecord"),
    ("spark.sql.csv.parser.columnPruning.enabled", "columnPruning"),
    ("spark.sql.files.ignoreCorruptFiles", "ignoreCorruptFiles"),
    ("spark.sql.files.ignoreMissingFiles", "ignoreMissingFiles"),
    ("spark.sql.parquet.mergeSchema", "mergeSchema"),
    (
        "spark.sql.sources.partitionColumnTypeInference.enabled",
        PARTITION_TYPES,
    ),
];

/// The options of a source of files, with settings of the session in the place of those that are not given.
pub fn options_in_session(
    options: &BTreeMap<String, String>,
    conf: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = options.clone();
    for (setting, option) in SETTINGS {
        let is_given = options.keys().any(|name| name.eq_ignore_ascii_case(option));
        if let Some(value) = conf.get(*setting).filter(|_| !is_given) {
            all.insert(option.to_string(), value.clone());
        }
    }
    all
}

/// Files read ahead of what was asked for at most.
const CACHED_FILES_MAX: usize = 10_000;

/// Which file of a directory comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOrder {
    /// By name: traces and scenarios, whose times a clone scrambles.
    Name,
    /// By time of modification, then by name, as Spark reads a directory a user points at.
    ModificationTime,
}

/// The files of a directory, or those that fit a pattern, as they come.
#[derive(Debug)]
pub struct FileSource {
    listing: Listing,
    schema: SchemaRef,
    format: FileFormat,
    /// The columns the query reads.
    needed: Columns,
    limits: Limits,
    ignore_missing: bool,
    today: i32,
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
    /// The files under `path`, a directory or a pattern, in a format by Spark's name. Columns are those of `schema`, then
    /// those that partition directories give (`district=Porto/`).
    ///
    /// Options are those of the format, and `maxFilesPerTrigger`, `maxBytesPerTrigger`, `latestFirst`, `maxFileAge`,
    /// `pathGlobFilter`, `fileNameOnly`, `recursiveFileLookup`, `ignoreMissingFiles`. `today`, in days since
    /// 1970-01-01, is the day a bare time of day in the rows means.
    ///
    /// # Errors
    /// `PATH_NOT_FOUND`, a bad option, one of Spark's that does nothing here, a corrupt column that is no string,
    /// partition directories that do not belong together.
    pub fn new(
        path: &str,
        format: &str,
        schema: &SchemaRef,
        options: &BTreeMap<String, String>,
        order: FileOrder,
        today: i32,
    ) -> Result<FileSource> {
        let mut options = Options::new(options);
        options.refuse_unread(UNREAD_OPTIONS)?;
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
        let infer_types = options.flag(PARTITION_TYPES, true)?;
        let partitions = listing.files()?.into_iter().map(|found| listing.partition(&found.path));
        let partitions = partitions.collect::<Result<Vec<_>>>()?;
        Ok(FileSource {
            schema: with_partition_columns(&all_nullable(schema), &partitions, infer_types, today)?,
            listing,
            format,
            needed: Columns::All,
            limits,
            ignore_missing,
            today,
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
    pub fn list(path: &str, options: &BTreeMap<String, String>, order: FileOrder) -> Result<Vec<PathBuf>> {
        let listing = Listing::new(path, order, &mut Options::new(options))?;
        Ok(listing.files()?.into_iter().map(|found| found.path).collect())
    }

    /// The rows of files, which may lie in partitions.
    fn read_files(&self, paths: &[PathBuf]) -> Result<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        let mut from = 0;
        while from < paths.len() {
            let partition = self.listing.partition(&paths[from])?;
            let mut to = from + 1;
            while to < paths.len() && self.listing.partition(&paths[to])? == partition {
                to += 1;
            }
            rows.extend(self.read_partition(&paths[from..to], &partition)?);
            from = to;
        }
        Ok(rows)
    }

    fn read_partition(&self, paths: &[PathBuf], partition: &Partition) -> Result<Vec<RecordBatch>> {
        if partition.is_empty() {
            return self.format.read(paths, &self.schema, &self.needed);
        }
        let in_file = columns_in_file(&self.schema, partition);
        let needed = in_file
            .iter()
            .enumerate()
            .filter(|(_, index)| self.needed.contains(**index));
        let needed = Columns::Only(needed.map(|(place, _)| place).collect());
        let read = self
            .format
            .read(paths, &Arc::new(self.schema.project(&in_file)?), &needed)?;
        read.iter()
            .map(|rows| with_values(rows, &self.schema, partition, self.today))
            .collect()
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
            check_there(gone)?;
        }
        self.read_files(&paths)
    }

    fn select(&mut self, scans: &[Columns]) -> Result<()> {
        self.format.check_scans(&self.schema, scans)?;
        self.needed = Columns::any_of(scans);
        Ok(())
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
mod tests;
#[cfg(test)]
mod vectors;
