//! Every number that the worker shows: an [`Observer`] that counts events, and the state of runtime, allocator and
//! process read afresh for each scrape.
//!
//! docs/METRICS.md explains each metric; a test keeps the two the same. A scrape reads memory, `/proc` and `/sys` only: it
//! never waits for Redis or a database.

use std::time::{Duration, Instant, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use crate::domain::{build_info, text};
use crate::event::{Event, Observer};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;
mod api;
mod attempts;
mod cgroup;
mod controls;
mod dependency;
mod endpoint;
mod exposition;
mod fulfiller;
mod jobs;
mod labelled;
mod lifecycle;
mod log_messages;
mod login;
mod order;
#[cfg(target_os = "linux")]
mod process;
mod reconciler;
mod registering;
mod retention;
mod runtime;
mod sample;
mod telemetry;
mod trends;
mod under_way;

use api::ApiMetrics;
#[cfg(test)]
pub(crate) use api::ROUTES as API_ROUTES;
pub use cgroup::Cgroup;
use controls::ControlsMetrics;
use dependency::DependencyMetrics;
use endpoint::Source;
pub use endpoint::{Closed, Endpoint, ScrapeOutcome};
pub use exposition::Format;
use exposition::{Exposition, Part};
use fulfiller::FulfillerMetrics;
use jobs::JobsMetrics;
use lifecycle::LifecycleMetrics;
pub use log_messages::LogMessages;
pub use login::{LoginFailure, LoginMetrics};
use order::OrderMetrics;
use reconciler::ReconcilerMetrics;
pub use registering::Counted;
use retention::RetentionMetrics;
use telemetry::TelemetryMetrics;
use trends::TrendsMetrics;

/// The metrics of one worker.
pub struct Metrics {
    exposition: Exposition,
    lifecycle: LifecycleMetrics,
    dependency: DependencyMetrics,
    order: OrderMetrics,
    fulfiller: FulfillerMetrics,
    controls: ControlsMetrics,
    reconciler: ReconcilerMetrics,
    retention: RetentionMetrics,
    jobs: JobsMetrics,
    telemetry: TelemetryMetrics,
    trends: TrendsMetrics,
    endpoint: Endpoint,
    login: LoginMetrics,
    api: ApiMetrics,
}

impl Metrics {
    /// Sets every series with a closed set of labels to its start value.
    ///
    /// `handle` is the runtime whose state is shown, `service_name` the `service` label of `fulfillment_build_info`,
    /// `log_messages` what the process's log counts.
    pub fn new(handle: Handle, service_name: &str, log_messages: LogMessages) -> Self {
        Self::limited_by(handle, service_name, log_messages, Cgroup::own())
    }

    /// As [`Metrics::new`], and shows the limits of `cgroup` rather than of this process's own one.
    pub fn limited_by(handle: Handle, service_name: &str, log_messages: LogMessages, cgroup: Cgroup) -> Self {
        let (mut events, mut native, mut of_endpoint) = (Registry::default(), Registry::default(), Registry::default());
        let endpoint = Endpoint::register(&mut of_endpoint);
        let login = LoginMetrics::register(&mut of_endpoint);
        login.reloaded(true);
        let order = OrderMetrics::register(&mut events);
        order.register_native(&mut native);
        let lifecycle = LifecycleMetrics::register(&mut events);
        let dependency = DependencyMetrics::register(&mut events);
        let fulfiller = FulfillerMetrics::register(&mut events);
        let controls = ControlsMetrics::register(&mut events);
        let reconciler = ReconcilerMetrics::register(&mut events);
        let retention = RetentionMetrics::register(&mut events);
        let jobs = JobsMetrics::register(&mut events);
        let api = ApiMetrics::register(&mut events);
        let telemetry = TelemetryMetrics::register(&mut events);
        let trends = TrendsMetrics::register(&mut events);
        let help = "Service name and version of this worker, the commit that it is built from, and its date";
        events.register("fulfillment_build", help, build_info(service_name));
        log_messages.register(&mut events);
        let part = |source, registry| Part { registry, errors: endpoint.errors_of(source) };
        let collected = |source, collector: Box<dyn Collector>| {
            let mut registry = Registry::default();
            registry.register_collector(collector);
            part(source, registry)
        };
        let errors = |source| endpoint.errors_of(source);
        let parts = vec![
            part(Source::Events, events),
            collected(Source::Runtime, Box::new(runtime::RuntimeCollector(handle))),
            #[cfg(all(target_os = "linux", target_env = "gnu"))]
            collected(Source::Allocator, Box::new(allocator::AllocatorCollector(errors(Source::Allocator)))),
            #[cfg(target_os = "linux")]
            collected(Source::Process, Box::new(process::ProcessCollector::new(errors(Source::Process)))),
            collected(Source::Cgroup, Box::new(cgroup::CgroupCollector { cgroup, errors: errors(Source::Cgroup) })),
            // Last, so that it shows the errors of this very scrape.
            part(Source::Endpoint, of_endpoint),
        ];
        let native = part(Source::Events, native);
        let exposition = Exposition { parts, native };
        Self {
            exposition,
            lifecycle,
            dependency,
            order,
            fulfiller,
            controls,
            reconciler,
            retention,
            jobs,
            telemetry,
            trends,
            endpoint,
            login,
            api,
        }
    }

    /// All metrics in the given format, `healthy` being what `service_healthy` says.
    ///
    /// What could not be read, such as `/proc` where it is hidden, is left out and counted.
    pub fn render(&self, format: Format, healthy: bool) -> Vec<u8> {
        let began = Instant::now();
        self.lifecycle.healthy.set(u64::from(healthy));
        let rendered = self.exposition.render(format);
        self.endpoint.rendering.observe(began.elapsed().as_secs_f64());
        rendered
    }

    /// What whoever answers scrapes tells of them.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What whoever lets clients in tells of them.
    pub fn login(&self) -> &LoginMetrics {
        &self.login
    }

    /// Counts a connection to the server as open until the returned value is dropped.
    pub fn open_connection(&self) -> Counted {
        Counted::by(&self.lifecycle.connections)
    }
}

/// `fulfillment_build_info`.
fn build_info(service_name: &str) -> Info<[(&'static str, String); 4]> {
    Info::new([
        ("service", text::lines(service_name).into_owned()),
        ("version", build_info::VERSION.to_owned()),
        ("revision", build_info::REVISION.to_owned()),
        ("date", build_info::DATE.to_owned()),
    ])
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Lifecycle(event) => self.lifecycle.observe(event),
            Event::Dependency(event) => self.dependency.observe(event),
            Event::Order(event) => self.order.observe(event),
            Event::Fulfiller(event) => self.fulfiller.observe(event),
            Event::Controls(event) => self.controls.observe(event),
            Event::Reconciler(event) => self.reconciler.observe(event),
            Event::Retention(event) => self.retention.observe(event),
            Event::Jobs(event) => self.jobs.observe(event),
            Event::Api(event) => self.api.observe(event),
            Event::Trends(event) => self.trends.observe(event),
            Event::Telemetry(event) => self.telemetry.observe(event),
        }
    }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests;
