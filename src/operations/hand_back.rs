//! Gives the queue back: puts every claimed message on the producers' list, for another consumer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::port::queue::QueueError;
use crate::port::queue_maintenance::{ClaimedMessage, HandBack, HandedBack, LiveLeases};

/// The claimed messages, and what is lost when they are put back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Plan {
    /// Those that can be put back, in no order.
    #[serde(skip)]
    pub claim_ids: Vec<String>,
    /// Their number; those under live leases are among them.
    pub messages: u64,
    /// Number of messages under a lease that runs: a worker is at work on them.
    pub live_leases: u64,
    /// How long the last of these leases runs.
    #[serde(rename = "longest_lease_seconds", serialize_with = "seconds")]
    pub longest_lease: Duration,
    /// Number of messages over 64 KiB, of which only the beginnings are kept: they stay.
    pub oversized: u64,
    /// Number of attempts that are forgotten.
    pub attempts: u64,
    /// Number of messages that have had these attempts.
    pub attempted: u64,
    /// Number of messages whose retry isn't due yet: they can be taken at once.
    pub delays: u64,
    /// The longest of these delays.
    #[serde(rename = "longest_delay_seconds", serialize_with = "seconds")]
    pub longest_delay: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Plan {
    /// Looks through the claimed messages, and changes nothing. Uses some bytes of memory for each.
    ///
    /// # Errors
    /// When the queue doesn't answer.
    pub async fn of(queue: &dyn HandBack) -> Result<Self, QueueError> {
        // A message may be seen twice.
        let mut found = BTreeMap::new();
        let mut cursor = Some(0);
        while let Some(position) = cursor {
            let page = queue.claimed(position).await?;
            found.extend(page.messages.into_iter().map(|message| (message.claim_id.clone(), message)));
            cursor = page.next;
        }
        let mut plan = Self::default();
        found.into_values().for_each(|message| plan.add(message));
        Ok(plan)
    }

    fn add(&mut self, message: ClaimedMessage) {
        if message.oversized {
            self.oversized += 1;
            return;
        }
        let due_in = Duration::from_millis(message.due_in_ms.max(0).unsigned_abs());
        self.messages += 1;
        self.attempts += u64::from(message.attempts);
        self.attempted += u64::from(message.attempts > 0);
        if message.is_live() {
            self.live_leases += 1;
            self.longest_lease = self.longest_lease.max(due_in);
        } else if !due_in.is_zero() {
            self.delays += 1;
            self.longest_delay = self.longest_delay.max(due_in);
        }
        self.claim_ids.push(message.claim_id);
    }

    /// Puts the messages back. What breaks off can be done again.
    ///
    /// # Errors
    /// When the queue doesn't answer; some may be back then.
    pub async fn carry_out(&self, queue: &dyn HandBack, live: LiveLeases) -> Result<HandedBack, QueueError> {
        queue.hand_back(&self.claim_ids, live).await
    }
}
