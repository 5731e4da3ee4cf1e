//! Which files a directory has, and which of them were seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::FileOrder;
use super::partition::{Partition, check_together};
use crate::format::options::Options;
use crate::sink::files::committed_files;
use crate::source::glob;
use crate::{Error, Result};

/// Directories below one another at the most; a link that leads back would have no end.
const DEPTH_MAX: usize = 32;

/// A file as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub path: PathBuf,
    /// Time of modification in milliseconds since 1970-01-01.
    pub modified_ms: i64,
    pub bytes: u64,
}

/// What is listed and how it is sorted.
#[derive(Debug)]
pub(super) struct Listing {
    pub root: PathBuf,
    order: FileOrder,
    pub latest_first: bool,
    name_filter: Option<String>,
    recursive: bool,
}

impl Listing {
    pub fn new(path: &str, order: FileOrder, options: &mut Options) -> Result<Listing> {
        let path = path.strip_prefix("file://").unwrap_or(path);
        let listing = Listing {
            root: PathBuf::from(path),
            order,
            latest_first: options.flag("latestFirst", false)?,
            name_filter: options.text("pathGlobFilter"),
            recursive: options.flag("recursiveFileLookup", false)?,
        };
        if !glob::is_pattern(path) && !listing.root.exists() {
            return Err(Error::spark("PATH_NOT_FOUND", format!("path does not exist: {path}")));
        }
        Ok(listing)
    }

    /// The files in order.
    pub fn files(&self) -> Result<Vec<Found>> {
        let mut files = Vec::new();
        for root in self.roots()? {
            files.extend(self.files_of(&root)?);
        }
        files.sort_by(|left, right| match self.order {
            FileOrder::Name => left.path.cmp(&right.path),
            FileOrder::ModificationTime => (left.modified_ms, &left.path).cmp(&(right.modified_ms, &right.path)),
        });
        if self.latest_first {
            files.reverse();
        }
        Ok(files)
    }

    /// The files of a directory: its own, or those of its partitions if it has some.
    fn files_of(&self, root: &Path) -> Result<Vec<Found>> {
        let mut files = Vec::new();
        match committed_files(root)? {
            Some(committed) => {
                // The log has whole paths; files are called as the directory is.
                let whole = std::path::absolute(root).map_err(Error::io(root))?;
                for path in committed {
                    let below = path.strip_prefix(&whole).map(|below| root.join(below));
                    Self::push(&below.unwrap_or(path), &mut files)?;
                }
            }
            None if root.is_dir() => Self::walk(root, 0, &mut files)?,
            None => Self::push(root, &mut files)?,
        }
        files.retain(|found| self.fits_filter(&found.path));
        if self.recursive || !root.is_dir() {
            return Ok(files);
        }
        let partitions = files.iter().map(|found| Partition::of(root, &found.path));
        let partitions = partitions.collect::<Result<Vec<_>>>()?;
        check_together(&partitions)?;
        if partitions.iter().all(Partition::is_empty) {
            files.retain(|found| found.path.parent() == Some(root));
            return Ok(files);
        }
        self.check_partitioned(&files, &partitions)?;
        Ok(files)
    }

    /// Refuses what Spark reads wrongly where there are partition directories.
    fn check_partitioned(&self, files: &[Found], partitions: &[Partition]) -> Result<()> {
        if self.is_pattern() {
            return Err(Error::unsupported(format!(
                "there are partition directories below what {} stands for, whose columns Spark does not find then; point \
                 at the directory above them",
                self.root.display()
            )));
        }
        match partitions.iter().position(Partition::is_empty) {
            Some(beside) => Err(Error::unsupported(format!(
                "{} lies beside partition directories, where Spark passes over it without a word; move it, or set \
                 `recursiveFileLookup` to read all files without the directories' columns",
                files[beside].path.display()
            ))),
            None => Ok(()),
        }
    }

    /// What the directories above a file say of its rows.
    pub fn partition(&self, path: &Path) -> Result<Partition> {
        match self.recursive || self.is_pattern() || !path.starts_with(&self.root) || path == self.root {
            true => Ok(Partition::default()),
            false => Partition::of(&self.root, path),
        }
    }

    fn is_pattern(&self) -> bool {
        glob::is_pattern(&self.root.to_string_lossy())
    }

    /// The path itself, or what its pattern stands for.
    fn roots(&self) -> Result<Vec<PathBuf>> {
        let mut roots = vec![PathBuf::new()];
        for part in self.root.components() {
            let name = part.as_os_str().to_string_lossy();
            if !glob::is_pattern(&name) {
                roots.iter_mut().for_each(|root| root.push(part));
                continue;
            }
            let mut fitting = Vec::new();
            for root in roots.iter().filter(|root| root.is_dir()) {
                for entry in entries(root)? {
                    let entry_name = file_name(&entry);
                    if !is_hidden(&entry_name) && glob::fits(&name, &entry_name) {
                        fitting.push(entry);
                    }
                }
            }
            roots = fitting;
        }
        roots.retain(|root| root.exists());
        Ok(roots)
    }

    /// Every file below a directory that is not hidden.
    fn walk(dir: &Path, depth: usize, files: &mut Vec<Found>) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::Invalid(format!(
                "{} lies more than {DEPTH_MAX} directories deep; does a link lead back?",
                dir.display()
            )));
        }
        for path in entries(dir)? {
            if is_hidden(&file_name(&path)) {
                continue;
            }
            match path.is_dir() {
                true => Self::walk(&path, depth + 1, files)?,
                false => Self::push(&path, files)?,
            }
        }
        Ok(())
    }

    fn push(path: &Path, files: &mut Vec<Found>) -> Result<()> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // Gone between listing and looking: as if it had not been there.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let modified = metadata.modified().map_err(Error::io(path))?;
        files.push(Found {
            path: path.to_owned(),
            modified_ms: milliseconds(modified),
            bytes: metadata.len(),
        });
        Ok(())
    }

    fn fits_filter(&self, path: &Path) -> bool {
        self.name_filter
            .as_ref()
            .is_none_or(|pattern| glob::fits(pattern, &file_name(path)))
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(Error::io(dir))?;
    entries.map(|entry| Ok(entry.map_err(Error::io(dir))?.path())).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Names Spark passes over: files being written and notes beside the rows.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('=')) || name.ends_with("._COPYING_")
}

fn milliseconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => after.as_millis() as i64,
        Err(before) => -(before.duration().as_millis() as i64),
    }
}

/// The files already read, forgotten when they are too old to come again.
#[derive(Debug)]
pub(super) struct SeenFiles {
    times: BTreeMap<String, i64>,
    age_max_ms: i64,
    name_only: bool,
    newest_ms: i64,
    oldest_new_ms: i64,
}

impl SeenFiles {
    pub fn new(options: &mut Options, ages_matter: bool) -> Result<SeenFiles> {
        let age_max_ms = match options.text("maxFileAge") {
            Some(text) => parse_age(&text)?,
            None => 7 * 24 * 3_600_000,
        };
        Ok(SeenFiles {
            times: BTreeMap::new(),
            age_max_ms: if ages_matter { age_max_ms } else { i64::MAX },
            name_only: options.flag("fileNameOnly", false)?,
            newest_ms: i64::MIN,
            oldest_new_ms: i64::MIN,
        })
    }

    pub fn is_new(&self, found: &Found) -> bool {
        found.modified_ms >= self.oldest_new_ms && !self.times.contains_key(&self.key(found))
    }

    pub fn add(&mut self, found: &Found) {
        self.times.insert(self.key(found), found.modified_ms);
        self.newest_ms = self.newest_ms.max(found.modified_ms);
    }

    /// Forgets files older than `maxFileAge` before the newest; from now on such files are too late.
    pub fn purge(&mut self) {
        self.oldest_new_ms = self.newest_ms.saturating_sub(self.age_max_ms);
        let oldest = self.oldest_new_ms;
        self.times.retain(|_, time| *time >= oldest);
    }

    fn key(&self, found: &Found) -> String {
        if self.name_only {
            file_name(&found.path)
        } else {
            found.path.to_string_lossy().into_owned()
        }
    }
}

/// `7d`, `1s`, `500ms`; a bare number is milliseconds.
fn parse_age(text: &str) -> Result<i64> {
    let text = text.trim().to_ascii_lowercase();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: i64 = match text[split..].trim() {
        "us" => 0,
        "" | "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong_age(&text)),
    };
    let count: i64 = text[..split].parse().map_err(|_| wrong_age(&text))?;
    count.checked_mul(unit).ok_or_else(|| wrong_age(&text))
}

fn wrong_age(text: &str) -> Error {
    Error::Invalid(format!(
        "invalid value `{text}` for option `maxFileAge`, write a number and a unit: 7d, 12h, 90s"
    ))
}
