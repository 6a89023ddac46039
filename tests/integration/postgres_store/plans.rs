//! The plans that the transitions get. A scan of the whole table, or of all that is pending, makes every batch slow.

use std::time::SystemTime;

use fulfillment_worker::backend::postgres::{for_given_schema, waiting_for_given_schema};
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::postgres_store::migrated;
use crate::support::postgres::TestDatabase;

/// Plans of the transitions in both their forms, for batches of 500 orders from `first` on.
async fn plans(client: &Client, first: i64) -> Vec<String> {
    let ids: Vec<i64> = (first..first + 500).collect();
    let times = vec![SystemTime::now(); 500];
    let texts = vec!["fulfilled"; 500];
    let numbers = vec![1_i32; 500];
    let (no_ids, no_texts, no_bytes, no_numbers) =
        (Vec::<i64>::new(), Vec::<String>::new(), Vec::<Vec<u8>>::new(), Vec::<i32>::new());
    let begin: &[(&(dyn ToSql + Sync), Type)] = &[
        (&ids, Type::INT8_ARRAY),
        (&numbers, Type::INT4_ARRAY),
        (&texts, Type::TEXT_ARRAY),
        (&15.0, Type::FLOAT8),
        (&"worker", Type::TEXT),
        (&true, Type::BOOL),
        (&"taken over", Type::TEXT),
    ];
    let renew: &[(&(dyn ToSql + Sync), Type)] = &[(&ids, Type::INT8_ARRAY), (&times, Type::TIMESTAMP_ARRAY)];
    let conclude: &[(&(dyn ToSql + Sync), Type)] = &[
        (&ids, Type::INT8_ARRAY),
        (&times, Type::TIMESTAMP_ARRAY),
        (&texts, Type::TEXT_ARRAY),
        (&numbers, Type::INT4_ARRAY),
        (&texts, Type::TEXT_ARRAY),
        (&"worker", Type::TEXT),
        (&true, Type::BOOL),
        (&no_ids, Type::INT8_ARRAY),
        (&no_texts, Type::TEXT_ARRAY),
        (&no_bytes, Type::BYTEA_ARRAY),
        (&no_texts, Type::TEXT_ARRAY),
        (&no_texts, Type::TEXT_ARRAY),
        (&no_numbers, Type::INT4_ARRAY),
    ];
    let mut plans = Vec::new();
    for (statement, parameters) in [
        (include_str!("../../../src/backend/postgres/begin.sql"), begin),
        (include_str!("../../../src/backend/postgres/take_over.sql"), begin),
        (include_str!("../../../src/backend/postgres/renew.sql"), renew),
        (include_str!("../../../src/backend/postgres/conclude.sql"), conclude),
    ] {
        for written in [for_given_schema(statement), waiting_for_given_schema(statement)] {
            let rows = client.query_typed(&format!("EXPLAIN {written}"), parameters).await.unwrap();
            let lines: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            plans.push(lines.join("\n"));
        }
    }
    plans
}

/// Each transition finds its rows by the primary key, twice and once more for those that it did not find, one by one; a begin
/// that passes over locked rows looks once more at what each was before its lock, a takeover at what is in work, and a conclusion
/// that waits only writes. Nothing else of `orders` is read.
fn assert_by_primary_key(plans: &[String]) {
    for (plan, scans) in plans.iter().zip([4, 3, 4, 4, 3, 3, 3, 2]) {
        let by_key = ["Index Scan using orders_pkey", "Index Only Scan using orders_pkey"];
        assert_eq!(by_key.map(|scan| plan.matches(scan).count()).iter().sum::<usize>(), scans, "{plan}");
        assert!(!plan.contains("Seq Scan on orders") && !plan.contains("idx_orders_status"), "{plan}");
    }
}

async fn fill(client: &Client, status: &str) {
    let sql = "INSERT INTO orders (product_id, quantity, status) SELECT 1, 1, $1 FROM generate_series(1, 100000)";
    client.execute(sql, &[&status]).await.unwrap();
}

#[tokio::test]
async fn a_table_just_filled_and_never_analyzed_is_read_by_primary_key() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    fill(&client, "pending").await;
    assert_by_primary_key(&plans(&client, 50_000).await);
}

#[tokio::test]
async fn a_table_analyzed_before_its_pending_orders_came_is_read_by_primary_key() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    fill(&client, "fulfilled").await;
    client.batch_execute("ANALYZE orders").await.unwrap();
    fill(&client, "pending").await;
    assert_by_primary_key(&plans(&client, 150_000).await);
}

#[tokio::test]
async fn a_table_of_pending_orders_alone_is_read_by_primary_key() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    fill(&client, "pending").await;
    client.batch_execute("ANALYZE orders").await.unwrap();
    assert_by_primary_key(&plans(&client, 1).await);
}
