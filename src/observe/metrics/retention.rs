//! The metrics of the deletion of old timelines.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::registering::{Count, metrics};
use crate::event::RetentionEvent;

metrics! {
    pub(super) struct RetentionMetrics {
        /// Entries of old timelines that this worker deleted
        deleted: Counter = "fulfillment_events_deleted", Counter::default();
        /// Time by which the deletion of old timelines is behind; 0 if this worker does not delete them
        behind: Count = "fulfillment_events_overdue_seconds", Count::default();
    }
}

impl RetentionMetrics {
    pub(super) fn observe(&self, event: &RetentionEvent) {
        match *event {
            RetentionEvent::Follows => _ = self.behind.set(0),
            RetentionEvent::Deleted { entries } => _ = self.deleted.inc_by(entries),
            RetentionEvent::RoundDone { behind, .. } | RetentionEvent::RoundFailed { behind } => {
                self.behind.set(behind.as_secs());
            }
        }
    }
}
