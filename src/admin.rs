//! The server on `--listen`: metrics, health and the operator's page.
//!
//! Nothing here waits for Redis or a database. No client delays the consumer or, for long, another client: the number of
//! connections and the time of each are limited.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::observe::health::Health;
use crate::observe::logging::Log;
use crate::observe::metrics::Metrics;

mod access;
mod connection;
mod guard;
mod log_route;
mod negotiation;
mod peer;
mod routes;
mod scrape;
mod thread;

pub use access::{Access, AccessError, OneTimeToken};
pub use connection::{ConnectionLimits, serve_within};
pub use peer::Peer;
pub use thread::Server;

/// The state that the routes show.
#[derive(Clone)]
pub struct Routes {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For everything about health.
    pub health: Arc<Health>,
    /// For `/log`; `None` if the program around the worker owns the log.
    pub log: Option<Log>,
    /// What each client may do.
    pub access: Arc<Access>,
}

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}; choose another with --listen{}", reason(.source), example(.address, .source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted, as ports below 1024 need extra rights".to_owned(),
        _ => error.to_string(),
    }
}

/// An address to try where a port is taken.
fn example(address: &SocketAddr, error: &io::Error) -> String {
    let next = address.port().checked_add(1).filter(|_| error.kind() == io::ErrorKind::AddrInUse);
    next.map(|port| format!(", such as --listen {}", SocketAddr::new(address.ip(), port))).unwrap_or_default()
}
/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1024;

/// Binds the address first, so that a worker that can't be observed fails before it consumes anything. Port 0 takes a
/// free one. `[::]` stands for every address of both families, whatever the system's default is, and for those of IPv4
/// where it has no IPv6.
///
/// # Errors
/// Names the address, the reason, and the option to choose another.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = match address {
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => bind_both_families(address),
        _ => TcpListener::bind(address).await,
    };
    bound.map_err(|source| BindError { address, source })
}

/// Whether [`bind`] could have the address, which may be in use.
///
/// # Errors
/// As [`bind`].
#[cfg(feature = "cli")]
pub fn check(address: SocketAddr) -> Result<(), BindError> {
    // Bound, and not listened on: nobody can connect, and a worker that starts meanwhile is not in the way.
    let family = if address.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
    match bound(family, address) {
        Err(source) if source.kind() != io::ErrorKind::AddrInUse && !address.ip().is_unspecified() => {
            Err(BindError { address, source })
        }
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Err(BindError { address, source }),
        _ => Ok(()),
    }
}

fn bind_both_families(address: SocketAddr) -> io::Result<TcpListener> {
    let error = match listen(Domain::IPV6, address) {
        Ok(listener) => return Ok(listener),
        // These are about the port, and would be the same with IPv4.
        Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
            return Err(error);
        }
        Err(error) => error,
    };
    let listener = listen(Domain::IPV4, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, address.port()).into())?;
    tracing::info!(%error, "IPv6 can't be had here: listening on IPv4 alone");
    Ok(listener)
}

fn listen(family: Domain, address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(family, address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bound(family: Domain, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(family, Type::STREAM, None)?;
    if family == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the connections of the process before.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
