//! The metrics of orders on their way from claim to settlement.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::attempts::{AttemptStatus, Attempts};
use super::labelled::Labelled;
use super::registering::{Count, Seconds, plain, seconds};
use super::seconds_since_1970;
use crate::domain::dead_letter::DeadReason;
use crate::event::{Lease, OrderEvent, RetryReason, Throttle};

/// From an order that goes straight through to one that waited for a day.
const AGE_SECONDS: [f64; 16] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0];
/// From one that went straight through to one that was tried for days.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

pub(super) struct OrderMetrics {
    attempts: Attempts,
    queue_wait: Histogram,
    attempts_per_order: Histogram,
    age_at_fulfillment: Histogram,
    last_success_at: Seconds,
    attempts_started: Counter,
    in_flight: Count,
    claims_throttled: Labelled<Throttle, Counter<f64, AtomicU64>>,
    retries: Labelled<RetryReason, Counter>,
    dead_letters: Labelled<DeadReason, Counter>,
    skipped: Counter,
    already_final: Counter,
    superseded: Counter,
    takeovers: Counter,
    leases_lost: Labelled<Lease, Counter>,
}

impl OrderMetrics {
    /// `native` takes the histograms that formats with native buckets show in place of those of the same name.
    pub(super) fn register(registry: &mut Registry, native: &mut Registry) -> Self {
        let attempts = Attempts::register(registry, native);
        let help = "Time from an order's created_at to the start of its first attempt";
        let queue_wait = seconds(registry, "fulfillment_queue_wait", help, Histogram::new(AGE_SECONDS));
        let help = "Attempts that an order had taken when it was fulfilled or dead-lettered";
        let attempts_per_order = plain(registry, "fulfillment_attempts_per_order", help, Histogram::new(ATTEMPTS));
        let help = "Time from an order's created_at to fulfilled";
        let age_at_fulfillment =
            seconds(registry, "fulfillment_order_age_at_fulfillment", help, Histogram::new(AGE_SECONDS));
        let help = "Time at which an order was last fulfilled, since 1970; 0 before the first";
        let last_success_at = seconds(registry, "fulfillment_last_success_timestamp", help, Seconds::default());
        let help = "Attempts that began";
        let attempts_started = plain(registry, "fulfillment_attempts_started", help, Counter::default());
        let help = "Orders that this worker has claimed and not settled yet";
        let in_flight = plain(registry, "fulfillment_orders_in_flight", help, Count::default());
        let help = "Time that claims had to wait although the queue may hold messages, by cause";
        let claims_throttled = seconds(registry, "fulfillment_claims_held_back", help, Labelled::new("by"));
        let help = "Messages that went back to the queue, by reason";
        let retries = plain(registry, "fulfillment_retries", help, Labelled::new("reason"));
        let help = "Messages given up and kept as dead letters, by reason";
        let dead_letters = plain(registry, "fulfillment_dead_letters", help, Labelled::new("reason"));
        let help = "Messages dropped because another system owns the status of their order";
        let skipped = plain(registry, "fulfillment_skipped", help, Counter::default());
        let help = "Messages dropped because their order was already fulfilled or failed";
        let already_final = plain(registry, "fulfillment_already_final", help, Counter::default());
        let help = "Conclusions that came too late and changed nothing because the row had moved on";
        let superseded = plain(registry, "fulfillment_superseded", help, Counter::default());
        let help = "Orders taken over from a worker whose lease had expired";
        let takeovers = plain(registry, "fulfillment_takeovers", help, Counter::default());
        let help = "Leases lost during an attempt, on the message (queue) or on the order's row (row)";
        let leases_lost = plain(registry, "fulfillment_leases_lost", help, Labelled::new("lease"));
        Self {
            attempts,
            queue_wait,
            attempts_per_order,
            age_at_fulfillment,
            last_success_at,
            attempts_started,
            in_flight,
            claims_throttled,
            retries,
            dead_letters,
            skipped,
            already_final,
            superseded,
            takeovers,
            leases_lost,
        }
    }

    pub(super) fn observe(&self, event: &OrderEvent<'_>) {
        match *event {
            OrderEvent::ClaimsThrottled { reason, took } => {
                self.claims_throttled[reason].inc_by(took.as_secs_f64());
            }
            OrderEvent::InFlight(orders) => {
                self.in_flight.set(orders as u64);
            }
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
            OrderEvent::Retried { reason, .. } => {
                self.retries[reason].inc();
            }
            OrderEvent::DeadLettered { attempt, reason, .. } => {
                self.dead_letters[reason].inc();
                if has_an_order(reason) {
                    self.attempts_per_order.observe(f64::from(attempt.number));
                }
            }
            OrderEvent::AlreadyFinal { .. } => {
                self.already_final.inc();
            }
            OrderEvent::Skipped { .. } => {
                self.skipped.inc();
            }
            OrderEvent::Superseded { .. } => {
                self.superseded.inc();
            }
            OrderEvent::LeaseLost { lease, .. } => {
                self.leases_lost[lease].inc();
            }
        }
    }
}

/// Whether a message given up for this reason names an order that exists.
fn has_an_order(reason: DeadReason) -> bool {
    match reason {
        DeadReason::InvalidMessage | DeadReason::UnknownOrder => false,
        DeadReason::Rejected | DeadReason::AttemptsExhausted | DeadReason::StoreRefused | DeadReason::Ambiguous => true,
    }
}
