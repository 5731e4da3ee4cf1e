//! A directory as a stream: every file is read once.
//!
//! The source keeps a log of the files of each of its steps in the checkpoint, so a restart neither reads one again nor
//! loses one. A file that changes after it was read is not read again.

mod list;
pub(crate) mod log;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde_json::json;

use super::{Offset, ReadLimit, Source};
use crate::format::file::{FileFormat, read_bytes};
use crate::format::options::Options;
use crate::{Error, Result};

use list::{Found, Listing, SeenFiles};
use log::FileLog;

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
mod tests;
