//! From a number to the trace behind it.

use crate::support::{LONG, eventually};
use crate::tracing::collector::{Mood, hex};
use crate::tracing::place::Place;

/// Caught, when seeded: exemplars of the spans that are not sampled.
#[tokio::test]
async fn an_exemplar_leads_to_the_attempts_span_at_the_collector() {
    let place = Place::start(Mood::Takes, &[], &[]).await;
    place.fulfil_one().await;
    let spans = place.spans(4).await;
    let attempt = spans.iter().find(|received| received.span.parent_span_id.is_empty()).unwrap();
    let (trace_id, span_id) = (hex(&attempt.span.trace_id), hex(&attempt.span.span_id));
    let labels = format!(r#" # {{trace_id="{trace_id}",span_id="{span_id}"}} "#);
    let scrape = eventually(LONG, "the attempt is counted", async || {
        let scrape = place.worker.get("/metrics", &[("Accept", "application/openmetrics-text")]).text();
        if scrape.contains("orders_processed_total{status=\"success\"} 1") { Ok(scrape) } else { Err("not yet") }
    })
    .await;
    let with_exemplar: Vec<&str> = scrape.lines().filter(|line| line.contains(&labels)).collect();
    let [of_count, of_bucket] = with_exemplar[..] else { panic!("{labels} on {with_exemplar:#?}") };
    assert!(of_count.starts_with("orders_processed_total{status=\"success\"} 1 # "), "{of_count}");
    assert!(of_bucket.starts_with("order_processing_duration_seconds_bucket{le="), "{of_bucket}");
}
