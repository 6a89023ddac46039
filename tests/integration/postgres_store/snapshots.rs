//! What a statement does with a row that somebody changed between its snapshot and its lock.

use std::sync::Arc;

use fulfillment_worker::backend::postgres::PostgresStore;
use fulfillment_worker::domain::order::{Fence, OrderId, State};
use fulfillment_worker::port::store::{Begun, OrderStore, Renewal, Renewed, Verdict};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::postgres_store::{begin, fulfilled, migrated, put};
use crate::support::postgres::TestDatabase;
use crate::support::{LONG, eventually, expect_equal};

/// Puts a gate between the snapshots of all statements and the rows of `orders`: whoever reads one waits there while the
/// gate is closed.
const BUILD_GATE: &str = "
    ALTER TABLE orders RENAME TO orders_behind_the_gate;
    CREATE FUNCTION pass_gate() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(7);
        RETURN true;
    END $$;
    CREATE VIEW orders AS SELECT * FROM orders_behind_the_gate WHERE pass_gate();";

/// An order behind a gate that is open.
struct Gated {
    database: TestDatabase,
    store: Arc<PostgresStore>,
    client: Client,
    order_id: OrderId,
}

impl Gated {
    async fn order(status: &str) -> Self {
        let database = TestDatabase::create().await;
        let (store, client) = migrated(&database).await;
        let order_id = put(&client, "status", &format!("'{status}'")).await;
        client.batch_execute(BUILD_GATE).await.unwrap();
        Self { database, store: Arc::new(store), client, order_id }
    }

    async fn close(&self) {
        self.client.batch_execute("SELECT pg_advisory_lock(7)").await.unwrap();
    }

    /// Returns once a statement waits at the gate, in the form that has no limit of 10 ms there: its snapshot is taken.
    async fn until_reached(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'
                         AND clock_timestamp() - query_start > interval '100 ms'
                         AND application_name LIKE 'fulfillment-worker %'";
        eventually(LONG, "a statement waits", async || expect_equal(self.database.number(waiting).await, 1)).await;
    }

    /// Changes the row behind the gate, commits, and opens it.
    async fn change_and_open(&self, set: &str) {
        self.client.batch_execute(&set.replace("orders", "orders_behind_the_gate")).await.unwrap();
        // Not in the same call, which would be the same transaction.
        self.client.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    }

    fn begin_on_a_task(&self) -> JoinHandle<Begun> {
        let (store, order_id) = (self.store.clone(), self.order_id);
        tokio::spawn(async move { begin(&*store, order_id).await })
    }

    /// What `begin` says of an order in `status` whose row is changed by `sql` after the snapshot.
    async fn begun_after(status: &str, sql: &str) -> (Self, Begun) {
        let gated = Self::order(status).await;
        gated.close().await;
        let answer = gated.begin_on_a_task();
        gated.until_reached().await;
        gated.change_and_open(sql).await;
        let answer = answer.await.unwrap();
        (gated, answer)
    }
}

#[tokio::test]
async fn an_order_that_another_worker_started_meanwhile_is_busy() {
    let sql = "UPDATE orders SET status = 'processing', updated_at = clock_timestamp()";
    let (_gated, answer) = Gated::begun_after("pending", sql).await;
    assert!(matches!(answer, Begun::Busy(_)), "{answer:?}");
}

#[tokio::test]
async fn an_order_that_was_released_meanwhile_is_started() {
    let sql = "UPDATE orders SET status = 'pending', updated_at = clock_timestamp()";
    let (_gated, answer) = Gated::begun_after("processing", sql).await;
    assert!(matches!(answer, Begun::Started { takeover: false, .. }), "{answer:?}");
}

#[tokio::test]
async fn an_order_that_was_cancelled_meanwhile_is_not_ours() {
    let (_gated, answer) = Gated::begun_after("pending", "UPDATE orders SET status = 'cancelled'").await;
    assert_eq!(answer, Begun::NotOurs("cancelled".to_owned()));
}

#[tokio::test]
async fn an_order_that_was_deleted_meanwhile_is_unknown_when_it_is_looked_at_again() {
    let (gated, answer) = Gated::begun_after("pending", "DELETE FROM orders").await;
    assert_eq!(answer, Begun::Locked, "it can't be told apart from one that is being deleted");
    assert_eq!(begin(&*gated.store, gated.order_id).await, Begun::Unknown);
}

#[tokio::test]
async fn the_fence_is_the_time_after_the_wait_not_before() {
    let gated = Gated::order("pending").await;
    gated.close().await;
    let answer = gated.begin_on_a_task();
    gated.until_reached().await;
    let clock = "SELECT (extract(epoch FROM clock_timestamp()::timestamp) * 1e6)::int8";
    let still_waiting = Fence(gated.client.query_one(clock, &[]).await.unwrap().get(0));
    gated.change_and_open("SELECT").await;
    let Begun::Started { fence, .. } = answer.await.unwrap() else { panic!("not started") };
    assert!(fence > still_waiting, "a lease that began before the wait is over too early");
}

/// Caught, when seeded: a fence that is compared with the row of the snapshot alone.
#[tokio::test]
async fn a_conclusion_after_a_takeover_that_its_snapshot_does_not_show_is_superseded() {
    let gated = Gated::order("pending").await;
    let Begun::Started { fence, .. } = begin(&*gated.store, gated.order_id).await else { panic!("not started") };
    gated.close().await;
    let verdicts = tokio::spawn({
        let (store, order_id) = (gated.store.clone(), gated.order_id);
        async move { store.conclude(&[fulfilled(order_id, fence)]).await.unwrap() }
    });
    gated.until_reached().await;
    gated.change_and_open("UPDATE orders SET updated_at = updated_at + interval '1 microsecond'").await;
    assert_eq!(verdicts.await.unwrap(), [Verdict::Superseded(Some(State::Processing))]);
}

#[tokio::test]
async fn a_renewal_after_a_takeover_that_its_snapshot_does_not_show_is_lost() {
    let gated = Gated::order("pending").await;
    let Begun::Started { fence, .. } = begin(&*gated.store, gated.order_id).await else { panic!("not started") };
    gated.close().await;
    let answers = tokio::spawn({
        let (store, order_id) = (gated.store.clone(), gated.order_id);
        async move { store.renew(&[Renewal { order_id, fence }]).await.unwrap() }
    });
    gated.until_reached().await;
    gated.change_and_open("UPDATE orders SET updated_at = updated_at + interval '1 microsecond'").await;
    assert_eq!(answers.await.unwrap(), [Renewed::Lost]);
}
