//! The backends that the cases run against.

use std::sync::Arc;
use std::time::Duration;

use crate::conformance::queue::AnyQueue;
use fulfillment_worker::WorkerId;
use fulfillment_worker::backend::redis::{RedisQueue, RedisQueueOptions};
use fulfillment_worker::backend::sqlite::database::Database;
use fulfillment_worker::backend::sqlite::queue::{SqliteQueue, SqliteQueueOptions};
use fulfillment_worker::config::{QueueTls, SecretUrl};
use fulfillment_worker::event::Observers;
use tempfile::TempDir;

use crate::conformance::servers::{redis_url, valkey_url};
use fulfillment_worker_testkit::conformance::queue::QueueFixture;

/// A key of its own on the shared server.
pub(crate) struct RedisFixture {
    key: String,
}

impl QueueFixture for RedisFixture {
    type Queue = dyn AnyQueue;

    async fn fresh() -> Self {
        Self { key: format!("conformance:{}", WorkerId::fresh()) }
    }

    async fn worker(&self, lease: Duration) -> Arc<dyn AnyQueue> {
        redis_queue(&redis_url(), &self.key, lease)
    }
}

/// A key of its own on the shared Valkey.
pub(crate) struct ValkeyFixture {
    key: String,
}

impl QueueFixture for ValkeyFixture {
    type Queue = dyn AnyQueue;

    async fn fresh() -> Self {
        Self { key: format!("conformance:{}", WorkerId::fresh()) }
    }

    async fn worker(&self, lease: Duration) -> Arc<dyn AnyQueue> {
        redis_queue(&valkey_url(), &self.key, lease)
    }
}

fn redis_queue(url: &str, key: &str, lease: Duration) -> Arc<dyn AnyQueue> {
    let url = SecretUrl::new(url.parse().unwrap());
    let options = RedisQueueOptions { key: key.to_owned(), lease, worker: WorkerId::fresh() };
    Arc::new(RedisQueue::connect(&url, &QueueTls::default(), options, Observers::default()).unwrap())
}

/// A file of its own.
pub(crate) struct SqliteFixture {
    database: Database,
    /// Removed after the file is closed, as fields are dropped in order.
    _folder: TempDir,
}

impl QueueFixture for SqliteFixture {
    type Queue = dyn AnyQueue;

    async fn fresh() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("fulfillment.db")).unwrap();
        Self { database, _folder: folder }
    }

    async fn worker(&self, lease: Duration) -> Arc<dyn AnyQueue> {
        Arc::new(SqliteQueue::new(self.database.clone(), SqliteQueueOptions { lease, worker: WorkerId::fresh() }))
    }
}
