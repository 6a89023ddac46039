//! The queue of spans that wait for the collector. A full queue drops spans and counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanProcessor};

use crate::event::{Observers, TelemetryEvent};

/// Counts the spans that wait. Clones share the count: one at each end, and one where attempts begin.
#[derive(Debug, Clone)]
pub(super) struct SpanQueue {
    waiting: Arc<AtomicUsize>,
    limit: usize,
    observers: Observers,
}

impl SpanQueue {
    /// Holds at most `limit` spans. `observers` learn of each span that is dropped.
    pub(super) fn new(limit: usize, observers: Observers) -> Self {
        Self { waiting: Arc::default(), limit, observers }
    }

    /// Notes that so many spans have left the queue.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Returns whether to trace an attempt: not while the queue is full. Some of its spans would be dropped, and the
    /// others would make half a trace.
    pub(super) fn admits_an_attempt(&self) -> bool {
        let has_capacity = self.waiting.load(Ordering::Relaxed) < self.limit;
        if !has_capacity {
            self.drop_one();
        }
        has_capacity
    }

    /// Counts a span in, or drops it.
    fn enter(&self) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        self.taken(1);
        self.drop_one();
        false
    }

    fn drop_one(&self) {
        self.observers.emit(TelemetryEvent::SpanDropped);
    }
}

/// Lets in as many spans as the queue holds. The processor's own queue has the same limit, but drops without a word.
#[derive(Debug)]
pub(super) struct CountingProcessor {
    pub(super) queue: SpanQueue,
    pub(super) batches: BatchSpanProcessor,
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.queue.enter() {
            self.batches.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}
