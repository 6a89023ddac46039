//! Counts what the demo's engine does.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::event::{Event, Observer, RetryReason};

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
            format!("order to fulfilment: median {}, 95 % within {}", age(0.5), age(0.95)),
        ];
        if left > 0 {
            lines.push(format!("{left} orders were still waiting; they are gone with the temporary folder"));
        }
        lines.join("\n")
    }
}

impl Observer for Tally {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Started { .. } => self.counts.send_modify(|counts| counts.started = true),
            Event::Fulfilled { age, .. } => {
                if let Some(age) = age {
                    self.ages.lock().add(*age);
                }
                self.counts.send_modify(|counts| counts.fulfilled += 1);
            }
            Event::Retried { reason, .. } if is_failure(*reason) => {
                self.counts.send_modify(|counts| counts.retried += 1);
            }
            Event::DeadLettered { .. } => self.counts.send_modify(|counts| counts.dead_letters += 1),
            Event::InFlight(in_flight) => {
                self.counts.send_modify(|counts| counts.in_flight = u64::try_from(*in_flight).unwrap_or(u64::MAX));
            }
            Event::Retried { .. }
            | Event::Beat(_)
            | Event::StageDone { .. }
            | Event::CallBegan { .. }
            | Event::CallOver { .. }
            | Event::ClaimsHeldBack { .. }
            | Event::DependencyDown { .. }
            | Event::DependencyUp(_)
            | Event::AttemptStarted { .. }
            | Event::CallEnded { .. }
            | Event::RequestEnded { .. }
            | Event::BreakerMoved(_)
            | Event::LimiterWaited { .. }
            | Event::RepeatPutOff { .. }
            | Event::AttemptFailed { .. }
            | Event::AlreadyFinal { .. }
            | Event::Skipped { .. }
            | Event::Superseded { .. }
            | Event::RowsLocked { .. }
            | Event::LeaseLost { .. }
            | Event::ReconcilerLeads(_)
            | Event::Reconciled
            | Event::DriftFound { .. }
            | Event::LeftAlone { .. }
            | Event::DepthRead(_)
            | Event::TracesExported
            | Event::SpansSent { .. }
            | Event::SpanDropped
            | Event::OpenOrdersRead(_)
            | Event::ConnectionsRead(_)
            | Event::ConnectionOpened(_)
            | Event::ConnectionAwaited { .. }
            | Event::CanaryWoke { .. }
            | Event::Draining { .. }
            | Event::Drained { .. } => {}
        }
    }
}

/// Whether an attempt was spent.
fn is_failure(reason: RetryReason) -> bool {
    match reason {
        RetryReason::FulfillerFailed
        | RetryReason::FulfillerTimeout
        | RetryReason::FulfillerPanicked
        | RetryReason::FulfillerAmbiguous
        | RetryReason::UnknownOrder
        | RetryReason::StoreRefused => true,
        RetryReason::FulfillerUnavailable
        | RetryReason::FulfillerInProgress
        | RetryReason::Busy
        | RetryReason::RowLocked
        | RetryReason::LeaseLost
        | RetryReason::HandedBack => false,
    }
}

/// How many orders took how long, to ten milliseconds, in bounded memory: what takes over ten minutes counts as ten.
struct Ages(Vec<u32>);

const STEP: Duration = Duration::from_millis(10);
const STEPS: usize = 60_000;

impl Default for Ages {
    fn default() -> Self {
        Self(vec![0; STEPS])
    }
}

impl Ages {
    fn add(&mut self, age: Duration) {
        let step = usize::try_from(age.as_millis() / STEP.as_millis()).unwrap_or(STEPS).min(STEPS - 1);
        if let Some(count) = self.0.get_mut(step) {
            *count = count.saturating_add(1);
        }
    }

    /// The age that `share` of the orders did not exceed, rounded up to a step.
    fn quantile(&self, share: f64) -> Option<Duration> {
        let total: u64 = self.0.iter().map(|count| u64::from(*count)).sum();
        let mut left = (total as f64 * share).ceil();
        for (count, step) in self.0.iter().zip(1..) {
            left -= f64::from(*count);
            if left <= 0.0 && total > 0 {
                return Some(STEP * step);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Subject;

    const SUBJECT: Subject<'_> = Subject { order_id: None, correlation_id: None, attempt: 1, trace: None };

    fn fulfilled(milliseconds: u64) -> Event<'static> {
        let age = Some(Duration::from_millis(milliseconds));
        Event::Fulfilled { subject: SUBJECT, took: Duration::ZERO, age, reference: None }
    }

    fn retried(reason: RetryReason) -> Event<'static> {
        Event::Retried { subject: SUBJECT, reason, after: Duration::ZERO }
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
        for reason in RetryReason::ALL {
            tally.observe(&retried(reason));
        }
        assert_eq!(tally.counts().retried, 6);
    }

    #[tokio::test]
    async fn who_waits_for_orders_is_woken_by_the_last_one() {
        let tally = Tally::default();
        tally.observe(&fulfilled(1));
        let waiting = tally.finished(2);
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        tally.observe(&fulfilled(1));
        waiting.await;
    }

    #[test]
    fn the_summary_says_what_became_of_every_order() {
        let tally = Tally::default();
        tally.submitted(4);
        tally.observe(&fulfilled(1200));
        tally.observe(&fulfilled(1800));
        tally.observe(&retried(RetryReason::FulfillerFailed));
        assert_eq!(
            tally.summary(Duration::from_secs(4)),
            "orders         4\nfulfilled      2\nretried        1\ndead letters   0\norders/s       0.5\n\
             order to fulfilment: median 1.21 s, 95 % within 1.81 s\n\
             2 orders were still waiting; they are gone with the temporary folder"
        );
    }
}
