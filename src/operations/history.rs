//! One order with all that is known of it.

use crate::domain::order::OrderId;
use crate::port::dead_letters::{DeadLetterFilter, DeadLetters, StoredDeadLetter};
use crate::port::reports::{OrderReport, Reports, TimelineEntry};
use crate::port::store::StoreError;

/// Dead letters of an order that are looked at, oldest first. Each redrive that fails adds one.
const MOST_LETTERS: usize = 1_000;

/// An order, its timeline and its dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The row.
    pub order: OrderReport,
    /// Its transitions, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// Without their messages, oldest first.
    pub letters: Vec<StoredDeadLetter>,
}

impl History {
    /// Reads it; `None` if the order has no row.
    ///
    /// # Errors
    /// When the store doesn't answer.
    pub async fn of(
        reports: &dyn Reports,
        dead_letters: &dyn DeadLetters,
        id: OrderId,
    ) -> Result<Option<Self>, StoreError> {
        let Some(order) = reports.order(id).await? else { return Ok(None) };
        let of_order = DeadLetterFilter { order_id: Some(id), ..DeadLetterFilter::default() };
        let letters = dead_letters.list_without_messages(&of_order, 0, MOST_LETTERS).await?;
        Ok(Some(Self { order, timeline: reports.timeline(id).await?, letters }))
    }
}
