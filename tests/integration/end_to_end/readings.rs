//! What the metrics say of orders and connections while servers come and go.

use crate::support::orders::{all_fulfilled_once, insert, push};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 40;
const AN_HOUR: f64 = 3_600.0;
/// A fast fulfiller, and nobody who pushes what the test keeps back.
const OPTIONS: [&str; 4] = ["--simulate-latency", "0", "--reconcile-interval", "0"];

const OPENED_TO_QUEUE: &str = "fulfillment_connections_opened_total{dependency=\"queue\"}";
const OPENED_TO_STORE: &str = "fulfillment_connections_opened_total{dependency=\"store\"}";
const READ_AT: &str = "fulfillment_open_orders_read_timestamp_seconds";

/// Waits until the metrics say that there are so many `pending` orders.
async fn pending(worker: &WorkerProcess, orders: i32) {
    eventually(LONG, "the open orders are counted", async || {
        expect_equal(worker.metrics().value("fulfillment_open_orders{state=\"pending\"}"), f64::from(orders))
    })
    .await;
}

/// Waits until another reading was made.
async fn read_again(worker: &WorkerProcess) {
    let before = worker.metrics().value(READ_AT);
    eventually(LONG, "the open orders are counted again", async || {
        let at = worker.metrics().value(READ_AT);
        if at > before { Ok(()) } else { Err(format!("last counted at {at}")) }
    })
    .await;
}

async fn ready(worker: &WorkerProcess, status: u16) {
    eventually(LONG, "the worker notices", async || worker.answers("/readyz", status)).await;
}

/// Puts in orders that are an hour old, without messages; at once, as a reading may come between.
async fn insert_old(database: &TestDatabase) -> Vec<i32> {
    insert(database, 0).await;
    let orders = "INSERT INTO orders (product_id, quantity, created_at)
                  SELECT 1, 1, now() - interval '1 hour' FROM generate_series(1, $1) RETURNING id";
    database.query(orders, &[&ORDERS]).await.iter().map(|row| row.get(0)).collect()
}

/// Caught, when seeded: open orders that are read only after the queue has answered.
#[tokio::test]
async fn open_orders_and_their_ages_are_right_while_redis_is_down() {
    let mut redis = RedisServer::start().await;
    let database = TestDatabase::create().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    redis.stop().await;
    ready(&worker, 503).await;

    let ids = insert_old(&database).await;
    pending(&worker, ORDERS).await;
    let oldest = worker.metrics().value("fulfillment_oldest_order_age_seconds{state=\"pending\"}");
    assert!((AN_HOUR..AN_HOUR + 600.0).contains(&oldest), "{oldest} s");
    assert_eq!(worker.metrics().value("fulfillment_open_orders{state=\"processing\"}"), 0.0);
    assert_eq!(worker.metrics().value("fulfillment_oldest_order_age_seconds{state=\"processing\"}"), 0.0);
    read_again(&worker).await;
    worker.answers("/readyz", 503).expect("Redis is still down");

    let before = worker.metrics().value(OPENED_TO_QUEUE);
    redis.restart().await;
    push(&redis, &ids);
    all_fulfilled_once(&database, &redis).await;
    pending(&worker, 0).await;
    assert_eq!(worker.metrics().value("fulfillment_oldest_order_age_seconds{state=\"pending\"}"), 0.0);
    assert!(worker.metrics().value(OPENED_TO_QUEUE) > before, "that the worker has connected again shows");
    let metrics = worker.metrics();
    for histogram in ["fulfillment_queue_wait_seconds", "fulfillment_attempts_per_order"] {
        assert_eq!(metrics.value(&format!("{histogram}_count")), f64::from(ORDERS), "{histogram}");
    }
    assert!(metrics.value("fulfillment_queue_wait_seconds_sum") >= AN_HOUR * f64::from(ORDERS));
    assert_eq!(metrics.value("fulfillment_attempts_per_order_sum"), f64::from(ORDERS));
}

#[tokio::test]
async fn while_postgres_is_down_the_last_reading_stays_with_its_time() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    insert_old(&database).await;
    pending(&worker, ORDERS).await;
    let metrics = worker.metrics();
    let limit = metrics.value("fulfillment_store_connections_limit");
    let in_use = metrics.value("fulfillment_store_connections{state=\"in_use\"}");
    let idle = metrics.value("fulfillment_store_connections{state=\"idle\"}");
    assert!(limit >= 2.0 && in_use + idle >= 1.0 && in_use + idle <= limit, "{in_use} and {idle} of {limit}");
    assert!(metrics.value("fulfillment_store_connection_wait_seconds_count") >= 1.0);

    postgres.stop_immediately().await;
    ready(&worker, 503).await;
    let (read_at, opened) = (worker.metrics().value(READ_AT), worker.metrics().value(OPENED_TO_STORE));
    eventually(LONG, "the reading is older than two of its intervals", async || {
        let age = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("it is later than 1970").as_secs_f64() - read_at;
        if age > 10.0 { Ok(()) } else { Err(format!("{age} s old")) }
    })
    .await;
    assert_eq!(worker.metrics().value(READ_AT), read_at);
    pending(&worker, ORDERS).await;

    postgres.restart().await;
    ready(&worker, 200).await;
    read_again(&worker).await;
    pending(&worker, ORDERS).await;
    assert!(worker.metrics().value(OPENED_TO_STORE) > opened, "that the worker has connected again shows");
}

/// Caught, when it was written: a reading that had hung was repeated after 49 times as long.
#[tokio::test]
async fn a_reading_that_failed_after_a_long_time_is_soon_repeated() {
    let redis = RedisServer::start().await;
    let database = TestDatabase::create().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    let locker = database.connect().await;
    locker.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    eventually(LONG, "a reading gives up", async || {
        if worker.output().contains("open orders can't be counted") { Ok(()) } else { Err("none has".to_owned()) }
    })
    .await;
    locker.batch_execute("COMMIT").await.unwrap();
    read_again(&worker).await;
}

/// Each runtime has its task that sleeps, from the start on.
#[tokio::test]
async fn every_runtime_tells_how_late_its_tasks_run() {
    let redis = RedisServer::start().await;
    let database = TestDatabase::create().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;
    for runtime in ["engine", "calls", "leases"] {
        eventually(LONG, "a task has woken", async || {
            let count = format!("fulfillment_scheduling_delay_seconds_count{{runtime=\"{runtime}\"}}");
            let woken = worker.metrics().value(&count);
            if woken >= 3.0 { Ok(()) } else { Err(format!("{woken} times on {runtime}")) }
        })
        .await;
    }
}
