//! `skirl broker`: a throwaway Apache Kafka on this machine.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Subcommand};

use crate::broker::keeper::{self, Report, Request};
use crate::broker::{Cache, Cluster, NodeId, Options, State, User, prepare, random_id};
use crate::cli::out;

/// Start and stop a throwaway Apache Kafka on this machine.
#[derive(Debug, Args)]
pub struct Broker {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start a cluster in the background; print where clients connect.
    Start(Start),
    /// Stop a cluster and remove what it wrote.
    Stop(Stop),
    /// Show clusters and how their nodes are.
    Status,
    /// End a node at once, as a crash would (SIGKILL).
    Kill(Node),
    /// Stop a node in its tracks (SIGSTOP): its connections hang.
    Freeze(Node),
    /// Let a frozen node go on (SIGCONT).
    Resume(Node),
    /// Start a killed node again, with its data, at its address.
    Restart(Node),
}

#[derive(Debug, Args)]
struct Start {
    /// How many brokers; with three, one can be lost.
    #[arg(long, value_name = "N", default_value = "1")]
    nodes: u16,

    /// Listen with TLS too, with and without a certificate of the client's.
    #[arg(long)]
    tls: bool,

    /// Listen with passwords too, for a user `skirl` whose password is in the files that are named.
    #[arg(long)]
    sasl: bool,

    /// A setting of Kafka's.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    setting: Vec<(String, String)>,

    /// Where data, logs and certificates go, a new or empty directory; without, below target/ or the user's cache.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Leave them there when the cluster stops.
    #[arg(long)]
    keep: bool,

    /// Stay until Ctrl-C, SIGTERM or `skirl broker stop`.
    #[arg(long)]
    foreground: bool,

    /// Stop when standard input ends, so when whoever holds its other end is gone.
    #[arg(long)]
    until_eof: bool,

    /// Be the process that has the cluster in the background.
    #[arg(long, hide = true, conflicts_with = "foreground")]
    keeper: bool,
}

#[derive(Debug, Args)]
struct Stop {
    #[command(flatten)]
    which: Which,

    /// Stop every cluster that was started from here.
    #[arg(long, conflicts_with = "cluster")]
    all: bool,
}

#[derive(Debug, Args)]
struct Node {
    /// The node's number, from 1.
    node: NodeId,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The cluster's number, if there are several.
    #[arg(long, value_name = "N")]
    cluster: Option<u32>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write it as in message.max.bytes=1000".to_owned()),
    }
}

impl Broker {
    /// Does what was asked.
    pub fn execute(self) -> Result<ExitCode> {
        match self.verb {
            Verb::Start(start) => start.execute()?,
            Verb::Stop(stop) => stop.execute()?,
            Verb::Status => status()?,
            Verb::Kill(node) => node.ask(Request::Kill)?,
            Verb::Freeze(node) => node.ask(Request::Freeze)?,
            Verb::Resume(node) => node.ask(Request::Resume)?,
            Verb::Restart(node) => node.ask(Request::Restart)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What the keeper tells the process that started it: how the cluster is, or why there is none.
type Outcome = std::result::Result<Report, String>;

impl Start {
    fn execute(self) -> Result<()> {
        if self.keeper {
            return self.keep();
        }
        prepare(&mut |line| out::remark(format_args!("{line}\n")))?;
        if self.foreground {
            let until_eof = self.until_eof;
            let cluster = Cluster::start(self.options()?)?;
            return Ok(keeper::keep(cluster, until_eof, announce)?);
        }
        let report = self.detach()?;
        Ok(announce(&report)?)
    }

    fn options(self) -> Result<Options> {
        let user = || -> Result<User> {
            Ok(User {
                name: "skirl".to_owned(),
                password: random_id()?,
            })
        };
        Ok(Options {
            nodes: self.nodes,
            tls: self.tls,
            users: self.sasl.then(user).transpose()?.into_iter().collect(),
            settings: self.setting,
            throughput: true,
            dir: self.dir,
            keep: self.keep,
        })
    }

    /// Has the cluster in a session of its own, and tells the process that started this one.
    fn keep(self) -> Result<()> {
        // Fails only for one that leads a session already.
        let _ = nix::unistd::setsid();
        let until_eof = self.until_eof;
        let tell = |outcome: &Outcome| {
            let line = serde_json::to_string(outcome)?;
            writeln!(io::stdout(), "{line}")
        };
        match self.options().and_then(|options| Ok(Cluster::start(options)?)) {
            Ok(cluster) => Ok(keeper::keep(cluster, until_eof, |report| tell(&Ok(report.clone())))?),
            Err(error) => Ok(tell(&Err(format!("{error:#}")))?),
        }
    }

    /// Starts this program again, as the keeper, and waits until its cluster is ready.
    fn detach(&self) -> Result<Report> {
        let log = Cache::find()?.root().join("keeper.log");
        let mut keeper = Command::new(std::env::current_exe()?);
        keeper
            .args(std::env::args_os().skip(1))
            .arg("--keeper")
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        if !self.until_eof {
            keeper.stdin(Stdio::null());
        }
        let mut child = keeper.spawn().context("cannot start the keeper of the cluster")?;
        let stdout = child.stdout.take().expect("the standard output is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let outcome: Outcome = serde_json::from_str(&line).map_err(|_| {
            anyhow!(
                "the keeper of the cluster ended without a word; {} may tell why",
                log.display()
            )
        })?;
        outcome.map_err(anyhow::Error::msg)
    }
}

/// The address is the result; what else is worth knowing is a remark.
fn announce(report: &Report) -> io::Result<()> {
    writeln!(io::stdout(), "{}", report.bootstrap)?;
    for file in &report.clients {
        out::remark(format_args!("settings of a client: {}\n", file.display()));
    }
    out::remark(format_args!(
        "stop it with: skirl broker stop --cluster {}\n",
        report.cluster
    ));
    Ok(())
}

impl Stop {
    fn execute(self) -> Result<()> {
        let cache = Cache::find()?;
        let clusters = match self.all {
            true => keeper::kept(&cache).iter().map(|report| report.cluster).collect(),
            false => vec![self.which.number(&cache)?],
        };
        for cluster in clusters {
            keeper::ask(&cache, cluster, Request::Stop)?;
            out::print(format_args!("cluster {cluster} is stopped\n"))?;
        }
        Ok(())
    }
}

impl Node {
    fn ask(self, request: fn(NodeId) -> Request) -> Result<()> {
        let cache = Cache::find()?;
        let cluster = self.which.number(&cache)?;
        out::print(told(&keeper::ask(&cache, cluster, request(self.node))?))
    }
}

impl Which {
    /// The number that was given, or that of the only cluster there is.
    fn number(&self, cache: &Cache) -> Result<u32> {
        if let Some(cluster) = self.cluster {
            return Ok(cluster);
        }
        match keeper::kept(cache).as_slice() {
            [only] => Ok(only.cluster),
            [] => bail!(
                "no cluster runs that was started from here (below {})",
                cache.root().display()
            ),
            several => {
                let numbers: Vec<String> = several.iter().map(|report| report.cluster.to_string()).collect();
                bail!("clusters {} run; say which with --cluster", numbers.join(", "))
            }
        }
    }
}

fn status() -> Result<()> {
    let cache = Cache::find()?;
    let kept = keeper::kept(&cache);
    if kept.is_empty() {
        out::remark(format_args!(
            "no cluster runs that was started from here (below {})\n",
            cache.root().display()
        ));
    }
    out::print(kept.iter().map(told).collect::<String>())
}

/// How a cluster is, a line a node.
fn told(report: &Report) -> String {
    let mut text = format!(
        "cluster {}  {}  {}\n",
        report.cluster,
        report.bootstrap,
        report.dir.display()
    );
    for (node, pid, state) in &report.nodes {
        text += &match state {
            State::Down => format!("  node {node}  {state}\n"),
            State::Running | State::Frozen => format!("  node {node}  {state}  process {pid}\n"),
        };
    }
    text
}
