//! The metrics of the export of traces.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::instruments::{Count, plain};
use super::labelled::Labelled;

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpanOutcome {
    Exported,
    Failed,
    Dropped,
}

impl SpanOutcome {
    const ALL: [Self; 3] = [Self::Exported, Self::Failed, Self::Dropped];

    fn as_str(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// Handles on what the export of traces moves.
pub(super) struct Traces {
    pub(super) enabled: Count,
    spans: Labelled<SpanOutcome, Counter>,
    exports: Labelled<bool, Counter>,
}

impl Traces {
    /// Makes them all, each at its start value.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let outcome = |ok| if ok { "ok" } else { "error" };
        let traces = Self {
            enabled: Count::default(),
            spans: Labelled::new("outcome", &SpanOutcome::ALL, SpanOutcome::as_str, Counter::default),
            exports: Labelled::new("outcome", &[true, false], outcome, Counter::default),
        };
        plain(registry, "fulfillment_tracing_enabled", "Whether traces are exported", &traces.enabled);
        plain(registry, "fulfillment_spans", "Spans that ended, by what became of them", &traces.spans);
        let help = "Calls to the collector of traces, by how they ended";
        plain(registry, "fulfillment_span_exports", help, &traces.exports);
        traces
    }

    /// The collector took so many spans, or did not.
    pub(super) fn sent(&self, spans: usize, ok: bool) {
        self.exports.with(ok, |count| count.inc());
        let outcome = if ok { SpanOutcome::Exported } else { SpanOutcome::Failed };
        self.spans.with(outcome, |count| count.inc_by(spans as u64));
    }

    /// The queue to the collector was full.
    pub(super) fn dropped(&self) {
        self.spans.with(SpanOutcome::Dropped, |count| count.inc());
    }
}
