//! Who is at the other end of a connection.

use std::fmt;
use std::net::SocketAddr;

/// The client of a connection, in the extensions of each of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// Over the network, loopback included.
    Network(SocketAddr),
    /// Through a Unix socket of `--listen`.
    Socket,
    /// Through the socket of `--admin-socket`, which only the worker's own user can open.
    AdminSocket,
}

/// For the log.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Socket => f.write_str("a Unix socket"),
            Self::AdminSocket => f.write_str("the admin socket"),
        }
    }
}
