//! Decisions of operators on tables that aren't quite the given ones, and on rows that others have locked.

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::{OrderId, State};
use fulfillment_worker::port::dead_letters::Decision;
use fulfillment_worker::port::decisions::{Decided, HoldEnd, OrderDecisions, Ruling};
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{Begun, OrderStore, StoreError, Verdict};
use tokio_postgres::Client;

use crate::postgres_store::other_tables::ENUM;
use crate::postgres_store::{LEASE, begin, fulfilled, migrated, open, put};
use crate::support::postgres::TestDatabase;

fn ruling() -> Ruling {
    Ruling { decision: Decision { by: "ann".to_owned(), reason: "recalled".to_owned() }, dry_run: false }
}

fn is_done(decided: &[Decided], state: &State) -> bool {
    matches!(decided, [Decided::Done(order)] if order.state == *state)
}

/// Everything that operators decide, on whatever table there is.
pub(super) async fn decides(store: &PostgresStore, client: &Client, what: &str) {
    store.migrate().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.check().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    store.can_cancel().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let ids = [put(client, "status", "'pending'").await];
    assert!(is_done(&store.hold(&ids, HoldEnd::Never, &ruling()).await.unwrap(), &State::Pending), "{what}");
    assert_eq!(begin(store, ids[0]).await, Begun::Held(None), "{what}");
    assert!(is_done(&store.release(&ids, &ruling()).await.unwrap(), &State::Pending), "{what}");
    let Begun::Started { fence, .. } = begin(store, ids[0]).await else { panic!("{what}") };
    assert!(is_done(&store.cancel(&ids, &ruling()).await.unwrap(), &State::Processing), "{what}");
    let verdicts = store.conclude(&[fulfilled(ids[0], fence)]).await.unwrap();
    assert_eq!(verdicts, [Verdict::Superseded(Some(State::Cancelled))], "{what}");
    assert_eq!(store.cancel(&ids, &ruling()).await.unwrap(), [Decided::AsItWas(State::Cancelled)], "{what}");
}

#[tokio::test]
async fn operators_decide_on_tables_of_other_types_too() {
    let cases = [
        ENUM,
        "ALTER TABLE orders ALTER updated_at TYPE timestamptz, ALTER created_at TYPE timestamptz",
        "ALTER TABLE orders ALTER updated_at TYPE timestamp(0), ALTER created_at TYPE timestamp(0)",
        "ALTER TABLE orders ALTER id TYPE numeric(12, 0), ALTER quantity TYPE numeric(12, 0)",
        "ALTER TABLE orders ALTER status TYPE char(12)",
        "DROP INDEX idx_orders_status",
    ];
    for sql in cases {
        let database = TestDatabase::create().await;
        let client = database.connect().await;
        client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
        client.batch_execute(sql).await.unwrap();
        decides(&open(database.url(), LEASE, 2), &database.connect().await, sql).await;
    }
}

/// Such a table is one that `run` works with.
#[tokio::test]
async fn a_table_that_cannot_say_cancelled_is_named_before_anything_is_changed() {
    let cases = [
        (ENUM.replace(", 'cancelled'", ""), "an enum without that label; add it by `ALTER TYPE"),
        (
            "ALTER TABLE orders ADD CHECK (status IN ('pending','processing','fulfilled','failed'))".to_owned(),
            "orders.status can't become `cancelled`: a check constraint",
        ),
    ];
    for (sql, expected) in cases {
        let database = TestDatabase::create().await;
        let (store, client) = migrated(&database).await;
        client.batch_execute(&sql).await.unwrap();
        let store = {
            drop(store);
            open(database.url(), LEASE, 2)
        };
        store.check().await.unwrap();
        let refused = store.can_cancel().await.unwrap_err();
        assert!(matches!(refused, StoreError::Tables(_)) && refused.to_string().contains(expected), "{refused}");
        let order_id = put(&database.connect().await, "status", "'pending'").await;
        let ids = [order_id];
        let answers = store.cancel(&ids, &ruling()).await.unwrap();
        assert!(matches!(&answers[..], [Decided::Refused(_)]), "{answers:?}");
        assert!(matches!(begin(&store, order_id).await, Begun::Started { .. }));
    }
}

/// Caught, when seeded: a statement that waits for the lock.
#[tokio::test]
async fn a_row_that_somebody_has_locked_is_told_and_its_neighbours_are_decided_upon() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let ids: [OrderId; 2] = [put(&client, "status", "'pending'").await, put(&client, "status", "'pending'").await];
    let lock = format!("BEGIN; SELECT FROM orders WHERE id = {} FOR UPDATE", ids[0]);
    client.batch_execute(&lock).await.unwrap();
    let held = store.hold(&ids, HoldEnd::Never, &ruling()).await.unwrap();
    assert!(matches!(&held[..], [Decided::Locked, Decided::Done(_)]), "{held:?}");
    let cancelled = store.cancel(&ids, &ruling()).await.unwrap();
    assert!(matches!(&cancelled[..], [Decided::Locked, Decided::Done(_)]), "{cancelled:?}");
    assert_eq!(store.release(&ids[..1], &ruling()).await.unwrap(), [Decided::Locked]);
    client.batch_execute("COMMIT").await.unwrap();
    assert!(is_done(&store.cancel(&ids[..1], &ruling()).await.unwrap(), &State::Pending));
}

/// Caught, when seeded: a begin that locks a row which has changed since its snapshot, and asks for no more than its status.
#[tokio::test]
async fn a_begin_that_has_waited_behind_a_hold_sees_it() {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", "'pending'").await;
    // As `hold` does, by hand, so that it ends when it shall.
    client
        .batch_execute(&format!(
            "BEGIN; UPDATE orders SET updated_at = updated_at + interval '1 second' WHERE id = {order_id};
             INSERT INTO fulfillment.holds (order_id, held_by, why, at) VALUES ({order_id}, 'ann', 'recalled', now())"
        ))
        .await
        .unwrap();
    let begun = tokio::spawn({
        let store = open(database.url(), LEASE, 2);
        async move { begin(&store, order_id).await }
    });
    let _ = tokio::time::timeout(std::time::Duration::from_millis(5), std::future::pending::<()>()).await;
    client.batch_execute("COMMIT").await.unwrap();
    let begun = begun.await.unwrap();
    assert!(matches!(begun, Begun::Held(None) | Begun::Locked), "{begun:?}");
    assert_eq!(begin(&store, order_id).await, Begun::Held(None));
}
