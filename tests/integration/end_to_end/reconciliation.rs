//! Messages that get lost: by a producer, by Redis, with a worker. The row is there, and the order is fulfilled.

use std::process::Output;

use redis::Commands;

use crate::support::orders::{in_state, insert, not_fulfilled_exactly_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::{WorkerProcess, binary};
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 40;

/// A worker whose reconciler is in a hurry.
const HASTE: [&str; 6] = ["--reconcile-interval", "500ms", "--reconcile-grace", "1s", "--lease", "2s"];

async fn worker(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> WorkerProcess {
    let mut all = HASTE.to_vec();
    all.extend(options);
    WorkerProcess::ready(&redis.url(), database.url(), &all).await
}

fn verify(redis: &RedisServer, database: &TestDatabase, pause: &str) -> Output {
    binary(&["verify", "--json", "--pause", pause, "--queue", &redis.url(), "--store", database.url()])
        .output()
        .expect("the binary starts")
}

fn report(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// `verify` says that this many orders have no message, and fails.
fn assert_missing(redis: &RedisServer, database: &TestDatabase, expected: i32) {
    let output = verify(redis, database, "0");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(report(&output)["without_message"]["count"], expected);
}

fn assert_accounted_for(redis: &RedisServer, database: &TestDatabase) {
    let output = verify(redis, database, "1s");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(report(&output)["accounted_for"], true);
}

async fn all_fulfilled_once(redis: &RedisServer, database: &TestDatabase, orders: i32) {
    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(in_state(database, "fulfilled").await, i64::from(orders))
    })
    .await;
    assert_eq!(not_fulfilled_exactly_once(database).await, 0, "orders without exactly one `fulfilled` event");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    assert_accounted_for(redis, database);
}

async fn in_work(database: &TestDatabase, orders: i64) {
    eventually(LONG, "orders are in work", async || expect_equal(in_state(database, "processing").await, orders)).await;
}

/// The worker's own tables, which the first `run` would make.
async fn migrated() -> TestDatabase {
    let database = TestDatabase::create().await;
    let migrated = binary(&["migrate", "--store", database.url()]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{migrated:?}");
    database
}

/// With the first start behind it, so that orders which come from now on are looked after.
async fn started(redis: &RedisServer) -> TestDatabase {
    let database = TestDatabase::create().await;
    let mut first = worker(redis, &database, &[]).await;
    first.signal(Signal::Term);
    assert!(first.ended(LONG).await.success());
    database
}

/// Caught, when seeded: no reconciler.
#[tokio::test]
async fn orders_whose_producer_died_between_insert_and_push_are_fulfilled() {
    let redis = RedisServer::start().await;
    let database = started(&redis).await;
    insert(&database, ORDERS).await;
    assert_missing(&redis, &database, ORDERS);
    let worker = worker(&redis, &database, &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&redis, &database, ORDERS).await;
    assert_eq!(worker.metrics().value("fulfillment_drift_total{kind=\"lost_message\"}"), f64::from(ORDERS));
}

/// Caught, when seeded: no reconciler, which leaves behind whatever was not in work.
#[tokio::test]
async fn a_redis_that_is_flushed_while_workers_run_loses_no_order() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    place(&database, &redis, ORDERS).await;
    let options = ["--simulate-latency", "1s..2s", "--concurrency", "4"];
    let _workers = [worker(&redis, &database, &options).await, worker(&redis, &database, &options).await];
    in_work(&database, 8).await;
    redis.connect().and_then(|mut connection| redis::cmd("FLUSHALL").exec(&mut connection)).expect("FLUSHALL");
    all_fulfilled_once(&redis, &database, ORDERS).await;
}

/// Caught, when seeded: no reconciler; a search for `pending` orders only, which leaves those in work behind.
#[tokio::test]
async fn a_redis_that_comes_back_empty_and_a_worker_that_does_not_lose_no_order() {
    let (mut redis, database) = (RedisServer::start().await, migrated().await);
    place(&database, &redis, ORDERS).await;
    let mut dying = worker(&redis, &database, &["--simulate-latency", "30s", "--call-timeout", "1m"]).await;
    in_work(&database, i64::from(ORDERS)).await;
    dying.kill().await;
    redis.end(Signal::Kill).await;
    std::fs::remove_dir_all(redis.folder.path().join("appendonlydir")).expect("its append-only file");
    redis.restart().await;
    assert_missing(&redis, &database, ORDERS);

    let worker = worker(&redis, &database, &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&redis, &database, ORDERS).await;
    assert_eq!(worker.metrics().value("fulfillment_drift_total{kind=\"abandoned_order\"}"), f64::from(ORDERS));
}

/// Caught, when seeded: a begin that takes finished orders, too.
#[tokio::test]
async fn messages_of_finished_orders_that_an_old_snapshot_brings_back_are_dropped() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    place(&database, &redis, ORDERS).await;
    let mut connection = redis.connect().expect("a connection");
    let snapshot: Vec<u8> = redis::cmd("DUMP").arg(QUEUE_KEY).query(&mut connection).expect("an answer to DUMP");
    let worker = worker(&redis, &database, &["--simulate-latency", "0"]).await;
    all_fulfilled_once(&redis, &database, ORDERS).await;

    let restored: String =
        redis::cmd("RESTORE").arg(QUEUE_KEY).arg(0).arg(snapshot).query(&mut connection).expect("RESTORE");
    assert_eq!(restored, "OK");
    all_fulfilled_once(&redis, &database, ORDERS).await;
    assert_eq!(worker.metrics().value("fulfillment_already_final_total"), f64::from(ORDERS));
}

/// Caught, when seeded: no reconciler.
#[tokio::test]
async fn a_lost_order_is_found_while_the_queue_never_runs_empty() {
    let redis = RedisServer::start().await;
    let database = started(&redis).await;
    let lost = insert(&database, 1).await[0];
    // Work for half an hour at this rate.
    place(&database, &redis, 4_000).await;
    let options = ["--simulate-latency", "500ms", "--concurrency", "1"];
    let worker = worker(&redis, &database, &options).await;
    // Nothing is younger than the lost one by the grace, until more orders come and are claimed.
    let sql =
        "UPDATE orders SET created_at = created_at - interval '1 minute', updated_at = updated_at - interval '1 minute'
               WHERE id = $1";
    database.query(sql, &[&lost]).await;
    eventually(LONG, "the lost order is fulfilled", async || {
        expect_equal(crate::support::orders::status(&database, lost).await.as_str(), "fulfilled")
    })
    .await;
    let mut connection = redis.connect().expect("a connection");
    let waiting: u64 = connection.llen(QUEUE_KEY).expect("an answer to LLEN");
    assert!(waiting > 3_000, "the queue ran empty");
    assert_eq!(worker.metrics().value("fulfillment_drift_total{kind=\"lost_message\"}"), 1.0);
}

/// Caught, when seeded: no reconciler, a lead that never ends.
#[tokio::test]
async fn when_the_leading_worker_is_killed_another_one_takes_over() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let mut first = worker(&redis, &database, &["--simulate-latency", "0"]).await;
    leads(&first).await;
    let second = worker(&redis, &database, &["--simulate-latency", "0"]).await;
    first.kill().await;
    insert(&database, ORDERS).await;
    leads(&second).await;
    all_fulfilled_once(&redis, &database, ORDERS).await;
}

async fn leads(worker: &WorkerProcess) {
    eventually(LONG, "it leads", async || expect_equal(worker.metrics().value("fulfillment_reconciler_leads"), 1.0))
        .await;
}

/// Beside workers under load orders and messages are on their way at any moment, and nothing is missing.
/// Caught, when seeded: an audit that looks only once.
#[tokio::test]
async fn an_audit_beside_busy_workers_misses_nothing() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    place(&database, &redis, 3_000).await;
    let _worker = worker(&redis, &database, &["--simulate-latency", "0..20ms", "--simulate-failures", "0.2"]).await;
    for _ in 0..5 {
        assert_accounted_for(&redis, &database);
    }
}
