//! The metrics of the worker itself: its limit, its health and its server.

use enum_map::Enum;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::{Count, metrics};
use crate::event::LifecycleEvent;

/// Whether files that were read again can be used.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum ReloadOutcome {
    Success,
    Failure,
}

metrics! {
    pub(super) struct LifecycleMetrics {
        /// Maximum of calls to the fulfiller at once, as configured; 0 before the start
        call_places: Count = "fulfillment_call_places", Count::default();
        /// 1 if the worker is ready: started, dependencies up and fast enough, making progress, not draining
        pub(super) healthy: Count = "service_healthy", Count::default();
        /// 1 once shutdown has begun
        draining: Count = "fulfillment_draining", Count::default();
        /// Times that files with secrets or certificates were read again, by outcome; a failure changes nothing
        reloads: Labelled<ReloadOutcome, Counter> = "fulfillment_reloads", Labelled::new("outcome");
        /// Open connections to this server
        pub(super) connections: Count = "fulfillment_http_connections", Count::default();
    }
}

impl LifecycleMetrics {
    pub(super) fn observe(&self, event: &LifecycleEvent<'_>) {
        match *event {
            LifecycleEvent::Started { concurrency, .. } => _ = self.call_places.set(concurrency as u64),
            LifecycleEvent::Draining { .. } => _ = self.draining.set(1),
            LifecycleEvent::Reloaded { error, .. } => {
                let outcome = if error.is_none() { ReloadOutcome::Success } else { ReloadOutcome::Failure };
                self.reloads[outcome].inc();
            }
            LifecycleEvent::Starting { .. } | LifecycleEvent::Heartbeat(_) | LifecycleEvent::Drained { .. } => {}
        }
    }
}
