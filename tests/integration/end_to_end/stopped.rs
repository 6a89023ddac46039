//! A worker that stands still for longer than its lease, as a process in a debugger or a machine that is moved does, and
//! then goes on as if nothing had been.

use serde_json::json;

use crate::support::metrics::Metrics;
use crate::support::orders::{all_fulfilled_once, in_state, in_work, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const ORDERS: i32 = 5;

/// Without a reconciler, which would be one more who may take orders over.
const SAME: [&str; 4] = ["--reconcile-interval", "0", "--concurrency", "10"];

async fn worker(redis: &RedisServer, database: &TestDatabase, options: &[&str]) -> WorkerProcess {
    WorkerProcess::ready(&redis.url(), database.url(), &[&SAME[..], options].concat()).await
}

/// Taken over from `stopped` once each, and fulfilled once each by who took them.
async fn taken_over_and_fulfilled(database: &TestDatabase, redis: &RedisServer, successor: &WorkerProcess) {
    all_fulfilled_once(database, redis).await;
    assert_eq!(successor.metrics().value("fulfillment_takeovers_total"), f64::from(ORDERS));
    let last = "SELECT count(*) FROM (SELECT DISTINCT ON (order_id) state FROM fulfillment.events \
                ORDER BY order_id, at DESC) AS last WHERE state <> 'fulfilled'";
    assert_eq!(database.number(last).await, 0, "steps after the last one");
}

fn rows_lost(metrics: &Metrics) -> f64 {
    metrics.value("fulfillment_leases_lost_total{lease=\"row\"}")
}

/// Ends `successor`, and has `stopped` fulfil new orders.
async fn goes_on(
    stopped: &WorkerProcess,
    mut successor: WorkerProcess,
    database: &TestDatabase,
    redis: &RedisServer,
    successes: f64,
) {
    successor.signal(Signal::Term);
    assert!(successor.ended(LONG).await.success());
    place(database, redis, ORDERS).await;
    all_fulfilled_once(database, redis).await;
    eventually(LONG, "it counts what it did", async || {
        expect_equal(stopped.metrics().processed("success"), successes + f64::from(ORDERS))
    })
    .await;
    eventually(LONG, "nothing is in its hands", async || {
        expect_equal(stopped.metrics().value("fulfillment_orders_in_flight"), 0.0)
    })
    .await;
    // A call that it stood still in was slow for it, for up to two thirds of a lease.
    eventually(LONG, "ready", async || stopped.answers("/readyz", 200).map(drop)).await;
}

/// Caught, when seeded: a call that is not broken off when its row is lost.
#[tokio::test]
async fn a_worker_that_stood_still_breaks_off_what_others_have_done_and_goes_on() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, ORDERS).await;
    let slow = ["--lease", "2s", "--simulate-latency", "15s", "--call-timeout", "1m"];
    let mut stopped = worker(&redis, &database, &slow).await;
    in_work(&database, ORDERS).await;

    stopped.signal(Signal::Stop);
    let successor = worker(&redis, &database, &["--lease", "2s", "--simulate-latency", "0"]).await;
    taken_over_and_fulfilled(&database, &redis, &successor).await;
    stopped.signal(Signal::Continue);

    eventually(LONG, "it finds that it lost its rows, and breaks its calls off", async || {
        let metrics = stopped.metrics();
        let broken_off = metrics.value("fulfillment_calls_total{outcome=\"broken_off\"}");
        expect_equal((rows_lost(&metrics), broken_off), (f64::from(ORDERS), f64::from(ORDERS)))
    })
    .await;
    // How many lost messages are noticed, too, depends on whether they or their rows are looked at first.
    eventually(LONG, "their messages are let go", async || {
        let retries = stopped.metrics().value("fulfillment_retries_total{reason=\"lease_lost\"}");
        expect_equal(retries, f64::from(ORDERS))
    })
    .await;
    let metrics = stopped.metrics();
    assert_eq!((metrics.processed("success"), metrics.processed("error")), (0.0, 0.0));
    taken_over_and_fulfilled(&database, &redis, &successor).await;
    goes_on(&stopped, successor, &database, &redis, 0.0).await;
}

/// The warehouse has shipped, and keeps its answers to itself. By the time that the worker is awake its calls are over.
///
/// Caught, when seeded: a key per attempt.
#[tokio::test]
async fn a_worker_that_stood_still_until_its_calls_were_over_concludes_nothing_and_ships_nothing_twice() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&["--hang", "1"]).await;
    let url = format!("http://{}/shipments", warehouse.address());
    let options = ["--fulfiller", &url, "--lease", "5s", "--call-timeout", "4900ms"];
    place(&database, &redis, ORDERS).await;
    let mut stopped = worker(&redis, &database, &options).await;
    eventually(LONG, "every order is shipped", async || {
        expect_equal(warehouse.stats()["effects"].as_i64(), Some(ORDERS.into()))
    })
    .await;
    assert_eq!(in_state(&database, "processing").await, i64::from(ORDERS), "stopped within its calls");

    stopped.signal(Signal::Stop);
    warehouse.behave(&json!({}));
    let successor = worker(&redis, &database, &options).await;
    taken_over_and_fulfilled(&database, &redis, &successor).await;
    stopped.signal(Signal::Continue);

    eventually(LONG, "each of its orders turns out to be somebody else's", async || {
        let metrics = stopped.metrics();
        let superseded = metrics.value("fulfillment_superseded_total");
        expect_equal(superseded + rows_lost(&metrics), f64::from(ORDERS))
    })
    .await;
    taken_over_and_fulfilled(&database, &redis, &successor).await;
    let stats = warehouse.stats();
    assert_eq!((stats["effects"].as_i64(), stats["double_effects"].as_i64()), (Some(ORDERS.into()), Some(0)));
    goes_on(&stopped, successor, &database, &redis, 0.0).await;
}
