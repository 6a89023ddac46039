//! Connections on which nothing arrives any more and that nobody closes.

use crate::pressure::place::Place;
use crate::support::fault_proxy::Behaviour;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

const ORDERS: i32 = 1_000;
const OPTIONS: [&str; 10] = [
    "--lease",
    "3s",
    "--concurrency",
    "16",
    "--fulfiller",
    "simulated",
    "--simulate-latency",
    "50ms..100ms",
    "--simulate-failures",
    "0",
];

/// A worker in the middle of its orders.
async fn at_work() -> (Place, WorkerProcess) {
    let place = Place::new().await;
    let worker = place.worker(&OPTIONS).await;
    place.fill(ORDERS).await;
    eventually(LONG, "the work goes on", async || {
        if worker.metrics().processed("success") > 50.0 { Ok(()) } else { Err("not yet") }
    })
    .await;
    (place, worker)
}

/// An error comes after 30 s only.
///
/// Caught, when seeded: readiness that knows up and down only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_hangs_without_an_error_shows_in_readyz_long_before_a_call_to_it_fails() {
    let (place, worker) = at_work().await;
    place.store.behave(Behaviour::Vanish);
    let checks = eventually(LONG, "readiness tells", async || {
        let answer = worker.get("/readyz", &[]);
        if answer.status == 503 { Ok(answer.text()) } else { Err(answer.text()) }
    })
    .await;
    assert!(checks.contains("too slow to keep leases: a call has had no answer for"), "{checks}");
    let metrics = worker.metrics();
    let oldest = metrics.value(r#"fulfillment_dependency_oldest_call_seconds{dependency="store"}"#);
    assert!((1.0..15.0).contains(&oldest), "{oldest} s");
    assert!(metrics.value(r#"fulfillment_dependency_calls_under_way{dependency="store"}"#) >= 1.0);
    assert_eq!(metrics.value("service_healthy"), 0.0);
    for path in ["/health", "/livez"] {
        worker.answers(path, 200).expect("a restart would not help");
    }
    place.mend();
    // Else the connections that are half-open would stay so for 30 s.
    place.store.cut();
    eventually(LONG, "readiness tells that it is over", async || worker.answers("/readyz", 200)).await;
    place.all_are_fulfilled_at_once(ORDERS).await;
}

/// Caught, when seeded: a rendering that waits for the calls under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn scrapes_are_answered_at_once_while_queue_and_store_hang() {
    let (place, worker) = at_work().await;
    for link in [&place.queue, &place.store] {
        link.behave(Behaviour::Vanish);
    }
    eventually(LONG, "both hang", async || {
        let metrics = worker.metrics();
        let oldest = |dependency| {
            metrics.value(&format!("fulfillment_dependency_oldest_call_seconds{{dependency=\"{dependency}\"}}"))
        };
        let hanging = (oldest("queue"), oldest("store"));
        if hanging.0 > 1.0 && hanging.1 > 1.0 { Ok(()) } else { Err(format!("{hanging:?}")) }
    })
    .await;
    let formats = [
        "text/plain",
        "application/openmetrics-text",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ];
    for format in formats {
        // Less than any call to queue or store may take.
        let headers = [("Accept", format), ("X-Prometheus-Scrape-Timeout-Seconds", "1")];
        let answer = worker.get("/metrics", &headers);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.headers["content-type"].starts_with(format.split(';').next().unwrap_or_default()));
    }
}
