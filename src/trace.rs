//! Traces: one span per attempt, with its steps as children, sent to an OpenTelemetry collector.

use opentelemetry::trace::{SpanId, TraceId};

/// Which span an event belongs to, by its ids in the W3C Trace Context
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that the attempt is part of.
    pub trace_id: TraceId,
    /// The attempt's own span.
    pub span_id: SpanId,
    /// Whether the trace is recorded: only then can it be looked up.
    pub sampled: bool,
}
