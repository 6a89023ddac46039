//! A warehouse that takes orders and doesn't say so, and workers that are killed all the while.

use std::time::{Duration, Instant};

use crate::support::orders::{in_state, not_fulfilled_exactly_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};
use crate::warehouse_faults::size;

const WORKERS: usize = 4;
const KILL_EVERY: Duration = Duration::from_secs(1);

/// Of the calls, 30 % are taken and get no answer: two thirds are cut, one third hangs until the worker gives up.
const WAREHOUSE: [&str; 8] = ["--cut-after", "0.2", "--hang", "0.1", "--hang-limit", "5s", "--latency", "1ms..20ms"];

/// Leases and deadlines as short as they go, so that much happens in little time. An attempt fails in three of ten
/// cases and more are lost to kills, so that the usual five would not do for every order.
const WORKER: [&str; 16] = [
    "--lease",
    "2s",
    "--call-timeout",
    "500ms",
    "--retry-base",
    "100ms",
    "--retry-cap",
    "2s",
    "--max-attempts",
    "50",
    "--concurrency",
    "64",
    "--fulfiller-retry-budget",
    "0.5",
    "--log",
    "warn",
];

/// Caught, when seeded: a key per attempt.
#[tokio::test]
async fn every_order_is_shipped_once_although_answers_are_lost_and_workers_killed() {
    let orders = size("STORM_ORDERS", 1_500);
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let warehouse = WarehouseProcess::start(&WAREHOUSE).await;
    place(&database, &redis, i32::try_from(orders).expect("a number of rows")).await;

    let began = Instant::now();
    let kills = storm(&redis, &database, &warehouse, orders).await;
    let took = began.elapsed();

    assert_eq!(not_fulfilled_exactly_once(&database).await, 0, "orders without exactly one `fulfilled` event");
    let stats = warehouse.stats();
    assert_eq!(stats["effects"], orders, "shipments");
    assert_eq!(stats["double_effects"], 0, "orders shipped twice");
    assert!(kills >= 2, "the storm was over after {kills} kills");
    let calls = stats["calls"].as_u64().expect("a number of calls");
    println!(
        "{orders} orders, {WORKERS} workers, {kills} killed in {:.0} s: {calls} calls, {:.3} per order; each shipped once",
        took.as_secs_f64(),
        calls as f64 / orders as f64,
    );
}

/// Kills a worker each second, in turn, and starts another one, until every order is fulfilled and Redis is empty.
async fn storm(redis: &RedisServer, database: &TestDatabase, warehouse: &WarehouseProcess, orders: u64) -> usize {
    let url = format!("http://{}/shipments", warehouse.address());
    let options: Vec<&str> = ["--fulfiller", &url].into_iter().chain(WORKER).collect();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(WorkerProcess::ready(&redis.url(), database.url(), &options).await);
    }
    let limit = Instant::now() + LONG * 5;
    let mut next_kill = tokio::time::interval_at(tokio::time::Instant::now() + KILL_EVERY, KILL_EVERY);
    let mut kills = 0;
    while in_state(database, "fulfilled").await < i64::try_from(orders).expect("a number of rows") {
        next_kill.tick().await;
        workers[kills % WORKERS].kill().await;
        workers[kills % WORKERS] = WorkerProcess::start(&redis.url(), database.url(), &options);
        kills += 1;
        let fulfilled = in_state(database, "fulfilled").await;
        assert!(Instant::now() < limit, "{fulfilled} of {orders} are fulfilled after {kills} kills");
    }
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    kills
}
