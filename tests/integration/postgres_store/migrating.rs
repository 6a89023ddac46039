//! Migrations beside workers that stand still.

use fulfillment_worker::port::horizon::{Horizon, Horizons, Noted};
use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::TestDatabase;

/// The lock that workers take in turn to migrate.
pub(crate) const MIGRATION_LOCK: i64 = 0x6675_6c66_696c_6c6d;

/// A worker that is stopped (SIGSTOP) right after it has migrated may keep its session, and the lock with it: found by the
/// failpoint matrix, `after-migrate=stop/alone`.
///
/// Caught before it was mended: the lock was waited for before anything else.
#[tokio::test]
async fn a_session_that_keeps_the_migration_lock_holds_up_nobody_whose_tables_are_there() {
    let database = TestDatabase::create().await;
    let (_, client) = migrated(&database).await;
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await.unwrap();
    let applied = open(database.url(), LEASE, 1).migrate().await.unwrap();
    assert!(applied.is_empty(), "{applied:?}");
}

#[tokio::test]
async fn whoever_has_migrated_keeps_no_lock() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    let free = client.query_one("SELECT pg_try_advisory_lock($1)", &[&MIGRATION_LOCK]).await.unwrap();
    assert!(free.get::<_, bool>(0));
}

/// As builds from before 0.1.0 left it behind, which had refinery apply their migrations.
pub(super) const HISTORY: &str = "
    INSERT INTO fulfillment.schema_history (version, name, applied_on, checksum) VALUES
        (1, 'events_and_dead_letters', '2026-11-27T14:56:03.527604412Z', '17309984282916299835'),
        (2, 'resolved_dead_letters', '2026-11-27T14:56:03.541221983Z', '14250621943220900225'),
        (3, 'leadership', '2026-11-27T14:56:03.550022318Z', '1267226528094765140')";
const FORGET: &str = "DELETE FROM fulfillment.schema_history";

/// An installation that was there before the horizon goes on without one.
#[tokio::test]
async fn tables_that_the_version_before_has_made_get_what_came_since_and_no_horizon() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute(&format!("{FORGET} WHERE version <> 4 AND version <> 5; {HISTORY}")).await.unwrap();
    client.batch_execute("DROP TABLE fulfillment.horizon, fulfillment.begun_orders").await.unwrap();
    assert_eq!(
        store.migrate().await.unwrap(),
        [
            "V6__horizon",
            "V7__retention",
            "V8__low_water_mark",
            "V9__controls",
            "V10__holds",
            "V11__lists",
            "V12__jobs",
            "V13__requests",
            "V14__trends"
        ]
    );
    assert_eq!(store.noted().await.unwrap(), Noted::Horizon(Horizon::EVERYTHING));
}

/// So that it, too, takes these tables for its own.
#[tokio::test]
async fn the_history_is_as_the_version_before_wrote_it() {
    let database = TestDatabase::create().await;
    let (_store, client) = migrated(&database).await;
    let rows = "SELECT string_agg(version || name || checksum, ',' ORDER BY version) FROM fulfillment.schema_history
                WHERE version <= 3";
    let made: String = client.query_one(rows, &[]).await.unwrap().get(0);
    let time = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$";
    let timed = "SELECT bool_and(applied_on ~ $1) FROM fulfillment.schema_history";
    assert!(client.query_one(timed, &[&time]).await.unwrap().get::<_, bool>(0), "RFC 3339");
    client.batch_execute(&format!("{FORGET} WHERE version <= 3; {HISTORY}")).await.unwrap();
    assert_eq!(made, client.query_one(rows, &[]).await.unwrap().get::<_, String>(0));
}

#[tokio::test]
async fn only_what_is_missing_is_applied() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let last = format!("{FORGET} WHERE version >= 10; DROP TABLE fulfillment.holds");
    client.batch_execute(&last).await.unwrap();
    assert_eq!(
        store.migrate().await.unwrap(),
        ["V10__holds", "V11__lists", "V12__jobs", "V13__requests", "V14__trends"]
    );
    store.check().await.unwrap();
}

#[tokio::test]
async fn tables_of_a_version_to_come_are_left_alone_and_other_ones_are_refused() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    client.batch_execute("INSERT INTO fulfillment.schema_history VALUES (99, 'future', '', '')").await.unwrap();
    assert_eq!(store.migrate().await.unwrap(), Vec::<String>::new());
    for change in [
        format!("{FORGET} WHERE version = 3"),
        "UPDATE fulfillment.schema_history SET checksum = '1' WHERE version = 2".to_owned(),
    ] {
        client.batch_execute(&change).await.unwrap();
        let error = store.migrate().await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("another version of this program"), "{error}");
    }
}

/// A transaction that failed half-way leaves nothing: neither tables nor a history.
#[tokio::test]
async fn all_is_applied_or_nothing() {
    let database = TestDatabase::create().await;
    let client = database.connect().await;
    client
        .batch_execute("CREATE SCHEMA fulfillment; CREATE VIEW fulfillment.leadership AS SELECT 1 AS name")
        .await
        .unwrap();
    // The last migration finds what it would make; without its columns, whatever follows it in the history would fail.
    client.batch_execute("CREATE VIEW fulfillment.dead_letters AS SELECT 1 AS id").await.unwrap();
    let error = open(database.url(), LEASE, 1).migrate().await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    let made = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'fulfillment' AND relkind = 'r'";
    assert_eq!(database.number(made).await, 0);
}
