//! The plans of what is asked for people: none of it reads a whole table of what is done.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use fulfillment_worker::backend::postgres::for_given_schema;

use crate::postgres_store::migrated;
use crate::support::postgres::TestDatabase;

async fn fill(client: &Client) {
    let events = "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker, correlation_id)
                  SELECT id, '2026-01-01'::timestamp + step * interval '1 second', 'processing', 1, 'w', 'basket ' || id
                  FROM generate_series(1, 100000) AS id, generate_series(1, 2) AS step";
    let letters =
        "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at, resolved_at)
                   SELECT id::text, '', 'rejected', '', 1, 'w', now()::timestamp,
                          CASE WHEN id % 1000 > 0 THEN now()::timestamp END
                   FROM generate_series(1, 50000) AS id";
    let orders = "INSERT INTO orders (product_id, quantity, status)
                  SELECT 1, 1, 'fulfilled' FROM generate_series(1, 100000)";
    for statement in [events, letters, orders] {
        client.batch_execute(statement).await.unwrap();
    }
}

async fn plan(
    client: &Client,
    statement: &str,
    parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> String {
    let rows = client.query_typed(&format!("EXPLAIN {statement}"), parameters).await.unwrap();
    rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>().join("\n")
}

async fn assert_by_index(client: &Client) {
    let open = plan(client, include_str!("../../../src/backend/postgres/open_dead_letters.sql"), &[]).await;
    assert!(open.contains("dead_letters_unresolved") && !open.contains("Seq Scan"), "{open}");
    let page = for_given_schema(include_str!("../../../src/backend/postgres/delete_events.sql"));
    let cutoff = std::time::SystemTime::now();
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] = &[
        (&0_i64, Type::INT8),
        (&2_000_i64, Type::INT8),
        (&cutoff, Type::TIMESTAMP),
        (&"a worker", Type::TEXT),
        (&"retention", Type::TEXT),
    ];
    let page = plan(client, &page, parameters).await;
    for table in ["events", "orders", "dead_letters"] {
        assert!(!page.contains(&format!("Seq Scan on {table}")), "{page}");
    }
    let correlated = include_str!("../../../src/backend/postgres/correlated.sql");
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&"basket 7", Type::TEXT), (&i64::MAX, Type::INT8), (&1_000_i64, Type::INT8)];
    let correlated = plan(client, correlated, parameters).await;
    assert!(correlated.contains("Index Scan Backward using events_pkey"), "{correlated}");
    assert!(!correlated.contains("Sort Key: events.order_id"), "{correlated}");
}

#[tokio::test]
async fn open_dead_letters_correlation_ids_and_old_timelines_are_found_by_index_with_and_without_statistics() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    fill(&client).await;
    assert_by_index(&client).await;
    client.batch_execute("ANALYZE fulfillment.events, fulfillment.dead_letters, orders").await.unwrap();
    assert_by_index(&client).await;
}
