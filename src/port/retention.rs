//! What deletes old timelines: one worker at a time, by pages.

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::order::{Fence, OrderId};
use crate::port::store::StoreError;

/// The name of the lead.
pub(crate) const RETENTION: &str = "retention";

/// Deletes the timelines of orders that are over and done with.
///
/// ```
/// # use std::time::Duration;
/// # use fulfillment_worker::domain::order::OrderId;
/// # use fulfillment_worker::port::retention::{Retention, TimelinePage};
/// # use fulfillment_worker::port::store::StoreError;
/// /// Deletes a page of timelines that ended more than 90 days ago; returns where the next one begins.
/// async fn prune(store: &dyn Retention, after: OrderId) -> Result<Option<OrderId>, StoreError> {
///     if !store.lead_retention(Duration::from_secs(60)).await? {
///         return Ok(None);
///     }
///     let cutoff = store.move_cutoff(Duration::from_secs(90 * 24 * 3_600)).await?.at;
///     Ok(store.delete_timelines(&TimelinePage { after, limit: 1_000, cutoff }).await?.next)
/// }
/// ```
#[async_trait]
pub trait Retention: Send + Sync {
    /// Takes or keeps the lead, as [`crate::port::reconciliation::Reconciliation::lead`] does the reconciler's.
    async fn lead_retention(&self, term: Duration) -> Result<bool, StoreError>;

    /// Gives up that lead, if this worker has it.
    async fn resign_retention(&self) -> Result<(), StoreError>;

    /// Moves the cutoff to `keep` ago by the store's clock, and returns where it is. It is kept in the store, goes back at once,
    /// and forward by a day at most and not again within an hour: a clock that is set wrong must not delete everything. The
    /// first time it goes where it is to be.
    async fn move_cutoff(&self, keep: Duration) -> Result<Cutoff, StoreError>;

    /// Deletes what is to be deleted of one page. Deletes nothing unless this worker leads.
    async fn delete_timelines(&self, page: &TimelinePage) -> Result<PageDone, StoreError>;
}

/// Timelines that ended before it are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    /// As in [`crate::port::reports::TimelineEntry::at`].
    pub at: Fence,
    /// How far it is behind where it is to be.
    pub behind: Duration,
}

/// A part of all timelines, in order of their orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelinePage {
    /// Only orders with an id above this.
    pub after: OrderId,
    /// At most this many entries are looked at, at least 1. The last order's are deleted all the same if there are more.
    pub limit: usize,
    /// Timelines whose last entry is older are deleted, unless the order is `pending` or `processing`, or has a dead letter
    /// that nobody has decided about.
    pub cutoff: Fence,
}

/// What came of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageDone {
    /// `after` of the next page; `None` after the last one.
    pub next: Option<OrderId>,
    /// Whether a timeline ended before the cutoff, deleted or not.
    pub any_ended: bool,
    /// Number of deleted entries.
    pub deleted: u64,
}
