//! What switches traces on and off, and what is never shown.

use crate::support::worker::binary;
use crate::tracing::collector::{Collector, Mood};
use crate::tracing::place::{PRODUCER, Place};

#[tokio::test]
async fn without_configuration_nothing_is_traced_and_the_producers_context_is_passed_on() {
    let place = Place::start(Mood::Takes, &[], &[("OTEL_SDK_DISABLED", "true")]).await;
    place.fulfil_one().await;
    assert_eq!(place.warehouse.traceparents(), [format!("00-{}-{}-01", PRODUCER.0, PRODUCER.1)]);
    assert_eq!(place.worker.metrics().value("fulfillment_tracing_enabled"), 0.0);
}

/// Caught on the code before, which ended with exit code 2.
#[tokio::test]
async fn values_that_this_worker_does_not_take_are_ignored_with_a_warning_each() {
    let wrong = [
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_PROPAGATORS", "xray"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
    ];
    let place = Place::start(Mood::Takes, &[], &wrong).await;
    place.fulfil_one().await;
    place.spans(4).await;
    let told = place.worker.output();
    for (variable, value) in wrong {
        assert!(told.contains(&format!("{variable}={value} is ignored")), "{variable}: {told}");
    }
    let mut config = binary(&["config", "--store", "sqlite:fulfillment.db"]);
    let endpoint = format!("http://{}", place.collector.http);
    let output = config.envs(wrong).env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.matches(" is ignored: ").count(), wrong.len(), "{told}");
}

/// Caught on the code before, which took the host for a scheme and ended with exit code 2.
#[tokio::test]
async fn an_address_without_a_scheme_is_taken_as_http() {
    let collector = Collector::start(Mood::Takes).await;
    let address = collector.http.to_string();
    let variables = [("OTEL_BSP_SCHEDULE_DELAY", "50"), ("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str())];
    let place = Place::start_with(collector, &[], &variables).await;
    place.fulfil_one().await;
    place.spans(4).await;
}

#[test]
fn an_endpoint_that_is_no_url_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = binary(&["run", "--listen", "127.0.0.1:0", "--store", "sqlite:fulfillment.db"]);
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
