//! Counts the orders of the demo.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::domain::dead_letter::DeadReason;
use crate::domain::order::OrderId;
use crate::event::{Event, LifecycleEvent, Observer, OrderEvent};

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) listen: Option<SocketAddr>,
    pub(super) started: bool,
    pub(super) submitted: u64,
    pub(super) fulfilled: u64,
    pub(super) retried: u64,
    /// Orders that are dead-lettered and have not been fulfilled after all.
    pub(super) dead_letters: u64,
    pub(super) first_dead: Option<DeadOrder>,
    /// Orders that were dead-lettered, retried by hand and fulfilled.
    pub(super) fulfilled_after_all: u64,
    pub(super) in_flight: u64,
}

/// An order that was dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DeadOrder {
    pub(super) order_id: OrderId,
    pub(super) reason: DeadReason,
}

impl Counts {
    /// Orders whose life is over.
    pub(super) fn finished(self) -> u64 {
        self.fulfilled + self.dead_letters
    }
}

/// An observer that counts, and tells who waits.
#[derive(Default)]
pub(super) struct Tally {
    counts: watch::Sender<Counts>,
    /// The orders of [`Counts::dead_letters`].
    dead: Mutex<HashSet<OrderId>>,
    ages: Mutex<Ages>,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) fn submitted(&self, submitted: u64) {
        self.counts.send_modify(|counts| counts.submitted = submitted);
    }

    /// Returns once the engine works, with the address that metrics and page have.
    pub(super) async fn started(&self) -> Option<SocketAddr> {
        self.until(|counts| counts.started).await;
        self.counts().listen
    }

    /// Returns once an order is dead-lettered, with the first one.
    pub(super) async fn first_dead(&self) -> DeadOrder {
        loop {
            self.until(|counts| counts.first_dead.is_some()).await;
            if let Some(first) = self.counts().first_dead {
                return first;
            }
        }
    }

    /// Returns once an order that was dead-lettered is so no more.
    pub(super) async fn fulfilled_after_all(&self, order_id: OrderId) {
        self.until(|_| !self.dead.lock().contains(&order_id)).await;
    }

    /// Returns once so many orders are finished.
    pub(super) async fn finished(&self, orders: u64) {
        self.until(|counts| counts.finished() >= orders).await;
    }

    async fn until(&self, condition: impl Fn(&Counts) -> bool) {
        // Fails only without a sender, and that is ourselves.
        let _ = self.counts.subscribe().wait_for(condition).await;
    }

    /// How long after its submission an order was fulfilled: the time that `share` of them did not exceed.
    pub(super) fn age(&self, share: f64) -> Option<Duration> {
        self.ages.lock().quantile(share)
    }

    /// Whether the order was dead-lettered before.
    fn revives(&self, order_id: Option<OrderId>) -> bool {
        order_id.is_some_and(|order_id| self.dead.lock().remove(&order_id))
    }

    /// Whether the order, if there is one, is dead-lettered for the first time.
    fn dies(&self, order_id: Option<OrderId>) -> bool {
        order_id.is_none_or(|order_id| self.dead.lock().insert(order_id))
    }
}

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Order(OrderEvent::Fulfilled { age: Some(age), .. }) = event {
            self.ages.lock().add(*age);
        }
        self.counts.send_if_modified(|counts| {
            match event {
                Event::Lifecycle(LifecycleEvent::Starting { listen, .. }) => {
                    counts.listen = listen.first().and_then(|url| url.strip_prefix("http://")?.parse().ok());
                }
                Event::Lifecycle(LifecycleEvent::Started { .. }) => counts.started = true,
                Event::Order(OrderEvent::Fulfilled { attempt, .. }) => {
                    counts.fulfilled += 1;
                    if self.revives(attempt.order_id) {
                        counts.dead_letters = counts.dead_letters.saturating_sub(1);
                        counts.fulfilled_after_all += 1;
                    }
                }
                Event::Order(OrderEvent::Retried { reason, .. }) if reason.spends_attempt() => counts.retried += 1,
                Event::Order(OrderEvent::DeadLettered { attempt, reason, .. }) if self.dies(attempt.order_id) => {
                    counts.dead_letters += 1;
                    let dead = attempt.order_id.map(|order_id| DeadOrder { order_id, reason: *reason });
                    counts.first_dead = counts.first_dead.or(dead);
                }
                Event::Order(OrderEvent::InFlight(in_flight)) => counts.in_flight = *in_flight as u64,
                _ => return false,
            }
            true
        });
    }
}

/// How many orders took how many steps of time, in bounded memory: what takes over ten minutes counts as ten.
#[derive(Default)]
struct Ages(BTreeMap<u32, u64>);

const STEP: Duration = Duration::from_millis(10);
const STEPS: u32 = 60_000;

impl Ages {
    fn add(&mut self, age: Duration) {
        let step = u32::try_from(age.as_millis() / STEP.as_millis()).unwrap_or(STEPS).min(STEPS - 1);
        *self.0.entry(step).or_default() += 1;
    }

    /// The age that `share` of the orders did not exceed, rounded up to a step.
    fn quantile(&self, share: f64) -> Option<Duration> {
        let mut left = (self.0.values().sum::<u64>() as f64 * share).ceil();
        let step = self.0.iter().find_map(|(step, count)| {
            left -= *count as f64;
            (left <= 0.0).then_some(step + 1)
        });
        step.map(|step| STEP * step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::label::Label;
    use crate::event::{AttemptRef, RetryReason};

    const ATTEMPT: AttemptRef<'_> = AttemptRef { order_id: None, correlation_id: None, number: 1, trace: None };

    fn fulfilled(milliseconds: u64) -> Event<'static> {
        let age = Some(Duration::from_millis(milliseconds));
        OrderEvent::Fulfilled { attempt: ATTEMPT, took: Duration::ZERO, age, reference: None }.into()
    }

    fn retried(reason: RetryReason) -> Event<'static> {
        OrderEvent::Retried { attempt: ATTEMPT, reason, after: Duration::ZERO }.into()
    }

    #[test]
    fn quantiles_are_those_of_the_ages() {
        let mut ages = Ages::default();
        assert_eq!(ages.quantile(0.5), None);
        for milliseconds in 1..=1000 {
            ages.add(Duration::from_millis(milliseconds));
        }
        assert_eq!(ages.quantile(0.5), Some(Duration::from_millis(510)));
        assert_eq!(ages.quantile(0.95), Some(Duration::from_millis(960)));
        ages.add(Duration::MAX);
        assert_eq!(ages.quantile(1.0), Some(Duration::from_secs(600)));
    }

    #[test]
    fn retries_that_spent_no_attempt_are_not_counted() {
        let tally = Tally::default();
        for reason in RetryReason::all() {
            tally.observe(&retried(reason));
        }
        assert_eq!(tally.counts().retried, 6);
    }

    #[tokio::test]
    async fn waiting_for_orders_ends_with_the_last_one() {
        let tally = Tally::default();
        tally.observe(&fulfilled(1));
        let waiting = tally.finished(2);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        tally.observe(&fulfilled(1));
        waiting.await;
    }

    #[tokio::test]
    async fn an_order_that_is_fulfilled_after_its_dead_letter_counts_once() {
        let tally = Tally::default();
        let attempt = AttemptRef { order_id: Some(OrderId(7)), ..ATTEMPT };
        let dead = OrderEvent::DeadLettered { attempt, reason: DeadReason::Rejected, detail: "" };
        tally.observe(&dead.into());
        tally.observe(&dead.into());
        let counts = tally.counts();
        assert_eq!((counts.dead_letters, counts.finished()), (1, 1));
        assert_eq!(tally.first_dead().await, DeadOrder { order_id: OrderId(7), reason: DeadReason::Rejected });

        tally.observe(&OrderEvent::Fulfilled { attempt, took: Duration::ZERO, age: None, reference: None }.into());
        tally.fulfilled_after_all(OrderId(7)).await;
        let counts = tally.counts();
        assert_eq!((counts.dead_letters, counts.fulfilled_after_all, counts.finished()), (0, 1, 1));
    }
}
