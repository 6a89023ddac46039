//! Cancels, holds and releases orders: the rows first, and the messages of what is released after them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::activity::Deed;
use crate::domain::message::Message;
use crate::domain::order::{OrderId, State};
use crate::port::activity::ActivityLog;
use crate::port::decisions::{Decided, HoldEnd, OpenOrder, OrderDecisions, Ruling};
use crate::port::queue::{Producer, QueueError};
use crate::port::retrying::Retrying;
use crate::port::store::StoreError;

/// How often orders are asked about whose rows are locked: a worker's own transactions are over by then.
const LOOKS: usize = 5;

/// The pause before the next look.
const PAUSE: Duration = Duration::from_millis(100);

/// Orders in one transaction.
const BATCH: usize = 100;

/// Decides about orders, each named once or more often. Every part may run twice.
pub struct Decide {
    /// Receives the messages of orders that are released.
    pub queue: Arc<dyn Producer>,
    /// Has the orders.
    pub store: Arc<dyn OrderDecisions>,
    /// Takes down who decided; nobody does for a job, as its making is there already.
    pub activity: Option<Arc<dyn ActivityLog>>,
    /// Who decided, why, and whether it is carried out.
    pub ruling: Ruling,
    /// How long to retry while a server does not answer.
    pub retrying: Retrying,
}

/// What became of each order, and whether messages could be pushed.
#[derive(Debug)]
pub struct Decisions {
    /// Each order once, in the order in which they were named.
    pub orders: Vec<(OrderId, Decided)>,
    /// Why orders that were released may lack a message: workers come to them by their own messages within minutes, or by the
    /// reconciler's.
    pub not_pushed: Option<QueueError>,
    /// Why the orders that were named after these were not asked about.
    pub ended: Option<StoreError>,
    /// Whether something was asked again as no answer came: what is as it was may be this decision's own doing.
    pub repeated: bool,
}

#[derive(Clone, Copy)]
enum What {
    Cancel,
    Hold(HoldEnd),
    Release,
}

impl Decide {
    /// Cancels orders.
    ///
    /// # Errors
    /// Before anything is changed: the store doesn't answer, or can't say that an order is cancelled.
    pub async fn cancel(&self, order_ids: &[OrderId]) -> Result<Decisions, StoreError> {
        self.patiently(StoreError::is_transient, || self.store.can_cancel()).await?;
        Ok(self.all(order_ids, What::Cancel).await)
    }

    /// Holds orders.
    pub async fn hold(&self, order_ids: &[OrderId], end: HoldEnd) -> Decisions {
        self.all(order_ids, What::Hold(end)).await
    }

    /// Ends holds, and pushes the messages of orders that are open.
    pub async fn release(&self, order_ids: &[OrderId]) -> Decisions {
        let mut decisions = self.all(order_ids, What::Release).await;
        let messages: Vec<Vec<u8>> =
            decisions.orders.iter().filter_map(|(id, decided)| message(*id, decided)).collect();
        if !messages.is_empty() && !self.ruling.dry_run {
            decisions.not_pushed = self.patiently(QueueError::is_transient, || self.queue.push(&messages)).await.err();
        }
        decisions
    }

    async fn all(&self, order_ids: &[OrderId], what: What) -> Decisions {
        let mut named = HashSet::new();
        let order_ids: Vec<OrderId> = order_ids.iter().copied().filter(|id| named.insert(*id)).collect();
        let mut decisions = Decisions { orders: Vec::new(), not_pushed: None, ended: None, repeated: false };
        for batch in order_ids.chunks(BATCH) {
            if self.retrying.stop.is_cancelled() {
                decisions.ended = Some(StoreError::Unavailable("interrupted".to_owned()));
                break;
            }
            match self.batch(batch, what, &mut decisions.repeated).await {
                Ok(decided) => decisions.orders.extend(batch.iter().copied().zip(decided)),
                Err(error) => {
                    decisions.ended = Some(error);
                    break;
                }
            }
        }
        self.note(&decisions, what).await;
        decisions
    }

    async fn note(&self, decisions: &Decisions, what: What) {
        let Some(log) = self.activity.as_deref().filter(|_| !self.ruling.dry_run) else { return };
        let is_ours = |decided: &Decided| match decided {
            Decided::Done(_) => true,
            Decided::AsItWas(_) => decisions.repeated,
            Decided::OrderIs(_) | Decided::Locked | Decided::Unknown | Decided::Refused(_) => false,
        };
        let done = decisions.orders.iter().filter(|(_, decided)| is_ours(decided));
        let ids: Vec<i64> = done.map(|(order_id, _)| order_id.0).collect();
        let (action, more) = match what {
            What::Cancel => ("cancel", String::new()),
            What::Hold(end) => ("hold", end.in_words()),
            What::Release => ("release", String::new()),
        };
        Deed { action, noun: "order", ids: &ids, more }.note(log, &self.ruling.decision).await;
    }

    /// Looks again at rows that are locked, for a moment.
    async fn batch(&self, order_ids: &[OrderId], what: What, repeated: &mut bool) -> Result<Vec<Decided>, StoreError> {
        let mut answers = vec![Decided::Locked; order_ids.len()];
        for look in 0..LOOKS {
            let open: Vec<usize> = answers
                .iter()
                .enumerate()
                .filter(|(_, answer)| **answer == Decided::Locked)
                .map(|(at, _)| at)
                .collect();
            if open.is_empty() {
                break;
            }
            if look > 0 {
                self.retrying.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
            let ids: Vec<OrderId> = open.iter().filter_map(|&at| order_ids.get(at).copied()).collect();
            let once = |_| self.once(&ids, what);
            let decided = self.retrying.until_answered(StoreError::is_transient, |_, _| *repeated = true, once).await?;
            for (at, decided) in open.into_iter().zip(decided) {
                if let Some(answer) = answers.get_mut(at) {
                    *answer = decided;
                }
            }
        }
        Ok(answers)
    }

    async fn once(&self, order_ids: &[OrderId], what: What) -> Result<Vec<Decided>, StoreError> {
        match what {
            What::Cancel => self.store.cancel(order_ids, &self.ruling).await,
            What::Hold(end) => self.store.hold(order_ids, end, &self.ruling).await,
            What::Release => self.store.release(order_ids, &self.ruling).await,
        }
    }

    async fn patiently<T, E, F>(&self, is_transient: impl Fn(&E) -> bool, call: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.retrying.until_answered(is_transient, |_, _| (), |_| call()).await
    }
}

/// The message of an order that was released and is still to be worked on.
fn message(order_id: OrderId, decided: &Decided) -> Option<Vec<u8>> {
    let Decided::Done(OpenOrder { state, product_id, quantity, correlation_id, .. }) = decided else { return None };
    matches!(state, State::Pending | State::Processing).then(|| {
        Message {
            order_id: order_id.0,
            product_id: *product_id,
            quantity: *quantity,
            correlation_id: correlation_id.clone(),
            traceparent: None,
            timestamp: None,
            not_before: None,
        }
        .encode()
    })
}
