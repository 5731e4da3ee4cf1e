//! The directories of runs, below the cache: a number each, and no rubbish from runs that were killed.
//!
//! `runs/2/lock` is locked as long as run 2 lives, however it ends. Whoever claims a directory sweeps those of the dead.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::error::{Error, Result};

const LOCK: &str = "lock";
/// Marks a directory that stays.
const KEPT: &str = "kept";

/// The directory of a run, which goes with it.
#[derive(Debug)]
pub(super) struct RunDir {
    /// The smallest that was free.
    number: u32,
    registry: PathBuf,
    home: PathBuf,
    is_home_new: bool,
    keep: bool,
    _lock: File,
}

impl RunDir {
    /// A directory for a run that puts its files into `dir`, without one below the cache; `keep` leaves them there.
    pub fn claim(cache: &Cache, dir: Option<&Path>, keep: bool) -> Result<Self> {
        let runs = cache.runs();
        fs::create_dir_all(&runs).map_err(Error::path("make", &runs))?;
        let door = runs.join(LOCK);
        let _door = File::create(&door)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(Error::path("lock", &door))?;
        sweep(&runs).map_err(Error::path("sweep", &runs))?;
        let is_free = |number: &u32| !runs.join(number.to_string()).exists();
        let number = (1..)
            .find(is_free)
            .expect("a disk holds fewer directories than there are numbers");
        let registry = runs.join(number.to_string());
        let lock = make(&registry, keep && dir.is_none()).map_err(Error::path("make", &registry))?;
        let mut run = RunDir {
            number,
            home: registry.clone(),
            registry,
            is_home_new: false,
            keep,
            _lock: lock,
        };
        if let Some(dir) = dir {
            run.is_home_new = !dir.exists();
            run.home = empty(dir)?;
        }
        Ok(run)
    }

    /// What the command line calls the run.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where the run is known by its number.
    pub fn registry(&self) -> &Path {
        &self.registry
    }

    /// Where its files go.
    pub fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What cannot be removed now is swept by a later run.
        let is_elsewhere = self.home != self.registry;
        if is_elsewhere && !self.keep {
            let _ = if self.is_home_new {
                fs::remove_dir_all(&self.home)
            } else {
                clear(&self.home)
            };
        }
        if is_elsewhere || !self.keep {
            let _ = fs::remove_dir_all(&self.registry);
        }
    }
}

/// Makes the directory of a run that lives.
fn make(registry: &Path, keep: bool) -> io::Result<File> {
    private_dir(registry)?;
    if keep {
        File::create(registry.join(KEPT))?;
    }
    let lock = File::create(registry.join(LOCK))?;
    lock.lock()?;
    Ok(lock)
}

/// Makes a directory, with those above it, that nobody else can look into: settings name passwords.
pub(super) fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Removes what runs left that were killed.
fn sweep(runs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(runs)? {
        let run = entry?.path();
        let is_dead = |lock: File| lock.try_lock().is_ok();
        if !run.join(KEPT).exists() && File::open(run.join(LOCK)).is_ok_and(is_dead) {
            fs::remove_dir_all(&run)?;
        }
    }
    Ok(())
}

/// `dir` in full, made if it is not there.
fn empty(dir: &Path) -> Result<PathBuf> {
    private_dir(dir).map_err(Error::path("make", dir))?;
    let dir = dir.canonicalize().map_err(Error::path("find", dir))?;
    let mut entries = fs::read_dir(&dir).map_err(Error::path("read", &dir))?;
    match entries.next() {
        None => Ok(dir),
        Some(_) => Err(Error::Option(format!(
            "{} is not empty; name a new directory for the broker's files",
            dir.display()
        ))),
    }
}

fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path)?
        } else {
            fs::remove_file(&path)?
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_get_the_smallest_free_numbers_and_leave_nothing() {
        let (_dir, cache) = cache();
        let [one, two] = [(); 2].map(|()| claim(&cache, None, false));
        assert_eq!((one.number(), two.number()), (1, 2));
        let home = one.home().to_owned();
        drop(one);
        assert!(!home.exists());
        assert_eq!(claim(&cache, None, false).number(), 1);
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_was_to_be_kept_is_not() {
        let (_dir, cache) = cache();
        let killed = cache.runs().join("1");
        drop(make(&killed, false).unwrap());
        let kept = cache.runs().join("2");
        drop(make(&kept, true).unwrap());
        let live = claim(&cache, None, false);
        assert_eq!(live.number(), 1);
        assert!(kept.exists());
        drop(claim(&cache, None, false));
        assert!(live.home().exists());
    }

    #[test]
    fn a_directory_of_ones_own_is_left_as_it_was_found() {
        let (dir, cache) = cache();
        let [new, old] = ["new/deep", "old"].map(|name| dir.path().join(name));
        fs::create_dir(&old).unwrap();
        for home in [&new, &old] {
            let run = claim(&cache, Some(home), false);
            fs::write(run.home().join("log"), "x").unwrap();
            fs::create_dir(run.home().join("data")).unwrap();
        }
        assert!(!new.exists());
        assert_eq!(fs::read_dir(&old).unwrap().count(), 0);
        let kept = claim(&cache, Some(&old), true);
        fs::write(kept.home().join("log"), "x").unwrap();
        drop(kept);
        assert!(old.join("log").exists());
        let refused = RunDir::claim(&cache, Some(&old), false).unwrap_err().to_string();
        assert!(
            refused.ends_with("old is not empty; name a new directory for the broker's files"),
            "{refused}"
        );
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        (dir, cache)
    }

    fn claim(cache: &Cache, dir: Option<&Path>, keep: bool) -> RunDir {
        RunDir::claim(cache, dir, keep).unwrap()
    }
}
