//! `--keep-events`: two workers beside each other delete what is old, and nothing else, while they work.

use crate::support::orders::{in_state, insert, place, push};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

const OPTIONS: [&str; 4] = ["--simulate-latency", "0", "--keep-events", "30d"];

/// Caught, when seeded: a retention that is never started, and one that holds up the exit.
#[tokio::test]
async fn workers_delete_the_timelines_of_long_ago_once_and_go_on_working() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 3_000).await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS[..2]).await;
    eventually(LONG, "all are fulfilled", async || expect_equal(worker.metrics().processed("success"), 3_000.0)).await;
    drop(worker);
    let open = insert(&database, 1).await[0];
    let aged = "UPDATE fulfillment.events SET at = at - interval '31 days 12 hours' WHERE order_id > 50";
    database.query(aged, &[]).await;
    let waits = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker) VALUES ($1, now() - interval '32 days', 'pending', 1, 'before')";
    database.query(waits, &[&i64::from(open)]).await;

    let mut workers = Vec::new();
    for _ in 0..2 {
        workers.push(WorkerProcess::ready(&redis.url(), database.url(), &OPTIONS).await);
    }
    let left = "SELECT count(*) FROM fulfillment.events WHERE order_id > 50 AND at < now() - interval '30 days'";
    eventually(LONG, "only the open order's is left", async || expect_equal(database.number(left).await, 1)).await;
    assert_eq!(database.number("SELECT count(*) FROM fulfillment.events WHERE order_id <= 50").await, 100);
    let sum = |name: &str| workers.iter().map(|worker| worker.metrics().value(name)).sum::<f64>();
    eventually(LONG, "each is counted once", async || expect_equal(sum("fulfillment_events_deleted_total"), 5_900.0))
        .await;
    assert_eq!(sum("fulfillment_events_overdue_seconds"), 0.0);
    push(&redis, &[open]);
    eventually(LONG, "they work", async || expect_equal(in_state(&database, "fulfilled").await, 3_001)).await;
    for worker in &mut workers {
        worker.signal(Signal::Term);
        assert!(worker.ended(LONG).await.success(), "{}", worker.output());
    }
    let held = "SELECT count(*) FROM fulfillment.leadership WHERE name = 'retention' AND until > now()";
    assert_eq!(database.number(held).await, 0, "the lead is given up");
}
