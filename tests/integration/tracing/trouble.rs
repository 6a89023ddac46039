//! A collector in trouble costs spans, and nothing else.

use std::time::{Duration, Instant};

use crate::support::orders::{all_fulfilled_once, place as place_orders};
use crate::support::process::Signal;
use crate::support::{LONG, eventually, free_port};
use crate::tracing::collector::{Collector, Mood};
use crate::tracing::place::Place;

/// For [`eventually`]: whether the metrics say that this became of some spans.
fn spans_were(place: &Place, outcome: &str) -> Result<(), String> {
    let metrics = place.worker.metrics();
    let count = metrics.value(&format!("fulfillment_spans_total{{outcome=\"{outcome}\"}}"));
    if count > 0.0 { Ok(()) } else { Err(format!("no span was {outcome}")) }
}

#[tokio::test]
async fn a_collector_that_refuses_spans_is_counted_and_told_once() {
    let place = Place::start(Mood::Refuses, &[], &[]).await;
    place.fulfil_one().await;
    place.fulfil_one().await;
    eventually(LONG, "spans failed", async || spans_were(&place, "failed")).await;
    assert!(place.worker.metrics().value("fulfillment_span_exports_total{outcome=\"error\"}") > 0.0);
    let told = place.worker.output().matches("traces could not be exported").count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn without_a_collector_every_order_is_fulfilled() {
    let collector = Collector::start(Mood::Takes).await;
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let place = Place::start_with(collector, &[], &environment).await;
    place_orders(&place.database, &place.redis, 500).await;
    all_fulfilled_once(&place.database, &place.redis).await;
    eventually(LONG, "spans failed", async || spans_were(&place, "failed")).await;
}

/// Caught, when seeded: spans that wait for room in the queue.
#[tokio::test]
async fn a_collector_that_hangs_drops_spans_and_holds_up_no_order() {
    let queue = [("OTEL_BSP_MAX_QUEUE_SIZE", "100"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")];
    let place = Place::start(Mood::Hangs, &[], &queue).await;
    place_orders(&place.database, &place.redis, 500).await;
    all_fulfilled_once(&place.database, &place.redis).await;
    eventually(LONG, "spans are dropped", async || spans_were(&place, "dropped")).await;
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_the_worker_from_ending() {
    let mut place = Place::start(Mood::Hangs, &["--drain-timeout", "4s"], &[]).await;
    place.fulfil_one().await;
    let began = Instant::now();
    place.worker.signal(Signal::Term);
    assert!(place.worker.ended(LONG).await.success());
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
