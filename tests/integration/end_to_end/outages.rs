//! Redis and Postgres, each stopped under load and started again.

use crate::support::orders::{in_state, not_fulfilled_exactly_once, place};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// Work for some ten seconds at this concurrency, so that both outages begin under load.
const ORDERS: i32 = 3_000;
const OPTIONS: [&str; 4] = ["--simulate-latency", "20ms..60ms", "--concurrency", "16"];

/// Caught, when it was written: a claim whose answer Redis did not get out any more cost its messages an attempt.
/// Caught, when seeded: a worker that stops claiming after an error.
#[tokio::test]
async fn outages_of_redis_and_postgres_cost_no_attempt_and_no_order() {
    let mut redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    place(&database, &redis, ORDERS).await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await;

    fulfilled_at_least(&database, 300).await;
    redis.stop().await;
    seen_as_down(&worker).await;
    redis.restart().await;
    seen_as_up(&worker).await;

    let so_far = in_state(&database, "fulfilled").await;
    fulfilled_at_least(&database, so_far + 300).await;
    postgres.stop_immediately().await;
    seen_as_down(&worker).await;
    postgres.restart().await;
    seen_as_up(&worker).await;

    eventually(LONG, "every order is fulfilled", async || {
        expect_equal(in_state(&database, "fulfilled").await, i64::from(ORDERS))
    })
    .await;
    assert_eq!(not_fulfilled_exactly_once(&database).await, 0, "orders without exactly one `fulfilled` event");
    assert_eq!(timelines_with_later_attempts(&database).await, Vec::<String>::new(), "attempts were spent");
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.dead_letters").await, 0);
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    assert_eq!(worker.metrics().processed("error"), 0.0, "failed attempts");
}

/// Caught, when it was written: nothing was told of any dependency before all had answered, so that all looked down.
#[tokio::test]
async fn a_start_without_redis_says_that_redis_is_down_and_nobody_else() {
    let mut redis = RedisServer::start().await;
    let database = TestDatabase::create().await;
    redis.stop().await;
    let mut worker = WorkerProcess::start(&redis.url(), database.url(), &OPTIONS);
    eventually(LONG, "the worker serves", async || worker.answers("/livez", 200)).await;
    eventually(LONG, "the start has asked for both", async || {
        let metrics = worker.metrics();
        let up = |dependency| metrics.value(&format!("fulfillment_dependency_up{{dependency=\"{dependency}\"}}"));
        expect_equal((up("queue"), up("store"), up("fulfiller")), (0.0, 1.0, 1.0))
    })
    .await;
    let readiness = worker.get("/readyz", &[]);
    let text = readiness.text();
    assert!(readiness.status == 503 && text.contains("down for") && text.contains("starting"), "{text}");
    let told = worker.output().lines().filter(|line| line.contains("dependency down")).count();
    assert!((1..=3).contains(&told), "told {told} times: {}", worker.output());
    redis.restart().await;
    worker.wait_until_ready().await;
}

/// Every event of orders that needed more than one attempt, readable.
async fn timelines_with_later_attempts(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', order_id, 'attempt', attempt, state, 'at', at, note) FROM fulfillment.events \
               WHERE order_id IN (SELECT order_id FROM fulfillment.events WHERE attempt <> 1) ORDER BY order_id, at";
    database.query(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}

async fn fulfilled_at_least(database: &TestDatabase, expected: i64) {
    eventually(LONG, "the work goes on", async || {
        let fulfilled = in_state(database, "fulfilled").await;
        if fulfilled >= expected { Ok(()) } else { Err(format!("{fulfilled} of at least {expected} are fulfilled")) }
    })
    .await;
}

/// Not ready, and yet alive, healthy and telling its metrics: a restart would not help.
async fn seen_as_down(worker: &WorkerProcess) {
    eventually(LONG, "the outage is noticed", async || worker.answers("/readyz", 503)).await;
    for path in ["/health", "/livez", "/metrics"] {
        worker.answers(path, 200).expect("an outage of a dependency leaves the process healthy");
    }
}

async fn seen_as_up(worker: &WorkerProcess) {
    eventually(LONG, "the recovery is noticed", async || worker.answers("/readyz", 200)).await;
    worker.answers("/health", 200).expect("healthy");
}
