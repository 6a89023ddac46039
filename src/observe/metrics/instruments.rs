//! The metrics that events move: their names, buckets and labels.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::calls::Calls;
use super::exemplars::Attempts;
use super::labelled::Labelled;
use super::orders::Orders;
use super::pools::Pools;
use super::sample::{self, Description};
use super::traces::Traces;
use super::under_way::UnderWay;
use crate::domain::dead_letter::DeadReason;
use crate::event::{Dependency, Drift, HeldBack, Lease, RetryReason, Runtime, Stage};

/// A gauge of whole things.
pub(super) type Count = Gauge<u64, AtomicU64>;
/// A gauge of seconds.
type Seconds = Gauge<f64, AtomicU64>;

/// From a lone commit on a good disk to a dependency's timeout.
const STAGE_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From an order that goes straight through to one that waited for a day.
pub(super) const AGE_SECONDS: [f64; 16] =
    [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0];
/// Up to the largest batch that a backend takes.
const BATCH_ITEMS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];

/// From a thread that is free, as timers are good to a millisecond, to one that is as good as dead.
const DELAY_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

/// How an attempt ended, as in the given `status` label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptStatus {
    Success,
    Error,
}

impl AttemptStatus {
    pub(super) const ALL: [Self; 2] = [Self::Success, Self::Error];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

/// Where in the queue a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    Waiting,
    InFlight,
    Retrying,
}

impl MessageKind {
    const ALL: [Self; 3] = [Self::Waiting, Self::InFlight, Self::Retrying];

    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::InFlight => "in_flight",
            Self::Retrying => "retrying",
        }
    }
}

/// Counts open connections by what [`ConnectionCount::open`] returns being alive.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCount(Count);

/// A connection that is open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(Count);

impl ConnectionCount {
    /// Counts one more.
    pub fn open(&self) -> OpenConnection {
        self.0.inc();
        OpenConnection(self.0.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The time since the queue was counted, told at each scrape.
#[derive(Debug, Clone)]
pub(super) struct DepthAge {
    since: Instant,
    read_after_micros: Arc<AtomicU64>,
}

impl DepthAge {
    fn new() -> Self {
        Self { since: Instant::now(), read_after_micros: Arc::default() }
    }

    /// The queue was counted just now.
    pub(super) fn restart(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.read_after_micros.store(micros, Ordering::Relaxed);
    }
}

impl Collector for DepthAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let read_after = Duration::from_micros(self.read_after_micros.load(Ordering::Relaxed));
        let description = Description {
            name: "fulfillment_queue_depth_age",
            help: "Time since the queue was last counted, or since the start when it never was",
            unit: Some(Unit::Seconds),
        };
        sample::gauge(&mut encoder, &description, self.since.elapsed().saturating_sub(read_after).as_secs_f64())
    }
}

/// Handles on everything that events move.
pub(super) struct Instruments {
    pub(super) attempts: Attempts,
    pub(super) queue_depth: Count,
    pub(super) healthy: Count,
    pub(super) queue_messages: Labelled<MessageKind, Count>,
    pub(super) depth_read_at: Seconds,
    pub(super) depth_age: DepthAge,
    pub(super) in_flight: Count,
    pub(super) in_flight_limit: Count,
    pub(super) attempts_started: Counter,
    pub(super) retries: Labelled<RetryReason, Counter>,
    pub(super) dead_letters: Labelled<DeadReason, Counter>,
    pub(super) skipped: Counter,
    pub(super) already_final: Counter,
    pub(super) superseded: Counter,
    pub(super) takeovers: Counter,
    pub(super) leases_lost: Labelled<Lease, Counter>,
    pub(super) rows_locked: Labelled<Stage, Counter>,
    pub(super) order_age: Histogram,
    pub(super) stage_duration: Labelled<Stage, Histogram>,
    pub(super) batch_size: Labelled<Stage, Histogram>,
    pub(super) stage_errors: Labelled<Stage, Counter>,
    pub(super) dependency_up: Labelled<Dependency, Count>,
    pub(super) under_way: UnderWay,
    pub(super) held_back: Labelled<HeldBack, Counter<f64, AtomicU64>>,
    pub(super) drift: Labelled<Drift, Counter>,
    pub(super) left_alone: Count,
    pub(super) reconciler_leads: Count,
    pub(super) reconciled_at: Seconds,
    pub(super) draining: Count,
    pub(super) last_success: Seconds,
    pub(super) connections: ConnectionCount,
    pub(super) scheduling_delay: Labelled<Runtime, Histogram>,
    pub(super) calls: Calls,
    pub(super) traces: Traces,
    pub(super) orders: Orders,
    pub(super) pools: Pools,
}

impl Instruments {
    /// Makes them all, each at its start value. What formats with native buckets show in another one's place goes into
    /// `native`.
    pub(super) fn register(registry: &mut Registry, native: &mut Registry) -> Self {
        let instruments = Self {
            attempts: Attempts::register(registry, native),
            queue_depth: Count::default(),
            healthy: Count::default(),
            queue_messages: Labelled::new("kind", &MessageKind::ALL, MessageKind::as_str, Count::default),
            depth_read_at: Seconds::default(),
            depth_age: DepthAge::new(),
            in_flight: Count::default(),
            in_flight_limit: Count::default(),
            attempts_started: Counter::default(),
            retries: Labelled::new("reason", &RetryReason::ALL, RetryReason::as_str, Counter::default),
            dead_letters: Labelled::new("reason", &DeadReason::ALL, DeadReason::as_str, Counter::default),
            skipped: Counter::default(),
            already_final: Counter::default(),
            superseded: Counter::default(),
            takeovers: Counter::default(),
            leases_lost: Labelled::new("lease", &Lease::ALL, Lease::as_str, Counter::default),
            rows_locked: Labelled::new("stage", &Stage::PASSING_OVER, Stage::as_str, Counter::default),
            order_age: Histogram::new(AGE_SECONDS),
            stage_duration: Labelled::new("stage", &Stage::ALL, Stage::as_str, || Histogram::new(STAGE_SECONDS)),
            batch_size: Labelled::new("stage", &Stage::ALL, Stage::as_str, || Histogram::new(BATCH_ITEMS)),
            stage_errors: Labelled::new("stage", &Stage::ALL, Stage::as_str, Counter::default),
            dependency_up: Labelled::new("dependency", &Dependency::ALL, Dependency::as_str, Count::default),
            under_way: UnderWay::default(),
            held_back: Labelled::new("by", &HeldBack::ALL, HeldBack::as_str, Counter::default),
            drift: Labelled::new("kind", &Drift::ALL, Drift::as_str, Counter::default),
            left_alone: Count::default(),
            reconciler_leads: Count::default(),
            reconciled_at: Seconds::default(),
            draining: Count::default(),
            last_success: Seconds::default(),
            connections: ConnectionCount::default(),
            scheduling_delay: Labelled::new("runtime", &Runtime::ALL, Runtime::as_str, || {
                Histogram::new(DELAY_SECONDS)
            }),
            calls: Calls::register(registry),
            traces: Traces::register(registry),
            orders: Orders::register(registry),
            pools: Pools::register(registry),
        };
        instruments.register_orders(registry);
        instruments.register_exceptions(registry);
        instruments.register_queue(registry);
        instruments.register_pipeline(registry);
        instruments.register_reconciler(registry);
        instruments
    }

    /// A call to a dependency ended. An empty batch, such as a claim on an empty queue, has no size worth knowing.
    pub(super) fn stage_done(&self, stage: Stage, items: usize, took: Duration, ok: bool) {
        self.stage_duration.with(stage, |histogram| histogram.observe(took.as_secs_f64()));
        if !ok {
            self.stage_errors.with(stage, |count| count.inc());
        } else if items > 0 {
            self.batch_size.with(stage, |histogram| histogram.observe(items as f64));
        }
    }

    fn register_orders(&self, registry: &mut Registry) {
        let help = "Time from an order's created_at to fulfilled";
        seconds(registry, "fulfillment_order_age_at_fulfillment", help, &self.order_age);
        let help = "When an order was last fulfilled, since 1970; 0 before the first";
        seconds(registry, "fulfillment_last_success_timestamp", help, &self.last_success);
        plain(registry, "fulfillment_attempts_started", "Attempts that began", &self.attempts_started);
        let help = "Orders in this worker's hands: claimed and not settled yet";
        plain(registry, "fulfillment_orders_in_flight", help, &self.in_flight);
        let help = "Orders in flight at most, as configured; 0 before the start";
        plain(registry, "fulfillment_orders_in_flight_limit", help, &self.in_flight_limit);
    }

    fn register_exceptions(&self, registry: &mut Registry) {
        let help = "Messages that went back to the queue, by why";
        plain(registry, "fulfillment_retries", help, &self.retries);
        let help = "Messages that were given up and kept as dead letters, by why";
        plain(registry, "fulfillment_dead_letters", help, &self.dead_letters);
        let help = "Messages dropped because the status of their order belongs to somebody else";
        plain(registry, "fulfillment_skipped", help, &self.skipped);
        let help = "Messages dropped because their order was fulfilled or failed already";
        plain(registry, "fulfillment_already_final", help, &self.already_final);
        let help = "Conclusions that came too late and changed nothing, as the row had moved on";
        plain(registry, "fulfillment_superseded", help, &self.superseded);
        let help = "Orders taken over from a worker whose lease had run out";
        plain(registry, "fulfillment_takeovers", help, &self.takeovers);
        let help = "Leases lost while the order was in work, by what they were held on";
        plain(registry, "fulfillment_leases_lost", help, &self.leases_lost);
        let help = "Times that a row was passed over, as another transaction had locked it";
        plain(registry, "fulfillment_rows_locked", help, &self.rows_locked);
    }

    fn register_queue(&self, registry: &mut Registry) {
        let help = "Messages that no worker has claimed yet, when last counted; the same for every worker of a queue";
        plain(registry, "fulfillment_queue_depth", help, &self.queue_depth);
        let help = "Messages in the queue by what they wait for, when last counted; the same for every worker";
        plain(registry, "fulfillment_queue_messages", help, &self.queue_messages);
        let help = "When the queue was last counted, since 1970; 0 before the first time";
        seconds(registry, "fulfillment_queue_depth_read_timestamp", help, &self.depth_read_at);
        registry.register_collector(Box::new(self.depth_age.clone()));
    }

    fn register_reconciler(&self, registry: &mut Registry) {
        plain(registry, "fulfillment_drift", "What should not be and was put right, by kind", &self.drift);
        let help =
            "Open orders too old for the reconciler, when this worker last counted them; 0 where it does not lead";
        plain(registry, "fulfillment_orders_left_alone", help, &self.left_alone);
        let help = "Whether this worker looks for orders that lost their message; one of all workers does";
        plain(registry, "fulfillment_reconciler_leads", help, &self.reconciler_leads);
        let help = "When this worker last led a whole round of the reconciler, since 1970; 0 before the first one";
        seconds(registry, "fulfillment_reconciler_last_round_timestamp", help, &self.reconciled_at);
    }

    fn register_pipeline(&self, registry: &mut Registry) {
        let help = "Time of one call to a dependency, answered or not";
        seconds(registry, "fulfillment_stage_duration", help, &self.stage_duration);
        let help = "Items in one answered call to a dependency; empty claims are left out";
        plain(registry, "fulfillment_batch_size", help, &self.batch_size);
        let help = "Calls to a dependency that got no answer or an error";
        plain(registry, "fulfillment_stage_errors", help, &self.stage_errors);
        let help = "Whether the last call to the dependency was answered";
        plain(registry, "fulfillment_dependency_up", help, &self.dependency_up);
        registry.register_collector(Box::new(self.under_way.clone()));
        let help = "Time in which nothing was claimed although the loop could have, by what it waited for";
        seconds(registry, "fulfillment_claims_held_back", help, &self.held_back);
        let help =
            "Whether the worker is ready: started, its dependencies up and fast enough, making progress, not draining";
        plain(registry, "service_healthy", help, &self.healthy);
        plain(registry, "fulfillment_draining", "Whether shutdown has begun", &self.draining);
        plain(registry, "fulfillment_http_connections", "Connections open to this server", &self.connections.0);
        let help = "How much later than it had asked for a task that slept ran again";
        seconds(registry, "fulfillment_scheduling_delay", help, &self.scheduling_delay);
    }
}

pub(super) fn plain(registry: &mut Registry, name: &'static str, help: &'static str, metric: &(impl Metric + Clone)) {
    registry.register(name, help, metric.clone());
}

pub(super) fn seconds(registry: &mut Registry, name: &'static str, help: &'static str, metric: &(impl Metric + Clone)) {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
}
