//! One metric with one value, read while a scrape is answered.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// What a collector says of a metric. As with the registry's own, the unit is appended to the name and a full stop
/// to the help.
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
}

/// Writes a gauge.
pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    description: &Description,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    write(encoder, description, &ConstGauge::new(value))
}

/// Writes a counter.
pub(super) fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    description: &Description,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    write(encoder, description, &ConstCounter::new(value))
}

fn write<M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    description: &Description,
    metric: &M,
) -> fmt::Result {
    let help = format!("{}.", description.help);
    metric.encode(encoder.encode_descriptor(description.name, &help, description.unit.as_ref(), M::TYPE)?)
}
