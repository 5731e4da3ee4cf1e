//! A cluster of brokers on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::cache::Cache;
use super::error::{Error, Result};
use super::layout::{Layout, write_private};
use super::listener::Listener;
use super::node::{Node, NodeId, State};
use super::options::Options;
use super::patience::until;
use super::program::Programs;
use super::run_dir::RunDir;
use super::settings;

/// A start takes seconds; on a machine that does much else, more.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// What a clean stop may take before it is none: a second, and more for one that writes its classes down.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Brokers of Apache Kafka that run while this value lives, and not longer: also when this process is killed.
///
/// ```no_run
/// use skirl::broker::{Cluster, Options};
///
/// let mut cluster = Cluster::start(Options { nodes: 3, ..Options::default() })?;
/// println!("bootstrap.servers={}", cluster.bootstrap());
/// cluster.kill(2)?; // the others go on
/// cluster.restart(2)?; // with the data it had, where it listened before
/// cluster.stop()?; // or drop it, which is quicker and kills
/// # Ok::<(), skirl::broker::Error>(())
/// ```
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    layout: Layout,
    programs: Programs,
    // The last: the directory goes when nobody writes to it any more.
    run: RunDir,
}

impl Cluster {
    /// Starts a cluster; it is ready when this returns: every node knows every node.
    ///
    /// # Errors
    /// Without Java or Kafka's jars, for options that make no sense, and when a node does not get ready; the error then
    /// shows the end of its log.
    pub fn start(options: Options) -> Result<Self> {
        options.check()?;
        let cache = Cache::find()?;
        let programs = Programs::find(&cache, &mut |_| {})?;
        Cluster::start_with(options, &cache, programs)
    }

    pub(super) fn start_with(options: Options, cache: &Cache, programs: Programs) -> Result<Self> {
        let run = RunDir::claim(cache, options.dir.as_deref(), options.keep)?;
        let layout = Layout::make(options, run.home())?;
        programs.format(&layout)?;
        let nodes = layout
            .seats
            .iter()
            .map(|seat| Node::start(seat, &layout, &programs))
            .collect::<Result<_>>()?;
        let mut cluster = Cluster {
            nodes,
            layout,
            programs,
            run,
        };
        cluster.write_client_settings()?;
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Where clients without TLS and password connect: `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.bootstrap_at(Listener::Plaintext)
            .expect("every node has this listener")
    }

    /// Where clients connect at `listener`; `None` if the options did not ask for it.
    pub fn bootstrap_at(&self, listener: Listener) -> Option<String> {
        self.layout.bootstrap(listener)
    }

    /// What a client sets to use `listener`, by librdkafka's names: with the first user's password, for SCRAM-SHA-512,
    /// and a client's certificate where one is wanted. `None` if the options did not ask for it.
    pub fn client_settings(&self, listener: Listener) -> Option<BTreeMap<String, String>> {
        let bootstrap = self.bootstrap_at(listener)?;
        Some(
            settings::of_client(listener, &bootstrap, &self.layout)
                .into_iter()
                .collect(),
        )
    }

    /// Where data, logs, certificates and, in `clients/`, settings of clients are, while the cluster lives.
    pub fn dir(&self) -> &Path {
        self.run.home()
    }

    /// The number by which `skirl broker` knows a cluster, and where it is known by it.
    pub(super) fn registered(&self) -> (u32, &Path) {
        (self.run.number(), self.run.registry())
    }

    /// The listeners there are.
    pub fn listeners(&self) -> Vec<Listener> {
        Listener::all(&self.layout.options)
    }

    /// Nodes with the numbers of their processes and how they are.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn states(&mut self) -> Result<Vec<(NodeId, u32, State)>> {
        (1..)
            .zip(&mut self.nodes)
            .map(|(id, node)| Ok((id, node.pid(), node.state()?)))
            .collect()
    }

    /// Ends `node` at once, as a crash would (SIGKILL); it is gone when this returns.
    ///
    /// # Errors
    /// When there is no such node, or it is down.
    pub fn kill(&mut self, node: NodeId) -> Result<()> {
        self.in_state(node, "killed", |state| match state {
            State::Down => Some("restart it first"),
            State::Running | State::Frozen => None,
        })?;
        self.nodes[index(node)].kill()
    }

    /// Stops `node` in its tracks (SIGSTOP): it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When there is no such node, or it does not run.
    pub fn freeze(&mut self, node: NodeId) -> Result<()> {
        self.in_state(node, "frozen", |state| match state {
            State::Running => None,
            State::Frozen => Some("resume it first"),
            State::Down => Some("restart it first"),
        })?;
        self.nodes[index(node)].freeze()
    }

    /// Lets a frozen `node` go on (SIGCONT).
    ///
    /// # Errors
    /// When there is no such node, or it is not frozen.
    pub fn resume(&mut self, node: NodeId) -> Result<()> {
        self.in_state(node, "resumed", |state| match state {
            State::Frozen => None,
            State::Running => Some("freeze it first"),
            State::Down => Some("restart it"),
        })?;
        self.nodes[index(node)].resume()
    }

    /// Starts `node` again, with its data and at its addresses, and waits until the nodes that run know each other.
    ///
    /// # Errors
    /// When there is no such node, it is not down, or it does not get ready.
    pub fn restart(&mut self, node: NodeId) -> Result<()> {
        self.in_state(node, "restarted", |state| match state {
            State::Down => None,
            State::Running | State::Frozen => Some("kill it first"),
        })?;
        self.nodes[index(node)] = Node::start(&self.layout.seats[index(node)], &self.layout, &self.programs)?;
        self.wait_until_ready()
    }

    /// Waits until each node that runs knows all of them.
    ///
    /// # Errors
    /// When one ends instead, or does not know them in two minutes.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let mut running = Vec::new();
        for (seat, node) in self.layout.seats.iter().zip(&mut self.nodes) {
            if node.state()? == State::Running {
                running.push((seat, node));
            }
        }
        let all: Vec<NodeId> = running.iter().map(|(seat, _)| seat.id).collect();
        for (seat, node) in running {
            let knows_all = |known: Vec<NodeId>| all.iter().all(|id| known.contains(id)).then_some(());
            let ready = until(READY_WITHIN, || match node.check(seat) {
                Ok(()) => node.knows(seat).and_then(knows_all).map(Ok),
                Err(error) => Some(Err(error)),
            });
            let bound = READY_WITHIN.as_secs();
            ready.unwrap_or_else(|| Err(node.error(seat, format!("was not ready within {bound} s"))))?;
        }
        Ok(())
    }

    /// Stops all nodes cleanly (SIGTERM) and removes what they wrote, unless that is to be kept.
    ///
    /// # Errors
    /// When a node does not stop within a minute; it is killed then.
    pub fn stop(mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Node::terminate)?;
        let mut outcome = Ok(());
        for (seat, node) in self.layout.seats.iter().zip(&mut self.nodes) {
            let is_down = || matches!(node.state(), Ok(State::Down)).then_some(());
            if until(STOPPED_WITHIN, is_down).is_none() {
                let what = format!("did not stop within {} s and was killed", STOPPED_WITHIN.as_secs());
                outcome = Err(node.error(seat, what));
                node.kill()?;
            }
        }
        outcome
    }

    /// An error, if there is no `node` or `refused` says what to do before it can be `verb`.
    fn in_state(
        &mut self,
        node: NodeId,
        verb: &'static str,
        refused: impl Fn(State) -> Option<&'static str>,
    ) -> Result<()> {
        let count = self.layout.options.nodes;
        if node == 0 || node > count {
            return Err(Error::NoNode { node, count });
        }
        let state = self.nodes[index(node)].state()?;
        match refused(state) {
            None => Ok(()),
            Some(instead) => Err(Error::State {
                node,
                state: state.to_string(),
                verb,
                instead,
            }),
        }
    }

    /// Writes a file for each listener with what its clients set.
    fn write_client_settings(&self) -> Result<()> {
        let dir = self.dir().join("clients");
        super::run_dir::private_dir(&dir).map_err(Error::path("make", &dir))?;
        for listener in self.listeners() {
            let settings = self.client_settings(listener).unwrap_or_default();
            let text: String = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
            write_private(&client_file(&dir, listener), &text)?;
        }
        Ok(())
    }

    /// The file with what clients of `listener` set.
    pub fn client_file(&self, listener: Listener) -> std::path::PathBuf {
        client_file(&self.dir().join("clients"), listener)
    }
}

fn client_file(dir: &Path, listener: Listener) -> std::path::PathBuf {
    dir.join(format!("{}.properties", listener.name().to_lowercase()))
}

/// Where the node with this number stands.
fn index(node: NodeId) -> usize {
    usize::from(node) - 1
}
