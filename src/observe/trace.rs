//! Traces: one span per attempt, with its steps as children, sent to an OpenTelemetry collector.
//!
//! [`attempt`] makes the spans, [`export`] sends them as the environment says. docs/TRACING.md says what is in them. Where nothing is exported,
//! no span is made.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId};

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

/// Which span something belongs to, by its ids in the W3C Trace Context
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace that the span is part of.
    pub trace_id: TraceId,
    /// The span itself.
    pub span_id: SpanId,
    /// Whether the trace is recorded: only then can it be looked up.
    pub sampled: bool,
}

impl TraceContext {
    /// Of a `traceparent`; `None` if it is not well formed.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.splitn(5, '-').skip(1);
        let trace_id = TraceId::from_hex(parts.next()?).ok().filter(|id| *id != TraceId::INVALID)?;
        let span_id = SpanId::from_hex(parts.next()?).ok().filter(|id| *id != SpanId::INVALID)?;
        let flags = u8::from_str_radix(parts.next()?, 16).ok()?;
        Some(Self { trace_id, span_id, sampled: TraceFlags::new(flags).is_sampled() })
    }

    /// As a `traceparent` of version 00.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags().to_u8())
    }

    fn flags(self) -> TraceFlags {
        TraceFlags::default().with_sampled(self.sampled)
    }

    /// As the context of a span of another process.
    #[cfg(feature = "otlp")]
    fn remote(self) -> SpanContext {
        SpanContext::new(self.trace_id, self.span_id, self.flags(), true, Default::default())
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self { trace_id: context.trace_id(), span_id: context.span_id(), sampled: context.is_sampled() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written_alike() {
        assert_eq!(TraceContext::parse(SAMPLED).unwrap().traceparent(), SAMPLED);
        let not_sampled = SAMPLED.replace("-01", "-00");
        assert_eq!(TraceContext::parse(&not_sampled).unwrap().traceparent(), not_sampled);
    }

    #[test]
    fn a_later_version_and_flags_that_nobody_knows_yet_count_for_what_is_known() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what.the.future.brings";
        assert_eq!(TraceContext::parse(later).unwrap().traceparent(), SAMPLED);
    }

    #[test]
    fn what_is_no_traceparent_is_no_context() {
        let no_trace = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let no_span = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        for text in ["", "00", "00-xyz-b7ad6b7169203331-01", no_trace, no_span, &SAMPLED[..52]] {
            assert_eq!(TraceContext::parse(text), None, "{text:?}");
        }
    }
}
