//! Metrics in groups, each declared, made and registered in one place.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

/// A gauge of whole things.
pub(super) type Count = Gauge<u64, AtomicU64>;
/// A gauge of seconds.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// Counts as one in a gauge until it is dropped.
#[derive(Debug)]
pub struct Counted(Count);

impl Counted {
    pub(super) fn by(count: &Count) -> Self {
        count.inc();
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Registers a metric and returns it. The end of its name tells the unit; a full stop is appended to the help.
pub(super) fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    match split_unit(name) {
        (name, Some(unit)) => registry.register_with_unit(name, help, unit, metric.clone()),
        (name, None) => registry.register(name, help, metric.clone()),
    }
    metric
}

/// The library takes a metric's unit apart from its name, and appends it again.
pub(super) fn split_unit(name: &str) -> (&str, Option<Unit>) {
    let units = [Unit::Seconds, Unit::Bytes, Unit::Other("cores".to_owned())];
    let split = |unit: Unit| Some((name.strip_suffix(unit.as_str())?.strip_suffix('_')?, Some(unit)));
    units.into_iter().find_map(split).unwrap_or((name, None))
}

/// Declares a group of metrics: for each its help, then its field, type, name and start value, in the order in which they
/// are shown. A field without a name is a group or collector of its own, which its type's `register` makes.
macro_rules! metrics {
    ($(#[$attribute:meta])* $visible:vis struct $group:ident {
        $($part:ident: $own:ident,)*
        $(#[doc = $help:literal] $seen:vis $field:ident: $metric:ty = $name:literal, $start:expr;)*
    }) => {
        $(#[$attribute])*
        $visible struct $group {
            $($part: $own,)*
            $($seen $field: $metric,)*
        }

        impl $group {
            /// Registers them all, each at its start value.
            pub(crate) fn register(registry: &mut Registry) -> Self {
                Self {
                    $($part: $own::register(registry),)*
                    $($field: $crate::observe::metrics::registering::register(registry, $name, $help.trim(), $start),)*
                }
            }
        }
    };
}
pub(super) use metrics;
