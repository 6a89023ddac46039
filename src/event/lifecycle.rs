//! The worker's start, progress and end.

use enum_map::Enum;
use strum::IntoStaticStr;

/// The worker started, made progress or shuts down.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LifecycleEvent<'a> {
    /// Metrics and health are served; queue and store have not been asked yet.
    Starting {
        /// The queue, without its password.
        queue: &'a str,
        /// The store, without its password.
        store: &'a str,
        /// What fulfills the orders, without secrets.
        fulfiller: &'a str,
        /// Where metrics, health and page are served: URLs without a path, such as `http://127.0.0.1:2112`, with the real port
        /// also where a free one was asked for; or `unix:` and the path of a Unix socket.
        listen: &'a [String],
    },
    /// The engine starts.
    Started {
        /// This process's identity, fresh with every start.
        worker: &'a str,
        /// Calls to the fulfiller at once, at most.
        concurrency: usize,
    },
    /// A loop completed a pass. A healthy loop emits one at least every few seconds, busy or idle.
    Heartbeat(Loop),
    /// Shutdown began, and the worker claims no more.
    Draining {
        /// Orders still in flight.
        in_flight: usize,
    },
    /// Files were read again, as they had changed or somebody asked for it.
    Reloaded {
        /// What is made of them.
        what: Reloaded,
        /// Why they can't be used. What was made of them before goes on.
        error: Option<&'a str>,
    },
    /// Shutdown ended.
    Drained {
        /// Orders not settled in time. Their leases expire, and the queue delivers them again.
        left: usize,
    },
}

/// What is made of files that may change while the worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Reloaded {
    /// Token, signing secrets and certificates for the warehouse.
    Fulfiller,
}

/// A loop of the engine. The process counts as wedged when one of them stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Loop {
    /// Claims messages.
    Worker,
    /// Concludes and settles.
    Completer,
    /// Renews leases.
    LeaseKeeper,
}
