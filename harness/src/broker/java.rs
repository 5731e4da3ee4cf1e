//! Java, which is found and not fetched.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::error::{Error, Result};

/// The oldest Java that Kafka's server runs on.
pub(super) const OLDEST_JAVA: u32 = 17;

/// A Java new enough.
#[derive(Debug, Clone)]
pub(super) struct Java {
    /// The launcher.
    pub program: PathBuf,
    /// What `java -version` says: vendor and build, which class archives belong to.
    pub version: String,
}

impl Java {
    /// The Java that `JAVA_HOME` names, else the `java` of the search path.
    pub fn find() -> Result<Self> {
        let program = match env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
            Some(home) => PathBuf::from(home).join("bin/java"),
            None => PathBuf::from("java"),
        };
        let no_java = |found: String| Error::NoJava { found };
        let output = Command::new(&program)
            .arg("-version")
            .output()
            .map_err(|error| no_java(format!("cannot run {}: {error}", program.display())))?;
        let version = String::from_utf8_lossy(&output.stderr).into_owned();
        match feature(&version) {
            Some(feature) if feature >= OLDEST_JAVA => Ok(Java { program, version }),
            Some(feature) => Err(no_java(format!("{} is Java {feature}", program.display()))),
            None => Err(no_java(format!("{} -version says no version", program.display()))),
        }
    }
}

/// The feature release in what `java -version` prints, such as 17 of `openjdk version "17.0.15" 2025-04-15`.
fn feature(version: &str) -> Option<u32> {
    // Options in the environment are announced on lines of their own, before this one.
    let number = version.lines().find_map(|line| line.split_once(" version \""))?.1;
    let mut parts = number
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().ok());
    match parts.next()?? {
        1 => parts.next()?,
        feature => Some(feature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_release_is_read_as_every_java_writes_it() {
        for (version, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime", Some(17)),
            (
                "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\njava version \"1.8.0_392\"",
                Some(8),
            ),
            ("openjdk version \"25\" 2025-09-16", Some(25)),
            ("openjdk version \"22-ea\" 2024-03-19", Some(22)),
            ("The operation couldn't be completed.", None),
            ("openjdk version \"\"", None),
        ] {
            assert_eq!(feature(version), expected, "{version}");
        }
    }
}
