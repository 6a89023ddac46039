//! The metrics of calls to queue, store and fulfiller, and of the connections to them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, plain, seconds};
use super::under_way::UnderWay;
use crate::event::{Backend, Dependency, DependencyEvent, RowStage, Stage};

/// From a lone commit on a good disk to a dependency's timeout.
const STAGE_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Up to the largest batch that a backend takes.
const BATCH_ITEMS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
/// From a connection that is free to the limit of the wait for one.
const WAIT_SECONDS: [f64; 11] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0];

pub(super) struct DependencyMetrics {
    stage_duration: Labelled<Stage, Histogram>,
    batch_size: Labelled<Stage, Histogram>,
    stage_errors: Labelled<Stage, Counter>,
    rows_locked: Labelled<RowStage, Counter>,
    up: Labelled<Dependency, Count>,
    under_way: UnderWay,
    connection_wait: Histogram,
    connections_opened: Labelled<Backend, Counter>,
}

impl DependencyMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let under_way = UnderWay::default();
        registry.register_collector(Box::new(under_way.clone()));
        let help = "Duration of one call to a dependency, answered or not";
        let stage_duration = seconds(
            registry,
            "fulfillment_stage_duration",
            help,
            Labelled::with("stage", || Histogram::new(STAGE_SECONDS)),
        );
        let help = "Items in one answered call to a dependency; empty claims are left out";
        let batch_size =
            plain(registry, "fulfillment_batch_size", help, Labelled::with("stage", || Histogram::new(BATCH_ITEMS)));
        let help = "Calls to a dependency that failed or got no answer";
        let stage_errors = plain(registry, "fulfillment_stage_errors", help, Labelled::new("stage"));
        let help = "Times that a stage skipped a row because another transaction had locked it";
        let rows_locked = plain(registry, "fulfillment_rows_locked", help, Labelled::new("stage"));
        let help = "1 if the last call to the dependency was answered";
        let up = plain(registry, "fulfillment_dependency_up", help, Labelled::new("dependency"));
        let help = "Time that calls to the store waited for a connection, including the time to make a new one";
        let connection_wait =
            seconds(registry, "fulfillment_store_connection_wait", help, Histogram::new(WAIT_SECONDS));
        let help = "Connections made; after the start, each replaces an earlier one";
        let connections_opened = plain(registry, "fulfillment_connections_opened", help, Labelled::new("dependency"));
        Self {
            stage_duration,
            batch_size,
            stage_errors,
            rows_locked,
            up,
            under_way,
            connection_wait,
            connections_opened,
        }
    }

    pub(super) fn observe(&self, event: &DependencyEvent<'_>) {
        match *event {
            DependencyEvent::CallBegan { call, to } => self.under_way.begin(call, to),
            DependencyEvent::CallOver { call, to } => self.under_way.end(call, to),
            DependencyEvent::StageDone { stage, items, took, ok } => {
                self.stage_duration[stage].observe(took.as_secs_f64());
                if !ok {
                    self.stage_errors[stage].inc();
                } else if items > 0 {
                    // An empty batch, such as a claim on an empty queue, has no size worth knowing.
                    self.batch_size[stage].observe(items as f64);
                }
            }
            DependencyEvent::RowsLocked { stage, order_ids } => {
                self.rows_locked[stage].inc_by(order_ids.len() as u64);
            }
            DependencyEvent::Down { dependency, .. } => {
                self.up[dependency].set(0);
            }
            DependencyEvent::Up(dependency) => {
                self.up[dependency].set(1);
            }
            DependencyEvent::ConnectionOpened(backend) => {
                self.connections_opened[backend].inc();
            }
            DependencyEvent::ConnectionAwaited { took } => self.connection_wait.observe(took.as_secs_f64()),
        }
    }
}
