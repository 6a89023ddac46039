//! From a rejection to a shipment: Redis, Postgres, a worker and a warehouse.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dead_letters::place::{Ended, ids};
use crate::support::orders::{in_state, not_fulfilled_exactly_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 20;

/// Caught, when seeded: a redrive that sets `created_at` anew, and with it the key.
#[tokio::test]
async fn orders_that_were_rejected_are_shipped_once_each_with_the_same_key_after_a_retry() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--record", "calls.jsonl"]).await;
    warehouse.behave(&json!({"errors": 1, "error_status": 422}));
    place(&database, &redis, ORDERS).await;
    let url = format!("http://{}/shipments", warehouse.address());
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &["--fulfiller", &url]).await;
    eventually(LONG, "the orders are rejected", async || {
        expect_equal(in_state(&database, "failed").await, i64::from(ORDERS))
    })
    .await;
    let dead = |arguments: &[&str]| {
        let mut command = binary(&["dead"]);
        command.args(arguments).args(["--store", database.url()]);
        if arguments[0] == "retry" {
            command.args(["--queue", &redis.url()]);
        }
        Ended::of(command)
    };

    let listed = dead(&["list", "--reason", "rejected", "--json"]).json();
    assert_eq!(ids(&listed).len(), ORDERS as usize);
    let shown = dead(&["show", &ids(&listed)[0].to_string(), "--json"]).json();
    assert_eq!((&shown["order_state"], &shown["reason"]), (&"failed".into(), &"rejected".into()));

    warehouse.behave(&json!({"errors": 0}));
    let retry = ["retry", "--reason", "rejected", "--why", "the colour is back", "--actor", "anna", "--json"];
    let tried = dead(&[&retry[..], &["--dry-run"]].concat()).json();
    assert_eq!((&tried["redriven"], in_state(&database, "failed").await), (&ORDERS.into(), i64::from(ORDERS)));
    assert_eq!(dead(&[&retry[..], &["--rate", "100"]].concat()).json()["redriven"], ORDERS);

    eventually(LONG, "the orders are fulfilled", async || {
        expect_equal(in_state(&database, "fulfilled").await, i64::from(ORDERS))
    })
    .await;
    assert_eq!(not_fulfilled_exactly_once(&database).await, 0);
    let calls = calls_by_key(&warehouse.record("calls.jsonl"));
    assert_eq!(calls.len(), ORDERS as usize, "a key per order: {calls:?}");
    assert!(calls.values().all(|&(calls, effects)| calls == 2 && effects == 1), "{calls:?}");
    let noted = "SELECT count(*) FROM fulfillment.events WHERE note = 'redriven by anna: the colour is back'";
    assert_eq!(database.number(noted).await, i64::from(ORDERS));
    assert_eq!(ids(&dead(&["list", "--json"]).json()), [0; 0]);
    assert_eq!(ids(&dead(&["list", "--resolved", "--json"]).json()).len(), ORDERS as usize);
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    worker.kill().await;
}

/// Calls and effects by key.
fn calls_by_key(record: &[Value]) -> BTreeMap<String, (usize, usize)> {
    let mut calls: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in record {
        let (count, effects) = calls.entry(line["key"].as_str().expect("a key").to_owned()).or_default();
        *count += 1;
        *effects += usize::from(line["effect"] == true);
    }
    calls
}

/// Redis takes no message from this operator, after Postgres has committed.
#[tokio::test]
async fn a_queue_that_takes_no_messages_is_told_and_the_next_retry_pushes_them() {
    let clerk = ["--user", "clerk", "on", ">clerk", "~*", "&*", "+@all", "-lpush"];
    let (redis, database) = (RedisServer::start_with(&clerk).await, TestDatabase::create().await);
    let ids = place(&database, &redis, 2).await;
    let fail = ["--simulate-failures", "1", "--max-attempts", "1", "--simulate-latency", "0"];
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &fail).await;
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&database, "failed").await, 2)).await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    worker.kill().await;

    let retry = |queue: &str| {
        let mut command = binary(&["dead", "retry", "1", "2", "--why", "again", "--queue", queue]);
        command.args(["--store", database.url()]);
        Ended::of(command)
    };
    let refused = retry(&format!("redis://clerk:clerk@127.0.0.1:{}", redis.port));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.starts_with("error: queue refused: "), "{refused:?}");
    assert!(refused.stderr.contains("letters from 1 to 2: retry them by their ids"), "{refused:?}");
    assert!(refused.stderr.contains("before that: 2 orders moved to pending"), "{refused:?}");
    assert_eq!(in_state(&database, "pending").await, 2);

    let again = retry(&redis.url());
    assert_eq!(again.stdout, "2 messages pushed again\n", "{again:?}");
    let mut worker = WorkerProcess::ready(&redis.url(), database.url(), &["--simulate-latency", "0"]).await;
    eventually(LONG, "the orders are fulfilled", async || {
        expect_equal(in_state(&database, "fulfilled").await, ids.len() as i64)
    })
    .await;
    worker.kill().await;
}
