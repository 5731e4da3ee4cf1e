//! A node of a cluster: a broker that is also a controller, in a process of its own.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::error::{Error, Result};
use super::layout::{Layout, Seat};
use super::leash::Leashed;
use super::listener::Listener;
use super::probe;
use super::program::{LOG, Programs, tail};

/// The number of a node, from 1.
pub type NodeId = u16;

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its process runs.
    Running,
    /// Its process is stopped in its tracks: connections to it hang.
    Frozen,
    /// It has no process: connections to it are refused.
    Down,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Running => "running",
            State::Frozen => "frozen",
            State::Down => "down",
        })
    }
}

/// A node and its process.
#[derive(Debug)]
pub(super) struct Node {
    id: NodeId,
    process: Leashed,
    is_frozen: bool,
}

/// One question to a node takes no longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

impl Node {
    /// Starts the node in `seat`; it is not ready yet.
    pub fn start(seat: &Seat, layout: &Layout, programs: &Programs) -> Result<Self> {
        Ok(Node {
            id: seat.id,
            process: programs.serve(seat, layout)?,
            is_frozen: false,
        })
    }

    /// The number of its process, which may have ended.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How it is now.
    pub fn state(&mut self) -> Result<State> {
        Ok(
            match self
                .process
                .ended()
                .map_err(Error::io(format!("watch node {}", self.id)))?
            {
                Some(_) => State::Down,
                None if self.is_frozen => State::Frozen,
                None => State::Running,
            },
        )
    }

    /// The nodes it knows; `None` while it does not answer.
    pub fn knows(&self, seat: &Seat) -> Option<Vec<NodeId>> {
        let address: SocketAddr = seat.address(Listener::Plaintext)?.parse().ok()?;
        probe::brokers(address, ANSWERS_WITHIN).ok()
    }

    /// An error, if the process has ended by itself.
    pub fn check(&mut self, seat: &Seat) -> Result<()> {
        match self
            .process
            .ended()
            .map_err(Error::io(format!("watch node {}", self.id)))?
        {
            None => Ok(()),
            Some(status) => Err(self.error(seat, format!("ended ({status}) before it was ready"))),
        }
    }

    /// An error about the node, with the end of its log.
    pub fn error(&self, seat: &Seat, what: String) -> Error {
        Error::Node {
            node: self.id,
            what,
            log: tail(&seat.dir.join(LOG)),
        }
    }

    /// Ends it at once, as a crash of the machine would.
    pub fn kill(&mut self) -> Result<()> {
        self.is_frozen = false;
        self.process.kill().map_err(Error::io(format!("kill node {}", self.id)))
    }

    /// Stops it in its tracks.
    pub fn freeze(&mut self) -> Result<()> {
        self.is_frozen = true;
        self.process
            .freeze()
            .map_err(Error::io(format!("freeze node {}", self.id)))
    }

    /// Lets it go on.
    pub fn resume(&mut self) -> Result<()> {
        self.is_frozen = false;
        self.process
            .signal(Signal::SIGCONT)
            .map_err(Error::io(format!("resume node {}", self.id)))
    }

    /// Asks it to end, which takes a second or more.
    pub fn terminate(&mut self) -> Result<()> {
        self.resume()?;
        self.process
            .signal(Signal::SIGTERM)
            .map_err(Error::io(format!("stop node {}", self.id)))
    }
}
