//! Readings, and the export of traces.

use std::time::Duration;

use enum_map::Enum;
use strum::IntoStaticStr;

use crate::port::queue::Depth;
use crate::port::reports::{ConnectionUse, OpenDeadLetters, OpenOrders};

/// A reading was taken, or spans were exported or dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TelemetryEvent<'a> {
    /// The messages in the queue were counted.
    DepthRead(Depth),
    /// The open orders in the store were counted.
    OpenOrdersRead(OpenOrders),
    /// The dead letters without a decision were counted.
    OpenDeadLettersRead(OpenDeadLetters),
    /// The connections to the store were counted, over all of this worker's pools.
    ConnectionsRead(ConnectionUse),
    /// A sleeping task ran again.
    SchedulingDelay {
        /// The runtime that it sleeps in.
        runtime: Runtime,
        /// Time from its deadline to its run.
        late: Duration,
    },
    /// The export of traces started.
    TracesExported,
    /// Spans were sent to the collector, or failed to be.
    SpansSent {
        /// Number of spans.
        spans: usize,
        /// The failure, if there was one.
        error: Option<&'a str>,
    },
    /// A span was dropped because the queue to the collector was full.
    SpanDropped,
}

/// One of the worker's runtimes, each with threads of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Runtime {
    /// Claims, commits, polls, and the server for metrics and health.
    Engine,
    /// Calls to the fulfiller.
    Calls,
    /// Lease renewals.
    Leases,
}
