//! The jars of Kafka's server: a pinned list with checksums, and the ways to Maven Central.
//!
//! `jars.txt` names everything the server's class path needs, a jar a line. Whichever way jars come, they are used only
//! if each is the one that is pinned. To take another version, resolve `org.apache.kafka:kafka_2.13` with Maven and write
//! down what it brings; what is left out is named in the list.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::cache::Cache;
use super::error::{Error, Result};

/// The version of Apache Kafka in `jars.txt`.
pub const VERSION: &str = "4.3.1";

const LIST: &str = include_str!("jars.txt");
/// Maven Central or a mirror of it, by its address, for machines without Maven, which knows the way by itself.
const MIRROR: &str = "SKIRL_MAVEN_MIRROR";

/// A jar of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Jar<'a> {
    group: &'a str,
    artifact: &'a str,
    version: &'a str,
    sha256: &'a str,
}

impl<'a> Jar<'a> {
    /// Reads `group:artifact:version sha256`.
    fn parse(line: &'a str) -> Option<Self> {
        let (coordinates, sha256) = line.split_once(' ')?;
        let (group, rest) = coordinates.split_once(':')?;
        let (artifact, version) = rest.split_once(':')?;
        Some(Jar {
            group,
            artifact,
            version,
            sha256,
        })
    }

    fn file_name(&self) -> String {
        format!("{}-{}.jar", self.artifact, self.version)
    }

    /// Where a repository has it.
    fn address(&self, repository: &str) -> String {
        let Jar { artifact, version, .. } = self;
        let group = self.group.replace('.', "/");
        format!("{repository}/{group}/{artifact}/{version}/{}", self.file_name())
    }
}

/// The class path of Kafka's server, from the cache or, once, from Maven Central; `say` hears when that takes time.
pub(super) fn fetch(cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>> {
    fetch_list(LIST, WAYS, cache, say)
}

fn fetch_list(list: &str, ways: &[(&str, Way)], cache: &Cache, say: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>> {
    let jars: Vec<Jar> = entries(list)
        .map(|line| Jar::parse(line).expect("the list is ours"))
        .collect();
    let root = cache.root();
    fs::create_dir_all(root).map_err(Error::path("make", root))?;
    let home = root.join(format!("kafka-{VERSION}-{}", &sha256_hex(list.as_bytes())[..8]));
    // Of two processes one fetches and the other finds.
    let door = root.join("jars.lock");
    let door = File::create(&door)
        .and_then(|file| file.lock().map(|()| file))
        .map_err(Error::path("lock", &door))?;
    if !home.is_dir() {
        say(&format!(
            "fetching Apache Kafka {VERSION} into {} (once)",
            home.display()
        ));
        let new = download(&jars, ways, root)?;
        // A killed process leaves no half of it.
        fs::rename(new.path(), &home).map_err(Error::path("make", &home))?;
    }
    drop(door);
    Ok(jars.iter().map(|jar| home.join(jar.file_name())).collect())
}

/// The lines of a list that are no remarks.
fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// A directory below `root` with all of `jars`, brought there by the first way that gives the right ones.
fn download(jars: &[Jar], ways: &[(&str, Way)], root: &Path) -> Result<TempDir> {
    let mut tries = Vec::new();
    for (tool, bring) in ways {
        let dir = tempfile::tempdir_in(root).map_err(Error::path("write into", root))?;
        match bring(jars, dir.path())
            .map_err(|error| error.to_string())
            .and_then(|()| verify(jars, dir.path()))
        {
            Ok(()) => return Ok(dir),
            Err(reason) => tries.push(format!("{tool}: {reason}")),
        }
    }
    Err(Error::Fetch {
        cache: root.to_owned(),
        tries,
    })
}

/// Has a program of this machine bring jars into a directory.
type Way = fn(&[Jar], &Path) -> io::Result<()>;

/// In the order in which they are tried.
const WAYS: &[(&str, Way)] = &[("curl", curl), ("wget", wget), ("mvn", maven)];

/// The repository that is named by its address.
fn repository() -> io::Result<String> {
    match std::env::var(MIRROR) {
        Ok(address) if !address.is_empty() => Ok(address.trim_end_matches('/').to_string()),
        _ => Err(io::Error::other(format!(
            "used when {MIRROR} is the address of Maven Central or a mirror of it"
        ))),
    }
}

fn curl(jars: &[Jar], dir: &Path) -> io::Result<()> {
    let (repository, mut config) = (repository()?, String::new());
    for jar in jars {
        let address = jar.address(&repository);
        let _ = writeln!(config, "url = \"{address}\"\noutput = \"{}\"", jar.file_name());
    }
    let options = "--fail --silent --show-error --location --retry 3 --connect-timeout 10 --parallel --config -";
    run(Command::new("curl").args(options.split(' ')).current_dir(dir), &config)
}

fn wget(jars: &[Jar], dir: &Path) -> io::Result<()> {
    let repository = repository()?;
    let addresses: String = jars.iter().map(|jar| jar.address(&repository) + "\n").collect();
    let options = "--no-verbose --tries=3 --connect-timeout=10 --input-file=-";
    run(
        Command::new("wget").args(options.split(' ')).current_dir(dir),
        &addresses,
    )
}

/// Maven has mirrors, proxies and passwords in its own settings.
fn maven(jars: &[Jar], dir: &Path) -> io::Result<()> {
    let mut dependencies = String::new();
    for Jar {
        group,
        artifact,
        version,
        ..
    } in jars
    {
        let _ = write!(
            dependencies,
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>\
             <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>"
        );
    }
    let project = format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>skirl</groupId>\
         <artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>\
         <dependencies>{dependencies}</dependencies></project>"
    );
    let pom = dir.join("pom.xml");
    fs::write(&pom, project)?;
    let options = "--quiet --batch-mode dependency:copy-dependencies -DoutputDirectory=.";
    let outcome = run(Command::new("mvn").args(options.split(' ')).current_dir(dir), "");
    fs::remove_file(&pom)?;
    outcome
}

/// Runs `command` on `input`; an error says what it wrote last.
fn run(command: &mut Command, input: &str) -> io::Result<()> {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().expect("the standard input is a pipe");
    // One that ends before it has read all says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stderr, output.stdout]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(io::Error::other(format!("{}: {}", output.status, last.trim())))
}

/// Whether `dir` has every jar, each the one that is pinned.
fn verify(jars: &[Jar], dir: &Path) -> std::result::Result<(), String> {
    for jar in jars {
        let name = jar.file_name();
        let bytes = fs::read(dir.join(&name)).map_err(|error| format!("{name} did not come: {error}"))?;
        let found = sha256_hex(&bytes);
        if found != jar.sha256 {
            return Err(format!("{name} has the SHA-256 {found}, and {} is pinned", jar.sha256));
        }
    }
    Ok(())
}

/// The checksum of `bytes`, as everybody writes it.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_line_of_the_list_is_a_jar_with_a_checksum_and_the_server_is_of_the_version() {
        for line in entries(LIST) {
            let jar = Jar::parse(line).unwrap_or_else(|| panic!("{line}"));
            assert!(
                jar.sha256.len() == 64 && jar.sha256.bytes().all(|b| b.is_ascii_hexdigit()),
                "{line}"
            );
        }
        assert!(LIST.contains(&format!("org.apache.kafka:kafka_2.13:{VERSION} ")));
    }

    #[test]
    fn jars_are_brought_once_by_the_first_way_that_works() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache"));
        let mut said = Vec::new();
        let first = fetch_jar(&[("broken", broken), ("good", good)], &cache, &mut said).unwrap();
        assert_eq!(fs::read_to_string(&first[0]).unwrap(), "abc");
        assert_eq!(fetch_jar(&[("broken", broken)], &cache, &mut said).unwrap(), first);
        assert_eq!(said.len(), 1, "{said:?}");
    }

    #[test]
    fn a_jar_that_is_not_the_pinned_one_is_refused_and_nothing_is_left_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let ways: [(&str, Way); 3] = [("spoilt", spoilt), ("broken", broken), ("empty", |_, _| Ok(()))];
        let error = fetch_jar(&ways, &cache, &mut Vec::new()).unwrap_err();
        insta::assert_snapshot!(error.to_string().replace(&*dir.path().to_string_lossy(), "CACHE"), @r"
        cannot fetch the jars of Apache Kafka into CACHE:
          spoilt: a-1.jar has the SHA-256 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, and ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad is pinned
          broken: exit status: 6: no route
          empty: a-1.jar did not come: No such file or directory (os error 2)
        ");
        let left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["jars.lock"]);
    }

    #[test]
    fn two_who_fetch_at_once_get_the_same_jars() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let fetch = || fetch_jar(&[("good", good)], &cache, &mut Vec::new()).unwrap();
        let (one, other) = std::thread::scope(|scope| {
            let one = scope.spawn(fetch);
            (fetch(), one.join().unwrap())
        });
        assert_eq!(one, other);
        assert_eq!(fs::read_to_string(&one[0]).unwrap(), "abc");
    }

    fn good(jars: &[Jar], dir: &Path) -> io::Result<()> {
        fs::write(dir.join(jars[0].file_name()), "abc")
    }

    fn spoilt(jars: &[Jar], dir: &Path) -> io::Result<()> {
        fs::write(dir.join(jars[0].file_name()), "abd")
    }

    fn broken(_jars: &[Jar], _dir: &Path) -> io::Result<()> {
        run(Command::new("sh").args(["-c", "cat; echo no route >&2; exit 6"]), "")
    }

    /// Fetches a list of one jar, whose only bytes are `abc`.
    fn fetch_jar(ways: &[(&str, Way)], cache: &Cache, said: &mut Vec<String>) -> Result<Vec<PathBuf>> {
        let list = format!("# a remark\norg.x:a:1 {SHA256_OF_ABC}\n");
        fetch_list(&list, ways, cache, &mut |line| said.push(line.to_owned()))
    }
}
