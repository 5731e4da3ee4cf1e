//! What is decided before anything is started: who the nodes are, and where each listens and keeps its files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::id;
use super::listener::Listener;
use super::node::NodeId;
use super::options::Options;
use super::port::Port;
use super::run_dir::private_dir;
use super::settings;
use super::tls::Certificates;

/// A cluster on paper.
#[derive(Debug)]
pub(super) struct Layout {
    pub options: Options,
    pub cluster_id: String,
    pub seats: Vec<Seat>,
    pub certificates: Option<Certificates>,
}

/// The place of a node.
#[derive(Debug)]
pub(super) struct Seat {
    pub id: NodeId,
    /// The id of its data directory, by which controllers know each other.
    pub directory_id: String,
    /// Where it listens as a controller.
    pub controller: Port,
    /// Where it listens as a broker.
    pub listeners: Vec<(Listener, Port)>,
    /// Where its files are.
    pub dir: PathBuf,
}

impl Layout {
    /// Finds ports, makes certificates and writes the nodes' settings below `home`.
    pub fn make(options: Options, home: &Path) -> Result<Self> {
        let certificates = options.tls.then(|| Certificates::make(&home.join("tls"))).transpose()?;
        let seats = (1..=options.nodes)
            .map(|node| Seat::of(node, &options, home))
            .collect::<Result<_>>()?;
        let layout = Layout {
            cluster_id: id::random()?,
            options,
            seats,
            certificates,
        };
        for seat in &layout.seats {
            private_dir(&seat.dir).map_err(Error::path("make", &seat.dir))?;
            write_private(
                &seat.dir.join("server.properties"),
                &settings::properties(seat, &layout),
            )?;
        }
        Ok(layout)
    }

    /// Addresses of all nodes at `listener`, as a client's `bootstrap.servers`; `None` if there is no such listener.
    pub fn bootstrap(&self, listener: Listener) -> Option<String> {
        let addresses: Option<Vec<_>> = self.seats.iter().map(|seat| seat.address(listener)).collect();
        addresses.map(|addresses| addresses.join(","))
    }
}

impl Seat {
    fn of(id: NodeId, options: &Options, home: &Path) -> Result<Self> {
        let free = || Port::free().map_err(Error::io("find a free port"));
        let listeners = Listener::all(options)
            .into_iter()
            .map(|listener| Ok((listener, free()?)));
        Ok(Seat {
            id,
            directory_id: id::random()?,
            controller: free()?,
            listeners: listeners.collect::<Result<_>>()?,
            dir: home.join(format!("node-{id}")),
        })
    }

    /// Where the node listens at `listener`, if it does.
    pub fn address(&self, listener: Listener) -> Option<String> {
        self.listeners
            .iter()
            .find(|(each, _)| *each == listener)
            .map(|(_, port)| port.address())
    }
}

/// Writes a new file that may hold a password.
pub(super) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(Error::path("write", path))
}
