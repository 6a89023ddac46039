//! What clients may use.

use std::time::Duration;

/// What clients may use.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections at once, from 1. One more closes another.
    pub connections: usize,
    /// Connections at once of one address of IPv4, one /64 of IPv6, or all clients of Unix sockets, from 1. One more closes
    /// another of them.
    pub one_peer: usize,
    /// Requests under way at once, from their head until their client has taken the whole answer. Probes may be more.
    pub requests: usize,
    /// How long a new connection counts as one whose head is on its way. An idle one makes room before it.
    pub fresh: Duration,
    /// Time for the handshake of TLS, for the head of a request, and for silence between two requests.
    pub head: Duration,
    /// Time of a whole connection, which ends those that never read their answer. A request under way still has
    /// `grace`.
    pub connection: Duration,
    /// Time for a request under way when the connection's time is over or the server stops.
    pub grace: Duration,
    /// Pause before the next accept when the system has no resources left for one.
    pub accept_pause: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            one_peer: 256,
            requests: 128,
            fresh: Duration::from_secs(1),
            head: Duration::from_secs(5),
            connection: Duration::from_secs(60),
            grace: Duration::from_secs(1),
            accept_pause: Duration::from_millis(500),
        }
    }
}

/// What a worker with an embedded database and no call under way has open, and as much again.
const FILES_OF_THE_WORKER: u64 = 64;
/// Connections that there are places for in any case.
const FEWEST: usize = 8;

impl ConnectionLimits {
    /// At most half of the files that this process may have open, and as many as leave [`FILES_OF_THE_WORKER`]: the rest is for
    /// queue, store and fulfiller.
    pub(super) fn within_open_files(self) -> Self {
        #[cfg(unix)]
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        #[cfg(not(unix))]
        let most = None;
        let left = |most: u64| usize::try_from((most / 2).min(most.saturating_sub(FILES_OF_THE_WORKER))).ok();
        let left = most.and_then(left).unwrap_or(usize::MAX).max(FEWEST);
        Self { connections: self.connections.min(left), ..self }
    }
}
