//! The metrics of the search for orders without a message.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, Seconds, plain, seconds};
use super::seconds_since_1970;
use crate::event::{Drift, ReconcilerEvent};

pub(super) struct ReconcilerMetrics {
    drift: Labelled<Drift, Counter>,
    stale_orders: Count,
    leads: Count,
    last_round_at: Seconds,
}

impl ReconcilerMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Damage that the reconciler repaired, by kind";
        let drift = plain(registry, "fulfillment_drift", help, Labelled::new("kind"));
        let help = "Open orders too old for the reconciler, as last counted by this worker; 0 if it does not lead";
        let stale_orders = plain(registry, "fulfillment_orders_left_alone", help, Count::default());
        let help = "1 if this worker's reconciler leads; one worker's does at a time";
        let leads = plain(registry, "fulfillment_reconciler_leads", help, Count::default());
        let help = "Time of the last complete round that this worker's reconciler led, since 1970; 0 before the first";
        let last_round_at = seconds(registry, "fulfillment_reconciler_last_round_timestamp", help, Seconds::default());
        Self { drift, stale_orders, leads, last_round_at }
    }

    pub(super) fn observe(&self, event: &ReconcilerEvent<'_>) {
        match *event {
            ReconcilerEvent::Leads(leads) => {
                self.leads.set(u64::from(leads));
                if !leads {
                    // The worker that leads now counts them.
                    self.stale_orders.set(0);
                }
            }
            ReconcilerEvent::RoundDone => {
                self.last_round_at.set(seconds_since_1970());
            }
            ReconcilerEvent::DriftFound { drift, count, .. } => {
                self.drift[drift].inc_by(count);
            }
            ReconcilerEvent::StaleOrders { orders, .. } => {
                self.stale_orders.set(orders);
            }
        }
    }
}
