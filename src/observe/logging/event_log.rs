//! Events as log lines. What happens to every order is told at `debug`; failures are told at `warn`, within limits.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::field::{DisplayValue, display};
use tracing::{debug, info, warn};

use super::rate_limit::RateLimit;
use crate::domain::order::OrderId;
use crate::domain::trace_context::{SpanId, TraceContext, TraceId};
use crate::event::{Dependency, Event, Observer, Stage, Subject};

/// Lines about failed orders in a second at most; the others are counted in a line of their own.
const FAILURES_PER_SECOND: u32 = 100;
/// How often a dependency that stays down, or a row that stays locked, is told again.
const REMINDER: Duration = Duration::from_secs(10);

/// Writes what happens to the log.
#[derive(Debug)]
pub struct EventLog {
    service_name: String,
    failures: RateLimit,
    locked: RateLimit,
    unsent: RateLimit,
    left_alone: AtomicU64,
    dependencies: [(Dependency, Mutex<Told>); 3],
}

/// What the log said last of a dependency.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    up: Option<bool>,
    down_at: Option<Instant>,
}

impl EventLog {
    /// `service_name` is told when the engine starts.
    pub fn new(service_name: &str) -> Self {
        Self {
            service_name: service_name.to_owned(),
            failures: RateLimit::new(FAILURES_PER_SECOND, Duration::from_secs(1)),
            locked: RateLimit::new(1, REMINDER),
            unsent: RateLimit::new(1, REMINDER),
            left_alone: AtomicU64::new(0),
            dependencies: Dependency::ALL.map(|dependency| (dependency, Mutex::default())),
        }
    }

    fn observe_at(&self, event: &Event<'_>, now: Instant) {
        match *event {
            Event::Started { worker, concurrency } => {
                info!(service = self.service_name, worker, concurrency, version = env!("CARGO_PKG_VERSION"), "started");
            }
            Event::Draining { in_flight } => info!(in_flight, "draining: nothing more is claimed"),
            Event::Drained { left } => {
                self.tell_held_back(now);
                info!(left, "drained");
            }
            Event::DependencyDown { dependency, error, retry_in } => self.down(dependency, error, retry_in, now),
            Event::DependencyUp(dependency) => self.up(dependency),
            Event::Beat(_) => self.tell_held_back(now),
            Event::AttemptFailed { subject, took, error } => self.attempt_failed(&subject, took, error, now),
            Event::DeadLettered { subject, reason, detail } => {
                if self.failure_is_told(now) {
                    let Subject { order_id, correlation_id, attempt, trace } = subject;
                    let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
                    warn!(
                        order_id,
                        correlation_id,
                        attempt,
                        trace_id,
                        span_id,
                        reason = reason.as_str(),
                        detail,
                        "dead-lettered"
                    );
                }
            }
            Event::StageDone { .. }
            | Event::CallBegan { .. }
            | Event::CallOver { .. }
            | Event::ClaimsHeldBack { .. }
            | Event::InFlight(_)
            | Event::DepthRead(_)
            | Event::OpenOrdersRead(_)
            | Event::ConnectionsRead(_)
            | Event::ConnectionOpened(_)
            | Event::ConnectionAwaited { .. }
            | Event::CanaryWoke { .. }
            | Event::ReconcilerLeads(_)
            | Event::Reconciled
            | Event::RequestEnded { .. }
            | Event::LimiterWaited { .. }
            | Event::RepeatPutOff { .. } => {}
            Event::DriftFound { drift, count, first } => {
                let first: Vec<i64> = first.iter().map(|id| id.0).collect();
                warn!(drift = drift.as_str(), count, ?first, "put right: orders whose messages were lost, or the like");
            }
            Event::TracesExported => info!("traces are exported"),
            Event::SpansSent { spans, error } => self.spans_sent(spans, error, now),
            Event::SpanDropped => {}
            Event::LeftAlone { orders, max_age } => self.left_alone(orders, max_age),
            Event::AttemptStarted { subject, takeover, waited: _ } => {
                order(&subject, "attempt started", format_args!("takeover: {takeover}"));
            }
            Event::CallEnded { subject, outcome, took, detail } => {
                let detail = detail.unwrap_or("no reference");
                order(&subject, "call ended", format_args!("{}, {took:?}: {detail}", outcome.as_str()));
            }
            Event::BreakerMoved(state) => debug!(state = state.as_str(), "circuit breaker"),
            Event::Fulfilled { subject, took, reference, .. } => {
                order(&subject, "fulfilled", format_args!("{took:?}, reference {}", reference.unwrap_or("none")));
            }
            Event::Retried { subject, reason, after } => {
                order(&subject, "goes back to the queue", format_args!("{} in {after:?}", reason.as_str()));
            }
            Event::AlreadyFinal { subject } => order(&subject, "dropped", format_args!("fulfilled or failed already")),
            Event::Skipped { subject, status } => order(&subject, "skipped", format_args!("status {status:?}")),
            Event::Superseded { subject } => order(&subject, "superseded", format_args!("the row had moved on")),
            Event::RowsLocked { stage, order_ids } => self.rows_locked(stage, order_ids, now),
            Event::LeaseLost { subject, lease } => {
                order(&subject, "lease lost", format_args!("on the {}", lease.as_str()));
            }
        }
    }

    fn attempt_failed(&self, subject: &Subject<'_>, took: Duration, error: &str, now: Instant) {
        if self.failure_is_told(now) {
            let Subject { order_id, correlation_id, attempt, trace } = *subject;
            let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
            let took_ms = millis(took);
            warn!(order_id, correlation_id, attempt, trace_id, span_id, took_ms, error, "attempt failed");
        }
    }

    /// Tried several times a second, so that it is told as seldom as a dependency that is down.
    fn rows_locked(&self, stage: Stage, order_ids: &[OrderId], now: Instant) {
        if self.locked.admit(now) {
            let (stage, first) = (stage.as_str(), order_ids.first().map(|id| id.0));
            warn!(
                stage,
                order_id = first,
                rows = order_ids.len(),
                "rows are locked by a transaction that is not ours: their orders wait for it, and no others; \
                 pg_stat_activity and pg_locks show whose it is"
            );
        }
    }

    /// Told when the number changes.
    fn left_alone(&self, orders: u64, max_age: Duration) {
        let told = self.left_alone.swap(orders, Ordering::Relaxed);
        if orders > 0 && orders != told {
            let max_age = humantime::format_duration(max_age);
            warn!(orders, %max_age, "open orders that nobody touched for longer than --reconcile-max-age are left alone");
        }
    }

    /// A collector that is down is told as seldom as a dependency that is.
    fn spans_sent(&self, spans: usize, error: Option<&str>, now: Instant) {
        if let Some(error) = error
            && self.unsent.admit(now)
        {
            warn!(spans, error, "traces could not be exported: these spans are lost, no order is");
        }
    }

    fn failure_is_told(&self, now: Instant) -> bool {
        self.tell_held_back(now);
        self.failures.admit(now)
    }

    fn tell_held_back(&self, now: Instant) {
        if let Some(lines) = self.failures.held_back(now) {
            warn!(lines, "more failures than are logged in a second; the metrics count them all");
        }
    }

    /// Told on the change and then as a reminder. One that comes and goes with every call is told as seldom.
    fn down(&self, dependency: Dependency, error: &str, retry_in: Duration, now: Instant) {
        self.with_told(dependency, |told| {
            if told.down_at.is_some_and(|at| now.saturating_duration_since(at) < REMINDER) {
                return;
            }
            *told = Told { up: Some(false), down_at: Some(now) };
            let dependency = dependency.as_str();
            warn!(dependency, error, retry_in_ms = millis(retry_in), "dependency down: orders wait, none is lost");
        });
    }

    fn up(&self, dependency: Dependency) {
        self.with_told(dependency, |told| {
            if told.up != Some(true) {
                told.up = Some(true);
                info!(dependency = dependency.as_str(), "dependency up");
            }
        });
    }

    fn with_told(&self, dependency: Dependency, tell: impl Fn(&mut Told)) {
        for (_, told) in self.dependencies.iter().filter(|(each, _)| *each == dependency) {
            tell(&mut told.lock());
        }
    }
}

impl Observer for EventLog {
    fn observe(&self, event: &Event<'_>) {
        self.observe_at(event, Instant::now());
    }
}

/// A line about one order, formatted only where `debug` is on.
fn order(subject: &Subject<'_>, what: &str, detail: fmt::Arguments<'_>) {
    let Subject { order_id, correlation_id, attempt, trace } = *subject;
    let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
    debug!(order_id, correlation_id, attempt, trace_id, span_id, %detail, "{what}");
}

/// Of a span that can be looked up.
fn ids(trace: Option<TraceContext>) -> (Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>) {
    let sampled = trace.filter(|trace| trace.sampled);
    (sampled.map(|trace| display(trace.trace_id)), sampled.map(|trace| display(trace.span_id)))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
