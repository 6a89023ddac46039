//! What switches traces on and off, and what is never shown.

use crate::support::worker::binary;
use crate::tracing::collector::Mood;
use crate::tracing::place::{PRODUCER, Place};

#[tokio::test]
async fn without_configuration_nothing_is_traced_and_the_producers_context_is_passed_on() {
    let place = Place::start(Mood::Takes, &[], &[("OTEL_SDK_DISABLED", "true")]).await;
    place.fulfil_one().await;
    assert_eq!(place.warehouse.traceparents(), [format!("00-{}-{}-01", PRODUCER.0, PRODUCER.1)]);
    assert_eq!(place.worker.metrics().value("fulfillment_tracing_enabled"), 0.0);
}

#[test]
fn an_exporter_that_there_is_not_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = binary(&["run", "--listen", "127.0.0.1:0"]);
    let output = worker.current_dir(folder.path()).env("OTEL_TRACES_EXPORTER", "zipkin").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("OTEL_TRACES_EXPORTER=zipkin is not one of: otlp, none"), "{told}");
}

#[test]
fn an_endpoint_that_is_no_url_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = binary(&["run", "--listen", "127.0.0.1:0"]);
    worker.current_dir(folder.path()).env("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url");
    let output = worker.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{told}");
}

#[tokio::test]
async fn the_collectors_secret_goes_to_the_collector_and_into_no_log() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cr3t-of-the-collector");
    let place = Place::start(Mood::Takes, &["--log", "trace"], &[headers]).await;
    place.fulfil_one().await;
    place.spans(4).await;
    assert_eq!(place.collector.headers()[0]["authorization"], "Bearer s3cr3t-of-the-collector");
    assert!(!place.worker.output().contains("s3cr3t"));
}
