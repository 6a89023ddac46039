//! Limits that are far below what the worker could do.

use crate::support::orders::{in_state, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 300;

/// Fulfils all orders, and checks that each was claimed when there was room for it and not before: one attempt, and
/// nothing in its timeline but beginning and end.
async fn each_at_its_first_attempt(limit: &[&str]) {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--latency", "100ms"]).await;
    place(&database, &redis, ORDERS).await;
    let url = format!("http://{}/shipments", warehouse.address());
    // For a place and a turn a call waits for half of the time at most: less than what a worker would claim at once, were
    // nothing held back, takes at 20 a second.
    let options =
        [&["--fulfiller", &url, "--concurrency", "256", "--lease", "60s", "--call-timeout", "20s"], limit].concat();
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;
    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(in_state(&database, "fulfilled").await, i64::from(ORDERS))
    })
    .await;
    let others = "SELECT count(*) FROM fulfillment.events \
         WHERE attempt <> 1 OR state NOT IN ('processing', 'fulfilled')";
    assert_eq!(database.number(others).await, 0, "orders went back");
    assert_eq!(warehouse.stats()["calls"], ORDERS);
    let unavailable = r#"fulfillment_calls_total{outcome="unavailable"}"#;
    assert_eq!(worker.metrics().value(unavailable), 0.0);
}

/// Caught, when seeded: claims that the limit didn't hold back; some 70 orders went back to the queue.
#[tokio::test]
async fn orders_wait_in_the_queue_until_one_of_few_places_is_free() {
    each_at_its_first_attempt(&["--fulfiller-concurrency", "2"]).await;
}

/// Caught, when seeded: the same.
#[tokio::test]
async fn orders_wait_in_the_queue_until_the_rate_allows_them() {
    each_at_its_first_attempt(&["--fulfiller-rate", "20"]).await;
}
