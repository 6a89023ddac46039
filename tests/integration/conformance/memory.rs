//! The backend of `crates/testkit` that is in memory.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker_testkit::conformance::queue::QueueFixture;
use fulfillment_worker_testkit::conformance::store::{
    Letter, Row, StoreFixture, StoreRecords, Transition, When, Worker,
};
use fulfillment_worker_testkit::memory::{Memory, MemoryQueue, MemoryStore};

pub(crate) struct InMemory(pub(crate) Memory);

impl QueueFixture for InMemory {
    type Queue = MemoryQueue;

    async fn fresh() -> Self {
        Self(Memory::new())
    }

    async fn worker(&self, lease: Duration) -> Arc<MemoryQueue> {
        Arc::new(self.0.queue(lease))
    }
}

impl StoreFixture for InMemory {
    type Store = MemoryStore;

    async fn fresh() -> Self {
        Self(Memory::new())
    }

    async fn worker(&self, lease: Duration) -> Worker<MemoryStore> {
        let id = WorkerId::fresh();
        Worker { store: Arc::new(self.0.store(id.clone(), lease)), id }
    }

    async fn put(&self, status: &str, idle: Duration) -> OrderId {
        self.0.put(status, idle)
    }

    async fn row(&self, order_id: OrderId) -> Row {
        let (status, fence) = self.0.row(order_id).expect("an order that was put in");
        Row { status, fence }
    }

    async fn set_created(&self, order_id: OrderId, when: When) {
        self.0.set_created(order_id, when.at(self.0.now()));
    }

    async fn set_updated(&self, order_id: OrderId, when: When) {
        self.0.set_updated(order_id, when.at(self.0.now()));
    }

    async fn refuse(&self, order_id: OrderId) {
        self.0.refuse(order_id);
    }
}

impl StoreRecords for InMemory {
    async fn letters(&self) -> Vec<Letter> {
        self.0.letters()
    }

    async fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        self.0.timeline(order_id)
    }
}
