//! What counting open orders costs a server that has a million that are done.

use fulfillment_worker::backend::postgres::{PostgresStore, for_given_schema};
use fulfillment_worker::port::reports::{ConnectionUse, OPEN_ORDERS_LIMIT, Reports};
use fulfillment_worker::port::store::StoreError;
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::TestDatabase;

const COUNT: &str = include_str!("../../../src/backend/postgres/open_orders.sql");

/// Pages of 8 KiB that the count may read. The table has some 8,000.
const MOST_PAGES: i64 = 200;

async fn fill(client: &Client, status: &str, count: i32) {
    // No other table is to be asked whether the product exists: that takes longer than all else here.
    let sql = format!(
        "SET session_replication_role = replica;
         INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, '{status}' FROM generate_series(1, {count});
         RESET session_replication_role"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Only the index on status leads to what is counted, and little is read.
async fn assert_cheap(client: &Client) {
    let rows = client.query(&format!("EXPLAIN (ANALYZE, BUFFERS) {}", for_given_schema(COUNT)), &[]).await.unwrap();
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let plan = lines.join("\n");
    assert!(plan.contains("idx_orders_status") && !plan.contains("Seq Scan on orders"), "{plan}");
    // The first line is about the whole statement.
    let buffers = lines.iter().find(|line| line.trim_start().starts_with("Buffers: shared")).expect("pages were read");
    let pages: i64 = buffers.split(['=', ' ']).filter_map(|word| word.parse::<i64>().ok()).sum();
    assert!(pages <= MOST_PAGES, "{pages} pages: {plan}");
}

/// Caught, when seeded: a count of all that is not `fulfilled` nor `failed`, which reads the whole table.
#[tokio::test]
async fn what_is_done_costs_the_count_of_what_is_open_nothing() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    fill(&client, "fulfilled", 1_000_000).await;
    fill(&client, "pending", 500).await;
    assert_cheap(&client).await;
    client.batch_execute("ANALYZE orders").await.unwrap();
    assert_cheap(&client).await;
    // More than the statistics know of.
    fill(&client, "processing", 500).await;
    assert_cheap(&client).await;
    let open = store.open_orders().await.unwrap();
    assert_eq!((open.pending.orders, open.processing.orders), (500, 500));
}

/// Caught, when seeded: a count without a limit, and one whose statement goes on at the server.
#[tokio::test]
async fn a_count_that_takes_too_long_is_broken_off_at_the_server_and_leaves_the_store_usable() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    fill(&client, "pending", 1).await;
    // A table whose reading takes for ever.
    client
        .batch_execute(
            "ALTER TABLE orders RENAME TO real_orders;
             CREATE VIEW orders AS SELECT o.* FROM real_orders o, LATERAL (SELECT pg_sleep(3600 + 0 * o.id)) AS slow",
        )
        .await
        .unwrap();
    let began = std::time::Instant::now();
    let error = store.open_orders().await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(text) if text.contains("5 s")), "{error}");
    assert!(began.elapsed() < OPEN_ORDERS_LIMIT + crate::support::BUSY, "{:?}", began.elapsed());
    let sleeping = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND state = 'active' AND query LIKE '%GROUP BY status%'
                      AND pid <> pg_backend_pid()";
    crate::support::eventually(crate::support::LONG, "the server has stopped", async || {
        crate::support::expect_equal(database.number(sleeping).await, 0)
    })
    .await;
    client.batch_execute("DROP VIEW orders; ALTER TABLE real_orders RENAME TO orders").await.unwrap();
    assert_eq!(store.open_orders().await.unwrap().pending.orders, 1);
}

#[tokio::test]
async fn connections_are_told_by_what_they_do() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    drop(store);
    let store = std::sync::Arc::new(open(database.url(), LEASE, 3));
    let seen = |store: &PostgresStore| {
        let ConnectionUse { idle, in_use, limit } = store.connections();
        (idle, in_use, limit)
    };
    assert_eq!(seen(&store), (0, 0, 3), "none is made before it is needed");
    store.open_orders().await.unwrap();
    assert_eq!(seen(&store), (1, 0, 3));
    client.batch_execute("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let waiting = tokio::spawn({
        let store = std::sync::Arc::clone(&store);
        async move { store.open_orders().await }
    });
    crate::postgres_store::until_waiting(&database).await;
    assert_eq!(seen(&store), (0, 1, 3));
    client.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(seen(&store), (1, 0, 3));
}
