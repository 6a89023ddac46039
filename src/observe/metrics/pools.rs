//! The metrics of the connections to queue and store.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::instruments::{Count, plain, seconds};
use super::labelled::Labelled;
use crate::event::Dependency;
use crate::port::reports::ConnectionUse;

/// From a connection that is free to the limit of the wait for one.
const WAIT_SECONDS: [f64; 11] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0];

/// What a connection of the store's pools is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Idle,
    InUse,
}

impl Doing {
    const ALL: [Self; 2] = [Self::Idle, Self::InUse];

    fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::InUse => "in_use",
        }
    }
}

/// Handles on what connections move.
pub(super) struct Pools {
    store: Labelled<Doing, Count>,
    store_limit: Count,
    store_wait: Histogram,
    opened: Labelled<Dependency, Counter>,
}

impl Pools {
    /// Makes them all, each at its start value.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let pooled = [Dependency::Queue, Dependency::Store];
        let pools = Self {
            store: Labelled::new("state", &Doing::ALL, Doing::as_str, Count::default),
            store_limit: Count::default(),
            store_wait: Histogram::new(WAIT_SECONDS),
            opened: Labelled::new("dependency", &pooled, Dependency::as_str, Counter::default),
        };
        let help = "Connections open to the store, by what they do, when last looked at; 0 where it is embedded";
        plain(registry, "fulfillment_store_connections", help, &pools.store);
        let help = "Connections to the store at most; 0 where it is embedded";
        plain(registry, "fulfillment_store_connections_limit", help, &pools.store_limit);
        let help = "Time that calls to the store waited for a connection, the making of one included";
        seconds(registry, "fulfillment_store_connection_wait", help, &pools.store_wait);
        let help = "Connections made; after the start, these are made in the place of others";
        plain(registry, "fulfillment_connections_opened", help, &pools.opened);
        pools
    }

    pub(super) fn read(&self, connections: ConnectionUse) {
        self.store.with(Doing::Idle, |gauge| gauge.set(connections.idle));
        self.store.with(Doing::InUse, |gauge| gauge.set(connections.in_use));
        self.store_limit.set(connections.limit);
    }

    pub(super) fn opened(&self, to: Dependency) {
        self.opened.with(to, |count| count.inc());
    }

    pub(super) fn awaited(&self, took: Duration) {
        self.store_wait.observe(took.as_secs_f64());
    }
}
