//! Events as log lines: order by order at `debug`, or at `info` if asked for; failures at `warn` and within limits.

use enum_map::EnumMap;
use jiff::Timestamp;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::field::{DisplayValue, display};
use tracing::{debug, info, warn};

use super::api::api;
use super::controls::ControlsLog;
use super::jobs::jobs;
use super::rate_limit::RateLimit;
use super::trends::trends;
use crate::config::LogOrders;
use crate::domain::build_info;
use crate::domain::dead_letter::DeadReason;
use crate::domain::label::Label;
use crate::domain::order::OrderId;
use crate::domain::trace_context::{SpanId, TraceContext, TraceId};
use crate::event::{
    AttemptRef, Dependency, DependencyEvent, Event, FulfillerEvent, LifecycleEvent, Observer, OrderEvent,
    ReconcilerEvent, RetentionEvent, RowStage, TelemetryEvent,
};
use crate::observe::millis;
use crate::port::reports::ClockDoubt;

/// The cutoff moves once an hour.
const RETENTION_SLACK: Duration = Duration::from_secs(2 * 3_600);

/// Failed orders that are logged in a second at most; further ones are counted in one line.
const FAILURES_PER_SECOND: u32 = 100;
/// Time between two lines about the same dependency that stays down, or about rows that stay locked.
const REMINDER: Duration = Duration::from_secs(10);
/// The same about what the database's owner has to change: nothing is lost meanwhile.
const RARE_REMINDER: Duration = Duration::from_secs(600);

/// Logs what happens in the worker.
#[derive(Debug)]
pub struct EventLog {
    service_name: String,
    orders: LogOrders,
    failures: RateLimit,
    locked_rows: RateLimit,
    stuck_fences: RateLimit,
    clock_doubt: Mutex<Option<ClockDoubt>>,
    controls: ControlsLog,
    unsent_spans: RateLimit,
    stale_orders: AtomicU64,
    before_horizon: AtomicU64,
    dependencies: EnumMap<Dependency, Mutex<LastLogged>>,
}

/// The last lines about a dependency.
#[derive(Debug, Clone, Copy, Default)]
struct LastLogged {
    up: Option<bool>,
    down_at: Option<Instant>,
}

impl EventLog {
    /// `service_name` is logged when the engine starts, and `orders` have lines of their own.
    pub fn new(service_name: &str, orders: LogOrders) -> Self {
        Self {
            service_name: service_name.to_owned(),
            orders,
            failures: RateLimit::new(FAILURES_PER_SECOND, Duration::from_secs(1)),
            locked_rows: RateLimit::new(1, REMINDER),
            stuck_fences: RateLimit::new(1, RARE_REMINDER),
            clock_doubt: Mutex::default(),
            controls: ControlsLog::new(RateLimit::new(1, REMINDER)),
            unsent_spans: RateLimit::new(1, REMINDER),
            stale_orders: AtomicU64::new(0),
            before_horizon: AtomicU64::new(0),
            dependencies: EnumMap::default(),
        }
    }

    fn observe_at(&self, event: &Event<'_>, now: Instant) {
        match event {
            Event::Lifecycle(event) => self.lifecycle(event, now),
            Event::Dependency(event) => self.dependency(event, now),
            Event::Order(event) => self.order(event, now),
            Event::Fulfiller(event) => fulfiller(event),
            Event::Controls(event) => self.controls.observe(event, now),
            Event::Reconciler(event) => self.reconciler(event),
            Event::Retention(event) => retention(event),
            Event::Jobs(event) => jobs(event),
            Event::Api(event) => api(event),
            Event::Trends(event) => trends(event),
            Event::Telemetry(event) => self.telemetry(event, now),
        }
    }

    fn lifecycle(&self, event: &LifecycleEvent<'_>, now: Instant) {
        match *event {
            LifecycleEvent::Starting { queue, store, fulfiller, listen } => starting(queue, store, fulfiller, listen),
            LifecycleEvent::Started { worker, concurrency } => {
                info!(service = self.service_name, worker, concurrency, version = build_info::VERSION, "started");
            }
            LifecycleEvent::Heartbeat(_) => self.report_suppressed(now),
            LifecycleEvent::Reloaded { what, error: None } => {
                info!(what = what.as_str(), "read its secrets and certificates again");
            }
            LifecycleEvent::Reloaded { what, error: Some(error) } => {
                let message = "new secrets or certificates can't be used; the old ones stay in use";
                tracing::error!(what = what.as_str(), error, "{message}");
            }
            LifecycleEvent::Draining { in_flight } => info!(in_flight, "draining: nothing more is claimed"),
            LifecycleEvent::Drained { left } => {
                self.report_suppressed(now);
                info!(left, "drained");
            }
        }
    }

    fn dependency(&self, event: &DependencyEvent<'_>, now: Instant) {
        match *event {
            DependencyEvent::Down { dependency, error, retry_in } => self.down(dependency, error, retry_in, now),
            DependencyEvent::Up(dependency) => self.up(dependency),
            DependencyEvent::RowsLocked { stage, order_ids } => self.rows_locked(stage, order_ids, now),
            DependencyEvent::FencesStuck { order_ids } => self.fences_stuck(order_ids, now),
            DependencyEvent::CallBegan { .. }
            | DependencyEvent::CallOver { .. }
            | DependencyEvent::StageDone { .. }
            | DependencyEvent::ConnectionOpened(_)
            | DependencyEvent::ConnectionAwaited { .. } => {}
        }
    }

    fn order(&self, event: &OrderEvent<'_>, now: Instant) {
        match *event {
            OrderEvent::AttemptFailed { attempt, took, error } => self.attempt_failed(attempt, took, error, now),
            OrderEvent::DeadLettered { attempt, reason, detail } => self.dead_lettered(attempt, reason, detail, now),
            OrderEvent::AttemptStarted { attempt, takeover, waited: _ } => {
                step(attempt, "attempt started", format_args!("takeover: {takeover}"));
            }
            OrderEvent::Fulfilled { attempt, took, reference, .. } => {
                let reference = reference.unwrap_or("none");
                self.ended(attempt, "fulfilled", Some(took), format_args!("reference {reference}"));
            }
            OrderEvent::Retried { attempt, reason, after } => {
                let detail = format_args!("{} in {after:?}", reason.as_str());
                if reason.spends_attempt() {
                    // Its line is that of the failure.
                    step(attempt, "goes back to the queue", detail);
                } else {
                    self.ended(attempt, "goes back to the queue", None, detail);
                }
            }
            OrderEvent::AlreadyFinal { attempt } => {
                self.ended(attempt, "dropped", None, format_args!("fulfilled or failed already"));
            }
            OrderEvent::Skipped { attempt, status } => {
                self.ended(attempt, "skipped", None, format_args!("status {status:?}"));
            }
            // Another event says what becomes of the message.
            OrderEvent::Cancelled { attempt, from } => {
                step(attempt, "cancelled", format_args!("the order was cancelled while {}", from.as_str()));
            }
            OrderEvent::Superseded { attempt } => step(attempt, "superseded", format_args!("the row had moved on")),
            OrderEvent::LeaseLost { attempt, lease } => {
                step(attempt, "lease lost", format_args!("on the {}", lease.as_str()));
            }
            OrderEvent::ClaimsThrottled { .. } | OrderEvent::InFlight(_) | OrderEvent::CallPlacesTaken(_) => {}
        }
    }

    fn reconciler(&self, event: &ReconcilerEvent<'_>) {
        match *event {
            ReconcilerEvent::DriftFound { drift, count, first } => {
                let first: Vec<i64> = first.iter().map(|id| id.0).collect();
                warn!(drift = drift.as_str(), count, ?first, "put right: orders whose messages were lost, or the like");
            }
            ReconcilerEvent::StaleOrders { orders, max_age } => self.stale_orders(orders, max_age),
            ReconcilerEvent::OrdersBeforeHorizon { orders, adopt_from } => self.before_horizon(orders, adopt_from),
            ReconcilerEvent::Swept { found: orders @ 1.., .. } => {
                debug!(
                    orders,
                    "open orders were found below the low-water mark: somebody opened them again, or ids don't rise"
                );
            }
            ReconcilerEvent::Leads(_) | ReconcilerEvent::RoundDone | ReconcilerEvent::Swept { .. } => {}
        }
    }

    fn telemetry(&self, event: &TelemetryEvent<'_>, now: Instant) {
        match *event {
            TelemetryEvent::TracesExported => info!("traces are exported"),
            TelemetryEvent::SpansSent { spans, error: Some(error) } => {
                if self.unsent_spans.admit(now) {
                    warn!(spans, error, "traces could not be exported: these spans are lost, no order is");
                }
            }
            TelemetryEvent::OpenOrdersRead(open) => self.clock_doubt(open.doubt),
            TelemetryEvent::SpansSent { error: None, .. }
            | TelemetryEvent::SpanDropped
            | TelemetryEvent::DepthRead(_)
            | TelemetryEvent::OpenDeadLettersRead(_)
            | TelemetryEvent::ConnectionsRead(_)
            | TelemetryEvent::SchedulingDelay { .. } => {}
        }
    }

    fn attempt_failed(&self, attempt: AttemptRef<'_>, took: Duration, error: &str, now: Instant) {
        if self.admits_failure(now) {
            let AttemptRef { order_id, correlation_id, number: attempt, trace } = attempt;
            let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
            let took_ms = millis(took);
            warn!(order_id, correlation_id, attempt, trace_id, span_id, took_ms, error, "attempt failed");
        } else if self.orders == LogOrders::Off {
            step(attempt, "attempt failed", format_args!("{took:?}: {error:?}"));
        }
    }

    fn dead_lettered(&self, attempt: AttemptRef<'_>, reason: DeadReason, detail: &str, now: Instant) {
        if self.admits_failure(now) {
            let AttemptRef { order_id, correlation_id, number: attempt, trace } = attempt;
            let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
            let reason = reason.as_str();
            warn!(order_id, correlation_id, attempt, trace_id, span_id, reason, detail, "dead-lettered");
        } else if self.orders == LogOrders::Off {
            step(attempt, "dead-lettered", format_args!("{}: {detail:?}", reason.as_str()));
        }
    }

    /// An outcome that is no failure.
    fn ended(&self, attempt: AttemptRef<'_>, what: &str, took: Option<Duration>, detail: fmt::Arguments<'_>) {
        if self.orders != LogOrders::All {
            return step(attempt, what, detail);
        }
        let AttemptRef { order_id, correlation_id, number: attempt, trace } = attempt;
        let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
        let took_ms = took.map(millis);
        info!(order_id, correlation_id, attempt, trace_id, span_id, took_ms, %detail, "{what}");
    }

    /// The worker retries several times a second; the log repeats the line at [`REMINDER`] only.
    fn rows_locked(&self, stage: RowStage, order_ids: &[OrderId], now: Instant) {
        if self.locked_rows.admit(now) {
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

    fn fences_stuck(&self, order_ids: &[OrderId], now: Instant) {
        if self.stuck_fences.admit(now) {
            warn!(
                order_id = order_ids.first().map(|id| id.0),
                rows = order_ids.len(),
                "updated_at came back no later than before: something else writes it, such as a trigger on orders that cuts \
                 it; leases are less exact for it"
            );
        }
    }

    /// Logged when it changes.
    fn clock_doubt(&self, doubt: Option<ClockDoubt>) {
        if std::mem::replace(&mut *self.clock_doubt.lock(), doubt) == doubt {
            return;
        }
        match doubt {
            Some(doubt) => warn!(
                reason = doubt.as_str(),
                "the ages of orders can't be told: {}; orders of a worker that died are taken over up to a lease later",
                doubt.explanation()
            ),
            None => info!("the ages of orders can be told again"),
        }
    }

    /// Logged when the number changes.
    fn stale_orders(&self, orders: u64, max_age: Duration) {
        let last = self.stale_orders.swap(orders, Ordering::Relaxed);
        if orders > 0 && orders != last {
            let max_age = humantime::format_duration(max_age);
            warn!(orders, %max_age, "open orders that nobody touched for longer than --reconcile-max-age are left alone");
        }
    }

    /// Logged when there are more than ever: those that somebody deals with need no line.
    fn before_horizon(&self, orders: u64, adopt_from: Option<Timestamp>) {
        if orders > self.before_horizon.fetch_max(orders, Ordering::Relaxed) {
            let adopt_from = adopt_from.map(display);
            warn!(
                orders,
                adopt_from,
                "open orders were created before this installation took over, and are left alone unless a message names \
                 them; `verify` lists them, and --reconcile-from with an earlier time takes them in"
            );
        }
    }

    fn admits_failure(&self, now: Instant) -> bool {
        self.report_suppressed(now);
        match self.orders {
            LogOrders::Off => false,
            LogOrders::Failures => self.failures.admit(now),
            LogOrders::All => true,
        }
    }

    fn report_suppressed(&self, now: Instant) {
        if let Some(lines) = self.failures.held_back(now) {
            warn!(lines, "more failures than are logged in a second; the metrics count them all");
        }
    }

    /// Logged when the dependency goes down, then every [`REMINDER`] at most, even if it recovers with every other call.
    fn down(&self, dependency: Dependency, error: &str, retry_in: Duration, now: Instant) {
        let mut last = self.dependencies[dependency].lock();
        if last.down_at.is_none_or(|at| now.saturating_duration_since(at) >= REMINDER) {
            *last = LastLogged { up: Some(false), down_at: Some(now) };
            let dependency = dependency.as_str();
            warn!(dependency, error, retry_in_ms = millis(retry_in), "dependency down: orders wait, none is lost");
        }
    }

    fn up(&self, dependency: Dependency) {
        if self.dependencies[dependency].lock().up.replace(true) != Some(true) {
            info!(dependency = dependency.as_str(), "dependency up");
        }
    }
}

impl Observer for EventLog {
    fn observe(&self, event: &Event<'_>) {
        self.observe_at(event, Instant::now());
    }
}

/// One line that says what this worker works on, and where to look at it.
fn starting(queue: &str, store: &str, fulfiller: &str, listen: &[String]) {
    let url = |base: &String, path| if base.starts_with("unix:") { base.clone() } else { format!("{base}{path}") };
    let urls = |path| listen.iter().map(|base| url(base, path)).collect::<Vec<_>>().join(" ");
    let (page, metrics, version) = (urls("/"), urls("/metrics"), build_info::LONG_VERSION);
    info!(queue, store, fulfiller, page, metrics, version, "starting");
}

fn fulfiller(event: &FulfillerEvent<'_>) {
    match *event {
        FulfillerEvent::CallEnded { attempt, outcome, took, detail } => {
            let detail = detail.unwrap_or("no reference");
            step(attempt, "call ended", format_args!("{}, {took:?}: {detail}", outcome.as_str()));
        }
        FulfillerEvent::BreakerMoved(state) => debug!(state = state.as_str(), "circuit breaker"),
        FulfillerEvent::RequestEnded { .. }
        | FulfillerEvent::LimiterWaited { .. }
        | FulfillerEvent::RepeatPutOff { .. } => {}
    }
}

fn retention(event: &RetentionEvent) {
    match *event {
        RetentionEvent::RoundDone { behind, .. } if behind > RETENTION_SLACK => {
            let behind = humantime::format_duration(Duration::from_secs(behind.as_secs()));
            warn!(
                %behind,
                "the deletion of old timelines is behind --keep-events, and moves on by a day an hour at most: if that is not \
                 because --keep-events is new or was shortened, or nobody worked, look at the database's clock"
            );
        }
        RetentionEvent::RoundDone { entries, .. } if entries > 0 => info!(entries, "deleted old timelines"),
        RetentionEvent::RoundDone { .. }
        | RetentionEvent::RoundFailed { .. }
        | RetentionEvent::Follows
        | RetentionEvent::Deleted { .. } => {}
    }
}

/// A line about one order, formatted only if `debug` is on.
fn step(attempt: AttemptRef<'_>, what: &str, detail: fmt::Arguments<'_>) {
    let AttemptRef { order_id, correlation_id, number: attempt, trace } = attempt;
    let (order_id, (trace_id, span_id)) = (order_id.map(|id| id.0), ids(trace));
    debug!(order_id, correlation_id, attempt, trace_id, span_id, %detail, "{what}");
}

/// The ids of a span that was sampled; no other one can be looked up.
fn ids(trace: Option<TraceContext>) -> (Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>) {
    let sampled = trace.filter(|trace| trace.sampled);
    (sampled.map(|trace| display(trace.trace_id)), sampled.map(|trace| display(trace.span_id)))
}
