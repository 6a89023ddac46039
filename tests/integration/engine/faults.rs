//! Real backends that answer at a bad moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fulfillment_worker::port::queue::{Claimed, Queue, QueueError, Receipt, ReceiptState, Settlement};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, Verdict,
};
use tokio::sync::Notify;

/// A queue whose answer to a settlement comes only after another renewal was answered.
pub(crate) struct SlowToSettle {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) renewed: Notify,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait::async_trait]
impl Queue for SlowToSettle {
    async fn claim(&self, limit: usize) -> Result<Claimed, QueueError> {
        self.queue.claim(limit).await
    }

    async fn wait(&self, at_most: Duration) {
        self.queue.wait(at_most).await;
    }

    async fn renew(&self, receipts: &[Receipt]) -> Result<Vec<ReceiptState>, QueueError> {
        let verdicts = self.queue.renew(receipts).await;
        self.renewed.notify_waiters();
        verdicts
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<ReceiptState>, QueueError> {
        let verdicts = self.queue.settle(settlements).await;
        self.renewed.notified().await;
        verdicts
    }

    async fn release_unanswered(&self) -> Result<(), QueueError> {
        self.queue.release_unanswered().await
    }
}

/// A store that answers only when it is told to, at one place.
pub(crate) struct HeldUp {
    pub(crate) store: Arc<dyn OrderStore>,
    pub(crate) at: Moment,
    renewals: AtomicUsize,
    /// Told when it got there.
    pub(crate) reached: Notify,
    pub(crate) answer: Notify,
}

/// Where a [`HeldUp`] store takes its time.
#[derive(PartialEq)]
pub(crate) enum Moment {
    /// Orders are begun, and nobody has been told.
    Begun,
    /// A renewal, which then says that every row is lost.
    RowsLost,
    /// The first renewal, which doesn't arrive.
    FirstRenewal,
}

impl HeldUp {
    pub(crate) fn new(store: Arc<dyn OrderStore>, at: Moment) -> Arc<Self> {
        Arc::new(Self { store, at, renewals: AtomicUsize::new(0), reached: Notify::new(), answer: Notify::new() })
    }

    async fn hold_up(&self, at: Moment) -> bool {
        let held_up = self.at == at;
        if held_up {
            self.reached.notify_one();
            self.answer.notified().await;
        }
        held_up
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait::async_trait]
impl OrderStore for HeldUp {
    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        let is_first = self.renewals.fetch_add(1, Ordering::SeqCst) == 0;
        if is_first {
            self.hold_up(Moment::FirstRenewal).await;
        }
        if self.hold_up(Moment::RowsLost).await {
            Ok(vec![Renewed::Lost; renewals.len()])
        } else {
            self.store.renew(renewals).await
        }
    }

    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let begun = self.store.begin(requests).await;
        self.hold_up(Moment::Begun).await;
        begun
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        self.store.note_not_before(times).await
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        self.store.conclude(conclusions).await
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.store.insert_dead_letters(letters).await
    }
}
