//! Messages of a program that isn't ours, into tables made by the given schema alone, with poison among them.

use serde_json::json;

use crate::support::orders::{in_state, insert, status};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// No time for the work, and soon through with an order that doesn't exist.
const OPTIONS: [&str; 4] = ["--simulate-latency", "0", "--max-attempts", "2"];

#[tokio::test]
async fn every_form_of_the_given_message_is_fulfilled() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = insert(&database, 6).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let messages = [
        json!({"order_id": ids[0], "product_id": 1, "quantity": 1}),
        json!({"order_id": ids[1], "product_id": 1, "quantity": 1, "correlation_id": "7f3c-basket-42"}),
        json!({"order_id": ids[2], "product_id": 1, "quantity": 1, "traceparent": ""}),
        json!({"order_id": ids[3], "product_id": 1, "quantity": 1, "traceparent": "not a trace"}),
        json!({"order_id": ids[4], "product_id": 1, "quantity": 1, "correlation_id": "c", "traceparent": traceparent,
               "timestamp": "2010-12-01T08:26:00Z"}),
        json!({"order_id": ids[5], "product_id": 1, "quantity": 1, "priority": "high", "tags": ["unknown", {}]}),
    ];
    for message in &messages {
        redis.cli_push(message.to_string().as_bytes());
    }

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;

    eventually(LONG, "all six are fulfilled", async || expect_equal(in_state(&database, "fulfilled").await, 6)).await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    eventually(LONG, "all six are counted", async || expect_equal(worker.metrics().processed("success"), 6.0)).await;
    assert_eq!(worker.metrics().processed("error"), 0.0);
    let correlated = "SELECT order_id FROM fulfillment.timeline WHERE state = 'fulfilled' AND correlation_id = $1";
    assert_eq!(database.query(correlated, &[&"7f3c-basket-42"]).await[0].get::<_, i64>(0), i64::from(ids[1]));
}

/// Caught, when it was written: a JSON array of the fields' values was taken for a message.
#[tokio::test]
async fn poison_is_kept_with_its_bytes_and_reason_and_its_neighbours_are_fulfilled() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = insert(&database, 40).await;
    let unknown = json!({"order_id": 999_999, "product_id": 1, "quantity": 1}).to_string();
    let out_of_range = json!({"order_id": 99_999_999_999_i64, "product_id": 1, "quantity": 1}).to_string();
    let poison: Vec<(Vec<u8>, &str)> = vec![
        (b"not JSON at all".to_vec(), "invalid_message"),
        (b"\xff\xfe\x00 neither text".to_vec(), "invalid_message"),
        (json!({"order_id": "1", "product_id": 1, "quantity": 1}).to_string().into_bytes(), "invalid_message"),
        (json!({"order_id": ids[0], "product_id": 1}).to_string().into_bytes(), "invalid_message"),
        (json!({"order_id": ids[0], "product_id": 1, "quantity": 0}).to_string().into_bytes(), "invalid_message"),
        (json!([ids[0], 1, 1]).to_string().into_bytes(), "invalid_message"),
        ("a".repeat(1 << 20).into_bytes(), "invalid_message"),
        (unknown.into_bytes(), "unknown_order"),
        (out_of_range.into_bytes(), "unknown_order"),
    ];
    // Each piece of poison between good messages, so that they are claimed and begun together.
    for (position, id) in ids.iter().enumerate() {
        redis.cli_push(json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string().as_bytes());
        if let Some((bytes, _)) = poison.get(position) {
            redis.cli_push(bytes);
        }
    }

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;

    eventually(LONG, "the good ones are fulfilled", async || {
        expect_equal(in_state(&database, "fulfilled").await, ids.len() as i64)
    })
    .await;
    eventually(LONG, "the bad ones are dead letters", async || {
        expect_equal(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, poison.len() as i64)
    })
    .await;
    for (bytes, reason) in &poison {
        // Of a message over 64 KiB the beginning.
        let bytes = bytes[..bytes.len().min(64 << 10)].to_vec();
        let kept =
            database.query("SELECT reason, detail FROM fulfillment.dead_letters WHERE payload = $1", &[&bytes]).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
        assert_eq!(kept.len(), 1, "{shown} is kept once, byte for byte");
        assert_eq!(kept[0].get::<_, String>("reason"), *reason, "{shown}");
        assert!(!kept[0].get::<_, String>("detail").is_empty(), "{shown} has a detail for a person");
    }
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    let metrics = worker.metrics();
    assert_eq!(metrics.processed("success"), ids.len() as f64);
    // One failed attempt for each unreadable message, two for each of the two unknown orders.
    assert_eq!(metrics.processed("error"), 7.0 + 2.0 * 2.0);
    worker.answers("/readyz", 200).expect("still at work");
}

/// Caught, when seeded: a `begin` that takes a row whatever its status.
#[tokio::test]
async fn an_order_that_somebody_cancelled_is_left_alone_and_its_message_dropped() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = insert(&database, 2).await;
    let cancel = "UPDATE orders SET status = 'cancelled' WHERE id = $1 RETURNING updated_at::text";
    let touched: String = database.query(cancel, &[&ids[0]]).await[0].get(0);
    for id in &ids {
        redis.cli_push(json!({"order_id": id, "product_id": 1, "quantity": 1}).to_string().as_bytes());
    }

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;

    eventually(LONG, "the other one is fulfilled", async || {
        expect_equal(status(&database, ids[1]).await.as_str(), "fulfilled")
    })
    .await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    let row = &database.query("SELECT status, updated_at::text FROM orders WHERE id = $1", &[&ids[0]]).await[0];
    assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), ("cancelled".to_owned(), touched));
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0);
    assert_eq!(worker.metrics().processed("error"), 0.0);
}
