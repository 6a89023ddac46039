//! What the page says of the service while something is wrong, and afterwards, live: nobody loads it again.

use std::net::SocketAddr;

use serde_json::json;

use super::desk::{Desk, assert_not_reloaded, mark};
use crate::support::browser::Browser;
use crate::support::orders::{in_state, insert, place};
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::warehouse::WarehouseProcess;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal, free_port};

/// The page of a service that is well.
async fn well(desk: &Desk) -> Browser {
    let page = desk.browser("ann", "/").await;
    page.wait_for_text("#state.good #verdict", "All is well: no order is open").await;
    mark(&page).await;
    page
}

async fn well_again(page: &Browser) {
    page.wait_for_text("#state.good #verdict", "All is well").await;
    assert_not_reloaded(page).await;
}

#[tokio::test]
async fn while_redis_is_stopped_the_page_says_that_the_queue_does_not_answer() {
    let mut desk = Desk::with(&[]).await;
    let page = well(&desk).await;
    desk.redis.stop().await;
    page.wait_for_text("#state.bad #verdict", "Orders wait, as the queue does not answer (queue: down").await;
    assert!(!page.text("#verdict").await.contains("store does not"), "the store answers");
    desk.redis.restart().await;
    well_again(&page).await;
}

#[tokio::test]
async fn while_postgres_is_stopped_the_page_says_that_the_store_does_not_answer() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let desk = Desk::on(redis, database, &[]).await;
    let page = well(&desk).await;
    postgres.stop_immediately().await;
    page.wait_for_text("#state.bad #verdict", "Orders wait, as the store does not answer (store: down").await;
    page.reload().await;
    page.wait_for_text("#state.bad #verdict", "Orders wait, as the store does not answer (store: down").await;
    mark(&page).await;
    postgres.restart().await;
    well_again(&page).await;
}

/// Caught on the code before: "2 min of work for this worker" while no order was sent.
#[tokio::test]
async fn while_the_warehouse_takes_nothing_the_page_says_that_the_breaker_is_open() {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let nobody = format!("http://{address}/shipments");
    let desk = Desk::with(&["--fulfiller", &nobody]).await;
    let page = well(&desk).await;
    place(&desk.database, &desk.redis, 200).await;
    page.wait_for_text("#state.bad #verdict", "Orders wait, as the warehouse takes none: the circuit breaker").await;
    page.wait_for_text("#state.bad #verdict", "; 200 orders are open").await;
    let folder = tempfile::tempdir().expect("a folder");
    let _warehouse = WarehouseProcess::start_at(&address.to_string(), folder, &[]).await;
    well_again(&page).await;
    page.wait_for_text("#fulfilled-note", "200 in the last 24 h").await;
}

/// Caught on the code before: "Waiting 0", "no backlog" and green.
#[tokio::test]
async fn when_redis_has_lost_every_message_the_page_says_so_until_the_reconciler_has_helped() {
    let desk = Desk::with(&["--reconcile-interval", "1s", "--reconcile-grace", "20s"]).await;
    let page = well(&desk).await;
    desk.act("/pause", &json!({"why": "to place some"}));
    insert(&desk.database, 1).await;
    place(&desk.database, &desk.redis, 64).await;
    let mut connection = desk.redis.connect().expect("a connection to Redis");
    redis::cmd("FLUSHALL").exec(&mut connection).expect("an answer to FLUSHALL");
    desk.act("/resume", &json!({"why": "they are placed"}));
    let lost = "65 open orders have no message in the queue, so that no worker comes to them";
    page.wait_for_text("#state.bad #verdict", lost).await;
    page.wait_for_text("#open", "65").await;
    assert_eq!(page.text("#waiting").await, "0");
    well_again(&page).await;
    assert_eq!(in_state(&desk.database, "fulfilled").await, 65);
}

/// Caught, when seeded: a verdict without the pause.
#[tokio::test]
async fn a_pause_by_a_command_is_on_the_page_with_who_and_why_until_it_ends() {
    let desk = Desk::with(&[]).await;
    let page = well(&desk).await;
    desk.command("pause", "the warehouse moves");
    page.wait_for_text("#state.warn #verdict", "Every worker has been paused for").await;
    let text = page.text("#verdict").await;
    assert!(text.contains("by carl") && text.contains(": the warehouse moves"), "{text}");
    place(&desk.database, &desk.redis, 3).await;
    page.wait_for_text("#state.warn #verdict", "; 3 orders are open").await;
    desk.command("resume", "it has moved");
    well_again(&page).await;
}

/// Caught on the code before: 0 letters and green, as they were counted since the start.
#[tokio::test]
async fn after_a_restart_the_page_shows_the_dead_letters_that_await_a_decision() {
    let fail = ["--simulate-failures", "1", "--max-attempts", "1"];
    let mut desk = Desk::with(&fail).await;
    let ids = place(&desk.database, &desk.redis, 11).await;
    eventually(LONG, "the orders fail", async || expect_equal(in_state(&desk.database, "failed").await, 11)).await;
    desk.worker.kill().await;
    desk.restart(&[]).await;
    let page = desk.browser("ann", "/").await;
    page.wait_for_text("#state.warn", "11 dead letters need a decision").await;
    page.wait_for_text("#dead", "11").await;
    mark(&page).await;
    let letters: Vec<i64> = ids.iter().map(|&id| desk.letter_of(id)).collect();
    desk.act("/dead-letters/discard", &json!({"ids": letters, "why": "a test", "dry_run": false}));
    well_again(&page).await;
}

#[tokio::test]
async fn a_backlog_that_grows_is_late_on_the_page_until_a_faster_worker_helps() {
    let desk = Desk::with(&["--simulate-latency", "2s", "--concurrency", "1", "--reconcile-interval", "0"]).await;
    let before = "INSERT INTO fulfillment.trends (worker, seq, minute, seconds, counts)
        SELECT 'planted', n, date_trunc('minute', now()) - n * interval '1 minute', 60, '{\"last\": {\"pending\": 20, \"processing\": 0}}'
        FROM generate_series(5, 20) n";
    desk.database.query(before, &[]).await;
    let page = desk.browser("ann", "/").await;
    page.wait_for("#state.good").await;
    mark(&page).await;
    place(&desk.database, &desk.redis, 300).await;
    let earlier = "UPDATE orders SET created_at = created_at - interval '12 minutes' WHERE status = 'pending'";
    desk.database.query(earlier, &[]).await;
    page.wait_for_text("#state.warn #verdict", "The backlog grows: ").await;
    let text = page.text("#verdict").await;
    assert!(text.contains(" more than there were ten minutes ago, the oldest placed 12 min ago"), "{text}");
    let _faster = desk.another(&[]).await;
    well_again(&page).await;
}

/// Caught on the code before: `accepts_work` was true.
#[tokio::test]
async fn while_the_store_is_down_the_worker_says_that_it_accepts_no_work() {
    let redis = RedisServer::start().await;
    let mut postgres = PostgresServer::start().await;
    let database = postgres.database().await;
    let worker = WorkerProcess::ready(&redis.url(), database.url(), &[]).await;
    postgres.stop_immediately().await;
    eventually(LONG, "the worker notices", async || {
        let checks: serde_json::Value = serde_json::from_slice(&worker.get("/readyz", &[]).body).expect("JSON");
        let checks = checks["checks"].as_array().cloned().unwrap_or_default();
        let accepts = checks.iter().find(|check| check["name"] == "accepts_work").expect("the check");
        expect_equal((accepts["ok"].clone(), accepts["detail"].clone()), (false.into(), "held up by store".into()))
    })
    .await;
}
