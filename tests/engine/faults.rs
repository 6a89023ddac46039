//! Real backends that answer at a bad moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fulfillment_worker::domain::dead_letter::Resolution;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::dead_letters::{DeadLetterCount, DeadLetterFilter, Decision, Redriven, StoredDeadLetter};
use fulfillment_worker::port::intake::{Inserted, NewOrder};
use fulfillment_worker::port::queue::{Claimed, Depth, Queue, QueueError, Receipt, ReceiptState, Settlement};
use fulfillment_worker::port::reports::{ConnectionUse, OrderReport, Summary, TimelineEntry};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, StoreError, Verdict,
};
use tokio::sync::Notify;

/// A queue whose answer to a settlement comes only after another renewal was answered.
pub(crate) struct SlowToSettle {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) renewed: Notify,
}

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

    async fn push(&self, payloads: &[Vec<u8>]) -> Result<(), QueueError> {
        self.queue.push(payloads).await
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth().await
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

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        self.store.conclude(conclusions).await
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.store.insert_dead_letters(letters).await
    }

    async fn insert(&self, orders: &[NewOrder]) -> Result<Vec<Inserted>, StoreError> {
        self.store.insert(orders).await
    }

    async fn summary(&self) -> Result<Summary, StoreError> {
        self.store.summary().await
    }

    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError> {
        self.store.order(order_id).await
    }

    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError> {
        self.store.timeline(order_id).await
    }

    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: i64,
        limit: usize,
    ) -> Result<Vec<StoredDeadLetter>, StoreError> {
        self.store.list(filter, after, limit).await
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<DeadLetterCount, StoreError> {
        self.store.count(filter).await
    }

    async fn redrive(&self, letters: &[i64], decision: &Decision) -> Result<Vec<Redriven>, StoreError> {
        self.store.redrive(letters, decision).await
    }

    async fn resolve(
        &self,
        letters: &[i64],
        resolution: Resolution,
        decision: &Decision,
    ) -> Result<Vec<bool>, StoreError> {
        self.store.resolve(letters, resolution, decision).await
    }

    async fn migrate(&self) -> Result<Vec<String>, StoreError> {
        self.store.migrate().await
    }

    fn connections(&self) -> ConnectionUse {
        self.store.connections()
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.store.check().await
    }
}
