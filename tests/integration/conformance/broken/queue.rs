//! Queues.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::port::queue::{
    Claimed, Depth, Disposition, Producer, Queue, QueueError, QueueReports, Receipt, ReceiptState, Settlement,
};
use fulfillment_worker_testkit::conformance::queue::QueueFixture;
use fulfillment_worker_testkit::memory::{Memory, MemoryQueue};

use super::bugs;

bugs! { Broken, queue:
    hands_a_message_to_two_workers is caught by claiming::a_claimed_message_is_not_claimed_again,
    acknowledges_what_it_delivers is caught by settling::a_retry_after_zero_is_claimable_at_once,
    keeps_what_was_acknowledged is caught by settling::an_acknowledged_message_leaves_nothing_behind,
    delivers_the_newest_first is caught by claiming::messages_are_claimed_in_the_order_they_were_pushed,
    takes_more_than_it_was_asked_for is caught by claiming::no_more_than_the_limit_is_claimed,
    counts_no_attempts is caught by settling::a_spent_retry_counts_as_an_attempt,
    spends_an_attempt_on_what_is_handed_back is caught by settling::an_unspent_retry_gives_the_attempt_back,
    retries_at_once is caught by settling::a_retry_comes_at_its_time_and_not_before,
    takes_every_receipt_for_valid is caught by settling::settling_twice_changes_nothing_more,
    answers_in_any_order is caught by settling::verdicts_come_by_position,
    sleeps_through_a_push is caught by waiting::a_wait_can_be_dropped,
}

/// A queue in memory with a bug: the one of this number.
struct Broken<const BUG: usize>(Memory);

impl<const BUG: usize> QueueFixture for Broken<BUG> {
    type Queue = BrokenQueue;

    async fn fresh() -> Self {
        Self(Memory::new())
    }

    async fn worker(&self, lease: Duration) -> Arc<BrokenQueue> {
        Arc::new(BrokenQueue { queue: self.0.queue(lease), bug: Bug::ALL[BUG] })
    }
}

struct BrokenQueue {
    queue: MemoryQueue,
    bug: Bug,
}

impl BrokenQueue {
    fn has(&self, bug: Bug) -> bool {
        self.bug == bug
    }

    fn settled(&self, settlement: &Settlement) -> Settlement {
        let Settlement { receipt, disposition } = settlement.clone();
        let disposition = match (self.bug, disposition) {
            (Bug::keeps_what_was_acknowledged, Disposition::Ack) => {
                Disposition::Retry { after: Duration::ZERO, spent: true }
            }
            (Bug::spends_an_attempt_on_what_is_handed_back, Disposition::Retry { after, .. }) => {
                Disposition::Retry { after, spent: true }
            }
            (Bug::retries_at_once, Disposition::Retry { spent, .. }) => {
                Disposition::Retry { after: Duration::ZERO, spent }
            }
            (_, disposition) => disposition,
        };
        Settlement { receipt, disposition }
    }
}

#[async_trait]
impl Queue for BrokenQueue {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        let limit = if self.has(Bug::takes_more_than_it_was_asked_for) { limit + 1 } else { limit };
        let mut claimed = self.queue.claim(limit).await?;
        let at_once = |disposition| {
            let settle = |claim: &fulfillment_worker::port::queue::Claim| Settlement {
                receipt: claim.receipt.clone(),
                disposition,
            };
            claimed.claims.iter().map(settle).collect::<Vec<_>>()
        };
        match self.bug {
            Bug::hands_a_message_to_two_workers => {
                self.queue.settle(&at_once(Disposition::Retry { after: Duration::ZERO, spent: true })).await?;
            }
            Bug::acknowledges_what_it_delivers => drop(self.queue.settle(&at_once(Disposition::Ack)).await?),
            Bug::delivers_the_newest_first => claimed.claims.reverse(),
            Bug::counts_no_attempts => claimed.claims.iter_mut().for_each(|claim| claim.attempt = 1),
            _ => {}
        }
        Ok(claimed)
    }

    async fn wait(&self, at_most: Duration) {
        if self.has(Bug::sleeps_through_a_push) {
            return tokio::time::sleep(at_most.min(Duration::from_secs(2))).await;
        }
        self.queue.wait(at_most).await;
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        self.queue.renew(receipts).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        let settlements: Vec<_> = settlements.iter().map(|settlement| self.settled(settlement)).collect();
        let mut answers = self.queue.settle(&settlements).await?;
        match self.bug {
            Bug::takes_every_receipt_for_valid => answers.fill(ReceiptState::Valid),
            Bug::answers_in_any_order => answers.sort_by_key(|answer| *answer == ReceiptState::Stale),
            _ => {}
        }
        Ok(answers)
    }

    async fn release_unanswered(&self) -> Result<(), QueueError> {
        self.queue.release_unanswered().await
    }
}

#[async_trait]
impl Producer for BrokenQueue {
    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        self.queue.push(payloads).await
    }
}

#[async_trait]
impl QueueReports for BrokenQueue {
    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
    }

    async fn configuration_warning(&self) -> Result<Option<String>, QueueError> {
        self.queue.configuration_warning().await
    }
}
