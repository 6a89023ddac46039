//! The metrics of the search for orders without a message.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, Seconds, metrics};
use super::seconds_since_1970;
use crate::event::{Drift, ReconcilerEvent};

metrics! {
    pub(super) struct ReconcilerMetrics {
        /// Damage that the reconciler repaired, by kind
        drift: Labelled<Drift, Counter> = "fulfillment_drift", Labelled::new("kind");
        /// Open orders too old for the reconciler, as last counted by this worker; 0 if it does not lead
        stale_orders: Count = "fulfillment_orders_left_alone", Count::default();
        /// Open orders older than the horizon and never begun here, as last counted by this worker; 0 if it does not lead
        before_horizon: Count = "fulfillment_orders_before_horizon", Count::default();
        /// 1 if this worker's reconciler leads; one worker's does at a time
        leads: Count = "fulfillment_reconciler_leads", Count::default();
        /// Open orders that the sweep below the low-water mark found
        sweep_found: Counter = "fulfillment_sweep_found", Counter::default();
        /// Time at which this worker's sweep, leading, was last through all orders, since 1970; 0 before, and where an index leads to open orders
        swept_at: Seconds = "fulfillment_sweep_finished_timestamp_seconds", Seconds::default();
        /// Time of the last complete round that this worker's reconciler led, since 1970; 0 before the first
        last_round_at: Seconds = "fulfillment_reconciler_last_round_timestamp_seconds", Seconds::default();
    }
}

impl ReconcilerMetrics {
    pub(super) fn observe(&self, event: &ReconcilerEvent<'_>) {
        match *event {
            ReconcilerEvent::Leads(leads) => {
                self.leads.set(u64::from(leads));
                if !leads {
                    // The worker that leads now counts them.
                    self.stale_orders.set(0);
                    self.before_horizon.set(0);
                }
            }
            ReconcilerEvent::RoundDone => _ = self.last_round_at.set(seconds_since_1970()),
            ReconcilerEvent::DriftFound { drift, count, .. } => _ = self.drift[drift].inc_by(count),
            ReconcilerEvent::StaleOrders { orders, .. } => _ = self.stale_orders.set(orders),
            ReconcilerEvent::OrdersBeforeHorizon { orders, .. } => _ = self.before_horizon.set(orders),
            ReconcilerEvent::Swept { found, is_through } => {
                self.sweep_found.inc_by(found);
                if is_through {
                    self.swept_at.set(seconds_since_1970());
                }
            }
        }
    }
}
