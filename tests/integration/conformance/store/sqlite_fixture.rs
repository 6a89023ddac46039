//! SQLite: a file of its own, and a second connection to bring it into any situation.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::store::{SqliteStore, SqliteStoreOptions};
use fulfillment_worker::domain::order::{Fence, OrderId};
use rusqlite::Connection;
use tempfile::TempDir;

use super::{AnyStore, Letter, Row, StoreFixture, Transition, When, Worker, letters, testkit, timeline};

pub(crate) struct SqliteFixture {
    // Before the folder, so that they are closed when that is removed.
    connection: Mutex<Connection>,
    database: Database,
    _folder: TempDir,
}

impl SqliteFixture {
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap()
    }

    fn open(&self, lease: Duration, events: bool) -> Worker {
        let id = WorkerId::fresh();
        let options = SqliteStoreOptions { worker: id.clone(), lease, events };
        Worker { id, store: Arc::new(SqliteStore::new(self.database.clone(), options)) }
    }

    fn set(&self, column: &str, order_id: OrderId, when: When) {
        let clock = "SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)";
        let now = self.connection().query_row(clock, [], |row| row.get(0)).unwrap();
        let sql = format!("UPDATE orders SET {column} = ?2 WHERE id = ?1");
        self.connection().execute(&sql, (order_id.0, when.at(now))).unwrap();
    }
}

impl testkit::StoreFixture for SqliteFixture {
    type Store = dyn AnyStore;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("fulfillment.db")).unwrap();
        let connection = Connection::open(database.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        Self { connection: Mutex::new(connection), database, _folder: folder }
    }

    async fn worker(&self, lease: Duration) -> Worker {
        self.open(lease, true)
    }

    async fn put(&self, status: &str, idle: Duration) -> OrderId {
        let connection = self.connection();
        connection
            .execute("INSERT OR IGNORE INTO products (id, name, price) VALUES (1, 'hand warmer', 1.85)", [])
            .unwrap();
        let sql = "INSERT INTO orders (product_id, quantity, status, created_at, updated_at)
                   SELECT 1, 1, ?1, at, at
                   FROM (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) - ?2 AS at)
                   RETURNING id";
        OrderId(connection.query_row(sql, (status, micros(idle)), |row| row.get(0)).unwrap())
    }

    async fn row(&self, order_id: OrderId) -> Row {
        let sql = "SELECT status, updated_at FROM orders WHERE id = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok(Row { status: row.get(0)?, fence: Fence(row.get(1)?) });
        self.connection().query_row(sql, [order_id.0], read).unwrap()
    }

    async fn set_created(&self, order_id: OrderId, when: When) {
        self.set("created_at", order_id, when);
    }

    async fn set_updated(&self, order_id: OrderId, when: When) {
        self.set("updated_at", order_id, when);
    }

    async fn refuse(&self, order_id: OrderId) {
        let sql = format!(
            "CREATE TRIGGER refuse_{order_id} BEFORE UPDATE ON orders WHEN new.id = {order_id}
             BEGIN SELECT RAISE(ABORT, 'order {order_id} is under audit'); END"
        );
        self.connection().execute_batch(&sql).unwrap();
    }
}

impl testkit::StoreRecords for SqliteFixture {
    async fn letters(&self) -> Vec<Letter> {
        letters(&*self.open(Duration::ZERO, true).store).await
    }

    async fn timeline(&self, order_id: OrderId) -> Vec<Transition> {
        timeline(&*self.open(Duration::ZERO, true).store, order_id).await
    }
}

impl StoreFixture for SqliteFixture {
    /// Opening the file makes the tables, so they are removed afterwards.
    async fn unmigrated() -> Self {
        let fixture = <Self as testkit::StoreFixture>::fresh().await;
        fixture.open(Duration::ZERO, true).store.migrate().await.unwrap();
        let sql = "DROP TABLE fulfillment_events; DROP TABLE fulfillment_dead_letters; DROP TABLE fulfillment_queue;
                   DROP TABLE fulfillment_leadership; DROP TABLE fulfillment_submissions;
                   DROP TABLE fulfillment_observed_fences;
                   DROP TABLE fulfillment_horizon; DROP TABLE fulfillment_begun_orders;
                   DROP VIEW fulfillment_timeline; DROP TABLE fulfillment_retention;
                   DROP TABLE fulfillment_controls; DROP TABLE fulfillment_workers; DROP TABLE fulfillment_activity;
                   DROP TABLE fulfillment_holds; DROP TABLE fulfillment_jobs;
                   DROP TABLE fulfillment_requests; DROP TABLE fulfillment_trends;
                   DROP TABLE fulfillment_arrivals; DROP TABLE fulfillment_arrivals_mark;
                   DROP TABLE orders; DROP TABLE products; DROP TABLE refinery_schema_history;";
        fixture.connection().execute_batch(sql).unwrap();
        fixture
    }

    async fn without_events(&self, lease: Duration) -> Worker {
        self.open(lease, false)
    }

    async fn set_status(&self, order_id: OrderId, status: &str) {
        self.connection().execute("UPDATE orders SET status = ?2 WHERE id = ?1", (order_id.0, status)).unwrap();
    }

    async fn remove(&self, order_id: OrderId) {
        self.connection().execute("DELETE FROM orders WHERE id = ?1", [order_id.0]).unwrap();
    }

    async fn empty(&self) {
        let sql = "DELETE FROM fulfillment_events; DELETE FROM fulfillment_dead_letters; DELETE FROM fulfillment_holds; DELETE FROM orders";
        self.connection().execute_batch(sql).unwrap();
    }

    async fn age_timeline(&self, order_id: OrderId, by: Duration) {
        let sql = "UPDATE fulfillment_events SET at = at - ?2 WHERE order_id = ?1";
        self.connection().execute(sql, (order_id.0, micros(by))).unwrap();
    }

    async fn age_cutoff(&self, by: Duration, moved: Duration) {
        let sql = "UPDATE fulfillment_retention SET cutoff = cutoff - ?1, moved_at = moved_at - ?2";
        self.connection().execute(sql, (micros(by), micros(moved))).unwrap();
    }

    async fn put_minute(&self, worker: &str, seq: i64, ago: i64, counts: &str) {
        let sql = "INSERT INTO fulfillment_trends (worker, seq, minute, seconds, counts)
                   VALUES (?1, ?2, unixepoch() / 60 - ?3, 60, ?4)";
        self.connection().execute(sql, (worker, seq, ago, counts)).unwrap();
    }

    async fn age_arrivals(&self, by: Duration) {
        self.connection().execute("UPDATE fulfillment_arrivals_mark SET at = at - ?1", [micros(by)]).unwrap();
    }

    async fn lose_dead_letters(&self) {
        self.connection().execute_batch("DROP TABLE fulfillment_dead_letters").unwrap();
    }
}

fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap()
}
