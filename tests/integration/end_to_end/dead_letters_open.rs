//! The number of dead letters that await a decision is the store's, whoever gave them up and whenever.

use serde_json::Value;

use crate::support::orders::{in_state, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

const FAIL: [&str; 6] = ["--simulate-failures", "1", "--max-attempts", "1", "--simulate-latency", "0"];

fn status(redis: &RedisServer, database: &TestDatabase) -> Value {
    let mut command = binary(&["status", "--json", "--queue", &redis.url(), "--store", database.url()]);
    let output = command.output().expect("the binary starts");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn counted(worker: &WorkerProcess, reason: &str, letters: i32) {
    eventually(LONG, "the dead letters are counted", async || {
        let series = format!("fulfillment_dead_letters_open{{reason=\"{reason}\"}}");
        expect_equal(worker.metrics().value(&series), f64::from(letters))
    })
    .await;
}

/// Caught on the code before: all that was shown of them was a counter that begins at 0 with each start.
#[tokio::test]
async fn dead_letters_are_counted_after_a_restart_until_somebody_decides() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 11).await;
    let mut first = WorkerProcess::ready(&redis.url(), database.url(), &FAIL).await;
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&database, "failed").await, 11)).await;
    first.kill().await;

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &FAIL).await;
    counted(&worker, "attempts_exhausted", 11).await;
    assert_eq!(worker.metrics().value("fulfillment_dead_letters_total{reason=\"attempts_exhausted\"}"), 0.0);
    assert!(worker.metrics().value("fulfillment_dead_letters_open_read_timestamp_seconds") > 0.0);
    assert_eq!(status(&redis, &database)["dead_letters"], 11);

    let of_another_version =
        "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at)
                              VALUES ('x', '', 'too_heavy', '', 1, 'w', now()::timestamp)";
    database.query(of_another_version, &[]).await;
    counted(&worker, "other", 1).await;
    let by_reason = &status(&redis, &database)["dead_letters_by_reason"];
    assert_eq!(by_reason, &serde_json::json!({"attempts_exhausted": 11, "other": 1}));

    let mut discard = binary(&["dead", "discard", "--all", "--why", "refunded", "--store", database.url()]);
    assert!(discard.status().expect("the binary starts").success());
    counted(&worker, "attempts_exhausted", 0).await;
    counted(&worker, "other", 0).await;
    assert_eq!(status(&redis, &database)["dead_letters"], 0);
}
