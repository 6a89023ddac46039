//! Traces: one span per attempt, with its steps as children, sent to an OpenTelemetry collector.
//!
//! [`attempt`] makes the spans, and [`export`] sends them as the environment says. docs/TRACING.md describes their
//! content. No span is made unless traces are exported.

use crate::domain::trace_context::{SpanId, TraceContext, TraceId};
use opentelemetry::trace::{self, SpanContext, TraceFlags, TraceState};

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

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace_id: TraceId(u128::from_be_bytes(context.trace_id().to_bytes())),
            span_id: SpanId(u64::from_be_bytes(context.span_id().to_bytes())),
            sampled: context.is_sampled(),
        }
    }
}

#[cfg(feature = "otlp")]
/// The context of a span of another process.
fn remote(context: TraceContext) -> SpanContext {
    let TraceContext { trace_id: TraceId(trace_id), span_id: SpanId(span_id), sampled } = context;
    let (trace_id, span_id) = (trace::TraceId::from(trace_id), trace::SpanId::from(span_id));
    SpanContext::new(trace_id, span_id, TraceFlags::default().with_sampled(sampled), true, TraceState::default())
}
