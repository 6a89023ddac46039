//! The server on `--listen`: metrics, health and the operator's page.
//!
//! Nothing here waits for Redis or a database. No client delays the consumer or, for long, another client: the number of
//! connections and the time of each are limited, and who would keep others out makes room for them.

use std::sync::Arc;

use axum::Router;

use crate::observe::health::Health;
use crate::observe::logging::Log;
use crate::observe::metrics::Metrics;

mod access;
mod bind_error;
mod connection;
mod guard;
mod limits;
mod listen;
mod log_route;
mod negotiation;
mod network;
mod peer;
mod places;
mod problem;
mod routes;
mod scrape;
#[cfg(unix)]
mod socket;
mod thread;

pub use access::{Access, AccessError, OneTimeToken};
pub(crate) use access::{Operator, Viewer, on_behalf};
pub use bind_error::BindError;
pub use connection::serve_within;
pub(crate) use guard::refuse_bodies;
pub use limits::ConnectionLimits;
#[cfg(feature = "cli")]
pub(crate) use listen::check;
pub(crate) use listen::open_admin;
pub use listen::{Listener, open};
#[cfg(any(feature = "demo", feature = "internals"))]
pub use network::bind;
pub use peer::Peer;
pub(crate) use problem::{ElementProblem, Problem, TYPE as PROBLEM_TYPE};
pub use thread::Server;

/// The state that the routes show.
#[derive(Clone)]
pub struct Routes {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// For everything about health.
    pub health: Arc<Health>,
    /// For `/log`; `None` if the program around the worker owns the log.
    pub log: Option<Log>,
    /// What each client may do.
    pub access: Arc<Access>,
    /// Every path below `/api/v1`; `Router::new()` for none.
    pub api: Router,
    /// The operator's page; `Router::new()` for none.
    pub page: Router,
}
