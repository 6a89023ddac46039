//! A deployment that replaces one worker after the other while orders come in, and one that takes it back.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::end;
use crate::postgres_store::grants::Roles;
use crate::support::orders::{in_state, not_fulfilled_exactly_once, place};
use crate::support::postgres::TestDatabase;
use crate::support::redis::RedisServer;
use crate::support::version::Version;
use crate::support::worker::{WorkerProcess, run_to_end_of};
use crate::support::{LONG, eventually, expect_equal};

const WORKERS: usize = 3;
const EVERY: Duration = Duration::from_millis(50);
const AT_ONCE: i32 = 3;
const OPTIONS: [&str; 14] = [
    "--migrate",
    "off",
    "--lease",
    "2s",
    "--call-timeout",
    "1s",
    "--simulate-latency",
    "20ms..200ms",
    "--reconcile-interval",
    "1s",
    "--reconcile-grace",
    "3s",
    "--max-attempts",
    "1000",
];

/// A database with the roles of `deploy/postgres/roles.sql`, and what runs on it.
struct Deployment<'a> {
    redis: &'a RedisServer,
    roles: &'a Roles,
    workers: Vec<WorkerProcess>,
}

impl Deployment<'_> {
    /// Makes the tables, or updates them, with a role of its own.
    fn migrate(&self, version: Version) {
        let (url, worker) = (self.roles.url("migrator"), self.roles.name("worker"));
        let output = run_to_end_of(version, &["migrate", "--store", &url, "--grant-to", &worker]);
        assert!(output.status.success(), "{version:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A worker that has begun to work.
    async fn new_worker(&self, version: Version) -> WorkerProcess {
        let store = self.roles.url("worker");
        let mut worker = WorkerProcess::start_of(version, &self.redis.url(), &store, &OPTIONS, &[]);
        worker.wait_until_ready().await;
        let works = async || match worker.metrics().processed("success") {
            some if some >= 5.0 => Ok(()),
            few => Err(format!("{few} so far")),
        };
        eventually(LONG, "the worker fulfils orders", works).await;
        worker
    }

    /// Replaces each worker: it dies, or drains, and then the next one starts.
    async fn roll_to(&mut self, version: Version) {
        for number in 0..WORKERS {
            match number {
                0 => self.workers[number].kill().await,
                _ => end(&mut self.workers[number]).await,
            }
            self.workers[number] = self.new_worker(version).await;
        }
    }

    /// Everything that happens to this deployment.
    async fn roll(&mut self) {
        for _ in 0..WORKERS {
            let worker = self.new_worker(Version::Previous).await;
            self.workers.push(worker);
        }
        self.migrate(Version::This);
        self.roll_to(Version::This).await;
        self.roll_to(Version::Previous).await;
        // Its own migration finds tables that it doesn't know, and leaves them alone.
        self.migrate(Version::Previous);
        self.migrate(Version::This);
        self.roll_to(Version::This).await;
    }
}

/// Places orders until told to stop, and returns how many.
async fn keep_placing(database: &TestDatabase, redis: &RedisServer, stop: &CancellationToken) -> i64 {
    let mut ticks = tokio::time::interval(EVERY);
    let mut placed = 0;
    while !stop.is_cancelled() {
        ticks.tick().await;
        placed += place(database, redis, AT_ONCE).await.len() as i64;
    }
    placed
}

/// Caught, when seeded: a record in Redis with another character after its count, and a released migration that was changed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the binary of the release before: `make test-more` runs it"]
async fn orders_are_fulfilled_once_while_workers_are_replaced_by_a_new_release_and_put_back() {
    let (redis, roles) = (RedisServer::start().await, Roles::make().await);
    let mut deployment = Deployment { redis: &redis, roles: &roles, workers: Vec::new() };
    deployment.migrate(Version::Previous);
    let stop = CancellationToken::new();
    let rolling = async {
        deployment.roll().await;
        stop.cancel();
    };
    let ((), placed) = tokio::join!(rolling, keep_placing(&roles.database, &redis, &stop));
    let fulfilled = async || expect_equal(in_state(&roles.database, "fulfilled").await, placed);
    eventually(LONG, "every order is fulfilled", fulfilled).await;
    assert_eq!(not_fulfilled_exactly_once(&roles.database).await, 0);
    let given_up = roles.database.number("SELECT count(*) FROM fulfillment.dead_letters").await;
    assert_eq!(given_up, 0, "every message can be read by either version");
    eventually(LONG, "nothing is left in Redis", async || expect_equal(redis.keys(), Vec::new())).await;
    println!("{placed} orders, {} workers replaced", 3 * WORKERS);
}
