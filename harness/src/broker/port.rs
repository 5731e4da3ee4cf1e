//! Ports that stay ours from before a broker listens until after it is dead.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, ipproto, socket, sockopt};

/// A free port of the loopback address, held by a socket that is bound and never listens.
///
/// On Linux the kernel then gives the port to nobody who asks for any, while a broker, whose sockets allow reuse as ours
/// does, can listen there, and again after it was killed. Elsewhere two such sockets exclude each other: there the port is
/// let go, and remains free with luck.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _hold: Option<OwnedFd>,
}

impl Port {
    /// A port nobody has.
    pub fn free() -> io::Result<Self> {
        let hold = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP))?;
        rustix::io::fcntl_setfd(&hold, rustix::io::FdFlags::CLOEXEC)?;
        sockopt::set_socket_reuseaddr(&hold, true)?;
        bind(&hold, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddrV4::try_from(getsockname(&hold)?).map_err(|_| io::ErrorKind::AddrNotAvailable)?;
        Ok(Port {
            number: address.port(),
            _hold: cfg!(target_os = "linux").then_some(hold),
        })
    }

    /// Where a broker listens and clients connect, as Kafka writes it.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number)
    }
}
