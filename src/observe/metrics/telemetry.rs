//! The metrics of readings, and of the export of traces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use enum_map::Enum;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::{Count, Seconds, metrics};
use super::sample;
use super::seconds_since_1970;
use crate::domain::dead_letter::StoredReason;
use crate::domain::label::Label;
use crate::event::{Runtime, TelemetryEvent};
use crate::port::reports::ClockDoubt;

/// From a thread that is free, as timers are good to a millisecond, to one that is as good as dead.
const DELAY_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// What a message in the queue waits for.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum MessageKind {
    Waiting,
    InFlight,
    Due,
    Retrying,
}

/// A state in which an order is not done.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum OpenState {
    Pending,
    Processing,
}

/// Whether a connection of the store's pools is in use.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum ConnectionState {
    Idle,
    InUse,
}

/// The fate of a span.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum SpanOutcome {
    Exported,
    Failed,
    Dropped,
}

/// How a call to the collector ended.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum ExportOutcome {
    Ok,
    Error,
}

metrics! {
    pub(super) struct TelemetryMetrics {
        depth_age: DepthAge,
        /// Messages that no worker has claimed yet, as last counted; the same for every worker of a queue
        queue_depth: Count = "fulfillment_queue_depth", Count::default();
        /// Messages in the queue, by state, as last counted; the same for every worker of a queue
        queue_messages: Labelled<MessageKind, Count> = "fulfillment_queue_messages", Labelled::new("kind");
        /// Time of the last count of the queue, since 1970; 0 before the first
        depth_read_at: Seconds = "fulfillment_queue_depth_read_timestamp_seconds", Seconds::default();
        /// Orders in the store that are not done, as last counted; the same for every worker of a store
        open_orders: Labelled<OpenState, Count> = "fulfillment_open_orders", Labelled::new("state");
        /// Orders that are held, as last counted; the same for every worker of a store
        orders_held: Count = "fulfillment_orders_held", Count::default();
        /// Age of the oldest open order that is not held, as last counted; 0 if there is none, NaN if it can't be told
        oldest_order_age: Labelled<OpenState, Seconds> = "fulfillment_oldest_order_age_seconds", Labelled::new("state");
        /// 1 if this keeps the ages of orders from being told, as last looked
        clock_doubt: Labelled<ClockDoubt, Count> = "fulfillment_clock_doubt", Labelled::new("reason");
        /// Time of the last count of open orders, since 1970; 0 before the first
        open_orders_read_at: Seconds = "fulfillment_open_orders_read_timestamp_seconds", Seconds::default();
        /// Dead letters without a decision, by reason, as last counted; the same for every worker of a store
        open_dead_letters: Labelled<StoredReason, Count> =
            "fulfillment_dead_letters_open", Labelled::new("reason");
        /// Time of the last count of dead letters without a decision, since 1970; 0 before the first
        open_dead_letters_read_at: Seconds = "fulfillment_dead_letters_open_read_timestamp_seconds", Seconds::default();
        /// Open connections to the store, by state, as last counted; 0 if the store is embedded
        store_connections: Labelled<ConnectionState, Count> = "fulfillment_store_connections", Labelled::new("state");
        /// Maximum of connections to the store; 0 if the store is embedded
        store_connections_limit: Count = "fulfillment_store_connections_limit", Count::default();
        /// Delay between the time at which a sleeping task was due and the time at which it ran
        scheduling_delay: Labelled<Runtime, Histogram> = "fulfillment_scheduling_delay_seconds",
            Labelled::with("runtime", || Histogram::new(DELAY_SECONDS));
        /// 1 if traces are exported
        tracing_enabled: Count = "fulfillment_tracing_enabled", Count::default();
        /// Finished spans, by outcome of their export
        spans: Labelled<SpanOutcome, Counter> = "fulfillment_spans", Labelled::new("outcome");
        /// Calls to the trace collector, by outcome
        span_exports: Labelled<ExportOutcome, Counter> = "fulfillment_span_exports", Labelled::new("outcome");
    }
}

impl TelemetryMetrics {
    pub(super) fn observe(&self, event: &TelemetryEvent<'_>) {
        match *event {
            TelemetryEvent::DepthRead(depth) => {
                self.queue_depth.set(depth.waiting);
                self.queue_messages[MessageKind::Waiting].set(depth.waiting);
                self.queue_messages[MessageKind::InFlight].set(depth.in_flight);
                self.queue_messages[MessageKind::Due].set(depth.due);
                self.queue_messages[MessageKind::Retrying].set(depth.retrying);
                self.depth_read_at.set(seconds_since_1970());
                self.depth_age.restart();
            }
            TelemetryEvent::OpenOrdersRead(open) => {
                for (state, found) in [(OpenState::Pending, open.pending), (OpenState::Processing, open.processing)] {
                    self.open_orders[state].set(found.orders);
                    let all_are_held = open.doubt.is_none() && found.orders <= open.held;
                    let none_or_unknown = if found.orders == 0 || all_are_held { 0.0 } else { f64::NAN };
                    self.oldest_order_age[state]
                        .set(found.oldest.map_or(none_or_unknown, |oldest| oldest.as_secs_f64()));
                }
                for doubt in ClockDoubt::all() {
                    self.clock_doubt[doubt].set((open.doubt == Some(doubt)).into());
                }
                self.orders_held.set(open.held);
                self.open_orders_read_at.set(seconds_since_1970());
            }
            TelemetryEvent::OpenDeadLettersRead(open) => {
                for (reason, letters) in open.by_reason {
                    self.open_dead_letters[reason].set(letters);
                }
                self.open_dead_letters_read_at.set(seconds_since_1970());
            }
            TelemetryEvent::ConnectionsRead(connections) => {
                self.store_connections[ConnectionState::Idle].set(connections.idle);
                self.store_connections[ConnectionState::InUse].set(connections.in_use);
                self.store_connections_limit.set(connections.limit);
            }
            TelemetryEvent::SchedulingDelay { runtime, late } => {
                self.scheduling_delay[runtime].observe(late.as_secs_f64());
            }
            TelemetryEvent::TracesExported => _ = self.tracing_enabled.set(1),
            TelemetryEvent::SpansSent { spans, error } => {
                let (export, outcome) = match error {
                    None => (ExportOutcome::Ok, SpanOutcome::Exported),
                    Some(_) => (ExportOutcome::Error, SpanOutcome::Failed),
                };
                self.span_exports[export].inc();
                self.spans[outcome].inc_by(spans as u64);
            }
            TelemetryEvent::SpanDropped => _ = self.spans[SpanOutcome::Dropped].inc(),
        }
    }
}

/// The time since the queue was counted, computed at each scrape.
#[derive(Debug, Clone)]
struct DepthAge {
    since: Instant,
    read_after_micros: Arc<AtomicU64>,
}

impl DepthAge {
    fn register(registry: &mut Registry) -> Self {
        let age = Self { since: Instant::now(), read_after_micros: Arc::default() };
        registry.register_collector(Box::new(age.clone()));
        age
    }

    /// The queue was counted just now.
    fn restart(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.read_after_micros.store(micros, Ordering::Relaxed);
    }
}

impl Collector for DepthAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let read_after = Duration::from_micros(self.read_after_micros.load(Ordering::Relaxed));
        let age = self.since.elapsed().saturating_sub(read_after).as_secs_f64();
        let help = "Time since the last count of the queue, or since the start if there was none";
        sample::gauge(&mut encoder, "fulfillment_queue_depth_age_seconds", help, age)
    }
}
