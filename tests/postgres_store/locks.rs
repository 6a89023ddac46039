//! What a statement does that had to wait for somebody else's transaction.

use std::sync::Arc;

use fulfillment_worker::order::{Fence, OrderId, State};
use fulfillment_worker::store::postgres::PostgresStore;
use fulfillment_worker::store::{Begun, OrderStore, Renewal, Verdict};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};
use crate::{begin, fulfilled, migrated, put};

/// Runs `sql` in a transaction that stays open.
async fn hold(client: &Client, sql: &str) {
    client.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
}

/// Returns once a statement of a worker waits for a lock in this database.
async fn until_waiting(database: &TestDatabase) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND application_name LIKE 'fulfillment-worker %'";
    eventually(LONG, "the worker waits for the lock", async || expect_equal(database.number(waiting).await, 1)).await;
}

fn begin_on_a_task(store: &Arc<PostgresStore>, order_id: OrderId) -> JoinHandle<Begun> {
    let store = store.clone();
    tokio::spawn(async move { begin(&*store, order_id).await })
}

async fn set_up(status: &str) -> (TestDatabase, Arc<PostgresStore>, Client, OrderId) {
    let database = TestDatabase::create().await;
    let (store, client) = migrated(&database).await;
    let order_id = put(&client, "status", &format!("'{status}'")).await;
    (database, Arc::new(store), client, order_id)
}

#[tokio::test]
async fn an_order_that_another_worker_started_meanwhile_is_busy() {
    let (database, store, client, order_id) = set_up("pending").await;
    hold(&client, "UPDATE orders SET status = 'processing', updated_at = clock_timestamp()").await;
    let answer = begin_on_a_task(&store, order_id);
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(answer.await.unwrap(), Begun::Busy(_)));
}

#[tokio::test]
async fn an_order_that_was_released_meanwhile_is_started() {
    let (database, store, client, order_id) = set_up("processing").await;
    hold(&client, "UPDATE orders SET status = 'pending', updated_at = clock_timestamp()").await;
    let answer = begin_on_a_task(&store, order_id);
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert!(matches!(answer.await.unwrap(), Begun::Started { takeover: false, .. }));
}

#[tokio::test]
async fn an_order_that_was_cancelled_meanwhile_is_not_ours() {
    let (database, store, client, order_id) = set_up("pending").await;
    hold(&client, "UPDATE orders SET status = 'cancelled'").await;
    let answer = begin_on_a_task(&store, order_id);
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(answer.await.unwrap(), Begun::NotOurs("cancelled".to_owned()));
}

#[tokio::test]
async fn an_order_that_was_deleted_meanwhile_is_unknown() {
    let (database, store, client, order_id) = set_up("pending").await;
    hold(&client, "DELETE FROM orders").await;
    let answer = begin_on_a_task(&store, order_id);
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(answer.await.unwrap(), Begun::Unknown);
}

#[tokio::test]
async fn the_fence_is_the_time_after_the_wait_not_before() {
    let (database, store, client, order_id) = set_up("pending").await;
    hold(&client, "SELECT FROM orders FOR UPDATE").await;
    let answer = begin_on_a_task(&store, order_id);
    until_waiting(&database).await;
    let row = client.query_one("SELECT (extract(epoch FROM clock_timestamp()::timestamp) * 1e6)::int8", &[]).await;
    let still_waiting = Fence(row.unwrap().get(0));
    client.batch_execute("COMMIT").await.unwrap();
    let Begun::Started { fence, .. } = answer.await.unwrap() else { panic!("not started") };
    assert!(fence > still_waiting, "a lease that began before the wait is over too early");
}

#[tokio::test]
async fn a_conclusion_that_waited_for_a_takeover_is_superseded() {
    let (database, store, client, order_id) = set_up("pending").await;
    let Begun::Started { fence, .. } = begin(&*store, order_id).await else { panic!("not started") };
    hold(&client, "UPDATE orders SET updated_at = updated_at + interval '1 microsecond'").await;
    let verdicts = tokio::spawn({
        let store = store.clone();
        async move { store.conclude(&[fulfilled(order_id, fence)]).await.unwrap() }
    });
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(verdicts.await.unwrap(), [Verdict::Superseded(Some(State::Processing))]);
}

#[tokio::test]
async fn a_renewal_that_waited_for_a_takeover_is_lost() {
    let (database, store, client, order_id) = set_up("pending").await;
    let Begun::Started { fence, .. } = begin(&*store, order_id).await else { panic!("not started") };
    hold(&client, "UPDATE orders SET updated_at = updated_at + interval '1 microsecond'").await;
    let fences = tokio::spawn({
        let store = store.clone();
        async move { store.renew(&[Renewal { order_id, fence }]).await.unwrap() }
    });
    until_waiting(&database).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(fences.await.unwrap(), [None]);
}

#[tokio::test]
async fn a_row_that_refers_to_an_order_can_be_inserted_while_it_is_being_moved() {
    let (_database, store, client, order_id) = set_up("pending").await;
    client.batch_execute("CREATE TABLE shipments (order_id int REFERENCES orders)").await.unwrap();
    hold(&client, &format!("INSERT INTO shipments VALUES ({order_id})")).await;
    assert!(matches!(begin(&*store, order_id).await, Begun::Started { .. }), "foreign keys don't hold up the worker");
    client.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test]
async fn a_deadlock_with_somebody_else_is_repeated() {
    let (database, store, client, first) = set_up("pending").await;
    let second = put(&client, "status", "'pending'").await;
    // The worker's own statement is the one to be ended: it waits last, and others are more patient.
    client.batch_execute("SET deadlock_timeout = '1h'").await.unwrap();
    hold(&client, &format!("SELECT FROM orders WHERE id = {second} FOR UPDATE")).await;
    let batch = [first, second].map(|order_id| fulfillment_worker::store::BeginRequest {
        order_id,
        attempt: 1,
        correlation_id: None,
    });
    let answers = tokio::spawn({
        let store = store.clone();
        async move { store.begin(&batch).await.unwrap() }
    });
    until_waiting(&database).await;
    // Waits for the worker, which waits for us: the worker is rolled back, and tries again.
    client.batch_execute(&format!("SELECT FROM orders WHERE id = {first} FOR UPDATE; COMMIT")).await.unwrap();
    let answers = answers.await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Begun::Started { .. })), "{answers:?}");
}
