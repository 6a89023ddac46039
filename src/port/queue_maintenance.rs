//! What the reconciler and `verify` need of a queue: to browse it, to repair what went wrong inside it, and to put in
//! messages of orders that lost theirs.

use async_trait::async_trait;

use crate::port::queue::QueueError;

/// Browses and repairs a queue. Safe beside workers and producers.
#[async_trait]
pub trait QueueMaintenance: Send + Sync {
    /// Returns the page that begins at `cursor`, 0 being the first. About 500 messages. Takes nothing.
    ///
    /// A caller that browses [`Part::Waiting`] and then [`Part::Claimed`] sees, at least once, every message that was
    /// there from the beginning to the end. It may see others too.
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError>;

    /// As [`QueueMaintenance::browse`] of [`Part::Waiting`], but the oldest message comes first. What is claimed meanwhile
    /// may hide others.
    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError>;

    /// Puts in messages that are claimable at once, before new ones, and returns how many are new. A message whose key
    /// is in the queue already is left as it is.
    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError>;

    /// Counts dangling records, and leaves them.
    async fn dangling(&self) -> Result<DanglingRecords, QueueError>;

    /// Gives dangling messages a full lease, after which they are delivered again, and removes dangling schedules.
    /// Returns what it repaired.
    async fn repair(&self) -> Result<DanglingRecords, QueueError>;

    /// What this worker's own claims have repaired since the last call. Does no I/O.
    fn repaired_by_claims(&self) -> DanglingRecords;
}

/// A part of a queue. A message may move from [`Part::Waiting`] to [`Part::Claimed`] at any time, and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Messages that no worker has claimed yet.
    Waiting,
    /// Messages that are under a lease or wait for their retry.
    Claimed,
}

/// Some of the messages of a part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Their bytes.
    pub payloads: Vec<Vec<u8>>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<u64>,
}

/// A message for an order that lost its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequeuedMessage {
    /// Names the order in its present state, so that two reconcilers which find it put in one message: ASCII without
    /// spaces, at most 100 characters, never used again once the message is settled.
    pub key: String,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// The number of spent attempts: the first claim counts as the next one.
    pub attempts: u32,
}

/// Records without their counterpart. The worker leaves none; an operator, an eviction or a restored snapshot may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DanglingRecords {
    /// Claimed messages with neither a lease nor a retry, which nothing would deliver again.
    pub messages: u64,
    /// Leases and retries without a message.
    pub schedules: u64,
}
