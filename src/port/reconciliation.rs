//! What those beside the pipeline need of the orders' table: who reconciles, which orders may have lost their message, how
//! many are open and how old they are, and whether every row is accounted for.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::{OrderStore, StoreError};

/// How far the queue has been worked off. It is first in first out: what was created before an order that was claimed
/// has been claimed too, or has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedUpTo {
    /// Nobody knows: no `pending` order is looked for.
    Unknown,
    /// The newest `created_at` that was claimed, in microseconds as in [`crate::domain::order::Order::created_at_micros`].
    CreatedAt(i64),
    /// Nothing waits to be claimed.
    Everything,
}

/// Which orders may have lost their message. Every age is by the database's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrphanSearch {
    /// `pending` orders count if they were created earlier than this by the grace.
    pub claimed_up_to: ClaimedUpTo,
    /// How long an order must have been left as it is; for `processing` ones, after their lease.
    pub grace: Duration,
    /// Orders left as they are for longer than this are left alone.
    pub max_age: Duration,
    /// Only orders with an id above this.
    pub after: OrderId,
    /// At most this many, in order of id.
    pub limit: usize,
}

/// An order that may have lost its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Key of the row.
    pub order_id: OrderId,
    /// Key of its product.
    pub product_id: i64,
    /// Pieces ordered.
    pub quantity: i64,
    /// [`State::Pending`] or [`State::Processing`].
    pub state: State,
    /// The row's `updated_at`; 0 where that is null.
    pub fence: Fence,
    /// How many of its attempts are spent, as far as the timeline tells.
    pub attempts: u32,
    /// The newest one that the timeline has.
    pub correlation_id: Option<String>,
}

/// How many attempts are spent of an order in `state` whose timeline ends with `last`.
///
/// An attempt that began and did not end is spent, as it would be had its message not been lost: a message that kills its
/// worker, and whatever loses messages, must not go on for ever. One that ended with the order back at `pending` may have
/// been handed back unspent, which the timeline doesn't tell: it is given back, as an outage must cost nothing. A timeline
/// that doesn't end with the state that the row is in has missed something, such as a person's decision: that starts anew.
pub(crate) fn attempts_spent(state: &State, last: Option<(State, u32)>) -> u32 {
    match (state, last) {
        (State::Processing, Some((State::Processing, attempt))) => attempt,
        (State::Pending, Some((State::Pending, attempt))) => attempt.saturating_sub(1),
        _ => 0,
    }
}

/// The orders that are not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOrders {
    /// [`State::Pending`].
    pub pending: OpenState,
    /// [`State::Processing`].
    pub processing: OpenState,
    /// How long the statement took. Waits for a connection, or for other statements, are left out.
    pub took: Duration,
}

/// The orders in one open state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenState {
    /// How many.
    pub orders: u64,
    /// The greatest time since an order's `created_at`, by the database's own clock. `None` where no order has one.
    pub oldest: Option<Duration>,
}

impl OpenOrders {
    /// Notes what was found of a state; one that is not open is nobody's business here.
    pub(crate) fn set(&mut self, state: &State, found: OpenState) {
        match state {
            State::Pending => self.pending = found,
            State::Processing => self.processing = found,
            State::Fulfilled | State::Failed | State::Foreign(_) => {}
        }
    }
}

/// What an audit found among some rows, in order of id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// The last row looked at; `None` if there was none.
    pub last: Option<OrderId>,
    /// Number of orders by status.
    pub orders_by_state: Vec<(String, u64)>,
    /// `pending` and `processing` orders: each needs a message.
    pub open: Vec<OrderId>,
    /// `failed` orders without a dead letter.
    pub failed_without_letter: Vec<OrderId>,
    /// `fulfilled` orders whose timeline doesn't have exactly one such entry.
    pub not_fulfilled_once: Vec<OrderId>,
    /// `fulfilled` orders without any timeline: fulfilled by another program, or with `--events off`.
    pub without_timeline: u64,
}

/// A store whose rows can be audited. Safe beside workers.
#[async_trait]
pub trait Audit: OrderStore {
    /// Takes or keeps the lead among all workers of this store, for `term` from now by the database's clock. Answers
    /// whether it is ours. One that isn't renewed is free for others once its term is over.
    async fn lead(&self, term: Duration) -> Result<bool, StoreError>;

    /// Gives up the lead, if it is ours.
    async fn resign(&self) -> Result<(), StoreError>;

    /// Orders that may have lost their message.
    async fn orphans(&self, search: &OrphanSearch) -> Result<Vec<Orphan>, StoreError>;

    /// Counts `pending` and `processing` orders that were left as they are for longer than `max_age`.
    async fn left_alone(&self, max_age: Duration) -> Result<u64, StoreError>;

    /// Counts open orders and finds the oldest of each state. Reads them all, and nothing of what is done: a count that
    /// takes longer than [`OPEN_ORDERS_LIMIT`] is broken off, and [`StoreError::Unavailable`].
    async fn open_orders(&self) -> Result<OpenOrders, StoreError>;

    /// Looks at up to `limit` (1 to 10,000) rows with an id above `after`.
    async fn audit(&self, after: OrderId, limit: usize) -> Result<AuditPage, StoreError>;

    /// The states of orders, by position; `None` where there is no such row. At most 1,000.
    async fn states(&self, order_ids: &[OrderId]) -> Result<Vec<Option<State>>, StoreError>;
}

/// How long [`Audit::open_orders`] may keep a server, or the thread of an embedded database, busy.
pub const OPEN_ORDERS_LIMIT: Duration = Duration::from_secs(5);

/// The name of the lead.
pub(crate) const RECONCILER: &str = "reconciler";

impl AuditPage {
    /// Adds `orders` of this status with this finding, as the backends' statements call it; `order_ids` are empty for
    /// those that nobody has to look at.
    pub(crate) fn add(&mut self, status: &str, finding: &str, orders: u64, order_ids: impl Iterator<Item = OrderId>) {
        match self.orders_by_state.iter_mut().find(|(known, _)| known == status) {
            Some((_, count)) => *count += orders,
            None => self.orders_by_state.push((status.to_owned(), orders)),
        }
        match finding {
            "open" => self.open.extend(order_ids),
            "no_dead_letter" => self.failed_without_letter.extend(order_ids),
            "not_once" => self.not_fulfilled_once.extend(order_ids),
            "no_timeline" => self.without_timeline += orders,
            _ => {}
        }
    }

    /// Puts the ids in order.
    pub(crate) fn sort(&mut self) {
        for order_ids in [&mut self.open, &mut self.failed_without_letter, &mut self.not_fulfilled_once] {
            order_ids.sort_unstable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_spent_if_it_began_and_did_not_end() {
        let spent = |state: &str, last: Option<(&str, u32)>| {
            attempts_spent(&State::from(state), last.map(|(state, attempt)| (State::from(state), attempt)))
        };
        assert_eq!(spent("processing", Some(("processing", 3))), 3);
        assert_eq!(spent("pending", Some(("pending", 3))), 2, "perhaps handed back");
        assert_eq!(spent("pending", Some(("pending", 0))), 0, "redriven");
        assert_eq!(spent("pending", Some(("processing", 3))), 0, "put back by a person");
        assert_eq!(spent("pending", Some(("failed", 5))), 0, "put back by a person, or redriven without a timeline");
        assert_eq!(spent("processing", Some(("pending", 2))), 0, "begun without a timeline");
        assert_eq!(spent("pending", None), 0);
    }
}
