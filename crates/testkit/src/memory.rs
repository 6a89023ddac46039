//! A queue and a store in memory, which keep the rules that those for servers keep: the [conformance suite](crate::conformance)
//! tries them too. For tests: whatever is in them ends with the process.

mod clock;
mod queue;
mod store;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::domain::retry::{RetryPolicy, WhenAmbiguous};
use fulfillment_worker::engine::{Engine, EngineOptions};
use fulfillment_worker::event::{Observer, Observers};
use fulfillment_worker::port::fulfiller::Fulfiller;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::clock::Clock;
pub use self::queue::MemoryQueue;
use self::queue::Messages;
pub use self::store::MemoryStore;
use self::store::{Order, Orders};
use crate::conformance::store::{Letter, Transition};

/// The lease of [`Memory::engine`].
const LEASE: Duration = Duration::from_secs(30);

/// Queue, orders and clock. Clones share them.
#[derive(Clone, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    all: Mutex<All>,
    /// Something has changed: a message, an order, or the time.
    changed: Notify,
}

#[derive(Default)]
struct All {
    clock: Clock,
    messages: Messages,
    orders: Orders,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("now", &self.now()).finish_non_exhaustive()
    }
}

impl Memory {
    /// Without messages and orders, at the host's time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the queue as a worker whose claims are leased for `lease`.
    pub fn queue(&self, lease: Duration) -> MemoryQueue {
        MemoryQueue::new(self.clone(), lease)
    }

    /// Opens the store as this worker. `lease` is what it grants to others before a takeover.
    pub fn store(&self, worker: WorkerId, lease: Duration) -> MemoryStore {
        MemoryStore::new(self.clone(), worker, lease)
    }

    /// An engine over both, for quick tests: four calls at once, a lease of 30 seconds, which [`Self::advance`] ends, calls of
    /// at most 10 seconds, three attempts with up to 10 ms between them, and 5 seconds to drain. For other figures give
    /// [`Self::queue`] and [`Self::store`] to [`Engine::new`].
    ///
    /// # Errors
    /// When its threads can't be started.
    pub fn engine(&self, fulfiller: Arc<dyn Fulfiller>, observers: Vec<Arc<dyn Observer>>) -> std::io::Result<Engine> {
        let between = Duration::from_millis(10);
        let retry = RetryPolicy { max_attempts: 3, base: between, cap: between, when_ambiguous: WhenAmbiguous::Retry };
        let options = EngineOptions {
            concurrency: 4,
            lease: LEASE,
            call_timeout: Duration::from_secs(10),
            retry,
            drain_timeout: Duration::from_secs(5),
        };
        let (queue, store) = (Arc::new(self.queue(LEASE)), Arc::new(self.store(WorkerId::fresh(), LEASE)));
        Engine::new(queue, store, fulfiller, Observers::new(observers), options)
    }

    /// Places an order as an order API does: the row, then the message.
    pub fn place(&self, product: &str, quantity: i64) -> OrderId {
        let mut all = self.0.all.lock();
        let now = all.now();
        let (order_id, product_id) = all.orders.insert(Order::new(product, quantity, "pending", now));
        all.messages.push(message(order_id, product_id, quantity));
        drop(all);
        self.0.changed.notify_waiters();
        order_id
    }

    /// Puts in the row of an order of one hand warmer, without a message: with this status, created and last written `idle` ago.
    pub fn put(&self, status: &str, idle: Duration) -> OrderId {
        let mut all = self.0.all.lock();
        let at = all.now().saturating_sub(micros(idle));
        all.orders.insert(Order::new("hand warmer", 1, status, at)).0
    }

    /// Status and `updated_at` of an order, which is 0 where it is null. `None` if there is no such order.
    pub fn row(&self, order_id: OrderId) -> Option<(String, Fence)> {
        self.0.all.lock().orders.row(order_id)
    }

    /// The state of an order, once no worker may move it any more. `None` if it isn't by the end of `patience`.
    pub async fn finished(&self, order_id: OrderId, patience: Duration) -> Option<State> {
        let deadline = Instant::now() + patience;
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let state = self.row(order_id).map(|(status, _)| State::from(status.as_str()));
            if state.as_ref().is_some_and(State::is_final) {
                return state;
            }
            tokio::time::timeout_at(deadline, changed).await.ok()?;
        }
    }

    /// All dead letters, the oldest first.
    pub fn letters(&self) -> Vec<Letter> {
        self.0.all.lock().orders.letters()
    }

    /// An order's transitions, the oldest first.
    pub fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        self.0.all.lock().orders.timeline(order_id)
    }

    /// What the clock shows, in microseconds since 1970-01-01 00:00. It never shows the same time twice.
    pub fn now(&self) -> i64 {
        self.0.all.lock().now()
    }

    /// Moves the clock on: leases end and retries are due as if the time had passed. It goes on by itself, too.
    pub fn advance(&self, by: Duration) {
        self.0.all.lock().clock.advance(by);
        self.0.changed.notify_waiters();
    }

    /// Sets an order's `created_at`, in microseconds as in [`Self::now`].
    pub fn set_created(&self, order_id: OrderId, at: Option<i64>) {
        self.0.all.lock().orders.change(order_id, |order| order.created_at = at);
    }

    /// Sets an order's `updated_at`, likewise.
    pub fn set_updated(&self, order_id: OrderId, at: Option<i64>) {
        self.0.all.lock().orders.change(order_id, |order| order.updated_at = at);
    }

    /// Has every further transition of an order refused, as a constraint of somebody else might.
    pub fn refuse(&self, order_id: OrderId) {
        self.0.all.lock().orders.change(order_id, |order| order.refuses = true);
    }
}

impl All {
    fn now(&mut self) -> i64 {
        self.clock.now()
    }
}

/// The message of an order, as a producer pushes it.
fn message(order_id: OrderId, product_id: i64, quantity: i64) -> Vec<u8> {
    format!("{{\"order_id\":{order_id},\"product_id\":{product_id},\"quantity\":{quantity}}}").into_bytes()
}

/// At most what an `i64` holds.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// From one time to a later one; nothing if it is earlier.
fn between(from: i64, to: i64) -> Duration {
    Duration::from_micros(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}
