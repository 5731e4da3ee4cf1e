//! A cluster kept for the command line: a process that has it until it is told to stop, and how it is told.
//!
//! The keeper listens on a socket of the file system that only its user can open. Where, says `keeper.json` in the
//! cluster's directory below `runs/`. A request and its answer are a line of JSON each.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cache::Cache;
use super::cluster::Cluster;
use super::error::{Error, Result};
use super::node::{NodeId, State};

/// Where a keeper's socket is written down.
const NOTE: &str = "keeper.json";
/// A client of ours writes its line at once; one that does not is not waited for longer.
const LINE_WITHIN: Duration = Duration::from_secs(5);

/// What a keeper can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// How is it?
    Status,
    /// Stop the cluster, and end.
    Stop,
    /// End a node at once.
    Kill(NodeId),
    /// Stop a node in its tracks.
    Freeze(NodeId),
    /// Let a frozen node go on.
    Resume(NodeId),
    /// Start a node that is down.
    Restart(NodeId),
}

/// What a keeper tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// It is done, or so it is.
    Done(Report),
    /// It is not done, and why.
    Failed(String),
}

/// A cluster, told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Its number.
    pub cluster: u32,
    /// Where clients without TLS and password connect.
    pub bootstrap: String,
    /// A file for each listener with what its clients set.
    pub clients: Vec<PathBuf>,
    /// Where its files are.
    pub dir: PathBuf,
    /// The number of the keeper's process.
    pub keeper: u32,
    /// Nodes with the numbers of their processes and how they are.
    pub nodes: Vec<(NodeId, u32, State)>,
}

/// What is written down about a keeper.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    socket: PathBuf,
}

/// What happens to a keeper.
enum Event {
    Asked(UnixStream),
    /// A signal came, or the standard input ended.
    Stop,
}

/// Keeps `cluster` until it is told to stop: by a request, by SIGINT or SIGTERM or, `until_eof`, by the end of the standard
/// input. `announce` is called when it can be asked; if that fails, nobody wants the cluster any more.
///
/// # Errors
/// When it cannot be asked, or does not stop cleanly.
pub(crate) fn keep(
    mut cluster: Cluster,
    until_eof: bool,
    announce: impl FnOnce(&Report) -> io::Result<()>,
) -> Result<()> {
    // A path below the cache may be longer than the name of a socket may be.
    let dir = tempfile::tempdir().map_err(Error::io("make a directory for a socket"))?;
    let socket = dir.path().join("keeper");
    let listener = UnixListener::bind(&socket).map_err(Error::path("listen on", &socket))?;
    write_note(cluster.registered().1, &Note { socket })?;

    let (events, incoming) = mpsc::channel();
    listen(listener, events.clone());
    if until_eof {
        wait_for_eof(events.clone());
    }
    ctrlc::set_handler(move || drop(events.send(Event::Stop)))
        .map_err(|error| Error::io("listen for signals")(io::Error::other(error)))?;
    if announce(&report(&mut cluster)?).is_err() {
        return cluster.stop();
    }
    for event in incoming {
        let Event::Asked(stream) = event else { break };
        match read_line(&stream) {
            Some(Request::Stop) => return stop(cluster, stream),
            // One that has hung up wants no answer.
            Some(request) => drop(write_line(&stream, &obey(&mut cluster, request))),
            None => {}
        }
    }
    cluster.stop()
}

fn listen(listener: UnixListener, events: Sender<Event>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if events.send(Event::Asked(stream)).is_err() {
                return;
            }
        }
    });
}

fn wait_for_eof(events: Sender<Event>) {
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = events.send(Event::Stop);
    });
}

/// Stops the cluster and tells whoever asked for it.
fn stop(mut cluster: Cluster, stream: UnixStream) -> Result<()> {
    let report = report(&mut cluster)?;
    let outcome = cluster.stop();
    let answer = match &outcome {
        Ok(()) => Answer::Done(report),
        Err(error) => Answer::Failed(error.to_string()),
    };
    let _ = write_line(&stream, &answer);
    outcome
}

fn obey(cluster: &mut Cluster, request: Request) -> Answer {
    let outcome = match request {
        Request::Status | Request::Stop => Ok(()),
        Request::Kill(node) => cluster.kill(node),
        Request::Freeze(node) => cluster.freeze(node),
        Request::Resume(node) => cluster.resume(node),
        Request::Restart(node) => cluster.restart(node),
    };
    match outcome.and_then(|()| report(cluster)) {
        Ok(report) => Answer::Done(report),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn report(cluster: &mut Cluster) -> Result<Report> {
    let listeners = cluster.listeners();
    Ok(Report {
        cluster: cluster.registered().0,
        bootstrap: cluster.bootstrap(),
        clients: listeners
            .into_iter()
            .map(|listener| cluster.client_file(listener))
            .collect(),
        dir: cluster.dir().to_owned(),
        keeper: std::process::id(),
        nodes: cluster.states()?,
    })
}

fn write_note(registry: &Path, note: &Note) -> Result<()> {
    let text = serde_json::to_string(note).expect("a path below the system's temporary directory is text");
    let path = registry.join(NOTE);
    fs::write(&path, text).map_err(Error::path("write", &path))
}

/// The clusters that keepers of this cache have, in the order of their numbers.
pub(crate) fn kept(cache: &Cache) -> Vec<Report> {
    let Ok(runs) = fs::read_dir(cache.runs()) else {
        return Vec::new();
    };
    let ask = |run: io::Result<fs::DirEntry>| match ask_at(&run.ok()?.path(), Request::Status) {
        Ok(Answer::Done(report)) => Some(report),
        // A run of a test has no keeper, and one that was killed no longer.
        Ok(Answer::Failed(_)) | Err(_) => None,
    };
    let mut reports: Vec<Report> = runs.filter_map(ask).collect();
    reports.sort_by_key(|report| report.cluster);
    reports
}

/// Asks the keeper of cluster number `cluster`, and waits for its answer.
///
/// # Errors
/// When there is no such keeper, or it cannot do it.
pub(crate) fn ask(cache: &Cache, cluster: u32, request: Request) -> Result<Report> {
    match ask_at(&cache.runs().join(cluster.to_string()), request) {
        Ok(Answer::Done(report)) => Ok(report),
        Ok(Answer::Failed(message)) => Err(Error::Option(message)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Option(format!(
            "there is no cluster {cluster}; `skirl broker status` shows those that run"
        ))),
        Err(error) => Err(Error::io(format!("ask the keeper of cluster {cluster}"))(error)),
    }
}

fn ask_at(registry: &Path, request: Request) -> io::Result<Answer> {
    let note: Note = serde_json::from_slice(&fs::read(registry.join(NOTE))?)?;
    let stream = UnixStream::connect(note.socket)?;
    write_line(&stream, &request)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn read_line(stream: &UnixStream) -> Option<Request> {
    stream.set_read_timeout(Some(LINE_WITHIN)).ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn write_line(mut stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(format!("{}\n", serde_json::to_string(message)?).as_bytes())
}
