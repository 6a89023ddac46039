//! Rows that somebody else's open transaction has locked: an administrator's `psql`, a migration of the order API, a
//! session that sits idle in its transaction.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::support::orders::{in_state, insert, not_fulfilled_exactly_once, place, push, status};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// A lease that a lock of seconds outlives.
const LEASE: [&str; 4] = ["--lease", "6s", "--call-timeout", "5500ms"];

/// Longer than a third of a lease, so that each call needs its row renewed.
const LONG_CALLS: [&str; 2] = ["--latency", "3s"];

/// Locks a row until the connection commits or is dropped.
async fn lock(database: &TestDatabase, order_id: i32) -> Client {
    let client = database.connect().await;
    let sql = format!("BEGIN; SELECT FROM orders WHERE id = {order_id} FOR UPDATE");
    client.batch_execute(&sql).await.expect("a lock on the row");
    client
}

/// Returns once the oldest transaction of somebody else is a good deal older than a lease.
async fn until_locked_for_longer_than_a_lease(database: &TestDatabase) {
    let age = "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::int8 FROM pg_stat_activity \
               WHERE datname = current_database() AND state = 'idle in transaction'";
    eventually(LONG, "the row has been locked for more than a lease", async || match database.number(age).await {
        seconds if seconds > 8 => Ok(()),
        seconds => Err(format!("{seconds} s")),
    })
    .await;
}

async fn fulfilled(database: &TestDatabase, orders: i64) {
    eventually(LONG, "orders are fulfilled", async || expect_equal(in_state(database, "fulfilled").await, orders))
        .await;
}

async fn in_work(database: &TestDatabase, orders: i64) {
    eventually(LONG, "orders are in work", async || expect_equal(in_state(database, "processing").await, orders)).await;
}

async fn worker(
    redis: &RedisServer,
    database: &TestDatabase,
    warehouse: &WarehouseProcess,
    more: &[&str],
) -> WorkerProcess {
    let address = format!("http://{}/shipments", warehouse.address());
    let mut options = vec!["--fulfiller", &address];
    options.extend(LEASE);
    options.extend(more);
    WorkerProcess::ready(&redis.url(), database.url(), &options).await
}

/// Every order was called for once, in its first attempt, and nobody lost a lease over it.
async fn assert_undisturbed(
    database: &TestDatabase,
    warehouse: &WarehouseProcess,
    worker: &WorkerProcess,
    orders: i32,
) {
    assert_eq!(not_fulfilled_exactly_once(database).await, 0, "orders without exactly one `fulfilled` event");
    let steps = database.number("SELECT count(*) FROM fulfillment.events").await;
    assert_eq!(steps, i64::from(orders) * 2, "each was begun once and ended once");
    let later = "SELECT count(*) FROM fulfillment.events WHERE attempt <> 1";
    assert_eq!(database.number(later).await, 0, "attempts were spent");
    let stats = warehouse.stats();
    assert_eq!((&stats["calls"], &stats["effects"]), (&orders.into(), &orders.into()), "{stats}");
    let metrics = worker.metrics();
    for lost in
        ["fulfillment_takeovers_total", "fulfillment_leases_lost_total{lease=\"row\"}", "fulfillment_superseded_total"]
    {
        assert_eq!(metrics.value(lost), 0.0, "{lost}");
    }
}

/// Caught, when seeded: a `begin` that waits for the lock.
#[tokio::test]
async fn an_order_that_somebody_has_locked_holds_up_no_other_and_is_fulfilled_after_it() {
    const OTHERS: i32 = 200;
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&[]).await;
    let locked = insert(&database, 1).await[0];
    let somebody = lock(&database, locked).await;
    push(&redis, &[locked]);
    place(&database, &redis, OTHERS / 2).await;
    let worker = worker(&redis, &database, &warehouse, &["--concurrency", "32"]).await;

    fulfilled(&database, i64::from(OTHERS / 2)).await;
    until_locked_for_longer_than_a_lease(&database).await;
    place(&database, &redis, OTHERS / 2).await;
    fulfilled(&database, i64::from(OTHERS)).await;
    assert_eq!(status(&database, locked).await, "pending");
    assert_ne!(worker.metrics().value("fulfillment_rows_locked_total{stage=\"begin\"}"), 0.0);
    assert_eq!(worker.metrics().value("fulfillment_stage_errors_total{stage=\"begin\"}"), 0.0);

    somebody.batch_execute("COMMIT").await.expect("the end of the lock");
    fulfilled(&database, i64::from(OTHERS + 1)).await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    assert_undisturbed(&database, &warehouse, &worker, OTHERS + 1).await;
}

/// Caught, when seeded: a renewal, and a conclusion, that waits for the lock; a renewal that takes a locked row for a lost
/// one; a locked conclusion that is acknowledged.
#[tokio::test]
async fn a_row_that_is_locked_during_its_call_costs_no_neighbour_its_lease_and_is_concluded_after_it() {
    const ORDERS: i32 = 24;
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&LONG_CALLS).await;
    let ids = place(&database, &redis, ORDERS / 2).await;
    let worker = worker(&redis, &database, &warehouse, &["--concurrency", "12"]).await;
    in_work(&database, i64::from(ORDERS / 2)).await;
    let somebody = lock(&database, ids[0]).await;

    // The others are done, and so are those that come after them.
    fulfilled(&database, i64::from(ORDERS / 2 - 1)).await;
    place(&database, &redis, ORDERS / 2).await;
    fulfilled(&database, i64::from(ORDERS - 1)).await;
    until_locked_for_longer_than_a_lease(&database).await;
    assert_eq!(warehouse.stats()["effects"], ORDERS, "it is shipped already");
    assert_eq!(status(&database, ids[0]).await, "processing");
    assert_ne!(redis.keys(), Vec::<String>::new(), "a message was acknowledged before its order's row was written");
    for stage in ["renew_store", "conclude"] {
        let (locked, errors) = (
            format!("fulfillment_rows_locked_total{{stage=\"{stage}\"}}"),
            format!("fulfillment_stage_errors_total{{stage=\"{stage}\"}}"),
        );
        assert_ne!(worker.metrics().value(&locked), 0.0, "{locked}");
        assert_eq!(worker.metrics().value(&errors), 0.0, "{errors}");
    }

    somebody.batch_execute("COMMIT").await.expect("the end of the lock");
    fulfilled(&database, i64::from(ORDERS)).await;
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    assert_undisturbed(&database, &warehouse, &worker, ORDERS).await;
}

/// Caught, when seeded: a locked conclusion that is acknowledged.
#[tokio::test]
async fn a_drain_with_a_locked_row_ends_in_time_and_loses_nothing() {
    const ORDERS: i32 = 8;
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&LONG_CALLS).await;
    let ids = place(&database, &redis, ORDERS).await;
    let mut first = worker(&redis, &database, &warehouse, &["--drain-timeout", "3s"]).await;
    in_work(&database, i64::from(ORDERS)).await;
    let somebody = lock(&database, ids[0]).await;
    fulfilled(&database, i64::from(ORDERS - 1)).await;

    let asked = Instant::now();
    first.signal(Signal::Term);
    let ended = first.ended(LONG).await;
    let took = asked.elapsed();
    assert_eq!(ended.code(), Some(0), "{}", first.output());
    assert!(took < Duration::from_secs(5), "a drain of at most 3 s took {took:?}");
    assert_eq!(status(&database, ids[0]).await, "processing");

    let _second = worker(&redis, &database, &warehouse, &[]).await;
    until_locked_for_longer_than_a_lease(&database).await;
    somebody.batch_execute("COMMIT").await.expect("the end of the lock");
    fulfilled(&database, i64::from(ORDERS)).await;
    assert_eq!(not_fulfilled_exactly_once(&database).await, 0, "orders without exactly one `fulfilled` event");
    assert_eq!(warehouse.stats()["effects"], ORDERS, "shipments");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
}
