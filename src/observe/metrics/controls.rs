//! The metrics of what operators set for this worker.

use prometheus_client::registry::Registry;

use super::registering::{Count, Seconds, metrics};
use crate::event::ControlsEvent;
use crate::port::controls::Control;

metrics! {
    pub(super) struct ControlsMetrics {
        /// 1 while an operator has paused the whole fleet, as this worker last read it
        paused: Count = "fulfillment_paused", Count::default();
        /// 1 while an operator has quieted this worker alone
        quiet: Count = "fulfillment_quiet", Count::default();
        /// 1 while the store does not answer what operators have set; what was read last stays in force
        unread: Count = "fulfillment_controls_unread", Count::default();
        /// Maximum of calls to the fulfiller at once that an operator has set; 0 without one
        concurrency: Count = "fulfillment_concurrency_limit", Count::default();
        /// Maximum of messages claimed per second that an operator has set; 0 without one
        rate: Seconds = "fulfillment_claim_rate_limit", Seconds::default();
    }
}

impl ControlsMetrics {
    pub(super) fn observe(&self, event: &ControlsEvent<'_>) {
        match *event {
            ControlsEvent::InForce(in_force) => {
                self.paused.set(u64::from(in_force.pause().is_some()));
                self.quiet.set(u64::from(in_force.quiet().is_some()));
                self.concurrency.set(in_force.limit(Control::Concurrency).unwrap_or_default() as u64);
                self.rate.set(in_force.limit(Control::Rate).unwrap_or_default());
            }
            ControlsEvent::Read => _ = self.unread.set(0),
            ControlsEvent::Unread { .. } => _ = self.unread.set(1),
        }
    }
}
