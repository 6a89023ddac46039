//! Calls under way, read at each scrape: a call that never ends shows in no duration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use enum_map::EnumMap;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::label::Label;
use crate::event::{CallId, Dependency};

/// When each call began, the oldest first.
type Began = EnumMap<Dependency, BTreeMap<CallId, Instant>>;

#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<Began>>);

impl UnderWay {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let under_way = Self::default();
        registry.register_collector(Box::new(under_way.clone()));
        under_way
    }

    pub(super) fn begin(&self, call: CallId, to: Dependency) {
        self.0.lock()[to].insert(call, Instant::now());
    }

    pub(super) fn end(&self, call: CallId, to: Dependency) {
        self.0.lock()[to].remove(&call);
    }
}

impl Collector for UnderWay {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let calls = self.0.lock();
        let name = "fulfillment_dependency_calls_under_way";
        let help = "Calls to the dependency that have not ended, polls included.";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (to, calls) in calls.iter() {
            let label = [("dependency", to.as_str())];
            ConstGauge::new(calls.len() as u64).encode(family.encode_family(&label)?)?;
        }
        let name = "fulfillment_dependency_oldest_call";
        let help = "Age of the oldest call to the dependency that has not ended; 0 if there is none.";
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (to, calls) in calls.iter() {
            let age = calls.first_key_value().map(|(_, began)| began.elapsed().as_secs_f64());
            let label = [("dependency", to.as_str())];
            ConstGauge::new(age.unwrap_or_default()).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
