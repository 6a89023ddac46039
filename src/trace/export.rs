//! Sends spans to a collector over OTLP, as the `OTEL_*` variables say
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>), or not at all.
//!
//! A thread of its own sends, from a queue that drops what it has no room for: a collector that is slow, down or not
//! there costs spans, and never holds up an order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT,
    SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::attempt::Tracer;
pub use super::variables::TraceError;
use super::variables::ask_for_traces;
use crate::config::environment::Environment;
use crate::config::{QueueTarget, Settings, redact};
use crate::event::{Event, Observers};

const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// The export of traces, for as long as the worker runs.
pub struct Export {
    provider: SdkTracerProvider,
}

/// Starts the export, where `environment`, which is this process's, asks for it. `observers` are told what becomes of
/// the spans. Within a tokio runtime: gRPC runs on it.
///
/// # Errors
/// [`TraceError`] names the variable.
pub fn start(
    settings: &Settings,
    environment: &Environment,
    worker: &str,
    observers: &Observers,
) -> Result<(Tracer, Option<Export>), TraceError> {
    if !ask_for_traces(environment)? {
        return Ok((Tracer::default(), None));
    }
    let limit = environment.variable(OTEL_BSP_MAX_QUEUE_SIZE)?.and_then(|size| size.parse().ok());
    let limit = limit.unwrap_or(OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT);
    let queued = Arc::new(AtomicUsize::new(0));
    let exporter = opentelemetry_otlp::SpanExporter::builder().build()?;
    let exporter = Watched { exporter, queued: Arc::clone(&queued), observers: observers.clone() };
    let batches = BatchSpanProcessor::builder(exporter)
        .with_batch_config(BatchConfigBuilder::default().with_max_queue_size(limit).build())
        .build();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(settings, environment, worker)?)
        .with_span_processor(Bounded { batches, limit, queued, observers: observers.clone() })
        .build();
    let (system, queue) = match &settings.backends.queue {
        QueueTarget::Redis(_) => ("redis", settings.backends.queue_key.as_str()),
        QueueTarget::Sqlite(_) => ("sqlite", settings.backends.queue_key.as_str()),
    };
    let tracer = Tracer::new(provider.tracer(env!("CARGO_PKG_NAME")), settings.tracing_propagation, system, queue);
    observers.emit(Event::TracesExported);
    Ok((tracer, Some(Export { provider })))
}

/// Who sends the spans. The standard variables win over `--service-name`.
fn resource(settings: &Settings, environment: &Environment, worker: &str) -> Result<Resource, TraceError> {
    let attributes = environment.variable(RESOURCE_ATTRIBUTES)?.unwrap_or_default();
    let is_named = attributes.split(',').any(|entry| entry.trim_start().starts_with("service.name="));
    let resource = Resource::builder().with_attributes([
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", worker.to_owned()),
    ]);
    Ok(match environment.variable(SERVICE_NAME)? {
        None if !is_named => resource.with_service_name(settings.service_name.clone()).build(),
        _ => resource.build(),
    })
}

impl Export {
    /// Sends what is left, for `limit` at most.
    pub async fn flush(self, limit: Duration) {
        let flushed = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(limit)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

/// Keeps the queue of ended spans as short as it may be, so that none is dropped without being counted.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    limit: usize,
    queued: Arc<AtomicUsize>,
    observers: Observers,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.queued.fetch_add(1, Ordering::Relaxed) < self.limit {
            self.batches.on_end(span);
        } else {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            self.observers.emit(Event::SpanDropped);
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

/// Tells what became of each batch.
#[derive(Debug)]
struct Watched {
    exporter: opentelemetry_otlp::SpanExporter,
    queued: Arc<AtomicUsize>,
    observers: Observers,
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let result = self.exporter.export(batch).await;
        let error = result.as_ref().err().map(told);
        self.observers.emit(Event::SpansSent { spans, error: error.as_deref() });
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

fn told(error: &OTelSdkError) -> String {
    redact::user_info(&error.to_string())
}
