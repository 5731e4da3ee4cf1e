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
        // A broker starts without them too, only more slowly: a busy machine is no reason to have none.
        if let Err(error) = record(cache, programs, &path) {
            say(&format!(
                "they could not be recorded, so starts take longer; remove {} to try again: {error}",
                path.display()
            ));
            File::create(&path).map_err(Error::path("write", &path))?;
        }
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

#[cfg(test)]
mod tests {
    use super::super::java::Java;
    use super::*;

    #[test]
    fn without_an_archive_classes_are_loaded_and_it_is_not_tried_at_every_start() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_path_buf());
        let programs = Programs {
            java: Java {
                program: "/bin/false".into(),
                version: "none".to_owned(),
            },
            jars: Vec::new(),
            classes: Classes::Loaded,
        };
        let mut said = Vec::new();
        for _ in 0..2 {
            let found = find(&cache, &programs, &mut |line| said.push(line.to_owned())).unwrap();
            assert!(matches!(found, Classes::Loaded), "{found:?}");
        }
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[1].contains("to try again: node 1 could not be formatted"),
            "{said:?}"
        );
    }
}
