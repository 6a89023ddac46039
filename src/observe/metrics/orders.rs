//! The metrics of orders themselves: what is open in the store, how long an order waits, how many attempts it takes.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::instruments::{AGE_SECONDS, Count, plain, seconds};
use super::labelled::Labelled;
use super::seconds_since_1970;
use crate::domain::dead_letter::DeadReason;
use crate::event::Subject;
use crate::port::reports::OpenOrders;

/// From one that went straight through to one that was tried for days.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// A state in which an order is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenState {
    Pending,
    Processing,
}

impl OpenState {
    const ALL: [Self; 2] = [Self::Pending, Self::Processing];

    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
        }
    }
}

/// Handles on what orders move.
pub(super) struct Orders {
    open: Labelled<OpenState, Count>,
    oldest: Labelled<OpenState, Gauge<f64, AtomicU64>>,
    read_at: Gauge<f64, AtomicU64>,
    wait: Histogram,
    attempts: Histogram,
}

impl Orders {
    /// Makes them all, each at its start value.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let orders = Self {
            open: Labelled::new("state", &OpenState::ALL, OpenState::as_str, Count::default),
            oldest: Labelled::new("state", &OpenState::ALL, OpenState::as_str, Gauge::default),
            read_at: Gauge::default(),
            wait: Histogram::new(AGE_SECONDS),
            attempts: Histogram::new(ATTEMPTS),
        };
        let help = "Orders in the store that are not done, when last counted; the same for every worker of a store";
        plain(registry, "fulfillment_open_orders", help, &orders.open);
        let help = "Time since the oldest open order was created, when last counted; 0 when there is none";
        seconds(registry, "fulfillment_oldest_order_age", help, &orders.oldest);
        let help = "When the open orders were last counted, since 1970; 0 before the first time";
        seconds(registry, "fulfillment_open_orders_read_timestamp", help, &orders.read_at);
        let help = "Time from an order's created_at to the begin of its first attempt";
        seconds(registry, "fulfillment_queue_wait", help, &orders.wait);
        let help = "Attempts that an order had taken when it was fulfilled or given up";
        plain(registry, "fulfillment_attempts_per_order", help, &orders.attempts);
        orders
    }

    pub(super) fn read(&self, open: &OpenOrders) {
        for (label, found) in [(OpenState::Pending, open.pending), (OpenState::Processing, open.processing)] {
            self.open.with(label, |gauge| gauge.set(found.orders));
            self.oldest.with(label, |gauge| gauge.set(found.oldest.unwrap_or_default().as_secs_f64()));
        }
        self.read_at.set(seconds_since_1970());
    }

    /// An attempt began, which is an order's first one if it has `waited`.
    pub(super) fn started(&self, waited: Option<Duration>) {
        if let Some(waited) = waited {
            self.wait.observe(waited.as_secs_f64());
        }
    }

    pub(super) fn fulfilled(&self, subject: &Subject<'_>) {
        self.attempts.observe(f64::from(subject.attempt));
    }

    /// A message that no order stands behind says nothing of orders.
    pub(super) fn dead_lettered(&self, subject: &Subject<'_>, reason: DeadReason) {
        match reason {
            DeadReason::InvalidMessage | DeadReason::UnknownOrder => {}
            DeadReason::Rejected | DeadReason::AttemptsExhausted | DeadReason::StoreRefused | DeadReason::Ambiguous => {
                self.attempts.observe(f64::from(subject.attempt))
            }
        }
    }
}
