//! What the reconciler and `verify` need of a queue: to browse it, to repair what went wrong inside it, and to put in
//! messages of orders that lost theirs. And what `hand-back` needs: to make claimed messages new again.

use std::ops::AddAssign;
use std::time::Duration;

use async_trait::async_trait;

use crate::port::queue::QueueError;

/// Browses and repairs a queue. Safe beside workers and producers.
///
/// ```
/// # use fulfillment_worker::port::queue::QueueError;
/// # use fulfillment_worker::port::queue_maintenance::{Part, QueueMaintenance};
/// /// Every message, those that wait first.
/// async fn messages(queue: &dyn QueueMaintenance) -> Result<Vec<Vec<u8>>, QueueError> {
///     let mut payloads = Vec::new();
///     for part in [Part::Waiting, Part::Claimed] {
///         let mut cursor = Some(0);
///         while let Some(position) = cursor {
///             let page = queue.browse(part, position).await?;
///             payloads.extend(page.payloads);
///             cursor = page.next;
///         }
///     }
///     Ok(payloads)
/// }
/// ```
#[async_trait]
pub trait QueueMaintenance: Send + Sync {
    /// Returns the page that begins at `cursor`, 0 being the first: about 500 messages, or fewer long ones. Takes
    /// nothing.
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

/// Puts claimed messages back where producers put new ones, for another consumer. Safe beside workers and producers.
///
/// ```
/// # use fulfillment_worker::port::queue::QueueError;
/// # use fulfillment_worker::port::queue_maintenance::{HandBack, LiveLeases};
/// /// Hands back the first page of what dead workers left.
/// async fn hand_back(queue: &dyn HandBack) -> Result<u64, QueueError> {
///     let page = queue.claimed(0).await?;
///     let ids: Vec<String> = page.messages.into_iter().map(|message| message.claim_id).collect();
///     Ok(queue.hand_back(&ids, LiveLeases::Leave).await?.returned)
/// }
/// ```
#[async_trait]
pub trait HandBack: Send + Sync {
    /// Describes claimed messages: the page that begins at `cursor`, 0 being the first. Takes nothing. A caller that goes
    /// through all pages sees, at least once, every message that was claimed from the beginning to the end.
    async fn claimed(&self, cursor: u64) -> Result<ClaimedPage, QueueError>;

    /// Makes claimed messages new again, with the bytes that their producers pushed. They are taken before those that wait
    /// already, the oldest first, whatever the order of `claim_ids`; attempts and delays are forgotten.
    ///
    /// Goes in batches, of which each is atomic: wherever it breaks off, no message is lost or doubled, and a repetition
    /// goes on from there and leaves them in the same order.
    async fn hand_back(&self, claim_ids: &[String], live: LiveLeases) -> Result<HandedBack, QueueError>;
}

/// Whether messages are handed back whose leases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiveLeases {
    /// They stay as they are.
    Leave,
    /// They are handed back too. Their workers go on, and can't settle them any more.
    Take,
}

/// Some of the claimed messages.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimedPage {
    /// Descriptions of them.
    pub messages: Vec<ClaimedMessage>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<u64>,
}

/// A claimed message, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedMessage {
    /// As in its [`Receipt`](crate::port::queue::Receipt).
    pub claim_id: String,
    /// Claims that count.
    pub attempts: u32,
    /// Whether it is under a lease. Else it waits for its retry.
    pub leased: bool,
    /// Milliseconds until its lease ends or its retry is due, by the queue's clock; below 0 if that is over.
    pub due_in_ms: i64,
    /// Whether it is too long to be a message and not all of it is kept, so that it can't be handed back.
    pub oversized: bool,
}

impl ClaimedMessage {
    /// Whether its lease runs.
    pub fn is_live(&self) -> bool {
        self.leased && self.due_in_ms > 0
    }

    /// How long its lease has been over, or its retry due.
    pub fn overdue(&self) -> Duration {
        Duration::from_millis(self.due_in_ms.min(0).unsigned_abs())
    }
}

/// What became of messages that were to be handed back. The rest was no longer claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandedBack {
    /// They are new again.
    pub returned: u64,
    /// They are under a lease, and were left.
    pub leased: u64,
    /// They are too long to be messages, and were left: only their beginnings are kept.
    pub oversized: u64,
}

impl AddAssign for HandedBack {
    fn add_assign(&mut self, other: Self) {
        self.returned += other.returned;
        self.leased += other.leased;
        self.oversized += other.oversized;
    }
}

/// A part of a queue. A message may move from [`Part::Waiting`] to [`Part::Claimed`] at any time, and
/// back only by [`HandBack`].
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
    /// The number of further messages of this page, which are too long to be read.
    pub oversized: u64,
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
