//! One metric with one value, read while a scrape is answered.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::registering::split_unit;

/// Writes a gauge. As with registered metrics, the end of the name tells the unit, and a full stop is appended to the help.
pub(super) fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeGaugeValue,
) -> fmt::Result {
    write(encoder, name, help, &ConstGauge::new(value))
}

/// Writes a counter, as [`gauge`] does.
pub(super) fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeCounterValue,
) -> fmt::Result {
    write(encoder, name, help, &ConstCounter::new(value))
}

fn write<M: EncodeMetric + TypedMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &M,
) -> fmt::Result {
    let (name, unit) = split_unit(name);
    metric.encode(encoder.encode_descriptor(name, &format!("{help}."), unit.as_ref(), M::TYPE)?)
}
