//! What the worker needs of a queue: take messages under a lease, keep the lease, and settle.
//!
//! A message is only a hint that says "look at this order"; the order's row decides ([`crate::port::store`]). A queue
//! may therefore deliver a message twice, and must never lose one: a message that was claimed and not settled comes
//! back when its lease is over.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::message::{self, Message, Oversized, Poison};

/// Hands out order messages. Every method may be called from several tasks at once. Only [`Queue::wait`] may be dropped
/// before it returns.
///
/// ```
/// use std::time::Duration;
///
/// use fulfillment_worker::port::queue::{Disposition, Queue, Producer, Settlement};
/// use fulfillment_worker_testkit::memory::Memory;
///
/// # #[tokio::main] async fn main() -> Result<(), fulfillment_worker::port::queue::QueueError> {
/// let queue = Memory::new().queue(Duration::from_secs(30));
/// queue.push(&[br#"{"order_id":7,"product_id":1,"quantity":2}"#.to_vec()]).await?;
///
/// let claim = queue.claim(10).await?.claims.remove(0);
/// assert_eq!(claim.attempt, 1);
/// // … the work, with `queue.renew` meanwhile …
/// let done = Settlement { receipt: claim.receipt, disposition: Disposition::Ack };
/// queue.settle(&[done]).await?;
/// # Ok(()) }
/// ```
#[async_trait]
pub trait Queue: Send + Sync {
    /// Takes up to `limit` (1 to 1,000) messages under a fresh lease, and returns at once.
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError>;

    /// Returns when there may be something to claim, or after `at_most`. Takes nothing, and is cancel-safe. It may
    /// return without a message to claim, and leaves errors for the next claim to report.
    async fn wait(&self, at_most: Duration);

    /// Extends the leases to their full length from now. Answers by position.
    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError>;

    /// Settles messages. Answers by position. Running the same settlement twice changes nothing more.
    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError>;

    /// Hands back, without spending an attempt, the messages of claims whose answers never arrived. The next claim does
    /// this too, so it is only needed after the last one.
    async fn release_unanswered(&self) -> Result<(), QueueError>;
}

/// Puts new messages in.
///
/// ```
/// # use fulfillment_worker::port::queue::{Producer, QueueError};
/// async fn place(queue: &dyn Producer, order_id: i64) -> Result<(), QueueError> {
///     let message = format!(r#"{{"order_id":{order_id},"product_id":1,"quantity":2}}"#);
///     queue.push(&[message.into_bytes()]).await
/// }
/// ```
#[async_trait]
pub trait Producer: Send + Sync {
    /// Puts new messages in, the first one to be claimed first. All or nothing.
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError>;
}

/// Reads how the queue is, and changes nothing.
///
/// ```
/// # use fulfillment_worker::port::queue::{QueueError, QueueReports};
/// async fn backlog(queue: &dyn QueueReports) -> Result<u64, QueueError> {
///     let depth = queue.depth().await?;
///     Ok(depth.waiting + depth.due)
/// }
/// ```
#[async_trait]
pub trait QueueReports: Send + Sync {
    /// Counts the messages.
    async fn depth(&self) -> Result<Depth, QueueError>;

    /// Names a setting of the server that may cost messages, if there is one, and how to change it.
    async fn configuration_warning(&self) -> Result<Option<String>, QueueError>;
}

/// Proof of holding a message: valid until the message is settled or handed to another claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    /// Names the message for as long as it is in the queue, through retries and redeliveries.
    pub claim_id: String,
    /// Names this one delivery of it. Never reused, not even after the queue was emptied and restarted, so a stale
    /// holder can't settle another delivery.
    pub token: String,
}

/// One message, held by this worker until its lease runs out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Renews and settles the message.
    pub receipt: Receipt,
    /// The message's bytes as its producer pushed them; of one that is `oversized` the first
    /// [`message::MAX_MESSAGE_BYTES`].
    pub payload: Vec<u8>,
    /// Set if the message is longer than that. However long it is, no more of it reaches the worker.
    pub oversized: Option<Oversized>,
    /// Which attempt this is, from 1. Counted when claimed, so that a message that kills its worker is counted too;
    /// given back by [`Disposition::Retry`] with `spent: false`.
    pub attempt: u32,
}

impl Claim {
    /// Reads the message.
    ///
    /// # Errors
    /// [`Poison`] says what is wrong.
    pub fn message(&self) -> Result<Message, Poison> {
        match &self.oversized {
            Some(oversized) => Err(Poison::TooLarge(oversized.clone())),
            None => message::decode(&self.payload),
        }
    }

    /// The length of the whole message, in bytes.
    pub fn length(&self) -> usize {
        let longer = self.oversized.as_ref().map(|oversized| usize::try_from(oversized.bytes).unwrap_or(usize::MAX));
        longer.unwrap_or(self.payload.len())
    }
}

/// What a claim found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// At most as many as asked for: messages whose lease ran out first, then retries that are due, then new ones,
    /// each kind oldest first.
    pub claims: Vec<Claim>,
    /// Time until the next retry is due or lease runs out. `None` when nothing is scheduled; zero when more could be
    /// claimed at once.
    pub next_due: Option<Duration>,
}

/// How a claimed message is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Removed: the order's row holds the outcome.
    Ack,
    /// Delivered again after this time, and not before.
    Retry {
        /// Zero makes it claimable at once.
        after: Duration,
        /// Whether this delivery counts as an attempt; `false` takes back what the claim counted.
        spent: bool,
    },
}

/// One message to settle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// From the claim.
    pub receipt: Receipt,
    /// Whether it is removed or delivered again.
    pub disposition: Disposition,
}

/// Whether a receipt was still valid when its message was settled or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    /// It was, and the change is made.
    Valid,
    /// The message was settled before, or handed to another claim. Nothing was changed.
    Stale,
}

/// How full the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that no worker has claimed yet.
    pub waiting: u64,
    /// Messages under a lease.
    pub in_flight: u64,
    /// Messages that are in the queue again and may be claimed now: retries whose time has come, what a worker handed
    /// back, and what the reconciler put in.
    pub due: u64,
    /// Messages waiting for their retry time.
    pub retrying: u64,
}

/// Why a queue could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue can't be reached or does not answer in time. It may have carried out the call.
    #[error("queue unavailable: {0}")]
    Unavailable(String),
    /// The queue refused the call: wrong type of key, missing rights, bad password.
    #[error("queue refused: {0}")]
    Refused(String),
}

impl QueueError {
    /// Whether waiting may help although nobody changes anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
