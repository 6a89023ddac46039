//! What attempts are counted by: each with an exemplar, the span of an attempt that it counted, where that was sampled.
//!
//! Without a span nothing is added to a count but a lock that nobody holds. Exemplars show in OpenMetrics and protobuf.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use enum_map::Enum;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::exemplar::{CounterWithExemplar, HistogramWithExemplars};
use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig};
use prometheus_client::registry::Registry;
use strum::IntoStaticStr;

use super::labelled::Labelled;
use super::registering::register;
use crate::domain::trace_context::TraceContext;

/// Given: dashboards that exist ask for these.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const DURATION: &str = "order_processing_duration_seconds";
const DURATION_HELP: &str = "Time from the claim of an order to the end of its attempt";

/// Native buckets each at most a tenth wider than the one before, until there are too many: then the resolution is halved.
const NATIVE_GROWTH: f64 = 1.1;
/// What a series may take in Prometheus's memory; enough for 1 ms to 20 minutes at full resolution.
const NATIVE_BUCKETS: usize = 160;

/// How an attempt ended, as in the given `status` label.
#[derive(Debug, Clone, Copy, Enum, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum AttemptStatus {
    Success,
    Error,
}

/// Attempts that ended, and how long they took.
pub(super) struct Attempts {
    count: Labelled<AttemptStatus, CounterWithExemplar<Span>>,
    duration: Labelled<AttemptStatus, HistogramWithExemplars<Span>>,
    /// The same durations once more: the library has native buckets or exemplars, never both in one histogram.
    native: Labelled<AttemptStatus, Histogram>,
}

impl Attempts {
    /// Registers them, each at its start value.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let with_exemplars = || HistogramWithExemplars::new(SECONDS.into_iter());
        let with_native_buckets = || {
            let config = NativeHistogramConfig::new(NATIVE_GROWTH).max_buckets(NATIVE_BUCKETS);
            Histogram::new_classic_and_native(SECONDS, config)
        };
        let count = Labelled::new("status");
        Self {
            count: register(registry, "orders_processed", "Finished attempts, by result", count),
            duration: register(registry, DURATION, DURATION_HELP, Labelled::with("status", with_exemplars)),
            native: Labelled::with("status", with_native_buckets),
        }
    }

    /// In `native` the histogram has the same name: it takes the other one's place in formats that know native buckets.
    pub(super) fn register_native(&self, native: &mut Registry) {
        register(native, DURATION, DURATION_HELP, self.native.clone());
    }

    /// An attempt ended. Its span is told only if it was sampled, as no other one can be looked up.
    pub(super) fn ended(&self, status: AttemptStatus, took: Duration, trace: Option<TraceContext>) {
        let span = trace.filter(|trace| trace.sampled).map(Span);
        // The library gives up on a moment before 1970, which a clock that was never set can have.
        let at = span.map(|_| SystemTime::now().max(SystemTime::UNIX_EPOCH));
        let took = took.as_secs_f64();
        count(&self.count[status], span, at);
        self.duration[status].observe(took, span, at);
        self.native[status].observe(took);
    }
}

/// The labels of an exemplar: 63 of the 128 characters that OpenMetrics allows.
#[derive(Debug, Clone, Copy)]
struct Span(TraceContext);

impl EncodeLabelSet for Span {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let Self(TraceContext { trace_id, span_id, .. }) = self;
        [("trace_id", trace_id.to_string()), ("span_id", span_id.to_string())].encode(encoder)
    }
}

/// Counts one more and keeps the last exemplar. The library's own way forgets it with the next count that has none, which
/// for one sampled attempt in a hundred is at once.
fn count(counter: &CounterWithExemplar<Span>, span: Option<Span>, at: Option<SystemTime>) {
    match span {
        Some(span) => counter.inc_by(1, Some(span), at),
        None => counter.inner().fetch_add(1, Ordering::Relaxed),
    };
}
