//! Scenario files are found, not listed: every `.toml` below a directory, in the order of their paths.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What can go wrong when scenarios are looked for.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// There is nothing at a path.
    #[error("there is no file or directory {}; give a {extension} file, or a directory of them", .path.display())]
    Missing {
        /// Where.
        path: PathBuf,
        /// What was looked for, with its dot.
        extension: String,
    },
    /// A path cannot be read.
    #[error("cannot read {}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two scenarios have one name, and results are told apart by it.
    #[error("two scenarios are called `{name}`: {} and {}; rename one", .first.display(), .second.display())]
    SameName {
        /// The name.
        name: String,
        /// The file found first.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// There is none.
    #[error("no {extension} file in {}", .path.display())]
    Nothing {
        /// Where.
        path: PathBuf,
        /// What was looked for, with its dot.
        extension: String,
    },
}

/// Files with `extension` (without dot) that `paths` name: files themselves, or all below a directory. Saved failures
/// below a directory are left to `skirl replay`.
pub fn find(paths: &[PathBuf], extension: &str) -> Result<Vec<PathBuf>, FindError> {
    let mut found = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(FindError::Missing {
                path: path.clone(),
                extension: format!(".{extension}"),
            });
        }
        let before = found.len();
        collect(path, extension, &mut found)?;
        if found.len() == before {
            return Err(FindError::Nothing {
                path: path.clone(),
                extension: format!(".{extension}"),
            });
        }
    }
    let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut unique = Vec::new();
    for path in found {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match names.get(&name) {
            // The same file named twice is run once.
            Some(first) if *first == path => continue,
            Some(first) => {
                return Err(FindError::SameName {
                    name,
                    first: first.clone(),
                    second: path,
                });
            }
            None => names.insert(name, path.clone()),
        };
        unique.push(path);
    }
    Ok(unique)
}

fn collect(path: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<(), FindError> {
    let io = |source| FindError::Io {
        path: path.to_path_buf(),
        source,
    };
    if !std::fs::metadata(path).map_err(io)?.is_dir() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    if path.join("trace.toml").exists() {
        return Ok(());
    }
    let entries = std::fs::read_dir(path)
        .map_err(io)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(io)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() || path.extension().is_some_and(|found| found == extension) {
            collect(&path, extension, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_below_a_directory_in_the_order_of_their_paths() {
        let dir = directory(&[
            "b/late.toml",
            "a/window.toml",
            "a/rows.csv",
            "failure/trace.toml",
            "failure/x.toml",
        ]);
        let found = find(&[dir.path().to_path_buf()], "toml").unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a/window.toml", "b/late.toml"]);
    }

    #[test]
    fn two_scenarios_of_one_name_are_an_error() {
        let dir = directory(&["a/late.toml", "b/late.toml"]);
        let error = find(&[dir.path().to_path_buf()], "toml").unwrap_err();
        assert!(
            error.to_string().starts_with("two scenarios are called `late`"),
            "{error}"
        );
    }

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        dir
    }
}
