//! What only Postgres has: rights, sessions, connections, locks and plans. What every store must do is in the
//! conformance suite.

use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::domain::dead_letter::DeadReason;
use fulfillment_worker::domain::order::OrderId;
use fulfillment_worker::event::Observers;
use fulfillment_worker::port::schema::Schema;
use fulfillment_worker::port::store::{BeginRequest, Begun, Conclusion, DeadLetter, OrderStore, Target};
use tokio_postgres::Client;

use crate::support::{LONG, eventually, expect_equal};

mod clocks;
mod connections;
mod deciding;
mod encryption;
pub(crate) mod grants;
mod handing_over;
mod horizon;
mod hostile_servers;
mod libpq;
mod libpq_tls;
mod lists;
mod locks;
mod low_water_mark;
mod managed;
mod migrating;
mod open_orders;
mod other_tables;
mod plans;
mod plans_at_scale;
mod plans_of_reports;
mod planted;
mod pooler;
mod prepared;
mod reconciling;
mod rights;
mod snapshots;
mod strangers;
mod timelines;
mod tls;
mod trends;
mod waiting;
mod zones;

/// A lease that no test outlives.
pub(crate) const LEASE: Duration = Duration::from_secs(3_600);

/// A store of a worker of its own, with at most `connections`.
pub(crate) fn open(url: &str, lease: Duration, connections: usize) -> PostgresStore {
    let options = PostgresStoreOptions { worker: WorkerId::fresh(), lease, events: true, connections };
    PostgresStore::connect(&SecretUrl::new(url.parse().unwrap()), options, Observers::default()).unwrap()
}

/// A store on a database with the worker's own tables and one product.
async fn migrated(database: &crate::support::postgres::TestDatabase) -> (PostgresStore, Client) {
    let store = open(database.url(), LEASE, 4);
    store.migrate().await.unwrap();
    let client = database.connect().await;
    client.batch_execute("INSERT INTO products (id, name, price) VALUES (1, 'hand warmer', 1.85)").await.unwrap();
    (store, client)
}

/// Returns once a statement of a worker waits for a lock in this database.
async fn until_waiting(database: &crate::support::postgres::TestDatabase) {
    let waiting = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'
                     AND application_name LIKE 'fulfillment-worker %'";
    eventually(LONG, "the worker waits for the lock", async || expect_equal(database.number(waiting).await, 1)).await;
}

/// Inserts an order; `columns` and `values` are SQL.
async fn put(client: &Client, columns: &str, values: &str) -> OrderId {
    let sql =
        format!("INSERT INTO orders (product_id, quantity, {columns}) VALUES (1, 1, {values}) RETURNING id::int8");
    OrderId(client.query_one(&sql, &[]).await.unwrap().get(0))
}

async fn begin(store: &dyn OrderStore, order_id: OrderId) -> Begun {
    store.begin(&[BeginRequest { order_id, attempt: 1, correlation_id: None }]).await.unwrap().remove(0)
}

fn fulfilled(order_id: OrderId, fence: fulfillment_worker::domain::order::Fence) -> Conclusion {
    let to = Target::Fulfilled { reference: None };
    Conclusion { order_id, fence, attempt: 1, to, maybe_applied: false, created_at_micros: None }
}

fn letter() -> DeadLetter {
    DeadLetter {
        claim_id: "claim 1".to_owned(),
        order_id: None,
        payload: vec![0],
        reason: DeadReason::InvalidMessage,
        detail: "not JSON".to_owned(),
        attempts: 1,
    }
}
