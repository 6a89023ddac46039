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
const CALLS: f64 = 256.0;
const AHEAD: f64 = 500.0;
const FINISHED: f64 = 2_000.0;

/// A worker whose store behaves so from its start on, with so many messages of a kilobyte before it.
async fn with_a_queue_of(orders: i32, options: &[&str], store: Behaviour) -> Figures {
    let place = Place::new().await;
    place.fill(orders).await;
    let worker = place.worker(options).await;
    place.store.behave(store);
    watch(&worker, Duration::from_secs(size("PRESSURE_SECONDS", 6))).await
}

/// Compares a queue with one that is so many times as long, and holds what is in hand against its bound.
async fn assert_memory_is_flat(times: i32, options: &[&str], store: Behaviour, most_in_hand: f64) {
    let long = i32::try_from(size("PRESSURE_ORDERS", 20_000)).expect("a queue of this world");
    let short = with_a_queue_of(long / times, options, store).await;
    let long = with_a_queue_of(long, options, store).await;
    let name = format!("{times} times as long");
    watch::print(&[("short queue", &short), (&name, &long)]);
    let (at_short, at_long) = (short.peak_resident_mib(), long.peak_resident_mib());
    assert!(at_long <= at_short + MARGIN_MIB, "{at_short:.0} MiB, and {at_long:.0} with a queue {name}");
    assert!(long.most_in_flight() <= most_in_hand, "{} in hand", long.most_in_flight());
}

/// Caught, when seeded: claims without any bound (3088 in hand).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_does_not_follow_the_length_of_the_queue_while_the_store_is_slow() {
    // Calls of more than 50 ms: nothing is claimed ahead.
    assert_memory_is_flat(10, &OPTIONS, Behaviour::Late(Duration::from_millis(500)), CALLS + FINISHED).await;
}

/// Caught, when seeded: claims without any bound (86 MiB instead of 54).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_does_not_follow_the_length_of_the_queue_while_the_store_concludes_nothing() {
    let options = ["--simulate-latency", "0", "--simulate-failures", "0"];
    assert_memory_is_flat(4, &options, Behaviour::HoldFrom(CONCLUSION), CALLS + AHEAD + FINISHED).await;
}
