//! What our queries read of a large table, with and without an index on status, while one order has been open for a year.
//!
//! `PLANS_ORDERS=10000000` makes it ten million orders, which takes about two minutes and 3 GB, and prints what each query took.

use std::time::Duration;

use fulfillment_worker::backend::postgres::{for_given_schema, without_status_index};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::audit::Audit;
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch, Reconciliation};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::postgres_store::reconciling::LOST_ORDERS;
use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

/// The variable that says how many orders.
const SIZE: &str = "PLANS_ORDERS";

/// Pages of 8 KiB that a query may read, however many orders there are.
const MOST_PAGES: i64 = 1_500;

type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

fn size() -> i64 {
    let told = std::env::var(SIZE).unwrap_or_else(|_| "300000".to_owned());
    told.parse().unwrap_or_else(|error| panic!("{SIZE}={told}: {error}"))
}

/// Orders of one a second up to now, closed but for the first and the last 200.
async fn fill(client: &Client, orders: i64) {
    let sql = format!(
        "ALTER TABLE orders SET (autovacuum_enabled = off);
         SET session_replication_role = replica;
         INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
         SELECT 1, 1, CASE WHEN i = 1 OR i > {orders} - 200 THEN 'pending' ELSE 'fulfilled' END, at, at
         FROM (
             SELECT i, CASE i WHEN 1 THEN now()::timestamp - interval '1 year'
                              ELSE now()::timestamp - ({orders} - i) * interval '1 second' END AS at
             FROM generate_series(1, {orders}) AS i
         ) AS s;
         INSERT INTO fulfillment.horizon (adopt_from, last_order_id) VALUES ('-infinity', {orders});
         RESET session_replication_role"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Reads nothing of the whole of `orders`, and few pages.
async fn assert_cheap(client: &Client, what: &str, statement: &str, parameters: Parameters<'_>) {
    client.batch_execute("BEGIN; SET LOCAL enable_seqscan = off; SET LOCAL jit = off").await.unwrap();
    let rows = client.query_typed(&format!("EXPLAIN (ANALYZE, BUFFERS) {statement}"), parameters).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let plan = lines.join("\n");
    let numbers = |line: &str| -> i64 {
        let shared = line.split("temp").next().unwrap_or_default();
        shared.split(['=', ' ']).filter_map(|word| word.parse::<i64>().ok()).sum()
    };
    let pages = lines.iter().find(|line| line.trim_start().starts_with("Buffers:")).map_or(0, |line| numbers(line));
    println!("{what:<40} {pages:>8} pages  {}", lines.last().unwrap_or(&""));
    assert!(!plan.contains("Seq Scan on orders"), "{what}: {plan}");
    assert!(pages <= MOST_PAGES, "{what} reads {pages} pages: {plan}");
}

async fn assert_all_cheap(client: &Client, has_index: bool, when: &str) {
    let write = if has_index { for_given_schema } else { without_status_index };
    let page: Parameters<'_> = &[(&0_i64, Type::INT8), (&200_i64, Type::INT8)];
    let some: Vec<i64> = vec![1, 100_000, 200_000];
    let ids: Parameters<'_> = &[(&some, Type::INT8_ARRAY)];
    let disorder: Parameters<'_> = &[(&some, Type::INT8_ARRAY), (&60.0, Type::FLOAT8)];
    let mut all = vec![
        ("open_orders", include_str!("../../../src/backend/postgres/open_orders.sql"), &[] as Parameters<'_>),
        ("lost_orders", include_str!("../../../src/backend/postgres/lost_orders.sql"), LOST_ORDERS),
        ("stale_orders", include_str!("../../../src/backend/postgres/stale_orders.sql"), &[(&604_800.0, Type::FLOAT8)]),
        ("before_horizon", include_str!("../../../src/backend/postgres/before_horizon.sql"), &[]),
        ("audit", include_str!("../../../src/backend/postgres/audit.sql"), page),
        ("states", include_str!("../../../src/backend/postgres/states.sql"), ids),
        ("oldest_open", include_str!("../../../src/backend/postgres/oldest_open.sql"), disorder),
    ];
    let sweep: Parameters<'_> = &[(&10_000_i64, Type::INT8), (&100_000_i64, Type::INT8), (&10_000_i64, Type::INT8)];
    if !has_index {
        all.push(("sweep", include_str!("../../../src/backend/postgres/sweep.sql"), sweep));
    }
    let with = if has_index { "by index" } else { "by key" };
    for (name, text, parameters) in all {
        assert_cheap(client, &format!("{name}, {with}, {when}"), &write(text), parameters).await;
    }
}

/// As if all transactions had ended, also those of other tests, which the server counts as well.
async fn settle(client: &Client) {
    client.batch_execute("UPDATE fulfillment.low_water_mark SET settling_xid = 0").await.unwrap();
}

/// How often the table was read as a whole.
async fn scans(client: &Client) -> i64 {
    let sql = "SELECT coalesce(seq_scan, 0) FROM pg_stat_user_tables WHERE relname = 'orders'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Caught, when seeded: each of the four that look for open orders, with the whole table in the place of `{open}`; stragglers that
/// are looked for in a subquery, and not in an array.
#[tokio::test]
async fn no_query_reads_the_table_whether_it_has_an_index_on_status_or_not() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    fill(&client, size()).await;
    for when in ["never analyzed", "analyzed"] {
        assert_all_cheap(&client, true, when).await;
        client.batch_execute("ANALYZE orders").await.unwrap();
    }
    drop(store);

    client
        .batch_execute("DROP INDEX idx_orders_status; DELETE FROM pg_statistic WHERE starelid = 'orders'::regclass")
        .await
        .unwrap();
    let store = open(database.url(), LEASE, 2);
    store.check().await.unwrap();
    let began = std::time::Instant::now();
    let mut sweeps = 1;
    store.sweep().await.unwrap();
    settle(&client).await;
    while store.sweep().await.unwrap().expect("no index").goes_on {
        sweeps += 1;
    }
    println!("{sweeps} sweeps over all orders in {:?}, without their pauses", began.elapsed());
    for when in ["never analyzed", "analyzed"] {
        assert_all_cheap(&client, false, when).await;
        client.batch_execute("ANALYZE orders").await.unwrap();
    }
}

/// The calls themselves, as the server counts them. Caught, when seeded: calls that leave the planner its sequential scans.
#[tokio::test]
async fn no_call_of_the_worker_reads_a_table_without_an_index_on_status() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    fill(&client, 30_000).await;
    client.batch_execute("DROP INDEX idx_orders_status").await.unwrap();
    let store = open(database.url(), LEASE, 1);
    store.check().await.unwrap();
    store.sweep().await.unwrap();
    settle(&client).await;
    while store.sweep().await.unwrap().expect("no index").goes_on {}
    let whole = scans(&client).await;
    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: Duration::ZERO,
        max_age: Duration::from_secs(2 * 366 * 86_400),
        after: OrderId(0),
        limit: 10_000,
    };
    assert_eq!(store.lost_orders(&search).await.unwrap().len(), 201);
    assert_eq!(store.open_orders().await.unwrap().pending.orders, 201);
    assert_eq!(store.stale_orders(Duration::from_secs(86_400)).await.unwrap(), 1);
    store.orders_before_horizon().await.unwrap();
    store.sweep().await.unwrap();
    store.audit(OrderId(0), 1_000).await.unwrap();
    store.states(&[OrderId(1), OrderId(30_000)]).await.unwrap();
    drop(store);
    // What a connection did is counted at its end, at the latest.
    let workers = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'fulfillment-worker%'";
    eventually(LONG, "its connections end", async || expect_equal(database.number(workers).await, 0)).await;
    assert_eq!(scans(&client).await, whole);
}
