//! What is in the queue is in the queue and not in the worker.

use std::time::Duration;

use crate::pressure::place::Place;
use crate::pressure::size;
use crate::pressure::watch;
use crate::pressure::watch::{Figures, watch};
use crate::support::fault_proxy::Behaviour;

/// Beside what a run differs by from the next.
const MARGIN_MIB: f64 = 16.0;
const OPTIONS: [&str; 8] = [
    "--concurrency",
    "256",
    "--fulfiller",
    "simulated",
    "--simulate-latency",
    "100ms..200ms",
    "--simulate-failures",
    "0",
];

/// How the statement begins that ends attempts.
const CONCLUSION: &str = "-- Ends attempts";
/// One for each call of the default, a batch that is claimed ahead, and four that are finished.
const MOST_IN_HAND: f64 = 256.0 + 500.0 + 2_000.0;

/// A worker whose store needs half a second for each answer, with so many messages of a kilobyte before it.
async fn slow_with_a_queue_of(orders: i32) -> Figures {
    let place = Place::new().await;
    place.fill(orders).await;
    let worker = place.worker(&OPTIONS).await;
    place.store.behave(Behaviour::Late(Duration::from_millis(500)));
    watch(&worker, Duration::from_secs(size("PRESSURE_SECONDS", 6))).await
}

/// Caught, when seeded: claims without any bound (3088 in hand).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_does_not_follow_the_length_of_the_queue_while_the_store_is_slow() {
    let long = i32::try_from(size("PRESSURE_ORDERS", 20_000)).expect("a queue of this world");
    let short = slow_with_a_queue_of(long / 10).await;
    let long = slow_with_a_queue_of(long).await;
    watch::print(&[("short queue", &short), ("ten times as long", &long)]);
    let (at_short, at_long) = (short.peak_resident_mib(), long.peak_resident_mib());
    assert!(at_long <= at_short + MARGIN_MIB, "{at_short:.0} MiB, and {at_long:.0} with a queue ten times as long");
    // One for each call, and four batches that are finished.
    assert!(long.most_in_flight() <= 256.0 + 2_000.0, "{} in hand", long.most_in_flight());
}

/// A worker whose calls take no time, and whose store answers nothing any more, with so many messages before it.
async fn stopped_with_a_queue_of(orders: i32) -> Figures {
    let place = Place::new().await;
    place.fill(orders).await;
    let worker = place.worker(&["--simulate-latency", "0", "--simulate-failures", "0"]).await;
    place.store.behave(Behaviour::HoldFrom(CONCLUSION));
    watch(&worker, Duration::from_secs(size("PRESSURE_SECONDS", 6))).await
}

/// Caught, when seeded: claims without any bound (86 MiB instead of 54).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_does_not_follow_the_length_of_the_queue_while_the_store_concludes_nothing() {
    let long = i32::try_from(size("PRESSURE_ORDERS", 20_000)).expect("a queue of this world");
    let short = stopped_with_a_queue_of(long / 4).await;
    let long = stopped_with_a_queue_of(long).await;
    watch::print(&[("short queue", &short), ("four times as long", &long)]);
    let (at_short, at_long) = (short.peak_resident_mib(), long.peak_resident_mib());
    assert!(at_long <= at_short + MARGIN_MIB, "{at_short:.0} MiB, and {at_long:.0} with a queue four times as long");
    assert!(long.most_in_flight() <= MOST_IN_HAND, "{} in hand", long.most_in_flight());
}
