//! The failpoint around calls to the queue.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::{Failing, Step};
use crate::port::queue::{Claimed, Disposition, Queue, QueueError, Receipt, ReceiptState, Settlement};
use crate::port::queue_maintenance::{
    ClaimedPage, DanglingRecords, HandBack, HandedBack, LiveLeases, Page, Part, QueueMaintenance, RequeuedMessage,
};

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Queue for Failing<dyn Queue> {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        let any = |claimed: &Claimed| !claimed.claims.is_empty();
        self.failpoint.around(&[Step::Claim], QueueError::Unavailable, self.inner.claim(limit), any).await
    }

    async fn wait(&self, at_most: Duration) {
        self.inner.wait(at_most).await;
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        let call = self.inner.renew(receipts);
        self.failpoint.around(&[Step::RenewMessage], QueueError::Unavailable, call, |_| true).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        let steps = self.steps_of(settlements);
        self.failpoint.around(&steps, QueueError::Unavailable, self.inner.settle(settlements), |_| true).await
    }

    async fn release_unanswered(&self) -> Result<(), QueueError> {
        self.inner.release_unanswered().await
    }
}

impl Failing<dyn Queue> {
    fn steps_of(&self, settlements: &[Settlement]) -> Vec<Step> {
        let any = |is: fn(&Disposition) -> bool| settlements.iter().any(|settlement| is(&settlement.disposition));
        let mut steps = Vec::new();
        if any(|disposition| *disposition == Disposition::Ack) && self.failpoint.has_fulfilled.load(Ordering::Relaxed) {
            steps.push(Step::Settle);
        }
        if any(|disposition| matches!(disposition, Disposition::Retry { spent: true, .. })) {
            steps.push(Step::RetryMessage);
        }
        steps
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl QueueMaintenance for Failing<dyn QueueMaintenance> {
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        self.inner.browse(part, cursor).await
    }

    async fn oldest(&self, cursor: u64) -> Result<Page, QueueError> {
        self.inner.oldest(cursor).await
    }

    async fn requeue_lost(&self, messages: &[RequeuedMessage]) -> Result<usize, QueueError> {
        let call = self.inner.requeue_lost(messages);
        self.failpoint.around(&[Step::Adopt], QueueError::Unavailable, call, |_| true).await
    }

    async fn dangling(&self) -> Result<DanglingRecords, QueueError> {
        self.inner.dangling().await
    }

    async fn repair(&self) -> Result<DanglingRecords, QueueError> {
        self.inner.repair().await
    }

    fn repaired_by_claims(&self) -> DanglingRecords {
        self.inner.repaired_by_claims()
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl HandBack for Failing<dyn HandBack> {
    async fn claimed(&self, cursor: u64) -> Result<ClaimedPage, QueueError> {
        self.inner.claimed(cursor).await
    }

    async fn hand_back(&self, claim_ids: &[String], live: LiveLeases) -> Result<HandedBack, QueueError> {
        let call = self.inner.hand_back(claim_ids, live);
        let any = |handed_back: &HandedBack| handed_back.returned > 0;
        self.failpoint.around(&[Step::HandBack], QueueError::Unavailable, call, any).await
    }
}
