//! The plans that the search for orphans, and the count of what is too old for it, get. The search runs twice a minute,
//! beside everything else.

use fulfillment_worker::backend::postgres::for_given_schema;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::reconciliation::{ClaimedUpTo, LostOrderSearch, Reconciliation};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::postgres_store::migrated;
use crate::support::postgres::TestDatabase;

/// What `lost_orders.sql` is asked with: everything that is old enough, and not too old.
pub(crate) const LOST_ORDERS: &[(&(dyn ToSql + Sync), Type)] = &[
    (&None::<std::time::SystemTime>, Type::TIMESTAMP),
    (&true, Type::BOOL),
    (&60.0, Type::FLOAT8),
    (&15.0, Type::FLOAT8),
    (&604_800.0, Type::FLOAT8),
    (&0_i64, Type::INT8),
    (&10_000_i64, Type::INT8),
];

async fn plan_of_search(client: &Client) -> String {
    plan(client, include_str!("../../../src/backend/postgres/lost_orders.sql"), LOST_ORDERS).await
}

async fn plan_of_count(client: &Client) -> String {
    plan(client, include_str!("../../../src/backend/postgres/stale_orders.sql"), &[(&604_800.0, Type::FLOAT8)]).await
}

async fn plan(client: &Client, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> String {
    let rows = client.query_typed(&format!("EXPLAIN {}", for_given_schema(statement)), parameters).await.unwrap();
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

async fn fill(client: &Client, status: &str, count: i32) {
    let sql = "INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
               SELECT 1, 1, $1, at, at
               FROM (SELECT now()::timestamp - interval '1 hour' AS at) AS clock, generate_series(1, $2)";
    client.execute(sql, &[&status, &count]).await.unwrap();
}

/// Open orders are found by the given index on status, and nothing else of the table is read; their timelines by key.
async fn assert_by_status(client: &Client) {
    let search = plan_of_search(client).await;
    assert!(search.matches("idx_orders_status").count() >= 2, "{search}");
    assert!(search.contains("events_pkey") && !search.contains("Seq Scan on events"), "{search}");
    let count = plan_of_count(client).await;
    assert!(count.contains("idx_orders_status"), "{count}");
    // Whether a hold is still of use is told by its order, by key.
    assert_eq!(search.matches("orders_pkey").count(), 1, "{search}");
    assert!(!count.contains("orders_pkey"), "{count}");
    for plan in [search, count] {
        assert!(!plan.contains("Seq Scan on orders"), "{plan}");
    }
}

#[tokio::test]
async fn orphans_among_a_million_orders_are_found_without_reading_what_is_done() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    fill(&client, "fulfilled", 1_000_000).await;
    let timeline = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker)
                    SELECT id, updated_at, 'fulfilled', 1, 'w' FROM orders WHERE id % 10 = 0";
    client.batch_execute(timeline).await.unwrap();
    assert_by_status(&client).await;
    client.batch_execute("ANALYZE orders").await.unwrap();
    // More than the statistics know of, and then as many as they say.
    fill(&client, "pending", 20_000).await;
    assert_by_status(&client).await;
    client.batch_execute("ANALYZE orders").await.unwrap();
    assert_by_status(&client).await;

    let search = LostOrderSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: std::time::Duration::from_secs(60),
        max_age: std::time::Duration::from_secs(604_800),
        after: OrderId(0),
        limit: 10_000,
    };
    assert_eq!(store.lost_orders(&search).await.unwrap().len(), 10_000);
}
