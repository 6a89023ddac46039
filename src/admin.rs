//! The server on `--listen`: metrics, health and the operator's page.
//!
//! Nothing here waits for Redis or a database. No client delays the consumer or, for long, another client: the number of
//! connections and the time of each are limited.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::observe::health::Health;
use crate::observe::logging::Log;
use crate::observe::metrics::Metrics;

mod connection;
mod guard;
mod log_route;
mod negotiation;
mod routes;
mod scrape;
mod thread;

pub use connection::{ConnectionLimits, serve_within};
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

/// Binds the address first, so that a worker that can't be observed fails before it consumes anything. Port 0 takes a
/// free one.
///
/// # Errors
/// Names the address, the reason, and the option to choose another.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}
