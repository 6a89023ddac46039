//! The store.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use fulfillment_worker::WorkerId;
use fulfillment_worker::domain::label::Label;
use fulfillment_worker::domain::order::{self, Fence, OrderId, Refusal, RowView, State, Step, admit};
use fulfillment_worker::port::store::{
    BeginRequest, Begun, Conclusion, DeadLetter, NotBefore, OrderStore, Renewal, Renewed, StoreError, TAKEN_OVER,
    Target, Verdict,
};

use super::{Memory, between};
use crate::conformance::store::{Letter, Transition};

/// The characters of a detail that are kept.
const DETAIL: usize = 1_000;

/// The store of a [`Memory`], opened by a worker.
#[derive(Debug)]
pub struct MemoryStore {
    memory: Memory,
    worker: WorkerId,
    lease: Duration,
}

/// The rows, and what is kept beside them.
#[derive(Default)]
pub(super) struct Orders {
    rows: BTreeMap<i64, Order>,
    products: Vec<String>,
    letters: Vec<(String, Letter)>,
    /// Times that messages named.
    noted: HashSet<(i64, i64)>,
}

pub(super) struct Order {
    product: String,
    quantity: i64,
    status: String,
    pub(super) created_at: Option<i64>,
    pub(super) updated_at: Option<i64>,
    /// Until when it is not begun.
    held_until: Option<i64>,
    pub(super) refuses: bool,
    timeline: Vec<Transition>,
}

impl Order {
    pub(super) fn new(product: &str, quantity: i64, status: &str, at: i64) -> Self {
        let (product, status) = (product.to_owned(), status.to_owned());
        let (created_at, updated_at) = (Some(at), Some(at));
        let (held_until, refuses, timeline) = (None, false, Vec::new());
        Self { product, quantity, status, created_at, updated_at, held_until, refuses, timeline }
    }

    fn fence(&self) -> Fence {
        Fence(self.updated_at.unwrap_or(0))
    }

    fn view(&self, now: i64) -> RowView {
        let state = State::from(self.status.as_str());
        let idle = self.updated_at.map_or(Duration::MAX, |at| between(at, now));
        RowView { state, fence: self.fence(), idle }
    }

    /// Enters the state, at a fence after the one before.
    fn enter(&mut self, state: State, now: i64, note: Option<&str>) -> Fence {
        let fence = Fence(now.max(self.fence().0.saturating_add(1)));
        self.updated_at = Some(fence.0);
        self.status = state.as_str().to_owned();
        let note = note.map(str::to_owned);
        self.timeline.push(Transition { state, note });
        fence
    }

    fn age(&self, now: i64) -> Option<Duration> {
        self.created_at.map(|at| between(at, now))
    }
}

impl Orders {
    /// Returns the keys of row and product.
    pub(super) fn insert(&mut self, order: Order) -> (OrderId, i64) {
        let product_id = self.product_id(&order.product);
        let id = self.rows.last_key_value().map_or(1, |(id, _)| id + 1);
        self.rows.insert(id, order);
        (OrderId(id), product_id)
    }

    /// Of a product that is made if it is new.
    fn product_id(&mut self, name: &str) -> i64 {
        let known = self.products.iter().position(|product| product == name);
        let at = known.unwrap_or_else(|| {
            self.products.push(name.to_owned());
            self.products.len() - 1
        });
        i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1)
    }

    pub(super) fn row(&self, order_id: OrderId) -> Option<(String, Fence)> {
        self.rows.get(&order_id.0).map(|order| (order.status.clone(), order.fence()))
    }

    pub(super) fn change(&mut self, order_id: OrderId, change: impl FnOnce(&mut Order)) {
        if let Some(order) = self.rows.get_mut(&order_id.0) {
            change(order);
        }
    }

    pub(super) fn letters(&self) -> Vec<Letter> {
        self.letters.iter().map(|(_, letter)| letter.clone()).collect()
    }

    pub(super) fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        self.rows.get(&order_id.0).map_or_else(Vec::new, |order| order.timeline.clone())
    }

    fn begin(&mut self, request: &BeginRequest, lease: Duration, now: i64) -> Begun {
        let id = request.order_id;
        let Some(name) = self.rows.get(&id.0).map(|order| order.product.clone()) else { return Begun::Unknown };
        let product_id = self.product_id(&name);
        let Some(order) = self.rows.get_mut(&id.0) else { return Begun::Unknown };
        let view = order.view(now);
        match admit(&view, Step::Begin { lease }) {
            Err(Refusal::Final | Refusal::Superseded) => return Begun::AlreadyFinal(view.state),
            Err(Refusal::Busy(left)) => return Begun::Busy(left),
            Err(Refusal::NotOurs) => return Begun::NotOurs(order.status.clone()),
            Ok(_) => {}
        }
        let takeover = view.state == State::Processing;
        if let Some(until) = order.held_until.filter(|until| *until > now && !takeover) {
            return Begun::Held(Some(between(now, until)));
        }
        if order.refuses {
            return Begun::Refused(refusal(id));
        }
        let fence = order.enter(State::Processing, now, takeover.then_some(TAKEN_OVER));
        let waited = order.age(now).filter(|_| request.attempt == 1 && !takeover);
        let order = order::Order {
            id,
            product_id,
            product: Some(name),
            quantity: order.quantity,
            created_at_micros: order.created_at,
            attempt: request.attempt,
            correlation_id: request.correlation_id.clone(),
            traceparent: None,
        };
        Begun::Started { order, fence, takeover, waited }
    }

    fn renew(&mut self, renewal: &Renewal, now: i64) -> Renewed {
        let Some(order) = self.rows.get_mut(&renewal.order_id.0) else { return Renewed::Lost };
        if order.refuses || admit(&order.view(now), Step::Renew(renewal.fence)).is_err() {
            return Renewed::Lost;
        }
        let fence = Fence(now.max(order.fence().0.saturating_add(1)));
        order.updated_at = Some(fence.0);
        Renewed::Kept(fence)
    }

    fn conclude(&mut self, conclusion: &Conclusion, now: i64) -> Verdict {
        let Conclusion { order_id, fence, to, maybe_applied, created_at_micros, .. } = conclusion;
        let Some(order) = self.rows.get_mut(&order_id.0) else { return Verdict::Superseded(None) };
        let view = order.view(now);
        let step = match to {
            Target::Fulfilled { .. } => Step::Fulfil(*fence),
            Target::Pending { .. } => Step::Release(*fence),
            Target::Failed(_) => Step::Fail(*fence),
        };
        let Ok(state) = admit(&view, step) else {
            if created_at_micros.is_some() && order.created_at.is_some() && *created_at_micros != order.created_at {
                return Verdict::Superseded(None);
            }
            let was_applied = *maybe_applied && view.state == to.state() && view.fence > *fence;
            let age = order.age(now);
            return if was_applied { Verdict::Done { age } } else { Verdict::Superseded(Some(view.state)) };
        };
        if order.refuses {
            return Verdict::Refused(refusal(*order_id));
        }
        order.enter(state, now, to.note());
        let age = order.age(now);
        if let Target::Failed(letter) = to {
            self.bury(letter, Some(*order_id));
        }
        Verdict::Done { age }
    }

    fn bury(&mut self, letter: &DeadLetter, order_id: Option<OrderId>) {
        let kept = Letter {
            order_id,
            payload: letter.payload.clone(),
            reason: letter.reason.as_str().to_owned(),
            detail: letter.detail.chars().take(DETAIL).collect(),
            attempts: letter.attempts,
        };
        self.letters.push((letter.claim_id.clone(), kept));
    }

    fn note_not_before(&mut self, time: &NotBefore, now: i64) {
        let Some(order) = self.rows.get_mut(&time.order_id.0) else { return };
        if time.at_micros > now && order.status == "pending" && self.noted.insert((time.order_id.0, time.at_micros)) {
            order.held_until = Some(time.at_micros);
        }
    }
}

/// What a trigger of somebody else might say.
fn refusal(order_id: OrderId) -> String {
    format!("order {order_id} is under audit")
}

impl MemoryStore {
    pub(super) fn new(memory: Memory, worker: WorkerId, lease: Duration) -> Self {
        Self { memory, worker, lease }
    }

    /// Who opened it.
    pub fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// Runs `change` at the present time, and wakes whoever waits.
    fn change<T>(&self, change: impl FnOnce(&mut Orders, i64) -> T) -> T {
        let mut all = self.memory.0.all.lock();
        let now = all.now();
        let answer = change(&mut all.orders, now);
        drop(all);
        self.memory.0.changed.notify_waiters();
        answer
    }
}

#[async_trait]
impl OrderStore for MemoryStore {
    async fn begin(&self, requests: &[BeginRequest]) -> Result<Vec<Begun>, StoreError> {
        let begin = |orders: &mut Orders, now| requests.iter().map(|one| orders.begin(one, self.lease, now)).collect();
        Ok(self.change(begin))
    }

    async fn note_not_before(&self, times: &[NotBefore]) -> Result<(), StoreError> {
        self.change(|orders, now| times.iter().for_each(|time| orders.note_not_before(time, now)));
        Ok(())
    }

    async fn renew(&self, renewals: &[Renewal]) -> Result<Vec<Renewed>, StoreError> {
        Ok(self.change(|orders, now| renewals.iter().map(|one| orders.renew(one, now)).collect()))
    }

    async fn conclude(&self, conclusions: &[Conclusion]) -> Result<Vec<Verdict>, StoreError> {
        Ok(self.change(|orders, now| conclusions.iter().map(|one| orders.conclude(one, now)).collect()))
    }

    async fn insert_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.change(|orders, _| {
            for letter in letters {
                if orders.letters.iter().all(|(claim_id, _)| *claim_id != letter.claim_id) {
                    orders.bury(letter, letter.order_id);
                }
            }
        });
        Ok(())
    }
}
