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
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT,
    SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};

use super::attempt::Tracer;
use crate::config::environment::Environment;
use crate::config::{ConfigError, QueueTarget, Settings, redact};
use crate::event::{Event, Observers};

const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const DISABLED: &str = "OTEL_SDK_DISABLED";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Why traces can't be exported as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Another exporter than there is.
    #[error("{EXPORTER}={0}: traces are exported as `otlp`, or not at all with `none`")]
    Exporter(String),
    /// A variable that can't be read.
    #[error(transparent)]
    Variable(#[from] ConfigError),
    /// The exporter does not take its variables.
    #[error("traces: {}; correct the OTEL_EXPORTER_OTLP_* variables, or switch traces off with {DISABLED}=true", redact::user_info(&.0.to_string()))]
    Exporting(#[from] ExporterBuildError),
}

/// The export of traces, for as long as the worker runs.
pub struct Export {
    provider: SdkTracerProvider,
}

/// Whether traces are to be exported: when an endpoint is set, or an exporter, unless that is `none` or the SDK is
/// disabled.
///
/// # Errors
/// [`TraceError`] names the variable.
pub fn is_wanted(environment: &Environment) -> Result<bool, TraceError> {
    if environment.variable(DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match environment.variable(EXPORTER)? {
        Some("otlp") => return Ok(true),
        Some("none") => return Ok(false),
        Some(other) => return Err(TraceError::Exporter(other.to_owned())),
        None => {}
    }
    for endpoint in ENDPOINTS {
        if environment.variable(endpoint)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
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
    if !is_wanted(environment)? {
        return Ok((Tracer::default(), None));
    }
    let limit = environment.variable(OTEL_BSP_MAX_QUEUE_SIZE)?.and_then(|size| size.parse().ok());
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(OTEL_BSP_MAX_QUEUE_SIZE_DEFAULT);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<const N: usize>(variables: [(&str, &str); N]) -> Result<bool, String> {
        is_wanted(&Environment::of(variables)).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_configured() {
        assert_eq!(wanted([]), Ok(false));
        assert_eq!(wanted([("OTEL_SERVICE_NAME", "shop"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(false));
    }

    #[test]
    fn an_endpoint_or_the_exporter_switches_traces_on() {
        assert_eq!(wanted([("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")]), Ok(true));
        assert_eq!(wanted([("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/v1/traces")]), Ok(true));
        assert_eq!(wanted([("OTEL_TRACES_EXPORTER", "otlp")]), Ok(true));
    }

    #[test]
    fn none_and_a_disabled_sdk_win_over_an_endpoint() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert_eq!(wanted([endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
        assert_eq!(wanted([endpoint, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(false));
    }

    #[test]
    fn an_exporter_that_there_is_not_is_an_error_that_names_those_that_there_are() {
        let error = wanted([("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err();
        assert_eq!(error, "OTEL_TRACES_EXPORTER=zipkin: traces are exported as `otlp`, or not at all with `none`");
    }
}
