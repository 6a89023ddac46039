//! Migrations beside workers that stand still.

use fulfillment_worker::port::schema::Schema;

use crate::postgres_store::{LEASE, migrated, open};
use crate::support::postgres::TestDatabase;

/// The lock that workers take in turn to migrate.
const MIGRATION_LOCK: i64 = 0x6675_6c66_696c_6c6d;

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
