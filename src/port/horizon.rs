//! The horizon: from when on orders that lost their message are taken in. It is written once, at the first start, so that
//! a worker that replaces another one leaves alone what that one lost.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::order::{OrderId, State};
use crate::port::store::StoreError;

/// Messages that come out of order by less than this count as equally old: a producer's delay between its two steps.
pub const DISORDER: Duration = Duration::from_secs(60);

/// Which orders are too old to be taken in: those created before `adopt_from` that were there when it was noted. An order
/// without any time is judged by its id alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    /// `None` takes in orders of every age.
    pub adopt_from: Option<Timestamp>,
    /// The greatest id when it was noted; `None` where no order is older, whatever its time.
    pub last_order_id: Option<OrderId>,
}

impl Horizon {
    /// That of an installation which was there before horizons.
    pub const EVERYTHING: Self = Self { adopt_from: None, last_order_id: None };
}

/// What the store knows of its horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// This is it.
    Horizon(Horizon),
    /// No worker has started yet.
    Nothing,
    /// The worker's own tables are those of a version before: `migrate` will note [`Horizon::EVERYTHING`].
    OlderTables,
}

/// What became of a horizon that was to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It lies there now, and lay elsewhere before.
    Yes,
    /// It lay there already.
    AlreadyThere,
    /// Orders of every age are taken in, as this installation was there before horizons: which orders it has begun before
    /// isn't known, so none may be left alone.
    TakesEverything,
}

/// How an open order stands to a horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is taken in once it has no message.
    TakenIn,
    /// Older than the horizon, and never begun here.
    BeforeHorizon,
    /// Nothing has touched it for longer than the greatest age.
    TooOld,
}

/// An open order, as the store sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// Key of the row.
    pub order_id: OrderId,
    /// [`State::Pending`] or [`State::Processing`].
    pub state: State,
    /// Time since it was created, or else since it was last touched. `None` where the row has neither time, or one that is
    /// yet to come.
    pub age: Option<Duration>,
    /// Time since it was last touched, in the same way.
    pub untouched: Option<Duration>,
    /// Whether it is taken in.
    pub standing: Standing,
}

/// Keeps the horizon and judges orders by it. Times are compared by the database, in its session's zone where a column has
/// none.
///
/// ```
/// # use fulfillment_worker::port::horizon::{Horizons, Noted};
/// # use fulfillment_worker::port::store::StoreError;
/// /// At the first start of all: leaves alone what another worker lost.
/// async fn first_start(store: &dyn Horizons) -> Result<(), StoreError> {
///     if store.noted().await? == Noted::Nothing {
///         let horizon = store.behind_everything().await?;
///         store.note(&horizon).await?;
///     }
///     Ok(())
/// }
/// ```
#[async_trait]
pub trait Horizons: Send + Sync {
    /// Reads it. Answers before the worker's own tables are there, too. Where workers have worked and it is gone, that is
    /// [`Horizon::EVERYTHING`]: a new one would leave orders alone that were begun here.
    async fn noted(&self) -> Result<Noted, StoreError>;

    /// The horizon that leaves all alone that is there now: it lies behind the newest open order, unless that was created a
    /// day or more from now.
    async fn behind_everything(&self) -> Result<Horizon, StoreError>;

    /// When the first of these orders that is open was created; or the earliest of those that are open and were created at
    /// most [`DISORDER`] before it. `None` if none is open and has a time. At most 1,000.
    async fn oldest_open(&self, order_ids: &[OrderId]) -> Result<Option<Timestamp>, StoreError>;

    /// Notes it, unless there is one. Returns whether this call has.
    async fn note(&self, horizon: &Horizon) -> Result<bool, StoreError>;

    /// Moves the one that is there, in either direction.
    async fn move_to(&self, adopt_from: Timestamp) -> Result<Moved, StoreError>;

    /// Judges at most 1,000 orders by `horizon`, in order of id; leaves out what isn't open. Answers before the worker's own
    /// tables are there, too.
    async fn judge(
        &self,
        order_ids: &[OrderId],
        horizon: &Horizon,
        max_age: Duration,
    ) -> Result<Vec<OpenOrder>, StoreError>;
}
