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

use crate::event::{Event, Observer};

mod allocator;
mod calls;
mod cgroup;
mod endpoint;
mod exemplars;
mod exposition;
mod instruments;
mod labelled;
mod log_messages;
mod orders;
mod pools;
#[cfg(target_os = "linux")]
mod process;
mod runtime;
mod sample;
mod traces;
mod under_way;

pub use cgroup::Cgroup;
use endpoint::Source;
pub use endpoint::{Endpoint, ScrapeInFlight, ScrapeOutcome};
pub use exposition::Format;
use exposition::{Exposition, Part};
use instruments::{AttemptStatus, Instruments, MessageKind};
pub use instruments::{ConnectionCount, OpenConnection};
pub use log_messages::LogMessages;

/// The metrics of one worker.
pub struct Metrics {
    exposition: Exposition,
    instruments: Instruments,
    endpoint: Endpoint,
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
        let instruments = Instruments::register(&mut events, &mut native);
        events.register("fulfillment_build", "What is running", build_info(service_name));
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
            collected(Source::Runtime, Box::new(runtime::RuntimeCollector::new(handle))),
            collected(Source::Allocator, Box::new(allocator::AllocatorCollector::new(errors(Source::Allocator)))),
            #[cfg(target_os = "linux")]
            collected(Source::Process, Box::new(process::ProcessCollector::new(errors(Source::Process)))),
            collected(Source::Cgroup, Box::new(cgroup::CgroupCollector::new(cgroup, errors(Source::Cgroup)))),
            // Last, so that it shows the errors of this very scrape.
            part(Source::Endpoint, of_endpoint),
        ];
        let native = part(Source::Events, native);
        Self { exposition: Exposition { parts, native }, instruments, endpoint }
    }

    /// All metrics in the given format, `healthy` being what `service_healthy` says.
    ///
    /// What could not be read, such as `/proc` where it is hidden, is left out and counted.
    pub fn render(&self, format: Format, healthy: bool) -> Vec<u8> {
        let began = Instant::now();
        self.instruments.healthy.set(u64::from(healthy));
        let rendered = self.exposition.render(format);
        self.endpoint.rendering.observe(began.elapsed().as_secs_f64());
        rendered
    }

    /// What whoever answers scrapes tells of them.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Counts the server's open connections.
    pub fn connections(&self) -> &ConnectionCount {
        &self.instruments.connections
    }
}

/// `fulfillment_build_info`. The revision is what the build was told by the environment.
fn build_info(service_name: &str) -> Info<[(&'static str, String); 3]> {
    Info::new([
        ("service", service_name.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", option_env!("FULFILLMENT_REVISION").unwrap_or("unknown").to_owned()),
    ])
}

impl Observer for Metrics {
    fn observe(&self, event: &Event<'_>) {
        let to = &self.instruments;
        match *event {
            Event::Started { worker: _, concurrency } => {
                to.in_flight_limit.set(concurrency as u64);
            }
            Event::Beat(_) => {}
            Event::CallBegan { call, to: dependency } => to.under_way.begin(call, dependency),
            Event::CallOver { call, to: dependency } => to.under_way.end(call, dependency),
            Event::ClaimsHeldBack { by, took } => {
                to.held_back.with(by, |seconds| seconds.inc_by(took.as_secs_f64()));
            }
            Event::StageDone { stage, items, took, ok } => to.stage_done(stage, items, took, ok),
            Event::DependencyDown { dependency, .. } => to.dependency_up.with(dependency, |up| up.set(0)),
            Event::DependencyUp(dependency) => to.dependency_up.with(dependency, |up| up.set(1)),
            Event::InFlight(orders) => {
                to.in_flight.set(orders as u64);
            }
            Event::AttemptStarted { takeover, waited, .. } => {
                to.attempts_started.inc();
                to.takeovers.inc_by(u64::from(takeover));
                to.orders.started(waited);
            }
            Event::CallEnded { outcome, took, .. } => to.calls.ended(outcome, took),
            Event::RequestEnded { class, took } => to.calls.request_ended(class, took),
            Event::BreakerMoved(state) => to.calls.breaker_moved(state),
            Event::LimiterWaited { limiter, took } => to.calls.waited(limiter, took),
            Event::RepeatPutOff { after: _ } => {
                to.calls.repeats_put_off.inc();
            }
            Event::Fulfilled { ref subject, took, age, .. } => {
                to.attempts.ended(AttemptStatus::Success, took, subject.trace);
                to.orders.fulfilled(subject);
                to.last_success.set(seconds_since_1970());
                if let Some(age) = age {
                    to.order_age.observe(age.as_secs_f64());
                }
            }
            Event::AttemptFailed { ref subject, took, .. } => {
                to.attempts.ended(AttemptStatus::Error, took, subject.trace)
            }
            Event::Retried { reason, .. } => to.retries.with(reason, |count| count.inc()),
            Event::DeadLettered { ref subject, reason, .. } => {
                to.dead_letters.with(reason, |count| count.inc());
                to.orders.dead_lettered(subject, reason);
            }
            Event::AlreadyFinal { .. } => {
                to.already_final.inc();
            }
            Event::Skipped { .. } => {
                to.skipped.inc();
            }
            Event::Superseded { .. } => {
                to.superseded.inc();
            }
            Event::RowsLocked { stage, order_ids } => {
                to.rows_locked.with(stage, |count| count.inc_by(order_ids.len() as u64));
            }
            Event::LeaseLost { lease, .. } => to.leases_lost.with(lease, |count| count.inc()),
            Event::ReconcilerLeads(leads) => {
                to.reconciler_leads.set(u64::from(leads));
                if !leads {
                    // Who leads now counts them.
                    to.left_alone.set(0);
                }
            }
            Event::Reconciled => {
                to.reconciled_at.set(seconds_since_1970());
            }
            Event::DriftFound { drift, count, .. } => to.drift.with(drift, |found| found.inc_by(count)),
            Event::LeftAlone { orders, .. } => {
                to.left_alone.set(orders);
            }
            Event::DepthRead(depth) => {
                to.queue_depth.set(depth.waiting);
                to.queue_messages.with(MessageKind::Waiting, |gauge| gauge.set(depth.waiting));
                to.queue_messages.with(MessageKind::InFlight, |gauge| gauge.set(depth.in_flight));
                to.queue_messages.with(MessageKind::Retrying, |gauge| gauge.set(depth.retrying));
                to.depth_read_at.set(seconds_since_1970());
                to.depth_age.restart();
            }
            Event::TracesExported => {
                to.traces.enabled.set(1);
            }
            Event::SpansSent { spans, error } => to.traces.sent(spans, error.is_none()),
            Event::SpanDropped => to.traces.dropped(),
            Event::OpenOrdersRead(ref open) => to.orders.read(open),
            Event::ConnectionsRead(connections) => to.pools.read(connections),
            Event::ConnectionOpened(dependency) => to.pools.opened(dependency),
            Event::ConnectionAwaited { took } => to.pools.awaited(took),
            Event::CanaryWoke { runtime, late } => {
                to.scheduling_delay.with(runtime, |histogram| histogram.observe(late.as_secs_f64()));
            }
            Event::Draining { .. } => {
                to.draining.set(1);
            }
            Event::Drained { .. } => {}
        }
    }
}

fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

#[cfg(test)]
mod tests;
