//! Servers, links to them that can be made slow, and a queue of any length.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::orders::{in_state, not_fulfilled_exactly_once};
use crate::support::postgres::TestDatabase;
use crate::support::redis::{QUEUE_KEY, RedisServer};
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually, expect_equal};

/// See the module. Links pass everything on until they are told otherwise.
pub(crate) struct Place {
    pub(crate) redis: RedisServer,
    pub(crate) database: TestDatabase,
    pub(crate) queue: FaultProxy,
    pub(crate) store: FaultProxy,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
        let port = |url: &str| url::Url::parse(url).expect("a URL").port().expect("a port");
        let link = async |port: u16| FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], port))).await;
        let (queue, store) = (link(port(&redis.url())).await, link(port(database.url())).await);
        Self { redis, database, queue, store }
    }

    /// A worker behind the links.
    pub(crate) async fn worker(&self, options: &[&str]) -> WorkerProcess {
        let through = |url: &str, link: &FaultProxy| {
            let mut url = url::Url::parse(url).expect("a URL");
            url.set_port(Some(link.address().port())).expect("a URL that can have a port");
            url.to_string()
        };
        let (queue, store) = (through(&self.redis.url(), &self.queue), through(self.database.url(), &self.store));
        WorkerProcess::ready(&queue, &store, options).await
    }

    /// A worker beside the links.
    pub(crate) async fn undisturbed_worker(&self, options: &[&str]) -> WorkerProcess {
        WorkerProcess::ready(&self.redis.url(), self.database.url(), options).await
    }

    /// Everything passes again.
    pub(crate) fn mend(&self) {
        for link in [&self.queue, &self.store] {
            link.behave(Behaviour::Pass);
        }
    }

    /// Orders with their messages, each of about a kilobyte, so that one that is held for no reason shows in memory.
    pub(crate) async fn fill(&self, orders: i32) {
        let product =
            "INSERT INTO products (id, name, price) VALUES (1, 'WHITE METAL LANTERN', 3.39) ON CONFLICT DO NOTHING";
        let insert = "INSERT INTO orders (product_id, quantity) SELECT 1, 1 FROM generate_series(1, $1) RETURNING id";
        self.database.query(product, &[]).await;
        let ids: Vec<i32> = self.database.query(insert, &[&orders]).await.iter().map(|row| row.get(0)).collect();
        self.push(ids.into_iter().map(message));
    }

    /// Messages of any kind, the first one to be claimed first.
    pub(crate) fn push(&self, messages: impl Iterator<Item = Vec<u8>>) {
        let mut connection = self.redis.connect().expect("a connection to Redis");
        let messages: Vec<Vec<u8>> = messages.collect();
        for some in messages.chunks(200) {
            redis::cmd("LPUSH").arg(QUEUE_KEY).arg(some).exec(&mut connection).expect("an answer to LPUSH");
        }
    }

    /// Waits until every order is done, and checks that each was fulfilled once and at its first attempt.
    pub(crate) async fn all_are_fulfilled_at_once(&self, orders: i32) {
        eventually(LONG, "every order is fulfilled", async || {
            expect_equal(in_state(&self.database, "fulfilled").await, i64::from(orders))
        })
        .await;
        assert_eq!(not_fulfilled_exactly_once(&self.database).await, 0, "orders without exactly one `fulfilled` event");
        let spent = "SELECT count(*) FROM fulfillment.events WHERE attempt <> 1";
        assert_eq!(self.database.number(spent).await, 0, "attempts were spent");
        eventually(LONG, "nothing is left in Redis", async || expect_equal(self.redis.keys(), Vec::new())).await;
    }
}

/// The message of an order.
pub(crate) fn message(order_id: i32) -> Vec<u8> {
    json!({"order_id": order_id, "product_id": 1, "quantity": 1, "note": "x".repeat(1_000)}).to_string().into_bytes()
}
