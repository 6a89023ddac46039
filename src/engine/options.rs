//! How the engine works, and the sizes that its parts agree on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::retry::RetryPolicy;

/// The most orders in one call to a backend. Larger batches save little and hold row locks longer.
pub const BATCH: usize = 500;

/// How many batches of one kind are under way at once: one gathers while another commits.
pub(crate) const BATCHES_AT_ONCE: usize = 2;

/// How the engine works.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// The most calls to the fulfiller at once, at least 1.
    pub concurrency: usize,
    /// How long a silent worker keeps its messages and rows; the same value as the backends were opened with.
    pub lease: Duration,
    /// The longest that one call to the fulfiller may take.
    pub call_timeout: Duration,
    /// How failed attempts are retried.
    pub retry: RetryPolicy,
    /// The longest time from the drain signal of [`Engine::run`](super::Engine::run) to its return.
    pub drain_timeout: Duration,
}

/// The three steps of shutting down, each cancelled after the one before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Claim nothing more.
    pub(crate) drain: CancellationToken,
    /// Stop calls to the fulfiller and hand their orders back.
    pub(crate) hand_back: CancellationToken,
    /// Stop waiting for backends: leases bring back the rest.
    pub(crate) abandon: CancellationToken,
}
