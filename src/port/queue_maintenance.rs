//! What the reconciler and `verify` need of a queue: to look through it without taking anything, to put right what went
//! wrong inside it, and to put messages in beside the producers' list.

use async_trait::async_trait;

use crate::port::queue::{Queue, QueueError};

/// A part of a queue. A message may move from [`Part::Waiting`] to [`Part::Claimed`] at any time, and never back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What no worker has claimed yet.
    Waiting,
    /// What is under a lease or waits for its retry.
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

/// A message for an order that no message speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The same for whoever finds the same order in the same state, so that only one message is made of it: ASCII without
    /// spaces, at most 100 characters, never used again once the message is settled.
    pub key: String,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// How many attempts are spent already: the first claim is the one after.
    pub attempts: u32,
}

/// What no call of ours leaves behind, but an operator, an eviction or a restored snapshot may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strays {
    /// Claimed messages without a lease and without a retry: nothing would ever deliver them.
    pub messages: u64,
    /// Leases and retries without a message.
    pub schedules: u64,
}

/// A queue that can be looked through. Safe beside workers and producers.
#[async_trait]
pub trait Inventory: Queue {
    /// The page that begins at `cursor`, 0 being the first. About 500 messages.
    ///
    /// Whoever goes through [`Part::Waiting`] and then through [`Part::Claimed`] has seen every message, at least once,
    /// that was there from the beginning to the end. Others may be seen or not.
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError>;

    /// Puts in at most 1,000 messages that are claimable at once, before new ones. One whose key is in the queue already
    /// is left as it is. Returns how many are new.
    async fn adopt(&self, adoptions: &[Adoption]) -> Result<usize, QueueError>;

    /// Counts strays, and leaves them.
    async fn strays(&self) -> Result<Strays, QueueError> {
        Ok(Strays::default())
    }

    /// Has stray messages delivered again after a full lease, and removes schedules of nothing. Returns what it put right.
    async fn repair(&self) -> Result<Strays, QueueError> {
        Ok(Strays::default())
    }

    /// What this worker's own claims came across and put right since the last call.
    fn repaired_by_claims(&self) -> Strays {
        Strays::default()
    }
}
