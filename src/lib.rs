//! The fulfillment worker as a library: takes orders from a queue, has each one fulfilled, and moves its row once.
//!
//! Implement [`Fulfiller`](port::fulfiller::Fulfiller) and run a [`Service`](service::Service):
//!
//! ```
//! use fulfillment_worker::prelude::*;
//!
//! struct Printer;
//!
//! #[async_trait]
//! impl Fulfiller for Printer {
//!     async fn fulfil(&self, order: &Order, key: &IdempotencyKey) -> Outcome {
//!         println!("{key}: {} pieces", order.quantity);
//!         Outcome::Fulfilled { reference: None }
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let drain = CancellationToken::new(); // cancel it to stop the worker
//! #   let folder = tempfile::tempdir()?;
//! #   std::env::set_current_dir(&folder)?;
//!     let mut settings = Settings::embedded("orders.db")?; // or Settings::from_environment()
//! #   settings.listen = vec![fulfillment_worker::settings::ListenAddress::Network(([127, 0, 0, 1], 0).into())];
//! #   let stop = drain.clone();
//! #   tokio::spawn(async move { stop.cancel() });
//!     Ok(Service::new(settings).fulfiller(Printer).run(drain).await?)
//! }
//! ```
//!
//! Everything that happens is an [`Event`](event::Event) for an [`Observer`](event::Observer). Queues and stores of your own
//! implement the traits of [`port`] and run in an [`Engine`](engine::Engine). The crate `fulfillment-worker-testkit` has the
//! conformance suite that they have to pass, and doubles for the tests of programs. ARCHITECTURE.md has the map of the source.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `cli` (default) | the binary; [`Settings::from_environment`](settings::Settings::from_environment) with options, environment and file |
//! | `demo` (default) | the commands `demo` and `warehouse` |
//! | `http-fulfiller` (default) | a warehouse that is called over HTTP |
//! | `otlp` (default), `otlp-grpc` | traces, sent over HTTP, and over gRPC too |
//! | `sqlite` (default) | queue and store in one file |
//!
//! `internals` and `faults` are for the tests of its own repository: what they show changes without notice.

#![cfg_attr(not(feature = "internals"), expect(unreachable_pub, reason = "the tests see every module"))]
#![cfg_attr(
    not(any(feature = "cli", feature = "internals")),
    expect(dead_code, reason = "operations and options are for the command line")
)]

#[cfg(feature = "internals")]
pub mod admin;
#[cfg(not(feature = "internals"))]
mod admin;
#[cfg(feature = "internals")]
pub mod api;
#[cfg(not(feature = "internals"))]
mod api;
#[cfg(feature = "internals")]
pub mod backend;
#[cfg(not(feature = "internals"))]
mod backend;
#[cfg(all(feature = "cli", feature = "internals"))]
pub mod cli;
#[cfg(all(feature = "cli", not(feature = "internals")))]
mod cli;
#[cfg(feature = "internals")]
pub mod config;
#[cfg(not(feature = "internals"))]
mod config;
pub mod domain;
pub mod engine;
pub mod event;
#[cfg(feature = "internals")]
pub mod observe;
#[cfg(not(feature = "internals"))]
mod observe;
#[cfg(feature = "internals")]
pub mod operations;
#[cfg(not(feature = "internals"))]
mod operations;
#[cfg(feature = "internals")]
pub mod page;
#[cfg(not(feature = "internals"))]
mod page;
pub mod port;
pub mod prelude;
pub mod service;
#[cfg(feature = "internals")]
pub mod testing;
#[cfg(not(feature = "internals"))]
mod testing;
mod threads;

/// How a worker is configured.
pub mod settings {
    #[cfg(feature = "cli")]
    pub use crate::config::layers::LayerError;
    pub use crate::config::{
        AdminSocket, Backends, ClientCertificate, ConfigError, ConfigurationLine, FulfillerTarget, HttpTarget,
        ListenAddress, LogFormat, LogOrders, LogSettings, Origin, PageSettings, Propagation, QueueTarget, QueueTls,
        ReconcileSettings, Secret, SecretUrl, Settings, Simulation, StoreTarget,
    };
}

/// The log of the process, for programs that have none of their own.
pub mod logging {
    pub use crate::observe::logging::{Log, LoggingError, flush, start};
}

#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main;
pub use domain::worker_id::WorkerId;
