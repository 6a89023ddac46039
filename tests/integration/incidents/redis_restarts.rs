//! A Redis that goes away and comes back, and a worker that has to notice both by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::fault_proxy::{Behaviour, FaultProxy};
use crate::support::orders::{all_fulfilled_once, in_state, place};
use crate::support::postgres::TestDatabase;
use crate::support::process::Signal;
use crate::support::redis::RedisServer;
use crate::support::worker::WorkerProcess;
use crate::support::{LONG, eventually};

const ORDERS: i32 = 10;

/// Within this much of Redis being there again the worker works. An answer may take 5 s and a new connection 2 s before
/// they are given up, and then there are pauses.
const WORKS_AGAIN_WITHIN: Duration = Duration::from_secs(30);

/// A worker that leaves nothing to the reconciler: what comes by the queue is what is looked at.
async fn worker(queue: &str, database: &TestDatabase) -> WorkerProcess {
    let options = ["--simulate-latency", "0", "--reconcile-interval", "0"];
    WorkerProcess::ready(queue, database.url(), &options).await
}

/// Says that it isn't ready, and that there is no need to restart it.
async fn notices(worker: &WorkerProcess) {
    eventually(LONG, "readiness notices", async || worker.answers("/readyz", 503)).await;
    for path in ["/health", "/livez"] {
        worker.answers(path, 200).expect("a Redis that is away is no reason to restart the worker");
    }
}

/// Fulfils everything, and is ready.
async fn works_again(worker: &WorkerProcess, database: &TestDatabase, redis: &RedisServer) {
    let began = Instant::now();
    all_fulfilled_once(database, redis).await;
    eventually(LONG, "readiness is back", async || worker.answers("/readyz", 200)).await;
    let took = began.elapsed();
    assert!(took < WORKS_AGAIN_WITHIN, "it took {took:?} to work again");
}

/// [apalis #492](https://github.com/apalis-dev/apalis/pull/492): what workers had registered in Redis was gone with its
/// restart, and they went on asking as if it were there. Every fetch failed, until somebody restarted them. Here nothing
/// at the server has to be there before a claim: the keys are made by use, and a script that it doesn't know is loaded
/// again.
///
/// Caught, when seeded: a script that is loaded once, at the start.
#[tokio::test]
async fn apalis_492_a_redis_that_forgot_everything_is_worked_with_again() {
    let (mut redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = worker(&redis.url(), &database).await;
    place(&database, &redis, ORDERS).await;
    all_fulfilled_once(&database, &redis).await;

    redis.end(Signal::Kill).await;
    std::fs::remove_dir_all(redis.folder.path().join("appendonlydir")).expect("its append-only file");
    redis.restart().await;
    place(&database, &redis, ORDERS).await;
    works_again(&worker, &database, &redis).await;

    let flushed = redis.connect().and_then(|mut connection| redis::cmd("SCRIPT").arg("FLUSH").exec(&mut connection));
    flushed.expect("an answer to SCRIPT FLUSH");
    place(&database, &redis, ORDERS).await;
    works_again(&worker, &database, &redis).await;
    assert_eq!(worker.metrics().processed("success"), f64::from(3 * ORDERS));
}

/// [bullmq #3088](https://github.com/taskforcesh/bullmq/issues/3088): after a failover of Redis workers were silent, with
/// jobs waiting, until they were restarted. Here with one server that is killed while the worker waits in its blocking
/// call, and comes back. With Sentinel: `tests/integration/redis_queue`.
///
/// Caught, when seeded: a wait that ends with the first error.
#[tokio::test]
async fn bullmq_3088_a_worker_whose_redis_was_killed_works_again_by_itself() {
    let (mut redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let worker = worker(&redis.url(), &database).await;
    redis.end(Signal::Kill).await;
    notices(&worker).await;

    redis.restart().await;
    place(&database, &redis, ORDERS).await;
    works_again(&worker, &database, &redis).await;
}

/// [bullmq #3088](https://github.com/taskforcesh/bullmq/issues/3088), as it looks where the old server's packets just stop:
/// nobody closes the connections, and no error ever comes. Each call has a limit of its own here, and a connection that
/// let one pass is not used again.
///
/// Caught, when seeded: a connection that is kept after a call without an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bullmq_3088_a_worker_whose_connections_fell_silent_works_again_by_itself() {
    let (redis, database) = (RedisServer::start().await, TestDatabase::create().await);
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], redis.port))).await;
    let worker = worker(&format!("redis://{}", proxy.address()), &database).await;
    place(&database, &redis, ORDERS).await;
    all_fulfilled_once(&database, &redis).await;

    proxy.behave(Behaviour::Vanish);
    place(&database, &redis, ORDERS).await;
    notices(&worker).await;
    assert_eq!(in_state(&database, "fulfilled").await, i64::from(ORDERS), "nothing gets through");

    // For new connections: those of before stay as silent as they are.
    proxy.behave(Behaviour::Pass);
    works_again(&worker, &database, &redis).await;
}
