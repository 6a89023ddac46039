//! Two workers beside each other, one of them behind a slow link to the store.

use std::time::Duration;

use crate::pressure::place::Place;
use crate::pressure::watch::{self, watch};
use crate::support::fault_proxy::Behaviour;
use crate::support::{LONG, eventually};

const ORDERS: i32 = 3_000;
const CONCURRENCY: f64 = 64.0;
const OPTIONS: [&str; 10] = [
    "--lease",
    "3s",
    "--concurrency",
    "64",
    "--fulfiller",
    "simulated",
    "--simulate-latency",
    "100ms..200ms",
    "--simulate-failures",
    "0",
];
/// Fast enough to keep leases, and slow enough to be felt.
const SLOW: Duration = Duration::from_millis(700);

/// Caught, when seeded: claims that don't mind how slow the store is.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_behind_a_slow_link_leaves_the_orders_to_its_neighbour() {
    let place = Place::new().await;
    let slow = place.worker(&OPTIONS).await;
    let fast = place.undisturbed_worker(&OPTIONS).await;
    place.store.behave(Behaviour::Late(SLOW));
    place.fill(ORDERS).await;
    eventually(LONG, "the slow one knows that it is, and is done with what it had before", async || {
        let metrics = slow.metrics();
        let held_back = metrics.value(r#"fulfillment_claims_held_back_seconds_total{by="slow_backend"}"#);
        let in_flight = metrics.value("fulfillment_orders_in_flight");
        if held_back > 0.0 && in_flight <= CONCURRENCY * 0.5 { Ok(()) } else { Err(in_flight) }
    })
    .await;
    let at_the_slow_one = watch(&slow, Duration::from_secs(3)).await;
    watch::print(&[("the slow one", &at_the_slow_one)]);
    assert!(
        at_the_slow_one.most_in_flight() <= CONCURRENCY * 0.7,
        "the slow one holds {} of {CONCURRENCY}",
        at_the_slow_one.most_in_flight()
    );
    place.all_are_fulfilled_at_once(ORDERS).await;
    let (by_slow, by_fast) = (slow.metrics().processed("success"), fast.metrics().processed("success"));
    println!("the slow one fulfilled {by_slow}, the fast one {by_fast}");
    assert!(by_slow * 4.0 < by_fast, "the slow one fulfilled {by_slow}, the fast one {by_fast}");
    for worker in [&slow, &fast] {
        assert_eq!(worker.metrics().value("fulfillment_takeovers_total"), 0.0, "orders were taken over");
        assert_eq!(worker.metrics().value("fulfillment_superseded_total"), 0.0, "conclusions came too late");
    }
}
