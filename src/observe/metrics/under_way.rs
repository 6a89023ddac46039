//! Calls that are under way, told at each scrape: a call that never ends shows in no duration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::event::{CallId, Dependency};

/// By dependency, in the order of [`Dependency::ALL`]: when each call began, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<[BTreeMap<CallId, Instant>; Dependency::ALL.len()]>>);

impl UnderWay {
    pub(super) fn begin(&self, call: CallId, to: Dependency) {
        self.lock().iter_mut().zip(Dependency::ALL).filter(|(_, each)| *each == to).for_each(|(calls, _)| {
            calls.insert(call, Instant::now());
        });
    }

    pub(super) fn end(&self, call: CallId, to: Dependency) {
        self.lock().iter_mut().zip(Dependency::ALL).filter(|(_, each)| *each == to).for_each(|(calls, _)| {
            calls.remove(&call);
        });
    }

    fn lock(&self) -> MutexGuard<'_, [BTreeMap<CallId, Instant>; Dependency::ALL.len()]> {
        self.0.lock()
    }
}

impl Collector for UnderWay {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let calls = self.lock();
        let name = "fulfillment_dependency_calls_under_way";
        let help = "Calls to the dependency that have not ended, polls included.";
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (calls, to) in calls.iter().zip(Dependency::ALL) {
            let label = [("dependency", to.as_str())];
            ConstGauge::new(calls.len() as u64).encode(family.encode_family(&label)?)?;
        }
        let name = "fulfillment_dependency_oldest_call";
        let help = "For how long the oldest call to the dependency has been under way; 0 when none is.";
        let mut family = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (calls, to) in calls.iter().zip(Dependency::ALL) {
            let age = calls.first_key_value().map(|(_, began)| began.elapsed().as_secs_f64());
            let label = [("dependency", to.as_str())];
            ConstGauge::new(age.unwrap_or_default()).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}
