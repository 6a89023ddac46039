//! Messages whose optional fields are of no use: their orders are fulfilled.

use crate::support::orders::{all_fulfilled_once, insert};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;

/// What producers have been seen to send, and worse.
const REST: [&str; 14] = [
    r#","traceparent":12345"#,
    r#","traceparent":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
    r#","traceparent":["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]"#,
    r#","traceparent":false"#,
    r#","traceparent":"\ud800""#,
    r#","timestamp":"2025-11-24T00:00:00.1234567891Z""#,
    r#","timestamp":"2025-11-24T00:00:00""#,
    r#","timestamp":1764000000.5"#,
    r#","timestamp":1e999"#,
    r#","correlation_id":42"#,
    r#","correlation_id":{"id":[null]}"#,
    r#","note":"half an emoji \ud83d","\ude00":"\u0000""#,
    r#","correlation_id":"half an emoji \ud83d""#,
    r#","correlation_id":"nul \u0000 within""#,
];

/// Caught, when it was written: most of these became dead letters.
#[tokio::test]
async fn no_optional_field_keeps_an_order_from_being_fulfilled() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = insert(&database, REST.len() as i32).await;
    for (id, rest) in ids.iter().zip(REST) {
        redis.cli_push(format!(r#"{{"order_id":{id},"product_id":1,"quantity":1{rest}}}"#).as_bytes());
    }

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;

    all_fulfilled_once(&database, &redis).await;
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0, "{}", worker.output());
    let told = "SELECT order_id, correlation_id FROM fulfillment.timeline \
                WHERE state = 'fulfilled' AND correlation_id IS NOT NULL ORDER BY order_id";
    let told: Vec<(i64, String)> =
        database.query(told, &[]).await.iter().map(|row| (row.get(0), row.get::<_, String>(1))).collect();
    let [emoji, nul] = [&told[0], &told[1]];
    assert!(told.len() == 2 && emoji.1.starts_with("half an emoji \u{fffd}"), "{told:?}");
    assert_eq!(*nul, (i64::from(ids[13]), "nul \u{fffd} within".to_owned()));
}

#[tokio::test]
async fn a_long_correlation_id_is_cut_to_256_characters_wherever_it_goes() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let ids = insert(&database, 1).await;
    let long = "é".repeat(20_000);
    let message = format!(r#"{{"order_id":{},"product_id":1,"quantity":1,"correlation_id":"{long}"}}"#, ids[0]);
    redis.cli_push(message.as_bytes());

    let options = ["--simulate-latency", "0", "--log", "debug"];
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &options).await;

    all_fulfilled_once(&database, &redis).await;
    let lengths = "SELECT DISTINCT char_length(correlation_id)::int8 FROM fulfillment.timeline";
    let lengths: Vec<i64> = database.query(lengths, &[]).await.iter().map(|row| row.get(0)).collect();
    assert_eq!(lengths, [256]);
    assert!(!worker.output().contains(&"é".repeat(257)), "the log has more of it");
}
