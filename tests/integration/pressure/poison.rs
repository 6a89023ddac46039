//! Orders among a flood of messages that nobody can do anything with, compared with the same orders among as many others.

use std::time::Duration;

use serde_json::json;

use crate::pressure::place::{Place, message};
use crate::pressure::size;
use crate::pressure::watch::{self, Figures, watch};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// Customers whose orders are looked at.
const ORDERS: usize = 200;
/// Messages for orders that don't exist, in each flood of poison.
const UNKNOWN: usize = 50;
/// Every so many messages of poison one is a byte longer than a message may be.
const LONG_EVERY: usize = 50;
const OPTIONS: [&str; 14] = [
    "--lease",
    "15s",
    "--concurrency",
    "256",
    "--fulfiller",
    "simulated",
    "--simulate-latency",
    "10ms..20ms",
    "--simulate-failures",
    "0",
    "--retry-base",
    "50ms",
    "--retry-cap",
    "200ms",
];
/// How much longer customers wait, at most, for poison than for as many other customers.
const FACTOR: f64 = 2.0;
/// Two batches of the largest that a claim brings, and copies on their way to the dead letters.
const MARGIN_MIB: f64 = 96.0;

/// The nth message of poison: not JSON, without a field, or too long.
fn poison(nth: usize) -> Vec<u8> {
    if nth.is_multiple_of(LONG_EVERY) {
        let mut long = nth.to_string().into_bytes();
        long.resize(64 * 1024 + 1, b' ');
        return long;
    }
    if nth.is_multiple_of(2) {
        format!(r#"{{"order_id": {nth}, "product_id": "#).into_bytes()
    } else {
        json!({"order_id": nth, "product_id": 1}).to_string().into_bytes()
    }
}

/// Pushes a flood of the others, the first half of them before all of the orders and the rest among them; returns the
/// worker's figures until the orders are done, and the age at which the 95th of 100 was.
async fn flooded(place: &Place, worker: &WorkerProcess, others: Vec<Vec<u8>>) -> (Figures, f64) {
    let insert = "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, $1) RETURNING id";
    let count = i32::try_from(ORDERS).expect("a few orders");
    let ids: Vec<i32> = place.database.query(insert, &[&count]).await.iter().map(|row| row.get(0)).collect();
    let half = others.len() / 2;
    let mut messages = others[..half].to_vec();
    for (nth, others) in others[half..].chunks((half / ORDERS).max(1)).enumerate() {
        messages.extend_from_slice(others);
        messages.extend(ids.get(nth).map(|id| message(*id)));
    }
    place.push(messages.into_iter());
    let ages = "SELECT extract(epoch FROM e.at - o.created_at)::float8 FROM orders o JOIN fulfillment.events e \
         ON e.order_id = o.id AND e.state = 'fulfilled' WHERE o.id BETWEEN $1 AND $2 ORDER BY 1";
    let (first, last) = (ids[0], ids[ORDERS - 1]);
    let done = eventually(LONG, "the orders among the flood are done", async || {
        let rows = place.database.query(ages, &[&first, &last]).await;
        if rows.len() == ORDERS { Ok(rows) } else { Err(format!("{} of {ORDERS}", rows.len())) }
    });
    let (figures, rows) = tokio::join!(watch(worker, Duration::from_secs(3)), done);
    (figures, rows[ORDERS * 95 / 100].get(0))
}

/// Caught, when seeded: poison that is buried one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_poison_holds_orders_up_no_more_than_as_many_other_orders_would() {
    let flood = usize::try_from(size("PRESSURE_POISON", 4_000)).expect("a flood of this world");
    let place = Place::new().await;
    place.fill(1).await;
    let worker = place.undisturbed_worker(&OPTIONS).await;

    let insert = "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, $1) RETURNING id";
    let others = i32::try_from(flood + UNKNOWN).expect("a flood of this world");
    let others: Vec<i32> = place.database.query(insert, &[&others]).await.iter().map(|row| row.get(0)).collect();
    let (before, age) = flooded(&place, &worker, others.iter().map(|id| message(*id)).collect()).await;

    let unknown = (0..UNKNOWN).map(|nth| message(2_000_000_000 + i32::try_from(nth).expect("a few")));
    let messages: Vec<Vec<u8>> = unknown.chain((0..flood).map(poison)).collect();
    let (during, age_among_poison) = flooded(&place, &worker, messages).await;
    watch::print(&[("orders among orders", &before), ("orders among poison", &during)]);
    println!(
        "{flood} messages of poison: 95 % of the orders done within {age_among_poison:.2} s; {age:.2} s among orders"
    );

    assert!(age_among_poison <= age * FACTOR, "{age_among_poison} s among poison, {age} s among orders");
    assert!(during.peak_resident_mib() <= before.peak_resident_mib() + MARGIN_MIB, "memory grows");
    assert!(during.healthy.iter().all(|healthy| *healthy));
    // Of one that is too long, no more than a message may have.
    let bytes: usize = (0..flood).map(|nth| poison(nth).len().min(64 * 1024)).sum();
    let kept = "SELECT count(*), count(DISTINCT payload), coalesce(sum(length(payload)), 0)::int8 \
         FROM fulfillment.dead_letters WHERE reason = 'invalid_message' AND detail <> ''";
    let expected = (flood as i64, flood as i64, bytes as i64);
    eventually(LONG, "each message of poison is kept once, with its bytes", async || {
        let row = &place.database.query(kept, &[]).await[0];
        expect_equal((row.get(0), row.get(1), row.get(2)), expected)
    })
    .await;
    eventually(LONG, "orders that don't exist are given up", async || {
        let unknown = "SELECT count(*) FROM fulfillment.dead_letters WHERE reason = 'unknown_order' AND attempts = 5";
        expect_equal(place.database.number(unknown).await, UNKNOWN as i64)
    })
    .await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(place.redis.keys(), Vec::new())).await;
}
