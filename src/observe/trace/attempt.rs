//! The spans of one attempt: one from claim to settlement, and one for each step as its child.

use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::global::{BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanKind, Status, TraceContextExt, TraceFlags, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};

use super::queue::SpanQueue;
use crate::config::Propagation;
use crate::domain::message::Message;
use crate::domain::text::truncate_detail;
use crate::domain::trace_context::{SpanId, TraceContext, TraceId};
use crate::port::queue::Claim;

/// Makes the spans of attempts, or none. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Source>>);

#[derive(Debug)]
struct Source {
    tracer: BoxedTracer,
    propagation: Propagation,
    queue: SpanQueue,
    name: String,
    attributes: Vec<KeyValue>,
}

impl Tracer {
    /// Makes spans, which end up in `queue`. `system` and `destination` name the source of the messages.
    #[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only an export has spans"))]
    pub(super) fn new(
        tracer: BoxedTracer,
        propagation: Propagation,
        queue: SpanQueue,
        system: &'static str,
        destination: &str,
    ) -> Self {
        let attributes = vec![
            KeyValue::new("messaging.system", system),
            KeyValue::new("messaging.destination.name", destination.to_owned()),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
        ];
        let name = format!("process {destination}");
        Self(Some(Arc::new(Source { tracer, propagation, queue, name, attributes })))
    }

    /// Starts the span of an attempt at a claim that was just made. `message` is `None` for poison.
    pub(crate) fn attempt(&self, claim: &Claim, message: Option<&Message>) -> AttemptSpan {
        let source = self.0.as_ref().filter(|source| source.queue.admits_an_attempt());
        AttemptSpan(source.map(|source| Box::new(source.start(claim, message))))
    }
}

impl Source {
    fn start(self: &Arc<Self>, claim: &Claim, message: Option<&Message>) -> Recording {
        let mut attributes = self.attributes.clone();
        attributes.push(KeyValue::new("messaging.message.body.size", whole(claim.length())));
        attributes.push(KeyValue::new("fulfillment.attempt", i64::from(claim.attempt)));
        attributes.extend(message.map(|message| KeyValue::new("fulfillment.order.id", message.order_id)));
        let correlation_id = message.and_then(|message| message.correlation_id.clone());
        attributes.extend(correlation_id.map(|id| KeyValue::new("messaging.message.conversation_id", id)));
        let builder =
            self.tracer.span_builder(self.name.clone()).with_kind(SpanKind::Consumer).with_attributes(attributes);
        let producer = message.and_then(|message| TraceContext::parse(message.traceparent.as_deref()?));
        let producer = producer.map(remote);
        let (builder, parent) = match (producer, self.propagation) {
            (None, _) => (builder, Context::new()),
            (Some(producer), Propagation::Parent) => (builder, Context::new().with_remote_span_context(producer)),
            (Some(producer), Propagation::Link) => {
                (builder.with_links(vec![Link::with_context(producer)]), Context::new())
            }
        };
        let span = self.tracer.build_with_context(builder, &parent);
        let own = span.span_context().clone();
        let context = TraceContext::from(&own);
        let parent_of_steps = Context::new().with_remote_span_context(own);
        Recording { source: Arc::clone(self), span, context, parent_of_steps }
    }
}

/// The span of an attempt. Dropped before [`AttemptSpan::end`], as when a drain leaves its order to the leases, it ends
/// without an outcome.
#[derive(Default)]
pub(crate) struct AttemptSpan(Option<Box<Recording>>);

struct Recording {
    source: Arc<Source>,
    span: BoxedSpan,
    context: TraceContext,
    parent_of_steps: Context,
}

impl AttemptSpan {
    /// Its ids; `None` while nothing is traced.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.0.as_ref().map(|recording| recording.context)
    }

    /// Adds a step that has just ended and that was taken for a batch of orders, this one among them.
    pub(crate) fn step(&self, name: &'static str, began: SystemTime, batch: usize) {
        if let Some(recording) = self.sampled() {
            let attributes = [KeyValue::new("messaging.batch.message_count", whole(batch))];
            recording.child(name, SpanKind::Internal, began, attributes).end();
        }
    }

    /// Starts the span of the call to the fulfiller.
    pub(crate) fn call(&self) -> CallSpan {
        let span = self.sampled().map(|recording| recording.child("fulfil", SpanKind::Client, SystemTime::now(), []));
        CallSpan { attempt: self.context(), span }
    }

    /// Ends it.
    pub(crate) fn end(&mut self, outcome: SpanOutcome<'_>) {
        if let Some(recording) = &mut self.0 {
            outcome.end(&mut recording.span);
        }
    }

    fn sampled(&self) -> Option<&Recording> {
        self.0.as_deref().filter(|recording| recording.context.sampled)
    }
}

impl Recording {
    fn child(
        &self,
        name: &'static str,
        kind: SpanKind,
        began: SystemTime,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> BoxedSpan {
        let tracer = &self.source.tracer;
        let builder = tracer.span_builder(name).with_kind(kind).with_start_time(began).with_attributes(attributes);
        tracer.build_with_context(builder, &self.parent_of_steps)
    }
}

/// The span of a call to the fulfiller.
pub(crate) struct CallSpan {
    attempt: Option<TraceContext>,
    /// `None` where the attempt is not sampled.
    span: Option<BoxedSpan>,
}

impl CallSpan {
    /// The `traceparent` of the call, which makes the fulfiller's spans children of this one. `None` while nothing is
    /// traced.
    pub(crate) fn traceparent(&self) -> Option<String> {
        let call = self.span.as_ref().map(|span| TraceContext::from(span.span_context()));
        call.or(self.attempt).map(|context| context.to_string())
    }

    /// Ends it.
    pub(crate) fn end(mut self, outcome: SpanOutcome<'_>) {
        if let Some(span) = &mut self.span {
            outcome.end(span);
        }
    }
}

/// The end of an attempt or a call, for its span.
pub(crate) struct SpanOutcome<'a> {
    /// Of a closed set.
    pub(crate) name: &'static str,
    /// Its name, of a closed set, and its text.
    pub(crate) reason: Option<(&'static str, &'a str)>,
    /// Whether the reason is an error.
    pub(crate) failed: bool,
}

impl SpanOutcome<'_> {
    fn end(self, span: &mut BoxedSpan) {
        span.set_attribute(KeyValue::new("fulfillment.outcome", self.name));
        match self.reason {
            Some((kind, text)) if self.failed => {
                span.set_attribute(KeyValue::new("error.type", kind));
                span.set_status(Status::error(truncate_detail(text)));
            }
            Some((kind, _)) => span.set_attribute(KeyValue::new("fulfillment.reason", kind)),
            None => {}
        }
        span.end();
    }
}

impl From<&SpanContext> for TraceContext {
    fn from(context: &SpanContext) -> Self {
        Self {
            trace_id: TraceId(u128::from_be_bytes(context.trace_id().to_bytes())),
            span_id: SpanId(u64::from_be_bytes(context.span_id().to_bytes())),
            sampled: context.is_sampled(),
        }
    }
}

/// The context of a span of another process.
fn remote(context: TraceContext) -> SpanContext {
    let TraceContext { trace_id: TraceId(trace_id), span_id: SpanId(span_id), sampled } = context;
    let flags = TraceFlags::default().with_sampled(sampled);
    SpanContext::new(trace_id.into(), span_id.into(), flags, true, TraceState::default())
}

/// A count as OpenTelemetry has whole numbers.
fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
