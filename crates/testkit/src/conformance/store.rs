//! What every store must do.

#![expect(missing_docs, reason = "the name of a case says what it asks for")]

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::{Fence, Order, OrderId, State};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Renewal, Renewed, Target, Verdict,
};

pub mod beginning;
pub mod burying;
pub mod concluding;
pub mod contention;
pub mod rules;

/// One database of a backend, fresh and used by nobody else, with the means to bring it into any situation. What it changes, it
/// changes behind the worker's back, by the database's own clock.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use fulfillment_worker::WorkerId;
/// use fulfillment_worker::domain::order::OrderId;
/// use fulfillment_worker_testkit::conformance::store::{Letter, Row, StoreFixture, StoreRecords, Transition, When, Worker};
/// use fulfillment_worker_testkit::memory::{Memory, MemoryStore};
///
/// struct InMemory(Memory);
///
/// impl StoreFixture for InMemory {
///     type Store = MemoryStore;
///
///     async fn fresh() -> Self {
///         Self(Memory::new())
///     }
///
///     async fn worker(&self, lease: Duration) -> Worker<MemoryStore> {
///         let id = WorkerId::fresh();
///         Worker { store: Arc::new(self.0.store(id.clone(), lease)), id }
///     }
///
///     async fn put(&self, status: &str, idle: Duration) -> OrderId {
///         self.0.put(status, idle)
///     }
///
///     async fn row(&self, order_id: OrderId) -> Row {
///         let (status, fence) = self.0.row(order_id).expect("an order that was put in");
///         Row { status, fence }
///     }
///
///     async fn set_created(&self, order_id: OrderId, when: When) {
///         self.0.set_created(order_id, when.at(self.0.now()));
///     }
///
///     async fn set_updated(&self, order_id: OrderId, when: When) {
///         self.0.set_updated(order_id, when.at(self.0.now()));
///     }
///
///     async fn refuse(&self, order_id: OrderId) {
///         self.0.refuse(order_id);
///     }
/// }
///
/// impl StoreRecords for InMemory {
///     async fn letters(&self) -> Vec<Letter> {
///         self.0.letters()
///     }
///
///     async fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
///         self.0.timeline(order_id)
///     }
/// }
///
/// mod conformance {
///     fulfillment_worker_testkit::store_conformance!(super::InMemory);
/// }
/// ```
#[expect(async_fn_in_trait, reason = "a case stays on its thread")]
pub trait StoreFixture: Sized + Send + Sync {
    /// What is tried; may be a trait object.
    type Store: OrderStore + ?Sized + 'static;

    /// Makes a database without orders.
    async fn fresh() -> Self;

    /// Opens it as a worker with an identity of its own. `lease` is what it grants to others before a takeover: from zero on.
    async fn worker(&self, lease: Duration) -> Worker<Self::Store>;

    /// Puts in an order of one piece of a product that has a name, with this status, whatever it is, created and last written
    /// `idle` ago.
    async fn put(&self, status: &str, idle: Duration) -> OrderId;

    /// What an order's row says.
    async fn row(&self, order_id: OrderId) -> Row;

    /// Sets an order's `created_at`.
    async fn set_created(&self, order_id: OrderId, when: When);

    /// Sets an order's `updated_at`.
    async fn set_updated(&self, order_id: OrderId, when: When);

    /// Makes the database fail every write of this order's row, as a constraint or a trigger of somebody else would.
    async fn refuse(&self, order_id: OrderId);
}

/// Reads what a store keeps beside the rows.
#[expect(async_fn_in_trait, reason = "a case stays on its thread")]
pub trait StoreRecords {
    /// All dead letters, the oldest first.
    async fn letters(&self) -> Vec<Letter>;

    /// An order's transitions, the oldest first.
    async fn timeline(&self, order_id: OrderId) -> Vec<Transition>;
}

/// A store opened by a worker.
#[derive(Debug)]
pub struct Worker<S: ?Sized> {
    /// Who it is.
    pub id: WorkerId,
    /// What it works with.
    pub store: Arc<S>,
}

/// What an order's row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its status.
    pub status: String,
    /// Its `updated_at`.
    pub fence: Fence,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The order, as far as the message named one.
    pub order_id: Option<OrderId>,
    /// The message's bytes.
    pub payload: Vec<u8>,
    /// A [`DeadReason`] as text.
    pub reason: String,
    /// Why, for a person.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// A transition as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The state entered.
    pub state: State,
    /// Reference, reason or detail.
    pub note: Option<String>,
}

/// A time of a row, by the database's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long ago.
    Ago(Duration),
    /// So far ahead of the clock.
    Ahead(Duration),
    /// The column is null.
    Never,
}

impl When {
    /// In microseconds, where the clock shows `now`.
    pub fn at(self, now: i64) -> Option<i64> {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        match self {
            Self::Ago(time) => Some(now.saturating_sub(micros(time))),
            Self::Ahead(time) => Some(now.saturating_add(micros(time))),
            Self::Never => None,
        }
    }
}

/// A lease that no test outlives.
const LEASE: Duration = Duration::from_secs(3_600);

/// First attempt, without a correlation id.
fn request(order_id: OrderId) -> BeginRequest {
    BeginRequest { order_id, attempt: 1, correlation_id: None }
}

/// First attempts, without correlation ids.
fn requests(order_ids: &[OrderId]) -> Vec<BeginRequest> {
    order_ids.iter().copied().map(request).collect()
}

/// End of a first attempt, without a correlation id.
fn conclusion(order_id: OrderId, fence: Fence, to: Target) -> Conclusion {
    Conclusion { order_id, fence, attempt: 1, to, maybe_applied: false, created_at_micros: None }
}

fn fulfilled() -> Target {
    Target::Fulfilled { reference: Some("shipment 1".to_owned()) }
}

fn pending() -> Target {
    Target::Pending { reason: "the fulfiller is closed".to_owned() }
}

fn failed(claim_id: &str) -> Target {
    Target::Failed(letter(claim_id))
}

fn letter(claim_id: &str) -> DeadLetter {
    DeadLetter {
        claim_id: claim_id.to_owned(),
        order_id: None,
        payload: b"{\"order_id\": 1}".to_vec(),
        reason: DeadReason::AttemptsExhausted,
        detail: "no more attempts".to_owned(),
        attempts: 3,
    }
}

/// Puts in pending orders, a minute old.
async fn pending_orders<F: StoreFixture>(fixture: &F, count: usize) -> Vec<OrderId> {
    let mut order_ids = Vec::with_capacity(count);
    for _ in 0..count {
        order_ids.push(fixture.put("pending", Duration::from_secs(60)).await);
    }
    order_ids
}

/// Begins one order, which must start.
async fn start(worker: &Worker<impl OrderStore + ?Sized>, order_id: OrderId) -> (Order, Fence) {
    let answers = worker.store.begin(&[request(order_id)]).await.unwrap();
    match answers.as_slice() {
        [Begun::Started { order, fence, .. }] => (order.clone(), *fence),
        other => panic!("order {order_id} does not start: {other:?}"),
    }
}

/// Begins one order, and answers what became of it.
async fn begin(worker: &Worker<impl OrderStore + ?Sized>, order_id: OrderId) -> Begun {
    let mut answers = worker.store.begin(&[request(order_id)]).await.unwrap();
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

/// Ends one attempt, and answers what became of it.
async fn conclude(worker: &Worker<impl OrderStore + ?Sized>, conclusion: Conclusion) -> Verdict {
    let mut verdicts = worker.store.conclude(&[conclusion]).await.unwrap();
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

/// Renews one lease, and answers the new fence if it is still ours.
async fn renew(worker: &Worker<impl OrderStore + ?Sized>, order_id: OrderId, fence: Fence) -> Option<Fence> {
    let answers = worker.store.renew(&[Renewal { order_id, fence }]).await.unwrap();
    match answers.as_slice() {
        [Renewed::Kept(fence)] => Some(*fence),
        [Renewed::Lost] => None,
        other => panic!("nobody has locked order {order_id}: {other:?}"),
    }
}

fn is_started(answer: &Begun) -> bool {
    matches!(answer, Begun::Started { .. })
}

fn is_done(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done { .. })
}
