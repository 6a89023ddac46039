//! Pushes the messages of orders again: for orders that wait although nothing seems to come of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Unanswered;
use super::activity::Deed;
use crate::domain::message::Message;
use crate::domain::order::{OrderId, State};
use crate::port::activity::ActivityLog;
use crate::port::dead_letters::Decision;
use crate::port::queue::{Producer, QueueError};
use crate::port::reports::{OrderReport, Reports};
use crate::port::retrying::Retrying;
use crate::port::search::{Between, Notes, OrderFilter, OrderSearch, Source};
use crate::port::store::StoreError;

/// Orders in one call, at most.
pub const MOST: usize = 1_000;

/// What became of one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enqueued {
    /// Its message is in the queue, once more.
    Pushed,
    /// A worker has it, and its lease is not over.
    InHand(Duration),
    /// A worker has it; the clocks don't tell whether its lease is over.
    ClockDoubt,
    /// It is in a state that no message changes.
    Left(State),
    /// It has no row.
    Missing,
    /// Its row has what no message can have.
    Unfit(String),
}

/// Pushes messages again.
pub struct Enqueue {
    /// Receives the messages.
    pub queue: Arc<dyn Producer>,
    /// Has the rows.
    pub search: Arc<dyn OrderSearch>,
    /// Has the correlation ids.
    pub reports: Arc<dyn Reports>,
    /// Takes down who decided, in the timelines.
    pub notes: Arc<dyn Notes>,
    /// Takes down the same for all of them at once.
    pub activity: Arc<dyn ActivityLog>,
    /// How long a worker may stay silent before another one takes its order over.
    pub lease: Duration,
    /// How long to retry while a server does not answer.
    pub retrying: Retrying,
}

impl Enqueue {
    /// Pushes the messages of 1 to 1,000 orders, of those that are `pending`, or `processing` beyond their lease. Answers by
    /// position; an order that is named twice is pushed once. A message too many changes nothing: its order's row decides.
    /// Whose decision it is stands in the activity, and in the timelines of the pending ones, unless events are off.
    ///
    /// # Errors
    /// When queue or store don't answer. Messages may have been pushed; the same call again is safe.
    pub async fn orders(
        &self,
        ids: &[OrderId],
        decision: &Decision,
        dry_run: bool,
    ) -> Result<Vec<Enqueued>, Unanswered> {
        let filter = OrderFilter::default();
        let source = Source::Ids(ids.to_vec());
        let look = || self.search.look(&filter, &source, Between::ALL, ids.len());
        let looked = self.retrying.until_answered(StoreError::is_transient, |_, _| (), |_| look()).await?;
        let rows: HashMap<OrderId, OrderReport> = looked.orders.into_iter().map(|order| (order.id, order)).collect();
        let answers: Vec<Enqueued> =
            ids.iter().map(|id| rows.get(id).map_or(Enqueued::Missing, |row| self.judge(row))).collect();
        let mut seen = HashSet::new();
        let pushed = ids.iter().zip(&answers).filter(|(id, answer)| **answer == Enqueued::Pushed && seen.insert(**id));
        let pushed: Vec<OrderId> = pushed.map(|(id, _)| *id).collect();
        if dry_run || pushed.is_empty() {
            return Ok(answers);
        }
        let mut payloads = Vec::with_capacity(pushed.len());
        for row in pushed.iter().filter_map(|id| rows.get(id)) {
            let timeline = || self.reports.timeline(row.id);
            let timeline = self.retrying.until_answered(StoreError::is_transient, |_, _| (), |_| timeline()).await?;
            let correlation_id = timeline.into_iter().rev().find_map(|entry| entry.correlation_id);
            payloads.push(message(row, correlation_id).encode());
        }
        // Before the push: then nobody has begun them yet.
        let note = format!("message pushed again by {}: {}", decision.by, decision.reason);
        let noted = || self.notes.note_pending(&pushed, &note);
        self.retrying.until_answered(StoreError::is_transient, |_, _| (), |_| noted()).await?;
        let push = || self.queue.push(&payloads);
        self.retrying.until_answered(QueueError::is_transient, |_, _| (), |_| push()).await?;
        let pushed: Vec<i64> = pushed.iter().map(|id| id.0).collect();
        let deed = Deed { action: "enqueue", noun: "order", ids: &pushed, more: String::new() };
        deed.note(&*self.activity, decision).await;
        Ok(answers)
    }

    fn judge(&self, row: &OrderReport) -> Enqueued {
        for (field, value) in [("id", row.id.0), ("product_id", row.product_id), ("quantity", row.quantity)] {
            if value < 1 {
                return Enqueued::Unfit(format!("its {field} is {value}"));
            }
        }
        match (&row.state, row.idle) {
            (State::Pending, _) => Enqueued::Pushed,
            (State::Processing, Some(idle)) if idle > self.lease => Enqueued::Pushed,
            (State::Processing, Some(idle)) => Enqueued::InHand(self.lease.saturating_sub(idle)),
            (State::Processing, None) if row.updated_at_micros.is_none() => Enqueued::Pushed,
            (State::Processing, None) => Enqueued::ClockDoubt,
            (state, _) => Enqueued::Left(state.clone()),
        }
    }
}

fn message(row: &OrderReport, correlation_id: Option<String>) -> Message {
    Message {
        order_id: row.id.0,
        product_id: row.product_id,
        quantity: row.quantity,
        correlation_id,
        traceparent: None,
        timestamp: None,
        not_before: None,
    }
}
