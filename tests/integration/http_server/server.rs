//! A server on a free port, with the metrics and the health that it shows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::admin::{ConnectionLimits, Routes, bind, serve_within};
use fulfillment_worker::event::{Event, LifecycleEvent, Observer};
use fulfillment_worker::observe::health::{Health, SILENCE_LIMIT};
use fulfillment_worker::observe::metrics::{LogMessages, Metrics};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::get;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) runtime: Runtime,
    routes: Routes,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_within(ConnectionLimits::default())
    }

    pub(crate) fn start_within(limits: ConnectionLimits) -> Self {
        Self::start_with(limits, Health::new(SILENCE_LIMIT))
    }

    /// One whose loops have all been silent for longer than they may.
    pub(crate) fn start_wedged() -> Self {
        let server = Self::start_with(ConnectionLimits::default(), Health::new(Duration::ZERO));
        server.observe(&LifecycleEvent::Started { worker: "w", concurrency: 8 }.into());
        server
    }

    fn start_with(limits: ConnectionLimits, health: Health) -> Self {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), limits, health)
    }

    /// One on every address of the machine, as the default is; `address` has the port.
    pub(crate) fn start_everywhere() -> Self {
        let everywhere = SocketAddr::from(([0; 16], 0));
        Self::start_on(everywhere, ConnectionLimits::default(), Health::new(SILENCE_LIMIT))
    }

    fn start_on(address: SocketAddr, limits: ConnectionLimits, health: Health) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let metrics = Arc::new(Metrics::new(runtime.handle().clone(), "test", LogMessages::default()));
        let routes = Routes {
            metrics,
            health: Arc::new(health),
            log: None,
            access: Arc::default(),
            api: axum::Router::new(),
            page: axum::Router::new(),
        };
        let listener = runtime.block_on(bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let task = runtime.spawn(serve_within(limits, vec![listener.into()], routes.clone(), shutdown.clone()));
        Self { address, runtime, routes, shutdown, task }
    }

    /// Tells metrics and health.
    pub(crate) fn observe(&self, event: &Event<'_>) {
        self.routes.metrics.observe(event);
        self.routes.health.observe(event);
    }

    /// The value of a series in a scrape made now.
    pub(crate) fn sample(&self, series: &str) -> String {
        sample_of(&get(self.address, "/metrics", &[]).text(), series)
    }

    /// Stops it, and returns when it has.
    pub(crate) fn stop(self) {
        self.shutdown.cancel();
        let stopped = self.runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), self.task).await });
        stopped.expect("the server does not stop").unwrap();
    }

    /// Drops it in the middle of everything.
    pub(crate) fn abort(&self) {
        self.task.abort();
    }
}

/// The value of a series in a scrape.
pub(crate) fn sample_of(text: &str, series: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no series {series}")).to_owned()
}
