//! One metric for each value of a label whose values are known when the program is written.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use enum_map::{Enum, EnumMap};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use crate::domain::label::Label;

/// Shows every series from the start, in the order of the label's values, and finds one without hashing, locking or
/// allocating: what the library's `Family` can't promise.
#[derive(Debug)]
pub(super) struct Labelled<K: Enum, M> {
    label: &'static str,
    series: Arc<EnumMap<K, M>>,
}

impl<K: Label, M: Default> Labelled<K, M> {
    /// A series for each value of `K`, at zero.
    pub(super) fn new(label: &'static str) -> Self {
        Self::with(label, M::default)
    }
}

impl<K: Label, M> Labelled<K, M> {
    /// A series for each value of `K`, made by `metric`.
    pub(super) fn with(label: &'static str, metric: impl Fn() -> M) -> Self {
        Self { label, series: Arc::new(EnumMap::from_fn(|_| metric())) }
    }
}

impl<K: Enum, M> Clone for Labelled<K, M> {
    fn clone(&self) -> Self {
        Self { label: self.label, series: Arc::clone(&self.series) }
    }
}

impl<K: Enum, M> Index<K> for Labelled<K, M> {
    type Output = M;

    fn index(&self, key: K) -> &M {
        &self.series[key]
    }
}

impl<K, M> EncodeMetric for Labelled<K, M>
where
    K: Label,
    M: EncodeMetric + TypedMetric,
{
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (key, metric) in self.series.iter() {
            metric.encode(encoder.encode_family(&[(self.label, key.as_str())])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
