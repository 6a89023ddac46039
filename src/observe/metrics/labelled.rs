//! One metric for each value of a label whose values are known when the program is written.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Shows every series from the start, in the order of the label's values, and finds one without hashing, locking or
/// allocating: what the library's `Family` can't promise.
#[derive(Debug, Clone)]
pub(super) struct Labelled<K, M> {
    label: &'static str,
    series: Arc<[Series<K, M>]>,
}

#[derive(Debug)]
struct Series<K, M> {
    key: K,
    value: &'static str,
    metric: M,
}

impl<K: Copy + Eq, M> Labelled<K, M> {
    /// A series for each of `keys`, its label's value given by `value`, its metric made by `metric`.
    pub(super) fn new(
        label: &'static str,
        keys: &[K],
        value: impl Fn(K) -> &'static str,
        metric: impl Fn() -> M,
    ) -> Self {
        let series = keys.iter().map(|key| Series { key: *key, value: value(*key), metric: metric() });
        Self { label, series: series.collect() }
    }

    /// Hands the metric of `key` to `change`.
    pub(super) fn with<T>(&self, key: K, change: impl FnOnce(&M) -> T) {
        // At most a dozen values: cheaper to compare than to hash.
        if let Some(series) = self.series.iter().find(|series| series.key == key) {
            change(&series.metric);
        }
    }
}

impl<K, M> EncodeMetric for Labelled<K, M>
where
    M: EncodeMetric + TypedMetric,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for series in self.series.iter() {
            series.metric.encode(encoder.encode_family(&[(self.label, series.value)])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
