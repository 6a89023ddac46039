//! The failpoint around calls to the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;

use super::{Failpoint, Step};
use crate::port::queue::{Claimed, Depth, Disposition, Held, Queue, QueueError, Receipt, Settlement};
use crate::port::queue_maintenance::{Adoption, Inventory, Page, Part, Strays};

/// A queue that may fail.
pub(super) struct Failing {
    pub(super) inner: Arc<dyn Inventory>,
    pub(super) failpoint: Arc<Failpoint>,
}

impl Failing {
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

#[async_trait]
impl Queue for Failing {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        let any = |claimed: &Claimed| !claimed.claims.is_empty();
        self.failpoint.around(&[Step::Claim], QueueError::Unavailable, self.inner.claim(limit), any).await
    }

    async fn wait(&self, at_most: Duration) {
        self.inner.wait(at_most).await;
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<Held>, QueueError> {
        let call = self.inner.renew(receipts);
        self.failpoint.around(&[Step::RenewMessage], QueueError::Unavailable, call, |_| true).await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Held>, QueueError> {
        let steps = self.steps_of(settlements);
        self.failpoint.around(&steps, QueueError::Unavailable, self.inner.settle(settlements), |_| true).await
    }

    async fn release_unanswered(&self) -> Result<(), QueueError> {
        self.inner.release_unanswered().await
    }

    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        self.inner.push(payloads).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.inner.depth().await
    }

    async fn concern(&self) -> Result<Option<String>, QueueError> {
        self.inner.concern().await
    }
}

#[async_trait]
impl Inventory for Failing {
    async fn browse(&self, part: Part, cursor: u64) -> Result<Page, QueueError> {
        self.inner.browse(part, cursor).await
    }

    async fn adopt(&self, adoptions: &[Adoption]) -> Result<usize, QueueError> {
        self.failpoint.around(&[Step::Adopt], QueueError::Unavailable, self.inner.adopt(adoptions), |_| true).await
    }

    async fn strays(&self) -> Result<Strays, QueueError> {
        self.inner.strays().await
    }

    async fn repair(&self) -> Result<Strays, QueueError> {
        self.inner.repair().await
    }

    fn repaired_by_claims(&self) -> Strays {
        self.inner.repaired_by_claims()
    }
}
