//! Lists and the feed, as only Postgres has them: transactions that end out of order, plans, and tables without an index.

use std::time::Duration;

use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::operations::search;
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::search::{Feed, OrderFilter, Position};
use fulfillment_worker::port::store::StoreError;
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, begin, migrated, open, put};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

fn entry(order_id: i64) -> String {
    format!(
        "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker)
         VALUES ({order_id}, clock_timestamp(), 'processing', 1, 'w')"
    )
}

async fn read(feed: &dyn Feed, position: &mut Position) -> Vec<i64> {
    feed.next(position, 100).await.unwrap().iter().map(|read| read.order_id.0).collect()
}

/// Caught, when seeded: a feed that goes on behind the latest time that it has read.
#[tokio::test]
async fn an_entry_that_is_committed_after_later_ones_is_read_once() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let (slow, slower) = (database.connect().await, database.connect().await);
    slower.batch_execute(&format!("BEGIN; {}", entry(1))).await.unwrap();
    let mut position = Position::default();
    assert_eq!(read(&store, &mut position).await, [0_i64; 0]);
    slow.batch_execute(&format!("BEGIN; {}", entry(2))).await.unwrap();
    client.batch_execute(&entry(3)).await.unwrap();
    assert_eq!(read(&store, &mut position).await, [3]);
    client.batch_execute(&entry(4)).await.unwrap();
    assert_eq!(read(&store, &mut position).await, [4]);
    slow.batch_execute("COMMIT").await.unwrap();
    assert_eq!(read(&store, &mut position).await, [2]);
    assert_eq!(read(&store, &mut position).await, [0_i64; 0]);
    client.batch_execute(&entry(5)).await.unwrap();
    slower.batch_execute("COMMIT").await.unwrap();
    let mut last = read(&store, &mut position).await;
    last.sort_unstable();
    assert_eq!(last, [1, 5]);
    assert_eq!(read(&store, &mut position).await, [0_i64; 0]);
}

#[tokio::test]
async fn an_entry_that_is_rolled_back_is_never_read() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let mut position = Position::default();
    read(&store, &mut position).await;
    client.batch_execute(&format!("BEGIN; {}; ROLLBACK; {}", entry(1), entry(2))).await.unwrap();
    assert_eq!(read(&store, &mut position).await, [2]);
}

#[tokio::test]
async fn without_an_index_the_feed_says_how_to_make_it_and_a_correlation_id_is_found_all_the_same() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    begin(&store, order_id).await;
    client
        .batch_execute(
            "DROP INDEX fulfillment.events_at; DROP INDEX fulfillment.events_correlation_id;
             UPDATE fulfillment.events SET correlation_id = 'basket'",
        )
        .await
        .unwrap();
    let refused = store.next(&mut Position::default(), 10).await.unwrap_err();
    assert!(
        matches!(&refused, StoreError::Refused(why) if why.contains("CREATE INDEX CONCURRENTLY events_at")),
        "{refused}"
    );
    let found = store.correlated("basket", OrderId(i64::MAX), 100).await.unwrap();
    assert_eq!(found.order_ids, [order_id]);
}

/// Orders of one a second up to now: fulfilled but for a few, each with the two entries of an attempt.
async fn fill(client: &Client, orders: i64) {
    let sql = format!(
        "ALTER TABLE orders SET (autovacuum_enabled = off); ALTER TABLE fulfillment.events SET (autovacuum_enabled = off);
         SET session_replication_role = replica;
         INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
         SELECT 1, 1, CASE WHEN i % 10000 = 0 THEN 'failed' WHEN i = 1 OR i > {orders} - 200 THEN 'pending' ELSE 'fulfilled' END,
                now()::timestamp - ({orders} - i) * interval '1 second', now()::timestamp
         FROM generate_series(1, {orders}) AS i;
         INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id)
         SELECT i, now()::timestamp - ({orders} - i) * interval '1 second' + ends * interval '1 ms',
                CASE ends WHEN 0 THEN 'processing' ELSE 'fulfilled' END, 1,
                CASE ends WHEN 0 THEN 'worker-1-abcdef' ELSE '' END, CASE ends WHEN 0 THEN 'basket ' || i END
         FROM (SELECT k / 2 + 1 AS i, k % 2 AS ends FROM generate_series(0, 2 * {orders} - 1) AS k) AS entry;
         SELECT brin_summarize_new_values('fulfillment.events_at'),
                brin_summarize_new_values('fulfillment.events_correlation_id');
         RESET session_replication_role"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// `LISTS_ORDERS=10000000` makes it ten million orders, and prints what each list took. Caught, when seeded: calls that leave the
/// planner its sequential scans.
#[tokio::test]
async fn no_list_reads_the_whole_of_a_large_table_whether_it_has_statistics_or_an_index_on_status_or_not() {
    let told = std::env::var("LISTS_ORDERS").unwrap_or_else(|_| "300000".to_owned());
    let orders: i64 = told.parse().unwrap_or_else(|error| panic!("LISTS_ORDERS={told}: {error}"));
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    fill(&client, orders).await;
    let scans =
        "SELECT coalesce(sum(seq_scan), 0)::int8 FROM pg_stat_user_tables WHERE relname IN ('orders', 'events')";
    drop(store);
    let before = database.number(scans).await;
    let hour = Duration::from_secs(3_600);
    let all = OrderFilter::default();
    let state = |state: &str| OrderFilter { states: vec![State::from(state)], ..all.clone() };
    let lists = [
        ("all", all.clone(), Some(50)),
        ("fulfilled", state("fulfilled"), Some(50)),
        ("failed", state("failed"), Some(i64::min(orders / 10_000, 50))),
        ("pending", state("pending"), Some(50)),
        ("pending for long", OrderFilter { older_than: Some(hour), ..state("pending") }, Some(1)),
        ("cancelled", state("cancelled"), Some(0)),
        ("an hour ago", OrderFilter { older_than: Some(hour), newer_than: Some(2 * hour), ..all.clone() }, Some(50)),
        ("by correlation id", OrderFilter { correlation_id: Some("basket 77".to_owned()), ..all.clone() }, Some(1)),
        // Goes through all of them by key, as long as it may.
        ("no such product", OrderFilter { product_id: Some(7), ..all.clone() }, None),
    ];
    for when in ["never analyzed", "analyzed", "without an index on status"] {
        if when == "without an index on status" {
            client.batch_execute("DROP INDEX idx_orders_status").await.unwrap();
        }
        let store = open(database.url(), LEASE, 1);
        // A connection is opened before anything is timed.
        search::page(&store, &store, &all, None, 1).await.unwrap();
        for (name, filter, expected) in &lists {
            if when == "without an index on status" && ["failed", "cancelled", "pending for long"].contains(name) {
                continue;
            }
            let began = std::time::Instant::now();
            let page = search::page(&store, &store, filter, None, 50).await.unwrap();
            println!("{name:<20} {when:<30} {:>8.1} ms", began.elapsed().as_secs_f64() * 1_000.0);
            if let Some(expected) = expected {
                assert_eq!(page.orders.len() as i64, *expected, "{name}, {when}");
                assert!(!page.is_partial, "{name}, {when}");
            }
        }
        let mut position = Position::default();
        read(&store, &mut position).await;
        read(&store, &mut position).await;
        drop(store);
        client.batch_execute("ANALYZE orders, fulfillment.events").await.unwrap();
    }
    // What a connection did is counted at its end, at the latest.
    let workers = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name LIKE 'fulfillment-worker%'";
    eventually(LONG, "its connections end", async || expect_equal(database.number(workers).await, 0)).await;
    assert_eq!(database.number(scans).await, before);
}
