//! What the worker needs of a queue: take messages under a lease, keep the lease, and settle.
//!
//! A message is only a hint that says "look at this order"; the order's row decides ([`crate::port::store`]). A queue may
//! therefore deliver a message twice, and must never lose one: whatever is claimed and not settled comes back when
//! its lease is over.

use std::time::Duration;

use async_trait::async_trait;

/// Proof of holding a message: valid until the message is settled or handed to another claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Names the message for as long as it is in the queue, through retries and redeliveries.
    pub claim_id: String,
    /// Names this one delivery of it. Never reused, not even after the queue was emptied and restarted, so a stale
    /// holder can't settle somebody else's delivery.
    pub token: String,
}

/// One message in our hands until the lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Needed to renew and settle.
    pub receipt: Receipt,
    /// The message's bytes as its producer pushed them.
    pub payload: Vec<u8>,
    /// Which attempt this is, from 1. Counted when claimed, so that a message that kills its worker is counted too;
    /// given back by [`Disposition::Retry`] with `spent: false`.
    pub attempt: u32,
}

/// What a claim found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// At most as many as asked for: messages whose lease ran out first, then retries that are due, then new ones,
    /// each kind oldest first.
    pub claims: Vec<Claim>,
    /// When the next retry or lease runs out, so that a waiting worker knows when to look again. `None` when nothing
    /// is scheduled. Zero when more could be claimed at once.
    pub next_due: Option<Duration>,
}

/// What becomes of a claimed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Remove it: the order's row says all there is to say.
    Ack,
    /// Deliver it again after this time, and not before. `spent` tells whether this delivery counts as an attempt.
    Retry {
        /// Zero makes it claimable at once.
        after: Duration,
        /// `false` takes back the attempt that the claim counted.
        spent: bool,
    },
}

/// One message to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// From the claim.
    pub receipt: Receipt,
    /// What becomes of it.
    pub disposition: Disposition,
}

/// The verdict on a [`Settlement`] or a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The receipt was valid and the change is made.
    Yes,
    /// The receipt was stale: settled before, or handed to another claim. Nothing was changed.
    Lost,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that no worker has claimed yet.
    pub waiting: u64,
    /// Messages under a lease.
    pub in_flight: u64,
    /// Messages waiting for their retry time.
    pub retrying: u64,
}

/// Why a queue could not answer.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue can't be reached or does not answer in time. It may have carried out what was asked.
    #[error("queue unavailable: {0}")]
    Unavailable(String),
    /// The queue answered that it won't: wrong type of key, missing rights, bad password.
    #[error("queue refused: {0}")]
    Refused(String),
}

impl QueueError {
    /// Whether waiting is likely to help without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// A queue of order messages. Every method may be called from several tasks at once; none may be dropped half way
/// except [`Queue::wait`].
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes up to `limit` (1 to 1,000) messages under a fresh lease, and returns at once.
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError>;

    /// Returns when there may be something to claim, or after `at_most`; a wake-up without work is harmless. Takes
    /// nothing, and may be dropped at any time. Errors are left for the next claim to report.
    async fn wait(&self, at_most: Duration);

    /// Extends the leases to their full length from now. Verdicts by position.
    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<Held>, QueueError>;

    /// Settles messages. Verdicts by position. Running the same settlement twice changes nothing more.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Held>, QueueError>;

    /// Hands back, with no attempt spent, what claims took whose answers never arrived. For when nothing more will be
    /// claimed; otherwise the next claim does it.
    async fn release_unanswered(&self) -> Result<(), QueueError> {
        Ok(())
    }

    /// Puts new messages in, the first one to be claimed first. All or nothing.
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError>;

    /// Counts what is in the queue.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Says what about the server's settings may cost messages, if anything does.
    async fn concern(&self) -> Result<Option<String>, QueueError> {
        Ok(None)
    }
}
