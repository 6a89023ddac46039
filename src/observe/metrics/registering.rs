//! Metrics, each made and registered by one call.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

/// A gauge of whole things.
pub(super) type Count = Gauge<u64, AtomicU64>;
/// A gauge of seconds.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// Registers a metric without a unit and returns it.
pub(super) fn plain<M: Metric + Clone>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    metric: M,
) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a metric in seconds and returns it. The unit is appended to its name.
pub(super) fn seconds<M: Metric + Clone>(
    registry: &mut Registry,
    name: &'static str,
    help: &'static str,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}
