//! Postgres: a database of its own on the shared server, with the given schema. And the same for a role that finds planted
//! functions and operators wherever its statements look a name up by the search path, in tables without an index on status.

use std::sync::Arc;
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::postgres::{PostgresStore, PostgresStoreOptions};
use fulfillment_worker::config::SecretUrl;
use fulfillment_worker::domain::order::{Fence, OrderId};
use fulfillment_worker::event::Observers;
use tokio_postgres::Client;
use url::Url;

use super::{AnyStore, Letter, Row, StoreFixture, Transition, When, Worker, letters, testkit, timeline};
use crate::support::planted;
use crate::support::postgres::TestDatabase;

pub(crate) type PostgresFixture = Fixture<false>;
pub(crate) type PlantedFixture = Fixture<true>;

pub(crate) struct Fixture<const PLANTED: bool> {
    /// As whom workers connect.
    url: String,
    // Before the database, so that it is closed when that is dropped.
    client: Client,
    _database: TestDatabase,
}

async fn plain() -> (TestDatabase, String) {
    let database = TestDatabase::create().await;
    let url = database.url().to_owned();
    (database, url)
}

/// `scripts/compat.sh` may have put a pooler before the server, at HOST:PORT; the fixture itself goes without.
fn through_pooler(mut url: Url) -> Url {
    if let Ok(pooler) = std::env::var("TEST_POSTGRES_POOLER") {
        let (host, port) = pooler.rsplit_once(':').expect("TEST_POSTGRES_POOLER is HOST:PORT");
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port.parse().unwrap())).unwrap();
    }
    url
}

impl<const PLANTED: bool> Fixture<PLANTED> {
    fn open(&self, lease: Duration, events: bool) -> Worker {
        let url: Url = self.url.parse().unwrap();
        // A pooler knows the users that it was started with.
        let url = SecretUrl::new(if PLANTED { url } else { through_pooler(url) });
        let id = WorkerId::fresh();
        let options = PostgresStoreOptions { worker: id.clone(), lease, events, connections: 4 };
        Worker { id, store: Arc::new(PostgresStore::connect(&url, options, Observers::default()).unwrap()) }
    }

    async fn set(&self, column: &str, order_id: OrderId, when: When) {
        let seconds = match when {
            When::Ago(time) => Some(-time.as_secs_f64()),
            When::Ahead(time) => Some(time.as_secs_f64()),
            When::Never => None,
        };
        let sql = format!(
            "UPDATE orders SET {column} = now()::timestamp + $2::float8 * interval '1 second' WHERE id::int8 = $1"
        );
        self.client.execute(&sql, &[&order_id.0, &seconds]).await.unwrap();
    }
}

impl<const PLANTED: bool> testkit::StoreFixture for Fixture<PLANTED> {
    type Store = dyn AnyStore;

    async fn fresh() -> Self {
        let fixture = Self::unmigrated().await;
        fixture.worker(Duration::ZERO).await.store.migrate().await.unwrap();
        fixture
    }

    async fn worker(&self, lease: Duration) -> Worker {
        self.open(lease, true)
    }

    async fn put(&self, status: &str, idle: Duration) -> OrderId {
        let sql = "INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
                   SELECT 1, 1, $1, at, at FROM (SELECT now()::timestamp - $2 * interval '1 second' AS at) AS clock
                   RETURNING id";
        let row = self.client.query_one(sql, &[&status, &idle.as_secs_f64()]).await.unwrap();
        OrderId(row.get::<_, i32>(0).into())
    }

    async fn row(&self, order_id: OrderId) -> Row {
        let sql = "SELECT status, (extract(epoch FROM updated_at) * 1000000)::int8 FROM orders WHERE id::int8 = $1";
        let row = self.client.query_one(sql, &[&order_id.0]).await.unwrap();
        Row { status: row.get(0), fence: Fence(row.get(1)) }
    }

    async fn set_created(&self, order_id: OrderId, when: When) {
        self.set("created_at", order_id, when).await;
    }

    async fn set_updated(&self, order_id: OrderId, when: When) {
        self.set("updated_at", order_id, when).await;
    }

    async fn refuse(&self, order_id: OrderId) {
        let sql = "CREATE TABLE IF NOT EXISTS refused (order_id int8); GRANT SELECT ON refused TO PUBLIC;
                   CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                   BEGIN
                       IF EXISTS (SELECT FROM refused WHERE order_id = new.id) THEN
                           RAISE EXCEPTION 'order % is under audit', new.id;
                       END IF;
                       RETURN new;
                   END $$;
                   CREATE OR REPLACE TRIGGER refuse BEFORE UPDATE ON orders
                   FOR EACH ROW EXECUTE FUNCTION refuse();";
        self.client.batch_execute(sql).await.unwrap();
        self.client.execute("INSERT INTO refused VALUES ($1)", &[&order_id.0]).await.unwrap();
    }
}

impl<const PLANTED: bool> testkit::StoreRecords for Fixture<PLANTED> {
    async fn letters(&self) -> Vec<Letter> {
        letters(&*self.open(Duration::ZERO, true).store).await
    }

    async fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        timeline(&*self.open(Duration::ZERO, true).store, order_id).await
    }
}

impl<const PLANTED: bool> StoreFixture for Fixture<PLANTED> {
    async fn unmigrated() -> Self {
        let (database, url) = if PLANTED { planted::database().await } else { plain().await };
        let client = database.connect().await;
        client.batch_execute("INSERT INTO products (name, price) VALUES ('hand warmer', 1.85)").await.unwrap();
        if PLANTED {
            // So that what needs no index is asked, too, and in every word.
            client.batch_execute("DROP INDEX idx_orders_status").await.unwrap();
        }
        Self { url, client, _database: database }
    }

    async fn without_events(&self, lease: Duration) -> Worker {
        self.open(lease, false)
    }

    async fn set_status(&self, order_id: OrderId, status: &str) {
        let sql = "UPDATE orders SET status = $2 WHERE id::int8 = $1";
        self.client.execute(sql, &[&order_id.0, &status]).await.unwrap();
    }

    async fn remove(&self, order_id: OrderId) {
        self.client.execute("DELETE FROM orders WHERE id::int8 = $1", &[&order_id.0]).await.unwrap();
    }

    async fn empty(&self) {
        let sql = "DELETE FROM fulfillment.events; DELETE FROM fulfillment.dead_letters; DELETE FROM fulfillment.holds; DELETE FROM orders";
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn age_timeline(&self, order_id: OrderId, by: Duration) {
        let sql = "UPDATE fulfillment.events SET at = at - $2 * interval '1 second' WHERE order_id = $1";
        self.client.execute(sql, &[&order_id.0, &by.as_secs_f64()]).await.unwrap();
    }

    async fn age_cutoff(&self, by: Duration, moved: Duration) {
        let sql = "UPDATE fulfillment.retention
                   SET cutoff = cutoff - $1 * interval '1 second', moved_at = moved_at - $2 * interval '1 second'";
        self.client.execute(sql, &[&by.as_secs_f64(), &moved.as_secs_f64()]).await.unwrap();
    }

    async fn put_minute(&self, worker: &str, seq: i64, ago: i64, counts: &str) {
        let sql = "INSERT INTO fulfillment.trends (worker, seq, minute, seconds, counts)
                   VALUES ($1, $2, date_trunc('minute', now()) - $3::float8 * interval '1 minute', 60, $4::text::json)";
        self.client.execute(sql, &[&worker, &seq, &(ago as f64), &counts]).await.unwrap();
    }

    async fn age_arrivals(&self, by: Duration) {
        let sql = "UPDATE fulfillment.arrivals_mark
                   SET counted_at = counted_at - $1 * interval '1 second', seen_at = seen_at - $1 * interval '1 second'";
        self.client.execute(sql, &[&by.as_secs_f64()]).await.unwrap();
    }

    async fn lose_dead_letters(&self) {
        self.client.batch_execute("DROP TABLE fulfillment.dead_letters").await.unwrap();
    }
}
