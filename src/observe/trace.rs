//! Traces: one span per attempt, with its steps as children, sent to an OpenTelemetry collector.
//!
//! [`attempt`] makes the spans, and [`export`] sends them as the environment says. docs/TRACING.md describes their
//! content. No span is made unless traces are exported.

pub mod attempt;
#[cfg(feature = "otlp")]
pub mod export;
#[cfg(not(feature = "otlp"))]
#[path = "trace/without_otlp.rs"]
pub mod export;
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only an export has a queue"))]
mod queue;
mod variables;
