//! What operators decide about orders that are not done: cancel, hold and release.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{OrderId, State};
use crate::port::dead_letters::Decision;
use crate::port::store::StoreError;

/// Decides about 1 to 1,000 orders at once, each named once. Answers come by position, and one bad row never fails its neighbours.
/// No call waits for a row that another transaction has locked. A decision may be repeated.
///
/// ```
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::dead_letters::Decision;
/// # use fulfillment_worker::port::decisions::{Decided, OrderDecisions, Ruling};
/// # use fulfillment_worker::port::store::StoreError;
/// async fn cancel(store: &dyn OrderDecisions, order_id: OrderId) -> Result<bool, StoreError> {
///     store.can_cancel().await?;
///     let decision = Decision { by: "ada".to_owned(), reason: "the customer called".to_owned() };
///     let answers = store.cancel(&[order_id], &Ruling { decision, dry_run: false }).await?;
///     Ok(matches!(answers.first(), Some(Decided::Done(_))))
/// }
/// ```
#[async_trait]
pub trait OrderDecisions: Send + Sync {
    /// Says whether the order API's table can say that an order is cancelled.
    ///
    /// # Errors
    /// [`StoreError::Tables`] says why it can't.
    async fn can_cancel(&self) -> Result<(), StoreError>;

    /// Cancels orders that are pending or processing. [`Decided::Done`] tells which: of one that was processing nobody knows what
    /// its fulfiller did, and its worker is superseded.
    async fn cancel(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError>;

    /// Holds orders that are pending or processing. One that was pending is begun by nobody from the answer on; one that was
    /// processing is held once its attempt has ended. A hold takes the place of the one before; one of the same author, reason and
    /// end is left as it is, unless that end is [`HoldEnd::After`] now.
    async fn hold(&self, order_ids: &[OrderId], end: HoldEnd, ruling: &Ruling) -> Result<Vec<Decided>, StoreError>;

    /// Ends holds, whoever made them. The caller pushes the messages of the orders that are open.
    async fn release(&self, order_ids: &[OrderId], ruling: &Ruling) -> Result<Vec<Decided>, StoreError>;
}

/// A decision as it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// Who decides, and why.
    pub decision: Decision,
    /// Whether nothing is written, and the answers say what would be.
    pub dry_run: bool,
}

/// When a hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldEnd {
    /// When somebody releases the order.
    Never,
    /// So much later than now, by the database's clock.
    After(Duration),
    /// At this time, in microseconds since 1970-01-01 00:00 UTC.
    At(i64),
}

impl HoldEnd {
    /// ` for 30m`, ` until 2026-11-28T03:04:05Z`, or nothing.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Never => String::new(),
            Self::After(time) => format!(" for {}", humantime::format_duration(time)),
            Self::At(micros) => {
                jiff::Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| format!(" until {at}"))
            }
        }
    }
}

/// What became of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It is done, or would be.
    Done(OpenOrder),
    /// There was nothing to do in this state: it is cancelled already, or is not held.
    AsItWas(State),
    /// The order is in a state from which this can't be done.
    OrderIs(State),
    /// Another transaction has locked the row. Nothing was changed.
    Locked,
    /// No such row.
    Unknown,
    /// The database refused this row and took its neighbours.
    Refused(String),
}

/// An order as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOrder {
    /// The state that it was found in.
    pub state: State,
    /// Key of the product.
    pub product_id: i64,
    /// Pieces ordered.
    pub quantity: i64,
    /// The row's `created_at`, as in [`crate::domain::order::Order::created_at_micros`].
    pub created_at_micros: Option<i64>,
    /// The newest correlation id that the timeline has; read by a release alone.
    pub correlation_id: Option<String>,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Cancel,
    Hold,
    Release,
}

impl Kind {
    /// What is said of an order for which nothing was written, by the state found.
    pub(crate) fn not_done(self, state: State) -> Decided {
        match (self, state) {
            (Self::Cancel, State::Cancelled) => Decided::AsItWas(State::Cancelled),
            (Self::Release, state) => Decided::AsItWas(state),
            (_, state) => Decided::OrderIs(state),
        }
    }
}

impl Decision {
    /// The timeline's note on an order that this is about.
    pub(crate) fn note_on(&self, kind: Kind, end: HoldEnd) -> String {
        let did = match kind {
            Kind::Cancel => "cancelled",
            Kind::Hold => "held",
            Kind::Release => "released",
        };
        format!("{did}{} by {}: {}", end.in_words(), self.by, self.reason)
    }
}
