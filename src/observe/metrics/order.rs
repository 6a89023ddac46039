//! The metrics of orders on their way from claim to settlement.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::attempts::{AttemptStatus, Attempts};
use super::labelled::Labelled;
use super::registering::{Count, Seconds, metrics};
use super::seconds_since_1970;
use crate::domain::dead_letter::DeadReason;
use crate::event::{CancelledFrom, Lease, OrderEvent, RetryReason, Throttle};
use crate::port::trends::AGE_BOUNDS;

/// From one that went straight through to one that was tried for days.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

metrics! {
    pub(super) struct OrderMetrics {
        attempts: Attempts,
        /// Time from an order's created_at to the start of its first attempt
        queue_wait: Histogram = "fulfillment_queue_wait_seconds", Histogram::new(AGE_BOUNDS);
        /// Attempts that an order had taken when it was fulfilled or dead-lettered
        attempts_per_order: Histogram = "fulfillment_attempts_per_order", Histogram::new(ATTEMPTS);
        /// Time from an order's created_at to fulfilled
        age_at_fulfillment: Histogram = "fulfillment_order_age_at_fulfillment_seconds", Histogram::new(AGE_BOUNDS);
        /// Time at which an order was last fulfilled, since 1970; 0 before the first
        last_success_at: Seconds = "fulfillment_last_success_timestamp_seconds", Seconds::default();
        /// Attempts that began
        attempts_started: Counter = "fulfillment_attempts_started", Counter::default();
        /// Orders that this worker has claimed and not settled yet
        in_flight: Count = "fulfillment_orders_in_flight", Count::default();
        /// Places for calls taken by orders that were claimed and whose calls have not ended
        call_places_taken: Count = "fulfillment_call_places_taken", Count::default();
        /// Time that claims had to wait although the queue may hold messages, by cause
        claims_throttled: Labelled<Throttle, Counter<f64, AtomicU64>> =
            "fulfillment_claims_held_back_seconds", Labelled::new("by");
        /// Messages that went back to the queue, by reason
        retries: Labelled<RetryReason, Counter> = "fulfillment_retries", Labelled::new("reason");
        /// Messages given up and kept as dead letters, by reason
        dead_letters: Labelled<DeadReason, Counter> = "fulfillment_dead_letters", Labelled::new("reason");
        /// Messages dropped because another system owns the status of their order
        skipped: Counter = "fulfillment_skipped", Counter::default();
        /// Messages dropped because their order was cancelled, before an attempt of this worker (pending) or during it (processing)
        cancelled: Labelled<CancelledFrom, Counter> = "fulfillment_orders_cancelled", Labelled::new("from");
        /// Messages dropped because their order was already fulfilled or failed
        already_final: Counter = "fulfillment_already_final", Counter::default();
        /// Conclusions that came too late and changed nothing because the row had moved on
        superseded: Counter = "fulfillment_superseded", Counter::default();
        /// Orders taken over from a worker whose lease had expired
        takeovers: Counter = "fulfillment_takeovers", Counter::default();
        /// Leases lost during an attempt, on the message (queue) or on the order's row (row)
        leases_lost: Labelled<Lease, Counter> = "fulfillment_leases_lost", Labelled::new("lease");
    }
}

impl OrderMetrics {
    /// `native` takes the histograms that formats with native buckets show in place of those of the same name.
    pub(super) fn register_native(&self, native: &mut Registry) {
        self.attempts.register_native(native);
    }

    pub(super) fn observe(&self, event: &OrderEvent<'_>) {
        match *event {
            OrderEvent::ClaimsThrottled { reason, took } => {
                _ = self.claims_throttled[reason].inc_by(took.as_secs_f64());
            }
            OrderEvent::InFlight(orders) => _ = self.in_flight.set(orders as u64),
            OrderEvent::CallPlacesTaken(places) => _ = self.call_places_taken.set(places as u64),
            OrderEvent::AttemptStarted { takeover, waited, .. } => {
                self.attempts_started.inc();
                self.takeovers.inc_by(u64::from(takeover));
                if let Some(waited) = waited {
                    self.queue_wait.observe(waited.as_secs_f64());
                }
            }
            OrderEvent::Fulfilled { attempt, took, age, .. } => {
                self.attempts.ended(AttemptStatus::Success, took, attempt.trace);
                self.attempts_per_order.observe(f64::from(attempt.number));
                self.last_success_at.set(seconds_since_1970());
                if let Some(age) = age {
                    self.age_at_fulfillment.observe(age.as_secs_f64());
                }
            }
            OrderEvent::AttemptFailed { attempt, took, .. } => {
                self.attempts.ended(AttemptStatus::Error, took, attempt.trace);
            }
            OrderEvent::Retried { reason, .. } => _ = self.retries[reason].inc(),
            OrderEvent::DeadLettered { attempt, reason, .. } => {
                self.dead_letters[reason].inc();
                if has_an_order(reason) {
                    self.attempts_per_order.observe(f64::from(attempt.number));
                }
            }
            OrderEvent::AlreadyFinal { .. } => _ = self.already_final.inc(),
            OrderEvent::Skipped { .. } => _ = self.skipped.inc(),
            OrderEvent::Cancelled { from, .. } => _ = self.cancelled[from].inc(),
            OrderEvent::Superseded { .. } => _ = self.superseded.inc(),
            OrderEvent::LeaseLost { lease, .. } => _ = self.leases_lost[lease].inc(),
        }
    }
}

/// Whether a message given up for this reason names an order that exists.
fn has_an_order(reason: DeadReason) -> bool {
    match reason {
        DeadReason::InvalidMessage | DeadReason::UnknownOrder => false,
        DeadReason::Rejected
        | DeadReason::AttemptsExhausted
        | DeadReason::StoreRefused
        | DeadReason::Ambiguous
        | DeadReason::RowGone => true,
    }
}
