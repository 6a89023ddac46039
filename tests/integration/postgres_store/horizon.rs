//! Which installations get a horizon, whoever makes the tables; and what the statements about it read.

use fulfillment_worker::backend::postgres::{for_given_schema, migration_sql};
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::horizon::{Horizon, Horizons, Noted};
use fulfillment_worker::port::reconciliation::Reconciliation;
use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::{LEASE, migrated, open, put};
use crate::support::postgres::TestDatabase;

#[tokio::test]
async fn tables_made_by_hand_get_a_horizon_at_the_first_start_and_keep_it() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let store = open(database.url(), LEASE, 1);
    assert_eq!(store.noted().await.unwrap(), Noted::Nothing);
    client.batch_execute("INSERT INTO products (id, name, price) VALUES (1, 'hand warmer', 1.85)").await.unwrap();
    put(&client, "status", "'pending'").await;
    for _ in 0..2 {
        client.batch_execute(&migration_sql()).await.unwrap();
        store.migrate().await.unwrap();
        assert_eq!(store.noted().await.unwrap(), Noted::Nothing);
    }
    let horizon = store.behind_everything().await.unwrap();
    assert!(store.note(&horizon).await.unwrap());
    assert!(store.lead(LEASE).await.unwrap());
    client.batch_execute(&migration_sql()).await.unwrap();
    assert_eq!(store.noted().await.unwrap(), Noted::Horizon(horizon), "work that was done since changes nothing");
}

/// Caught, when seeded: a migration that looks at the timeline alone, which retention and `--events off` leave empty.
#[tokio::test]
async fn an_installation_that_has_worked_takes_in_everything_when_its_tables_are_updated_by_hand() {
    let worked = [
        "INSERT INTO fulfillment.leadership VALUES ('reconciler', 'w', now())",
        "INSERT INTO fulfillment.events (order_id, at, state, attempt, worker) VALUES (1, now(), 'processing', 1, 'w')",
        "INSERT INTO fulfillment.dead_letters (claim_id, payload, reason, detail, attempts, worker, at)
         VALUES ('1', '', 'invalid_message', '', 1, 'w', now())",
    ];
    for trace in worked {
        let database = TestDatabase::create().await;
        let (store, client) = migrated(&database).await;
        let before = "DROP TABLE fulfillment.horizon, fulfillment.begun_orders, fulfillment.schema_history";
        client.batch_execute(&format!("{before}; {trace}")).await.unwrap();
        assert_eq!(store.noted().await.unwrap(), Noted::OlderTables);
        client.batch_execute(&migration_sql()).await.unwrap();
        assert_eq!(store.noted().await.unwrap(), Noted::Horizon(Horizon::EVERYTHING), "{trace}");
    }
}

/// The count runs every few minutes for as long as somebody leaves old orders in the table.
#[tokio::test]
async fn orders_before_the_horizon_are_counted_without_reading_what_is_done() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let fill = "INSERT INTO products (name, price) VALUES ('hand warmer', 1.85) ON CONFLICT DO NOTHING;
                INSERT INTO orders (product_id, quantity, status)
                SELECT 1, 1, CASE WHEN n % 100 = 0 THEN 'pending' ELSE 'fulfilled' END FROM generate_series(1, 100000) AS n;
                ANALYZE orders";
    client.batch_execute(fill).await.unwrap();
    assert!(store.note(&store.behind_everything().await.unwrap()).await.unwrap());
    let statement = include_str!("../../../src/backend/postgres/before_horizon.sql");
    let rows = client.query(&format!("EXPLAIN {}", for_given_schema(statement)), &[]).await.unwrap();
    let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    assert!(plan.contains("idx_orders_status") && !plan.contains("Seq Scan on orders"), "{plan}");
    assert_eq!(store.orders_before_horizon().await.unwrap().orders, 1_000);
}

/// An order API in another zone than the database: its lost orders look newer than they are, and its new ones older.
#[tokio::test]
async fn a_producer_in_another_zone_changes_nothing_about_which_orders_are_older() {
    for hours in [-9, 9] {
        let database = TestDatabase::create().await;
        let (store, client) = migrated(&database).await;
        let at = format!("now() + interval '{hours} hours'");
        put(&client, "status, created_at, updated_at", &format!("'pending', {at}, {at}")).await;
        let horizon = store.behind_everything().await.unwrap();
        assert!(store.note(&horizon).await.unwrap());
        assert_eq!(store.orders_before_horizon().await.unwrap().orders, 1, "{hours} hours");
        let new: OrderId = put(&client, "status, created_at, updated_at", &format!("'pending', {at}, {at}")).await;
        assert_eq!(store.orders_before_horizon().await.unwrap().orders, 1, "{hours} hours: order {new} is new");
    }
}
