//! The queue of spans that wait for the collector: what it has no room for is dropped, and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SamplingDecision, SamplingResult, ShouldSample, Span, SpanData, SpanProcessor,
};

use crate::event::{Event, Observers};

/// How many spans wait, at both ends and for whoever decides whether there is to be another one.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    waiting: Arc<AtomicUsize>,
    limit: usize,
    observers: Observers,
}

impl Queue {
    /// Of `limit` spans at most. `observers` are told what is dropped.
    pub(super) fn new(limit: usize, observers: Observers) -> Self {
        Self { waiting: Arc::default(), limit, observers }
    }

    /// So many have left it.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.limit
    }

    /// Takes a place for a span, or drops it.
    fn enter(&self) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < self.limit {
            return true;
        }
        self.taken(1);
        self.drop_one();
        false
    }

    fn drop_one(&self) {
        self.observers.emit(Event::SpanDropped);
    }
}

/// Lets in what the queue has room for. The processor's own queue has the same limit, and would drop without telling.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) queue: Queue,
    pub(super) batches: BatchSpanProcessor,
}

impl SpanProcessor for Entrance {
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

/// Samples as another sampler does, and no new attempt while the queue is full: its spans would be made only to be
/// dropped, and some of them would get through and make half a trace.
#[derive(Debug, Clone)]
pub(super) struct WhileThereIsRoom {
    pub(super) queue: Queue,
    pub(super) sampler: Box<dyn ShouldSample>,
}

impl ShouldSample for WhileThereIsRoom {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let mut result = self.sampler.should_sample(parent, trace_id, name, kind, attributes, links);
        let is_step = parent.is_some_and(|parent| {
            let span = parent.span();
            span.span_context().is_valid() && !span.span_context().is_remote()
        });
        if !is_step && result.decision == SamplingDecision::RecordAndSample && !self.queue.has_room() {
            result.decision = SamplingDecision::Drop;
            self.queue.drop_one();
        }
        result
    }
}
