//! Where jars and runs are kept: below cargo's `target/` in a checkout, else in the user's cache.

use std::env;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// The directory that runs share. Two processes may use it at once.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `SKIRL_CACHE`; else `broker/` below the target directory of the checkout one is in; else the user's cache.
    ///
    /// # Errors
    /// Where none of them is known.
    pub fn find() -> Result<Self> {
        let place = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let here = env::current_dir().map_err(Error::io("find the current directory"))?;
        let root = place("SKIRL_CACHE")
            .or_else(|| target_above(&here).map(|target| target.join("broker")))
            .or_else(|| place("XDG_CACHE_HOME").map(|cache| cache.join("skirl/broker")))
            .or_else(|| place("HOME").map(|home| home.join(".cache/skirl/broker")))
            .ok_or_else(|| {
                Error::Option("no place for the jars of Kafka: set SKIRL_CACHE to a directory".to_owned())
            })?;
        // Java is started in other directories.
        Ok(Cache { root: here.join(root) })
    }

    /// The directory at `root`, which is made when it is needed.
    pub fn at(root: PathBuf) -> Self {
        Cache { root }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where every run has a directory, by its number.
    pub(super) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }
}

/// Cargo's target directory of the checkout that `dir` lies in: one cargo has marked as a cache, beside a manifest.
fn target_above(dir: &Path) -> Option<PathBuf> {
    let is_target = |dir: &Path| dir.join("Cargo.toml").is_file() && dir.join("target/CACHEDIR.TAG").is_file();
    dir.ancestors().find(|dir| is_target(dir)).map(|dir| dir.join("target"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_of_a_workspace_is_found_from_a_package_within() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("tests");
        std::fs::create_dir_all(dir.path().join("target")).unwrap();
        std::fs::create_dir_all(&package).unwrap();
        for manifest in ["Cargo.toml", "tests/Cargo.toml"] {
            std::fs::write(dir.path().join(manifest), "").unwrap();
        }
        assert_eq!(target_above(&package), None, "no cargo has built here");
        std::fs::write(dir.path().join("target/CACHEDIR.TAG"), "").unwrap();
        assert_eq!(target_above(&package), Some(dir.path().join("target")));
    }
}
