//! The metrics of calls to queue, store and fulfiller, and of the connections to them.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labelled::Labelled;
use super::registering::{Count, metrics};
use super::under_way::UnderWay;
use crate::event::{Backend, Dependency, DependencyEvent, RowStage, Stage};

/// From a lone commit on a good disk to a dependency's timeout.
const STAGE_SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Up to the largest batch that a backend takes.
const BATCH_ITEMS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0];
/// From a connection that is free to the limit of the wait for one.
const WAIT_SECONDS: [f64; 11] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0];

metrics! {
    pub(super) struct DependencyMetrics {
        under_way: UnderWay,
        /// Duration of one call to a dependency, answered or not
        stage_duration: Labelled<Stage, Histogram> =
            "fulfillment_stage_duration_seconds", Labelled::with("stage", || Histogram::new(STAGE_SECONDS));
        /// Items in one answered call to a dependency; empty claims are left out
        batch_size: Labelled<Stage, Histogram> =
            "fulfillment_batch_size", Labelled::with("stage", || Histogram::new(BATCH_ITEMS));
        /// Calls to a dependency that failed or got no answer
        stage_errors: Labelled<Stage, Counter> = "fulfillment_stage_errors", Labelled::new("stage");
        /// Times that a stage skipped a row because another transaction had locked it
        rows_locked: Labelled<RowStage, Counter> = "fulfillment_rows_locked", Labelled::new("stage");
        /// Rows written whose updated_at came back no later than before, as when a trigger cuts it
        fences_stuck: Counter = "fulfillment_fences_stuck", Counter::default();
        /// 1 if the last call to the dependency was answered
        up: Labelled<Dependency, Count> = "fulfillment_dependency_up", Labelled::new("dependency");
        /// Time that calls to the store waited for a connection, including the time to make a new one
        connection_wait: Histogram = "fulfillment_store_connection_wait_seconds", Histogram::new(WAIT_SECONDS);
        /// Connections made; after the start, each replaces an earlier one
        connections_opened: Labelled<Backend, Counter> = "fulfillment_connections_opened", Labelled::new("dependency");
    }
}

impl DependencyMetrics {
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
                _ = self.rows_locked[stage].inc_by(order_ids.len() as u64);
            }
            DependencyEvent::FencesStuck { order_ids } => _ = self.fences_stuck.inc_by(order_ids.len() as u64),
            DependencyEvent::Down { dependency, .. } => _ = self.up[dependency].set(0),
            DependencyEvent::Up(dependency) => _ = self.up[dependency].set(1),
            DependencyEvent::ConnectionOpened(backend) => _ = self.connections_opened[backend].inc(),
            DependencyEvent::ConnectionAwaited { took } => self.connection_wait.observe(took.as_secs_f64()),
        }
    }
}
