//! What a case takes place on: servers, or a file, of its own, which are emptied for each case.

use std::ops::Range;

use redis::Commands;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::matrix::cases::Setting;
use crate::support::evidence::{Evidence, REJECTED_PRODUCT};
use crate::support::postgres::{PostgresServer, TestDatabase};
use crate::support::process::Signal;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::warehouse::WarehouseProcess;

/// Orders of a case. The first one is rejected.
pub(crate) const ORDERS: i32 = 6;
/// Not an order.
pub(crate) const POISON: &str = "not json";

/// See the module.
pub(crate) trait Ground: Sized {
    /// Starts what it takes.
    async fn start() -> Self;

    /// Empties it, and places the orders with these ids, and messages beside them.
    async fn place(&mut self, ids: Range<i32>, messages: Vec<String>);

    /// Places one more order, with its message.
    async fn add(&mut self, id: i32);

    /// For `--queue` and `--store`.
    fn targets(&self) -> (String, String);

    /// Who ships.
    fn warehouse(&self) -> &WarehouseProcess;

    /// What the setting says happens.
    async fn disturb(&mut self, setting: Setting);

    /// Rows, timelines and dead letters; or why they can't be read now.
    async fn evidence(&mut self, calls: Vec<Value>) -> Result<Evidence, String>;

    /// Every job, as far as the tables are there.
    async fn jobs(&mut self) -> Result<Vec<JobRow>, String>;

    /// Says what is left in the queue, if anything is.
    fn queue_is_empty(&self) -> Result<(), String>;
}

/// What a case looks at of a job.
#[derive(Debug)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    pub(crate) outcome: Option<String>,
    pub(crate) matching: i64,
    pub(crate) done: i64,
    pub(crate) skipped: i64,
    pub(crate) refused: i64,
}

/// The product of an order.
pub(crate) fn product(id: i32, ids: &Range<i32>) -> i32 {
    if id == ids.start { REJECTED_PRODUCT } else { 1 }
}

/// The messages of a case, oldest first; with `one_is_lost` the last order has none.
pub(crate) fn messages(ids: &Range<i32>, one_is_lost: bool) -> Vec<String> {
    let of_order = |id| message(id, product(id, ids));
    let mut messages: Vec<String> = (ids.start..ids.end - i32::from(one_is_lost)).map(of_order).collect();
    messages.push(POISON.to_owned());
    messages
}

/// The message of an order that names a time before which it isn't to be begun.
pub(crate) fn message_with_time(id: i32, product: i32, time: jiff::Timestamp) -> String {
    json!({"order_id": id, "product_id": product, "quantity": 1, "not_before": time.to_string()}).to_string()
}

/// The message of an order.
pub(crate) fn message(id: i32, product: i32) -> String {
    json!({"order_id": id, "product_id": product, "quantity": 1}).to_string()
}

/// The reference warehouse, with a record.
pub(crate) async fn warehouse() -> WarehouseProcess {
    WarehouseProcess::start(&["--record", RECORD]).await
}

pub(crate) const RECORD: &str = "calls.jsonl";

/// Redis and Postgres.
pub(crate) struct Servers {
    redis: RedisServer,
    postgres: PostgresServer,
    database: TestDatabase,
    client: Option<Client>,
    warehouse: WarehouseProcess,
}

const GIVEN_SCHEMA: &str = include_str!("../../data/given_schema.sql");
const EMPTY: &str = "DROP SCHEMA public CASCADE; DROP SCHEMA IF EXISTS fulfillment CASCADE; CREATE SCHEMA public;";
const REDIS_FILES: &str = "appendonlydir";

impl Servers {
    async fn client(&mut self) -> &Client {
        if self.client.as_ref().is_none_or(Client::is_closed) {
            self.client = None;
        }
        match &mut self.client {
            Some(client) => client,
            empty => empty.insert(self.database.connect().await),
        }
    }
}

impl Ground for Servers {
    async fn start() -> Self {
        let (redis, postgres, warehouse) = futures::join!(RedisServer::start(), PostgresServer::start(), warehouse());
        let database = postgres.database().await;
        Self { redis, postgres, database, client: None, warehouse }
    }

    async fn place(&mut self, ids: Range<i32>, messages: Vec<String>) {
        let products = format!(
            "INSERT INTO products (id, name, price) VALUES (1, 'HAND WARMER UNION JACK', 1.85), \
             ({REJECTED_PRODUCT}, 'RETURNED AND NOT SOLD ANY MORE', 1);"
        );
        let order =
            |id| format!("INSERT INTO orders (id, product_id, quantity) VALUES ({id}, {}, 1);", product(id, &ids));
        let orders: String = ids.clone().map(order).collect();
        let sql = format!("{EMPTY} {GIVEN_SCHEMA} {products} {orders}");
        self.client().await.batch_execute(&sql).await.expect("an empty database with orders");
        let mut redis = self.redis.connect().expect("a connection to Redis");
        redis::cmd("FLUSHALL").exec(&mut redis).expect("an empty Redis");
        let _: i64 = redis.lpush(QUEUE_KEY, messages).expect("an answer to LPUSH");
    }

    async fn add(&mut self, id: i32) {
        let sql = format!("INSERT INTO orders (id, product_id, quantity) VALUES ({id}, 1, 1)");
        self.client().await.batch_execute(&sql).await.expect("another order");
        let mut redis = self.redis.connect().expect("a connection to Redis");
        let _: i64 = redis.lpush(QUEUE_KEY, message(id, 1)).expect("an answer to LPUSH");
    }

    fn targets(&self) -> (String, String) {
        (self.redis.url(), self.database.url().to_owned())
    }

    fn warehouse(&self) -> &WarehouseProcess {
        &self.warehouse
    }

    async fn disturb(&mut self, setting: Setting) {
        match setting {
            Setting::Alone => {}
            Setting::RedisEmptied => {
                self.redis.end(Signal::Kill).await;
                let files = self.redis.folder.path().join(REDIS_FILES);
                std::fs::remove_dir_all(files).expect("the files of Redis");
                self.redis.restart().await;
            }
            Setting::PostgresRestarted => {
                self.postgres.stop_immediately().await;
                self.postgres.restart().await;
            }
            Setting::Embedded => panic!("there are servers here"),
        }
    }

    async fn evidence(&mut self, calls: Vec<Value>) -> Result<Evidence, String> {
        Evidence::collect(self.client().await, calls).await.map_err(|error| format!("{error:?}"))
    }

    async fn jobs(&mut self) -> Result<Vec<JobRow>, String> {
        let there = "SELECT to_regclass('fulfillment.jobs') IS NOT NULL";
        let jobs = "SELECT id, outcome, matching, done, skipped, refused FROM fulfillment.jobs ORDER BY id";
        let client = self.client().await;
        let rows = async {
            if !client.query_one(there, &[]).await?.get::<_, bool>(0) {
                return Ok(Vec::new());
            }
            client.query(jobs, &[]).await
        };
        let rows = rows.await.map_err(|error: tokio_postgres::Error| format!("{error:?}"))?;
        let job = |row: &tokio_postgres::Row| JobRow {
            id: row.get(0),
            outcome: row.get(1),
            matching: row.get(2),
            done: row.get(3),
            skipped: row.get(4),
            refused: row.get(5),
        };
        Ok(rows.iter().map(job).collect())
    }

    fn queue_is_empty(&self) -> Result<(), String> {
        let keys = self.redis.keys();
        if keys.is_empty() { Ok(()) } else { Err(format!("Redis holds {keys:?}")) }
    }
}
