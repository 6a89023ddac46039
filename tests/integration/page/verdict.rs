//! What the operator's page says of the service.

use crate::support::browser::Browser;
use crate::support::orders::{in_state, insert, place};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal, free_port};

async fn page(worker: &WorkerProcess) -> Browser {
    Browser::at(&format!("http://{}/", worker.address())).await
}

async fn counted(worker: &WorkerProcess, series: &str, value: i32) {
    eventually(LONG, series, async || expect_equal(worker.metrics().value(series), f64::from(value))).await;
}

/// Caught on the code before: 0 letters and green, as they were counted since the start.
#[tokio::test]
async fn after_a_restart_the_page_shows_the_dead_letters_that_await_a_decision() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    place(&database, &redis, 11).await;
    let fail = ["--simulate-failures", "1", "--max-attempts", "1", "--simulate-latency", "0"];
    let mut first = WorkerProcess::ready(&redis.url(), database.url(), &fail).await;
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&database, "failed").await, 11)).await;
    first.kill().await;

    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    counted(&worker, "fulfillment_dead_letters_open{reason=\"attempts_exhausted\"}", 11).await;
    let page = page(&worker).await;
    page.wait_for_text("#state.warn #verdict", "Ready, and to be looked at").await;
    page.wait_for_text("#state.warn #reasons", "11 dead letters need a decision").await;
    assert_eq!(page.text("#dead").await, "11");
}

/// Caught on the code before: "Waiting 0", "no backlog" and green.
#[tokio::test]
async fn orders_whose_messages_redis_lost_are_open_and_late_on_the_page() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    insert(&database, 650).await;
    database.query("UPDATE orders SET created_at = created_at - interval '12 minutes'", &[]).await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--reconcile-interval", "0"]).await;
    counted(&worker, "fulfillment_open_orders{state=\"pending\"}", 650).await;
    let page = page(&worker).await;
    page.wait_for_text("#state.warn #reasons", "the oldest open order was placed 1").await;
    assert_eq!((page.text("#open").await.as_str(), page.text("#waiting").await.as_str()), ("650", "0"));
    let backlog = page.text("#backlog").await;
    assert!(backlog.starts_with("oldest 1") && backlog.ends_with("; none fulfilled lately"), "{backlog}");
}

/// Caught on the code before: "2 min of work for this worker" while no order was sent.
#[tokio::test]
async fn while_the_breaker_is_open_the_page_promises_no_end_of_the_backlog() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let nobody = format!("http://127.0.0.1:{}/shipments", free_port());
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &["--fulfiller", &nobody]).await;
    place(&database, &redis, 200).await;
    counted(&worker, "fulfillment_fulfiller_breaker_state{state=\"open\"}", 1).await;
    counted(&worker, "fulfillment_open_orders{state=\"pending\"}", 200).await;
    let page = page(&worker).await;
    page.wait_for_text("#backlog", "; the circuit breaker is ").await;
    page.wait_for_text("#state.bad #reasons", "accepts work: held up by fulfiller").await;
}

/// Caught on the code before: `accepts_work` was true.
#[tokio::test]
async fn while_the_store_is_down_neither_readiness_nor_the_page_says_that_work_is_accepted() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    let page = page(&worker).await;
    page.wait_for("#state.good").await;
    page.wait_for_text("#open", "0").await;
    page.wait_for_text("#dead", "0").await;
    postgres.stop_immediately().await;
    eventually(LONG, "the worker notices", async || {
        let checks: serde_json::Value = serde_json::from_slice(&worker.get("/readyz", &[]).body).expect("JSON");
        let checks = checks["checks"].as_array().cloned().unwrap_or_default();
        let accepts = checks.iter().find(|check| check["name"] == "accepts_work").expect("the check");
        expect_equal((accepts["ok"].clone(), accepts["detail"].clone()), (false.into(), "held up by store".into()))
    })
    .await;
    page.wait_for_text("#state.bad #verdict", "Not ready").await;
    page.wait_for_text("#state.bad #reasons", "accepts work: held up by store").await;
}
