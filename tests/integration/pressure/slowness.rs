//! One worker, and a backend that becomes slow and fast again.

use std::time::Duration;

use crate::pressure::place::Place;
use crate::pressure::size;
use crate::pressure::watch::{self, watch};
use crate::support::fault_proxy::Behaviour;
use crate::support::{LONG, eventually};

/// A third of it is what a backend may take.
const LEASE: &str = "3s";
/// Too slow for that, and not so slow that calls fail.
const TOO_SLOW: Duration = Duration::from_millis(1_300);
/// More than is done while all is well.
const ORDERS: i32 = 2_500;
/// In hand while it is slow: one that waits, and those that the fulfiller has.
const FEW: f64 = 8.0;
const OPTIONS: [&str; 10] = [
    "--lease",
    LEASE,
    "--concurrency",
    "64",
    "--fulfiller",
    "simulated",
    "--simulate-latency",
    "100ms..200ms",
    "--simulate-failures",
    "0",
];

/// What is made slow.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slow {
    Store,
    Queue,
}

/// Makes a backend slow under load, and checks what the worker makes of it, then and afterwards.
async fn it_claims_less_and_loses_nothing(slow: Slow) {
    let time = Duration::from_secs(size("PRESSURE_SECONDS", 6));
    let place = Place::new().await;
    place.fill(ORDERS).await;
    let worker = place.worker(&OPTIONS).await;
    let well = watch(&worker, Duration::from_secs(2)).await;

    match slow {
        Slow::Store => place.store.behave(Behaviour::Late(TOO_SLOW)),
        Slow::Queue => place.queue.behave(Behaviour::Late(TOO_SLOW)),
    }
    let name = format!("{slow:?}").to_lowercase();
    eventually(LONG, "readiness tells", async || {
        let checks = worker.get("/readyz", &[]).text();
        let tells = checks.contains(&format!(r#"{{"name":"{name}","ok":false,"detail":"too slow to keep leases"#));
        if tells { Ok(()) } else { Err(checks) }
    })
    .await;
    eventually(LONG, "what was in hand before is worked off, and not replaced", async || {
        let in_flight = worker.metrics().value("fulfillment_orders_in_flight");
        if in_flight <= FEW { Ok(()) } else { Err(in_flight) }
    })
    .await;
    let during = watch(&worker, time).await;
    place.mend();
    eventually(LONG, "readiness tells that it is over", async || worker.answers("/readyz", 200)).await;
    let over = watch(&worker, Duration::from_secs(2)).await;
    watch::print(&[("all well", &well), (&format!("slow {name}"), &during), ("over", &over)]);

    let most = during.most_in_flight();
    assert!(most <= FEW, "{most} in hand while it is slow");
    assert!(during.healthy.iter().all(|healthy| *healthy), "a restart would not help");
    assert!(during.peak_resident_mib() <= well.peak_resident_mib() + 24.0, "memory grows");
    place.all_are_fulfilled_at_once(ORDERS).await;
    let metrics = worker.metrics();
    for lost in [
        r#"fulfillment_leases_lost_total{lease="row"}"#,
        r#"fulfillment_leases_lost_total{lease="queue"}"#,
        "fulfillment_superseded_total",
        "fulfillment_takeovers_total",
        r#"orders_processed_total{status="error"}"#,
    ] {
        assert_eq!(metrics.value(lost), 0.0, "{lost}");
    }
    let held_back = metrics.value(r#"fulfillment_claims_held_back_seconds_total{by="slow_backend"}"#);
    assert!(held_back > 1.0, "claims were held back for {held_back} s");
}

/// Caught, when seeded: claims that don't mind how slow the store is, which kept 64 orders in hand; readiness that knows
/// up and down only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_too_slow_to_keep_leases_is_claimed_for_one_order_at_a_time_and_readiness_tells() {
    it_claims_less_and_loses_nothing(Slow::Store).await;
}

/// Caught, when seeded: the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queue_too_slow_to_keep_leases_is_claimed_from_one_order_at_a_time_and_readiness_tells() {
    it_claims_less_and_loses_nothing(Slow::Queue).await;
}
