//! Sends spans to a collector over OTLP, if the `OTEL_*` variables ask for it
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! A thread of its own sends them, from a queue that drops spans when it is full (`queue`). A collector that is slow, down
//! or absent costs spans and never delays an order.

use std::collections::HashMap;
use std::time::Duration;

#[cfg(feature = "otlp-grpc")]
use axum::http::HeaderMap;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
#[cfg(feature = "otlp-grpc")]
use opentelemetry_otlp::{WithTonicConfig, tonic_types::metadata::MetadataMap};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::attempt::Tracer;
use super::queue::SpanQueue;
use super::variables::Exporter;
pub use super::variables::{TraceError, read};
use crate::config::environment::Environment;
use crate::config::{QueueTarget, Settings, redact};
use crate::event::{Observers, TelemetryEvent};
use crate::threads;

const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// The export of traces, for as long as the worker runs.
pub struct Export {
    provider: SdkTracerProvider,
}

/// Starts the export if `environment`, which is this process's, asks for it. `observers` learn which spans were sent and
/// which were dropped. Call it within a tokio runtime, on which gRPC runs.
///
/// # Errors
/// [`TraceError`] names the variable.
pub fn start(
    settings: &Settings,
    environment: &Environment,
    worker: &str,
    observers: &Observers,
) -> Result<(Tracer, Option<Export>), TraceError> {
    let variables = read(environment)?;
    for warning in &variables.warnings {
        tracing::warn!("{warning}");
    }
    let Some(variables) = variables.exporter else { return Ok((Tracer::default(), None)) };
    let queue = SpanQueue::new(variables.queue, observers.clone());
    // One sends the batches, and one belongs to the HTTP client.
    threads::require(2).map_err(TraceError::Thread)?;
    let exporter = exporter(&variables)?;
    let exporter = CountingExporter { exporter, queue: queue.clone(), observers: observers.clone() };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(variables.queue)
        .with_max_export_batch_size(variables.batch)
        .with_scheduled_delay(variables.delay)
        .build();
    let processor = || Ok(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build());
    let batches = threads::without_panic(processor).map_err(TraceError::Thread)?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(settings, environment, worker)?)
        .with_span_processor(CountingProcessor { queue: queue.clone(), batches })
        .build();
    let system = match &settings.backends.queue {
        QueueTarget::Redis(_) => "redis",
        QueueTarget::Sqlite(_) => "sqlite",
    };
    let tracer = BoxedTracer::new(Box::new(provider.tracer(env!("CARGO_PKG_NAME"))));
    let tracer = Tracer::new(tracer, settings.tracing_propagation, queue, system, &settings.backends.queue_key);
    observers.emit(TelemetryEvent::TracesExported);
    Ok((tracer, Some(Export { provider })))
}

/// Compression, and headers in a variable, are read by the library itself.
fn exporter(variables: &Exporter) -> Result<opentelemetry_otlp::SpanExporter, TraceError> {
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let headers: HashMap<String, String> =
        variables.headers.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    #[cfg(feature = "otlp-grpc")]
    if variables.is_grpc {
        let headers = HeaderMap::try_from(&headers).unwrap_or_default();
        let builder = builder.with_tonic().with_metadata(MetadataMap::from_headers(headers));
        return Ok(builder.with_timeout(variables.timeout).build()?);
    }
    let builder = builder.with_http().with_headers(headers);
    let builder = builder.with_protocol(Protocol::HttpBinary).with_timeout(variables.timeout);
    Ok(match &variables.endpoint {
        Some(endpoint) => builder.with_endpoint(endpoint).build()?,
        None => builder.build()?,
    })
}

/// The sender of the spans. The standard variables win over the settings.
fn resource(settings: &Settings, environment: &Environment, worker: &str) -> Result<Resource, TraceError> {
    let given = environment.variable(RESOURCE_ATTRIBUTES)?.unwrap_or_default();
    let is_given = |key: &str| given.split(',').any(|entry| entry.split('=').next().unwrap_or_default().trim() == key);
    let mut own = vec![
        KeyValue::new("service.version", crate::domain::build_info::VERSION),
        KeyValue::new("service.instance.id", worker.to_owned()),
    ];
    if environment.variable(SERVICE_NAME)?.is_none() {
        own.push(KeyValue::new("service.name", settings.service_name.clone()));
    }
    own.retain(|attribute| !is_given(attribute.key.as_str()));
    Ok(Resource::builder().with_attributes(own).build())
}

impl Export {
    /// Sends the spans that are left, within `limit`.
    pub async fn flush(self, limit: Duration) {
        let flushing = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(limit));
        match tokio::time::timeout(limit, flushing).await {
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the last traces could not be exported"),
            Err(_) => tracing::warn!("the last traces could not be exported in time"),
            Ok(_) => {}
        }
    }
}

/// Reports whether each batch was sent.
#[derive(Debug)]
struct CountingExporter {
    exporter: opentelemetry_otlp::SpanExporter,
    queue: SpanQueue,
    observers: Observers,
}

impl SpanExporter for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queue.taken(spans);
        let result = self.exporter.export(batch).await;
        let error = result.as_ref().err().map(|error| redact::user_info(&error.to_string()));
        self.observers.emit(TelemetryEvent::SpansSent { spans, error: error.as_deref() });
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Lets in what the queue has room for. The processor's own queue has the same limit, and would drop without telling.
#[derive(Debug)]
struct CountingProcessor {
    queue: SpanQueue,
    batches: BatchSpanProcessor,
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
