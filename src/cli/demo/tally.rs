//! Counts the orders of the demo.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::event::{Event, LifecycleEvent, Observer, OrderEvent};
use crate::operations::plural;

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    started: bool,
    pub(super) submitted: u64,
    pub(super) fulfilled: u64,
    pub(super) retried: u64,
    pub(super) dead_letters: u64,
    pub(super) in_flight: u64,
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
    ages: Mutex<Ages>,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    pub(super) fn submitted(&self, submitted: u64) {
        self.counts.send_modify(|counts| counts.submitted = submitted);
    }

    /// Returns once the engine works.
    pub(super) async fn started(&self) {
        self.until(|counts| counts.started).await;
    }

    /// Returns once so many orders are finished.
    pub(super) async fn finished(&self, orders: u64) {
        self.until(|counts| counts.finished() >= orders).await;
    }

    async fn until(&self, condition: impl Fn(&Counts) -> bool) {
        // Fails only without a sender, and that is ourselves.
        let _ = self.counts.subscribe().wait_for(condition).await;
    }

    /// A few lines for the end.
    pub(super) fn summary(&self, took: Duration) -> String {
        let counts = self.counts();
        let ages = self.ages.lock();
        let age = |share| ages.quantile(share).map_or("-".to_owned(), |age| format!("{:.2} s", age.as_secs_f64()));
        // A ratio for a person to read.
        let rate = counts.finished() as f64 / took.as_secs_f64().max(0.001);
        let left = counts.submitted.saturating_sub(counts.finished());
        let mut lines = vec![
            format!("orders         {}", counts.submitted),
            format!("fulfilled      {}", counts.fulfilled),
            format!("retried        {}", counts.retried),
            format!("dead letters   {}", counts.dead_letters),
            format!("orders/s       {rate:.1}"),
            format!("order placed to fulfilled: median {}, 95 % within {}", age(0.5), age(0.95)),
        ];
        if left > 0 {
            lines.push(format!("{} not finished, removed with the temporary folder", plural(left, "order")));
        }
        lines.join("\n")
    }
}

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Order(OrderEvent::Fulfilled { age: Some(age), .. }) = event {
            self.ages.lock().add(*age);
        }
        self.counts.send_if_modified(|counts| {
            match event {
                Event::Lifecycle(LifecycleEvent::Started { .. }) => counts.started = true,
                Event::Order(OrderEvent::Fulfilled { .. }) => counts.fulfilled += 1,
                Event::Order(OrderEvent::Retried { reason, .. }) if reason.spends_attempt() => counts.retried += 1,
                Event::Order(OrderEvent::DeadLettered { .. }) => counts.dead_letters += 1,
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

    #[test]
    fn the_summary_counts_every_order() {
        let tally = Tally::default();
        tally.submitted(4);
        tally.observe(&fulfilled(1200));
        tally.observe(&fulfilled(1800));
        tally.observe(&retried(RetryReason::FulfillerFailed));
        assert_eq!(
            tally.summary(Duration::from_secs(4)),
            "orders         4\nfulfilled      2\nretried        1\ndead letters   0\norders/s       0.5\n\
             order placed to fulfilled: median 1.21 s, 95 % within 1.81 s\n\
             2 orders not finished, removed with the temporary folder"
        );
    }
}
