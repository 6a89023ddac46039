//! Statements that a connection keeps prepared: where that is safe, and for as long as their plans are right.

use std::ops::RangeInclusive;

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{Begun, OrderStore, Verdict};
use tokio_postgres::Client;

use crate::postgres_store::pooler::Pooler;
use crate::postgres_store::{LEASE, begin, fulfilled, migrated, open};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually};

/// Orders enough for a plan that lasts.
const MANY: i64 = 20_000;

/// Notes for each statement on orders what its session has prepared.
const NOTE_PREPARED: &str = "
    CREATE TABLE noted (prepared bigint);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted SELECT count(*) FROM pg_prepared_statements; RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION note()";

async fn place(client: &Client, orders: i64) {
    let sql = "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, $1::bigint)";
    client.execute(sql, &[&orders]).await.unwrap();
}

async fn set_up(orders: i64) -> (TestDatabase, PostgresStore, Client) {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders SET (autovacuum_enabled = off)").await.unwrap();
    client.batch_execute(NOTE_PREPARED).await.unwrap();
    place(&client, orders).await;
    client.batch_execute("VACUUM ANALYZE orders").await.unwrap();
    (database, store, client)
}

/// Begins and ends these orders, one at a time.
async fn fulfil(store: &PostgresStore, order_ids: RangeInclusive<i64>) {
    for order_id in order_ids.map(OrderId) {
        let answer = begin(store, order_id).await;
        let Begun::Started { fence, .. } = answer else { panic!("{order_id}: {answer:?}") };
        let verdicts = store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
        assert!(matches!(verdicts[..], [Verdict::Done { .. }]), "{order_id}: {verdicts:?}");
    }
}

async fn most_prepared(database: &TestDatabase) -> i64 {
    database.number("SELECT coalesce(max(prepared), 0) FROM noted").await
}

/// Caught, when seeded: a BackendKeyData that is never heard.
#[tokio::test]
async fn a_direct_connection_keeps_what_is_run_again_and_again_and_nothing_more() {
    let (database, store, _client) = set_up(MANY).await;
    fulfil(&store, 1..=20).await;
    assert_eq!(most_prepared(&database).await, 2, "a begin and a conclusion");
}

/// Caught, when seeded: preparing wherever a connection leads.
#[tokio::test]
async fn nothing_is_prepared_behind_a_pooler() {
    let (database, _store, _client) = set_up(MANY).await;
    let pooler = Pooler::start(&database).await;
    // As a URL has it that is read by more than libpq.
    let url = format!("{}&user=postgres", pooler.url(&database).replace("postgres@", ""));
    let store = open(&url, LEASE, 4);
    fulfil(&store, 1..=20).await;
    assert_eq!(most_prepared(&database).await, 0);
}

/// A plan for a table of one page scans it, and stays what it is when 100,000 orders come: so its next use, a second later, must be
/// its last.
/// Caught, when seeded: a plan that is kept whatever has become of the size of the table.
#[tokio::test]
async fn a_small_tables_plans_are_kept_until_their_first_use_on_one_that_has_grown() {
    let (database, store, client) = set_up(40).await;
    fulfil(&store, 1..=20).await;
    assert_eq!(most_prepared(&database).await, 4, "a begin, a conclusion, and for each the question for the size");
    place(&client, 100_000).await;
    let reads = |kind| format!("SELECT {kind}::bigint FROM pg_stat_user_tables WHERE relname = 'orders'");
    let count = async |kind| database.number(&reads(kind)).await;
    // The figures come up to a second later: they are whole once nothing has been added for a while.
    client.batch_execute("SELECT pg_sleep(1.2)").await.unwrap();
    store.check().await.unwrap();
    let (scans, lookups) = (count("seq_scan").await, count("idx_scan").await);
    fulfil(&store, 50_000..=50_020).await;
    eventually(LONG, "the server has counted", async || {
        store.check().await.unwrap();
        let more = count("idx_scan").await - lookups;
        // Twice to begin an order and once to conclude it, but for the first ones.
        if more >= 3 * 20 { Ok(()) } else { Err(more) }
    })
    .await;
    let scanned = count("seq_scan").await - scans;
    assert!(scanned <= 2 * 2, "the whole table was read {scanned} times");
}

/// Caught, when seeded: `cached plan must not change result type` (0A000) taken for an answer.
#[tokio::test]
async fn changes_of_the_table_cost_no_transition() {
    let (_database, store, client) = set_up(MANY).await;
    fulfil(&store, 1..=5).await;
    for (number, change) in (1..).zip([
        "ALTER TABLE orders ADD COLUMN note text",
        "ALTER TABLE orders ALTER COLUMN id TYPE bigint",
        "ALTER TABLE orders ALTER COLUMN quantity TYPE bigint",
        "CREATE INDEX ON orders (created_at)",
        "ALTER TABLE orders ALTER COLUMN created_at TYPE timestamptz",
        "ALTER TABLE orders DROP COLUMN note",
    ]) {
        client.batch_execute(change).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
        fulfil(&store, number * 10..=number * 10 + 5).await;
    }
}

/// As a pooler does between clients. Caught, when seeded: a statement that is gone (26000) taken for an answer.
#[tokio::test]
async fn a_session_that_forgets_what_was_prepared_is_worked_with_all_the_same() {
    let (database, store, client) = set_up(MANY).await;
    fulfil(&store, 1..=5).await;
    assert_eq!(most_prepared(&database).await, 2);
    let forget = "
        CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            EXECUTE 'DEALLOCATE ALL'; RETURN NULL;
        END $$;
        CREATE TRIGGER zz_forget AFTER UPDATE ON orders FOR EACH STATEMENT EXECUTE FUNCTION forget()";
    client.batch_execute(forget).await.unwrap();
    fulfil(&store, 6..=15).await;
    client.batch_execute("TRUNCATE noted").await.unwrap();
    fulfil(&store, 16..=25).await;
    assert_eq!(most_prepared(&database).await, 0, "such a session is left alone");
}
