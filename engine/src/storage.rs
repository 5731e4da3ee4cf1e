//! Where checkpoints are kept: named blobs that are there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Error, Result};

/// Named blobs. Names are paths of a few folders, separated by `/`.
pub trait Storage: Send {
    /// Writes a blob, whole or not at all; an older one of the name is replaced.
    ///
    /// # Errors
    /// The blob cannot be written; the older one is still there.
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Reads a blob; `None` if there is none of the name.
    ///
    /// # Errors
    /// The blob is there and cannot be read.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;
    /// The names directly in a folder, without the folder's, in order of names.
    ///
    /// # Errors
    /// The folder is there and cannot be listed.
    fn list(&self, folder: &str) -> Result<Vec<String>>;
    /// Removes a blob, if it is there.
    ///
    /// # Errors
    /// The blob is there and cannot be removed.
    fn remove(&mut self, name: &str) -> Result<()>;
    /// The directory the blobs lie in, if they lie in one.
    fn dir(&self) -> Option<&Path>;
}

/// Blobs as files of a directory.
#[derive(Debug, Clone)]
pub struct DirStorage {
    root: PathBuf,
}

impl DirStorage {
    /// Uses `root`, making it if it is not there.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root).map_err(Error::io(&root))?;
        Ok(Self { root })
    }
}

impl Storage for DirStorage {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        // Two processes that write a blob of one name do not take each other's file away.
        let written = path.with_file_name(format!(
            ".{}.{}.tmp",
            path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default(),
            std::process::id()
        ));
        let write = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::create(&written)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&written, &path)
        };
        write().map_err(Error::io(&path))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path)(error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = self.root.join(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let names = entries.map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<_>, _>>().map_err(Error::io(&path))?;
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        Ok(names)
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&path)(error)),
            _ => Ok(()),
        }
    }

    fn dir(&self) -> Option<&Path> {
        Some(&self.root)
    }
}

/// Blobs in memory. Clones share them, so that a query can be restarted from what another left.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl MemoryStorage {
    fn blobs(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn write(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.blobs().insert(name.to_string(), bytes.to_vec());
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.blobs().get(name).cloned())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let prefix = format!("{folder}/");
        let blobs = self.blobs();
        let names = blobs.keys().filter_map(|name| name.strip_prefix(&prefix));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_string).collect())
    }

    fn remove(&mut self, name: &str) -> Result<()> {
        self.blobs().remove(name);
        Ok(())
    }

    fn dir(&self) -> Option<&Path> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_storages_keep_blobs_by_name() {
        let dir = tempfile::tempdir().unwrap();
        keeps(&mut DirStorage::new(dir.path()).unwrap());
        keeps(&mut MemoryStorage::default());
    }

    #[track_caller]
    fn keeps(storage: &mut dyn Storage) {
        assert_eq!(storage.read("offsets/0").unwrap(), None);
        assert!(storage.list("offsets").unwrap().is_empty());
        storage.write("offsets/0", b"a").unwrap();
        storage.write("offsets/1", b"b").unwrap();
        storage.write("offsets/0", b"c").unwrap();
        storage.write("commits/0", b"d").unwrap();
        assert_eq!(storage.read("offsets/0").unwrap().unwrap(), b"c");
        assert_eq!(storage.list("offsets").unwrap(), ["0", "1"]);
        storage.remove("offsets/0").unwrap();
        storage.remove("offsets/0").unwrap();
        assert_eq!(storage.list("offsets").unwrap(), ["1"]);
    }
}
