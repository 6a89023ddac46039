//! Traces: one span per attempt, with its steps as children, sent to an OpenTelemetry collector.
//!
//! [`attempt`] makes the spans, and [`export`] sends them as the environment says. docs/TRACING.md describes their
//! content. No span is made unless traces are exported.

#[cfg(feature = "otlp")]
pub mod attempt;
#[cfg(feature = "otlp")]
pub mod export;
#[cfg(feature = "otlp")]
mod queue;
mod variables;
#[cfg(not(feature = "otlp"))]
mod without_otlp;
#[cfg(not(feature = "otlp"))]
pub use without_otlp::{attempt, export};
