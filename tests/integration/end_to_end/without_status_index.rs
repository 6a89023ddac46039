//! Tables whose owner has dropped the index on status: orders that lose their message are found all the same.

use crate::support::orders::{in_state, insert, status};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// More than the mark stays away from.
const CLOSED: i64 = 25_000;

async fn worker(redis: &RedisServer, database: &TestDatabase) -> WorkerProcess {
    let haste =
        ["--reconcile-interval", "500ms", "--reconcile-grace", "1s", "--lease", "2s", "--simulate-latency", "0"];
    WorkerProcess::ready(&redis.url(), database.url(), &haste).await
}

async fn until_fulfilled(database: &TestDatabase, order_id: i32) {
    eventually(LONG, "the order is fulfilled", async || {
        expect_equal(status(database, order_id).await.as_str(), "fulfilled")
    })
    .await;
}

/// Caught, when seeded: no sweep; the mutant `mark-passes-open`.
#[tokio::test]
async fn orders_are_found_without_an_index_on_status_also_below_the_mark_and_by_the_next_leader() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let mut first = worker(&redis, &database).await;
    let lost = insert(&database, 1).await[0];
    let closed = format!(
        "INSERT INTO orders (product_id, quantity, status) SELECT product_id, 1, 'cancelled' FROM orders, generate_series(1, {CLOSED})
         WHERE id = {lost}"
    );
    database.connect().await.batch_execute(&format!("{closed}; DROP INDEX idx_orders_status")).await.unwrap();
    until_fulfilled(&database, lost).await;
    let mark = "SELECT closed_up_to FROM fulfillment.low_water_mark";
    eventually(LONG, "the mark has moved", async || {
        let mark = database.number(mark).await;
        if mark > 10_000 { Ok(()) } else { Err(mark) }
    })
    .await;

    let second = worker(&redis, &database).await;
    first.signal(Signal::Kill);
    first.ended(LONG).await;
    // Somebody changes their mind.
    let again = database.number("SELECT min(id)::bigint FROM orders WHERE status = 'cancelled'").await;
    let again = i32::try_from(again).unwrap();
    database.query("UPDATE orders SET status = 'pending' WHERE id = $1", &[&again]).await;
    until_fulfilled(&database, again).await;
    assert_eq!(second.metrics().value("fulfillment_sweep_found_total"), 1.0);
    assert_eq!(second.metrics().value("fulfillment_drift_total{kind=\"lost_message\"}"), 1.0);
    eventually(LONG, "all was looked at", async || {
        let finished = second.metrics().value("fulfillment_sweep_finished_timestamp_seconds");
        if finished > 0.0 { Ok(()) } else { Err(finished) }
    })
    .await;
    assert_eq!(in_state(&database, "fulfilled").await, 2);
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.events WHERE state = 'fulfilled'").await, 2);
}
