//! The metrics of the worker itself: its limit, its health and its server.

use prometheus_client::registry::Registry;

use super::registering::{Count, plain};
use crate::event::LifecycleEvent;

pub(super) struct LifecycleMetrics {
    in_flight_limit: Count,
    pub(super) healthy: Count,
    draining: Count,
    pub(super) connections: ConnectionCount,
}

impl LifecycleMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Maximum of orders in flight, as configured; 0 before the start";
        let in_flight_limit = plain(registry, "fulfillment_orders_in_flight_limit", help, Count::default());
        let help = "1 if the worker is ready: started, dependencies up and fast enough, making progress, not draining";
        let healthy = plain(registry, "service_healthy", help, Count::default());
        let draining = plain(registry, "fulfillment_draining", "1 once shutdown has begun", Count::default());
        let help = "Open connections to this server";
        let connections = ConnectionCount(plain(registry, "fulfillment_http_connections", help, Count::default()));
        Self { in_flight_limit, healthy, draining, connections }
    }

    pub(super) fn observe(&self, event: &LifecycleEvent<'_>) {
        match *event {
            LifecycleEvent::Started { concurrency, .. } => {
                self.in_flight_limit.set(concurrency as u64);
            }
            LifecycleEvent::Draining { .. } => {
                self.draining.set(1);
            }
            LifecycleEvent::Heartbeat(_) | LifecycleEvent::Drained { .. } => {}
        }
    }
}

/// Counts open connections: those whose [`OpenConnection`] is alive.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCount(Count);

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(Count);

impl ConnectionCount {
    /// Counts one more.
    pub fn open(&self) -> OpenConnection {
        self.0.inc();
        OpenConnection(self.0.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
