//! The plan that the search for orphans gets. It runs twice a minute, beside everything else.

use fulfillment_worker::order::OrderId;
use fulfillment_worker::store::audit::{Audit, ClaimedUpTo, OrphanSearch};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::migrated;
use crate::support::postgres::TestDatabase;

async fn plan(client: &Client) -> String {
    let parameters: &[(&(dyn ToSql + Sync), Type)] = &[
        (&None::<std::time::SystemTime>, Type::TIMESTAMP),
        (&true, Type::BOOL),
        (&60.0, Type::FLOAT8),
        (&15.0, Type::FLOAT8),
        (&604_800.0, Type::FLOAT8),
        (&0_i64, Type::INT8),
        (&10_000_i64, Type::INT8),
    ];
    let sql = format!("EXPLAIN {}", include_str!("../../src/store/postgres/orphans.sql"));
    let rows = client.query_typed(&sql, parameters).await.unwrap();
    let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    lines.join("\n")
}

async fn fill(client: &Client, status: &str, count: i32) {
    let sql = "INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
               SELECT 1, 1, $1, at, at
               FROM (SELECT now()::timestamp - interval '1 hour' AS at) AS clock, generate_series(1, $2)";
    client.execute(sql, &[&status, &count]).await.unwrap();
}

/// Open orders are found by the given index on status, and nothing else of the table is read.
fn assert_by_status(plan: &str) {
    assert!(plan.matches("idx_orders_status").count() >= 2, "{plan}");
    assert!(!plan.contains("Seq Scan on orders") && !plan.contains("orders_pkey"), "{plan}");
}

#[tokio::test]
async fn orphans_among_a_million_orders_are_found_without_reading_what_is_done() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    fill(&client, "fulfilled", 1_000_000).await;
    assert_by_status(&plan(&client).await);
    client.batch_execute("ANALYZE orders").await.unwrap();
    // More than the statistics know of, and then as many as they say.
    fill(&client, "pending", 20_000).await;
    assert_by_status(&plan(&client).await);
    client.batch_execute("ANALYZE orders").await.unwrap();
    assert_by_status(&plan(&client).await);

    let search = OrphanSearch {
        claimed_up_to: ClaimedUpTo::Everything,
        grace: std::time::Duration::from_secs(60),
        max_age: std::time::Duration::from_secs(604_800),
        after: OrderId(0),
        limit: 10_000,
    };
    assert_eq!(store.orphans(&search).await.unwrap().len(), 10_000);
}
