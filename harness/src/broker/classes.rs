//! An archive of the classes that a broker loads, recorded once by a broker that does nothing else: with it a start takes
//! half the processor time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::cluster::Cluster;
use super::error::{Error, Result};
use super::jars::sha256_hex;
use super::options::Options;
use super::program::Programs;

/// Where a program's classes come from.
#[derive(Debug, Clone)]
pub(super) enum Classes {
    /// The jars alone.
    Loaded,
    /// This archive, and the jars for what it lacks.
    Archived(PathBuf),
    /// The jars; when the program ends, this archive is made of what it took.
    Recording(PathBuf),
}

impl Classes {
    /// What Java is told.
    pub fn option(&self) -> Option<String> {
        match self {
            Classes::Loaded => None,
            Classes::Archived(file) => Some(format!("-XX:SharedArchiveFile={}", file.display())),
            Classes::Recording(file) => Some(format!("-XX:ArchiveClassesAtExit={}", file.display())),
        }
    }
}

/// The archive in the cache, recorded if there is none for this Java and these jars.
pub(super) fn find(cache: &Cache, programs: &Programs, say: &mut dyn FnMut(&str)) -> Result<Classes> {
    let jars: Vec<_> = programs.jars.iter().map(|jar| jar.to_string_lossy()).collect();
    let what = format!("{}{}", programs.java.version, jars.join(":"));
    let path = cache
        .root()
        .join(format!("classes-{}.jsa", &sha256_hex(what.as_bytes())[..8]));
    // Of two processes one records and the other finds.
    let door = cache.root().join("classes.lock");
    let _door = File::create(&door)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(Error::path("lock", &door))?;
    if !path.exists() {
        say("recording the classes of a broker, for quick starts (once)");
        record(cache, programs, &path)?;
    }
    let is_archive = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    Ok(if is_archive {
        Classes::Archived(path)
    } else {
        Classes::Loaded
    })
}

/// Starts and stops a broker that leaves an archive at `path`; an empty one, if its Java makes none.
fn record(cache: &Cache, programs: &Programs, path: &Path) -> Result<()> {
    let dir = tempfile::tempdir_in(cache.root()).map_err(Error::path("write into", cache.root()))?;
    let new = dir.path().join("classes.jsa");
    let mut programs = programs.clone();
    programs.classes = Classes::Recording(new.clone());
    Cluster::start_with(Options::default(), cache, programs)?.stop()?;
    if !new.exists() {
        File::create(&new).map_err(Error::path("write", &new))?;
    }
    // A killed process leaves no half of it.
    fs::rename(&new, path).map_err(Error::path("make", path))
}
