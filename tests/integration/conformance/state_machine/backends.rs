//! The queues and stores that belong together, with a look at what they really hold and a hand on their clocks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::conformance::queue::AnyQueue;
use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::config::{QueueTls, SecretUrl};
use fulfillment_worker::event::Observers;
use redis::aio::MultiplexedConnection;
use rusqlite::Connection;

use crate::conformance::servers::redis_url;
use crate::conformance::store::postgres_fixture::PostgresFixture;
use crate::conformance::store::sqlite_fixture::SqliteFixture;
use crate::conformance::store::{StoreFixture, testkit::StoreFixture as _};
use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::redis::connect_to;

/// How long a message is leased: until a step says that it is over.
pub(super) const LEASE: Duration = Duration::from_secs(3_600);

/// A message as the queue's own records have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) place: SeenPlace,
    pub(super) attempts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeenPlace {
    Waiting,
    Leased {
        left_ms: i64,
    },
    Retrying {
        left_ms: i64,
    },
    /// In more than one place, or in none.
    Astray,
}

/// A queue and a store, used by one test.
pub(super) trait Backend: Sized {
    type Store: StoreFixture;
    /// Whether an answer of the queue can get lost.
    const LOSES_ANSWERS: bool;

    async fn open() -> Self;
    fn store(&self) -> &Self::Store;
    /// Empties the queue.
    async fn empty(&mut self);
    /// Opens the queue as a worker with an identity of its own.
    async fn queue(&self) -> Arc<dyn AnyQueue>;
    /// Every message, by its bytes.
    async fn messages(&mut self) -> BTreeMap<Vec<u8>, Seen>;
    /// Makes a message that is leased or waits for its retry claimable, before all with a higher rank.
    async fn set_due(&mut self, payload: &[u8], rank: u32);
    /// From now on, or no longer.
    fn lose_answers(&self, lost: bool);
    /// What is left of a queue that is empty.
    async fn leftovers(&mut self) -> Vec<String>;
}

pub(super) struct RedisAndPostgres {
    store: PostgresFixture,
    key: String,
    connection: MultiplexedConnection,
    proxy: FaultProxy,
}

impl RedisAndPostgres {
    fn companion(&self, name: &str) -> String {
        format!("{{{}}}:{name}", self.key)
    }

    /// Leases or retries: the time of each claim, in milliseconds since 1970.
    async fn schedule(&mut self, name: &str) -> BTreeMap<String, i64> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.companion(name)).arg(0).arg(-1).arg("WITHSCORES");
        let scores: Vec<(String, f64)> = command.query_async(&mut self.connection).await.unwrap();
        scores.into_iter().map(|(id, score)| (id, score as i64)).collect()
    }

    /// Claim ids and envelopes.
    async fn records(&mut self) -> BTreeMap<String, Vec<u8>> {
        let key = self.companion("inflight");
        redis::cmd("HGETALL").arg(key).query_async(&mut self.connection).await.unwrap()
    }
}

impl Backend for RedisAndPostgres {
    type Store = PostgresFixture;
    const LOSES_ANSWERS: bool = true;

    async fn open() -> Self {
        let url: url::Url = redis_url().parse().unwrap();
        let server = SocketAddr::new(url.host_str().unwrap().parse().unwrap(), url.port().unwrap());
        let backend = Self {
            store: PostgresFixture::fresh().await,
            key: format!("state-machine:{}", WorkerId::fresh()),
            connection: connect_to(&redis_url()).await.unwrap(),
            proxy: FaultProxy::start(server).await,
        };
        // Redis has to know the script before a claim's answer can get lost.
        backend.queue().await.claim(1).await.unwrap();
        backend
    }

    fn store(&self) -> &PostgresFixture {
        &self.store
    }

    async fn empty(&mut self) {
        let mut command = redis::cmd("DEL");
        command.arg(&self.key).arg(["inflight", "leases", "retries"].map(|name| self.companion(name)).as_slice());
        let _: i64 = command.query_async(&mut self.connection).await.unwrap();
    }

    async fn queue(&self) -> Arc<dyn AnyQueue> {
        let url = SecretUrl::new(format!("redis://{}", self.proxy.address()).parse().unwrap());
        let options = RedisQueueOptions { key: self.key.clone(), lease: LEASE, worker: WorkerId::fresh() };
        Arc::new(RedisQueue::connect(&url, &QueueTls::default(), options, Observers::default()).unwrap())
    }

    async fn messages(&mut self) -> BTreeMap<Vec<u8>, Seen> {
        let waiting: Vec<Vec<u8>> =
            redis::cmd("LRANGE").arg(&self.key).arg(0).arg(-1).query_async(&mut self.connection).await.unwrap();
        let (leases, retries) = (self.schedule("leases").await, self.schedule("retries").await);
        let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut self.connection).await.unwrap();
        let now = seconds * 1_000 + micros / 1_000;
        let mut messages = BTreeMap::new();
        for payload in waiting {
            add(&mut messages, payload, Seen { place: SeenPlace::Waiting, attempts: 0 });
        }
        for (id, envelope) in self.records().await {
            let place = match (leases.get(&id), retries.get(&id)) {
                (Some(end), None) => SeenPlace::Leased { left_ms: end - now },
                (None, Some(time)) => SeenPlace::Retrying { left_ms: time - now },
                _ => SeenPlace::Astray,
            };
            let (attempts, payload) = open_envelope(&envelope);
            add(&mut messages, payload, Seen { place, attempts });
        }
        messages
    }

    async fn set_due(&mut self, payload: &[u8], rank: u32) {
        let records = self.records().await;
        let id = records.into_iter().find(|(_, envelope)| open_envelope(envelope).1 == payload).expect("a record").0;
        for name in ["leases", "retries"] {
            let mut command = redis::cmd("ZADD");
            command.arg(self.companion(name)).arg("XX").arg(rank).arg(&id);
            let _: i64 = command.query_async(&mut self.connection).await.unwrap();
        }
    }

    fn lose_answers(&self, lost: bool) {
        self.proxy.behave(if lost { Behaviour::LoseReplies } else { Behaviour::Pass });
    }

    async fn leftovers(&mut self) -> Vec<String> {
        let pattern = format!("*{}*", self.key);
        redis::cmd("KEYS").arg(pattern).query_async(&mut self.connection).await.unwrap()
    }
}

/// A second message with the same bytes is one too many.
fn add(messages: &mut BTreeMap<Vec<u8>, Seen>, payload: Vec<u8>, seen: Seen) {
    messages.entry(payload).and_modify(|seen| seen.place = SeenPlace::Astray).or_insert(seen);
}

/// Attempts and payload: see `common.lua`.
fn open_envelope(envelope: &[u8]) -> (u32, Vec<u8>) {
    let end = envelope.iter().position(|byte| *byte == b'\n').expect("an envelope");
    let head = std::str::from_utf8(&envelope[..end]).unwrap();
    (head.split(' ').next().unwrap().parse().unwrap(), envelope[end + 1..].to_vec())
}

pub(super) struct Embedded {
    connection: Connection,
    store: SqliteFixture,
}

impl Backend for Embedded {
    type Store = SqliteFixture;
    const LOSES_ANSWERS: bool = false;

    async fn open() -> Self {
        let store = SqliteFixture::fresh().await;
        let connection = Connection::open(store.database().path()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        Self { connection, store }
    }

    fn store(&self) -> &SqliteFixture {
        &self.store
    }

    async fn empty(&mut self) {
        self.connection.execute_batch("DELETE FROM fulfillment_queue").unwrap();
    }

    async fn queue(&self) -> Arc<dyn AnyQueue> {
        let options = SqliteQueueOptions { lease: LEASE, worker: WorkerId::fresh() };
        Arc::new(SqliteQueue::new(self.store.database().clone(), options))
    }

    async fn messages(&mut self) -> BTreeMap<Vec<u8>, Seen> {
        let sql = "SELECT payload, attempts, token IS NOT NULL,
                          (due_at - CAST(unixepoch('subsec') * 1000000 AS INTEGER)) / 1000
                   FROM fulfillment_queue";
        let mut statement = self.connection.prepare(sql).unwrap();
        let mut messages = BTreeMap::new();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let place = match (row.get(2).unwrap(), row.get(3).unwrap()) {
                (true, Some(left_ms)) => SeenPlace::Leased { left_ms },
                (false, Some(left_ms)) => SeenPlace::Retrying { left_ms },
                (false, None) => SeenPlace::Waiting,
                (true, None) => SeenPlace::Astray,
            };
            add(&mut messages, row.get(0).unwrap(), Seen { place, attempts: row.get(1).unwrap() });
        }
        messages
    }

    async fn set_due(&mut self, payload: &[u8], rank: u32) {
        let sql = "UPDATE fulfillment_queue SET due_at = ?2 WHERE payload = ?1 AND due_at IS NOT NULL";
        assert_eq!(self.connection.execute(sql, (payload, rank)).unwrap(), 1);
    }

    fn lose_answers(&self, _lost: bool) {}

    async fn leftovers(&mut self) -> Vec<String> {
        let sql = "SELECT CAST(payload AS TEXT) FROM fulfillment_queue";
        let mut statement = self.connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}
