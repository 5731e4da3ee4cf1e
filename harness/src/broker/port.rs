//! Ports that stay ours from before a broker listens until after it is dead.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

/// A free port of the loopback address, held by a socket that is bound and never listens.
///
/// On Linux the kernel then gives the port to nobody who asks for any, while a broker, whose sockets allow reuse as ours
/// does, can listen there, and again after it was killed. Elsewhere two such sockets exclude each other: there the port is
/// let go, and stays free with luck.
#[derive(Debug)]
pub(super) struct Port {
    number: u16,
    _hold: Option<OwnedFd>,
}

impl Port {
    /// A port nobody has.
    #[cfg(target_os = "linux")]
    pub fn free() -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{
            AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
        };

        let hold = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&hold, sockopt::ReuseAddr, &true)?;
        bind(
            hold.as_raw_fd(),
            &SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)),
        )?;
        let address: SockaddrIn = getsockname(hold.as_raw_fd())?;
        Ok(Port {
            number: address.port(),
            _hold: Some(hold),
        })
    }

    /// A port nobody has at this moment.
    #[cfg(not(target_os = "linux"))]
    pub fn free() -> io::Result<Self> {
        let address = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Port {
            number: address.port(),
            _hold: None,
        })
    }

    /// Where a broker listens and clients connect, as Kafka writes it.
    pub fn address(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.number)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_held_port_can_be_listened_on_again_and_again_but_is_given_to_nobody() {
        let port = Port::free().unwrap();
        assert!(TcpListener::bind(port.address()).is_ok());
        assert!(TcpListener::bind(port.address()).is_ok());
        for _ in 0..100 {
            assert_ne!(Port::free().unwrap().number, port.number);
        }
    }
}
