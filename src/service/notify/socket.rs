//! The socket of the service manager: datagrams, each of which says something.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::timeout;

/// How long a message may wait for a manager that reads none.
const LIMIT: Duration = Duration::from_secs(1);

/// Where messages go.
#[derive(Debug)]
pub(super) struct Socket(SocketAddr);

impl Socket {
    /// As `NOTIFY_SOCKET` names it: an absolute path, or `@` and an abstract name.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn named(name: &str) -> io::Result<Self> {
        match name.strip_prefix('@') {
            Some(name) => abstract_address(name).map(Self),
            None if name.starts_with('/') => SocketAddr::from_pathname(name).map(Self),
            None => Err(io::Error::other(format!("{name} is neither an absolute path nor an abstract name (@NAME)"))),
        }
    }

    /// Sends one datagram. Opens a socket for it, as the manager may have made its own anew.
    ///
    /// # Errors
    /// When nobody listens, or takes it within a second.
    pub(super) async fn send(&self, message: &str) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&self.0)?;
        socket.set_nonblocking(true)?;
        let socket = tokio::net::UnixDatagram::from_std(socket)?;
        match timeout(LIMIT, socket.send(message.as_bytes())).await {
            Ok(sent) => sent.map(drop),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nobody took the message within a second")),
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &str) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &str) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no abstract names on this system"))
}
