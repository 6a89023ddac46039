//! What people and metrics ask about the orders.

use std::time::Duration;

use async_trait::async_trait;
use enum_map::{Enum, EnumMap};
use strum::IntoStaticStr;

use crate::domain::dead_letter::StoredReason;
use crate::domain::order::{Fence, OrderId, State};
use crate::port::store::StoreError;

/// How long [`Reports::open_orders`] and [`Reports::open_dead_letters`] may each keep a server, or the thread of an embedded database, busy.
pub const OPEN_ORDERS_LIMIT: Duration = Duration::from_secs(5);

/// Reads counts, ages and single orders, and changes nothing.
///
/// ```
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::reports::Reports;
/// # use fulfillment_worker::port::store::StoreError;
/// async fn tell(store: &dyn Reports, order_id: OrderId) -> Result<(), StoreError> {
///     for entry in store.timeline(order_id).await? {
///         println!("attempt {}: {} {}", entry.attempt, entry.state.as_str(), entry.note.unwrap_or_default());
///     }
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Reports: Send + Sync {
    /// Counts and ages. Reads the whole table: for people and slow polls, not for every second.
    async fn summary(&self) -> Result<Summary, StoreError>;

    /// Reads an order's row; `None` if there is none.
    async fn order(&self, order_id: OrderId) -> Result<Option<OrderReport>, StoreError>;

    /// Reads an order's transitions, oldest first.
    async fn timeline(&self, order_id: OrderId) -> Result<Vec<TimelineEntry>, StoreError>;

    /// Looks for a correlation id in timelines, from the newest orders backwards, among orders with ids below `below`. Finds at
    /// most `limit` orders, at least one, where an index leads to correlation ids. Where none does, as in the tables of a large
    /// installation that has not made it, looks in at most `limit` transitions; callers page, and bound how long they do. Of an
    /// order with more than `limit` transitions only the newest are looked at then.
    async fn correlated(&self, correlation_id: &str, below: OrderId, limit: usize) -> Result<Correlated, StoreError>;

    /// Counts open orders and finds the oldest of each state. Reads every open order and no other. A count that takes
    /// longer than [`OPEN_ORDERS_LIMIT`] is broken off and returns [`StoreError::Unavailable`].
    async fn open_orders(&self) -> Result<OpenOrders, StoreError>;

    /// Counts the dead letters without a decision. Reads these and no others, within the limit of
    /// [`Reports::open_orders`].
    async fn open_dead_letters(&self) -> Result<OpenDeadLetters, StoreError>;

    /// How the store uses its connections now. Does no I/O.
    fn connections(&self) -> ConnectionUse;
}

/// The orders' table at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Number of orders by status, the worker's own four first and always present.
    pub orders_by_state: Vec<(String, u64)>,
    /// Number of orders that are held, as in [`OpenOrders::held`].
    pub held: u64,
    /// Age of the oldest order that is `pending`; `None` also where it can't be told ([`ClockDoubt`]).
    pub oldest_pending: Option<Duration>,
    /// Age of the oldest order that is `processing`, since it was created; likewise.
    pub oldest_processing: Option<Duration>,
}

impl Summary {
    /// Without any order: the worker's own four states, each with none.
    pub(crate) fn empty() -> Self {
        let states = [State::Pending, State::Processing, State::Fulfilled, State::Failed];
        let orders_by_state = states.map(|state| (state.as_str().to_owned(), 0)).into();
        Self { orders_by_state, ..Self::default() }
    }
}

/// Adds orders of one status to their number by status.
pub(crate) fn add_orders(orders_by_state: &mut Vec<(String, u64)>, status: &str, orders: u64) {
    match orders_by_state.iter_mut().find(|(known, _)| known == status) {
        Some((_, number)) => *number += orders,
        None => orders_by_state.push((status.to_owned(), orders)),
    }
}

/// The dead letters that nobody has retried or discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenDeadLetters {
    /// How many, by reason.
    pub by_reason: EnumMap<StoredReason, u64>,
    /// How long the statement took, as in [`OpenOrders`].
    pub took: Duration,
}

impl OpenDeadLetters {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.by_reason.values().sum()
    }
}

/// How the connections to a database are used. All zero for an embedded one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionUse {
    /// Open and free.
    pub idle: u64,
    /// Taken by a call.
    pub in_use: u64,
    /// The most that may be open.
    pub limit: u64,
}

impl std::ops::Add for ConnectionUse {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let Self { idle, in_use, limit } = self;
        Self { idle: idle + other.idle, in_use: in_use + other.in_use, limit: limit + other.limit }
    }
}

/// The orders that are not final yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenOrders {
    /// [`State::Pending`].
    pub pending: OpenState,
    /// [`State::Processing`].
    pub processing: OpenState,
    /// Number of orders that are held. One that has been fulfilled or cancelled since may count for a while.
    pub held: u64,
    /// How long the statement took. Waits for a connection, or for other statements, are left out.
    pub took: Duration,
    /// Why the ages of orders can't be told, if they can't.
    pub doubt: Option<ClockDoubt>,
}

/// Why the ages of orders can't be told: `created_at` and `updated_at` have no time zone. Orders are worked off all the same,
/// and one whose worker died is taken over up to a lease later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ClockDoubt {
    /// Workers write in different time zones.
    ZonesDiffer,
    /// A trigger or the like writes another `updated_at` than the clock's.
    FencesBehind,
    /// Orders that were just inserted look a quarter of an hour old, or a multiple of that.
    ProducersBehind,
    /// The time of an open order lies in the future, or in an hour that its time zone repeats.
    Ambiguous,
}

impl ClockDoubt {
    /// In words, for a person.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::ZonesDiffer => "workers write times in different time zones; give their roles the same `timezone`",
            Self::FencesBehind => "updated_at comes back behind the database's clock; a trigger on orders may write it",
            Self::ProducersBehind => {
                "new orders have a created_at that is long past; their producer may use another time zone"
            }
            Self::Ambiguous => "an order's time lies in the future, or in an hour that its time zone repeats",
        }
    }
}

/// The orders in one open state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenState {
    /// How many.
    pub orders: u64,
    /// The greatest time since an order's `created_at`, by the database's own clock. `None` where no order has one, or the
    /// clocks don't tell it.
    pub oldest: Option<Duration>,
}

impl OpenOrders {
    /// Notes the orders of a state; ignores a state that is not open.
    pub(crate) fn set(&mut self, state: &State, found: OpenState) {
        match state {
            State::Pending => self.pending = found,
            State::Processing => self.processing = found,
            State::Fulfilled | State::Failed | State::Cancelled | State::Foreign(_) => {}
        }
    }
}

/// A page of a search for a correlation id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Correlated {
    /// The orders found, the newest first. Several may have one correlation id.
    pub order_ids: Vec<OrderId>,
    /// `below` of the next page; `None` after the last one.
    pub next: Option<OrderId>,
}

impl Correlated {
    /// The page of orders below `below` that had `entries` of at most `limit` transitions, of which the oldest is one of
    /// order `lowest`. Other transitions of that order may stand on the next page.
    pub(crate) fn page(
        order_ids: Vec<OrderId>,
        below: OrderId,
        limit: usize,
        entries: u64,
        lowest: Option<i64>,
    ) -> Self {
        let next = lowest.filter(|_| entries >= limit as u64).map(|lowest| match lowest.saturating_add(1) {
            with_lowest if with_lowest < below.0 => OrderId(with_lowest),
            _ => OrderId(lowest),
        });
        Self { order_ids, next }
    }
}

/// One transition of an order, as the timeline keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineEntry {
    /// When, which is the `updated_at` that the transition wrote.
    pub at: Fence,
    /// The status entered.
    pub state: State,
    /// Which attempt; 0 for a redrive.
    pub attempt: u32,
    /// The worker's identity.
    pub worker: String,
    /// From the message.
    pub correlation_id: Option<String>,
    /// Reference, reason or detail.
    pub note: Option<String>,
}

impl TimelineEntry {
    /// Fills in what a store keeps once for each attempt: an entry without a worker has that of the entry before it, and its
    /// correlation id. Entries of earlier versions have their own. `entries` are one order's, oldest first.
    pub(crate) fn fill_in(entries: &mut [Self]) {
        let mut began: Option<Self> = None;
        for entry in entries {
            match &began {
                Some(began) if entry.worker.is_empty() => {
                    entry.worker.clone_from(&began.worker);
                    entry.correlation_id.clone_from(&began.correlation_id);
                }
                _ => began = Some(entry.clone()),
            }
        }
    }
}

/// An order's row, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderReport {
    /// Key of the row.
    pub id: OrderId,
    /// The row's status.
    pub state: State,
    /// Key of the product in `products`.
    pub product_id: i64,
    /// The product's name. `None` where the product can't be found.
    pub product: Option<String>,
    /// Pieces ordered.
    pub quantity: i64,
    /// The row's `created_at` in microseconds since 1970-01-01 00:00, as the column has no zone.
    pub created_at_micros: Option<i64>,
    /// How long ago that was, by the database's clock; `None` also where it can't be told.
    pub age: Option<Duration>,
    /// The row's `updated_at`, likewise.
    pub updated_at_micros: Option<i64>,
    /// How long ago that was, likewise.
    pub idle: Option<Duration>,
}
