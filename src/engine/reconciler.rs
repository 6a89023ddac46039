//! Finds orders that no message speaks for, and gives each one a message.
//!
//! A producer died between its `INSERT` and its `LPUSH`; Redis was flushed, restarted empty or restored from an old
//! snapshot: the row is there and nobody will ever look at it. One worker at a time looks for such rows, elected in the
//! store. It need not be sure, nor alone: [`OrderStore::begin`](crate::port::store::OrderStore::begin) guards the row whatever
//! the message says, and an order gets the same message from whoever finds it in the same state.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::sweep::Sweeper;
use super::watermark::Watermark;
use crate::config::ReconcileSettings;
use crate::domain::message::{self, Message};
use crate::domain::order::{OrderId, State};
use crate::event::{Drift, Observers, ReconcilerEvent};
use crate::port::queue::{QueueError, QueueReports};
use crate::port::queue_maintenance::{DanglingRecords, Part, QueueMaintenance, RequeuedMessage};
use crate::port::reconciliation::{ClaimedUpTo, LostOrder, LostOrderSearch, OlderOrders, Reconciliation};
use crate::port::store::StoreError;

/// Orders adopted in one round at most.
const ROUND: usize = 500;

/// Orders looked at in one round at most: more than are adopted, as those that wait for a retry are among them.
const CANDIDATES: usize = 10_000;

/// A round that left orders behind is followed by the next after this long.
const NEXT_ROUND: Duration = Duration::from_secs(1);

/// And after a whole interval if this many messages are due already, as then nobody works them off.
const ENOUGH: u64 = 10 * ROUND as u64;

/// The lead lasts for this many intervals: a round or a renewal may be late without costing it.
const TERM: u32 = 3;

/// Those that are too old are counted every so many intervals: nothing is done about them, and the count reads each open
/// order.
const COUNT_EVERY: u32 = 10;

/// Orders that an event names at most.
const NAMED: usize = 5;

/// Before the first order. One with an id below the lowest has no message that could name it: `verify` tells of it.
const NONE_YET: OrderId = OrderId(OrderId::LOWEST.0 - 1);

/// Looks for orders without a message until told to stop.
pub struct Reconciler {
    queue: Arc<dyn QueueMaintenance>,
    depth: Arc<dyn QueueReports>,
    store: Arc<dyn Reconciliation>,
    observers: Observers,
    watermark: Arc<Watermark>,
    settings: ReconcileSettings,
    leads: bool,
    /// When orders left alone were last counted in this term.
    counted_at: Option<Instant>,
    /// Where the next round goes on.
    after: OrderId,
    sweeper: Sweeper,
}

/// Why a round came to nothing. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Reconciler {
    /// Puts the parts together; nothing happens before [`Reconciler::run`].
    pub fn new(
        queue: Arc<dyn QueueMaintenance>,
        depth: Arc<dyn QueueReports>,
        store: Arc<dyn Reconciliation>,
        observers: Observers,
        watermark: Arc<Watermark>,
        settings: ReconcileSettings,
    ) -> Self {
        Self {
            queue,
            depth,
            store,
            observers,
            watermark,
            settings,
            leads: false,
            counted_at: None,
            after: NONE_YET,
            sweeper: Sweeper::new(),
        }
    }

    /// Works until `drain` is cancelled, and then leaves the lead to others.
    pub async fn run(mut self, drain: CancellationToken) {
        loop {
            // May be dropped half way: each call is whole in itself.
            let pause = match drain.run_until_cancelled(self.round()).await {
                Some(Ok(pause)) => pause,
                Some(Err(error)) => {
                    tracing::warn!(%error, "orders without a message could not be looked for; the next round does it");
                    self.settings.interval
                }
                None => break,
            };
            if drain.run_until_cancelled(self.rest(pause)).await.is_none() {
                break;
            }
        }
        if self.leads {
            if let Err(error) = self.store.resign().await {
                tracing::debug!(%error, "the lead could not be given up; it ends by itself");
            }
            self.observers.emit(ReconcilerEvent::Leads(false));
        }
    }

    /// Waits for the next round. Whoever leads sweeps meanwhile.
    async fn rest(&mut self, pause: Duration) {
        if self.leads {
            self.sweeper.sweep_for(pause, &*self.store, &self.observers).await;
        } else {
            tokio::time::sleep(pause).await;
        }
    }

    /// One round. Returns when the next is due.
    async fn round(&mut self) -> Result<Duration, RoundError> {
        // Whoever leads: every worker's claims put things right.
        self.tell_strays(self.queue.repaired_by_claims());
        self.leads = self.store.lead(self.settings.interval * TERM).await?;
        self.observers.emit(ReconcilerEvent::Leads(self.leads));
        if !self.leads {
            self.counted_at = None;
            return Ok(self.settings.interval);
        }
        self.tell_strays(self.queue.repair().await?);
        let goes_on = self.adopt_orphans().await? && self.depth.depth().await?.due < ENOUGH;
        self.observers.emit(ReconcilerEvent::RoundDone);
        self.count_left_alone().await;
        Ok(if goes_on { NEXT_ROUND.min(self.settings.interval) } else { self.settings.interval })
    }

    /// A count that fails leaves the last one: no order is lost for it.
    async fn count_left_alone(&mut self) {
        let every = self.settings.interval * COUNT_EVERY;
        if self.counted_at.is_some_and(|at| at.elapsed() < every) {
            return;
        }
        self.counted_at = Some(Instant::now());
        let max_age = self.settings.max_age;
        match self.store.stale_orders(max_age).await {
            Ok(orders) => self.observers.emit(ReconcilerEvent::StaleOrders { orders, max_age }),
            Err(error) => tracing::warn!(%error, "orders older than --reconcile-max-age could not be counted"),
        }
        match self.store.orders_before_horizon().await {
            Ok(OlderOrders { orders, adopt_from }) => {
                self.observers.emit(ReconcilerEvent::OrdersBeforeHorizon { orders, adopt_from });
            }
            Err(error) => tracing::warn!(%error, "orders older than the horizon could not be counted"),
        }
    }

    fn tell_strays(&self, strays: DanglingRecords) {
        for (drift, count) in
            [(Drift::MessageWithoutLease, strays.messages), (Drift::LeaseWithoutMessage, strays.schedules)]
        {
            if count > 0 {
                self.observers.emit(ReconcilerEvent::DriftFound { drift, count, first: &[] });
            }
        }
    }

    /// Returns whether there may be more to adopt.
    async fn adopt_orphans(&mut self) -> Result<bool, RoundError> {
        let waiting = self.depth.depth().await?.waiting;
        let claimed_up_to = if waiting == 0 { ClaimedUpTo::Everything } else { self.watermark.read() };
        let search = LostOrderSearch {
            claimed_up_to,
            grace: self.settings.grace,
            max_age: self.settings.max_age,
            after: self.after,
            limit: CANDIDATES,
        };
        let candidates = self.store.lost_orders(&search).await?;
        let last = candidates.last().map(|orphan| orphan.order_id);
        let all_seen = candidates.len() < CANDIDATES;
        let orphans = self.without_message(candidates).await?;
        let mut orphans = self.still_lost(orphans, &search).await?;
        let left_behind = orphans.len() > ROUND;
        orphans.truncate(ROUND);
        self.adopt(&orphans).await?;
        if !left_behind {
            self.after = if all_seen { NONE_YET } else { last.unwrap_or(NONE_YET) };
        }
        Ok(left_behind || !all_seen)
    }

    /// An order whose attempt failed waits in the table as `pending` and in the queue for its time: another message would
    /// know nothing of its delay and its attempts.
    async fn without_message(&self, mut candidates: Vec<LostOrder>) -> Result<Vec<LostOrder>, QueueError> {
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let ids: HashSet<OrderId> = candidates.iter().map(|orphan| orphan.order_id).collect();
        let mut held = HashSet::new();
        let mut cursor = Some(0);
        while let Some(position) = cursor {
            let page = self.queue.browse(Part::Claimed, position).await?;
            let messages = page.payloads.iter().filter_map(|payload| message::decode(payload).ok());
            held.extend(messages.map(|message| message.order_id()).filter(|order_id| ids.contains(order_id)));
            cursor = page.next;
        }
        candidates.retain(|orphan| !held.contains(&orphan.order_id));
        Ok(candidates)
    }

    /// A message that was settled before it could be read is the message of an order that has moved on since the first search.
    async fn still_lost(
        &self,
        mut orphans: Vec<LostOrder>,
        search: &LostOrderSearch,
    ) -> Result<Vec<LostOrder>, StoreError> {
        if orphans.is_empty() {
            return Ok(orphans);
        }
        let now = self.store.lost_orders(search).await?;
        let unchanged: HashSet<_> = now.iter().map(|order| (order.order_id, order.fence)).collect();
        orphans.retain(|orphan| unchanged.contains(&(orphan.order_id, orphan.fence)));
        Ok(orphans)
    }

    async fn adopt(&self, orphans: &[LostOrder]) -> Result<(), QueueError> {
        if orphans.is_empty() {
            return Ok(());
        }
        let adoptions: Vec<RequeuedMessage> = orphans.iter().map(adoption).collect();
        self.queue.requeue_lost(&adoptions).await?;
        for (drift, state) in [(Drift::LostMessage, State::Pending), (Drift::AbandonedOrder, State::Processing)] {
            let order_ids: Vec<OrderId> =
                orphans.iter().filter(|orphan| orphan.state == state).map(|orphan| orphan.order_id).collect();
            if !order_ids.is_empty() {
                let first = order_ids.get(..NAMED).unwrap_or(&order_ids);
                self.observers.emit(ReconcilerEvent::DriftFound { drift, count: order_ids.len() as u64, first });
            }
        }
        Ok(())
    }
}

/// The key has the row's fence in it: the same for all who find the order as it is now, and another one should it lose its
/// message again, as its dead letter must not be taken for the one before. The row has the last word on product and quantity: one
/// that no message can name is still an order.
fn adoption(orphan: &LostOrder) -> RequeuedMessage {
    let message = Message {
        order_id: orphan.order_id.0,
        product_id: orphan.product_id.max(1),
        quantity: orphan.quantity.max(1),
        correlation_id: orphan.correlation_id.clone(),
        traceparent: None,
        timestamp: None,
        not_before: None,
    };
    RequeuedMessage {
        key: format!("adopted-{}-{}", orphan.order_id, orphan.fence.0),
        payload: message.encode(),
        attempts: orphan.attempts,
    }
}
