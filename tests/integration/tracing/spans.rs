//! What is in the spans, and how they hang together.

use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use serde_json::Value;

use crate::support::LONG;
use crate::support::process::Signal;
use crate::tracing::collector::{Collector, Mood, Received, hex};
use crate::tracing::place::{PRODUCER, Place};

const ATTEMPT: &str = "process fulfillment_queue";

fn named<'a>(spans: &'a [Received], name: &str) -> Vec<&'a Received> {
    spans.iter().filter(|received| received.span.name == name).collect()
}

fn attempt(spans: &[Received]) -> &Received {
    let attempts = named(spans, ATTEMPT);
    assert_eq!(attempts.len(), 1, "spans named {ATTEMPT}");
    attempts[0]
}

#[tokio::test]
async fn an_attempt_is_a_trace_of_its_own_that_links_to_the_producers_span() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.fulfil_one().await;
    let spans = place.spans(4).await;
    let span = &attempt(&spans).span;
    assert_eq!(span.kind, SpanKind::Consumer as i32);
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
    assert_ne!(hex(&span.trace_id), PRODUCER.0);
    let links: Vec<(String, String)> =
        span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(links, [(PRODUCER.0.to_owned(), PRODUCER.1.to_owned())]);
}

#[tokio::test]
async fn with_parent_an_attempt_is_part_of_the_producers_trace() {
    let place = Place::start(Mood::Takes, &["--tracing-propagation", "parent"], &[]).await;
    place.fulfil_one().await;
    let spans = place.spans(4).await;
    let span = &attempt(&spans).span;
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), PRODUCER);
    assert!(span.links.is_empty());
}

#[tokio::test]
async fn begin_fulfil_and_conclude_are_children_within_the_attempts_time() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.fulfil_one().await;
    let spans = place.spans(4).await;
    let attempt = &attempt(&spans).span;
    let mut before = attempt.start_time_unix_nano;
    for name in ["begin", "fulfil", "conclude"] {
        let [child] = named(&spans, name)[..] else { panic!("not one span {name}") };
        let child = &child.span;
        assert_eq!((&child.trace_id, &child.parent_span_id), (&attempt.trace_id, &attempt.span_id), "{name}");
        assert!(before <= child.start_time_unix_nano && child.start_time_unix_nano <= child.end_time_unix_nano);
        before = child.end_time_unix_nano;
    }
    assert!(before <= attempt.end_time_unix_nano);
}

#[tokio::test]
async fn an_attempt_is_described_as_the_semantic_conventions_for_messaging_say() {
    let place = Place::start(Mood::Takes, &["--service-name", "shop"], &[]).await;
    let id = place.fulfil_one().await;
    let spans = place.spans(4).await;
    let attempt = attempt(&spans);
    let expected = [
        ("messaging.system", "redis"),
        ("messaging.destination.name", "fulfillment_queue"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.message.conversation_id", "basket-42"),
        ("fulfillment.order.id", &id.to_string()),
        ("fulfillment.attempt", "1"),
        ("fulfillment.outcome", "fulfilled"),
    ];
    for (key, value) in expected {
        assert_eq!(attempt.attribute(key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attempt.of_resource("service.name").as_deref(), Some("shop"));
    assert_eq!(named(&spans, "begin")[0].attribute("messaging.batch.message_count").as_deref(), Some("1"));
}

#[tokio::test]
async fn resource_attributes_of_the_environment_win() {
    let attributes = "service.instance.id=pod-7, deployment.environment.name=staging";
    let place = Place::start(Mood::Takes, &[], &[("OTEL_RESOURCE_ATTRIBUTES", attributes)]).await;
    place.fulfil_one().await;
    let span = &place.spans(4).await[0];
    assert_eq!(span.of_resource("service.instance.id").as_deref(), Some("pod-7"));
    assert_eq!(span.of_resource("deployment.environment.name").as_deref(), Some("staging"));
    assert_eq!(span.of_resource("service.name").as_deref(), Some("fulfillment-worker"));
}

#[tokio::test]
async fn the_warehouse_is_called_within_the_span_of_the_call() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.fulfil_one().await;
    let spans = place.spans(4).await;
    let call = &named(&spans, "fulfil")[0].span;
    let expected = format!("00-{}-{}-01", hex(&call.trace_id), hex(&call.span_id));
    assert_eq!(place.warehouse.traceparents(), [expected]);
}

#[tokio::test]
async fn a_failed_attempt_says_why_and_the_next_one_is_another_trace() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.warehouse.answer_next(StatusCode::REQUEST_TIMEOUT);
    place.fulfil_one().await;
    let spans = place.spans(8).await;
    let attempts = named(&spans, ATTEMPT);
    let [first, second] = attempts[..] else { panic!("{} attempts", attempts.len()) };
    assert_eq!(first.attribute("fulfillment.outcome").as_deref(), Some("retried"));
    assert_eq!(first.attribute("error.type").as_deref(), Some("fulfiller_failed"));
    let status = first.span.status.as_ref().unwrap();
    assert_eq!(status.code, SpanStatus::Error as i32);
    assert!(status.message.contains("408"), "{}", status.message);
    assert_eq!(second.attribute("fulfillment.attempt").as_deref(), Some("2"));
    assert_ne!(first.span.trace_id, second.span.trace_id);
    assert_eq!(hex(&second.span.links[0].trace_id), PRODUCER.0);
}

#[tokio::test]
async fn poison_ends_in_a_span_with_the_reason() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.redis.cli_push(b"not JSON");
    let spans = place.spans(1).await;
    let attempt = attempt(&spans);
    assert_eq!(attempt.attribute("fulfillment.outcome").as_deref(), Some("dead_lettered"));
    assert_eq!(attempt.attribute("error.type").as_deref(), Some("invalid_message"));
    assert_eq!(attempt.attribute("fulfillment.order.id"), None);
}

#[tokio::test]
async fn the_log_line_of_a_failure_names_its_trace() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.warehouse.answer_next(StatusCode::REQUEST_TIMEOUT);
    let id = place.fulfil_one().await;
    let spans = place.spans(8).await;
    let failed = named(&spans, ATTEMPT)[0];
    let output = place.worker.output();
    let lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.into_iter().find(|line| line["message"] == "attempt failed").expect("a line about the failure");
    assert_eq!(line["trace_id"], hex(&failed.span.trace_id));
    assert_eq!(line["span_id"], hex(&failed.span.span_id));
    assert_eq!((&line["order_id"], &line["attempt"]), (&id.into(), &1.into()));
    assert_eq!(line["correlation_id"], "basket-42");
}

#[tokio::test]
async fn spans_go_over_grpc_where_the_environment_says_so() {
    let collector = Collector::start(Mood::Takes).await;
    let endpoint = format!("http://{}", collector.grpc);
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let place = Place::start_with(collector, &[], &environment).await;
    place.fulfil_one().await;
    place.spans(4).await;
    assert!(place.collector.headers().is_empty(), "something came over HTTP");
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_worker_ends() {
    let place = Place::start(Mood::Takes, &[], &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    let mut place = place;
    place.fulfil_one().await;
    assert!(place.collector.spans().is_empty(), "nothing is due for an hour");
    place.worker.signal(Signal::Term);
    assert!(place.worker.ended(LONG).await.success());
    assert_eq!(place.collector.spans().len(), 4);
}

/// Caught, when seeded: a sampler that the environment does not choose.
#[tokio::test]
async fn what_is_not_sampled_is_not_exported_and_the_warehouse_is_told_so() {
    let mut place = Place::start(Mood::Takes, &[], &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    place.fulfil_one().await;
    // Sends what there is to send.
    place.worker.signal(Signal::Term);
    assert!(place.worker.ended(LONG).await.success());
    assert!(place.collector.spans().is_empty());
    let traceparent = &place.warehouse.traceparents()[0];
    assert!(traceparent.ends_with("-00"), "{traceparent}");
    assert!(!traceparent.contains(PRODUCER.0), "{traceparent}");
}
