//! What a role may do, and what `migrate` touches.

use fulfillment_worker::backend::postgres::migration_sql;
use fulfillment_worker::port::dead_letters::{DeadLetterFilter, DeadLetters};
use fulfillment_worker::port::reports::Reports;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{BeginRequest, Begun, OrderStore, StoreError};
use tokio_postgres::Client;

use crate::postgres_store::{LEASE, begin, fulfilled, letter, migrated, open, put};
use crate::support::postgres::TestDatabase;

/// A role of this database alone that may log in and nothing else, and a URL to connect with as that role.
async fn make_role(database: &TestDatabase, client: &Client) -> (String, String) {
    let name: String = client.query_one("SELECT current_database() || '_clerk'", &[]).await.unwrap().get(0);
    client.batch_execute(&format!("DROP ROLE IF EXISTS {name}; CREATE ROLE {name} LOGIN")).await.unwrap();
    let mut url: url::Url = database.url().parse().unwrap();
    url.set_username(&name).unwrap();
    (name, url.into())
}

/// The rights by the table that versions before documented, and those to what came since: still enough.
async fn grant_all_that_run_needs(client: &Client, role: &str) {
    let sql = format!(
        "GRANT SELECT, UPDATE (status, updated_at) ON orders TO {role};
         GRANT SELECT ON products TO {role};
         GRANT USAGE ON SCHEMA fulfillment TO {role};
         GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA fulfillment TO {role};
         GRANT UPDATE ON fulfillment.leadership, fulfillment.clocks TO {role};
         GRANT UPDATE, DELETE ON fulfillment.observed_fences, fulfillment.workers, fulfillment.holds TO {role};
         GRANT UPDATE ON fulfillment.jobs, fulfillment.arrivals_mark TO {role};
         GRANT UPDATE, DELETE ON fulfillment.trends, fulfillment.arrivals TO {role};
         GRANT DELETE ON fulfillment.controls TO {role};"
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn missing(store: &dyn Schema) -> Vec<String> {
    match store.check().await {
        Ok(()) => Vec::new(),
        Err(StoreError::Schema(missing) | StoreError::Tables(missing)) => missing,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_role_without_rights_is_told_each_one_that_is_missing() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let (role, url) = make_role(&database, &client).await;
    let store = open(&url, LEASE, 1);
    assert_eq!(
        missing(&store).await,
        [
            "privilege USAGE on schema fulfillment",
            "privilege DELETE on fulfillment.arrivals",
            "privilege DELETE on fulfillment.controls",
            "privilege DELETE on fulfillment.holds",
            "privilege DELETE on fulfillment.observed_fences",
            "privilege DELETE on fulfillment.trends",
            "privilege DELETE on fulfillment.workers",
            "privilege INSERT (adopt_from, last_order_id) on fulfillment.horizon",
            "privilege INSERT (claim_id, order_id, payload, reason, detail, attempts, worker, at) on fulfillment.dead_letters",
            "privilege INSERT (minute, orders) on fulfillment.arrivals",
            "privilege INSERT (name, holder, until) on fulfillment.leadership",
            "privilege INSERT (order_id) on fulfillment.begun_orders",
            "privilege INSERT (order_id, at, state, attempt, worker, correlation_id, note) on fulfillment.events",
            "privilege INSERT (order_id, fence, first_seen) on fulfillment.observed_fences",
            "privilege INSERT (order_id, until, held_by, why, at, not_before) on fulfillment.holds",
            "privilege INSERT (worker, host, pid, version, started_at, seen_at, lease_seconds, in_flight, row_leases, concurrency, holds_claims) on fulfillment.workers",
            "privilege INSERT (worker, seq, minute, seconds, counts) on fulfillment.trends",
            "privilege INSERT (zone, noted_at, behind_at) on fulfillment.clocks",
            "privilege SELECT (adopt_from, last_order_id) on fulfillment.horizon",
            "privilege SELECT (control, target, value, set_by, why, since, expires_at) on fulfillment.controls",
            "privilege SELECT (counted_to, counted_at, seen, seen_at, seen_xid) on fulfillment.arrivals_mark",
            "privilege SELECT (id, kind, selection, by, why, up_to, matching, rate, at, cursor, page, done, skipped, refused, problem, holder, lease_until, outcome, ended_at) on fulfillment.jobs",
            "privilege SELECT (id, name) on products",
            "privilege SELECT (id, product_id, quantity, status, created_at, updated_at) on orders",
            "privilege SELECT (minute, orders) on fulfillment.arrivals",
            "privilege SELECT (name, holder, until) on fulfillment.leadership",
            "privilege SELECT (order_id) on fulfillment.begun_orders",
            "privilege SELECT (order_id, at, state, attempt, correlation_id) on fulfillment.events",
            "privilege SELECT (order_id, fence, first_seen) on fulfillment.observed_fences",
            "privilege SELECT (order_id, until, not_before) on fulfillment.holds",
            "privilege SELECT (reason, resolved_at) on fulfillment.dead_letters",
            "privilege SELECT (worker, seen_at, in_flight, row_leases, concurrency, holds_claims) on fulfillment.workers",
            "privilege SELECT (worker, seq, minute, seconds, counts) on fulfillment.trends",
            "privilege SELECT (zone, noted_at, behind_at) on fulfillment.clocks",
            "privilege UPDATE (counted_to, counted_at, seen, seen_at, seen_xid) on fulfillment.arrivals_mark",
            "privilege UPDATE (cursor, page, done, skipped, refused, problem, holder, lease_until, outcome, ended_at) on fulfillment.jobs",
            "privilege UPDATE (fence, first_seen) on fulfillment.observed_fences",
            "privilege UPDATE (holder, until) on fulfillment.leadership",
            "privilege UPDATE (noted_at, behind_at) on fulfillment.clocks",
            "privilege UPDATE (orders) on fulfillment.arrivals",
            "privilege UPDATE (seconds, counts) on fulfillment.trends",
            "privilege UPDATE (seen_at, in_flight, row_leases, concurrency, holds_claims) on fulfillment.workers",
            "privilege UPDATE (status, updated_at) on orders",
            "privilege UPDATE (until, not_before) on fulfillment.holds",
        ]
    );
    client.batch_execute(&format!("GRANT SELECT ON orders TO {role}")).await.unwrap();
    assert!(missing(&store).await.contains(&"privilege UPDATE (status, updated_at) on orders".to_owned()));
    grant_all_that_run_needs(&client, &role).await;
    assert_eq!(missing(&store).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_role_without_ddl_rights_works_on_tables_that_an_administrator_made() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let (role, url) = make_role(&database, &client).await;
    let store = open(&url, LEASE, 2);
    assert!(missing(&store).await.contains(&"table fulfillment.events".to_owned()));

    let refusal = store.migrate().await.unwrap_err();
    assert!(!refusal.is_transient());
    let text = refusal.to_string();
    assert!(text.contains("migrate --print") && text.contains("--migrate off"), "{text}");

    client.batch_execute(&migration_sql()).await.unwrap();
    client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
    grant_all_that_run_needs(&client, &role).await;
    store.check().await.unwrap();
    let order_id = put(&client, "status", "'pending'").await;
    let Begun::Started { fence, .. } = begin(&store, order_id).await else { panic!("not started") };
    store.conclude(&[fulfilled(order_id, fence)]).await.unwrap();
    assert_eq!(store.timeline(order_id).await.unwrap().len(), 2);
    store.insert_dead_letters(&[letter()]).await.unwrap();
    assert_eq!(store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_role_without_ddl_rights_may_migrate_when_there_is_nothing_to_do() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let (role, url) = make_role(&database, &client).await;
    grant_all_that_run_needs(&client, &role).await;
    assert_eq!(open(&url, LEASE, 1).migrate().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_call_without_the_right_names_what_the_role_needs() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    let (_, url) = make_role(&database, &client).await;
    let order_id = put(&client, "status", "'pending'").await;
    let request = BeginRequest { order_id, attempt: 1, correlation_id: None };
    let error = open(&url, LEASE, 1).begin(&[request]).await.unwrap_err();
    assert!(!error.is_transient());
    assert!(error.to_string().contains("UPDATE on orders"), "{error}");
}

#[tokio::test]
async fn tables_made_by_hand_are_taken_over_by_migrate() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    for _ in 0..2 {
        client.batch_execute(&migration_sql()).await.unwrap();
    }
    let store = open(database.url(), LEASE, 1);
    store.check().await.unwrap();
    store.insert_dead_letters(&[letter()]).await.unwrap();
    let migrations = migration_sql().matches("-- V").count();
    assert_eq!(store.migrate().await.unwrap().len(), migrations);
    assert_eq!(store.migrate().await.unwrap().len(), 0);
    assert_eq!(store.list(&DeadLetterFilter::default(), 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn migrate_leaves_everything_outside_its_own_schema_as_it_was() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    let before = outside(&client).await;
    assert!(before.iter().any(|line| line.contains("idx_orders_status")), "{before:?}");
    let store = open(database.url(), LEASE, 1);
    store.migrate().await.unwrap();
    assert_eq!(outside(&client).await, before);
}

#[tokio::test]
async fn check_names_a_column_and_a_table_of_the_given_schema() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("ALTER TABLE orders RENAME COLUMN updated_at TO changed_at").await.unwrap();
    assert_eq!(missing(&store).await, ["column orders.updated_at is not there"]);
    client.batch_execute("ALTER TABLE orders RENAME TO purchases").await.unwrap();
    let missing = missing(&store).await;
    assert!(missing.len() == 1 && missing[0].contains("table orders is not found in database"), "{missing:?}");
}

/// Every column, constraint, index and trigger of the order API's tables, a line each.
async fn outside(client: &Client) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, numeric_precision,
                                is_nullable, column_default) AS line
               FROM information_schema.columns WHERE table_schema = 'public'
               UNION ALL
               SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
               WHERE connamespace = 'public'::regnamespace
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
               UNION ALL
               SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
               WHERE c.relnamespace = 'public'::regnamespace
               UNION ALL SELECT nspname FROM pg_namespace WHERE nspname <> 'fulfillment'
               ORDER BY line";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}
