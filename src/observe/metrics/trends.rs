//! The metrics of the history that this worker keeps in the store.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::registering::{Count, metrics};
use crate::event::TrendsEvent;

metrics! {
    pub(super) struct TrendsMetrics {
        /// Rows of the history that this worker wrote, the current minute's several times
        written: Counter = "fulfillment_trends_written", Counter::default();
        /// Times that this worker could not write its history
        failures: Counter = "fulfillment_trends_write_failures", Counter::default();
        /// Minutes of the history that this worker keeps in memory because it could not write them
        kept: Count = "fulfillment_trends_unwritten", Count::default();
    }
}

impl TrendsMetrics {
    pub(super) fn observe(&self, event: &TrendsEvent<'_>) {
        match *event {
            TrendsEvent::Written { rows } => {
                self.written.inc_by(rows);
                self.kept.set(0);
            }
            TrendsEvent::Unwritten { kept, .. } => {
                self.failures.inc();
                self.kept.set(kept);
            }
        }
    }
}
