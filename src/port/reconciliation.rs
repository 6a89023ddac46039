//! What the reconciler needs of the store: the lead, and the orders that may have lost their message.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::StoreError;

/// The name of the lead.
pub(crate) const RECONCILER: &str = "reconciler";

/// Elects the reconciler and finds the orders it looks for.
///
/// ```
/// # use std::time::Duration;
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrder, LostOrderSearch, Reconciliation};
/// # use fulfillment_worker::port::store::StoreError;
/// /// Orders that nothing has touched for a minute although the queue is empty.
/// async fn lost(store: &dyn Reconciliation) -> Result<Vec<LostOrder>, StoreError> {
///     if !store.lead(Duration::from_secs(90)).await? {
///         return Ok(Vec::new());
///     }
///     let search = LostOrderSearch {
///         claimed_up_to: ClaimedUpTo::Everything,
///         grace: Duration::from_secs(60),
///         max_age: Duration::from_secs(7 * 24 * 3_600),
///         after: OrderId(0),
///         limit: 500,
///     };
///     store.lost_orders(&search).await
/// }
/// ```
#[async_trait]
pub trait Reconciliation: Send + Sync {
    /// Takes or keeps the lead among all workers of this store, for `term` from now by the database's clock. Returns
    /// whether this worker leads. Others may take a lead that was not renewed within its term.
    async fn lead(&self, term: Duration) -> Result<bool, StoreError>;

    /// Gives up the lead, if this worker has it.
    async fn resign(&self) -> Result<(), StoreError>;

    /// Finds orders that may have lost their message.
    async fn lost_orders(&self, search: &LostOrderSearch) -> Result<Vec<LostOrder>, StoreError>;

    /// Counts `pending` and `processing` orders that nothing has touched for longer than `max_age`.
    async fn stale_orders(&self, max_age: Duration) -> Result<u64, StoreError>;

    /// Counts `pending` and `processing` orders that the search leaves out because they are older than the
    /// [horizon](crate::port::horizon::Horizon) and were never begun here. One with a message is among them until it is begun.
    async fn orders_before_horizon(&self) -> Result<OlderOrders, StoreError>;

    /// Looks through a bounded number of orders for those that are open, on behalf of the calls that read open orders, where
    /// no index leads to them. The leader calls it again and again; two leaders do no harm. `None` where an index does.
    async fn sweep(&self) -> Result<Option<Sweep>, StoreError>;
}

/// What a sweep came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Number of orders looked at.
    pub orders: u64,
    /// Number of open orders that the calls that read open orders didn't know of: they were opened again by somebody else, or
    /// their ids came late.
    pub found: u64,
    /// Whether there are more orders that these calls need not read once they are swept.
    pub goes_on: bool,
    /// Whether the last of all orders was looked at, and the next sweep begins anew.
    pub is_through: bool,
}

/// How far workers have claimed the queue. It is first in first out: an order that is older than a claimed one has been
/// claimed too, or has no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedUpTo {
    /// Not known: the search leaves out `pending` orders.
    Unknown,
    /// The newest `created_at` that was claimed, in microseconds as in
    /// [`crate::domain::order::Order::created_at_micros`].
    CreatedAt(i64),
    /// No message waits to be claimed.
    Everything,
}

/// Selects orders that may have lost their message. Every age is by the database's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LostOrderSearch {
    /// A `pending` order counts if it is older than this by the grace.
    pub claimed_up_to: ClaimedUpTo,
    /// How long nothing must have touched an order; for a `processing` one, after its lease.
    pub grace: Duration,
    /// The search leaves out orders that nothing has touched for longer than this.
    pub max_age: Duration,
    /// Only orders with an id above this.
    pub after: OrderId,
    /// At most this many, in order of id.
    pub limit: usize,
}

/// Orders that are older than the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OlderOrders {
    /// Number of these orders.
    pub orders: u64,
    /// Where the horizon lies; `None` if orders of every age are taken in.
    pub adopt_from: Option<Timestamp>,
}

/// An order that may have lost its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostOrder {
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
    /// The number of its spent attempts, as far as the timeline shows.
    pub attempts: u32,
    /// The newest one that the timeline has.
    pub correlation_id: Option<String>,
}
