//! What keeps dead rows: transactions that stay open, slots, prepared transactions; and whether dead rows are removed.

use crate::doctor::Examined;
use crate::doctor::postgres::{migrate, migrated, run_all};
use crate::support::orders::insert;
use crate::support::postgres::PostgresServer;
use crate::support::redis::RedisServer;
use crate::support::{LONG, eventually};

/// Both are noticed half a minute later, by the server's clock.
#[tokio::test]
async fn transactions_that_stay_open_are_named_with_a_way_to_end_them() {
    let (redis, mut server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    run_all(&database, &["ALTER SYSTEM SET max_prepared_transactions = 5"]).await;
    server.stop_immediately().await;
    server.restart().await;
    let holder = database.connect().await;
    holder
        .batch_execute("SET application_name = 'forgotten report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .expect("an open transaction");
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.expect("its pid").get(0);
    let preparing = database.connect().await;
    preparing
        .batch_execute("BEGIN; UPDATE products SET price = 1; PREPARE TRANSACTION 'it''s'")
        .await
        .expect("prepared");
    let checks = ["transactions", "prepared_transactions"];
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(checks.map(|check| examined.level(check)), ["ok", "ok"], "{}", examined.report);
    let examined = eventually(2 * LONG, "they are noticed", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        if checks.iter().all(|check| examined.level(check) != "ok") {
            Ok(examined)
        } else {
            Err(examined.report.to_string())
        }
    })
    .await;
    let found = examined.found("transactions");
    let expected = format!("pid {pid} of postgres (forgotten report), idle in transaction, for ");
    assert!(found.contains(&expected), "{found}");
    let end = format!("SELECT pg_terminate_backend({pid});");
    assert!(examined.remedies("transactions").contains(&end.as_str()), "{}", examined.report);
    assert_eq!(examined.finding("transactions")["values"]["pids"][0], pid.to_string());
    assert_eq!(examined.remedies("prepared_transactions"), ["ROLLBACK PREPARED 'it''s';"]);
    run_all(&database, &[&[end.as_str()][..], &examined.remedies("prepared_transactions")].concat()).await;
    eventually(LONG, "both are gone", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        if checks.iter().all(|check| examined.level(check) == "ok") { Ok(()) } else { Err(examined.report.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_slot_that_nobody_reads_is_named() {
    let (redis, server) = (RedisServer::start().await, PostgresServer::start().await);
    let database = server.database().await;
    migrate(database.url());
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("replication_slots"), "ok");
    run_all(&database, &["SELECT pg_create_physical_replication_slot('replica', true)"]).await;
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!(examined.level("replication_slots"), "warning", "{}", examined.report);
    run_all(&database, &examined.remedies("replication_slots")).await;
    assert_eq!(Examined::of(&redis.url(), database.url(), &[]).level("replication_slots"), "ok");
}

#[tokio::test]
async fn dead_rows_that_are_left_and_an_autovacuum_that_is_off_are_told() {
    let (redis, database) = (RedisServer::start().await, migrated().await);
    let examined = Examined::of(&redis.url(), database.url(), &[]);
    assert_eq!((examined.level("dead_rows"), examined.level("autovacuum")), ("ok", "ok"), "{}", examined.report);
    run_all(&database, &["ALTER TABLE orders SET (autovacuum_enabled = off)"]).await;
    insert(&database, 6_000).await;
    run_all(&database, &["UPDATE orders SET status = 'processing'", "UPDATE orders SET status = 'fulfilled'"]).await;
    let examined = eventually(LONG, "the server has counted", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        if examined.level("dead_rows") == "warning" { Ok(examined) } else { Err(examined.report.to_string()) }
    })
    .await;
    assert!(
        examined.found("dead_rows").starts_with("public.orders: 12,000 dead rows, 66 % of all"),
        "{}",
        examined.report
    );
    assert_eq!(examined.remedies("dead_rows"), ["VACUUM (ANALYZE) public.orders;"]);
    assert_eq!(examined.level("autovacuum"), "warning");
    assert_eq!(examined.remedies("autovacuum"), ["ALTER TABLE public.orders RESET (autovacuum_enabled);"]);
    run_all(&database, &[examined.remedies("dead_rows"), examined.remedies("autovacuum")].concat()).await;
    eventually(LONG, "the server has counted", async || {
        let examined = Examined::of(&redis.url(), database.url(), &[]);
        match (examined.level("dead_rows"), examined.level("autovacuum")) {
            ("ok", "ok") => Ok(()),
            _ => Err(examined.report.to_string()),
        }
    })
    .await;
}
