//! Rows that the order API may hold and no message can name, and rows of the worker's own that somebody has deleted.

use crate::support::orders::{in_state, insert, place, status};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

async fn worker(redis: &RedisServer, database: &TestDatabase) -> WorkerProcess {
    let haste =
        ["--reconcile-interval", "300ms", "--reconcile-grace", "1s", "--lease", "2s", "--simulate-latency", "0"];
    WorkerProcess::ready(&redis.url(), database.url(), &haste).await
}

async fn drained(mut worker: WorkerProcess) {
    worker.signal(Signal::Term);
    worker.ended(LONG).await;
}

async fn run(database: &TestDatabase, sql: &str) {
    database.connect().await.batch_execute(sql).await.unwrap();
}

async fn until_fulfilled(database: &TestDatabase, order_id: i32) {
    eventually(LONG, "the order is fulfilled", async || {
        expect_equal(status(database, order_id).await.as_str(), "fulfilled")
    })
    .await;
}

/// Caught: `verify` said that a worker takes these in, which none did.
#[tokio::test]
async fn open_orders_with_ids_that_no_message_can_name_are_told_apart_and_hold_up_nobody() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = worker(&redis, &database).await;
    let lost = insert(&database, 1).await[0];
    run(
        &database,
        "INSERT INTO orders (id, product_id, quantity, status)
         VALUES (0, 1, 1, 'pending'), (-5, 1, 1, 'pending'), (-2147483648, 1, 1, 'processing'), (-6, 1, 1, 'cancelled')",
    )
    .await;
    until_fulfilled(&database, lost).await;
    let verify = |options: &[&str]| {
        let queue = redis.url();
        let all = [&["verify", "--pause", "0", "--queue", &queue, "--store", database.url()], options].concat();
        binary(&all).output().unwrap()
    };
    let found = verify(&["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found.status.code(), Some(1), "{report}");
    assert_eq!(
        report["below_lowest_id"],
        serde_json::json!({"count": 3, "first": [-2_147_483_648_i64, -5, 0]}),
        "{report}"
    );
    assert_eq!((&report["without_message"]["count"], &report["would_adopt"]), (&0.into(), &serde_json::json!([])));
    let text = String::from_utf8(verify(&[]).stdout).unwrap();
    assert!(text.contains("with an id below 1, which no message can name"), "{text}");
    assert!(!text.contains("A worker takes in"), "{text}");
    assert_eq!(in_state(&database, "pending").await, 2);
    drained(worker).await;
}

/// The row has the last word on its product, so the message that the reconciler makes has one that messages may have.
///
/// Caught: the message was poison, and so was the next one, and each of them a dead letter.
#[tokio::test]
async fn an_order_of_a_product_that_no_message_can_name_is_fulfilled_all_the_same() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = worker(&redis, &database).await;
    let orders = insert(&database, 2).await;
    run(
        &database,
        &format!(
            "INSERT INTO products (id, name, price) VALUES (0, 'SAMPLE', 0), (-1, 'GIFT', 0);
             UPDATE orders SET product_id = 0 WHERE id = {}; UPDATE orders SET product_id = -1 WHERE id = {}",
            orders[0], orders[1]
        ),
    )
    .await;
    for order in orders {
        until_fulfilled(&database, order).await;
    }
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0);
    drained(worker).await;
}

/// Caught: the next start took itself for the first one, and left alone what had been begun here and lost its message.
#[tokio::test]
async fn a_horizon_that_is_deleted_leaves_no_order_alone() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let first = worker(&redis, &database).await;
    until_fulfilled(&database, place(&database, &redis, 1).await[0]).await;
    drained(first).await;
    let lost = insert(&database, 1).await[0];
    run(&database, "UPDATE orders SET created_at = now() - interval '1 hour' WHERE status = 'pending'; DELETE FROM fulfillment.horizon")
        .await;
    let second = worker(&redis, &database).await;
    until_fulfilled(&database, lost).await;
    drained(second).await;
}

/// Caught: nobody made it anew, so nothing was swept again, and each look for open orders read the whole table.
#[tokio::test]
async fn a_low_water_mark_that_is_deleted_is_made_anew_and_moves() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 1).await;
    run(
        &database,
        "INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, 'cancelled' FROM generate_series(1, 25000);
         DROP INDEX idx_orders_status",
    )
    .await;
    let worker = worker(&redis, &database).await;
    let moved = async || {
        eventually(LONG, "the mark has moved", async || {
            let mark = "SELECT coalesce(max(closed_up_to), 0) FROM fulfillment.low_water_mark";
            let mark = database.number(mark).await;
            if mark > 10_000 { Ok(()) } else { Err(mark) }
        })
        .await;
    };
    moved().await;
    run(&database, "DELETE FROM fulfillment.low_water_mark").await;
    moved().await;
    drained(worker).await;
}
